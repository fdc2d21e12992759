"""What the page Teach keeps in one browser tab for one base: the pile, the job, what was learnt."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import streamlit as st
import torch

from forget.core.errors import BadImage, BadInput, ManyFaces
from forget.core.words import agreeing
from forget.data.findings import Finding, Kind
from forget.data.people import printable
from forget.faces.detect import Found, find_faces
from forget.faces.embedders import find_embedder
from forget.io.files import Progress
from forget.io.images import read_photo
from forget.io.paths import downloads
from forget.learners import Learner
from forget.metrics.accuracy import predict
from forget.records import lineage, taught
from forget.records.bases import Base, Faces, Given
from forget.records.contributions import GONE as FORGOTTEN
from forget.records.contributions import Kept, add, held_ids, kept, unasked
from forget.records.database import NAME
from forget.records.lineage import Live
from forget.records.taught import Taught
from ui.jobs import shared
from ui.jobs.queue import Holder, Job
from ui.shell import limits, memory, visitors
from ui.widgets.canvas import Pad

NOTHING_READ = "Cancelled. Nothing was added; the files are still chosen."
NOT_FETCHED = "Stopped before the data were ready."
NOTHING_KEPT = "Cancelled. Nothing was kept, and the model is as it was."
NOT_LEARNT = ("Cancelled. The model is as it was. What you gave **is kept** and not learnt yet: "
              "press Teach to go on, or have it deleted under “Forget me”.")
RGB = 3
"""Bytes of a pixel."""

GONE = ("Something that was learnt here was forgotten meanwhile, so its result and its models are "
        "gone from this tab too.")
OTHERS = "somebody whom others taught"
"""Shown in place of a label that only other contributors gave."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file as it came. ``face``: which of its faces is meant, where a person picked one.
    ``upload``: as Streamlit holds it, until it was read."""

    name: str
    data: bytes
    face: int | None = None
    upload: Any = dataclasses.field(default=None, compare=False)

    @property
    def called(self) -> str:
        """How sentences name it."""
        return f"“{printable(self.name)}”"


@dataclasses.dataclass(frozen=True)
class Crowd:
    """A photo with several faces, of which a person has to pick one."""

    file: File
    found: Found


@dataclasses.dataclass(frozen=True)
class Looked:
    """What reading files gave: samples, photos with several faces, and what is said of each that is
    neither. ``label``: what they show, None where they are only tried."""

    label: str | None
    given: list[Given]
    crowds: list[Crowd]
    problems: list[Finding]


@dataclasses.dataclass(frozen=True)
class Piled:
    """A sample that waits to be taught. ``number``: no two of a tab have the same."""

    number: int
    label: str
    given: Given


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one model says of one sample: a probability for each of its classes.

    >>> Answer(("7", "1"), (0.1, 0.9)).says
    '1'
    """

    classes: tuple[str, ...]
    p: tuple[float, ...]

    @property
    def sure(self) -> float:
        """The highest probability."""
        return max(self.p)

    @property
    def says(self) -> str:
        """The most likely class."""
        return self.classes[self.p.index(self.sure)]


@dataclasses.dataclass(frozen=True)
class Said:
    """A sample that was learnt, and what the model said of it before and says now."""

    sample: Kept
    before: Answer
    after: Answer


@dataclasses.dataclass(frozen=True)
class Learnt:
    """What came of one press of Teach. ``said``: the new samples that this person may see.
    ``again``: how many of the pile they had given before, or twice. ``whose``: who may see what
    they gave only; None for somebody who sees all."""

    taught: Taught
    said: list[Said]
    again: int = 0
    whose: str | None = None

    @property
    def ids(self) -> frozenset[int]:
        """Every given sample that one of the two models has learnt."""
        return self.taught.before.samples | self.taught.after.samples


class Reading(Job):
    """A job that reads files. ``tried``: whether they are only shown to the models.
    ``uploads``: as Streamlit holds them."""

    def __init__(self, title, work, files: Sequence[File], tried: bool):
        super().__init__(title, work)
        self.tried = tried
        self.uploads = [file.upload for file in files if file.upload is not None]


class Learning(Job):
    """A job that keeps the pile and lets the model learn it.

    ``added``: how many samples were new, None until they are kept.
    """

    outlives_tab = True

    def __init__(self, title, work, pile: Sequence[Piled]):
        super().__init__(title, work)
        self.pile = tuple(pile)
        self.added: int | None = None


