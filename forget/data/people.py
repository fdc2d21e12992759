"""From photos with names to a dataset; what is wrong with them is said before it is learnt from."""

import contextlib
import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from forget.core.errors import BadImage, BadInput
from forget.core.spelling import MAX_NAME, is_control, printable, sets_alike, spelling
from forget.core.words import counted, listed
from forget.data import Dataset, Samples
from forget.data.findings import Finding, Kind
from forget.faces import Embedded, passed_over
from forget.faces.copies import copies_among
from forget.faces.embed import AnyEmbedder, key_of, the_face_meant, try_embed
from forget.io.files import OnProgress, silent

MIN_PHOTOS = 2
MIN_PEOPLE = 2

EMBEDDED = "embedded"
"""Under this name a private dataset's dictionary keeps what is known of its photos."""

LEFT_OUT = "photos are left out"

COPY = Kind(LEFT_OUT, "they are copies of photos that are kept")
SEVERAL_NAMES = Kind("times the same photo stands under different names",
                     "all are left out, because one of the names must be wrong; keep the right one")
FEW = Kind("people are left out",
           f"fewer than {MIN_PHOTOS} photos of each can be used; add photos")
PASSED_OVER = Kind("photos show several faces",
                   "by far the largest is taken in each; where another one is meant, pick it, or "
                   "cut the photo to that face")


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo of a person, as it came.

    ``name``: the photo's own, for the person who gave it.  ``data``: the file's bytes.  ``face``:
    which of its faces it is, the largest is 0, where a person picked one.
    """

    person: str
    name: str
    data: bytes
    face: int | None = None

    @property
    def key(self) -> str:
        """By what samples made from it know it."""
        return key_of(self.data)

    @property
    def called(self) -> str:
        """How findings name it."""
        name, person = printable(self.name), printable(self.person)
        return f"“{name}”" if name.startswith(f"{person}/") else f"“{name}” of {person}"


@dataclasses.dataclass(frozen=True)
class Usable:
    """A photo that can be learnt from: what was given, and what is known of it, a face chosen."""

    photo: Photo
    known: Embedded


def natural(name: str) -> tuple[str, str]:
    """A key to sort names by, with the numbers in them in their order.

    >>> sorted(["s10", "s9", "s1"], key=natural)
    ['s1', 's9', 's10']
    """
    def number(match: re.Match) -> str:
        digits = match.group().lstrip("0")
        return f"{len(digits):05}{digits}"

    return re.sub("[0-9]+", number, name.casefold()), name


def person_name(text: str) -> str:
    """A person's name in its one spelling: composed letters (NFC), single spaces, none around it.

    Raises :class:`BadInput` for one that is empty, too long or invisible in part.

    >>> person_name("  Zoe\\u0308   Kim ")
    'Zoë Kim'
    """
    name = spelling(text)
    if not name:
        raise BadInput("a person needs a name: give one")
    if len(name) > MAX_NAME:
        raise BadInput(f"the name “{printable(name)[:20]}…” has {len(name)} letters: give one of "
                       f"at most {MAX_NAME}")
    if any(map(is_control, name)):
        raise BadInput(f"the name “{printable(name)}” has control characters in it: type it anew")
    return name


def to_dataset(name: str, photos: Sequence[Photo], embedder: AnyEmbedder, *,
               private: dict[str, Any] | None = None, progress: OnProgress = silent,
               seed: int = 0) -> Dataset:
    """A dataset of rows, a class a person in natural order, and what was wrong with the photos.

    A person's usable photos are put in the order of sha256(f"{seed}:{key}"), where a key is the
    sha256 of a photo's bytes. The first half, rounded down, is tested on; of five photos or more
    the next one is held out; the rest is trained on. Ids are positions in the training part.

    ``private``: what was computed is looked up and kept there, and not on disk.  Raises
    :class:`~forget.core.errors.BadInput` where fewer than two people have two usable photos.
    """
    given = Counter(spelling(photo.person) for photo in photos)
    # Said before a network is fetched to look at them.
    _enough([printable(one) for one, count in given.items() if count >= MIN_PHOTOS], "photos")
    usable, findings = checked(photos, embedder, private=private, progress=progress)
    by_person: dict[str, list[Usable]] = {}
    for one in usable:
        by_person.setdefault(one.photo.person, []).append(one)
    people = sorted(by_person, key=natural)
    _enough(people, "usable photos", findings)
    findings = (*findings, *_alike(people))
    parts = {"test": [], "held_out": [], "train": []}
    for person in people:
        own = sorted(by_person[person],
                     key=lambda one: hashlib.sha256(f"{seed}:{one.known.key}".encode()).digest())
        for part, count in shares(len(own)).items():
            parts[part] += own[:count]
            own = own[count:]
    samples = {part: _samples(those, people, usable[0].known) for part, those in parts.items()}
    return Dataset(name=name, classes=tuple(people), **samples, embedder=embedder.name,
                   findings=findings, given=_keys_given(photos), private=private)


def _keys_given(photos: Sequence[Photo]) -> dict[str, set[str]]:
    """The keys of all photos that came under a name that can be one."""
    keys: dict[str, set[str]] = {}
    for photo in photos:
        with contextlib.suppress(BadInput):
            keys.setdefault(person_name(photo.person), set()).add(photo.key)
    return keys


def _alike(people: list[str]) -> list[Finding]:
    """What is said of people whose names are nearly one."""
    return [Finding(f"{listed([f'“{printable(one)}”' for one in those])} are taken as "
                    f"{len(those)} people; if they are one, give them one name")
            for those in sets_alike(people)]


def _enough(people: list[str], what: str, findings: tuple[Finding, ...] = ()) -> None:
    """Raise where fewer people than can be told apart have enough of something."""
    if len(people) < MIN_PEOPLE:
        who = f"only {people[0]} has" if people else "nobody has"
        raise BadInput(f"{who} {MIN_PHOTOS} {what}, and {MIN_PEOPLE} people are needed to tell "
                       f"them apart: add photos{_first(findings)}")


def shares(count: int) -> dict[str, int]:
    """How many of a person's photos each part gets.

    >>> shares(2), shares(5)
    ({'test': 1, 'held_out': 0, 'train': 1}, {'test': 2, 'held_out': 1, 'train': 2})
    """
    test, held_out = count // 2, int(count >= 5)
    return {"test": test, "held_out": held_out, "train": count - test - held_out}


def _samples(those: list[Usable], people: list[str], like: Embedded) -> Samples:
    index = {person: number for number, person in enumerate(people)}
    return Samples(
        x=_stack([one.known.row for one in those], like.row),
        y=torch.tensor([index[one.photo.person] for one in those], dtype=torch.int64),
        ids=torch.arange(len(those)),
        pictures=_stack([one.known.picture for one in those], like.picture),
        keys=tuple(one.known.key for one in those),
    )


def _stack(tensors: list[Tensor], like: Tensor) -> Tensor:
    """(N, …) of tensors of one shape, also where N is 0."""
    return torch.stack(tensors) if tensors else like.new_empty(0, *like.shape)


def checked(photos: Sequence[Photo], embedder: AnyEmbedder, *,
            private: dict[str, Any] | None = None, progress: OnProgress = silent,
            ) -> tuple[list[Usable], tuple[Finding, ...]]:
    """The photos that can be learnt from, and what there is to say of them and of the others.

    Left out are photos that cannot be read, that show no face, or several of which none is clearly
    the largest and none was picked; the second and further copies of a photo; photos that stand
    under two names; and people with fewer than two usable photos. Where one of several faces is
    clearly the largest and none was picked, that one is taken, and it is said which.
    """
    findings: list[Finding] = []
    named = _named(photos, findings)
    known = {} if private is None else private.setdefault(EMBEDDED, {})
    embedded = try_embed([photo.data for photo in named], embedder, keep=private is None,
                         known=known, progress=progress)
    usable = []
    for photo, one in zip(named, embedded, strict=True):
        try:
            meant = the_face_meant(photo.data, one, photo.face, embedder, known)
            usable.append(Usable(photo, meant))
        except BadImage as error:
            findings.append(_left_out(photo.called, error, error.of_several))
    usable = _without_copies(usable, findings)
    usable = _without_few(usable, Counter(photo.person for photo in named), findings)
    findings += [
        Finding(f"{one.photo.called} {passed_over(one.known.faces, one.known.chosen)}",
                one.photo.called, PASSED_OVER)
        for one in usable if one.photo.face is None and len(one.known.faces) > 1]
    return usable, tuple(findings)


def _left_out(called: str, why: object, of_several: str) -> Finding:
    return Finding(f"{called} is left out: {why}", called, Kind(LEFT_OUT, of_several), photos=1)


def _named(photos: Sequence[Photo], findings: list[Finding]) -> list[Photo]:
    """The photos with their people's names in one spelling each."""
    named, spellings = [], {}
    for photo in photos:
        try:
            person = person_name(photo.person)
        except BadInput as error:
            findings.append(_left_out(f"“{printable(photo.name)}”", error, str(error)))
            continue
        spellings.setdefault(person, {})[photo.person] = None
        named.append(dataclasses.replace(photo, person=person))
    findings += [Finding(" and ".join(f"“{printable(one)}”" for one in ways)
                         + f" are taken as one person, “{person}”")
                 for person, ways in spellings.items() if len(ways) > 1]
    return named


