"""Registries: one new file registers itself, and a wrong name is told what there is."""

import itertools
import sys
import textwrap

import pytest

from forget.core.errors import BadInput
from forget.core.registry import Registry
from forget.data import DATASETS
from forget.learners import LEARNERS
from forget.methods import METHODS
from forget.models import ARCHITECTURES

PART = """
from {package} import THINGS

@THINGS.register
class {name}:
    name = "{label}"
    order = {order}
"""

numbers = itertools.count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package with a registry and parts, and import its registry."""
    name = f"registry_package_{next(numbers)}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text(textwrap.dedent(f"""
        from forget.core.registry import Registry
        THINGS = Registry("thing", "{name}")
    """))
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(file: str, label: str, order: int = 100) -> None:
        text = PART.format(package=name, name=file.title(), label=label, order=order)
        (folder / f"{file}.py").write_text(text)

    def things() -> Registry:
        return __import__(name).THINGS

    yield add, things
    for module in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[module]


def test_a_new_file_appears_without_being_listed_anywhere(package):
    add, things = package
    add("one", "first")
    add("two", "second")
    assert list(things()) == ["first", "second"]
    assert things()["second"].__name__ == "Two"


def test_the_order_is_that_of_order_and_then_of_the_name(package):
    add, things = package
    add("one", "zebra", order=1)
    add("two", "beta")
    add("three", "alpha")
    assert list(things()) == ["zebra", "alpha", "beta"]


def test_length_imports_the_package_first(package):
    add, things = package
    add("one", "first")
    assert len(things()) == 1


def test_membership_imports_the_package_first(package):
    add, things = package
    add("one", "first")
    assert "first" in things()
    assert "second" not in things()


def test_an_unknown_name_is_bad_input_and_lists_the_choices(package):
    add, things = package
    add("one", "first")
    add("two", "second")
    with pytest.raises(BadInput, match="no thing called 'third'; choose one of: first, second"):
        things()["third"]


def test_a_name_taken_by_another_class_is_an_error(package):
    add, things = package
    add("one", "same")
    add("two", "same")
    with pytest.raises(ValueError, match="the thing name 'same' is taken by"):
        list(things())


def test_register_returns_the_class_and_takes_it_again():
    things = Registry("thing", "json")

    class Thing:
        name = "thing"
        order = 1

    assert things.register(Thing) is Thing
    assert things.register(Thing) is Thing


def test_register_refuses_a_second_class_of_the_same_name():
    things = Registry("thing", "json")

    class Thing:
        name = "thing"

    class Other:
        name = "thing"

    things.register(Thing)
    with pytest.raises(ValueError, match="taken by"):
        things.register(Other)


def test_a_file_that_fails_to_import_is_not_passed_over(package, tmp_path):
    add, things = package
    add("one", "first")
    next(tmp_path.glob("registry_package_*/")).joinpath("bad.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        list(things())


@pytest.mark.parametrize("registry", [DATASETS, LEARNERS, METHODS, ARCHITECTURES],
                         ids=lambda registry: registry.kind)  # fmt: skip
def test_every_real_registry_is_filled_and_keyed_by_name(registry):
    assert len(registry) >= 1
    for name, cls in registry.items():
        assert cls.name == name
    with pytest.raises(BadInput, match=", ".join(registry)):
        registry["no such name"]


def test_the_three_first_methods_are_there():
    assert {"retrain", "finetune", "gradient_ascent"} <= set(METHODS)


def test_every_method_names_a_learner_that_exists():
    assert all(cls.learner in LEARNERS for cls in METHODS.values())
