"""The canvas's messages: a drawing, nothing yet, or one sentence; never a decoder that guesses."""

import ast
import asyncio
import base64
import io
import json

import numpy as np
import pytest
from browser import ROOT
from PIL import Image
from streamlit.elements.widgets.button_group import _SingleSelectButtonGroupSerde
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import Serialized, WStates
from streamlit.testing.v1 import AppTest

from forget.core.errors import BadImage
from forget.data import canvas
from forget.io import images
from tests import hostile
from ui.frame import warm_up
from ui.shell import uploads
from ui.shell.messages import Messages, without_unreadable
from ui.shell.values import believe_what_fits
from ui.widgets.canvas import SIDE

STROKE = {"type": "Path", "path": [["M", 10, 20], ["Q", 10, 20, 30.5, 40], ["L", 50, 60]],
          "stroke": "#000000", "strokeWidth": 18, "fill": None, "left": 3.5, "visible": True}


def state(data, objects=(STROKE,)) -> dict:
    """What the component hands over."""
    return {"drawing": {"raw": {"objects": list(objects)}, "data": data}, "backgroundFit": None}


def url(form="PNG", mode="RGBA", size=(SIDE, SIDE), **how) -> str:
    out = io.BytesIO()
    picture = Image.linear_gradient("L").resize(size).convert(mode)
    picture.save(out, form, **how)
    return f"data:image/{form.lower()};base64," + base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_drawing_is_read_as_it_is(mode):
    picture = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGBA")
    assert np.array_equal(canvas.drawing(state(url(mode=mode)), SIDE), np.asarray(picture))


@pytest.mark.parametrize("nothing", [{}, {"drawing": None}, {"drawing": {}}, state(None), None])
def test_a_canvas_that_has_sent_nothing_has_no_drawing(nothing):
    assert canvas.drawing(nothing, SIDE) is None
    assert canvas.strokes(nothing) in (None, [STROKE])


def png(**changes) -> str:
    """A PNG of the canvas's size with other things in its header."""
    data = hostile.png(**{"width": SIDE, "height": SIDE, "colour": 6} | changes)
    return canvas.PREFIX + base64.b64encode(data).decode()


