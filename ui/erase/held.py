"""What is held about a contributor: samples, models, photos, entries, requests; and the search."""

from pathlib import PurePath

import streamlit as st
from PIL import Image

from forget.core.words import counted
from forget.data.kept import kept_people
from forget.data.people import spelling
from forget.records import bases, requests
from forget.records.bases import Base
from forget.records.contributions import Kept, contributors, held_ids
from forget.records.database import MODELS
from forget.records.trace import Held, Hit
from ui.erase.work import Working, searching, show_work
from ui.shell.access import who
from ui.shell.words import plain
from ui.widgets.portrait import portrait, show_picture

SEARCH = "search"
TILE = 76
TILES = 60
"""Samples on one page."""


def choose_contributor(held: Working) -> str | None:
    """Whose data the page is about: who signed in, or anybody on this machine; None for nobody."""
    access = who()
    if access.user is not None:
        name = spelling(access.user)
        st.markdown(f"You are signed in as **{plain(name)}**.")
        return name
    return _chosen(held, tuple(sorted(_names(), key=str.casefold)))


def _names() -> set[str]:
    return {one.name for one in contributors()} | kept_people()


def still_held(held: Working, there: Held | None) -> bool:
    """Whether everybody who can be picked, and each sample that is shown, is there yet."""
    shown = set() if there is None else {one.id for one in there.samples}
    return set(held.names) <= _names() and shown <= held_ids()


def _chosen(held: Working, names: tuple[str, ...]) -> str | None:
    """Pick one of the names; nobody is picked until somebody is. Other names make another widget:
    in the browser the old one would go on showing who was forgotten, and the name would stay in
    this tab."""
    if names != held.names:
        before = st.session_state.pop(_picker(held), None)
        held.names, held.lists = names, held.lists + 1
        if before not in names:
            held.another()
        if before in names:
            st.session_state[_picker(held)] = before
    return st.selectbox("Contributor", names, None, key=_picker(held), persist_state="session",
                        placeholder="Choose whose data to show", width=320,
                        on_change=held.another) if names else None


def _picker(held: Working) -> str:
    return f"forget_me.contributor.{held.lists}"


def nobody(held: Working, name: str | None) -> None:
    """Said where nobody is chosen, or nothing is held."""
    if name is None and held.names:
        st.info("Choose a contributor to see what is held about them.",
                icon=":material/person_search:")
        return
    whom = "anybody" if name is None else "you"
    st.info(f"Nothing is held about {whom}. To try it, open **Teach**, give a few drawings or "
            "photos under a name, and let the model learn them. Then come back to have all of it "
            "forgotten.", icon=":material/person_off:")


def show_held(held: Working, there: Held) -> None:
    """Everything that the records say, and a search that believes nothing."""
    for base in bases.BASES.values():
        if of_base := [one for one in there.samples if one.base == base.name]:
            _samples(base, of_base)
    _elsewhere(there)
    _waiting(there)
    _search(held, there)


def day(at: str) -> str:
    """
    >>> day("2026-11-23T06:40:55.123+00:00")
    '2026-11-23 06:40 UTC'
    """
    return f"{at[:10]} {at[11:16]} UTC"


def _samples(base: Base, those: list[Kept]) -> None:
    st.markdown(f"**{base.title}: {counted(len(those), base.one)}**")
    pages = (len(those) + TILES - 1) // TILES
    number = 1 if pages == 1 else st.number_input(f"Page of {pages}", 1, pages, 1,
                                                  key=f"forget_me.page.{base.name}")
    with st.container(horizontal=True, gap="small", height=320 if len(those) > 24 else "content"):
        for one in those[(number - 1) * TILES : number * TILES]:
            with st.container(width=TILE + 20, gap=None):
                show_picture(_picture(one), alt=f"A {base.one} labelled {one.label}")
                st.caption(f"{plain(one.label)}  \n{one.added[:10]}")
    st.caption(_kept_of_each(base, those[0]))


