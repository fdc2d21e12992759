"""Digits: show the model a digit, make it forget one, and see it beside a retrained model."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from ui.digits.input import DIGITS, GivenDigit
    from ui.run.originals import Named
    from ui.run.session import session
    from ui.run.workbench import forget, get_ready, show_outcome

    held = session(DIGITS, GivenDigit)
    st.markdown("Draw a digit and see what the model makes of it. Then make it forget a digit, or "
                "single training samples, and compare it with a model that was **retrained "
                "without them**: what a model that really forgot looks like.")
    if not get_ready(held, Named("mnist")):
        return
    st.header("1 Show it a digit", divider="gray")
    _try(held)
    st.header("2 Make it forget", divider="gray")
    forget(held)
    if held.job or held.result or held.notice:
        st.header("3 See what is left", divider="gray")
        show_outcome(held)


@st.fragment
def _try(held) -> None:
    """Input on the left, what each model says on the right; a stroke redraws this part only."""
    from ui.shell.words import plain_errors

    with plain_errors():
        _input_and_answers(held)


def _input_and_answers(held) -> None:
    from ui.digits.input import digit_input, enlarged
    from ui.run.workbench import models_of
    from ui.widgets.portrait import show_picture

    left, right = st.columns([3, 7], gap="large")
    with left:
        digit_input(held)
    with right:
        digit = held.given.digit
        if digit is None:
            st.info("Draw a digit, upload a picture of one, or pick one from the test set. What "
                    "the model says appears here.", icon=":material/draw:")
            return
        models = models_of(held)
        seen, *places = st.columns([1, *(2 for _ in models)])
        with seen:
            show_picture(enlarged(digit, 112), alt="The 28 by 28 image that the model sees")
            st.caption("What the model sees: 28 x 28 pixels, centred")
        for place, (name, model) in zip(places, models.items(), strict=True):
            with place:
                _says(name, model, digit, held.dataset)


def _says(name: str, model, digit, dataset) -> None:
    import torch

    from forget.metrics.accuracy import predict
    from ui.widgets import charts

    x = torch.from_numpy(digit)[None, None].to(dataset.train.x.device)
    p = predict(model, x)[0].exp().tolist()
    best = max(range(len(p)), key=lambda index: p[index])
    st.markdown(f"**{name}** says **{dataset.classes[best]}** ({charts.percent(p[best])})")
    charts.probabilities(dataset.classes, p, name)


page("Digits", body)
