"""The pages through Streamlit's own test driver, on the real digits."""

import base64
import io
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from browser import copy_home
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from forget.learners.sisa import Sisa
from forget.methods import METHODS
from ui.frame import warm_up
from ui.jobs.queue import Job
from ui.run.forget_form import usual_class
from ui.run.originals import Named

ROOT = Path(__file__).parent.parent
APP = ROOT / "app.py"


@pytest.fixture
def warm():
    """The library is loaded: a page shows its body at its first run."""
    assert warm_up().done.wait(60)


@pytest.fixture
def app(warm) -> AppTest:
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


@pytest.mark.parametrize(("names", "usual"), [("0123456789", "7"), ("0123456", "6"), ("5", "5")])
def test_the_seven_is_asked_for_at_first_or_the_last_of_fewer(names, usual):
    assert usual_class(names, 7) == usual


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


def test_a_damaged_manifest_is_one_sentence(home, warm):
    home.mkdir()
    (home / "manifest.json").write_text("{ broken")
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=30)
    at.session_state["framed"] = True
    at.run()
    assert not at.exception
    assert any("damaged" in error.value for error in at.error)


def test_the_seen_image_is_the_models_input(app):
    app.session_state["digits.canvas.0"] = drawing("7")
    app.run()
    seen = app.session_state["digits.session"].given.digit
    assert seen.shape == (28, 28)
    assert seen.dtype == np.uint8


def finish(app: AppTest) -> AppTest:
    """Run the page until its job is over."""
    held = app.session_state["digits.session"]
    for _ in range(3000):
        if not held.busy:
            return app.run()
        time.sleep(0.1)
    raise AssertionError(f"the job did not end: {held.job.state}, {held.job.doing}")


def choose(app: AppTest, name: str) -> None:
    """Set a method, and start from a model that suits it; SISA's a small one, for time."""
    app.session_state["digits.recipe.Sharded ensemble (SISA)"] = Sisa(arch="mlp", epochs=2.0)
    app.segmented_control(key="digits.method").set_value(name).run()
    if any(button.key == "digits.switch" for button in app.button):
        app.button(key="digits.switch").click().run()
        finish(app)
        app.run()
    assert not app.exception
    assert app.segmented_control(key="digits.method").value == name
    assert not app.button(key="digits.forget").disabled


@pytest.mark.parametrize("name", ["sisa", "certified"])
def test_a_method_that_needs_another_model_says_so_and_offers_it(app, name):
    app.segmented_control(key="digits.method").set_value(name).run()
    assert app.button(key="digits.forget").disabled
    assert any("needs a model that was made for it" in info.value for info in app.info)
    assert app.button(key="digits.switch").label.startswith("Start from: ")


def test_a_what_if_shows_the_cost_of_other_divisions_and_trains_nothing(app):
    app.segmented_control(key="digits.method").set_value("sisa").run()
    assert "**5 of 5 shards**" in said(app)
    assert "A whole class lies in every shard" in said(app)
    app.selectbox(key="digits.whatif.sharding").set_value("by_class").run()
    assert "**1 of 5 shards**" in said(app)
    app.number_input(key="digits.whatif.shards").set_value(6).run()
    assert not app.exception
    assert any("6 shards by class need at least 12 classes" in error.value for error in app.error)
    assert app.session_state["digits.session"].job is None


@pytest.mark.slow
def test_the_recipe_of_a_model_can_be_changed_and_a_wrong_one_is_one_sentence(app):
    app.selectbox(key="digits.model").set_value("Certified head").run()
    finish(app)
    app.run()
    key = "digits.recipe.Certified head"
    app.selectbox(key=f"{key}.mode").set_value("guo")
    app.selectbox(key=f"{key}.loss").set_value("softmax")
    app.button(key=f"FormSubmitter:{key}.form-Use these settings").click().run()
    assert not app.exception
    assert any("Guo mode has its bound for one-vs-rest only" in e.value for e in app.error)


@pytest.mark.slow
def test_a_certificate_is_explained_and_can_be_downloaded(app):
    app.segmented_control(key="digits.kind").set_value("Random samples").run()
    choose(app, "certified")
    app.button(key="digits.forget").click().run()
    finish(app)
    app.segmented_control(key="digits.view").set_value("How it worked").run()
    assert not app.exception
    assert "**Covers the whole model**" in said(app)
    assert "**Does not cover**" in said(app)
    assert any("After one Newton step" in str(table.value) for table in app.table)
    app.segmented_control(key="digits.view").set_value("Download").run()
    assert "Certificate (JSON)" in [button.label for button in app.get("download_button")]