@dataclasses.dataclass
class Lesson(Holder):
    """One base's part of the page.

    ``pile``: what is to be taught; nothing of it is on disk.  ``crowds``: photos whose faces are
    still to be picked, by number, with their label.  ``problems``: what was wrong with the last
    files, and ``unread`` why none was read, under whether they were only tried.  ``pad`` and
    ``try_pad``: the two canvases.  ``round`` and ``tries`` count what was read of either kind, so
    that uploads start anew, and ``count`` what was numbered.  ``tried``: the next one, read.
    ``costs``: seconds that learning
    takes, by recipe and live model.  ``learnt_by``: the live model, and the given samples that it
    learnt.  ``ready``: whether the base's data are there.  ``job``, ``notice`` and ``result`` are
    as of every page.
    """

    base: Base
    pile: list[Piled] = dataclasses.field(default_factory=list)
    crowds: dict[int, tuple[str | None, Crowd]] = dataclasses.field(default_factory=dict)
    problems: dict[bool, list[Finding]] = dataclasses.field(default_factory=dict)
    unread: dict[bool, str] = dataclasses.field(default_factory=dict)
    pad: Pad = dataclasses.field(default_factory=Pad)
    try_pad: Pad = dataclasses.field(default_factory=Pad)
    round: int = 0
    tries: int = 0
    count: int = 0
    tried: Given | None = None
    costs: dict[tuple, float | None] = dataclasses.field(default_factory=dict)
    learnt_by: tuple[int | None, frozenset[int]] = (None, frozenset())
    ready: bool = False
    job: Job | None = None
    notice: str = ""
    result: Learnt | None = None

    def __post_init__(self):
        memory.memory().watch(visitors.visitor(), self)

    @property
    def held_bytes(self) -> int:
        """Bytes of the photos whose faces are to be picked, and of the pile."""
        photos = [crowd for _, crowd in list(self.crowds.values())]
        return (sum(len(one.file.data) + math.prod(one.found.photo.size) * RGB for one in photos)
                + sum(part.nbytes for one in list(self.pile)
                      for part in (one.given.x, one.given.picture)))

    def put(self, label: str, given: Given) -> None:
        """Lay a sample on the pile."""
        self.count += 1
        self.pile.append(Piled(self.count, label, given))

    def take_out(self, number: int) -> None:
        self.pile = [one for one in self.pile if one.number != number]

    def keep(self, newest: Looked | Learnt) -> None:
        if isinstance(newest, Learnt):
            self.result, self.tried = newest, None
            self.try_pad.clear()
            return
        self.round += newest.label is not None
        self.problems = {newest.label is None: newest.problems}
        for crowd in newest.crowds:
            self.count += 1
            self.crowds[self.count] = newest.label, crowd
        for given in newest.given:
            if newest.label is None:
                self.tried = given
            else:
                self.put(newest.label, given)

    @property
    def unsaved(self) -> bool:
        return bool(self.pile or self.crowds)

    def said_of_cancelled(self, job: Job) -> str:
        if isinstance(job, Learning):
            return NOTHING_KEPT if job.added is None else NOT_LEARNT
        return NOTHING_READ if isinstance(job, Reading) else NOT_FETCHED

    def collect(self) -> None:
        """As of every page; what was kept is no longer on the pile, whatever came of the rest."""
        job = self.job
        super().collect()
        if self.job is None and isinstance(job, Learning) and job.added is not None:
            kept_now = {one.number for one in job.pile}
            self.pile = [one for one in self.pile if one.number not in kept_now]
        if self.job is None and isinstance(job, Reading):
            if self.notice:
                self.unread, self.notice = {job.tried: self.notice}, ""
            else:
                memory.release(job.uploads)
        self._let_go()

    def _let_go(self) -> None:
        """Drop a result whose samples somebody had forgotten: its models know them."""
        if not self.still_held():
            self.result, self.tried, self.notice = None, None, GONE

    def still_held(self) -> bool:
        """Whether everything that the result's models learnt is held yet; it may be looked at."""
        return self.result is None or self.result.ids <= held_ids()

    @property
    def changed(self) -> bool:
        """Whether the model became another one since this tab taught it."""
        return lineage.live_row(self.base) != self.result.taught.after.row

    def waiting(self) -> list[Kept]:
        """What was given, by anybody, and is not learnt yet."""
        those, row = unasked(self.base), lineage.live_row(self.base)
        if row != self.learnt_by[0]:
            learnt = row and lineage.live(self.base, lineage.learner_of(self.base)).samples
            self.learnt_by = row, learnt or frozenset()
        return [one for one in those if one.id not in self.learnt_by[1]]

    def cost(self, how: str, learner: Learner) -> float | None:
        """Seconds that learning takes about, None where nothing is known."""
        recipe = how, learner, lineage.live_row(self.base)
        if recipe not in self.costs:
            self.costs[recipe] = taught.expected_seconds(self.base, how, learner)
        return self.costs[recipe]

    def read(self, files: Sequence[File], label: str | None) -> None:
        """Start reading files, each to be a sample of this label, or only to be tried."""
        title = "Looking at the " + agreeing(len(files), self.base.one, f"{self.base.one}s")
        room = limits.CROWDS - len(self.crowds)
        self._submit(Reading(title, lambda job: _look(self.base, files, label, room, job), files,
                             tried=label is None))
        self.tries += label is None

    def learn(self, contributor: str, how: str, learner: Learner, only_own: bool) -> None:
        """Start keeping the pile under a name, and learning all that was given."""
        pile = tuple(self.pile)
        if pile:
            _check_kept()

        def work(job: Learning) -> Learnt:
            if pile:
                job.phase("Keeping what you gave")
                job.added = add(self.base, contributor, [(one.label, one.given) for one in pile])
            done = taught.teach(self.base, how, learner, watch=job)
            whose = contributor if only_own else None
            return Learnt(done, _compared(done, whose), len(pile) - (job.added or 0), whose)

        self._submit(Learning(f"Teaching {self.base.title}", work, pile))

    def fetch(self) -> None:
        """Start getting the base's data."""
        def work(job: Job) -> None:
            self.base.dataset(job.bytes)

        self._submit(Job("Getting the data", work))

    def _submit(self, job: Job) -> None:
        self.problems, self.unread, self.notice = {}, {}, ""
        self.job = shared.submit(job)


