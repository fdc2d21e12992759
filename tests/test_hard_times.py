"""A full disk, a read-only folder, a held database, a clock set back: a clear sentence, nothing
lost, and it works again afterwards."""

import pytest

from tests.hard_times import Tried, can_mount, tried

OPERATIONS = ("ask", "teach", "carry_out", "fetch")

STEP = 150
"""KB of room: none, and enough."""


@pytest.mark.slow
@pytest.mark.parametrize("every", [40, pytest.param(6, marks=pytest.mark.exhaustive)])
def test_under_hard_conditions_nothing_is_lost_and_it_works_afterwards(tmp_path, every):
    """``every`` so many moments of a long operation one is tried."""
    if not can_mount(tmp_path):
        pytest.skip("no disk of our own here: it takes root or user namespaces")
    found = list(tried(STEP, every, OPERATIONS))
    assert [one for one in found if one.faults] == []
    for operation in OPERATIONS:
        check([one for one in found if one.operation == operation], operation)


def check(here: list[Tried], operation: str) -> None:
    """What must have come of one operation under every condition."""
    refused = {one.condition: one.refused for one in here}
    assert all(refused[name] for name in ("disk full but for 0 KB", "read-only file system"))
    assert refused["clock set back"] == refused["another process reads"] == ""
    assert bool(refused["another process writes"]) == (operation != "fetch")
    if operation in ("teach", "carry_out"):
        assert any(one.untidy for one in here if one.condition.startswith("another process reads"))
