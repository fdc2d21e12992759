"""Faces: see whom the model knows, make it forget a person, and see them become a stranger."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from ui.faces.bringing import Bringing
    from ui.faces.input import FACES, GivenPhoto, about_threshold
    from ui.faces.people import choose_people
    from ui.run.gallery import gallery
    from ui.run.session import session
    from ui.run.workbench import forget, get_ready, show_outcome
    from ui.widgets.findings import fold

    held = session(FACES, GivenPhoto)
    if held.given.bringing is None:
        held.given.bringing = Bringing()
    st.markdown("See whom the model knows. Then make it forget a person, and compare it with a "
                "model that was **retrained without them**: to that one they are a stranger.")
    if not get_ready(held, choose_people(held.given.bringing)):
        return
    fold(held.dataset.findings, held.dataset.used)
    st.header("1 Who is in it", divider="gray")
    person = gallery(held)
    _credit(held)
    st.header("2 Show it a face", divider="gray")
    _try(held, person)
    about_threshold(held)
    st.header("3 Make it forget", divider="gray")
    forget(held)
    if held.job or held.result or held.notice:
        st.header("4 See what is left", divider="gray")
        show_outcome(held)


def _credit(held) -> None:
    from forget.data import DATASETS
    from forget.faces.embedders import EMBEDDERS

    embedder, name = EMBEDDERS[held.dataset.embedder], held.dataset.name
    credit = DATASETS[name].credit if name in DATASETS else ""
    st.caption((f"Photos: {credit}. " if credit else "")
               + f"A public network turns each face into {embedder.size} numbers: "
               f"{embedder.title}, which learnt from {embedder.learnt_from}. It is not changed "
               "here; what learns and forgets is the head on those numbers.")


@st.fragment
def _try(held, person: str) -> None:
    """Input on the left, what each model says on the right; another photo redraws this only."""
    from ui.faces.input import answers, photo_input
    from ui.run.workbench import models_of
    from ui.shell.words import plain_errors

    with plain_errors():
        left, right = st.columns([3, 7], gap="large")
        with left:
            photo_input(held, person)
        with right:
            answers(held, models_of(held))


page("Faces", body)
