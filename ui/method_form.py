"""A form for any method, made from its declared hyperparameters."""

import math
from typing import Any

import streamlit as st

from forget.knobs import Knob, Knobs
from forget.methods import METHODS, Method


def choose_method(page: str, learner: str) -> Method:
    """Pick a method for this learner's models and set its hyperparameters."""
    names = [name for name, cls in METHODS.items() if cls.learner == learner]
    name = st.segmented_control("Method", names, key=f"{page}.method", default=names[-1],
                                format_func=lambda name: METHODS[name].title, required=True,
                                persist_state="session", wrap=True)
    cls = METHODS[name]
    st.caption(cls.summary)
    settings = knob_form(cls, f"{page}.{name}") if cls.knobs() else {}
    return cls(**settings)


def knob_form(cls: type[Knobs], prefix: str) -> dict[str, Any]:
    """One widget a hyperparameter, folded away: the defaults are meant to work."""
    with st.expander("Settings"):
        left, right = st.columns(2)
        return {knob.name: _widget(knob, (left, right)[index % 2], f"{prefix}.{knob.name}")
                for index, knob in enumerate(cls.knobs())}


def _widget(knob: Knob, where, key: str) -> Any:
    label = knob.name.replace("_", " ").capitalize()
    common = {"key": key, "help": f"{knob.help}. Default: {knob.default}.",
              "persist_state": "session"}
    if knob.choices is not None:
        return where.selectbox(label, knob.choices, knob.choices.index(knob.default), **common)
    if knob.type is int:
        return where.number_input(label, int(knob.low), int(knob.high), knob.default, **common)
    step = 10.0 ** math.floor(math.log10(knob.default)) if knob.default else 0.1
    return where.number_input(label, knob.low, knob.high, knob.default, step=step, format="%g",
                              **common)
