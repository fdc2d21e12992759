"""What the pages share: getting a model ready, making a request, and showing what came of it."""

from typing import Any

import streamlit as st

from forget.core.errors import BadInput, ForgetError
from forget.learners import LEARNERS
from forget.unlearning.request import keys_of, parse_request
from forget.unlearning.run import add_references, run
from ui.jobs import shared
from ui.jobs.progress import watch_job
from ui.jobs.queue import Job
from ui.run.forget_form import choose_references, choose_request
from ui.run.method_form import choose_method, suit_method
from ui.run.originals import label_for, prepare, ready, settings_of, with_files
from ui.run.outcome import asked, outcome
from ui.run.session import MAX_REQUESTS, Session
from ui.run.shards import preview, what_if
from ui.shell.words import sentence, told
from ui.widgets.charts import ORIGINAL, RETRAINED, UNLEARNED, percent


def get_ready(held: Session, data: Any) -> bool:
    """Choose the original and get it and the data ready; False while there is nothing to show.

    ``data``: where the dataset comes from, see :class:`ui.run.originals.Named`.
    """
    chosen = _choose_original(held, data)
    if held.original is None:
        _make_original(held, data, chosen)
    if held.original is None:
        return False
    held.collect()
    return True


def _choose_original(held: Session, data: Any):
    """The popover with the model, its seed and its recipe; returns what is chosen there."""
    subject, page = held.subject, held.subject.key
    choices = {original.label: original for original in
               (with_files(subject.models) if subject.brings_files else subject.models)}
    with st.popover("Model", icon=":material/neurology:"):
        label = st.selectbox("Start from", list(choices), key=f"{page}.model",
                             persist_state="session", disabled=held.busy,
                             help="Models of this program, and checkpoints in forget_downloads/ "
                             "whose shapes it knows. Changing it starts over.")
        seed = st.number_input("Seed", 0, 2**31 - 1, 0, key=f"{page}.seed", disabled=held.busy,
                               persist_state="session",
                               help="All chance comes from it: the same seed gives the same "
                               "numbers, here and on the command line. Changing it starts over.")
        chosen = choices[label]
        if chosen.learner is not None:
            chosen = settings_of(page, chosen, held.busy)
        if held.choose(data, label, seed, chosen) and chosen.learner is not None:
            suit_method(page, chosen.learner.name)
        if held.original is not None:
            st.caption(_about(held))
    return chosen


def _about(held: Session) -> str:
    record = held.original.stored.record
    text = f"{percent(record['test_accuracy'])} of {held.subject.known} right."
    if "scaling" in record:
        text += (f" From {record['file']}; read with {record['scaling']}. How it was trained is "
                 "not known: this program's recipe stands in for it when retraining, and the "
                 "samples held out here may have trained it.")
    return text


def _make_original(held: Session, data: Any, chosen) -> None:
    """Load the original where that takes moments, else show the job that makes it."""
    if held.job is None:
        try:
            if data.ready() and chosen.ready(data.dataset(), held.seed):
                held.take(*ready(data.dataset(), chosen, held.seed))
                st.rerun()
            held.job = prepare(data, chosen, held.seed)
        except ForgetError as error:
            st.error(told(error), icon=":material/error:")
            return
    job = held.job
    if not job.over:
        st.info(f"Getting the {held.subject.samples} and the model ready. This happens once.",
                icon=":material/download:")
        watch_job(held)
        return
    if job.result is not None:
        held.take(*job.result)
        st.rerun()
    st.error(job.message or "Stopped before the model was ready.", icon=":material/error:")
    if st.button("Try again", icon=":material/refresh:"):
        held.job = None
        st.rerun()


def models_of(held: Session) -> dict[str, Any]:
    """The models that there are, by name: the original, the unlearned and the first retrained."""
    models = {ORIGINAL: held.original.model}  # before any request
    if held.result:
        models[UNLEARNED] = held.result.unlearned
        if held.result.references:
            models[RETRAINED] = held.result.references[0]
    return models


