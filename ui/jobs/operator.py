"""What whoever runs the server sees of everybody's work, and the way to stop it.

No names of people and no pictures: a job is shown by what kind of work it is.
"""

from collections.abc import Mapping

import streamlit as st

from ui.jobs.queue import State
from ui.jobs.shared import job_queue
from ui.shell import limits
from ui.shell.access import Access
from ui.shell.memory import memory
from ui.shell.turns import Place
from ui.shell.words import plain, plain_errors

SHOWN = 50
"""Jobs on the page."""

STOPPED = "Whoever runs this server stopped it."


def may_operate(access: Access) -> bool:
    """Whether somebody may see and stop everybody's work.

    Who sits at the machine itself may, and who signed in by a name that ``operators`` in the
    section ``[forget]`` of Streamlit's secrets lists.
    """
    section = st.secrets.get("forget") if st.secrets.load_if_toml_exists() else None
    listed = section.get("operators") if isinstance(section, Mapping) else None
    names = [str(one).casefold() for one in listed] if isinstance(listed, list | tuple) else []
    return access.local or (access.user is not None and access.user.casefold() in names)


@st.fragment(run_every=2)
def everybodys_work() -> None:
    """What runs and what waits, by visitor, each with a button that cancels it."""
    with plain_errors():
        jobs = job_queue().all()
        if not jobs:
            st.caption("Nothing runs and nothing waits.")
        for place, away in jobs[:SHOWN]:
            _job(place, away)
        if len(jobs) > SHOWN:
            st.caption(f"And {len(jobs) - SHOWN} more.")
        used = memory().used().total()
        st.caption(f"Uploads and photos in memory: {used / limits.MB:,.0f} of "
                   f"{limits.HELD_IN_ALL / limits.MB:,.0f} MB.")


def _job(place: Place, away: bool) -> None:
    job = place.job
    state = f"runs for {job.seconds:.0f} s" if job.state is State.RUNNING else "waits"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(job.about)}** · {plain(place.tab.visitor)} · {state}"
                    + (" · its tab has no connection" if away else ""))
        st.button("Cancel", icon=":material/close:", key=f"operator.cancel.{place.number}",
                  on_click=job_queue().cancel, args=(place.number, STOPPED))
