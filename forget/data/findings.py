"""What was wrong with files that were given: each thing in a sentence, many things in a few."""

import dataclasses
from collections.abc import Sequence

from forget.core.words import agreeing, counted, listed


@dataclasses.dataclass(frozen=True)
class Kind:
    """What several findings have in common, as it is said of all of them.

    ``are``: what they are and what became of them, after their number.  ``why``: the reason.
    """

    are: str
    why: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing about files that were given.

    ``words``: the whole sentence.  ``about``: what it is about, in a few words.  ``kind``: under
    which it goes with others, None where it stands alone.  ``photos``: how many it leaves out.

    >>> str(Finding("“sky.png” of Ana is left out: no face was found in it", photos=1))
    '“sky.png” of Ana is left out: no face was found in it'
    """

    words: str
    about: str = ""
    kind: Kind | None = None
    photos: int = 0

    def __str__(self) -> str:
        return self.words


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings by kind, in the order of each kind's first."""
    groups: dict[Kind | int, list[Finding]] = {}
    for place, one in enumerate(findings):
        groups.setdefault(place if one.kind is None else one.kind, []).append(one)
    return list(groups.values())


def in_short(group: Sequence[Finding]) -> str:
    """One sentence on findings of one kind, with a few examples.

    >>> kind = Kind("photos are left out", "no face was found in them")
    >>> in_short([Finding("", f"“{number}.png”", kind) for number in range(5)])
    '5 photos are left out (“0.png”, “1.png”, “2.png” and 2 more): no face was found in them'
    """
    first = group[0]
    if len(group) == 1:
        return first.words
    examples = listed([one.about for one in group])
    return f"{len(group):,} {first.kind.are} ({examples}): {first.kind.why}"


def what_is_used(used: int, findings: Sequence[Finding]) -> str:
    """What became of all photos: ``used`` of them, and those that the findings leave out.

    >>> what_is_used(41, [Finding("", photos=18), Finding("", photos=1)]), what_is_used(5, [])
    ('41 of 60 photos are used; 19 are left out', 'all 5 photos are used')
    """
    out = sum(one.photos for one in findings)
    if not out:
        return "the photo is used" if used == 1 else f"all {used:,} photos are used"
    return (f"{used:,} of {counted(used + out, 'photo')} {agreeing(used, 'is', 'are')} used; "
            f"{out:,} {agreeing(out, 'is', 'are')} left out")
