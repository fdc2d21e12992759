"""Files fed to the decoders that a person can reach with them, each in a process of its own.

    python -m tests.sandbox FOLDER

Reads ``FOLDER/files/KIND-…`` in the order of their names and writes one line of JSON for each on
standard output. A file's process is forked from one that has loaded everything, works in a folder
within FOLDER, and is killed at the limits here; FOLDER is listed before and after it. Whatever
opens a file for writing, starts a program or a connection is told too, wherever it is.
"""

import contextlib
import dataclasses
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import gdown
from PIL import Image
from streamlit.components.v2.bidi_component.serialization import BidiComponentSerde
from streamlit.proto.BackMsg_pb2 import BackMsg

from forget.cli import main as cli
from forget.cli.terminal import assignments
from forget.core.device import use_fixed_threads
from forget.core.errors import BadImage, BadInput, ForgetError
from forget.core.spelling import is_control, nearest
from forget.data import canvas as drawing
from forget.data import find_dataset, kept
from forget.data.archive import photos_from_zip
from forget.data.folder import Folder
from forget.data.mnist import Mnist
from forget.data.npz import Npz
from forget.data.people import Photo, natural, person_name
from forget.faces.detect import find_faces
from forget.io.images import digit_from_drawing, digit_from_picture, read_image, read_photo
from forget.io.paths import downloads
from forget.learners import learner_for
from forget.methods import METHODS
from forget.records import composition, database, ledger, lineage, requests, trace
from forget.records.bases import BASES, Base, base_called
from forget.records.contributions import contributors, samples_of
from forget.records.contributions import kept as kept_samples
from forget.unlearning import drive, store
from forget.unlearning.adopt import adopt
from forget.unlearning.request import parse_request
from forget.unlearning.verify import verify
from tests import hostile, hostile_words
from ui.shell.address import whole_number
from ui.shell.messages import without_unreadable
from ui.shell.words import told

ROOT = Path(__file__).parent.parent
SECONDS = 5.0
"""What a file may take; its process is killed at twelve times that."""

GROWTH = 500
"""MiB by which a process may grow; it is killed at eight times that."""

MOST_SAID = 2_000
"""Letters of what is said of a name."""

GIVEN = "a/given"
"""The folder within FOLDER in which a folder lies that somebody gives."""

ROWS = "rows.npz"
"""Good arrays within FOLDER, which a command line calls DATA."""

PLACE = "a/b/c/d"
"""The folder within FOLDER in which files are decoded: deep, so that ``..`` leads to a place that
is listed too."""

TELLING = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename",
           "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate",
           "subprocess.Popen", "socket.connect", "ctypes.dlopen", "webbrowser.open")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclasses.dataclass(frozen=True)
class Fed:
    """What came of one file; ``growth`` in MiB, ``seconds`` of the wall clock and of the processor.

    ``outcome``: "read", "refused" (one of this project's own errors) or what went wrong.
    """

    name: str
    how: str
    outcome: str
    detail: str
    seconds: float
    busy: float
    growth: float
    touched: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """In words what it did that no file may do; nothing for most."""
        found = [] if self.outcome in ("read", "refused") else [f"{self.outcome}: {self.detail}"]
        if self.busy > SECONDS:
            found.append(f"{self.busy:.1f} s")
        if self.growth > GROWTH:
            found.append(f"{self.growth:.0f} MiB")
        return [*found, *(f"touched {one}" for one in self.touched)]


def feed(folder: Path, files: int = 0, seed: int = 0, tricks: Sequence[str] = ()) -> list[Fed]:
    """Make files in a new folder, as :mod:`tests.hostile` has them, and decode each.

    They are made in another process than they are decoded in: what making them took would hide
    what decoding takes.
    """
    folder = folder.resolve()
    for made in (folder / "files", folder / PLACE, folder / "a/home", folder / "a/tmp"):
        made.mkdir(parents=True)
    environment = os.environ | {"FORGET_HOME": str(folder / "a/home"), "HOME": str(folder / "a"),
                                "TMPDIR": str(folder / "a/tmp"), "PYTHONPATH": str(ROOT),
                                "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "tests.hostile_ways", folder, "--files", str(files),
                    "--seed", str(seed), "--tricks", *tricks], cwd=folder / PLACE, env=environment,
                   check=True)
    done = subprocess.run([sys.executable, "-m", "tests.sandbox", folder], cwd=folder / PLACE,
                          env=environment, text=True, stdout=subprocess.PIPE, check=True)
    how = json.loads((folder / "how.json").read_text())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if missing := how.keys() - {row["name"] for row in rows}:
        raise RuntimeError(f"{len(missing)} files were made and not decoded: {sorted(missing)[0]}")
    return [Fed(how=how[row["name"]], **row | {"touched": tuple(row["touched"])}) for row in rows]


