"""The people of a dataset, each with a face to click on, and the photos of one of them."""

import streamlit as st

from forget.data import Samples
from ui.run.forget_form import class_key, usual_class
from ui.run.session import Session
from ui.shell.words import plain
from ui.widgets.portrait import portrait, show_picture

TILES = 60
"""People on one page of the gallery."""

TILE = 76
PARTS = {"train": "Learnt from", "held_out": "Held out for stop rules", "test": "Unseen"}


def gallery(held: Session) -> str:
    """Draw the people and return the one that is chosen: shown here, and asked to be forgotten."""
    names = held.dataset.classes
    wanted = st.text_input("Search", key="faces.search", placeholder="A name, or a part of it",
                           persist_state="session")
    found = [name for name in names if wanted.casefold().strip() in name.casefold()]
    chosen = _chosen(held)
    if not found:
        st.info(f"Nobody here is called “{plain(wanted)}”.", icon=":material/search_off:")
    pages = (len(found) + TILES - 1) // TILES
    number = 1 if pages <= 1 else st.number_input(f"Page of {pages}", 1, pages, 1,
                                                  key="faces.gallery.page")
    with st.container(horizontal=True, gap="small", height=300 if len(found) > 20 else "content"):
        for name in found[(number - 1) * TILES : number * TILES]:
            _person(held, name, name == chosen)
    _photos(held, chosen)
    return chosen


def _chosen(held: Session) -> str:
    """Whose photos are shown, and who stands in the request: one choice.

    It is kept anew in each run, since Streamlit lets go of it where the request names nobody.
    """
    key, names = class_key(held.subject.key), held.dataset.classes
    chosen = st.session_state.get(key)
    if chosen not in names:
        chosen = usual_class(names, held.subject.first)
    st.session_state[key] = chosen
    return chosen


def _choose(key: str, name: str) -> None:
    st.session_state[key] = name


def _person(held: Session, name: str, chosen: bool) -> None:
    row = int((held.dataset.train.y == held.dataset.classes.index(name)).nonzero()[0])
    with st.container(width=TILE + 8, gap=None):
        show_picture(portrait(held.dataset.train.shown(row), TILE), alt=f"A photo of {name}")
        st.button(plain(name), key=f"faces.tile.{name}", type="primary" if chosen else "tertiary",
                  on_click=_choose, args=(class_key(held.subject.key), name), width="stretch")


def _photos(held: Session, name: str) -> None:
    """All photos of one person, by what they are for."""
    st.markdown(f"**{plain(name)}**")
    index = held.dataset.classes.index(name)
    gone = index in held.start.forgotten.classes
    for place, (part, title) in zip(st.columns(len(PARTS)), PARTS.items(), strict=True):
        samples: Samples = getattr(held.dataset, part)
        rows = (samples.y == index).nonzero().flatten().tolist()
        with place:
            st.caption(f"{title}: {len(rows)}"
                       + (" (forgotten)" if gone and part == "train" else ""))
            with st.container(horizontal=True, gap="small"):
                for row in rows:
                    show_picture(portrait(samples.shown(row), TILE), width=TILE,
                                 alt=f"{title}: a photo of {name}")

