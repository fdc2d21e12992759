"""Errors and names in plain words, as pages show them.

Imports nothing slow: the frame of every page needs it.
"""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

log = logging.getLogger(__name__)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show an error as one sentence; an unforeseen one is logged with a number to find it by."""
    from forget.errors import ForgetError

    try:
        yield
    except ForgetError as error:
        st.error(sentence(error), icon=":material/error:")
    except Exception:  # noqa: BLE001 - the last resort of a page: logged, and said in words
        st.error(unforeseen(), icon=":material/error:")


def sentence(error: Exception) -> str:
    """An error's message as it is shown: a capital first, a full stop last."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def plain(name: str) -> str:
    """A name as it is, whatever signs it has that Markdown would read."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>#~$|" else sign for sign in name)


def unforeseen() -> str:
    """Log the exception in hand and say how to find it."""
    number = uuid.uuid4().hex[:8]
    log.exception("unforeseen error %s", number)
    return (f"Something went wrong that should not have (number {number}). The server's log has "
            "the details under that number; reload the page to go on.")