def _without_copies(usable: list[Usable], findings: list[Finding]) -> list[Usable]:
    """Each photo once, and none that stands under two names: one of the two must be wrong."""
    if not usable:
        return []
    pairs = copies_among(torch.stack([one.known.look for one in usable]),
                         torch.tensor([one.known.chosen for one in usable]))
    groups = _groups(pairs, len(usable))
    out = set()
    for group in groups:
        if len({usable[i].photo.person for i in group}) > 1:
            out.update(group)
            called = [usable[i].photo.called for i in group]
            findings.append(Finding(f"{listed(called)} are the same photo under different names: "
                                    f"{SEVERAL_NAMES.why}", called[0], SEVERAL_NAMES, len(group)))
    for i, j in sorted(pairs, key=lambda pair: pair[1]):
        if i not in out and j not in out:
            out.add(j)
            first, second = usable[i].known.key, usable[j].known.key
            findings.append(Finding(
                f"{usable[j].photo.called} is left out: it is "
                f"{'' if first == second else 'nearly '}the same photo as "
                f"{usable[i].photo.called}, which is kept", usable[j].photo.called, COPY, photos=1))
    return [one for i, one in enumerate(usable) if i not in out]


def _groups(pairs: list[tuple[int, int]], count: int) -> list[list[int]]:
    """What hangs together by pairs, each group in order; groups of one are left out."""
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
    _, group_of = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for i in sorted({i for pair in pairs for i in pair}):
        groups.setdefault(int(group_of[i]), []).append(i)
    return list(groups.values())


def _without_few(usable: list[Usable], given: Counter, findings: list[Finding]) -> list[Usable]:
    """Only the people with enough photos, of whom some were given."""
    counts = Counter(one.photo.person for one in usable)
    few = [person for person in sorted(given, key=natural) if counts[person] < MIN_PHOTOS]
    findings += [Finding(f"{person} is left out: {counts[person]} of "
                         f"{counted(given[person], 'photo')} can be used, "
                         f"and {MIN_PHOTOS} are needed; add photos", person, FEW, counts[person])
                 for person in few]
    return [one for one in usable if one.photo.person not in few]


def _first(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return ""
    more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f" ({findings[0]}{more})"
