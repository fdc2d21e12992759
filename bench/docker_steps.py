"""The Dockerfile without an engine: its steps carried out one by one in a clean folder.

    python -m bench.docker_steps

Installs everything into a fresh virtual environment and fetches all data anew: minutes, and about
7 GB. What only an engine can do (the base image, the user, the volume) is left out and says so.
"""

import dataclasses
import datetime
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
WORKDIR = "app"
PORT = "8501"


@dataclasses.dataclass(frozen=True)
class Step:
    """One instruction: its word, such as ``RUN``, and all that follows on one line."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The last form of words in it: the JSON list where it has one, else as a shell reads."""
        start = self.rest.find("[")
        return json.loads(self.rest[start:]) if start >= 0 else shlex.split(self.rest)


def steps_of(text: str) -> list[Step]:
    """The instructions of a Dockerfile.

    >>> steps_of("# a remark\\nRUN one \\\\\\n  two\\n")
    [Step(word='RUN', rest='one two')]
    """
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n\s*", "", lines).splitlines()
    return [Step(*line.strip().split(maxsplit=1)) for line in whole if line.strip()]


def enters(path: str, ignored: str) -> bool:
    """Whether a file, by its path below the context, passes a ``.dockerignore``: the last pattern
    that names it or a folder that it lies in decides.

    >>> enters("ui/a.py", "*\\n!ui"), enters("ui/__pycache__/a.pyc", "*\\n!ui\\n**/__pycache__")
    (True, False)
    """
    places = [path, *map(str, PurePosixPath(path).parents)]
    inside = True
    for line in ignored.splitlines():
        if line and not line.startswith("#"):
            pattern = _pattern(line.removeprefix("!"))
            if any(pattern.fullmatch(place) for place in places):
                inside = line.startswith("!")
    return inside


def _pattern(glob: str) -> re.Pattern:
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(signs.get(part, re.escape(part)) for part in parts))


def copied(step: Step, root: Path, ignored: str) -> Iterator[tuple[Path, str]]:
    """What a COPY takes: each file, and where in the image it goes."""
    *sources, target = (word for word in step.words if not word.startswith("--"))
    inside = PurePosixPath("/", WORKDIR, target)
    for source in sources:
        start = root / source
        files = [start] if start.is_file() else sorted(start.rglob("*"))
        base = start.parent if start.is_file() else start
        for file in files:
            if file.is_file() and enters(file.relative_to(root).as_posix(), ignored):
                yield file, str(inside / file.relative_to(base).as_posix())


def lay_out(step: Step, image: Path, root: Path = ROOT) -> int:
    """Copy what a COPY takes into a folder that stands for the image; returns how many files."""
    count = 0
    for file, place in copied(step, root, (root / ".dockerignore").read_text()):
        target = image / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        count += 1
    return count


def environment(steps: Sequence[Step], image: Path) -> dict[str, str]:
    """What the ENV instructions set, with paths of the image below the folder."""
    pairs = [word.split("=", 1) for step in steps if step.word == "ENV" for word in step.words]
    return {name: str(image / value[1:]) if value.startswith("/") else value
            for name, value in pairs}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def started(words: Sequence[str], port: str, image: Path, env: Mapping[str, str]) -> Iterator:
    """The CMD's own words, run from the image's folder on another port."""
    log = image / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen([word.replace(PORT, port) for word in words],
                                  cwd=image / WORKDIR, env=env, stdout=output, stderr=output)
    try:
        yield server
    finally:
        server.terminate()
        server.wait(20)


def healthy(step: Step, port: str, env: Mapping[str, str], seconds: float) -> bool:
    """Whether the HEALTHCHECK's own command succeeds before so many seconds are over."""
    words = [word.replace(PORT, port) for word in step.words]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if subprocess.run(words, env=env, capture_output=True).returncode == 0:
            return True
        time.sleep(0.5)
    return False


def main() -> None:
    steps = steps_of((ROOT / "Dockerfile").read_text())
    print(f"python -m bench.docker_steps\n{datetime.date.today()}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f} before\n")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", image / "venv"], check=True)
        bin_ = image / "venv" / "bin"
        env = {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": folder, "DATA": "baked",
               **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
               **environment(steps, image)}
        (image / WORKDIR).mkdir()
        print(f"{'step':68} {'seconds':>8}  outcome")
        for step in steps:
            began = time.perf_counter()
            outcome = carried_out(step, steps, image, env)
            shown = f"{step.word} {step.rest}"
            shown = shown if len(shown) < 68 else shown[:66] + "…"
            print(f"{shown:68} {time.perf_counter() - began:8.1f}  {outcome}", flush=True)


def carried_out(step: Step, steps: Sequence[Step], image: Path, env: Mapping[str, str]) -> str:
    """Do one step and say in a few words what came of it."""
    if step.word == "COPY":
        return f"{lay_out(step, image)} files"
    if step.word == "RUN" and not step.rest.startswith("useradd"):
        subprocess.run(["sh", "-c", step.rest], cwd=image / WORKDIR, env=env, check=True,
                       stdout=subprocess.DEVNULL)
        return "done"
    if step.word == "CMD":
        [check] = [one for one in steps if one.word == "HEALTHCHECK"]
        port = free_port()
        words = [shutil.which(step.words[0], path=env["PATH"]), *step.words[1:]]
        with started(words, port, image, env):
            return "healthy" if healthy(check, port, env, 60) else "NOT HEALTHY"
    return "left to the engine" if step.word in ("FROM", "RUN", "USER", "VOLUME") else "read"


if __name__ == "__main__":
    main()