@pytest.mark.slow
def test_a_budget_fills_over_requests_and_a_spent_one_is_said(app):
    app.selectbox(key="digits.model").set_value("Certified head, single step (Guo)").run()
    finish(app)
    app.run()
    app.segmented_control(key="digits.kind").set_value("Random samples").run()
    spent = []
    for count in (1, 2000):
        app.number_input(key="digits.count").set_value(count).run()
        app.button(key="digits.forget").click().run()
        finish(app)
        app.segmented_control(key="digits.view").set_value("How it worked").run()
        assert not app.exception
        result = app.session_state["digits.session"].result
        spent.append(result.statement | result.kept_back)
    assert 0 < spent[0]["spent"] < spent[0]["budget"]
    assert spent[1]["retrained"]
    assert any("The budget was spent" in warning.value for warning in app.warning)


@pytest.mark.slow
@pytest.mark.drawn(3)
@pytest.mark.parametrize("kind", ["A digit", "Random samples"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_run_and_every_view_drawn(app, name, kind):
    app.segmented_control(key="digits.kind").set_value(kind).run()
    choose(app, name)
    app.button(key="digits.forget").click().run()
    finish(app)
    assert not app.exception
    assert not app.error
    verdicts = [box.value for box in (*app.success, *app.warning, *app.info)]
    idle = app.session_state["digits.session"].result.unchanged  # there was nothing to climb
    wanted = "Nothing was changed" if idle else "Matches retraining on accuracy"
    assert any(wanted in value for value in verdicts), verdicts
    for view in app.segmented_control(key="digits.view").options:
        app.segmented_control(key="digits.view").set_value(view).run()
        assert not app.exception
        assert app.get("plotly_chart") or app.get("download_button")
    app.button(key="digits.undo").click().run()
    assert app.session_state["digits.session"].result is None


@pytest.mark.slow
def test_requests_on_top_of_each_other_and_a_second_reference(app):
    app.button(key="digits.forget").click().run()
    finish(app)
    first = app.session_state["digits.session"].result
    app.button(key="digits.more").click().run()
    finish(app)
    held = app.session_state["digits.session"]
    assert len(held.results) == 1
    assert len(held.result.references) == 2
    assert all(value is not None for name, value in held.result.spread.items())
    assert "7 is forgotten already: choose another digit to forget." in [
        box.value for box in app.info]
    assert app.button(key="digits.forget").disabled
    app.pills(key="digits.class").set_value("8").run()
    app.button(key="digits.forget").click().run()
    finish(app)
    assert len(held.results) == 2
    assert held.result.start.model is first.unlearned
    assert len(held.result.start.forgotten.requests) == 1
    reference = held.result.measured_references[0].test.per_class
    assert sorted(reference)[:2] == [0.0, 0.0]
    app.button(key="digits.over").click().run()
    assert held.result is None


def test_a_job_that_fails_is_a_message_and_the_page_goes_on(app, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("inner detail")

    monkeypatch.setattr("ui.run.workbench.run", broken)
    app.button(key="digits.forget").click().run()
    finish(app)
    assert not app.exception
    (message,) = [box.value for box in app.warning]
    assert "Something went wrong" in message
    assert "inner detail" not in message
    assert not app.button(key="digits.forget").disabled


def test_a_checkpoint_in_the_folder_is_listed_and_can_be_started_from(home, warm):
    copy_home(home)
    shipped = next(home.glob("mnist-*.safetensors"))
    shutil.copy(shipped, home / "theirs.safetensors")
    at = AppTest.from_file(APP, default_timeout=30).run()
    at.selectbox(key="digits.model").set_value("File: theirs.safetensors").run()
    assert not at.exception
    assert any("theirs.safetensors" in caption.value for caption in at.caption)
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=30)
    at.session_state["framed"] = True
    at.run()
    assert not at.exception
    assert any("theirs.safetensors" in str(table.value) for table in at.table)


def test_a_checkpoint_whose_name_is_no_text_hinders_no_page(home, warm):
    """A browser could not send such a name back, so the file cannot be chosen."""
    copy_home(home)
    (home / os.fsdecode(b"\xff.pt")).write_bytes(b"no weights")
    at = AppTest.from_file(APP, default_timeout=30).run()
    assert not at.exception and not at.error
    assert not any("\udcff" in option for option in at.selectbox(key="digits.model").options)
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=30)
    at.session_state["framed"] = True
    at.run()
    assert not at.exception and not at.error
    assert any("rename it" in str(table.value) for table in at.table)


def test_a_damaged_checkpoint_is_one_sentence(home, warm):
    copy_home(home)
    shipped = next(home.glob("mnist-*.safetensors"))
    shipped.write_bytes(shipped.read_bytes()[:-1] + b"\0")
    at = AppTest.from_file(APP, default_timeout=30).run()
    assert not at.exception
    assert len(at.error) == 1
    assert shipped.name in at.error[0].value


def test_a_job_gets_the_digits_that_every_page_has():
    assert Named("mnist").fetch(Job("Getting ready", None)) is Named("mnist").dataset()