def lesson(base: Base) -> Lesson:
    """This tab's."""
    return st.session_state.setdefault(f"teach.{base.name}", Lesson(base))


def _check_kept() -> None:
    """Raises :class:`~forget.core.errors.BadInput` where the database is full."""
    file = downloads() / NAME
    if file.is_file() and file.stat().st_size > limits.KEPT_IN_ALL:
        raise BadInput(f"this server keeps {limits.KEPT_IN_ALL // limits.MB:,} MB of what people "
                       "gave, and has no room for more: ask whoever runs it")


def _look(base: Base, files: Sequence[File], label: str | None, room: int, job: Job) -> Looked:
    """Read files one by one: what is wrong with one is said and does not stop the others.

    ``room``: photos with several faces that can be held.
    """
    if isinstance(base, Faces) and not base.present():
        find_embedder().load(job.bytes)
    looked = Looked(label, [], [], [])
    for place, file in enumerate(files):
        job.bytes(Progress(f"Looking at the {base.one}s", place, len(files), base.one))
        try:
            one = _read(base, file)
            if isinstance(one, Crowd) and len(looked.crowds) >= room:
                raise ManyFaces("it shows several people; pick the faces in the photos before it, "
                                "and give it again")
        except BadImage as error:
            looked.problems.append(Finding(f"{file.called} is left out: {error}", file.called,
                                           Kind("files are left out", error.of_several), 1))
            continue
        (looked.crowds if isinstance(one, Crowd) else looked.given).append(one)
    job.check()
    return looked


def _read(base: Base, file: File) -> Given | Crowd:
    if isinstance(base, Faces) and file.face is None:
        (found,) = find_faces([read_photo(file.data)])
        if len(found.faces) > 1:
            return Crowd(file, found)
    return base.read(file.data, file.face)


def _compared(done: Taught, whose: str | None) -> list[Said]:
    """The new samples, of one contributor or of all, as the two models see them."""
    new = done.after.samples - done.before.samples
    those = [one for one in kept(done.after.base, whose) if one.id in new]
    if not those:
        return []
    x = torch.stack([one.x for one in those])
    return [Said(*one) for one in zip(
        those, answers(done.before, x, whose), answers(done.after, x, whose), strict=True)]


def answers(live: Live, x: torch.Tensor, whose: str | None) -> list[Answer]:
    """What a model says of each of some inputs (N, …), in labels that this person may see."""
    classes = live.classes if whose is None else _classes_for(live, whose)
    return [Answer(classes, tuple(p)) for p in predict(live.model, x).exp().tolist()]


def _classes_for(live: Live, whose: str) -> tuple[str, ...]:
    """A model's classes without the labels that only other contributors gave."""
    public = {*live.base.dataset().classes, *map(FORGOTTEN.format, range(len(live.classes)))}
    known = public | {one.label for one in kept(live.base, whose)}
    return tuple(name if name in known else OTHERS for name in live.classes)
