"""The frame of every page: configuration, navigation, and loading.

Imports nothing slow, so the first page stands while PyTorch still loads behind it.
"""

import atexit
import gc
import importlib
import threading
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from ui.shell.words import plain_errors

PAGES = Path(__file__).parent.parent / "pages"
ICON = Path(__file__).parent / "icon.png"
FRAMED = "framed"


def navigate():
    """Configure the page and build the navigation; returns the page to run."""
    st.set_page_config(page_title="Forget", page_icon=str(ICON), layout="wide")
    st.session_state[FRAMED] = True
    return st.navigation([
        st.Page(PAGES / "digits.py", title="Digits", icon=":material/draw:", default=True),
        st.Page(PAGES / "faces.py", title="Faces", icon=":material/face:"),
        st.Page(PAGES / "compare.py", title="Compare", icon=":material/compare:"),
        st.Page(PAGES / "audit.py", title="Audit", icon=":material/policy:"),
        st.Page(PAGES / "teach.py", title="Teach", icon=":material/school:"),
        st.Page(PAGES / "forget_me.py", title="Forget me", icon=":material/person_off:"),
        st.Page(PAGES / "ledger.py", title="Ledger", icon=":material/receipt_long:"),
        st.Page(PAGES / "models.py", title="Models and data", icon=":material/database:",
                url_path="models"),
    ], position="top")


def page(title: str, body: Callable[[], None]) -> None:
    """Show one page: its title at once, its body when the library has loaded.

    On a cold server the first deep link runs the page's file alone, without app.py; naming the
    pages once and running again brings the whole app.
    """
    if not st.session_state.get(FRAMED):
        navigate()
        st.session_state[FRAMED] = True
        st.rerun()
    st.title(title)
    from ui.shell.access import guard  # after the title: it stands first
    from ui.shell.memory import welcome

    guard()
    welcome()
    warm = warm_up()
    if not warm.done.is_set():
        _wait_for(warm)
        return
    with plain_errors():
        if warm.error is not None:
            raise warm.error
        body()
        from ui.jobs.leaving import ask_before_leaving

        ask_before_leaving()


class WarmUp:
    """Imports the library and runs one forward pass, in the background, once a server."""

    def __init__(self):
        self.done = threading.Event()
        self.error: Exception | None = None
        threading.Thread(target=self._load, name="warm-up", daemon=True).start()

    def _load(self) -> None:
        try:
            from forget.unlearning.warm import warm

            warm()
            importlib.import_module("ui.run.workbench")  # with the charts' library
            # After every run of a page Streamlit collects garbage, and half a million objects of
            # the libraries cost 0.3 s each time, in which nothing else runs. They never go.
            gc.collect()
            gc.freeze()
            atexit.register(gc.unfreeze)  # or libraries complain of leaks when the server stops
        except Exception as error:  # noqa: BLE001 - shown on the page by its reader
            self.error = error
        finally:
            self.done.set()


@st.cache_resource(show_spinner=False)
def warm_up() -> WarmUp:
    return WarmUp()


@st.fragment(run_every=1)
def _wait_for(warm: WarmUp) -> None:
    if warm.done.is_set():
        st.rerun()
    st.info("Loading PyTorch. This takes some seconds when the server has just started.",
            icon=":material/hourglass_top:")
