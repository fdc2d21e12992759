"""What tabs hold in memory of what people gave: counted by visitor, and refused beyond a limit.

Uploads lie in Streamlit's own store, which takes any number of them from anybody who has a
connection, whether a page asks for files or not: it is asked here first.
"""

import functools
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

import streamlit as st
from starlette.exceptions import HTTPException
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from forget.core.errors import BadInput
from ui.shell import limits, visitors
from ui.shell.turns import HERE, Tab


class Holder(Protocol):
    """What holds photos for one tab. ``held_bytes``: how many bytes."""

    @property
    def held_bytes(self) -> int: ...


class Memory:
    """Bytes by visitor: of uploads, and of what :meth:`watch` was told of."""

    def __init__(self):
        self._uploads: Any = None
        self._visitors: dict[str, str] = {}
        self._holders: list[tuple[str, weakref.ref[Holder]]] = []
        self._lock = threading.Lock()

    def welcome(self, tab: Tab, uploads: Any) -> None:
        """A page is run in a tab, whose uploads lie in this store of Streamlit's."""
        with self._lock:
            stored = {} if self._uploads is None else self._uploads.file_storage
            self._visitors = {session: visitor for session, visitor in self._visitors.items()
                              if session in stored or visitors.present(Tab(visitor, session))}
            self._visitors[tab.session] = tab.visitor
            if uploads is not self._uploads:
                self._uploads = uploads
                uploads.add_file = functools.partial(self._add, uploads.add_file)

    def watch(self, visitor: str, holder: Holder) -> None:
        """Count what something holds for a visitor, as long as it lives."""
        with self._lock:
            self._holders = [one for one in self._holders if one[1]() is not None]
            self._holders.append((visitor, weakref.ref(holder)))

    def used(self) -> Counter[str]:
        """Bytes that each visitor holds."""
        with self._lock:
            holders, known = list(self._holders), dict(self._visitors)
        used: Counter[str] = Counter()
        for visitor, ref in holders:
            holder = ref()
            used[visitor] += 0 if holder is None else holder.held_bytes
        for session, files in self._files().items():
            used[known.get(session, "")] += sum(map(_size, files.values()))
        return used

    def left(self, visitor: str) -> int:
        """Bytes that a visitor may add."""
        used = self.used()
        in_all = limits.HELD_IN_ALL - used.total()
        return max(0, in_all if visitor == HERE else
                   min(in_all, limits.HELD_A_VISITOR - used[visitor]))

    def check(self, visitor: str, more: int) -> None:
        """Raises :class:`~forget.core.errors.BadInput` where a visitor cannot add so many bytes."""
        left = self.left(visitor)
        if more > left:
            raise BadInput(f"these files have {_mb(more)}, and this server can hold {_mb(left)} "
                           "more for you: give fewer, or reload the page to let go of what you "
                           "gave before")

    def _add(self, add: Any, session_id: str, file: Any) -> None:
        """Streamlit's ``add_file``, with the limit; the browser shows that it is refused."""
        visitor = self._visitors.get(session_id)
        if visitor is None:
            raise HTTPException(status_code=403, detail="no page of this tab asks for files")
        try:
            self.check(visitor, _size(file))
        except BadInput as error:
            raise HTTPException(status_code=413, detail=str(error)) from error
        add(session_id=session_id, file=file)

    def _files(self) -> dict[str, dict[str, Any]]:
        """Uploads by session and number; copied, since they change in another thread."""
        stored = {} if self._uploads is None else self._uploads.file_storage
        return {session: dict(files) for session, files in list(stored.items())}


def _size(file: Any) -> int:
    return max(len(file.data), limits.SMALLEST)


def _mb(count: int) -> str:
    return f"{count / limits.MB:.0f} MB"


@st.cache_resource(show_spinner=False)
def memory() -> Memory:
    """The server's."""
    return Memory()


def welcome() -> None:
    """Begin a page: from now on its tab's uploads count as its visitor's."""
    tab = visitors.tab()
    memory().welcome(tab, get_script_run_ctx().uploaded_file_mgr)
    if memory().left(tab.visitor) < limits.LOW:
        st.warning("What you gave fills the memory that this server has for you, or what others "
                   "gave fills the rest: further files will be refused, with the error 413. Close "
                   "tabs that you don't need; what they hold goes in two minutes.",
                   icon=":material/memory:")


def check(more: int) -> None:
    """Raises :class:`BadInput` where this visitor cannot hold so many bytes more."""
    memory().check(visitors.visitor(), more)


def release(files: Iterable[UploadedFile]) -> None:
    """Let go of uploads that a page has taken over: Streamlit would hold them as long as the tab
    is open."""
    context = get_script_run_ctx()
    for file in files:
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
