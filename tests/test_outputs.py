"""Where results go: what cannot be written is refused before the work, and nothing is replaced that
is no regular file."""

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from forget.cli import main as cli
from forget.core.errors import BadInput
from forget.data.npz import Npz
from forget.io import outputs
from forget.learners.network import Network

ROOT = Path(__file__).parent.parent
NOBODY = 65534
LONG = "x" * 300


@pytest.fixture
def nobody():
    """A folder of a user who may do little: root may write everywhere."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield folder
    finally:
        if root:
            os.setresuid(0, 0, 0)
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o777)
        shutil.rmtree(folder)


def closed(folder: Path, mode: int = 0o500) -> Path:
    folder.mkdir()
    folder.chmod(mode)
    return folder


def refused(check, *arguments) -> str:
    with pytest.raises(BadInput) as caught:
        check(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


# What is written.


def test_a_file_is_written_where_there_was_none_and_over_an_old_one(tmp_path):
    path = tmp_path / "result.json"
    for data in (b"one", b"two"):
        outputs.check_file(path)
        outputs.write(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    target, link = tmp_path / "there" / "result.json", tmp_path / "link.json"
    target.parent.mkdir()
    link.symlink_to(target)
    for _ in range(2):  # at first it leads to nothing
        outputs.check_file(link)
        outputs.write(link, b"data")
        assert link.is_symlink()
        assert target.read_bytes() == b"data"


def test_a_pipe_stays_one_and_gets_the_bytes(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    outputs.check_file(pipe)
    outputs.write(pipe, b"data")
    reader.join(10)
    assert got == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_one():
    before = os.stat("/dev/null")
    outputs.check_file(Path("/dev/null"))
    outputs.write(Path("/dev/null"), b"data")
    assert os.path.samestat(before, os.stat("/dev/null"))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_standard_output_is_written_in_the_order_of_what_is_printed(tmp_path, kind):
    script = ("import sys; from pathlib import Path; from forget.io import outputs\n"
              "print('before'); path = Path('/dev/stdout'); outputs.check_file(path)\n"
              "outputs.write(path, b'data\\n'); print('after')")
    said = tmp_path / "said"
    with said.open("wb") as file:
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60,
                              stdout=file if kind == "file" else subprocess.PIPE)
    assert (said.read_bytes() if kind == "file" else done.stdout) == b"before\ndata\nafter\n"


def test_the_longest_name_that_a_file_can_have_can_be_written(tmp_path):
    path = tmp_path / ("é" * 127)
    outputs.check_file(path)
    outputs.write(path, b"data")
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize(("old", "mode", "new"), [
    (0o600, 0o644, 0o600), (0o644, 0o600, 0o600), (0o664, 0o644, 0o644), (0o644, 0o644, 0o644),
])  # fmt: skip
def test_nobody_may_read_a_file_who_might_not_before(tmp_path, old, mode, new):
    path = tmp_path / "result.json"
    path.touch()
    path.chmod(old)
    outputs.write(path, b"data", mode)
    assert stat.S_IMODE(path.stat().st_mode) == new


# What is refused, before the work and at the end alike.


def test_files_that_cannot_be_written_are_refused(nobody):
    (nobody / "file").write_text("old")
    (nobody / "loop").symlink_to("loop")
    kept = nobody / "kept.json"
    kept.write_text("old")
    kept.chmod(0o444)
    (nobody / "to-kept").symlink_to(kept)
    inner = nobody / "no-entry"
    inner.mkdir()
    (inner / "deep").mkdir()
    inner.chmod(0)
    closed(nobody / "closed")
    before = {path.name for path in nobody.iterdir()}
    for place, says in (("", "is a folder"), ("no/such/result.json", "does not exist; make it"),
                        ("file/result.json", "cannot write .*Not a directory"),
                        (LONG, "File name too long"), (f"a/{LONG}/b", "does not exist"),
                        ("loop", "symbolic links"), ("kept.json", "may not be written to"),
                        ("to-kept", "may not be written to"),
                        ("no-entry/deep/a.json", "Permission denied"),
                        ("closed/a.json", "Permission denied")):
        said = refused(outputs.check_file, nobody / place)
        assert re.search(says, said), (place, said)
    assert {path.name for path in nobody.iterdir()} == before
    assert kept.read_text() == "old"


def test_folders_that_cannot_be_written_are_refused_and_none_is_left(nobody):
    (nobody / "file").write_text("old")
    closed(nobody / "closed")
    taken = nobody / "taken"
    (taken / "result.json").mkdir(parents=True)
    before = {path.name for path in nobody.iterdir()}
    for place, says in (("file", "is a file; give a folder"), ("file/out", "Not a directory"),
                        ("closed/out", "Permission denied"), ("closed", "Permission denied"),
                        (LONG, "File name too long"), (f"new/{LONG}", "File name too long"),
                        ("taken", "result.json' is a folder")):
        assert says in refused(outputs.check_folder, nobody / place, ["result.json"])
    assert {path.name for path in nobody.iterdir()} == before


def test_a_folder_that_can_be_made_is_not_made_by_the_look(tmp_path):
    outputs.check_folder(tmp_path / "a" / "b", ["result.json"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["same", "link"])
def test_what_is_read_is_not_written_over(tmp_path, what):
    path = tmp_path / "own.npz"
    path.write_bytes(b"data")
    if what == "link":
        (tmp_path / "link").symlink_to(path)
    out = path if what == "same" else tmp_path / "link"
    assert "would be lost" in refused(outputs.check_apart, out, ["mnist", str(path)])


# On the command line.


@pytest.fixture
def own(tmp_path, home, monkeypatch) -> Path:
    """Arrays whose reading fails the test: outputs are looked at before."""
    path = tmp_path / "own.npz"
    np.savez(path, x=np.zeros(3))
    monkeypatch.setattr(Npz, "load", lambda *_: pytest.fail("the work was begun"))
    return path


@pytest.mark.parametrize("option", ["--json", "--out"])
@pytest.mark.parametrize("place", ["file/below", LONG, f"file/{LONG}", "/proc/none", "/dev/null/a"])
def test_run_refuses_outputs_before_it_reads_the_data(own, tmp_path, capsys, option, place):
    (tmp_path / "file").write_text("old")
    status = cli.main(["run", str(own), "--forget", "class:0", "--method", "finetune",
                       option, str(tmp_path / place)])
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert said.err.startswith("forget: ")
    assert said.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "own.npz", "downloads"}


@pytest.mark.parametrize("place", ["file", "file/below", LONG, "/proc/none"])
def test_compare_refuses_outputs_before_it_reads_the_data(own, tmp_path, capsys, place):
    (tmp_path / "file").write_text("old")
    assert cli.main(["compare", str(own), "--forget", "class:0", "--out",
                     str(tmp_path / place)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_data_are_not_written_over(own, capsys):
    before = own.read_bytes()
    assert cli.main(["run", str(own), "--forget", "class:0", "--method", "finetune",
                     "--json", str(own)]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert own.read_bytes() == before


@pytest.mark.parametrize("arguments", [
    ["run", "{}", "--forget", "class:0", "--method", "finetune"],
    ["compare", "{}", "--forget", "class:0"], ["train", "{}"],
    ["run", "mnist", "--forget", "class:0", "--method", "finetune", "--model", "{}"],
    ["verify", "{}", "--model", "{}", "--data", "mnist"],
    ["verify", "x", "--model", "{}", "--data", "{}"], ["ledger", "verify", "{}"],
    ["trace", "Ana", "--like", "{}"],
], ids=lambda words: " ".join(words))  # fmt: skip
@pytest.mark.parametrize("name", [LONG, f"{LONG}.npz", "closed/own.npz", "closed/folder/", "loop"])
def test_inputs_that_cannot_be_looked_at_are_told_in_a_sentence(
    nobody, monkeypatch, capsys, arguments, name,
):
    monkeypatch.setenv("FORGET_HOME", str(nobody / "home"))
    closed(nobody / "closed", 0)
    (nobody / "loop").symlink_to("loop")
    monkeypatch.setattr("forget.data.mnist.Mnist.load", lambda *_: pytest.fail("too early"))
    words = [word.format(nobody / name) for word in arguments]
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("forget: ")
    assert said.err.count("\n") == 1


def test_nothing_is_trained_where_the_data_folder_takes_no_files(
    tmp_path, home, monkeypatch, capsys,
):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    path, rng = tmp_path / "own.npz", np.random.default_rng(0)
    np.savez(path, x_train=rng.normal(size=(30, 4)), y_train=np.arange(30) % 3,
             x_test=rng.normal(size=(30, 4)), y_test=np.arange(30) % 3)
    monkeypatch.setattr("forget.io.files.tempfile.mkstemp", refuse)
    monkeypatch.setattr(Network, "train", lambda *_: pytest.fail("it was trained in vain"))
    for words in (["train"], ["compare", "--forget", "class:0", "--methods", "retrain"],
                  ["run", "--forget", "class:0", "--method", "retrain"]):
        assert cli.main([words[0], str(path), *words[1:]]) == 1
        assert "could not be written (Permission denied)" in capsys.readouterr().err


# What is printed.


def forget(*words: str, **how) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "forget", *words], cwd=ROOT, timeout=120,
                          check=False, stderr=subprocess.PIPE, **how)


def test_a_reader_who_has_had_enough_gets_a_sentence_and_no_traceback(home):
    reading, writing = os.pipe()
    os.close(reading)
    done = forget("methods", stdout=writing)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b"forget: not all that was printed was taken (Broken pipe)\n"


def test_a_full_disk_behind_standard_output_is_told(home):
    with Path("/dev/full").open("wb") as full:
        done = forget("methods", stdout=full)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"No space left" in done.stderr


def test_a_terminal_without_the_letters_gets_escapes(home):
    env = os.environ | {"PYTHONIOENCODING": "ascii", "FORGET_HOME": str(home)}
    done = forget("run", "mnist", "--forget", "class:7", "--method", "José", env=env)
    assert done.returncode == 2
    assert b"'Jos\\xe9'" in done.stderr
    done = forget("run", "--help", env=env, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"samples:ID,ID,\\u2026" in done.stdout
