"""Put one method on trial: what is asked on the page Audit, and the work."""

import dataclasses

import streamlit as st

from forget.data import Dataset, find_dataset
from forget.evaluation.audit import Audit, audit
from forget.evaluation.frauds import FRAUDS
from forget.learners import learner_for
from forget.methods import METHODS, Method
from forget.unlearning.request import Forgotten, Request
from ui.jobs.queue import Job
from ui.study.request import asked, choose_data, choose_request, get_dataset
from ui.study.work import Work

KEPT = 20
"""Audits that a tab keeps for the table of comparisons."""

SHADOWS = (24, 32, 64, 128)
REAL, PLANTED = "Methods", "Planted frauds"
CANCELLED = ("Cancelled. The small models that were finished are kept; put the method on trial "
             "again and it goes on from there.")
COST = {"mnist": "several seconds each on digits, so some minutes in all",
        "faces": "well under a second each on faces"}


@dataclasses.dataclass(frozen=True)
class Tried:
    """One audit with what it was of.  ``data``: the dataset's name."""

    data: str
    request: Request
    audit: Audit

    @property
    def key(self) -> tuple[str, str, str]:
        """By data, samples and method."""
        return self.data, Forgotten((self.request,)).key, self.audit.method.name

    @property
    def title(self) -> str:
        return (f"{asked(self.data, self.request.spec, len(self.request))} · "
                f"{self.audit.method.title}")


@dataclasses.dataclass
class Trial(Work):
    """The page's work.  ``audits``: the newest ones, for the page Compare."""

    cancelled = CANCELLED

    audits: dict[tuple[str, str, str], Tried] = dataclasses.field(default_factory=dict)

    def collect(self) -> None:
        super().collect()
        if self.result is not None:
            self.audits[self.result.key] = self.result
            for key in list(self.audits)[:-KEPT]:
                del self.audits[key]


def trial() -> Trial:
    """This tab's."""
    return st.session_state.setdefault("audit.trial", Trial())


def audits_of(data: str, request: Request) -> dict[str, Audit]:
    """What this tab's audits found on one request: method to audit."""
    held, wanted = trial(), (data, Forgotten((request,)).key)
    held.collect()
    return {key[2]: tried.audit for key, tried in held.audits.items() if key[:2] == wanted}


def put_on_trial(held: Trial) -> None:
    """Data, request, method and number of shadow models, and the button."""
    what, who = st.columns(2, gap="large")
    with what:
        name = choose_data("audit")
        dataset = get_dataset(held, name)
        request = None if dataset is None else choose_request("audit", dataset)
    with who:
        method = _choose_method()
        count = _choose_count(name)
    if st.button("Put on trial", type="primary", icon=":material/gavel:", key="audit.go",
                 disabled=held.busy or request is None):
        _submit(held, dataset, request, method, count)
        st.rerun()


def _choose_method() -> type[Method]:
    kind = st.segmented_control("Kind", (REAL, PLANTED), default=REAL, required=True,
                                key="audit.kind_of_method", persist_state="session", wrap=True)
    registry = METHODS if kind == REAL else FRAUDS
    if kind == PLANTED:
        st.caption("For learning: a planted fraud looks as if it forgets and does not. Each was "
                   "built to fool one measure; see which check convicts it.")
    name = st.selectbox("Method", list(registry), key=f"audit.method.{kind}",
                        format_func=lambda one: registry[one].title, persist_state="session",
                        index=1 if kind == REAL else 0)
    st.caption(registry[name].summary)
    return registry[name]


def _choose_count(name: str) -> int:
    count = st.select_slider("Shadow models", SHADOWS, value=32, key="audit.models",
                             persist_state="session",
                             help="Small models of the same recipe, in pairs: one learnt the data "
                             "and unlearns them by the method, its twin never saw them. The "
                             "attack learns from them what traces look like. More of them give "
                             "narrower intervals.")
    st.caption(f"Trains {count} small models and {count // 2} more without the data: {COST[name]}. "
               "Those that were made before are not made again.")
    return count


def _submit(
    held: Trial, dataset: Dataset, request: Request, cls: type[Method], count: int
) -> None:
    method = cls()
    learner = learner_for(find_dataset(dataset.name), method.learner, {})

    def work(job: Job) -> Tried:
        found = audit(dataset, request, [(method, learner)], 0, count, processes=1, watch=job)
        return Tried(dataset.name, request, found[method.name])

    title = f"{asked(dataset.name, request.spec, len(request))} · {method.title}, {count} models"
    held.submit(Job(title, work))
