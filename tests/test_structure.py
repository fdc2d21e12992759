"""Calls go one way: the imports of the library are read, and an arrow that goes back fails."""

import ast
import functools
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ABOVE = ("forget.run", "forget.learn", "forget.result", "forget.watch", "forget.cli",
         "forget.export", "forget.adopt", "forget.drive", "forget.warm", "forget.verify",
         "forget.represent", "forget.strangers", "forget.shadows", "forget.audit",
         "forget.compare", "forget.report", "forget.figures", "forget.frauds",
         "forget.records", "forget.terminal", "forget.inventory")  # fmt: skip
"""What calls everything else and is called by nothing below."""

TRIALS = ("forget.shadows", "forget.audit", "forget.compare", "forget.report", "forget.frauds")
"""What puts methods on trial: a single run knows nothing of it."""

RECORDS = ("database", "ledger", "bases", "contributions", "lineage", "replace", "taught",
           "history", "composition", "requests", "trace", "commands")
"""The records, each knowing nothing of those after it."""

FORBIDDEN = {
    "forget": ("streamlit", "ui", "pages", "app"),
    "forget.data": (
        "forget.learners", "forget.methods", "forget.metrics", "forget.models", "forget.store",
        *ABOVE,
    ),
    "forget.faces": ("forget.learners", "forget.methods", "forget.metrics", "forget.models",
                     "forget.store", "forget.features", "forget.certificate", *ABOVE),
    "forget.models": ("forget.data", "forget.learners", "forget.methods", "forget.metrics",
                      "forget.store", *ABOVE),
    "forget.learners": ("forget.methods", "forget.metrics", "forget.store", *ABOVE),
    "forget.features": ("forget.data", "forget.learners", "forget.methods", "forget.metrics",
                        "forget.models", "forget.store", *ABOVE),
    "forget.solve": ("forget.data", "forget.features", "forget.learners", "forget.methods",
                     "forget.metrics", "forget.models", "forget.store", *ABOVE),
    "forget.sharding": ("forget.learners", "forget.methods", "forget.models", "forget.store",
                        *ABOVE),
    "forget.certificate": ("forget.methods", "forget.metrics", *ABOVE),
    "forget.methods": (
        "forget.data.files", "forget.data.images", "forget.data.mnist", "forget.data.npz",
        "forget.data.photos", "forget.data.faces", "forget.data.folder", "forget.data.lfw",
        "forget.faces", "forget.strangers",
        "forget.metrics", "forget.store", "forget.measure", "forget.request", *ABOVE,
    ),
    "forget.metrics": ("forget.learners", "forget.methods", "forget.store", *ABOVE),
    "forget.store": ("forget.methods", "forget.metrics", *ABOVE),
    "forget.result": ("forget.watch", "forget.learn", "forget.run", "forget.cli", "forget.export"),
    "forget.watch": ("forget.learn", "forget.run", "forget.cli", "forget.export"),
    "forget.learn": ("forget.run", "forget.cli", "forget.export"),
    "forget.run": ("forget.cli", "forget.export", "forget.records", *TRIALS),
    "forget.terminal": ("forget.cli", "forget.records", "forget.run", *TRIALS),
    "forget.records": ("forget.cli", "forget.export", *TRIALS),
    **{f"forget.records.{name}": tuple(f"forget.records.{after}" for after in RECORDS[place:])
       for place, name in enumerate(RECORDS, 1)},
    "forget.shadows": ("forget.audit", "forget.compare", "forget.cli", "forget.export",
                       "forget.report", "forget.frauds"),
    "forget.audit": ("forget.compare", "forget.cli", "forget.export", "forget.report",
                     "forget.frauds"),
    "forget.compare": ("forget.cli", "forget.export", "forget.report", "forget.frauds"),
    "forget.report": ("forget.cli", "forget.export", "forget.frauds"),
    "forget.frauds": ("forget.metrics", "forget.store", "forget.data", "forget.run", "forget.learn",
                      "forget.shadows", "forget.audit", "forget.compare", "forget.cli"),
    "ui": ("pages", "app"),
}  # fmt: skip


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@functools.cache  # each test plants its import in one file of all
def imports_of(source: str, module: str, is_package: bool = False) -> set[str]:
    """Every module that a file may import, at its top or deep in a function, by absolute name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func)
            if name.endswith(("import_module", "__import__")):
                found.add(str(node.args[0].value))
    return found


def backward_imports(root: Path) -> list[str]:
    """Each import below ``root`` that goes against the arrows, as 'module imports other'."""
    wrong = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        names = imports_of(path.read_text(), module, is_package)
        for package, forbidden in FORBIDDEN.items():
            if inside(module, package):
                wrong += [f"{module} imports {name}" for name in sorted(names)
                          for target in forbidden if inside(name, target)]  # fmt: skip
    return wrong


@pytest.fixture
def copied(tmp_path) -> Path:
    """A copy of the library's source, to plant imports in."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("forget", "ui"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def test_no_import_goes_back(copied):
    assert len(list((copied / "forget").rglob("*.py"))) > 20
    assert backward_imports(copied) == []


