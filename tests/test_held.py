"""What tabs hold in memory is counted by visitor, and what is too much is refused."""

import dataclasses
import gc
from types import SimpleNamespace

import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from forget.core.errors import BadInput
from forget.data.people import Photo
from ui.faces.bringing import Bringing
from ui.faces.people import _check_kept
from ui.jobs import shared
from ui.shell import limits, visitors
from ui.shell import memory as memory_of_all
from ui.shell.memory import Memory
from ui.shell.turns import HERE, Tab

LIMIT, ALL = 1000, 2500


class Photos:
    """What holds photos. ``held_bytes``: how many bytes."""

    def __init__(self, held_bytes: int):
        self.held_bytes = held_bytes


@pytest.fixture
def store(monkeypatch) -> MemoryUploadedFileManager:
    """Streamlit's, on a server with small limits whose tabs are all open."""
    monkeypatch.setattr(limits, "SMALLEST", 1)
    monkeypatch.setattr(limits, "HELD_A_VISITOR", LIMIT)
    monkeypatch.setattr(limits, "HELD_IN_ALL", ALL)
    monkeypatch.setattr(visitors, "present", lambda tab: True)
    return MemoryUploadedFileManager("/upload")


@pytest.fixture
def memory(store) -> Memory:
    """With two tabs of Ana's and one of Ben's, Zoe's and the machine's own."""
    made = Memory()
    for visitor, session in (("Ana", "a1"), ("Ana", "a2"), ("Ben", "b"), ("Zoe", "z"),
                             (HERE, "here")):
        made.welcome(Tab(visitor, session), store)
    return made


def put(store: MemoryUploadedFileManager, session: str, number: str, size: int) -> None:
    store.add_file(session_id=session,
                   file=UploadedFileRec(number, "photo.png", "image/png", bytes(size)))


def test_the_tabs_of_one_visitor_share_a_limit_and_another_visitor_has_their_own(store, memory):
    put(store, "a1", "1", 600)
    with pytest.raises(HTTPException) as refused:
        put(store, "a2", "2", 500)
    assert refused.value.status_code == 413
    put(store, "a2", "2", 400)
    put(store, "b", "3", 1000)
    assert memory.used() == {"Ana": 1000, "Ben": 1000}


def test_all_visitors_together_have_a_limit_and_the_machine_has_that_one_only(store, memory):
    put(store, "here", "1", 1600)
    put(store, "a1", "2", 800)
    with pytest.raises(HTTPException):
        put(store, "b", "3", 200)
    with pytest.raises(HTTPException):
        put(store, "here", "4", 200)
    put(store, "b", "3", 100)


def test_a_tab_that_shows_no_page_cannot_upload(store, memory):
    with pytest.raises(HTTPException) as refused:
        put(store, "unknown", "1", 1)
    assert refused.value.status_code == 403
    assert memory.used().total() == 0


def test_a_file_with_nothing_in_it_takes_memory_too(store, memory, monkeypatch):
    monkeypatch.setattr(limits, "SMALLEST", 100)
    for number in range(10):
        put(store, "a1", str(number), 0)
    with pytest.raises(HTTPException):
        put(store, "a1", "11", 0)


def test_what_is_let_go_makes_room(store, memory):
    put(store, "a1", "1", 1000)
    store.remove_file("a1", "1")
    put(store, "a1", "2", 1000)
    store.remove_session_files("a1")
    assert memory.left("Ana") == LIMIT


def test_photos_that_a_page_took_over_count_as_long_as_it_has_them(store, memory):
    photos = Photos(900)
    memory.watch("Ana", photos)
    with pytest.raises(BadInput, match="give fewer, or reload the page"):
        memory.check("Ana", 200)
    with pytest.raises(HTTPException):
        put(store, "a1", "1", 200)
    del photos
    gc.collect()
    memory.check("Ana", 200)
    put(store, "a1", "1", 200)


def test_uploads_of_a_closed_tab_count_until_streamlit_lets_go_of_them(store, memory, monkeypatch):
    put(store, "a1", "1", 900)
    monkeypatch.setattr(visitors, "present", lambda tab: tab.session != "a1")
    memory.welcome(Tab("Ana", "a3"), store)
    assert memory.left("Ana") == 100
    store.remove_session_files("a1")
    memory.welcome(Tab("Ana", "a4"), store)
    assert memory.left("Ana") == 1000
    assert "a1" not in memory._visitors


def test_another_run_of_a_page_asks_no_second_time(store, memory):
    once = store.add_file
    memory.welcome(Tab("Ana", "a1"), store)
    assert store.add_file is once


@pytest.mark.parametrize(("access", "address", "visitor"), [
    ({"local": True, "user": None}, None, HERE),
    ({"local": True, "user": "ana@example.org"}, None, "ana@example.org"),
    ({"local": False, "user": "ana@example.org"}, "203.0.113.7", "ana@example.org"),
    ({"local": False, "user": None}, "203.0.113.7", "203.0.113.7"),
    ({"local": False, "user": None}, "::ffff:203.0.113.7", "203.0.113.7"),
    ({"local": False, "user": None}, "2001:db8::1", "2001:db8::/64"),
    ({"local": False, "user": None}, "2001:db8::ffff:2", "2001:db8::/64"),
])
def test_a_visitor_is_who_signed_in_or_a_network_or_the_machine(
        monkeypatch, access, address, visitor):
    monkeypatch.setattr(visitors, "who", lambda: SimpleNamespace(**access))
    monkeypatch.setattr(visitors.st, "context", SimpleNamespace(ip_address=address))
    assert visitors.visitor() == visitor


@pytest.fixture
def bringing(monkeypatch) -> Bringing:
    """A tab that brings people on a server with room for 1000 bytes; its jobs are never begun."""
    monkeypatch.setattr(limits, "HELD_IN_ALL", LIMIT)
    monkeypatch.setattr(visitors, "visitor", lambda: HERE)
    fresh = Memory()
    monkeypatch.setattr(memory_of_all, "memory", lambda: fresh)
    monkeypatch.setattr(shared, "submit", lambda job: job)
    return Bringing()


def photos(size: int, number: int = 0) -> list[Photo]:
    return [Photo("Ana", f"{number}.png", bytes([number]) * size)]


def test_photos_for_which_there_is_no_room_are_not_taken(bringing):
    bringing.look_at(photos(600), [])
    bringing.photos = bringing.given
    with pytest.raises(BadInput, match="reload the page"):
        bringing.look_at(photos(500, 1), [])
    assert bringing.held_bytes == 600
    bringing.look_at(photos(400, 1), [])
    assert bringing.held_bytes == 1000


def test_photos_that_are_looked_at_again_count_once(bringing):
    bringing.look_at(photos(800), [])
    again = [dataclasses.replace(photo, face=1) for photo in bringing.given]
    bringing.look_at(again, [])
    assert bringing.held_bytes == 800


def test_uploads_that_become_photos_are_let_go_and_count_once(bringing, monkeypatch):
    gone = []
    monkeypatch.setattr(memory_of_all, "release", gone.extend)
    upload = Photos(800)
    upload.size = 800
    memory_of_all.memory().watch(HERE, upload)
    bringing.look_at(photos(800), [], [upload])
    assert gone == [upload]


def test_the_folder_of_kept_photos_has_a_limit(home, monkeypatch):
    monkeypatch.setattr(limits, "KEPT_PHOTOS", 1000)
    _check_kept(photos(500), photos(500, 1))
    with pytest.raises(BadInput, match="delete what is kept there first"):
        _check_kept(photos(500), photos(501, 1))
