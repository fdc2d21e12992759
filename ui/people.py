"""The people that a person brings: looked at, reported on, enrolled, kept or deleted."""

import dataclasses
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from forget.data import Dataset, find_dataset
from forget.data.images import read_photo
from forget.device import pick_device
from forget.errors import BadInput
from forget.faces.archive import photos_from_zip
from forget.faces.detect import find_faces
from forget.faces.embed import embed, folder_of
from forget.faces.embedders import find_embedder
from forget.faces.kept import folder, keep, kept_photos
from forget.faces.people import EMBEDDED, Photo, checked, person_name, to_dataset
from forget.spelling import alike, taken_apart
from forget.words import counted
from ui import limits, memory, shared, visitors
from ui.access import enrolment_off, who
from ui.face_input import choose_face
from ui.findings import show_findings
from ui.job_progress import watch_job
from ui.jobs import Job
from ui.originals import Named
from ui.uploads import most_mb, picture_mb
from ui.words import plain, told

ADDED_TO = "faces"
"""The dataset that brought people may join."""


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


@dataclasses.dataclass
class Bringing:
    """What a session is adding: ``photos`` enrolled so far; ``given``: those being looked at, and
    ``waiting``: those of both that can be enrolled, with ``findings`` and ``notes`` on the others.

    ``job``: the looking.  ``result``: never any, as :func:`watch_job` wants to know.  ``round``:
    counts the lookings, so that widgets start anew.  ``private``: what is computed is kept there.
    """

    photos: list[Photo] = dataclasses.field(default_factory=list)
    given: list[Photo] = dataclasses.field(default_factory=list)
    waiting: list[Photo] = dataclasses.field(default_factory=list)
    findings: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    job: Job | None = None
    result: None = None
    round: int = 0
    private: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        memory.memory().watch(visitors.visitor(), self)

    @property
    def held_bytes(self) -> int:
        """Bytes of all these photos, each counted once."""
        return _bytes([*self.photos, *self.given, *self.waiting])

    def look_at(self, photos: list[Photo], notes: list[str], files: Sequence[Any] = ()) -> None:
        """Start looking for faces, copies and people with too few photos.

        ``files``: the uploads that they were read from, which are let go.  Raises
        :class:`~forget.errors.BadInput` where there is no room for them, or for the work.
        """
        memory.check(_bytes([*self.photos, *photos]) - self.held_bytes
                     - sum(file.size for file in files))
        enrolled = {photo.key for photo in self.photos}

        def work(job: Job) -> tuple[list[Photo], list[str]]:
            usable, findings = checked([*self.photos, *photos], find_embedder(),
                                       private=self.private, progress=job.bytes)
            new = [one.photo for one in usable if one.photo.key not in enrolled]
            if len(new) + len(enrolled) > len(usable):
                findings = (*findings, "what is enrolled already stays as it is")
            return [*self.photos, *new], [*notes, *findings]

        self.job = shared.submit(Job("Looking at the photos", work))
        self.given, self.notes = photos, notes
        memory.release(files)

    def collect(self) -> str:
        """Take what the looking found; returns why it failed, if it did."""
        job, self.job = self.job, None
        if job.result is None:
            return job.message
        self.waiting, self.findings = job.result
        self.round += 1
        return ""

    def undecided(self) -> list[Photo]:
        """Photos with several faces, none of them clearly the largest and none picked."""
        known, place = self.private.get(EMBEDDED, {}), folder_of(find_embedder())
        looked = [(photo, known.get((place, photo.key))) for photo in self.given]
        return [photo for photo, one in looked
                if one is not None and one.faces and one.chosen is None and photo.face is None]


def _bytes(photos: Iterable[Photo]) -> int:
    """Of photos in memory, each counted once."""
    return sum(map(len, {id(photo.data): photo.data for photo in photos}.values()))


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
        _report(bringing)
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


def _report(bringing: Bringing) -> None:
    """What was found, before anything is learnt; enrol it or leave it."""
    before = {photo.key for photo in bringing.photos}
    new = [photo for photo in bringing.waiting if photo.key not in before]
    people = {photo.person for photo in new}
    if new:
        st.success(f"{counted(len(new), 'photo')} of {counted(len(people), 'person', 'people')} "
                   "can be learnt from.",
                   icon=":material/check:")
    show_findings(list(map(told, bringing.findings)))
    _pick_faces(bringing)
    for person in sorted(people & {photo.person for photo in bringing.photos}):
        st.info(f"{plain(person)} is enrolled already; these photos are added.",
                icon=":material/info:")
    for person in sorted(people):
        if other := alike(person, [*(one.person for one in bringing.photos),
                                   *find_dataset(ADDED_TO).classes]):
            st.warning(told(taken_apart(person, other)), icon=":material/group:")
    for person in sorted(people & set(find_dataset(ADDED_TO).classes)):
        st.info(f"There is a {plain(person)} in the gallery too. Together with the gallery both "
                "count as one person: leave it and choose another name if they are two.",
                icon=":material/info:")
    enrol = st.button("Enrol", type="primary", disabled=not new, key="faces.enrol",
                      icon=":material/person_add:")
    leave = st.button("Leave it", key="faces.leave")
    if enrol:
        bringing.photos = bringing.waiting
    if enrol or leave:
        bringing.given, bringing.waiting, bringing.findings = [], [], []
        st.rerun()


def _pick_faces(bringing: Bringing) -> None:
    """Let a person say which face is meant, and look again."""
    picked = {}
    for photo in bringing.undecided():
        (found,) = find_faces([read_photo(photo.data)])
        chosen = choose_face(found, f"faces.pick.{photo.key[:16]}",
                             f"Which of the faces in {plain(photo.called)} is it?")
        if chosen is not None:
            picked[photo.key] = chosen
    if picked and st.button("Use these faces", key="faces.pick", icon=":material/face:"):
        bringing.look_at([dataclasses.replace(photo, face=picked.get(photo.key, photo.face))
                          for photo in bringing.given], bringing.notes)
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
    """Raises :class:`~forget.errors.BadInput` where the folder would hold too much."""
    if sum(len(photo.data) for photo in (*kept, *more)) > limits.KEPT_PHOTOS:
        raise BadInput(f"{folder()} would hold over {limits.KEPT_PHOTOS // limits.MB:,} MB: delete "
                       "what is kept there first")
