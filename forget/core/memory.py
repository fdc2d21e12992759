"""How much memory is left, and a refusal in time of what needs more.

Linux promises more memory than there is, and ends a process that takes it at its word: so the need
is estimated before the work.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from forget.core.errors import NoMemory

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
FILES = {"0": ("memory.max", "memory.current", "inactive_file"),
         "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")}
"""A cgroup's limit, what is used of it, and what of that is files that can be dropped: in version 2
and in version 1."""


def free() -> int:
    """Bytes that this process can still take: of the machine, of its container, of its own limit
    (``ulimit -v``)."""
    left = [psutil.virtual_memory().available, *_left_of_cgroups()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        left.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(left))


def check(need: float, what: str, instead: str) -> None:
    """Raise :class:`NoMemory` where ``what`` would need more bytes than are free."""
    there = free()
    if need > there:
        raise NoMemory(f"{what} would need about {_shown(need)} of memory, and {_shown(there)} are "
                       f"free: {instead}")


@contextmanager
def told() -> Iterator[None]:
    """Allocations that fail as :class:`NoMemory`, numpy's and torch's alike."""
    try:
        yield
    except MemoryError as error:
        raise _out() from error
    except RuntimeError as error:
        # Only on an accelerator does torch have a class of its own for it.
        if type(error).__name__ != "OutOfMemoryError" and "allocate memory" not in str(error):
            raise
        raise _out() from error


def _out() -> NoMemory:
    return NoMemory(f"there was not enough memory, {_shown(free())} are free: take fewer features, "
                    "classes or samples, or close other programs")


def _shown(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def _left_of_cgroups() -> Iterator[int]:
    """What each of the process's own cgroups leaves of its limit."""
    if not OWN_CGROUP.is_file():
        return
    for line in OWN_CGROUP.read_text().splitlines():
        number, kinds, path = line.split(":", 2)
        kind = "0" if number == "0" and not kinds else "memory"
        if kind == "memory" and "memory" not in kinds.split(","):
            continue
        top = CGROUPS if kind == "0" else CGROUPS / "memory"
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            if (left := _left_of(folder, *FILES[kind])) is not None:
                yield left
            if folder == top:
                break


def _left_of(folder: Path, limit: str, used: str, files: str) -> int | None:
    """None where there is no limit, or none that can be read."""
    try:
        most = (folder / limit).read_text().strip()
        taken = int((folder / used).read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if most == "max" else int(most) - taken + int(counts.get(files, 0))