@pytest.mark.parametrize(("file", "line", "found"), [
    ("forget/metrics/accuracy.py", "import forget.run", "forget.run"),
    ("forget/metrics/distance.py", "from forget import store", "forget.store"),
    ("forget/metrics/__init__.py", "from forget.learners import LEARNERS", "forget.learners"),
    ("forget/metrics/verdict.py", "from ..methods.retrain import Retrain", "forget.methods"),
    ("forget/methods/retrain.py", "from forget.data.mnist import Mnist", "forget.data.mnist"),
    ("forget/methods/finetune.py", "from forget.data import files", "forget.data.files"),
    ("forget/methods/__init__.py", "from ..metrics import accuracy", "forget.metrics"),
    ("forget/methods/retrain.py", "def f():\n    from forget.run import learn", "forget.run"),
    ("forget/learners/network.py", "from forget.methods import METHODS", "forget.methods"),
    ("forget/learners/__init__.py", "from .. import store", "forget.store"),
    ("forget/data/__init__.py", "from forget.models import build", "forget.models"),
    ("forget/data/npz.py", "import forget.cli as c", "forget.cli"),
    ("forget/models/mlp.py", "from forget.data import Samples", "forget.data"),
    ("forget/models/__init__.py", "from ..run import learn", "forget.run"),
    ("forget/cli.py", "import streamlit as st", "streamlit"),
    ("forget/steps.py", "from ui.charts import curve", "ui.charts"),
    ("forget/data/mnist.py", "import pages.digits", "pages.digits"),
    ("forget/run.py", "import importlib\nimportlib.import_module('ui')", "ui"),
    ("forget/result.py", "from forget.run import run", "forget.run"),
    ("forget/run.py", "from forget.records import taught", "forget.records"),
    ("forget/records/ledger.py", "from forget.records.taught import teach",
     "forget.records.taught"),
    ("forget/records/lineage.py", "from forget.records import replace", "forget.records.replace"),
    ("forget/learn.py", "from forget import cli", "forget.cli"),
    ("forget/methods/retrain.py", "from forget.learn import learn", "forget.learn"),
    ("forget/brand_new.py", "import streamlit", "streamlit"),
    ("ui/charts.py", "from pages import digits", "pages"),
])  # fmt: skip
def test_a_planted_import_that_goes_back_is_found(copied, file, line, found):
    path = copied / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert any(wrong.startswith(f"{module} imports {found}") for wrong in backward_imports(copied))


@pytest.mark.parametrize(("file", "line"), [
    ("forget/methods/retrain.py", "from forget.data import Samples"),
    ("forget/metrics/accuracy.py", "from forget.models import logits_of"),
    ("forget/run.py", "from forget.methods import METHODS"),
    ("forget/cli.py", "import uinteger, pages_of_text, application"),
    ("ui/charts.py", "import streamlit as st\nfrom forget.run import run"),
])  # fmt: skip
def test_an_import_along_the_arrows_is_fine(copied, file, line):
    path = copied / file
    path.write_text(path.read_text() + f"\n{line}\n")
    assert backward_imports(copied) == []


def test_the_library_can_be_imported_without_a_page_library():
    """Importing every module by name in its own process would cost seconds: the sources tell."""
    drawing = {"figures.py", "report.py"}
    names = set()
    for path in (ROOT / "forget").rglob("*.py"):
        found = {name.split(".")[0] for name in imports_of(path.read_text(), "forget.x")}
        names |= found - {"plotly"} if path.name in drawing else found
    assert "torch" in names
    assert names.isdisjoint({"streamlit", "plotly", "ui", "pages", "app"})


def test_pictures_are_shown_in_one_way():
    """Any other gives a person's picture an address that answers whoever has it."""
    calls = {f"{path.relative_to(ROOT)}" for folder in ("ui", "pages")
             for path in (ROOT / folder).rglob("*.py") for node in ast.walk(ast.parse(
                 path.read_text())) if isinstance(node, ast.Attribute) and node.attr == "image"}
    assert calls == {"ui/portrait.py"}
