"""Errors and names in plain words, as pages show them.

Imports nothing slow: the frame of every page needs it.
"""

import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

log = logging.getLogger(__name__)

IN_MEMORY = ("Held in the server's memory and written to no file; let go within three minutes "
             "after this tab is closed.")
"""What becomes of a picture that somebody shows: see :mod:`ui.lifespan`."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show an error as one sentence; an unforeseen one is logged with a number to find it by."""
    from forget.core.errors import ForgetError

    try:
        yield
    except ForgetError as error:
        st.error(told(error), icon=":material/error:")
    except Exception:  # noqa: BLE001 - the last resort of a page: logged, and said in words
        st.error(unforeseen(), icon=":material/error:")


def sentence(error: Exception | str) -> str:
    """An error's message as it is shown: a capital first, a full stop last."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def told(error: Exception | str) -> str:
    """The same for Markdown: it may quote a name or a file's name that would be read as markup."""
    return plain(sentence(error))


JOINER = "\u2060"
"""Has no width. It parts what is read as markup even where its signs are escaped."""

READ_ANYWAY = re.compile(r":(?=[\w/+-])|\bwww(?=\.)", re.IGNORECASE)
"""Where links without brackets, icons, emoji and colours begin."""

BLOCK = re.compile(r"^(\s*)(?:([-+=])|(\d+)([.)]))")
"""What makes a line a list or a rule, or the line before it a heading."""


def plain(name: str) -> str:
    """A name as it is, whatever signs it has that Markdown would read.

    >>> print(plain("[Ana](//x) *1* & co"))
    \\[Ana\\](//x) \\*1\\* \\& co
    """
    escaped = "".join(f"\\{sign}" if sign in r"\`*_[]<>#~$|&" else sign for sign in name)
    parted = READ_ANYWAY.sub(rf"\g<0>{JOINER}", escaped)
    return BLOCK.sub(lambda at: f"{at[1]}{at[3] or ''}\\{at[2] or at[4]}", parted)


def unforeseen() -> str:
    """Log the exception in hand and say how to find it."""
    number = uuid.uuid4().hex[:8]
    log.exception("unforeseen error %s", number)
    return (f"Something went wrong that should not have (number {number}). The server's log has "
            "the details under that number; reload the page to go on.")
