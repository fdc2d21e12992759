"""Every command in README and docs is run, or checked as far as it can be, and every link led to.

A page's commands are run in their order, in a folder of their own with the files that they name. A
command that no rule covers fails.
"""

import argparse
import dataclasses
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image, ImageOps

import forget.data
import forget.methods
from bench.docker_steps import PORT, free_port, healthy, started, steps_of
from forget.cli import main as cli
from forget.data import DATASETS
from forget.data.mnist import TEST_IMAGES, TEST_LABELS, read_idx
from forget.methods import METHODS

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FIRST = ("README.md", "docs/methods.md")
"""The pages whose commands every run tries; `make test-all` tries those of all."""

PROGRAMS = {"python", "pip", "uv", "make", "streamlit", "docker"}
SHELLS, OTHERS = {"sh", "bash"}, {"python", "toml", "text"}

INSTEAD = {
    "compare mnist --forget class:7 --seeds 5": "compare mine.npz --forget class:2 --seeds 1",
    "compare mine.npz --forget class:2 --seeds 3": "compare mine.npz --forget class:2 --seeds 1",
    "--seeds 1 --audit --shadows 24": "--seeds 1",
    "--methods finetune,certified --seeds 3": "--methods finetune,certified --seeds 1",
    "--seed 1": "",
}
"""What would take minutes, and what is run instead of it."""

SAYS = {
    "trace Ana --like": "a search of the whole data folder found nothing",
    "ledger verify": "verified: ",
    "verify out/certificate.json": "verified",
    "verify person/certificate.json": "verified",
}
"""What a command must say beside ending well."""

ONLY_READ = ("fetch lfw", "fetch --folder", "FORGET_SCHEDULER=")
"""What needs the internet or a cluster: the program's own parser reads it, and no more."""

PEOPLE = ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn")


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a page: the variables before it, and its words."""

    page: str
    text: str
    variables: dict[str, str]
    words: list[str]


def blocks(text: str) -> list[tuple[str, str]]:
    """The code blocks of a page: language ("" where it names none), and what is in it.

    An indented one counts as a shell's if it begins with a program's name.
    """
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"(?:(?<=\n\n)|\A)((?:    .*\n?)+)", rest):
        first = block.split()[0]
        if first in PROGRAMS or re.fullmatch(r"\w+=\S*", first):
            fenced.append(("sh", block))
    return fenced


def commands(page: str, text: str) -> Iterator[Command]:
    """Every command in a page's shell blocks, in their order."""
    for language, block in blocks(text):
        if language not in SHELLS:
            continue
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            for part in re.split(r"\s&&\s", line):
                words = shlex.split(part, comments=True)
                variables = {}
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    name, variables[name] = words.pop(0).split("=", 1)
                if words:
                    yield Command(page, part.strip(), variables, words)


def of_page(page: str) -> list[Command]:
    return list(commands(page, (ROOT / page).read_text()))


ALL = [command for page in PAGES for command in of_page(page)]


# Rules: how each program's commands are run or checked.


def run_forget(command: Command, place: Path) -> None:
    """``python -m forget …``: run, with what is declared instead; status 0."""
    words, into = command.words[3:], "/dev/null"
    if ">" in words:
        *words, _, into = words
    cli._parser().parse_args(words)
    if any(part in command.text for part in ONLY_READ):
        return
    text = shlex.join(words)
    for long, short in INSTEAD.items():
        text = text.replace(long, short)
    words = shlex.split(text)
    with redirect_stdout(io.StringIO()) as output:
        assert called(cli.main, words) == 0, command.text
    Path(into).write_text(output.getvalue())
    for part, said in SAYS.items():
        assert part not in text or said in output.getvalue(), command.text


