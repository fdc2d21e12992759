"""What a session is adding to the people it can choose from: photos, and what is known of them."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from forget.data.findings import Finding
from forget.data.people import EMBEDDED, Photo, checked
from forget.faces.detect import Found, find_faces
from forget.faces.embed import folder_of
from forget.faces.embedders import find_embedder
from forget.io.images import read_photo
from ui.faces.input import shrunk
from ui.jobs import shared
from ui.jobs.queue import Job
from ui.shell import memory, visitors

RGB = 3
"""Bytes of a pixel."""


@dataclasses.dataclass
class Bringing:
    """What a session is adding: ``photos`` enrolled so far; ``given``: those being looked at, and
    ``waiting``: those of both that can be enrolled, with ``findings`` and ``notes`` on the others.

    ``job``: the looking.  ``result``: never any, as :func:`watch_job` wants to know.  ``round``:
    counts the lookings, so that widgets start anew.  ``private``: what is computed is kept there.
    ``seen``: photos with several faces as they are shown, by key.
    """

    photos: list[Photo] = dataclasses.field(default_factory=list)
    given: list[Photo] = dataclasses.field(default_factory=list)
    waiting: list[Photo] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    notes: list[Finding] = dataclasses.field(default_factory=list)
    job: Job | None = None
    result: None = None
    round: int = 0
    private: dict[str, Any] = dataclasses.field(default_factory=dict)
    seen: dict[str, Found] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        memory.memory().watch(visitors.visitor(), self)

    @property
    def held_bytes(self) -> int:
        """Bytes of all these photos, each counted once, and of those that are shown."""
        return _bytes([*self.photos, *self.given, *self.waiting]) + sum(
            math.prod(one.photo.size) * RGB for one in list(self.seen.values()))

    def look_at(self, photos: list[Photo], notes: list[Finding], files: Sequence[Any] = ()) -> None:
        """Start looking for faces, copies and people with too few photos.

        ``files``: the uploads that they were read from, which are let go.  Raises
        :class:`~forget.core.errors.BadInput` where there is no room for them, or for the work.
        """
        memory.check(_bytes([*self.photos, *photos]) - self.held_bytes
                     - sum(file.size for file in files))
        enrolled = {photo.key for photo in self.photos}

        def work(job: Job) -> tuple[list[Photo], list[Finding]]:
            usable, findings = checked([*self.photos, *photos], find_embedder(),
                                       private=self.private, progress=job.bytes)
            new = [one.photo for one in usable if one.photo.key not in enrolled]
            if len(new) + len(enrolled) > len(usable):
                findings = (*findings, Finding("what is enrolled already stays as it is"))
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

    def crowded(self, decided: bool) -> list[Photo]:
        """Photos with several faces in which nobody picked one: those in which one is clearly the
        largest, or the others."""
        known, place = self.private.get(EMBEDDED, {}), folder_of(find_embedder())
        looked = [(photo, known.get((place, photo.key))) for photo in self.given]
        return [photo for photo, one in looked if photo.face is None and one is not None
                and len(one.faces) > 1 and (one.chosen is not None) == decided]

    def shown(self, photo: Photo) -> Found:
        """A photo and its faces, to be looked at; looked for once."""
        if photo.key not in self.seen:
            (found,) = find_faces([read_photo(photo.data)])
            self.seen[photo.key] = shrunk(found)
        return self.seen[photo.key]

    def done(self) -> None:
        """Let go of what was looked at."""
        self.given, self.waiting, self.findings, self.seen = [], [], [], {}


def _bytes(photos: Iterable[Photo]) -> int:
    """Of photos in memory, each counted once."""
    return sum(map(len, {id(photo.data): photo.data for photo in photos}.values()))
