"""What was measured when a certified model forgot: kept beside the ledger, outside of its chain.

A certificate bounds what the published weights tell of the forgotten samples. Seconds, accuracies
on those samples and what is spent of a budget tell of them too, and no noise is over them. So an
entry with a certificate holds none of these, and neither does an export: they are for whoever runs
the machine.
"""

import json
from typing import Any

from forget.records.database import Connection
from forget.records.ledger import Entry

TELLING = ("seconds", "processor_seconds", "speed_up", "speed_up_of", "metrics", "unchanged",
           "verdict", "verdict_reason", "distance_to_retrained", "spent")
"""What of an outcome depends on the forgotten samples, and not by the published weights alone."""

Figures = dict[int, dict[str, Any]]
"""Number of an entry to what was measured."""


def sealed(outcome: dict[str, Any]) -> dict[str, Any]:
    """What of an outcome its entry in the ledger holds: all of it where nothing is certified.

    >>> sealed({"certificate": {"epsilon": 1.0}, "test_accuracy": 0.99, "verdict": "matches"})
    {'certificate': {'epsilon': 1.0}, 'test_accuracy': 0.99}
    """
    certified = bool(outcome.get("certificate"))
    return {name: value for name, value in outcome.items() if not (certified and name in TELLING)}


def keep(db: Connection, entry: int, outcome: dict[str, Any]) -> None:
    """Keep what of an outcome its entry does not hold, within the same transaction."""
    figures = {name: outcome[name] for name in outcome.keys() - sealed(outcome).keys()}
    if figures:
        db.execute("INSERT INTO measured VALUES (?, ?)",
                   (entry, json.dumps(figures, allow_nan=False)))


def measured(db: Connection) -> Figures:
    """What is kept of every entry; what is damaged counts as not there."""
    return {row["entry"]: figures for row in db.execute("SELECT entry, figures FROM measured")
            if isinstance(row["entry"], int) and (figures := _read(row["figures"]))}


def _read(text: Any) -> dict[str, Any]:
    try:
        figures = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return figures if isinstance(figures, dict) and figures.keys() <= set(TELLING) else {}


def outcome(entry: Entry, figures: Figures) -> dict[str, Any]:
    """What an entry says, with what was measured where it is there."""
    return entry.body | figures.get(entry.number, {})
