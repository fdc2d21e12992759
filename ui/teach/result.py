"""Before and after: what the model gets right, what it says of what it learnt, and of the next."""

import plotly.graph_objects as go
import streamlit as st

from forget.core.words import agreeing
from forget.records.bases import Digits
from forget.report.figures import COLOURS, LEGIBLE, ORIGINAL, OTHERS, PATTERNS, literal
from ui.shell.words import plain
from ui.teach.give import DRAW, UPLOAD, picture_of, reading, upload
from ui.teach.work import Answer, File, Learnt, Lesson, Said, answers
from ui.widgets import charts
from ui.widgets.canvas import draw_on
from ui.widgets.charts import percent
from ui.widgets.portrait import show_picture

BEFORE, NOW = "Before", "Now"
SIGNS = {BEFORE: (COLOURS[ORIGINAL], PATTERNS[ORIGINAL]), NOW: (OTHERS[0].colour, "\\")}
"""Colour and hatching of the two models."""

TOP = 5
TILE = 72
SHOWN = 48


def before_and_after(held: Lesson) -> None:
    """What came of the last press of Teach in this tab."""
    done = held.result.taught
    if held.changed:
        st.info("The model was changed since, by another tab or program. What stands here is what "
                f"came of entry {done.entry} of the ledger.", icon=":material/info:")
    if done.untidy:
        st.warning(plain(done.untidy), icon=":material/cleaning_services:")
    with st.container(horizontal=True):
        for name, share in ((BEFORE, done.accuracy_before), (NOW, done.accuracy_after)):
            st.metric(f"{name}: unseen right", percent(share), width="content",
                      help=f"Share of the unseen {_samples(held)} of the base that this model "
                      "gets right. Nobody's given ones are among them.")
        st.metric("Learning took", f"{done.seconds:.1f} s", width="content")
        st.metric("Ledger entry", f"{done.entry}", width="content",
                  help="It says that something was learnt, when and by which model, without what "
                  "it was or whose: see the page Ledger.")
    _unknown_before(held.result)
    if again := held.result.again:
        st.caption(f"{again} of the pile {agreeing(again, 'was', 'were')} given before, or twice: "
                   "each counts once.")
    _learnt(held, held.result.said)


def _samples(held: Lesson) -> str:
    return "test digits" if isinstance(held.base, Digits) else f"test {held.base.one}s"


def _unknown_before(learnt: Learnt) -> None:
    """Classes that the model did not have: before, it could only say somebody else."""
    known = learnt.taught.before.classes
    fresh = dict.fromkeys(one.sample.label for one in learnt.said if one.sample.label not in known)
    if fresh:
        names = ", ".join(plain(name) for name in fresh)
        st.caption(f"Before, the model did not know {names} at all, so it could only be wrong.")


def _learnt(held: Lesson, said: list[Said]) -> None:
    """Each new sample with both answers."""
    if not said:
        st.caption("No sample of yours was new to it.")
        return
    right = [sum(answer.says == one.sample.label for one, answer in pairs) for pairs in
             ([(one, one.before) for one in said], [(one, one.after) for one in said])]
    st.markdown(f"**Just learnt: {len(said)}.** The model got {right[0]} of them right before, "
                f"and gets {right[1]} right now.")
    with st.container(horizontal=True, gap="small"):
        for one in said[:SHOWN]:
            _tile(held, one)
    if len(said) > SHOWN:
        st.caption(f"And {len(said) - SHOWN} more.")


def _tile(held: Lesson, one: Said) -> None:
    with st.container(width=130, gap=None):
        show_picture(picture_of(held.base, one.sample.picture, TILE), width=TILE,
                     alt=f"Learnt as {one.sample.label}")
        st.markdown(f"**{plain(one.sample.label)}**")
        for name, answer in ((BEFORE, one.before), (NOW, one.after)):
            right = answer.says == one.sample.label
            st.caption(f":material/{'check' if right else 'close'}: {name}: {_words(answer)}")


def _words(answer: Answer) -> str:
    return f"{plain(answer.says)} ({percent(answer.sure)})"


def try_the_next(held: Lesson) -> None:
    """Draw or upload another one, and see both models' answers side by side."""
    st.subheader("Try the next one")
    reading(held, tried=True)
    _tried(held)


@st.fragment
def _tried(held: Lesson) -> None:
    if not held.still_held():
        st.rerun()
    left, right = st.columns([3, 7], gap="large")
    with left:
        _ask(held)
    with right:
        if held.tried is None:
            st.info(f"Give another {held.base.one}, one that the model has not learnt: what it "
                    "said before and says now appears here.", icon=":material/psychology:")
        else:
            _answers(held)


def _ask(held: Lesson) -> None:
    """The input for one more; nothing of it is kept."""
    key = f"teach.{held.base.name}.try"
    drawn = isinstance(held.base, Digits) and st.segmented_control(
        "How", (DRAW, UPLOAD), default=DRAW, required=True, key=f"{key}.way", wrap=True,
        label_visibility="collapsed", persist_state="session") == DRAW
    if drawn:
        st.caption("Draw the next digit here. It is only looked at: no model learns it.")
        digit = draw_on(held.try_pad, "teach.try")
        held.tried = None if digit is None else held.base.drawn(digit)
        return
    file = upload(held.base, f"{key}.file.{held.tries}", several=False)
    if file is not None and not held.busy:
        held.read([File(file.name, file.getvalue(), upload=file)], None)
        st.rerun()


def _answers(held: Lesson) -> None:
    """The picture as the models see it, and each model's probabilities."""
    show_picture(picture_of(held.base, held.tried.picture, 96), alt="What the models see",
                 caption="What the models see")
    done, x = held.result.taught, held.tried.x[None]
    for place, (name, live) in zip(st.columns(2), ((BEFORE, done.before), (NOW, done.after)),
                                   strict=True):
        with place:
            (answer,) = answers(live, x, held.result.whose)
            st.markdown(f"**{name}: {_words(answer)}**")
            _bars(answer, name)


def _bars(answer: Answer, name: str) -> None:
    """Probabilities of all classes in their order, or of many the most likely."""
    rows = list(range(len(answer.p)))
    if len(rows) > LEGIBLE:
        rows = sorted(rows, key=lambda row: -answer.p[row])[:TOP]
    shares, (colour, pattern) = [answer.p[row] for row in rows], SIGNS[name]
    figure = go.Figure(go.Bar(
        x=shares, y=list(range(len(rows))), orientation="h", marker_color=colour,
        marker_pattern_shape=pattern, cliponaxis=False, textposition="outside",
        text=[percent(share) if share >= 0.005 else "" for share in shares],
        customdata=[literal(answer.classes[row]) for row in rows],
        hovertemplate="%{customdata}: %{x:.2%}<extra></extra>"))
    figure.update_xaxes(range=[0, 1.25], visible=False, fixedrange=True)
    figure.update_yaxes(tickvals=list(range(len(rows))), autorange="reversed", fixedrange=True,
                        ticktext=[literal(answer.classes[row]) for row in rows])
    charts.show(figure, f"{name}: most likely {answer.says} with {percent(answer.sure)}",
                height=42 + 22 * len(rows), top=8, key=f"teach.bars.{name}")
