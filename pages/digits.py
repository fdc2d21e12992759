"""Digits: show the model a digit, make it forget one, and see it beside a retrained model."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from ui.session import session

    held = session("digits")
    st.markdown("Draw a digit and see what the model makes of it. Then make it forget a digit, or "
                "single training samples, and compare it with a model that was **retrained "
                "without them**: what a model that really forgot looks like.")
    if not _model(held):
        return
    from ui import shared

    held.collect()
    dataset = shared.dataset("mnist")
    st.header("1 Show it a digit", divider="gray")
    _try(held, dataset)
    st.header("2 Make it forget", divider="gray")
    _forget(held, dataset)
    if held.busy or held.result or held.notice:
        st.header("3 See what is left", divider="gray")
        _outcome(held)


def _model(held) -> bool:
    """Choose the original and get it ready; False while there is none to show."""
    from forget.data import find_dataset
    from forget.errors import ForgetError
    from ui import shared
    from ui.charts import percent
    from ui.frame import sentence
    from ui.job_progress import watch_job
    from ui.method_form import suit_method
    from ui.originals import originals, prepare, settings_of

    choices = originals()
    with st.popover("Model", icon=":material/neurology:"):
        label = st.selectbox("Start from", list(choices), key="digits.model",
                             persist_state="session", disabled=held.busy,
                             help="Networks of this program, and checkpoints in forget_downloads/ "
                             "whose shapes it knows. Changing it starts over.")
        seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="digits.seed", disabled=held.busy,
                               persist_state="session",
                               help="All chance comes from it: the same seed gives the same "
                               "numbers, here and on the command line. Changing it starts over.")
        chosen = choices[label]
        if chosen.learner is not None:
            chosen = settings_of(chosen, held.busy)
        if held.choose(label, seed, chosen) and chosen.learner is not None:
            suit_method("digits", chosen.learner.name)
        if held.original is not None:
            st.caption(_about(held.original, percent))
    if held.original is not None:
        return True
    if held.job is None:
        present = find_dataset("mnist").describe()["present"]
        try:
            if present and chosen.ready(shared.dataset("mnist"), seed):
                held.original = chosen.start(shared.dataset("mnist"), seed)
                st.rerun()
            held.job = prepare("mnist", chosen, seed)
        except ForgetError as error:
            st.error(sentence(error), icon=":material/error:")
            return False
    job = held.job
    if not job.over:
        st.info("Getting the digits and the model ready. This happens once.",
                icon=":material/download:")
        watch_job(held)
        return False
    if job.result is not None:
        held.original, held.job = job.result, None
        st.rerun()
    st.error(job.message or "Stopped before the model was ready.", icon=":material/error:")
    if st.button("Try again", icon=":material/refresh:"):
        held.job = None
        st.rerun()
    return False


def _about(start, percent) -> str:
    record = start.stored.record
    text = f"{percent(record['test_accuracy'])} of the 10,000 unseen test digits right."
    if "scaling" in record:
        text += (f" From {record['file']}; read with {record['scaling']}. How it was trained is "
                 "not known: this program's recipe stands in for it when retraining, and the "
                 "samples held out here may have trained it.")
    return text


@st.fragment
def _try(held, dataset) -> None:
    """Input on the left, what each model says on the right; a stroke redraws this part only."""
    from ui.frame import plain_errors

    with plain_errors():
        _input_and_answers(held, dataset)


def _input_and_answers(held, dataset) -> None:
    from ui.digit_input import digit_input, enlarged

    left, right = st.columns([3, 7], gap="large")
    with left:
        digit_input(held, dataset)
    with right:
        if held.digit is None:
            st.info("Draw a digit, upload a picture of one, or pick one from the test set. What "
                    "the model says appears here.", icon=":material/draw:")
            return
        models = _models(held)
        seen, *places = st.columns([1, *(2 for _ in models)])
        seen.image(enlarged(held.digit, 112), alt="The 28 by 28 image that the model sees")
        seen.caption("What the model sees: 28 x 28 pixels, centred")
        for place, (name, model) in zip(places, models.items(), strict=True):
            with place:
                _says(name, model, held.digit, dataset)


def _models(held) -> dict:
    from ui.charts import ORIGINAL, RETRAINED, UNLEARNED

    models = {ORIGINAL: held.original.model}  # before any request
    if held.result:
        models[UNLEARNED] = held.result.unlearned
        if held.result.references:
            models[RETRAINED] = held.result.references[0]
    return models


def _says(name: str, model, digit, dataset) -> None:
    import torch

    from forget.metrics.accuracy import predict
    from ui import charts

    x = torch.from_numpy(digit)[None, None].to(dataset.train.x.device)
    p = predict(model, x)[0].exp().tolist()
    best = max(range(len(p)), key=lambda index: p[index])
    st.markdown(f"**{name}** says **{dataset.classes[best]}** ({charts.percent(p[best])})")
    charts.probabilities(dataset.classes, p, name)


def _forget(held, dataset) -> None:
    """The request, the method and its settings, and the button."""
    from ui import shared
    from ui.forget_form import choose_references, choose_request
    from ui.jobs import Job
    from ui.method_form import choose_method
    from ui.outcome import asked
    from ui.session import MAX_REQUESTS
    from ui.shards import preview, what_if

    start = held.start
    what, how = st.columns(2, gap="large")
    with what:
        spec = choose_request("digits", dataset, start.forgotten)
    with how:
        method = choose_method("digits", start.learner.name)
        references = choose_references("digits")
    suits = method.learner == start.learner.name
    request, wrong = _request(spec, dataset, held)
    if not suits:
        _switch(method)
    elif request is not None and method.picture == "shards":
        preview(start, dataset, request)
    if request is not None and method.picture == "shards":
        what_if(dataset, start.forgotten, request)
    again = " on top" if held.results else ""
    if held.results:
        st.caption("This model was asked before: "
                   + ", then ".join(asked(request, dataset.classes)
                                    for request in start.forgotten.requests)
                   + ". A new request comes on top of that.")
    full = len(held.results) >= MAX_REQUESTS
    if full:
        st.caption(f"{MAX_REQUESTS} requests on top of each other are kept; undo some or start "
                   "over to go on.")
    if st.button(f"Forget{again}", type="primary", icon=":material/backspace:",
                 disabled=held.busy or full or spec is None or not suits, key="digits.forget"):
        from forget.run import run

        seed = held.choice[1]
        held.notice = wrong
        if wrong:
            st.rerun()
        held.job = shared.job_queue().submit(Job(
            f"{asked(request, dataset.classes)} · {method.title}",
            lambda job: run(dataset, start, request, method, seed, references, job)))
        st.rerun()


def _request(spec, dataset, held):
    """The request that is set, None where there is none, and what is wrong with it in words."""
    from forget.errors import BadInput
    from forget.request import parse_request
    from ui.frame import sentence

    if spec is None:
        return None, ""
    try:
        return parse_request(spec, dataset, held.choice[1], held.start.forgotten), ""
    except BadInput as error:
        return None, sentence(error)


def _switch(method) -> None:
    """Say which model the method needs, and offer to start from it."""
    from forget.learners import LEARNERS
    from ui.frame import sentence
    from ui.originals import label_for

    label = label_for(method.learner)

    def switch() -> None:
        st.session_state["digits.model"] = label

    reason = f" {sentence(method.because)}" if method.because else ""
    st.info(f"This method needs a model that was made for it: {LEARNERS[method.learner].title}."
            f"{reason} Starting from it begins anew; the first time it is trained, which takes "
            "some seconds.", icon=":material/swap_horiz:")
    st.button(f"Start from: {label}", icon=":material/swap_horiz:", key="digits.switch",
              on_click=switch)


def _outcome(held) -> None:
    """The job while it runs, and the newest result as soon as it has figures."""
    from ui.job_progress import watch_job
    from ui.outcome import asked, outcome

    if held.busy:
        watch_job(held)
    if held.notice:
        st.warning(held.notice, icon=":material/info:")
    if held.result is None:
        return
    result = held.result
    st.subheader(f"{asked(result.request, result.classes)} · {result.method.title}")
    _buttons(held)
    outcome(result, held.busy)


def _buttons(held) -> None:
    """Undo, start over, and one more retrained model."""
    from forget.run import compare
    from ui import shared
    from ui.jobs import Job

    result = held.result
    with st.container(horizontal=True):
        if st.button("Undo", icon=":material/undo:", disabled=held.busy, key="digits.undo",
                     help="Back to the model before this request."):
            held.undo()
            st.rerun()
        if st.button("Start over", icon=":material/restart_alt:", disabled=held.busy,
                     key="digits.over", help="Back to the original model."):
            held.start_over()
            st.rerun()
        more = "Retrain one more to compare" if result.references else "Retrain to compare"
        if st.button(more, icon=":material/add:", disabled=held.busy, key="digits.more",
                     help="Trains another model from scratch without the data. From two on, their "
                     "spread is known."):
            dataset = shared.dataset("mnist")
            count = len(result.references) + 1
            held.job = shared.job_queue().submit(Job(
                more, lambda job: compare(result, dataset, count, job)))
            st.rerun()


page("Digits", body)
