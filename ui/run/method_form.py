"""A form for any method, made from its declared hyperparameters."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

import streamlit as st

from forget.core.knobs import Knob, Knobs
from forget.methods import METHODS, Method


def choose_method(page: str, learner: str) -> Method:
    """Pick a method and set its hyperparameters; not every method suits the learner's models."""
    name = st.segmented_control("Method", list(METHODS), key=f"{page}.method",
                                default=usual(f"{page}.method", default_method(learner), METHODS),
                                format_func=lambda name: METHODS[name].title, required=True,
                                persist_state="session", wrap=True)
    cls = METHODS[name]
    st.caption(cls.summary)
    settings = knob_form(cls, f"{page}.{name}") if cls.knobs() else {}
    return cls(**settings)


def usual(key: str, value: Any, options: Collection[Any]) -> Any:
    """The default of a widget whose value the page may have set: None where it has one of the
    options already, since Streamlit complains in the server's log of a widget with both."""
    if st.session_state.get(key) in options:
        return None
    st.session_state.pop(key, None)
    return value


def default_method(learner: str) -> str:
    """The method that a person sees first for this learner's models."""
    return [name for name, cls in METHODS.items() if cls.learner == learner][-1]


def suit_method(page: str, learner: str) -> None:
    """Set the picker to a method that suits the learner's models, if it stands on another."""
    key = f"{page}.method"
    if key in st.session_state and METHODS[st.session_state[key]].learner != learner:
        st.session_state[key] = default_method(learner)


def knob_form(cls: type[Knobs], prefix: str) -> dict[str, Any]:
    """One widget a hyperparameter, folded away: the defaults are meant to work."""
    with st.expander("Settings"):
        return knob_widgets(cls(), prefix)


def knob_widgets(given: Knobs, prefix: str) -> dict[str, Any]:
    """One widget a hyperparameter in two columns, each set as it is in ``given``."""
    columns = st.columns(2)
    return {knob.name: knob_widget(dataclasses.replace(knob, default=getattr(given, knob.name)),
                                   columns[index % 2], f"{prefix}.{knob.name}")
            for index, knob in enumerate(given.knobs())}


def knob_widget(knob: Knob, where, key: str) -> Any:
    """The widget of one hyperparameter; returns its value."""
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