# What a person reaches with a file of each kind.


def picture(path: Path) -> None:
    first = None
    for read in (read_photo, lambda data: digit_from_picture(read_image(data))):
        try:
            read(path.read_bytes())
        except ForgetError as error:
            first = first or error
    if first:
        raise first


def photos(path: Path) -> None:
    for photo in photos_from_zip(path.read_bytes())[0][:20]:
        read_photo(photo.data)


def arrays(path: Path) -> None:
    Npz(str(path)).load()


def checkpoint(path: Path) -> None:
    store.is_own(path)
    adopt(path, hostile.digits())


def own_model(path: Path) -> None:
    store.is_own(path)
    store.read_sealed(path)
    store.load(path)


def manifest(path: Path) -> None:
    store.foreign_files()
    store.load(downloads() / "shipped.safetensors")


def certificate(path: Path) -> None:
    honest = hostile.honest()
    raise_unless_read(verify(path, honest.model, hostile.rows(), honest.secret, reference=True))


def certified_model(path: Path) -> None:
    honest = hostile.honest()
    raise_unless_read(verify(honest.certificate, path, hostile.rows(), honest.secret))


def secret(path: Path) -> None:
    """The certificate names the hostile secret as its own: anyone can write such a pair."""
    honest = hostile.honest()
    raise_unless_read(verify(honest.certificate, honest.model, hostile.rows(), path,
                             reference=True))


def canvas(path: Path) -> None:
    """As the server does: the message, the component's state, the drawing and its strokes."""
    data = without_unreadable(path.read_bytes())
    if data is None:
        raise BadInput("this is no message")
    for one in BackMsg.FromString(data).rerun_script.widget_states.widgets:
        state = BidiComponentSerde({"drawing": None}).deserialize(one.json_value)
        drawing.strokes(state)
        rgba = drawing.drawing(state, hostile_words.SIDE)
        if rgba is not None:
            digit_from_drawing(rgba)


def link(path: Path) -> None:
    """No connection is made: what would fetch says that nothing is there."""
    def nothing(*_, **__):
        raise gdown.exceptions.DownloadError("nothing there")

    gdown.download = gdown.download_folder = nothing
    drive.locked = drive.scratch = lambda name: contextlib.nullcontext(path.parent)
    drive.fetch_drive(text(path))


def arguments(path: Path) -> None:
    """A command, which must end in one sentence on standard error."""
    words, rows = path.read_bytes().split(b"\0"), path.parent.parent / ROWS
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            status = cli.main([os.fsdecode(word).replace("DATA", str(rows)) for word in words])
    except SystemExit as left:  # argparse's, behind its usage
        status = left.code
        if status and not re.match(r"usage: .*\n(?s:.*)\S+: error: .*\n\Z", said.getvalue()):
            raise RuntimeError(f"no usage: {said.getvalue()[:200]}") from left
        said = io.StringIO(said.getvalue().rpartition(": error: ")[2])
    if status not in (0, 1, 2) or (status and not is_a_line(said.getvalue().removesuffix("\n"))):
        raise RuntimeError(f"status {status}: {said.getvalue()[:200]!r}")
    if status:
        raise BadInput(said.getvalue().removesuffix("\n"))


def text(path: Path) -> str:
    """A text as it comes from a command line, with bytes that are no letters."""
    return os.fsdecode(path.read_bytes())


def is_a_line(said: str) -> bool:
    """Whether it says something and moves no cursor."""
    return bool(said.strip()) and not any(map(is_control, said))


def folder(path: Path) -> None:
    """A folder of people that somebody names, and what is found wrong with it."""
    photos, findings = Folder(str(path.parent.parent / GIVEN / "photos")).read()
    looked_at(photos, findings)


def people(path: Path) -> None:
    """The same where kept photos lie: they are looked at whenever a person is asked for."""
    for one in sorted(kept.kept_people())[:5]:
        trace.held(one)
    looked_at(kept.kept_photos(), [])


def looked_at(photos: list[Photo], findings: list) -> None:
    for photo in photos[:20]:
        with contextlib.suppress(BadImage):
            read_photo(photo.data)
    said = [*map(str, findings), *(photo.called for photo in photos)]
    if wrong := [one for one in said if not is_a_line(one)]:
        raise RuntimeError(f"said: {wrong[0][:99]!r}")
    for person in {photo.person for photo in photos}:
        person_name(person)