def _picture(one: Kept) -> Image.Image:
    """A digit dark on light as people write, or a face."""
    if one.picture.dim() == 3:
        return portrait(one.picture, TILE)
    return Image.fromarray(255 - one.picture.numpy()).resize((TILE, TILE),
                                                             Image.Resampling.NEAREST)


def _kept_of_each(base: Base, one: Kept) -> str:
    rows, columns = one.picture.shape[-2:]
    what = (f"its {rows} x {columns} pixels" if one.x.dim() == 3 else
            f"the aligned face as a picture of {rows} x {columns} pixels, and its embedding, the "
            f"{one.x.numel():,} numbers that the model reads; not the {base.one} itself")
    return (f"Kept of each {base.one}: {what}. With it stand its label, the time when it was "
            "added, and a hash of its bytes.")


def _elsewhere(there: Held) -> None:
    """Models, kept photos and entries: what there is beside the samples."""
    lines = []
    for file, number in there.models.items():
        own = sum(one.base == base_of(file) for one in there.samples)
        of_them = ("it" if own == 1 else f"all {own} of them" if number == own else
                   f"{number} of these {own}")
        lines.append(f"- **The model of {bases.BASES[base_of(file)].title} learnt from "
                     f"{of_them}**: `{MODELS}/{file}`")
    if there.samples and not there.models:
        lines.append("- **No model has learnt from them** yet.")
    if there.samples:
        lines.append("- **No run, no audit and no model of another page**: what is given on Teach "
                     "is learnt by its one model only. The search goes through every file.")
    if there.photos:
        lines.append(f"- **{counted(len(there.photos), 'file')} kept on disk** under this name, "
                     "in the folder people/.")
    if there.entries:
        numbers = ", ".join(map(str, there.entries))
        lines.append(f"- **The ledger's entries about them**: {numbers}. They hold neither the "
                     "name nor the data, and stay; that they are about this contributor can no "
                     "longer be told once all is forgotten.")
    if lines:
        st.markdown("\n".join(lines))


def base_of(file: str) -> str:
    """The base of a model's file.

    >>> base_of("mnist-00ff00ff00ff00ff.safetensors")
    'mnist'
    """
    return file.rpartition("-")[0]


def _waiting(there: Held) -> None:
    for one in requests.waiting() if there.waiting else ():
        if one.contributor == there.name:
            st.info(f"A request to forget these {one.base.one}s waits already, since "
                    f"{day(one.asked_at)}.", icon=":material/hourglass_top:")


def _search(held: Working, there: Held) -> None:
    show_work(held, SEARCH)
    if st.button("Search the data folder", icon=":material/search:", key="forget_me.search",
                 disabled=held.busy, help="Goes through the bytes of every file and looks for "
                 "pieces of the samples, their embeddings and pictures, their hashes, and the "
                 "name. Takes some seconds."):
        held.submit(searching(there.name), SEARCH)
        st.rerun()
    if held.searched is not None and held.searched.name == there.name:
        _found(held.searched.hits)


def _found(hits: tuple[Hit, ...]) -> None:
    files = len({hit.file for hit in hits})
    if not hits:
        st.success("The search went through every file and found nothing.",
                   icon=":material/check_circle:")
        return
    st.markdown(f"Found in **{counted(files, 'file')}**:")
    show_hits(hits)


def show_hits(hits: tuple[Hit, ...]) -> None:
    """Files and what was found in each, a line a file."""
    by_file: dict[str, list[str]] = {}
    for hit in hits:
        by_file.setdefault(hit.file, []).append(hit.what)
    st.table([{"File": plain(_place(file)), "Holds": ", ".join(what)}
              for file, what in by_file.items()], hide_index=True, border="horizontal",
             alt="Files of the data folder and what they hold of the contributor")


def _place(file: str) -> str:
    """Where a file lies; whose folder of kept photos it is, only this machine reads."""
    path = PurePath(file)
    hidden = len(path.parts) > 2 and path.parts[0] == "people" and not who().local
    return f"people/…/{path.name}" if hidden else file
