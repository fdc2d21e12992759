"""Values of widgets: a tab can send anything under a widget's name.

Streamlit reads them before the page runs, where no page can catch what goes wrong, and believes the
message on what kind of value it is.
"""

import logging
from typing import Any

from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import Serialized, Value, WStates

log = logging.getLogger(__name__)

_read = WStates.__getitem__

SENT_AS = {"double_value": {"double_value", "int_value"}}
"""The kinds a browser sends for a kind that a widget is entered under, where it is not that one: a
field for whole numbers is entered as one for any number."""


def believe_what_fits() -> None:
    """From now on a value that its widget could not have counts as the one it begins with."""
    WStates.__getitem__ = _value


def _value(states: WStates, name: str) -> Any:
    sent, widget = states.states.get(name), states.widget_metadata.get(name)
    if isinstance(sent, Serialized) and widget is not None:
        try:
            if _is_of_its_kind(sent, widget) and not _let_go(sent, widget):
                return _read(states, name)
        except Exception as error:  # noqa: BLE001 - whatever Streamlit's readers fail with
            log.warning("a value is not its widget's (%s)", type(error).__name__)
        states.states[name] = Value(widget.deserializer(None))
    return _read(states, name)


def _is_of_its_kind(sent: Serialized, widget: WidgetMetadata) -> bool:
    kinds = SENT_AS.get(widget.value_type, {widget.value_type})
    return sent.value.WhichOneof("value") in kinds


def _let_go(sent: Serialized, widget: WidgetMetadata) -> bool:
    """Whether nothing is chosen of options with a first choice: here each such choice is required,
    and only a browser sees to that."""
    reader = getattr(widget.deserializer, "__self__", None)
    return (widget.value_type == "string_array_value" and not sent.value.string_array_value.data
            and getattr(reader, "default_option_index", None) is not None)