def records(path: Path) -> None:
    """The records that stand where the program keeps its own: everything that only looks."""
    first = None
    for look in (contributors, lambda: cli.main(["ledger", "verify"]), exported,
                 lambda: [requests.waiting(base) for base in BASES.values()],
                 lambda: [requests.policy(base) for base in BASES.values()],
                 lambda: [composition.limit(base) for base in BASES.values()],
                 lambda: [taken(base) for base in BASES.values()],
                 lambda: [lineage.learner_of(base) for base in BASES.values()],
                 lambda: [lineage.loss_of(base) for base in BASES.values()],
                 lambda: trace.held("Ana")):
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(
                    io.StringIO()):
                look()
        except ForgetError as error:
            first = first or error
    if first:
        raise first


def exported() -> None:
    with database.reading() as db:
        ledger.read_export(ledger.export_text(db))


def taken(base: Base) -> None:
    samples = kept_samples(base)
    if samples:
        samples_of(samples, tuple("0123456789"), 1)


def export(path: Path) -> None:
    """A ledger that was exported, and one that must begin with it."""
    said = io.StringIO()
    against = ["--against", str(path)] if path.stat().st_size < 1 << 20 else []
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = cli.main(["ledger", "verify", str(path), *against])
    if wrong := [one for one in said.getvalue().split("\n")[:200] if one and not is_a_line(one)]:
        raise RuntimeError(f"said: {wrong[0][:99]!r}")
    if status:
        raise BadInput(said.getvalue().splitlines()[-1])


def name(path: Path) -> None:
    """A name wherever one can be typed; each place may refuse it."""
    given, first = text(path), None
    for take in (person_name, kept.folder_of, lambda one: nearest(one, [one, "Ana"]),
                 lambda one: parse_request(f"class:{one}", hostile.digits(), 0),
                 lambda one: parse_request(one, hostile.digits(), 0), find_dataset, base_called,
                 *(base.label for base in BASES.values()), natural, whole_number(1, 10),
                 lambda one: assignments([one]), lambda one: learner_for(Mnist(), one, {}),
                 lambda one: METHODS[one], lambda one: trace.held(one)):
        try:
            take(given)
        except ForgetError as error:
            told(error).encode()  # as a page sends it
            if not is_a_line(str(error)) or len(str(error)) > MOST_SAID:
                raise RuntimeError(f"{len(str(error))} letters: {str(error)[:99]!r}") from error
            first = first or error
    if first:
        raise first


def drives(path: Path) -> None:
    """Names of files in somebody's folder of Drive."""
    try:
        names = json.loads(path.read_bytes())
        names = [one for one in names if isinstance(one, str)]
    except (ValueError, TypeError, RecursionError):
        names = path.read_bytes().decode(errors="replace").splitlines()
    named = drive._named(SimpleNamespace(path=one, id=str(n)) for n, one in enumerate(names))
    for one in named:
        if Path(one).name != one or len(one) > 2 * drive.LONGEST or not is_a_line(one):
            raise RuntimeError(f"called {one[:99]!r}")
        one.encode()
    if len({one.lower() for one in named}) != len(names):
        raise RuntimeError("two files have one name")


def raise_unless_read(checks: list) -> None:
    wrong = [f"{check.what} {check.detail}" for check in checks if check.passed is False]
    if wrong:
        raise ForgetError(f"not verified: {wrong[0]}")


DECODERS = {
    "png": picture, "jpeg": picture, "webp": picture, "zip": photos, "npz": arrays,
    "safetensors": checkpoint, "pt": checkpoint, "model": own_model, "manifest": manifest,
    "certificate": certificate, "verifymodel": certified_model, "secret": secret,
    "canvas": canvas, "labels": arrays, "link": link, "arguments": arguments, "folder": folder,
    "people": people, "records": records, "export": export, "name": name, "drive": drives,
}  # fmt: skip


# The process that forks one for each file.


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    use_fixed_threads()
    hostile.use(folder / "honest")
    hostile.digits(), hostile.rows()  # made before, so that no file's process has to
    (folder / ROWS).write_bytes(hostile.npz())
    shutil.copy(hostile.honest().model, downloads() / "shipped.safetensors")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.main(["run", str(folder / ROWS), "--forget", "class:1", "--method", "finetune"])
    find_faces([Image.new("RGB", (64, 64))])  # as that command: all that is imported when needed
    for path in sorted((folder / "files").iterdir()):
        with laid_out(path):
            print(json.dumps(fed_alone(path, folder)), flush=True)


