"""Choose what to forget: a class, random samples, or samples picked from a gallery."""

from collections.abc import Sequence

import streamlit as st
import torch

from ui.run.method_form import usual
from ui.run.session import Session
from ui.shell.words import plain
from ui.widgets.portrait import show_picture

PAGE_SIZE = 24
FEW_CLASSES = 12
"""Up to so many are shown as buttons; more are looked for in a list."""


def choose_request(held: Session) -> str | None:
    """The request's SPEC as the person set it, or None while nothing is picked."""
    subject = held.subject
    kinds = {f"A {subject.one}": _class, f"Random {subject.samples}": _random,
             f"{subject.samples.capitalize()} I pick": _picked}
    kind = st.segmented_control("What to forget", list(kinds), default=next(iter(kinds)),
                                key=f"{subject.key}.kind", required=True, persist_state="session",
                                wrap=True)
    return kinds[kind](held)


def choose_class(label: str, names: Sequence[str], first: str, key: str) -> str:
    """One class of a few, as buttons, or of many, in a list that can be searched."""
    if len(names) <= FEW_CLASSES:
        return st.pills(label, names, default=usual(key, first, names), required=True, key=key,
                        format_func=plain, persist_state="session", wrap=True)
    if st.session_state.get(key) not in names:
        st.session_state[key] = first
    return st.selectbox(label, names, key=key, persist_state="session")


def usual_class(names: Sequence[str], first: int) -> str:
    """The class asked for at first: number ``first``, or the last of fewer."""
    return names[min(first, len(names) - 1)]


def class_key(page: str) -> str:
    """Where a session keeps the class that is chosen: to be forgotten, and to be looked at."""
    return f"{page}.class"


def _class(held: Session) -> str | None:
    subject, dataset = held.subject, held.dataset
    name = choose_class(f"{subject.one.capitalize()} to forget", dataset.classes,
                        usual_class(dataset.classes, subject.first), class_key(subject.key))
    index = dataset.classes.index(name)
    if index in held.start.forgotten.classes:
        st.info(f"{plain(name)} is forgotten already: choose another {subject.one} to forget.",
                icon=":material/check:")
        return None
    count = int((dataset.train.y == index).sum())
    st.caption(f"All {count:,} training {subject.samples} of {plain(name)}.")
    return f"class:{name}"


def _random(held: Session) -> str:
    most = len(held.dataset.train) // 2
    count = st.number_input("How many", 1, most, min(100, most // 10 + 1),
                            key=f"{held.subject.key}.count", persist_state="session",
                            help="Drawn from the training set with the model's seed.")
    return f"random:{count}"


def _picked(held: Session) -> str | None:
    subject, page, train = held.subject, held.subject.key, held.dataset.train
    already = held.start.forgotten
    picked: set[int] = st.session_state.setdefault(f"{page}.picked", set())
    picked -= set(already.ids.tolist())
    names = held.dataset.classes
    label = choose_class(f"Show {subject.samples} of", names, usual_class(names, subject.first),
                         class_key(page))
    gone = torch.zeros(len(train), dtype=torch.bool)
    gone[already.ids] = True
    rows = ((train.y.cpu() == names.index(label)) & ~gone).nonzero().flatten()
    if not len(rows):
        st.info(f"No {subject.samples} of {plain(label)} are left.")
        return _picked_spec(held, picked)
    pages = (len(rows) + PAGE_SIZE - 1) // PAGE_SIZE
    number = 1 if pages == 1 else st.number_input(
        f"Page of {pages:,}", 1, pages, 1, key=f"{page}.gallery.page.{label}",
        persist_state="session")
    with st.container(horizontal=True, gap="small"):
        for row in rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE].tolist():
            _tile(held, row, picked)
    return _picked_spec(held, picked)


def _tile(held: Session, row: int, picked: set[int]) -> None:
    page = held.subject.key
    with st.container(width=76, gap="small"):
        show_picture(held.subject.picture(held.dataset.train.shown(row), 72),
                     alt=f"Training {held.subject.sample} {row}")
        if st.checkbox(f"{row}", value=row in picked, key=f"{page}.pick.{row}"):
            picked.add(row)
        else:
            picked.discard(row)


def _picked_spec(held: Session, picked: set[int]) -> str | None:
    if not picked:
        st.caption(f"Tick the {held.subject.samples} to forget; their numbers are their places in "
                   "the training set.")
        return None
    st.caption(f"{len(picked)} picked: {', '.join(map(str, sorted(picked)))}")
    return "samples:" + ",".join(map(str, sorted(picked)))


def choose_references(page: str) -> int:
    """The number of retrained models to compare with."""
    return st.number_input("Retrained models to compare with", 1, 10, 1, key=f"{page}.references",
                           persist_state="session",
                           help="Each is trained from scratch without the data, with another "
                           "seed. With two or more, their spread says how much difference is "
                           "only chance.")
