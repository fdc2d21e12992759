"""Tables as CSV that a spreadsheet opens without calculating anything."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

FORMULA = tuple("=+-@\t＝＋－＠")
"""What a cell begins with that a spreadsheet takes for a formula."""


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV; None is an empty cell.

    A text that would be a formula gets an apostrophe in front, as OWASP advises
    (https://owasp.org/www-community/attacks/CSV_Injection); numbers stay numbers.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # the writer would leave it bare, and it ends a row
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA) else value
