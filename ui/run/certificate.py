"""The certified method's views: Newton's way to the solution, the budget, and what is covered."""

import streamlit as st

from forget.unlearning.result import Result
from ui.run.session import Session
from ui.widgets import charts
from ui.widgets.charts import percent


def newton_view(held: Session) -> None:
    """The solver's way, the one-step model beside the last, and the certificate in words.

    What is measured stands here for whoever runs the server, and in no certificate.
    """
    result = held.result
    stated = result.statement
    if stated["mode"] == "guo":
        _budget(stated | result.kept_back)
    else:
        charts.newton([p.step.measured["gradient_norm"] for p in result.curve[1:]][:-1],
                      stated["residual_allowed"])
        st.caption("The gradient norm of the retained samples' objective: 0 only at the model that "
                   "retraining gives. Below the dotted line the noise hides the rest.")
        _iterations(result)
    _covers(stated)


def _budget(stated: dict) -> None:
    """Guo mode: how much of the noise's cover is used up."""
    share = stated["spent"] / stated["budget"]
    if stated["retrained"]:
        st.warning("The budget was spent: one Newton step would have left more than the noise "
                   "hides. The model was retrained from scratch instead, with fresh noise, and "
                   "its budget starts anew.", icon=":material/restart_alt:")
    st.progress(min(share, 1.0), f"Budget spent: {stated['spent']:.3g} of {stated['budget']:.3g} "
                                 f"({percent(share)})")
    st.caption(f"Each single Newton step leaves a little of the gradient; its bound for this "
               f"request is {stated['bound_of_this_request']:.2g} ({stated['bound']} bound; "
               f"{stated['bound_worst_case']:.2g} in the worst case). Bounds add up over requests. "
               "When they exceed the budget, the model must be retrained.")


def _iterations(result: Result) -> None:
    """The model before, after one step and at the end."""
    points = result.curve[1:]
    shown = {"Before": 0, "After one Newton step": 1, "Solved": len(points) - 2}
    rows = [{
        "Weights": name,
        "Accuracy to forget": percent(points[index].forget_accuracy),
        "Accuracy to keep": percent(points[index].retain_accuracy),
        "Gradient norm": f"{points[index].step.measured['gradient_norm']:.2g}",
        "Distance to the solution": f"{result.distances[index]:.2g}",
    } for name, index in shown.items()]
    st.table(rows, hide_index=True, border="horizontal",
             alt="The weights before, after one Newton step and at the end")
    st.caption("Distance in weights to the solution on the retained samples. After one step a "
               "class can look forgotten while the weights are still far from those that never "
               "saw it: looking forgotten is not a certificate. These figures are of weights "
               "without noise, for whoever runs the server, and stand in no certificate. "
               "Accuracies are of up to 400 samples of each part.")


def _covers(stated: dict) -> None:
    st.markdown(f"**Covers the {stated['covers']}**: {stated['covers_because']}.")
    chosen = ("requests chosen by looking at published models, " if stated["mode"] == "guo" else "")
    st.markdown("**Does not cover**: what several publications tell together, "
                f"{chosen}and copies of the data elsewhere.")
    st.markdown(
        f"In words: whoever sees the published weights can tell them from weights of a model that "
        f"never had the samples only as well as ε = {stated['epsilon']:g} allows, but for a "
        f"probability of δ = {stated['delta']:g}.",
        help="ε bounds how much more likely any outcome is with the samples than without: a "
        f"factor of at most e^ε = {2.718281828 ** stated['epsilon']:.2f}.")
    with st.expander("What it rests on"):
        for assumption in stated["assumptions"]:
            st.markdown(f"- {assumption}")
