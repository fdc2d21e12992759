"""Downloads: whole and checked or not at all, from the first source that serves, against servers on
this machine that fail in every way that a network fails."""

import base64
import gzip
import hashlib
import io
import os
import pickle
import signal
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests

from forget.core.errors import Cancelled, CannotWrite, DamagedFile, SourceDown
from forget.data.mnist import ArraysOnly
from forget.io import files
from forget.io.files import (
    Bundle,
    DeclaredFile,
    Mirror,
    Progress,
    Source,
    Wheel,
    download,
    scratch,
    sha256_of,
    unzip_gz,
    write_atomically,
)

ROOT = Path(__file__).parent.parent
CONTENT = {"first.bin": b"the first file " * 4000, "second.bin": bytes(range(256)) * 100}
BY_HAND = "put the two files into forget_downloads/tiny/"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


class Server:
    """A web server on this machine: by path, bytes to give or a function that answers badly."""

    def __init__(self):
        self.routes = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                answer = server.routes.get(self.path)
                if answer is None:
                    self.send_error(404)
                elif callable(answer):
                    answer(self)
                else:
                    give(self, answer)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/"

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def give(handler, data: bytes, announced: int | None = -1, cut_at: int | None = None) -> None:
    """Answer with ``data``, or with its beginning, whatever length is announced."""
    handler.send_response(200)
    if announced is not None:
        handler.send_header("Content-Length", str(len(data) if announced == -1 else announced))
    handler.end_headers()
    handler.wfile.write(data[:cut_at])
    handler.wfile.flush()
    handler.close_connection = True


@pytest.fixture
def servers():
    """Makes servers that are closed at the end."""
    made = []

    def make(content=CONTENT) -> Server:
        server = Server()
        server.routes = {f"/{name}.gz": gzip.compress(data) for name, data in content.items()}
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def closed_url() -> str:
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


def declared(content=CONTENT) -> tuple[DeclaredFile, ...]:
    return tuple(DeclaredFile(name, hashlib.sha256(data).hexdigest(), len(data))
                 for name, data in content.items())  # fmt: skip


def bundle(*sources, content=CONTENT) -> Bundle:
    """A bundle of the two files; a source may be given by its address."""
    made = tuple(Mirror(s) if isinstance(s, str) else s for s in sources)
    return Bundle("tiny", declared(content), made, BY_HAND)


def is_whole(paths) -> bool:
    return {name: path.read_bytes() for name, path in paths.items()} == CONTENT


def left_behind(home: Path) -> list[str]:
    """Everything below the folder but the lock."""
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if not p.name.endswith(".lock"))


# Sources in order.


def test_all_files_are_fetched_checked_and_named(home, servers):
    server = servers()
    tiny = bundle(server.url)
    assert not tiny.present()
    assert is_whole(tiny.ensure())
    assert tiny.present()
    assert left_behind(home) == ["tiny", "tiny/first.bin", "tiny/second.bin"]


def test_a_second_time_asks_nobody(home, servers, closed_url):
    bundle(servers().url).ensure()
    assert is_whole(bundle(closed_url).ensure())


def test_the_second_source_is_left_alone_where_the_first_serves(home, servers):
    first, second = servers(), servers()
    bundle(first.url, second.url).ensure()
    assert len(first.asked) == 2
    assert second.asked == []


def test_a_closed_port_falls_through_to_the_next_source(home, servers, closed_url, caplog):
    server = servers()
    assert is_whole(bundle(closed_url, server.url).ensure())
    assert len(server.asked) == 2
    assert len(caplog.records) == 1
    assert closed_url in caplog.text


def test_a_name_that_does_not_resolve_falls_through(home, servers):
    assert is_whole(bundle("http://no-such-host.invalid/", servers().url).ensure())


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def error(status: int):
    return lambda handler: handler.send_error(status)