def run_script(command: Command, place: Path) -> None:
    """``python FILE …``: run as it is; the audit without a network."""
    if command.words[1] == ".ci/audit":
        silent = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
        in_place(ROOT, *command.words[1:], **silent)
        return
    arguments = [str(ROOT / command.words[1]), *command.words[2:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        assert called(runpy.run_path, arguments[0], run_name="__main__") == 0


def run_pytest(command: Command, place: Path) -> None:
    in_place(place, *command.words[1:])


def run_streamlit(command: Command, place: Path) -> None:
    """The server starts with these options, and answers."""
    port = free_port()
    words = [sys.executable, "-m", *command.words, "--server.headless=true",
             f"--server.port={port}"]
    (place / "app").mkdir(exist_ok=True)
    for name in ("app.py", "forget", "pages", "ui", ".streamlit"):
        if not (place / "app" / name).exists():
            (place / "app" / name).symlink_to(ROOT / name)
    [check] = [one for one in steps_of((ROOT / "Dockerfile").read_text())
               if one.word == "HEALTHCHECK"]
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with started(words, port, place, env) as server:
        assert healthy(check, port, env, 90), (place / "server.log").read_text()
        assert server.poll() is None


def check_make(command: Command, place: Path) -> None:
    for target in command.words[1:]:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def check_pip(command: Command, place: Path) -> None:
    """The files exist, and each package that is named is one of the tested set."""
    assert command.words[:2] == ["pip", "install"]
    parser = argparse.ArgumentParser()
    parser.add_argument("-r", action="append", default=[])
    parser.add_argument("-c")
    parser.add_argument("packages", nargs="*")
    options = parser.parse_args(command.words[2:])
    pinned = {Requirement(line).name.lower().replace("_", "-")
              for line in lines_of(ROOT / "constraints.txt")}
    named = [*options.packages, *(line for name in options.r for line in requirements(name))]
    assert named
    assert {Requirement(one).name.lower() for one in named} <= pinned | {"pip"}
    assert options.c is None or (ROOT / options.c).is_file()


def check_uv(command: Command, place: Path) -> None:
    """What uv is told is what pip or Streamlit would be told."""
    verb, *words = command.words[1:]
    if verb != "venv":
        words = ["pip", *words] if verb == "pip" else words
        assert words[0] in ("pip", "streamlit")
        inner = dataclasses.replace(command, words=words)
        (check_pip if verb == "pip" else run_streamlit)(inner, place)


def check_docker(command: Command, place: Path) -> None:
    """What is built and run fits the Dockerfile, and is published on this machine only."""
    steps = {step.word: step.rest for step in steps_of((ROOT / "Dockerfile").read_text())}
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build")
    build.add_argument("-t", required=True, choices=["forget"])
    name = steps["ARG"].split("=")[0]
    values = re.findall(rf'"\${name}" = (\w+) ', steps["RUN"])  # what the build looks for
    assert values
    build.add_argument("--build-arg", choices=[f"{name}={value}" for value in values])
    build.add_argument("context", choices=["."])
    start = verbs.add_parser("run")
    start.add_argument("-p", required=True, choices=[f"127.0.0.1:{PORT}:{steps['EXPOSE']}"])
    start.add_argument("-v", action="append", required=True)
    start.add_argument("image", choices=["forget"])
    options = parser.parse_args(command.words[1:])
    if options.verb == "run":
        inside = {volume.split(":")[1] for volume in options.v}
        assert steps["VOLUME"] in inside
        assert inside <= {steps["VOLUME"], f"{steps['WORKDIR']}/.streamlit/secrets.toml"}


RULES: dict[tuple[str, ...], Callable[[Command, Path], None]] = {
    ("python", "-m", "forget"): run_forget,
    ("python", "-m", "pytest"): run_pytest,
    ("python", "train_face.py"): run_script,
    ("python", ".ci/audit"): run_script,
    ("streamlit", "run", "app.py"): run_streamlit,
    ("make",): check_make,
    ("pip",): check_pip,
    ("uv",): check_uv,
    ("docker",): check_docker,
}


def rule_of(command: Command):
    """The rule that covers a command, or None."""
    return next((rule for words, rule in RULES.items()
                 if tuple(command.words[:len(words)]) == words), None)


def called(function, *arguments, **named) -> int:
    """The exit status of what ends by itself or by SystemExit."""
    try:
        return function(*arguments, **named) or 0
    except SystemExit as end:
        return end.code or 0


def in_place(place: Path, *words: str, **variables: str) -> None:
    """Run Python in a folder; it must succeed."""
    done = subprocess.run([sys.executable, *words], cwd=place, capture_output=True, text=True,
                          env=os.environ | variables, timeout=240)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def requirements(name: str) -> list[str]:
    """The packages that a file of requirements names, those of the files that it names too."""
    return [one for line in lines_of(ROOT / name) for one in
            (requirements(line[3:]) if line.startswith("-r ") else [line])]


# What the pages' commands find.


def files_in(page: str) -> dict[str, str]:
    """The Python files that a page says to write: path to content."""
    python = [block for language, block in blocks((ROOT / page).read_text())
              if language == "python"]
    return {found[1]: block for block in python
            if (found := re.match(r"# (forget/\S+\.py)\n", block))}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with the files that commands name, and the data that are downloaded already."""
    home, source = tmp_path / "forget_downloads", ROOT / "forget_downloads"
    home.mkdir()
    for name in ("mnist", "faces", "dlib_resnet"):
        (home / name).symlink_to(source / name)
    for path in (source / "manifest.json", *source.glob("mnist-network-*.safetensors")):
        shutil.copy(path, home)
    if (source / "embeddings").is_dir():
        shutil.copytree(source / "embeddings", home / "embeddings")
    write_arrays(tmp_path / "mine.npz")
    write_photos(tmp_path / "photos", home / "faces" / "orl_faces.zip")
    write_seven(tmp_path / "seven.png", home / "mnist")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORGET_HOME", str(home))
    return tmp_path


def write_arrays(path: Path) -> None:
    """Four clouds of 60 rows of 8 numbers."""
    draw = np.random.default_rng(0)
    centres = draw.normal(0, 3, (4, 8))
    arrays = {}
    for part, each in (("train", 60), ("test", 40)):
        y = np.repeat(np.arange(4), each)
        arrays[f"x_{part}"] = (centres[y] + draw.normal(0, 1, (len(y), 8))).astype(np.float32)
        arrays[f"y_{part}"] = y
    np.savez(path, **arrays)


def write_photos(folder: Path, packed: Path) -> None:
    """Six of the AT&T's people under other names; three photos turned round, as nobody has them."""
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            person, file = Path(name).parts[-2:]
            number = int(person[1:]) - 1
            if number >= len(PEOPLE):
                continue
            path = folder / PEOPLE[number] / f"{Path(file).stem}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            if number == 0 and path.stem in "123":
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    ImageOps.mirror(image).save(path)
            else:  # a file's first bytes say what it is, whatever its name
                path.write_bytes(archive.read(name))


def write_seven(path: Path, folder: Path) -> None:
    """An unseen seven as a picture."""
    x, y = (read_idx(folder / file.name) for file in (TEST_IMAGES, TEST_LABELS))
    Image.fromarray(x[(y == 7).argmax()]).resize((140, 140)).save(path)


@pytest.fixture
def written(place, monkeypatch):
    """Write a page's files as it says, into a copy of the program; then the registries find them
    as they find every file beside their own."""
    def write(page: str) -> None:
        files = files_in(page)
        if not files:
            return
        shutil.copytree(ROOT / "forget", place / "forget",
                        ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("tests", "pyproject.toml"):
            (place / name).symlink_to(ROOT / name)
        for path, code in files.items():
            assert not (ROOT / path).exists()
            (place / path).write_text(code)
        for registry, package in ((METHODS, forget.methods), (DATASETS, forget.data)):
            folder = place / package.__name__.replace(".", "/")
            monkeypatch.setattr(registry, "_classes", dict(registry._load()))
            monkeypatch.setattr(registry, "_loaded", False)
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])

    before = set(sys.modules)
    yield write
    for name in [name for name in sys.modules if name not in before
                 and str(place) in str(getattr(sys.modules[name], "__file__", ""))]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("page", [
    pytest.param(page, marks=[] if page in FIRST else pytest.mark.exhaustive)
    for page in PAGES if of_page(page)])
def test_every_command_of_a_page_works(page, place, written, monkeypatch):
    written(page)
    for command in of_page(page):
        with monkeypatch.context() as patch:
            for name, value in command.variables.items():
                patch.setenv(name, value)
            rule_of(command)(command, place)


@pytest.mark.slow
def test_the_program_finds_the_files_that_a_page_adds(place, written, capsys):
    written("docs/extending.md")
    assert cli.main(["methods"]) == 0 and cli.main(["datasets"]) == 0
    said = capsys.readouterr().out
    assert "relabel  (learner: network)" in said
    assert "rings  Example: three rings" in said


def test_the_files_of_a_page_are_no_part_of_the_program():
    assert "relabel" not in METHODS
    assert "rings" not in DATASETS


@pytest.mark.slow
def test_the_script_that_uses_the_library_runs_as_it_stands(place, capsys):
    [script] = [block for language, block in blocks((ROOT / "docs/extending.md").read_text())
                if language == "python" and "# forget/" not in block]
    (place / "script.py").write_text(script)
    runpy.run_path(str(place / "script.py"))
    assert re.match(r"[a-z -]+ \d+\.\d+\n", capsys.readouterr().out)


def test_a_rule_covers_every_command():
    assert len(ALL) > 30
    assert [command.text for command in ALL if rule_of(command) is None] == []


def test_a_command_that_no_rule_covers_is_found():
    page = ("Do it:\n\n    python -m forget methods\n\nor\n\n"
            "```sh\ncurl -O x && pip install y\n```\n")
    found = list(commands("page", page))
    assert sorted(one.words[0] for one in found) == ["curl", "pip", "python"]
    assert [rule_of(one) is None for one in found].count(True) == 1


def test_every_substitution_and_exception_is_still_needed():
    texts = [shlex.join(command.words) for command in ALL]
    for long in INSTEAD:
        assert any(long in text for text in texts), long
    for part in (*ONLY_READ, *SAYS):
        assert any(part in command.text for command in ALL), part


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    text = (ROOT / page).read_text()
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def known_commands() -> set[str]:
    """The subcommands that the program has."""
    usage = cli._parser().format_help()
    return {line.split()[0] for line in usage.splitlines() if re.match(r"    \w", line)}


@pytest.mark.parametrize("page", PAGES)
def test_every_code_block_says_what_it_is(page):
    languages = {language for language, _ in blocks((ROOT / page).read_text())}
    assert languages <= SHELLS | OTHERS


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_running_text_exists(page):
    text = prose(page)
    for sub in re.findall(r"`python -m forget (\w+)", text):
        assert sub in known_commands()
    for module in re.findall(r"`(?:python -m )?(bench\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    for target in re.findall(r"`make (\w+)", text):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    text = prose(page)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def anchors(text: str) -> set[str]:
    """The names by which a page's headings are linked to."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_readme_leads_to_every_page():
    text = (ROOT / "README.md").read_text()
    assert all(f"({page})" in text for page in PAGES[1:])


# The pages against the program.


def test_every_method_has_its_picture_small_and_without_scripts_or_fonts():
    page = (ROOT / "docs" / "methods.md").read_text()
    for name in METHODS:
        path = ROOT / "docs" / "pictures" / f"{name}.svg"
        assert f"(pictures/{name}.svg)" in page
        assert path.stat().st_size < 60_000
        root = ElementTree.parse(path).getroot()
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert {"svg", "title", "desc"} <= kinds
        assert kinds <= {"svg", "title", "desc", "g", "rect", "text", "polyline", "circle"}
        # A ground of its own: it reads on a dark page as on a light one.
        assert root.find("{*}rect").get("fill") == "#ffffff"


@pytest.mark.slow
def test_a_picture_is_drawn_from_a_run(place):
    from docs.pictures import drawn

    picture, about = drawn("gradient_ascent")
    root = ElementTree.fromstring(picture)
    assert root.find("{*}desc").text == about
    assert re.match(r"\d+ steps from 9\d\.\d % to [01]\.\d % on what is to be forgotten", about)
    assert len(root.findall("{*}circle")) == int(about.split()[0]) + 1


def test_every_figure_of_the_pages_is_explained():
    from ui.compare.table import COLUMNS
    from ui.run.outcome import DISTANCES

    page = re.sub(r"\s+", " ", (ROOT / "docs" / "reading.md").read_text())
    names = {column.name.removesuffix(" ±").removesuffix(", retrained") for column in COLUMNS}
    names |= {name.removesuffix(", nats") for name in DISTANCES}
    names |= {"AUC", "Balanced accuracy", "Found at 1 % false", "KLoM", "Gap", "nobody known"}
    missing = [name for name in sorted(names - {"Method"}) if f"**{name}**" not in page]
    assert missing == []


def test_the_example_of_sign_in_is_complete():
    from ui.shell.access import OF_PROVIDER, SHARED

    [example] = [block for language, block in
                 blocks((ROOT / "docs" / "deploying.md").read_text()) if language == "toml"]
    assert set(tomllib.loads(example)["auth"]) == {*SHARED, *OF_PROVIDER}
