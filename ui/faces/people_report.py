"""What was found in photos of people that were brought, and what is left for a person to say."""

import dataclasses

import streamlit as st

from forget.core.spelling import alike, another, printable, spelling
from forget.core.words import counted
from forget.data import find_dataset
from forget.data.findings import what_is_used
from forget.data.people import Photo
from ui.faces.bringing import Bringing
from ui.faces.input import choose_face, numbered
from ui.shell import limits
from ui.shell.words import plain, told
from ui.widgets.findings import warn_of

ADDED_TO = "faces"
"""The dataset that brought people may join."""


def report(bringing: Bringing) -> None:
    """What was found, before anything is learnt; enrol it or leave it."""
    before = {photo.key for photo in bringing.photos}
    new = [photo for photo in bringing.waiting if photo.key not in before]
    people = {photo.person for photo in new}
    left_out = any(one.photos for one in bringing.findings)
    warn_of(bringing.findings,
            what_is_used(len(new), bringing.findings) if left_out and len(bringing.findings) > 1
            else "")
    _pick_faces(bringing)
    _names_alike(bringing)
    for person in sorted(people & {photo.person for photo in bringing.photos}):
        st.info(f"{plain(person)} is enrolled already; these photos are added.",
                icon=":material/info:")
    for person in sorted(people & set(find_dataset(ADDED_TO).classes)):
        st.info(f"There is a {plain(person)} in the gallery too. Together with the gallery both "
                "count as one person: leave it and choose another name if they are two.",
                icon=":material/info:")
    if new:
        st.success(f"{counted(len(new), 'photo')} of {counted(len(people), 'person', 'people')} "
                   "can be learnt from.",
                   icon=":material/check:")
    enrol = st.button("Enrol", type="primary", disabled=not new, key="faces.enrol",
                      icon=":material/person_add:")
    leave = st.button("Leave it", key="faces.leave")
    if enrol:
        bringing.photos = bringing.waiting
    if enrol or leave:
        bringing.done()
        st.rerun()


def _pick_faces(bringing: Bringing) -> None:
    """Let a person say which face is meant, and look again."""
    asked, decided = bringing.crowded(decided=False), bringing.crowded(decided=True)
    if decided and st.toggle(
            f"Choose another face in {counted(len(decided), 'photo')} with several",
            key=f"faces.others.{bringing.round}",
            help="By far the largest face of each is taken unless you choose another."):
        asked += decided
    picked = {photo.key: index for photo in asked[:limits.CROWDS]
              if (index := _picked(bringing, photo)) is not None}
    if len(asked) > limits.CROWDS:
        st.caption(f"{limits.CROWDS} of {len(asked):,} photos with several faces are shown; the "
                   "next ones follow when these have their faces.")
    if picked and st.button("Use these faces", key="faces.pick", icon=":material/face:"):
        bringing.look_at([dataclasses.replace(photo, face=picked.get(photo.key, photo.face))
                          for photo in bringing.given], bringing.notes)
        st.rerun()


def _picked(bringing: Bringing, photo: Photo) -> int | None:
    """The face that a person means in one photo; None before they say so."""
    found = bringing.shown(photo)
    with st.container(border=True):
        index = choose_face(found.faces, f"faces.pick.{photo.key[:16]}",
                            f"which one is {plain(spelling(photo.person))} in "
                            f"“{plain(printable(photo.name))}”?")
        numbered(found, index)
    return index


def _names_alike(bringing: Bringing) -> None:
    """Say which names are nearly those of others, and let a person say that they are one."""
    enrolled = {photo.person for photo in bringing.photos}
    known = [*find_dataset(ADDED_TO).classes, *sorted(enrolled)]
    new = sorted({spelling(photo.person) for photo in bringing.given} - enrolled)
    for place, name in enumerate(new):
        pairs = [(one, another(name, one)) for one in alike(name, known)]
        pairs += [(one, f"{one} and {name} would be two people")
                  for one in alike(name, new[:place])]
        for one, hint in pairs:
            st.info(told(hint), icon=":material/group:")
            if st.button(f"They are one: {plain(one)}", key=f"faces.alike.{name}.{one}"):
                bringing.look_at([dataclasses.replace(photo, person=one)
                                  if spelling(photo.person) == name else photo
                                  for photo in bringing.given], bringing.notes)
                st.rerun()
