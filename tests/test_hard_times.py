"""A full disk, a read-only folder, a held database, a clock set back: a clear sentence, nothing
lost, and it works again afterwards."""

import pytest

from tests.hard_times import Tried, can_mount, tried

OPERATIONS = ("ask", "teach", "carry_out", "fetch")

STEP = 150
"""KB of room: none, and enough."""

EVERY = 12
"""Moments of a long operation, of which one is tried."""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[Tried]:
    """What came of every operation under every condition."""
    if not can_mount(tmp_path_factory.mktemp("mount")):
        pytest.skip("no disk of our own here: it takes root or user namespaces")
    return list(tried(STEP, EVERY, OPERATIONS))


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_under_hard_conditions_nothing_is_lost_and_it_works_afterwards(found, operation):
    here = [one for one in found if one.operation == operation]
    assert [one for one in here if one.faults] == []
    refused = {one.condition: one.refused for one in here}
    assert all(refused[name] for name in ("disk full but for 0 KB", "read-only file system"))
    assert refused["clock set back"] == refused["another process reads"] == ""
    assert bool(refused["another process writes"]) == (operation != "fetch")
    if operation in ("teach", "carry_out"):
        assert any(one.untidy for one in here if one.condition.startswith("another process reads"))