def redirect_for_ever(handler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


def hang_up(handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def talk_nonsense(handler) -> None:
    handler.wfile.write(b"\0\1\2 this is no HTTP\r\n\r\n")
    handler.close_connection = True


PACKED = gzip.compress(CONTENT["second.bin"])

BAD_ANSWERS = {
    "not there": error(404),
    "forbidden": error(403),
    "broken server": error(500),
    "redirects for ever": redirect_for_ever,
    "hangs up": hang_up,
    "talks nonsense": talk_nonsense,
    "empty": b"",
    "a page instead of the file": b"<html>please log in</html>",
    "not packed": CONTENT["second.bin"],
    "other bytes of the same size": gzip.compress(flipped(CONTENT["second.bin"])),
    "too short": gzip.compress(CONTENT["second.bin"][:-1]),
    "too long": gzip.compress(CONTENT["second.bin"] + b"x"),
    "cut in the middle": lambda h: give(h, PACKED, cut_at=len(PACKED) // 2),
    "cut before the first byte": lambda h: give(h, PACKED, cut_at=0),
    "cut, with no length announced": lambda h: give(h, PACKED, None, cut_at=len(PACKED) // 2),
    "a length that is no number": lambda h: give(h, PACKED, announced="many"),
    "far larger than declared": lambda h: give(h, os.urandom(len(CONTENT["second.bin"]) + 1000)),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_a_source_that_serves_badly_is_left_for_the_next(home, servers, what):
    bad, good = servers(), servers()
    bad.routes["/second.bin.gz"] = BAD_ANSWERS[what]
    assert is_whole(bundle(bad.url, good.url).ensure())
    assert len(good.asked) == 2
    assert left_behind(home) == ["tiny", "tiny/first.bin", "tiny/second.bin"]


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_a_failed_fetch_leaves_nothing_and_the_next_try_works(home, servers, what):
    server = servers()
    good = server.routes["/second.bin.gz"]
    server.routes["/second.bin.gz"] = BAD_ANSWERS[what]
    with pytest.raises(SourceDown):
        bundle(server.url).ensure()
    assert left_behind(home) == []
    server.routes["/second.bin.gz"] = good
    assert is_whole(bundle(server.url).ensure())


def test_a_source_that_stalls_is_left_for_the_next(home, servers, monkeypatch):
    monkeypatch.setattr(files, "STALL_SECONDS", 0.2)
    release = threading.Event()

    def stall(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(PACKED)))
        handler.end_headers()
        handler.wfile.write(PACKED[:50])
        handler.wfile.flush()
        release.wait(20)

    bad, good = servers(), servers()
    bad.routes["/first.bin.gz"] = stall
    try:
        assert is_whole(bundle(bad.url, good.url).ensure())
    finally:
        release.set()


def test_all_sources_down_says_what_to_do_by_hand(home, servers, closed_url):
    bad = servers({})
    with pytest.raises(SourceDown) as caught:
        bundle(closed_url, bad.url).ensure()
    message = str(caught.value)
    assert BY_HAND in message
    assert "connect to the internet" in message
    assert closed_url in message
    assert bad.url in message
    assert "\n" not in message
    assert left_behind(home) == []


def test_files_put_there_by_hand_are_taken(home, closed_url):
    (home / "tiny").mkdir(parents=True)
    for name, data in CONTENT.items():
        (home / "tiny" / name).write_bytes(data)
    assert is_whole(bundle(closed_url).ensure())


def test_a_source_may_raise_any_error_of_the_library_or_of_files(home, servers):
    class Broken(Source):
        def __init__(self, error):
            self.title, self.error = type(error).__name__, error

        def fetch(self, files, folder, progress):
            (folder / "first.bin").write_bytes(b"half")
            raise self.error

    errors = [OSError("disk"), EOFError(), ValueError("x"), zipfile.BadZipFile(), DamagedFile("x"),
              requests.Timeout(), SourceDown("x")]  # fmt: skip
    assert is_whole(bundle(*map(Broken, errors), servers().url).ensure())


def test_a_source_that_writes_too_few_files_is_left_for_the_next(home, servers):
    class Half(Source):
        title = "half"

        def fetch(self, files, folder, progress):
            (folder / "first.bin").write_bytes(CONTENT["first.bin"])

    assert is_whole(bundle(Half(), servers().url).ensure())


# What lies on disk.


def test_a_truncated_file_is_not_present_and_is_fetched_again(home, servers):
    tiny = bundle(servers().url)
    path = tiny.ensure()["first.bin"]
    path.write_bytes(path.read_bytes()[:-1])
    assert not tiny.present()
    assert is_whole(tiny.ensure())


def test_a_missing_file_is_not_present_and_is_fetched_again(home, servers):
    tiny = bundle(servers().url)
    tiny.ensure()["second.bin"].unlink()
    assert not tiny.present()
    assert is_whole(tiny.ensure())


def test_a_folder_in_a_files_place_is_not_the_file(home, servers):
    tiny = bundle(servers().url)
    path = tiny.ensure()["first.bin"]
    path.unlink()
    path.mkdir()
    assert not tiny.present()


def test_a_damaged_file_of_the_right_size_is_named_and_nobody_is_asked(home, servers):
    server = servers()
    tiny = bundle(server.url)
    path = tiny.ensure()["second.bin"]
    path.write_bytes(flipped(path.read_bytes()))
    assert tiny.present()
    with pytest.raises(DamagedFile, match="delete it") as caught:
        tiny.ensure()
    assert str(path) in str(caught.value)
    assert len(server.asked) == 2
    path.unlink()
    assert is_whole(tiny.ensure())


def test_what_a_killed_process_left_is_ignored_and_cleaned(home, servers):
    left = home / ".partial-tiny"
    left.mkdir(parents=True)
    (left / "first.bin").write_bytes(CONTENT["first.bin"][:100])
    (left / "second.bin.gz").write_bytes(b"junk")
    (left / "deep").mkdir()
    (left / "deep" / "pip-tmp").write_bytes(b"junk")
    assert is_whole(bundle(servers().url).ensure())
    assert left_behind(home) == ["tiny", "tiny/first.bin", "tiny/second.bin"]


def test_a_scratch_folder_starts_empty_and_goes_even_after_an_error(home):
    (home / ".partial-x" / "left").mkdir(parents=True)
    with pytest.raises(ZeroDivisionError), scratch("x") as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert not folder.exists()


# Stopping, and being killed.


class StopAfter:
    """A progress callback that stops the fetch at its so-manieth call."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self, progress):
        assert isinstance(progress, Progress)
        self.left -= 1
        if self.left <= 0:
            raise Cancelled("stopped")


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_stopping_leaves_nothing_and_asks_no_other_source(home, servers, calls):
    first, second = servers(), servers()
    with pytest.raises(Cancelled):
        bundle(first.url, second.url).ensure(StopAfter(calls))
    assert second.asked == []
    assert left_behind(home) == []
    assert is_whole(bundle(second.url).ensure())


def test_progress_grows_to_the_sizes_announced(home, servers):
    seen: list[Progress] = []
    bundle(servers().url).ensure(seen.append)
    assert all(0 <= p.done <= p.total for p in seen)
    assert seen[-1].done == seen[-1].total == sum(map(len, CONTENT.values()))
    assert any("first.bin" in p.what for p in seen)


FETCH = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
import requests
from test_files import bundle, is_whole
requests.get({url!r} + "ready")
print(is_whole(bundle({url!r}).ensure()), flush=True)
"""


def fetching_process(home: Path, url: str) -> subprocess.Popen:
    code = FETCH.format(root=str(ROOT), tests=str(ROOT / "tests"), url=url)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"FORGET_HOME": str(home)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_process_killed_in_the_middle_of_a_download_hinders_nobody(home, servers):
    server = servers()
    half_sent, release = threading.Event(), threading.Event()
    good = server.routes["/second.bin.gz"]

    def slowly(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(good)))
        handler.end_headers()
        handler.wfile.write(good[: len(good) // 2])
        handler.wfile.flush()
        half_sent.set()
        release.wait(60)

    server.routes["/second.bin.gz"] = slowly
    process = fetching_process(home, server.url)
    try:
        assert half_sent.wait(60)
        assert (home / ".partial-tiny" / "first.bin").exists()
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    finally:
        release.set()
        process.kill()
        process.communicate()
    assert not (home / "tiny").exists()
    assert (home / ".partial-tiny").exists()
    server.routes["/second.bin.gz"] = good
    assert is_whole(bundle(server.url).ensure())
    assert left_behind(home) == ["tiny", "tiny/first.bin", "tiny/second.bin"]


def test_two_processes_at_once_both_end_well_and_fetch_once(home, servers):
    server = servers()
    both = threading.Barrier(2)

    def ready(handler):
        both.wait(60)
        give(handler, b"go")

    server.routes["/ready"] = ready
    processes = [fetching_process(home, server.url) for _ in range(2)]
    try:
        said = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert said == ["True\n", "True\n"]
    assert sorted(server.asked) == ["/first.bin.gz", "/ready", "/ready", "/second.bin.gz"]
    assert left_behind(home) == ["tiny", "tiny/first.bin", "tiny/second.bin"]


def test_one_waits_while_another_fetches_and_then_asks_nobody(home, servers):
    server = servers()
    first_asked, release = threading.Event(), threading.Event()
    good = server.routes["/first.bin.gz"]

    def slowly(handler):
        first_asked.set()
        release.wait(20)
        give(handler, good)

    server.routes["/first.bin.gz"] = slowly
    ended = []

    def fetch():
        ended.append(is_whole(bundle(server.url).ensure()))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    threads[0].start()
    assert first_asked.wait(20)
    threads[1].start()
    threads[1].join(0.2)
    assert ended == []
    assert server.asked == ["/first.bin.gz"]
    release.set()
    for thread in threads:
        thread.join(20)
    assert ended == [True, True]
    assert server.asked == ["/first.bin.gz", "/second.bin.gz"]


# The pieces.


def test_download_refuses_more_than_its_limit_and_stops_reading(tmp_path, servers):
    server = servers({})
    server.routes["/big"] = lambda h: give(h, b"x" * 5_000_000)
    with pytest.raises(DamagedFile, match="more than the declared 1000 bytes"):
        download(server.url + "big", tmp_path / "big", limit=1000)
    assert (tmp_path / "big").stat().st_size <= 1000


def test_download_of_exactly_its_limit_is_whole(tmp_path, servers):
    server = servers({})
    server.routes["/file"] = b"x" * 1000
    download(server.url + "file", tmp_path / "file", limit=1000)
    assert (tmp_path / "file").read_bytes() == b"x" * 1000


@pytest.mark.parametrize("size", [10_000_000, 300_001])
def test_a_gzip_bomb_is_not_unpacked_beyond_its_limit(tmp_path, size):
    packed, path = tmp_path / "bomb.gz", tmp_path / "bomb"
    packed.write_bytes(gzip.compress(b"\0" * size))
    assert packed.stat().st_size < 20_000
    with pytest.raises(DamagedFile, match="more than 300000 bytes"):
        unzip_gz(packed, path, limit=300_000)
    assert path.stat().st_size <= 300_000


def test_a_gzip_bomb_from_a_source_is_left_for_the_next(home, servers):
    bad, good = servers(), servers()
    bad.routes["/first.bin.gz"] = gzip.compress(b"\0" * 30_000_000)
    assert is_whole(bundle(bad.url, good.url).ensure())


def test_unzip_of_exactly_its_limit_is_whole(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 1000))
    unzip_gz(tmp_path / "a.gz", tmp_path / "a", limit=1000)
    assert (tmp_path / "a").read_bytes() == b"x" * 1000


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("data", [b"", b"ab", b"abcd", b"abd"])
def test_a_declared_file_takes_no_other_bytes(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DamagedFile):
        DeclaredFile("a", hashlib.sha256(b"abc").hexdigest(), 3).check(tmp_path / "a")


def test_writing_atomically_makes_folders_and_a_file_that_others_may_read(tmp_path):
    path = tmp_path / "deep" / "er" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("where", ["replace", "fsync", "chmod", "fdopen"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
def test_writing_atomically_leaves_the_old_file_and_no_other_when_it_fails(
    tmp_path, monkeypatch, where, error
):
    path = tmp_path / "file.txt"
    write_atomically(path, b"old")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(files.os, where, fail)
    with pytest.raises(CannotWrite if isinstance(error, OSError) else type(error)):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_writing_atomically_over_a_folder_fails_and_leaves_no_other_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotWrite):
        write_atomically(tmp_path / "folder", b"new")
    assert os.listdir(tmp_path) == ["folder"]


# A wheel as a container.


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A folder that pip takes for the whole package index, with one handmade wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    inside = {
        **{f"tiny_digits/{name}": data for name, data in CONTENT.items()},
        "tiny_digits/__init__.py": b"raise SystemExit('imported')",
        "tiny_digits-1.0.dist-info/METADATA":
            b"Metadata-Version: 2.1\nName: tiny-digits\nVersion: 1.0\n",
        "tiny_digits-1.0.dist-info/WHEEL":
            b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    path = folder / "tiny_digits-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        rows = []
        for name, data in inside.items():
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(data)}")
        rows.append("tiny_digits-1.0.dist-info/RECORD,,")
        archive.writestr("tiny_digits-1.0.dist-info/RECORD", "\n".join(rows))
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return path


def unpack_both(archive: zipfile.ZipFile, folder: Path) -> None:
    for name in CONTENT:
        (folder / name).write_bytes(archive.read(f"tiny_digits/{name}"))


def wheel_source(path: Path, **changes) -> Wheel:
    what = {"requirement": "tiny-digits==1.0", "sha256": sha256_of(path),
            "size": path.stat().st_size, "unpack": unpack_both}  # fmt: skip
    return Wheel(**(what | changes))


def test_a_wheel_with_the_right_hash_is_unpacked_and_not_installed(home, wheel):
    seen: list[Progress] = []
    assert is_whole(bundle(wheel_source(wheel)).ensure(seen.append))
    assert left_behind(home) == ["tiny", "tiny/first.bin", "tiny/second.bin"]
    assert all(0 <= p.done <= p.total for p in seen)
    shown = subprocess.run([sys.executable, "-m", "pip", "show", "tiny-digits"],
                           capture_output=True, check=False)  # fmt: skip
    assert shown.returncode != 0


def test_a_wheel_with_another_hash_is_left_for_the_next_source(home, wheel, servers):
    server = servers()
    wrong = wheel_source(wheel, sha256="0" * 64)
    assert is_whole(bundle(wrong, server.url).ensure())
    assert len(server.asked) == 2


def test_a_wheel_with_another_hash_alone_is_a_source_down(home, wheel):
    with pytest.raises(SourceDown, match=r"tiny-digits==1\.0.*" + BY_HAND):
        bundle(wheel_source(wheel, sha256="0" * 64)).ensure()
    assert left_behind(home) == []


def test_a_wheel_that_the_index_does_not_have_is_a_source_down(home, wheel):
    with pytest.raises(SourceDown):
        bundle(wheel_source(wheel, requirement="tiny-digits==2.0")).ensure()
    assert left_behind(home) == []


def test_stopping_while_pip_works_ends_pip_and_leaves_nothing(home, wheel, monkeypatch):
    started = []
    real = subprocess.Popen

    def popen(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(files.subprocess, "Popen", popen)
    with pytest.raises(Cancelled):
        bundle(wheel_source(wheel)).ensure(StopAfter(1))
    assert [process.poll() is not None for process in started] == [True]
    assert left_behind(home) == []


# Pickles that hold arrays and nothing else.


def old_pickle(what) -> bytes:
    """As numpy 1 wrote it, with the module name that the wheel's pickle has."""
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    return pickle.dumps(what, protocol=3).replace(new, old)


def test_arrays_are_rebuilt():
    parts = [(np.arange(6, dtype=np.float32).reshape(2, 3) / 256, np.array([1, 2])), ()]
    (x, y), rest = ArraysOnly(io.BytesIO(old_pickle(parts))).load()
    assert np.array_equal(x, parts[0][0])
    assert x.dtype == np.float32
    assert y.tolist() == [1, 2]
    assert rest == ()


class Calls:
    """Asks for a function to be called when it is unpickled."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("function", [os.system, eval, exec, open, getattr, __import__,
                                      subprocess.Popen, np.load, np.frombuffer, bytes.fromhex],
                         ids=lambda f: f.__qualname__)  # fmt: skip
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_asks_for_anything_else_is_refused_and_does_not_run(
    tmp_path, monkeypatch, function, protocol
):
    target = tmp_path / "ran"
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps([np.arange(3), Calls(function, f"touch {target}")], protocol=protocol)
    with pytest.raises(DamagedFile, match="refused"):
        ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("module", "name"), [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("builtins", "eval"),
    ("__builtin__", "eval"), ("numpy", "load"), ("numpy", "save"), ("numpy", "ndarray.tofile"),
    ("numpy", "dtype.__class__"), ("numpy", "core"), ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "fromfile"), ("subprocess", "Popen"), ("", ""), ("numpy", ""),
    ("numpy.core", "multiarray._reconstruct"), ("copyreg", "_reconstructor"),
    ("forget.data.mnist", "ArraysOnly"),
])  # fmt: skip
def test_no_other_name_is_found(module, name):
    with pytest.raises(DamagedFile) as caught:
        ArraysOnly(io.BytesIO(b"")).find_class(module, name)
    assert f"{module}.{name}" in str(caught.value)
