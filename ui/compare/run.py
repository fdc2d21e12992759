"""Choose what to compare, and run it: what is asked on the page Compare, and the work."""

import dataclasses
from typing import Any

import streamlit as st

from forget.core.errors import DamagedFile
from forget.core.steps import Point
from forget.core.words import agreeing, counted
from forget.data import Dataset, find_dataset
from forget.evaluation.compare import Comparison, compare, with_audits
from forget.learners import learner_for
from forget.methods import METHODS
from forget.unlearning.request import Request
from forget.unlearning.result import Result
from ui.audit.trial import audits_of
from ui.jobs.queue import Job
from ui.shell.address import in_address, one_of, whole_number
from ui.shell.words import told
from ui.study.request import asked, choose_data, choose_request, get_dataset
from ui.study.work import Work

MOST_SEEDS = 10
CANCELLED = "Cancelled. The runs that were finished are kept; press Compare to go on from there."
COST = {"mnist": "on digits, tens of seconds to some minutes", "faces": "on faces, a second or two"}

Shown = dict[str, Any]
"""A comparison as plain data."""


class Runs(Job):
    """A job of many short runs: the page is told of whole ones only."""

    def unlearned(self, result: Result) -> None:
        pass

    def point(self, point: Point) -> None:
        pass

    def compared(self, comparison: Comparison) -> None:
        self.partial = (comparison, comparison.to_json())


@dataclasses.dataclass
class Comparing(Work):
    """The page's work.  ``result``: a comparison and the same as plain data.  ``audited``: that
    data with what audits found, beside what it was made from."""

    cancelled = CANCELLED

    audited: tuple[Any, Shown] | None = None

    @property
    def comparison(self) -> Comparison:
        """The one on show, with what this tab's audits found."""
        comparison, _ = self.result
        audits = audits_of(comparison.data.name, comparison.request)
        return with_audits(comparison, audits) if audits else comparison

    @property
    def shown(self) -> Shown:
        """The same as plain data."""
        comparison, plain = self.result
        audits = audits_of(comparison.data.name, comparison.request)
        if not audits:
            return plain
        made_from = (plain, list(audits.values()))
        if self.audited is None or not _same(self.audited[0], made_from):
            self.audited = (made_from, self.comparison.to_json())
        return self.audited[1]


def _same(one: tuple[Shown, list], other: tuple[Shown, list]) -> bool:
    return one[0] is other[0] and len(one[1]) == len(other[1]) and all(
        a is b for a, b in zip(one[1], other[1], strict=True))


def comparing() -> Comparing:
    """This tab's."""
    return st.session_state.setdefault("compare.work", Comparing())


def set_up(held: Comparing) -> None:
    """Data, request, methods and seeds, what they cost, and the button."""
    what, how = st.columns(2, gap="large")
    with what:
        dataset = get_dataset(held, choose_data("compare"))
        request = None if dataset is None else choose_request("compare", dataset)
    with how:
        titles = [cls.title for cls in METHODS.values()]
        names = st.pills("Methods", list(METHODS), selection_mode="multi", default=list(METHODS),
                         format_func=lambda name: METHODS[name].title, wrap=True,
                         **in_address("compare.methods", "Methods", one_of(titles), several=True))
        seeds = st.number_input("Seeds", 1, MOST_SEEDS, 2,
                                **in_address("compare.seeds", "Seeds",
                                             whole_number(1, MOST_SEEDS)),
                                help="Each seed trains its own original and its own retrained "
                                "model. From two on their spread says how much of a difference is "
                                "only chance.")
    planned = request and names and _planned(dataset, request, names, seeds)
    left = _left(planned) if planned else None
    if left == 0 and not held.busy:
        _take(held, planned)
    if left is not None:
        _cost(left, len(names) * seeds, dataset.name)
    elif not names:
        st.caption("Choose at least one method.")
    if st.button("Compare", type="primary", icon=":material/compare:", key="compare.go",
                 disabled=held.busy or not left):
        _submit(held, planned)
        st.rerun()


def _planned(dataset: Dataset, request: Request, names: list[str], seeds: int) -> Comparison:
    source = find_dataset(dataset.name)
    entries = tuple((METHODS[name](), learner_for(source, METHODS[name].learner, {}))
                    for name in METHODS if name in names)
    return Comparison(dataset, request, entries, tuple(range(seeds)))


def _left(planned: Comparison) -> int | None:
    """Runs that are not finished; None, with a sentence, where a record cannot be read."""
    try:
        return planned.left
    except DamagedFile as error:
        st.error(told(error), icon=":material/error:")
        return None


def _cost(left: int, total: int, name: str) -> None:
    if left == 0:
        st.caption(":material/check: " + ("The one run is finished and kept: it is"
                   if total == 1 else f"All {total} runs are finished and kept: they are")
                   + " shown below.")
        return
    kept = f"; the other {counted(total - left, 'is', 'are')} kept" if left < total else ""
    st.caption(f":material/schedule: {left} of {counted(total, 'run')} "
               f"{agreeing(left, 'is', 'are')} not finished yet{kept}. A run "
               f"trains what is missing, forgets, retrains and measures: {COST[name]}.")


def _take(held: Comparing, planned: Comparison) -> None:
    """Show a comparison whose runs are all finished, if it is not the one on show."""
    if held.result is None or held.result[0].key != planned.key or _lags(held.result):
        held.result, held.notice = (planned, planned.to_json()), ""


def _lags(result: tuple[Comparison, Shown]) -> bool:
    """Whether runs were finished since the plain data were made."""
    comparison, plain = result
    wanted = len(comparison.seeds) * len(comparison.entries)
    return sum(row["finished"] for row in plain["rows"]) < wanted


def _submit(held: Comparing, planned: Comparison) -> None:
    def work(job: Job) -> tuple[Comparison, Shown]:
        done = compare(planned.data, planned.request, planned.entries, planned.seeds, job)
        return done, done.to_json()

    request = planned.request
    title = (f"{asked(planned.data.name, request.spec, len(request))} · "
             f"{counted(len(planned.entries), 'method')}, {counted(len(planned.seeds), 'seed')}")
    held.submit(Runs(title, work))
