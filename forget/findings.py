"""What was wrong with files that somebody gave: sentences, and in brief a line a kind."""

import re
from collections.abc import Iterable

FILE = r"“[^”]*”(?: of [^:,]+?(?= is left out|,|$))?"
PARTICULAR = re.compile(
    rf"(?:{FILE}|\d+ more)(?:(?:, | and )(?:{FILE}|\d+ more))*|^[^“:]+(?= is left out: \d)|\d+")
"""What differs in two sentences that say the same: names of files and people, and numbers."""


def by_kind(findings: Iterable[str]) -> list[list[str]]:
    """The sentences, those together that say the same of different files.

    >>> by_kind(["“a.png” of Ann is left out: no face", "Ben is left out: 0 of 1 photo",
    ...          "“b.png” of Ben is left out: no face"])
    [['“a.png” of Ann is left out: no face', '“b.png” of Ben is left out: no face'],
     ['Ben is left out: 0 of 1 photo']]
    """
    kinds: dict[str, list[str]] = {}
    for finding in findings:
        kinds.setdefault(PARTICULAR.sub("…", finding), []).append(finding)
    return list(kinds.values())


def in_brief(findings: Iterable[str]) -> list[str]:
    """A line a kind: the first of its sentences, and how many more there are like it.

    >>> in_brief(["“a.png” is left out: no face", "“b.png” is left out: no face"])
    ['“a.png” is left out: no face (and 1 more like it)']
    """
    return [first + (f" (and {len(more):,} more like it)" if more else "")
            for first, *more in by_kind(findings)]