@contextlib.contextmanager
def laid_out(path: Path) -> Iterator[None]:
    """The file where the program looks for it, before its process begins, which writes nothing
    then."""
    kind = path.name.partition("-")[0]
    place = {"manifest": downloads() / store.MANIFEST, "records": database.path(),
             "folder": path.parent.parent / GIVEN, "people": kept.folder()}.get(kind)
    if place is None:
        yield
        return
    if kind in ("folder", "people"):
        unpack(path, place / "photos" if kind == "folder" else place)
    else:
        shutil.copy(path, place)
    try:
        yield
    finally:
        if place.is_dir():
            shutil.rmtree(place)
        for left in place.parent.glob(f"{place.name}*"):
            left.unlink()


def unpack(path: Path, place: Path) -> None:
    """A tar as far as it can be read, in a folder that nothing of it leads out of."""
    place.mkdir(parents=True)
    with contextlib.suppress(tarfile.TarError, OSError, ValueError, EOFError), tarfile.open(
            path, errors="surrogateescape") as archive:
        for one in archive:
            with contextlib.suppress(tarfile.TarError, OSError, ValueError):
                archive.extract(one, place, filter="tar")


def fed_alone(path: Path, folder: Path) -> dict:
    before = listing(folder)
    read_end, write_end = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if not child:
        os.close(read_end)
        _decode(path, write_end)
    os.close(write_end)
    killed, status, usage = _wait(child, began)
    seconds = time.perf_counter() - began
    with os.fdopen(read_end) as pipe:
        said = [json.loads(line) for line in pipe.read().splitlines()]
    told = {key: value for line in said for key, value in line.items() if key != "touched"}
    at_first = told.pop("at_first", 0)
    outcome, detail = next(iter(told.items()), ("crashed", f"ended with {status}"))
    if killed or status:
        outcome, detail = "crashed", killed or f"ended with {status}"
    touched = [line["touched"] for line in said if "touched" in line]
    touched += [f"{name} (found there)" for name in _changed(before, listing(folder))]
    if path.name.startswith("records-"):  # its own log, and what reading it wrote
        touched = [one for one in touched if database.NAME not in one]
    busy = usage.ru_utime + usage.ru_stime
    if path.name.startswith("arguments-") and outcome == "read":
        # A command that can be carried out takes its time, and writes into its home.
        own = r"\ba/(home|tmp)/|^open '\d+'$"
        busy, touched = 0.0, [one for one in touched if not re.search(own, one)]
    return {"name": path.name, "outcome": outcome, "detail": detail, "seconds": seconds,
            "busy": busy,
            "growth": usage.ru_maxrss / 1024 - at_first, "touched": touched}


def _wait(child: int, began: float) -> tuple[str, int, resource.struct_rusage]:
    """Until the process ends, or is killed for what it takes."""
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return "", os.waitstatus_to_exitcode(status), usage
        killed = ""
        if time.perf_counter() - began > 12 * SECONDS:
            killed = "hung"
        elif _mebibytes(child) > 8 * GROWTH:
            killed = "took all the memory"
        if killed:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            return killed, os.waitstatus_to_exitcode(status), usage
        time.sleep(0.005)


def _mebibytes(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _decode(path: Path, pipe: int) -> None:
    """In the forked process: decode, tell what came of it, and end at once."""
    warnings.simplefilter("ignore")

    def say(**what) -> None:
        os.write(pipe, (json.dumps(what) + "\n").encode())

    def hook(event: str, args: tuple) -> None:
        writes = (event == "open" and isinstance(args[2], int) and args[2] & WRITING
                  and args[0] != os.devnull)
        made_before = event == "os.mkdir" and os.path.isdir(args[0])
        if writes or (event in TELLING and not made_before):
            say(touched=f"{event} {str(args[0])[:80]!r}")

    try:
        say(at_first=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        sys.addaudithook(hook)
        DECODERS[path.name.partition("-")[0]](path)
        say(read="")
    except ForgetError as error:
        plain = "\n" not in str(error) and str(error)
        say(**{"refused" if plain else "no sentence": f"{type(error).__name__}: {error}"[:300]})
    except BaseException as error:  # noqa: BLE001 - whatever a decoder raises is its fault
        where = traceback.extract_tb(error.__traceback__)[-1]
        say(crashed=f"{type(error).__name__}: {str(error)[:200]} ({Path(where.filename).name}:"
                    f"{where.lineno})")
    os._exit(0)


def listing(folder: Path) -> dict[str, tuple]:
    """Everything below a folder, with what changes when it is written to."""
    return {str(path.relative_to(folder)): (stat.st_mode, stat.st_size, stat.st_mtime_ns)
            for path in folder.rglob("*") for stat in [path.lstat()] if not path.is_dir()}


def _changed(before: dict, after: dict) -> list[str]:
    return sorted(name for name in before.keys() | after.keys()
                  if before.get(name) != after.get(name))


if __name__ == "__main__":
    main()
