"""A comparison that is killed goes on where it was, and ends with the same table."""

import random
from pathlib import Path

import pytest
from clusters import people
from killed import AUDITED, ENTRIES, SHADOWS, Home, save_data

from forget.evaluation.compare import compare
from forget.learners.network import Network
from forget.methods.gradient_ascent import GradientAscent
from forget.unlearning.request import parse_request


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return save_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data) -> dict:
    """The table of a comparison that nobody stopped."""
    home = Home(tmp_path_factory.mktemp("undisturbed") / "home", data)
    return home.finish(home.start())


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.exhaustive)])
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_table(
        tmp_path, data, undisturbed, kills):
    draw, home = random.Random(5), Home(tmp_path / "home", data)
    for _ in range(kills):
        # By what is done, not by the clock: how fast that goes depends on who else is at work.
        assert home.kill(home.start(), draw.uniform(0, 0.1), draw.randint(5, 28)) is not None
        assert home.intact()
    assert home.finish(home.start()) == undisturbed
    assert home.intact()
    assert len(home.kept("runs", ".json")) == 2 * len(ENTRIES)
    assert len(home.kept("audits")) == len(AUDITED) * (2 * SHADOWS + SHADOWS // 2)


@pytest.mark.slow
def test_killed_while_it_writes_it_leaves_nothing_half_done(tmp_path, data, undisturbed):
    home = Home(tmp_path / "home", data)
    for place in ("/runs/crowd-run-", ".json", "/audits/"):
        process = home.start(die_at=place)
        with pytest.raises(RuntimeError, match="-9"):
            home.finish(process)
        assert home.intact()
    assert len(list(home.folder.rglob(".crowd-run-*"))) == 2  # written, and without its name
    assert home.finish(home.start()) == undisturbed
    assert home.intact()


def test_what_a_killed_process_left_half_written_disturbs_nobody(home):
    def compared():
        crowd = people()
        entries = [(GradientAscent(), Network(arch="linear", min_steps=30))]
        return compare(crowd, parse_request("class:p2", crowd, 0), entries, (0, 1))

    first = compared().to_json()
    for path in list((home / "runs").iterdir()):
        half = path.read_bytes()[: path.stat().st_size // 2]
        path.with_name(f".{path.name}.k1ll3d").write_bytes(half)
    assert compared().to_json() == first
    record = next((home / "runs").glob("c*.json"))
    record.unlink()  # a model without its record is a run that was not finished
    rows = compared().rows
    assert rows[0]["finished"] == 2
    assert rows[0]["accuracy"] == first["rows"][0]["accuracy"]
