"""Calls go one way: the contracts in ``pyproject.toml`` hold, and find an import that goes back."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def contracts(root: Path) -> tuple[int, str]:
    """What import-linter finds below ``root``: its exit status and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()",
         "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copied(tmp_path) -> Path:
    """A copy of the source, to plant imports in."""
    for package in ("forget", "ui"):
        shutil.copytree(ROOT / package, tmp_path / package,
                        ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_import_goes_back():
    status, said = contracts(ROOT)
    assert status == 0, said
    assert "0 broken" in said


@pytest.mark.parametrize(("file", "line", "contract"), [
    ("forget/metrics/accuracy.py", "import forget.unlearning.run", "Calls go down"),
    ("forget/core/steps.py", "from forget.io.paths import downloads", "Calls go down"),
    ("forget/data/npz.py", "def f():\n    import forget.cli.main as c", "Calls go down"),
    ("forget/evaluation/compare.py", "from forget.records import taught", "Calls go down"),
    ("forget/methods/retrain.py", "from ..metrics import accuracy", "Calls go down"),
    ("forget/unlearning/result.py", "from forget.unlearning.run import run", "One request"),
    ("forget/evaluation/shadows.py", "from forget.evaluation import audit", "Many runs"),
    ("forget/records/lineage.py", "from forget.records import replace", "Records"),
    ("forget/brand_new.py", "import streamlit", "The library knows no page"),
    ("forget/core/words.py", "from ui.shell.words import told", "The library knows no page"),
    ("forget/metrics/cka.py", "import plotly.graph_objects", "Only what is handed out"),
    ("forget/methods/finetune.py", "from forget.io.files import fetch", "A method gets samples"),
    ("ui/shell/words.py", "from ui.frame import PAGES", "Pages stand on"),
])
def test_a_planted_import_that_goes_back_is_found(copied, file, line, contract):
    path = copied / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    status, said = contracts(copied)
    assert status == 1
    broken = [one for one in said.splitlines() if one.endswith("BROKEN")]
    assert any(one.startswith(contract) for one in broken)


def test_every_folder_of_the_library_has_its_place():
    """A folder that no contract names would be free to import anything."""
    text = (ROOT / "pyproject.toml").read_text()
    layers = text.split('containers = ["forget"]')[1].split("]\n")[0]
    folders = {path.parent.name for path in (ROOT / "forget").glob("*/__init__.py")}
    assert folders == set(layers.replace('"', " ").replace(",", " ").replace("|", " ").split()
                          ) - {"layers", "=", "["}
    assert {path.name for path in (ROOT / "forget").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_nothing_imports_a_page():
    """By name or by a text: pages are run and not imported."""
    wrong = []
    for path in [path for folder in ("forget", "ui") for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    found = [one.name for one in names]
                case ast.ImportFrom(module=str(module)):
                    found = [module]
                case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if (
                        ast.unparse(func).endswith(("import_module", "__import__"))):
                    found = [name]
                case _:
                    continue
            upper = {"pages", "app"} | ({"ui", "streamlit"} if "forget" in path.parts else set())
            wrong += [(path.name, name) for name in found if name.split(".")[0] in upper]
    assert wrong == []


def test_pictures_are_shown_in_one_way():
    """Any other gives a person's picture an address that answers whoever has it."""
    calls = {f"{path.relative_to(ROOT)}" for folder in ("ui", "pages")
             for path in (ROOT / folder).rglob("*.py") for node in ast.walk(ast.parse(
                 path.read_text())) if isinstance(node, ast.Attribute) and node.attr == "image"}
    assert calls == {"ui/widgets/portrait.py"}
