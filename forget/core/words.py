"""Numbers in words, alike on pages, in reports and on a terminal: what stands side by side agrees.

A count agrees with its noun, and a difference with the two numbers that are shown beside it.
"""

from collections.abc import Sequence


def counted(number: int, noun: str, several: str = "") -> str:
    """A number with its noun, or with all words that depend on it.

    >>> counted(1, "photo"), counted(1200, "photo"), counted(0, "entry", "entries")
    ('1 photo', '1,200 photos', '0 entries')
    >>> counted(1, "run is", "runs are"), counted(2, "run is", "runs are")
    ('1 run is', '2 runs are')
    """
    return f"{number:,} {agreeing(number, noun, several or noun + 's')}"


def agreeing(number: int, one: str, several: str) -> str:
    """The word that goes with a number which stands elsewhere.

    >>> f"{1} of 5 {agreeing(1, 'is', 'are')} left, {3} {agreeing(3, 'waits', 'wait')}"
    '1 of 5 is left, 3 wait'
    """
    return one if number == 1 else several


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names in words, and how many there are beyond the first few.

    >>> listed(["Ana", "Ben"]), listed(["Ana", "Ben", "Carl", "Dora", "Eva"])
    ('Ana and Ben', 'Ana, Ben, Carl and 2 more')
    """
    more = [f"{len(names) - most:,} more"] if len(names) > most else []
    *rest, last = [*names[:most], *more]
    return f"{', '.join(rest)} and {last}" if rest else last


def percent(value: float | None) -> str:
    """
    >>> percent(0.12345), percent(None), percent(-0.0001)
    ('12.3 %', '–', '0.0 %')
    """
    return "–" if value is None else f"{in_percent(value):.1f} %"


def in_percent(share: float, digits: int = 1) -> float:
    """A share as the number of per cent that is shown; never −0.

    >>> in_percent(0.12345), in_percent(-0.0001)
    (12.3, 0.0)
    """
    return round(100 * share, digits) + 0.0


def points_between(share: float | None, other: float | None) -> float | None:
    """One share minus another in percentage points, as :func:`percent` shows both.

    >>> points_between(0.9876, 0.9824), points_between(0.5, None)  # 98.8 % and 98.2 %
    (0.6, None)
    """
    if share is None or other is None:
        return None
    return round(in_percent(share) - in_percent(other), 1) + 0.0


def signed(value: float | None, digits: int = 1) -> str:
    """A difference with its sign, and 0 without one.

    >>> signed(1.26), signed(-0.31), signed(-0.04), signed(None)
    ('+1.3', '−0.3', '0.0', '–')
    """
    if value is None:
        return "–"
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if rounded else ''}.{digits}f}".replace("-", "−")