def forget(held: Session, choose=choose_request) -> None:
    """The request, the method and its settings, and the button."""
    start, page = held.start, held.subject.key
    what, how = st.columns(2, gap="large")
    with what:
        spec = choose(held)
    with how:
        method = choose_method(page, start.learner.name)
        references = choose_references(page)
    suits = method.learner == start.learner.name
    request, wrong = _request(spec, held)
    if not suits:
        _switch(held, method)
    elif request is not None and method.picture == "shards":
        preview(held, request)
    if request is not None and method.picture == "shards":
        what_if(held, request)
    if held.results:
        st.caption("This model was asked before: "
                   + ", then ".join(asked(held.subject, one, held.dataset.classes)
                                    for one in start.forgotten.requests)
                   + ". A new request comes on top of that.")
    full = len(held.results) >= MAX_REQUESTS
    if full:
        st.caption(f"{MAX_REQUESTS} requests on top of each other are kept; undo some or start "
                   "over to go on.")
    if st.button(f"Forget{' on top' if held.results else ''}", type="primary",
                 icon=":material/backspace:", key=f"{page}.forget",
                 disabled=held.busy or full or spec is None or not suits):
        held.notice = wrong
        if not wrong:
            _submit(held, request, method, references)
        st.rerun()


def _submit(held: Session, request, method, references: int) -> None:
    start, dataset, seed, data = held.start, held.dataset, held.seed, held.data

    def work(job: Job):
        try:
            return run(dataset, start, request, method, seed, references, job)
        finally:
            if job.partial is not None:  # forgotten, even where the comparison was stopped
                data.erase(keys_of(dataset, job.partial.forgotten))

    title = f"{asked(held.subject, request, dataset.classes)} · {method.title}"
    about = f"{held.subject.key.capitalize()}: forget by {method.title}"
    held.job = shared.submit(Job(title, work, about))


def _request(spec, held: Session):
    """The request that is set, None where there is none, and what is wrong with it in words."""
    if spec is None:
        return None, ""
    try:
        return parse_request(spec, held.dataset, held.seed, held.start.forgotten), ""
    except BadInput as error:
        return None, told(error)


def _switch(held: Session, method) -> None:
    """Say which model the method needs, and offer to start from it."""
    page, label = held.subject.key, label_for(held.subject.models, method.learner)

    def switch() -> None:
        st.session_state[f"{page}.model"] = label

    reason = f" {sentence(method.because)}" if method.because else ""
    st.info(f"This method needs a model that was made for it: {LEARNERS[method.learner].title}."
            f"{reason} Starting from it begins anew; the first time it is trained, which takes "
            "some seconds.", icon=":material/swap_horiz:")
    st.button(f"Start from: {label}", icon=":material/swap_horiz:", key=f"{page}.switch",
              on_click=switch)


def show_outcome(held: Session) -> None:
    """The job while it runs, and the newest result as soon as it has figures."""
    if held.job is not None:  # a short job may have ended since the page began to be drawn
        watch_job(held)
    if held.notice:
        st.warning(held.notice, icon=":material/info:")
    if held.result is None:
        return
    result = held.result
    st.subheader(f"{asked(held.subject, result.request, result.classes)} · {result.method.title}")
    _buttons(held)
    st.caption("Kept in this tab only: it is gone when the tab is reloaded or closed. "
               "Download, below, has it as files.")
    outcome(held)


def _buttons(held: Session) -> None:
    """Undo, start over, and one more retrained model."""
    result, page = held.result, held.subject.key
    with st.container(horizontal=True):
        if st.button("Undo", icon=":material/undo:", disabled=held.busy, key=f"{page}.undo",
                     help="Back to the model before this request."):
            held.undo()
            st.rerun()
        if st.button("Start over", icon=":material/restart_alt:", disabled=held.busy,
                     key=f"{page}.over", help="Back to the original model."):
            held.start_over()
            st.rerun()
        more = "Retrain one more to compare" if result.references else "Retrain to compare"
        if st.button(more, icon=":material/add:", disabled=held.busy, key=f"{page}.more",
                     help="Trains another model from scratch without the data. From two on, their "
                     "spread is known."):
            dataset, count = held.dataset, len(result.references) + 1
            held.job = shared.submit(Job(
                more, lambda job: add_references(result, dataset, count, job)))
            st.rerun()
