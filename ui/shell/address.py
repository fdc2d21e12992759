"""What a page's address asks for: whoever wrote the link may have written anything.

Widgets that stand in the address are bound to it here and nowhere else.
"""

from collections.abc import Callable, Collection
from typing import Any

import streamlit as st

from ui.shell.words import plain

Fits = Callable[[str], bool]

LONGEST = 40
"""Letters of what was asked for that are shown."""


def in_address(key: str, label: str, fits: Fits, several: bool = False) -> dict[str, Any]:
    """The key of a widget whose value stands in the page's address, and its binding to that.

    Where the address asks for what the widget cannot take it is not bound, and so begins as usual:
    Streamlit fails on some such values.  ``fits``: whether the widget can take a text.
    ``several``: whether it takes more than one.
    """
    return {"key": key} | ({"bind": "query-params"} if _taken(key, label, fits, several) else {})


def asked_for(key: str, label: str, options: Collection[str]) -> str | None:
    """The one of some options that the address asks for under this key, None for none of them.

    For a widget that cannot be bound; the page writes to the address itself.
    """
    return st.query_params.get(key) if _taken(key, label, one_of(options)) else None


def one_of(options: Collection[str]) -> Fits:
    return lambda text: text in options


def whole_number(low: int, high: int) -> Fits:
    """
    >>> [text for text in ("3", "3.0", "0", "2.5", "1e309", "nan", "", "x") if
    ...  whole_number(1, 10)(text)]
    ['3', '3.0']
    """
    def fits(text: str) -> bool:
        try:
            number = float(text)
        except ValueError:
            return False
        return number.is_integer() and low <= number <= high

    return fits


def _taken(key: str, label: str, fits: Fits, several: bool = False) -> bool:
    """Whether all that the address asks for under a key can be taken; of a link it is said."""
    asked = st.query_params.get_all(key)
    wrong = [text for text in asked if not fits(text)]
    if several and asked == [""]:  # how an empty choice is written
        wrong = []
    if not several and len(asked) > 1:
        wrong = asked
    first = f"{key}.asked" not in st.session_state  # later on it is the page that wrote there
    st.session_state[f"{key}.asked"] = True
    if wrong and first:
        shown = "".join(sign if sign.isprintable() else "·" for sign in wrong[0][:LONGEST])
        more = "…" if len(wrong[0]) > LONGEST else ""
        st.toast(f"The address asks for “{plain(shown)}{more}” under {label}, which cannot be "
                 "taken: the page opens as usual.", icon=":material/link_off:", duration="long")
    return not wrong
