"""Values of widgets: a tab can send anything under a widget's name.

Streamlit reads them before the page runs, where no page can catch what goes wrong, and believes the
message on what kind of value it is.
"""

from typing import Any

from streamlit.runtime.state.session_state import Serialized, WStates

_read = WStates.__getitem__


def believe_what_fits() -> None:
    """From now on a value that its widget could not have counts as not sent: the widget begins
    as it usually does."""
    WStates.__getitem__ = _value


def _value(states: WStates, name: str) -> Any:
    sent, widget = states.states.get(name), states.widget_metadata.get(name)
    if isinstance(sent, Serialized) and widget is not None:
        if sent.value.WhichOneof("value") != widget.value_type:
            return _not_sent(states, name)
        try:
            return _read(states, name)
        except Exception:  # noqa: BLE001 - whatever Streamlit's readers fail with
            return _not_sent(states, name)
    return _read(states, name)


def _not_sent(states: WStates, name: str) -> None:
    del states.states[name]
    raise KeyError(name)
