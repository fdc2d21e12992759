"""Names as people write them: one spelling, how they are shown, and which one may be meant."""

import difflib
import unicodedata
from collections.abc import Iterable

MAX_NAME = 80
"""Letters of a name, and twice as many of one that is shown."""

MAX_PATH = 1024
"""Letters of a path that is shown whole."""

JOINERS = "\u200c\u200d"
"""Invisible signs that words in several scripts, and some emoji, are made with."""

QUOTES = "'\"`´‘’‚“”„«»‹›"


def spelling(text: str) -> str:
    """One spelling for all that look the same: composed letters, single spaces, none around it."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def printable(name: str) -> str:
    """A name as it can be shown: one line, nothing invisible in it, not too long.

    >>> printable("a\\nb")
    'a�b'
    """
    shown = one_line(name)
    return shown if len(shown) <= 2 * MAX_NAME else f"{shown[:2 * MAX_NAME]}…"


def printable_path(path: object) -> str:
    """A path as it can be shown: whole, unless it is longer than any that leads somewhere."""
    shown = one_line(str(path))
    return shown if len(shown) <= MAX_PATH else printable(shown)


def one_line(text: str) -> str:
    """The same with a sign for all that breaks the line, moves the cursor or cannot be seen."""
    return "".join("\ufffd" if is_control(sign) else sign for sign in text)


def is_control(sign: str) -> bool:
    """Whether it is no letter but tells what to do with others, breaks the line, or is no text."""
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign not in JOINERS


def is_text(name: str) -> bool:
    """Whether a file's name can be sent anywhere: some are bytes that stand for no letters.

    >>> is_text("José.pt"), is_text(chr(0xDCFF))
    (True, False)
    """
    return not any(unicodedata.category(sign) == "Cs" for sign in name)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was most likely meant: the same but for case, quotes and accents, or else for
    a few letters; None where none is near.

    >>> nearest("Jose", ["Ana", "José"])
    'José'
    """
    asked, by_core = _core(name), {}
    for one in names:
        by_core.setdefault(_core(one), one)
    found = difflib.get_close_matches(asked, by_core, n=1, cutoff=0.7) if asked else []
    return by_core[found[0]] if found else None


def alike(name: str, known: Iterable[str]) -> list[str]:
    """Those of some names that differ from one in case, accents, width, quotes and spaces only;
    none where the name itself is among them.

    >>> alike("josé  alvarez", ["Ana", "José Álvarez"]), alike("Ana", ["Ana", "ANA"])
    (['José Álvarez'], [])
    """
    known, asked = list(known), _letters(name)
    if not asked or name in known:
        return []
    return [one for one in dict.fromkeys(known) if _letters(one) == asked]


def sets_alike(names: Iterable[str]) -> list[list[str]]:
    """The names of which others are :func:`alike`, together.

    >>> sets_alike(["Ana", "José", "ＪＯＳÉ"])
    [['José', 'ＪＯＳÉ']]
    """
    by_letters: dict[str, list[str]] = {}
    for one in dict.fromkeys(names):
        by_letters.setdefault(_letters(one) or one, []).append(one)
    return [those for those in by_letters.values() if len(those) > 1]


def another(name: str, known: str) -> str:
    """The hint that a name is not the one that may be meant."""
    return f"{known} is known already; {name} would be another person"


def _letters(name: str) -> str:
    """What is left of a name's core without spaces."""
    return _core(name).replace(" ", "")


def _core(name: str) -> str:
    """What is left of a name without case, quotes, accents and what cannot be seen."""
    letters = unicodedata.normalize("NFKD", name[:2 * MAX_NAME].casefold())
    unseen = (sign for sign in letters if is_control(sign) and not sign.isspace())
    passed_over = {*unseen, *QUOTES, *filter(unicodedata.combining, letters)}
    return spelling("".join(sign for sign in letters if sign not in passed_over))
