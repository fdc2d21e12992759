"""The people that a person brings: looked at, reported on, enrolled, kept or deleted."""

import dataclasses
import shutil
from collections.abc import Iterable
from typing import Any

import streamlit as st

from forget.core.device import pick_device
from forget.core.errors import BadInput
from forget.core.words import counted
from forget.data import Dataset, find_dataset
from forget.data.archive import photos_from_zip
from forget.data.kept import folder, keep, kept_photos
from forget.data.people import EMBEDDED, Photo, person_name, to_dataset
from forget.faces.embed import embed
from forget.faces.embedders import find_embedder
from ui.faces.bringing import Bringing
from ui.faces.people_report import ADDED_TO, report
from ui.jobs import shared
from ui.jobs.progress import watch_job
from ui.jobs.queue import Job
from ui.run.originals import Named
from ui.shell import limits, memory, visitors
from ui.shell.access import enrolment_off, who
from ui.shell.uploads import most_mb, picture_mb
from ui.shell.words import plain, told


@dataclasses.dataclass(frozen=True)
class Lent:
    """People that a person brought, for one session: nothing made from them is written.

    ``photos``: theirs.  ``joined``: whether they join the people of the gallery.  ``private``: what
    is computed from them is kept there.
    """

    photos: tuple[Photo, ...]
    joined: bool
    private: dict[str, Any] = dataclasses.field(compare=False, default_factory=dict)

    def ready(self) -> bool:
        """A job of its own makes it: it is in nobody's cache."""
        return False

    def fetch(self, watch: Job) -> Dataset:
        """The dataset of these people."""
        photos, embedder = list(self.photos), find_embedder()
        if self.joined:
            others, _ = find_dataset(ADDED_TO).read(watch.bytes)
            embed([photo.data for photo in others], embedder, keep=True, progress=watch.bytes,
                  known=self.private.setdefault(EMBEDDED, {}))
            photos = [*others, *photos]
        return to_dataset("people", photos, embedder, private=self.private,
                          progress=watch.bytes).to(pick_device())

    def photo(self, key: str) -> bytes:
        """The file behind a sample."""
        own = {photo.key: photo.data for photo in self.photos}
        return own[key] if key in own else shared.photos(ADDED_TO)[key]

    def erase(self, keys: Iterable[str]) -> None:
        """Forget what was computed from photos, in memory and, for kept ones, on disk."""
        gone, known = set(keys), self.private.get(EMBEDDED, {})
        for place in [place for place in known if place[1].partition("/")[0] in gone]:
            del known[place]
        find_dataset(ADDED_TO).erase(gone)


def choose_people(bringing: Bringing) -> Named | Lent:
    """Bring people, where that is on, and choose whom the model is about."""
    if who().may_enrol:
        with st.popover("People", icon=":material/group_add:"):
            _bring(bringing)
    else:
        enrolment_off()
    brought = tuple(bringing.photos)
    names = sorted({photo.person for photo in brought})
    choices = {find_dataset(ADDED_TO).title: Named(ADDED_TO)}
    if find_dataset("lfw").here():
        choices[find_dataset("lfw").title] = Named("lfw")
    if names:
        choices |= {
            f"AT&T and {len(names)} brought": Lent(brought, True, bringing.private),
            f"Only the {len(names)} brought": Lent(brought, False, bringing.private),
        }
    if len(choices) == 1:
        return next(iter(choices.values()))
    label = st.segmented_control("Who", list(choices), default=list(choices)[-2 if names else 0],
                                 required=True, key=f"faces.who.{len(brought)}", wrap=True,
                                 persist_state="session")
    return choices[label]


def _bring(bringing: Bringing) -> None:
    st.markdown("Add people to the gallery. Unless you ask to keep them, their photos are held in "
                "the server's memory only, and let go within three minutes after this tab is "
                "closed.")
    if bringing.job is not None and not bringing.job.over:
        watch_job(bringing)
        return
    if bringing.job is not None and (failed := bringing.collect()):
        st.error(failed, icon=":material/error:")
    if bringing.waiting or bringing.findings:
        report(bringing)
        return
    _one_person(bringing)
    _many_people(bringing)
    _brought(bringing)


def _one_person(bringing: Bringing) -> None:
    with st.form(f"faces.bring.{bringing.round}"):
        name = st.text_input("Name", max_chars=80, placeholder="Who is it?")
        files = st.file_uploader("Photos of this person, two at least and better five",
                                 accept_multiple_files=True, max_upload_size=picture_mb())
        if st.form_submit_button("Look at them", icon=":material/search:"):
            try:
                person = person_name(name)
                if not files:
                    raise BadInput("no photos were given: choose some first")
                bringing.look_at([Photo(person, file.name, file.getvalue()) for file in files], [],
                                 files)
            except BadInput as error:
                st.error(told(error), icon=":material/error:")
                return
            st.rerun()


def _many_people(bringing: Bringing) -> None:
    file = st.file_uploader("Or a zip with a folder of photos a person", type=["zip"],
                            max_upload_size=most_mb(), key=f"faces.zip.{bringing.round}",
                            help=f"At most {most_mb()} MB. If there is more, bring several zips "
                            "one after the other: people and photos are added.")
    if file is not None and st.button("Look at the zip", icon=":material/folder_zip:",
                                      key="faces.zip.look"):
        try:
            most = memory.memory().left(visitors.visitor())
            photos, notes = photos_from_zip(file.getvalue(), most)
            if not photos and not notes:
                raise BadInput("this zip holds no photos: put a folder for each person into it")
            bringing.look_at(photos, notes, [file])
        except BadInput as error:
            st.error(told(error), icon=":material/folder_off:")
            return
        st.rerun()


def _brought(bringing: Bringing) -> None:
    """Those who are enrolled, those who are kept, and ways out for both."""
    local = who().local  # who else has signed in must not find what was kept here
    kept = kept_photos() if local else []
    if kept:
        people = {photo.person for photo in kept}
        st.caption(f"Kept on this machine: {counted(len(kept), 'photo')} of "
                   f"{counted(len(people), 'person', 'people')}, in "
                   f"{folder()}.")
        with st.container(horizontal=True):
            if st.button("Bring them in", key="faces.kept.load", icon=":material/upload:"):
                bringing.look_at(kept, [])
                st.rerun()
            if st.button("Delete them", key="faces.kept.delete", icon=":material/delete:"):
                shutil.rmtree(folder())
                st.rerun()
    for person in sorted({photo.person for photo in bringing.photos}):
        count = sum(photo.person == person for photo in bringing.photos)
        if st.button(f"Remove {plain(person)} ({counted(count, 'photo')})",
                     icon=":material/person_remove:", key=f"faces.remove.{person}"):
            bringing.photos = [photo for photo in bringing.photos if photo.person != person]
            st.rerun()
    if local and bringing.photos and st.button(
            "Keep them on this machine", icon=":material/save:", key="faces.keep",
            help=f"Copies the photos into {folder()}, readable by you only. They can be deleted "
            "here at any time."):
        _check_kept(kept, bringing.photos)
        keep(bringing.photos)
        st.rerun()


def _check_kept(kept: list[Photo], more: list[Photo]) -> None:
    """Raises :class:`~forget.core.errors.BadInput` where the folder would hold too much."""
    if sum(len(photo.data) for photo in (*kept, *more)) > limits.KEPT_PHOTOS:
        raise BadInput(f"{folder()} would hold over {limits.KEPT_PHOTOS // limits.MB:,} MB: delete "
                       "what is kept there first")