ODD = {
    "a list": [1], "a number": 3, "not a number": float("nan"), "yes": True, "words": "drawing",
    "no drawing": {"drawing": [1]}, "words for a drawing": {"drawing": "x"},
    "a number for a drawing": {"drawing": 1e308}, "data in a list": state([1]),
    "data in a dictionary": state({"data": url()}), "a number for data": state(7),
    "no address": state("hello"), "nothing behind it": state(canvas.PREFIX),
    "no base64": state(canvas.PREFIX + "§" * 40), "half a sign": state(url()[:-3]),
    "cut short": state(url()[:-400]), "a mark alone": state(canvas.PREFIX + "iVBORw0KGgo="),
    "another mark": state(url().replace("image/png", "image/jpeg")),
    "another letter": state(url().replace("data:", "DATA:")),
    "GIF": state(url("GIF", "L")), "GIF said to be PNG": state(
        canvas.PREFIX + url("GIF", "L").partition(",")[2]),
    "WEBP": state(canvas.PREFIX + url("WEBP").partition(",")[2]),
    "JPEG": state(canvas.PREFIX + url("JPEG", "RGB").partition(",")[2]),
    "EPS": state(canvas.PREFIX + url("EPS", "RGB").partition(",")[2]),
    "TIFF": state(canvas.PREFIX + url("TIFF").partition(",")[2]),
    "SVG": state(canvas.PREFIX + base64.b64encode(b"<svg xmlns='x'/>").decode()),
    "larger": state(url(size=(SIDE, SIDE + 1))), "smaller": state(url(size=(1, 1))),
    "4000 x 4000": state(png(width=4000, height=4000)), "palette": state(url(mode="P")),
    "grey": state(url(mode="L")), "grey and alpha": state(png(colour=4)),
    "16 bits": state(png(depth=16)), "interlaced": state(png(interlace=1)),
    "two headers": state(png(before=hostile.png(4000, 4000, packed=b"")[8:33])),
    "bits": state(url(mode="1")), "no pixels": state(png(packed=b"")),
    "too few pixels": state(png(packed=hostile.zeros(5000))),
    "a text that unpacks to a gigabyte": state(
        png(before=hostile.chunk(b"zTXt", b"a\0\0" + hostile.zeros(60 << 20)))),
    "half a megabyte of letters": state(canvas.PREFIX + "A" * 700_000),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_what_no_canvas_sends_is_one_sentence(odd, monkeypatch):
    opened = []
    real = Image.open
    monkeypatch.setattr(images.Image, "open",
                        lambda *_, **how: opened.append(how) or real(*_, **how))
    with pytest.raises(BadImage) as caught:
        canvas.drawing(odd, SIDE)
    assert "\n" not in str(caught.value)
    assert opened in ([], [{"formats": ("PNG",)}])
    assert canvas.strokes(odd) in (None, [STROKE])


def test_what_is_no_drawing_is_never_decoded(monkeypatch):
    monkeypatch.setattr(canvas, "read_png", lambda data: pytest.fail("it was decoded"))
    for what in ("EPS", "GIF said to be PNG", "4000 x 4000", "larger", "16 bits", "interlaced",
                 "half a megabyte of letters", "SVG", "two headers"):
        with pytest.raises(BadImage):
            canvas.drawing(ODD[what], SIDE)


@pytest.mark.parametrize("objects", [
    [1], "x", None, [None], [STROKE, {"type": "Image", "src": "https://example.org/"}],
    [STROKE | {"path": "M 0 0"}], [STROKE | {"path": [["M", float("nan"), 0]]}],
    [STROKE | {"path": [["M", [[1]], 0]]}], [STROKE | {"path": [["M", 1e300, 0]]}],
    [STROKE] * (canvas.MOST_STROKES + 1), [STROKE | {"path": [["L", 1, 2]] * 200_000}],
    [STROKE | {"type": ["Path"]}],
], ids=lambda objects: str(objects)[:30])  # fmt: skip
def test_strokes_that_a_canvas_cannot_draw_again_are_none(objects):
    told = {"drawing": {"raw": {"objects": objects}, "data": None}}
    assert canvas.strokes(told) is None


def test_of_strokes_only_plain_values_are_kept():
    more = STROKE | {"shadow": {"deep": [1]}, "clipPath": [1], "src": "x" * 99, "y" * 99: 1}
    assert canvas.strokes(state(None, [more])) == [STROKE]


# The pages.


@pytest.fixture
def app() -> AppTest:
    assert warm_up().done.wait(60)
    return AppTest.from_file(ROOT / "app.py", default_timeout=30).run()


@pytest.mark.drawn(3)
@pytest.mark.parametrize("odd", ["a list", "no drawing", "data in a list", "EPS", "larger",
                                 "no base64", "cut short"])
def test_the_page_says_one_sentence_and_a_drawing_is_read_after_it(app, odd):
    app.session_state["digits.canvas.0"] = ODD[odd]
    app.run()
    assert not app.exception
    assert [error.value for error in app.error if "went wrong" in error.value] == []
    assert len(app.error) == (odd != "a list")  # Streamlit itself makes nothing of that one
    rgba = np.full((SIDE, SIDE, 4), 255, np.uint8)
    rgba[40:220, 120:140, :3] = 0
    out = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(out, "PNG")
    app.session_state["digits.canvas.0"] = state(
        canvas.PREFIX + base64.b64encode(out.getvalue()).decode())
    app.run()
    assert not app.error
    assert any("**Original** says **1**" in words.value for words in app.markdown)
    app.button(key="digits.stroke_back").click().run()
    assert app.session_state["digits.session"].given.pad.shown == []
    app.button(key="digits.clear").click().run()
    assert not app.exception
    assert app.session_state["digits.session"].given.digit is None


# What Streamlit reads before any page runs.


def back(value: object, kind="json_value", name="digits.canvas.0") -> bytes:
    """A message with a slider's value, and one more."""
    message = BackMsg()
    states = message.rerun_script.widget_states
    states.widgets.add(id="$$ID-1-slider", double_value=3.5)
    setattr(states.widgets.add(id=f"$$ID-2-{name}"), kind, value)
    return message.SerializeToString()


UNREADABLE = {
    "no JSON": "{not json", "nothing": "", "brackets": "[" * 100_000,
    "closed brackets": "[" * 100_000 + "]" * 100_000, "thirty in each other": "[" * 30 + "]" * 30,
    "a number of 5000 digits": '{"drawing": ' + "9" * 5000 + "}", "two": "{} {}",
    "a mark": "\ufeff{}", "too many parts": "[" + "[]," * 60_000 + "[]]",
    "too long": json.dumps("x" * 2_000_000), "a text": '"x"',
    "brackets in a text": json.dumps("[" * 900 + "]" * 900),
}


@pytest.mark.parametrize("kind", ["json_value", "json_trigger_value"])
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_value_that_is_no_json_is_taken_out_of_the_message(kind, value):
    left = BackMsg.FromString(without_unreadable(back(value, kind, "any.widget")))
    assert [one.double_value for one in left.rerun_script.widget_states.widgets] == [3.5]


@pytest.mark.parametrize(("kind", "value"), [
    ("bool_value", True), ("int_value", 3), ("double_value", 0.5), ("bytes_value", b"x"),
    ("string_value", "x"), ("trigger_value", True),
])
def test_a_canvas_takes_no_other_kind_of_value(kind, value):
    left = BackMsg.FromString(without_unreadable(back(value, kind)))
    assert len(left.rerun_script.widget_states.widgets) == 1
    untouched = back(value, kind, "digits.way")
    assert without_unreadable(untouched) == untouched


@pytest.mark.parametrize("value", ["null", "NaN", "[]", *(
    json.dumps(odd) for odd in ODD.values() if not isinstance(odd, str))])
def test_what_can_be_read_is_left_to_the_page(value):
    assert without_unreadable(back(value)) == back(value)


@pytest.mark.parametrize("data", [None, b"\xff" * 9, "text"])
def test_what_is_no_message_closes_the_connection_without_a_trace(data):
    sent, got = [], []

    async def app(scope, receive, send):
        got.append(await receive())

    async def receive():
        return {"type": "websocket.receive", "bytes": data}

    async def send(message):
        sent.append(message)

    asyncio.run(Messages(app)({"type": "websocket"}, receive, send))
    assert [one["type"] for one in (*sent, *got)] == ["websocket.close", "websocket.disconnect"]


@pytest.mark.parametrize(("kind", "value"), [
    ("double_value", float("nan")), ("double_value", float("inf")), ("string_value", "3"),
    ("bool_value", True), ("json_value", "3"), ("bytes_value", b"\xff"),
])
def test_a_value_that_its_widget_could_not_have_counts_as_the_first_one(kind, value):
    """Of a field for whole numbers, which is read before the page runs."""
    believe_what_fits()
    states = WStates({"field": Serialized(WidgetState(id="field", **{kind: value}))})
    states.set_widget_metadata(WidgetMetadata(
        "field", lambda sent: 1 if sent is None else int(sent), float, "double_value"))
    states.set_from_value("other", 7)
    assert {name: states[name] for name in states} == {"field": 1, "other": 7}
    for kind, value in (("double_value", 3.0), ("int_value", 4)):  # a browser sends the latter
        states["field"] = Serialized(WidgetState(id="field", **{kind: value}))
        assert (states["field"], states["other"]) == (value, 7)


@pytest.mark.parametrize(("default", "found"), [(1, "b"), (None, None)])
def test_nothing_chosen_where_something_must_be_counts_as_the_first_choice(default, found):
    """Only a browser refuses to let go of a choice that is required."""
    believe_what_fits()
    choice = _SingleSelectButtonGroupSerde(["a", "b"], formatted_options=["a", "b"],
                                           formatted_option_to_option_index={"a": 0, "b": 1},
                                           default_option_index=default)
    sent = WidgetState(id="choice")
    sent.string_array_value.SetInParent()
    states = WStates({"choice": Serialized(sent)})
    states.set_widget_metadata(WidgetMetadata(
        "choice", choice.deserialize, choice.serialize, "string_array_value"))
    assert states["choice"] == found


@pytest.mark.parametrize("number", ["1e309", "-1e309", "Infinity", "nan", "%6e%61n", "9" * 5_000])
def test_numbers_in_an_address_are_finite(number):
    message = BackMsg()
    message.rerun_script.query_string = f"compare.seeds={number}&compare.class=s%201&audit.data=-2"
    left = BackMsg.FromString(without_unreadable(message.SerializeToString())).rerun_script
    assert left.query_string == "compare.class=s%201&audit.data=-2"


def test_the_server_reads_no_message_unchecked():
    """Wherever something stands before Streamlit, the check of messages does too."""
    app = (ROOT / "app.py").read_text()
    assert ("Middleware(" in app) == ("Middleware(Messages)" in app)


# What the whole program does.


def calls(name: str):
    """Every call of something called so, with its file."""
    for folder in ("forget", "ui", "pages"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                    yield path, {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_pictures_are_opened_in_one_place_with_the_formats_that_are_meant():
    ((path, how),) = calls("Image.open")
    assert path.name == "images.py" and how["formats"] == "formats"
    for formats in (images.FORMATS, images.PHOTO_FORMATS):
        assert not {"EPS", "PSD", "SVG", "TIFF", "PDF"} & set(formats)
    sources = [path.read_text() for folder in ("forget", "ui", "pages")
               for path in (ROOT / folder).rglob("*.py")]
    assert not [source for source in sources if "import streamlit_drawable_canvas" in source
                or "from streamlit_drawable_canvas" in source]


def test_an_uploader_promises_what_the_server_takes(monkeypatch):
    promised = [how["max_upload_size"].split("(")[0] for _, how in calls("st.file_uploader")]
    assert len(promised) >= 6 and set(promised) <= {"most_mb", "picture_mb"}
    for server, most in ((25, 25), (5, 5), (400, 400)):
        monkeypatch.setattr(uploads.st, "get_option", {"server.maxUploadSize": server}.get)
        assert uploads.most_mb() == most
        assert uploads.most_mb(20) == uploads.picture_mb() == min(20, server)
