"""The ledger's entries in words."""

from collections.abc import Callable, Mapping
from typing import Any

from forget.core.words import counted
from forget.methods import METHODS
from forget.records import bases, taught
from forget.records.ledger import Entry, Line
from ui.run.outcome import SHOWN
from ui.widgets.charts import percent

SUBJECT_SIGNS = 8
"""How much of the keyed hash is shown."""

UNREADABLE = "cannot be read"
NONE = "–"

Body = Mapping[str, Any]


def row_of(line: Line, intact: bool) -> dict[str, Any]:
    """One row of the ledger as a line of the table; whatever an altered body holds is no error.

    ``intact``: whether the whole is; where it is not, each row says whether it is as written.
    """
    entry = line.entry
    row = {"Entry": line.number, "Time (UTC)": NONE, "What": UNREADABLE, "Of": NONE, "Whose": NONE,
           "Result": NONE} if entry is None else {
        "Entry": line.number, "Time (UTC)": entry.at[:19].replace("T", " "),
        "What": what_of(entry), "Of": base_title(entry),
        "Whose": entry.subject[:SUBJECT_SIGNS] or NONE, "Result": _said(RESULT, entry)}
    return row if intact else row | {"As written": "no: altered" if line.faults else "yes"}


def what_of(entry: Entry) -> str:
    """What an entry says was done."""
    return _said(WHAT, entry)


def base_title(entry: Entry) -> str:
    """The base that an entry is about, as people read it."""
    name = str(entry.body.get("base", NONE))
    return bases.BASES[name].title if name in bases.BASES else name


def _said(how: Mapping[str, Callable[[Body], str]], entry: Entry) -> str:
    if entry.what not in how:
        return entry.what if how is WHAT else NONE
    try:
        return how[entry.what](entry.body)
    except (KeyError, TypeError, ValueError):
        return UNREADABLE


def _samples(body: Body) -> str:
    return counted(body["samples"], "sample")


def _by(body: Body) -> str:
    return METHODS[body["method"]].title


def _forgotten(body: Body) -> str:
    how = f" by {_by(body)}" if "method" in body else ""
    return f"{_samples(body)} forgotten and deleted{how}"


def _outcome(body: Body) -> str:
    if "method" not in body:
        return "The model had learnt nothing of them"
    verdict = f"{SHOWN[body['verdict']][0]}; " if body.get("verdict") else ""
    certified = "; certified" if body["certificate"] else ""
    return f"{verdict}{percent(body['test_accuracy'])} of unseen right{certified}"


def _policy(body: Body) -> str:
    if "batch" not in body:
        most = body["most_epsilon"]
        return ("No limit for publications seen together" if most is None else
                f"Publications may allow ε = {most:g} together")
    return ("Requests are carried out at once" if body["batch"] == 1 else
            f"Requests are carried out when {body['batch']} wait")


def _faults(body: Body) -> str:
    count = len(body["faults"])
    return f"{count} {'fault' if count == 1 else 'faults'} of the ledger"


LEARNT = {taught.RETRAIN: "in a new model", taught.FINETUNE: "going on with the present model"}

WHAT: dict[str, Callable[[Body], str]] = {
    "added": lambda body: f"{_samples(body)} added",
    "taught": lambda body: f"Learnt {body['new']:,} new of {_samples(body)}, "
                           f"{LEARNT[body['how']]}",
    "asked": lambda body: f"Asked to forget {_samples(body)} by {_by(body)}",
    "forgotten": _forgotten,
    "failed": lambda body: f"Could not be carried out by {_by(body)}",
    "policy": _policy,
    "lost": lambda body: f"The model was lost, and what it had learnt of {_samples(body)}",
    "reopened": lambda body: f"Went on over {_faults(body)}",
}

RESULT: dict[str, Callable[[Body], str]] = {
    "taught": lambda body: f"{percent(body['test_accuracy'])} of unseen right",
    "forgotten": _outcome,
    "failed": lambda body: "Nothing was deleted; it can be asked again",
    "lost": lambda body: f"{body['why']}",
    "reopened": lambda body: "; ".join(body["faults"]),
}
