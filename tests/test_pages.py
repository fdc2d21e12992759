"""The pages through Streamlit's own test driver, on the real digits."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from forget.methods import METHODS
from ui.frame import warm_up

ROOT = Path(__file__).parent.parent
APP = ROOT / "app.py"


@pytest.fixture
def app() -> AppTest:
    assert warm_up().done.wait(60)
    at = AppTest.from_file(APP, default_timeout=30).run()
    assert not at.exception
    return at


def drawing(digit: str) -> dict:
    """What the canvas hands over after a digit was drawn."""
    image = Image.new("RGBA", (260, 260), "white")
    pen = ImageDraw.Draw(image)
    lines = {"1": [(130, 40), (130, 220)], "7": [(75, 60), (180, 60), (120, 220)]}[digit]
    pen.line(lines, fill="black", width=18, joint="curve")
    out = io.BytesIO()
    image.save(out, "PNG")
    data = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return {"drawing": {"raw": {"objects": [1]}, "data": data}, "backgroundFit": None}


def said(at: AppTest) -> str:
    return " ".join(m.value for m in at.markdown)


def test_the_page_opens_with_a_model_and_no_error(app):
    assert app.title[0].value == "Digits"
    assert not app.error
    assert "1 Show it a digit" in [header.value for header in app.header]


@pytest.mark.parametrize("digit", ["1", "7"])
def test_a_drawing_is_judged_at_once(app, digit):
    app.session_state["digits.canvas.0"] = drawing(digit)
    app.run()
    assert f"**Original** says **{digit}**" in said(app)


def test_an_empty_canvas_asks_for_a_drawing(app):
    assert any("Draw a digit" in info.value for info in app.info)


def test_a_test_digit_can_be_picked(app):
    app.segmented_control(key="digits.way").set_value("Test digit").run()
    assert not app.exception
    assert "**Original** says **3**" in said(app)


@pytest.mark.parametrize(("content", "words"), [
    (b"text", "not a picture"),
    (b"\x89PNG\r\n\x1a\n" + b"0" * 50, "picture"),
    (b"", "not a picture"),
])
def test_a_bad_upload_is_one_sentence(app, content, words):
    app.segmented_control(key="digits.way").set_value("Upload").run()
    app.file_uploader(key="digits.file").set_value(("x.png", content, "image/png")).run()
    assert not app.exception
    assert len(app.error) == 1
    assert words in app.error[0].value


def test_an_uploaded_digit_is_judged(app):
    image = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(image).line([(150, 60), (150, 240)], fill=0, width=20)
    out = io.BytesIO()
    image.save(out, "PNG")
    app.segmented_control(key="digits.way").set_value("Upload").run()
    app.file_uploader(key="digits.file").set_value(("one.png", out.getvalue(), "image/png")).run()
    assert "**Original** says **1**" in said(app)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_has_its_form(app, name):
    app.segmented_control(key="digits.method").set_value(name).run()
    assert not app.exception
    keys = {widget.key for kind in (app.number_input, app.selectbox) for widget in kind}
    assert {f"digits.{name}.{knob.name}" for knob in METHODS[name].knobs()} <= keys


def test_picked_samples_make_a_request(app):
    app.segmented_control(key="digits.kind").set_value("Samples I pick").run()
    assert app.button(key="digits.forget").disabled
    app.checkbox[0].check().run()
    assert not app.exception
    assert not app.button(key="digits.forget").disabled


def test_a_damaged_manifest_is_one_sentence(home, app):
    home.mkdir(exist_ok=True)
    (home / "manifest.json").write_text("{ broken")
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=30)
    at.session_state["framed"] = True
    at.run()
    assert not at.exception
    assert any("damaged" in error.value for error in at.error)


def test_the_seen_image_is_the_models_input(app):
    app.session_state["digits.canvas.0"] = drawing("7")
    app.run()
    seen = app.session_state["digits.session"].digit
    assert seen.shape == (28, 28)
    assert seen.dtype == np.uint8
