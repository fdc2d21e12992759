"""The page of faces through Streamlit's own test driver, on real faces with the real network."""

import dataclasses
import io
import json
import logging
import re
import shlex
import shutil
import time
import zipfile
from pathlib import Path

import pytest
import torch
from browser import copy_faces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from forget.cli import main as cli
from forget.core.errors import BadInput
from forget.data import find_dataset
from forget.data.faces import Faces
from forget.data.findings import Finding, Kind
from forget.data.kept import kept_people
from forget.data.people import Photo, person_name
from forget.faces.detect import find_faces
from forget.io.images import ORIENTATION, read_photo
from forget.methods import METHODS
from forget.metrics.unknown import Threshold
from forget.unlearning import store
from ui.faces import people
from ui.faces.input import annotated, verdict_on
from ui.frame import warm_up
from ui.jobs import shared
from ui.jobs.queue import Job
from ui.run.session import STOPPED

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "pages" / "faces.py"
PEOPLE = 40
FEW = 8
"""People of the small gallery; the later ones are then strangers to it."""

slow = pytest.mark.slow


# What is shared by all tests: one home, where what is known of the photos is known already.


def forget_caches() -> None:
    for cached in (shared.dataset, shared.photos):
        cached.clear()


@pytest.fixture(scope="module")
def faces_home(tmp_path_factory):
    """A home with the faces, and a copy of what is known of them, to put back what tests delete."""
    folder = copy_faces(tmp_path_factory.mktemp("faces") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder))
        assert warm_up().done.wait(60)
        find_dataset("faces").load()
        shutil.copytree(folder / "embeddings", folder.parent / "known")
        forget_caches()
        yield folder
        forget_caches()


@pytest.fixture
def own_home(faces_home, monkeypatch) -> Path:
    """That home, with nothing that an earlier test left in it but trained models."""
    monkeypatch.setenv("FORGET_HOME", str(faces_home))
    shutil.copytree(faces_home.parent / "known", faces_home / "embeddings", dirs_exist_ok=True)
    shutil.rmtree(faces_home / "people", ignore_errors=True)
    return faces_home


@pytest.fixture
def few(own_home, monkeypatch):
    """A gallery of the first people only."""
    read = Faces.read

    def first(self, *given):
        found, findings = read(self, *given)
        return [one for one in found if int(one.person[1:]) <= FEW], findings

    monkeypatch.setattr(Faces, "read", first)
    forget_caches()
    yield
    forget_caches()


def session(at: AppTest):
    return at.session_state["faces.session"]


def finish(at: AppTest) -> AppTest:
    """Run the page until none of its jobs is under way."""
    assert not at.exception
    held = session(at)
    for _ in range(1800):
        jobs = [job for job in (held.job, held.given.bringing.job) if job is not None]
        if any(not job.over for job in jobs):
            time.sleep(.1)
        elif jobs and held.original is None and held.job and held.job.result is None:
            return at.run()  # what could not be made ready
        elif jobs:
            at.run()
            assert not at.exception
        else:
            return at
    raise AssertionError("the job did not end")


def opened() -> AppTest:
    at = AppTest.from_file(PAGE, default_timeout=60)
    at.session_state["framed"] = True
    return finish(at.run())


@pytest.fixture
def page(own_home) -> AppTest:
    """All forty people."""
    return opened()


@pytest.fixture
def small(few) -> AppTest:
    """The first people."""
    return opened()


@pytest.fixture(scope="module")
def one_page(faces_home) -> AppTest:
    """All forty people, opened once for everything that only looks."""
    return opened()


@pytest.fixture
def looking(one_page) -> AppTest:
    """That page, as it was opened."""
    one_page.segmented_control(key="faces.way").set_value("From the gallery")
    one_page.text_input(key="faces.search").set_value("").run()
    return press(one_page, "faces.tile.s1")


# Photos.


def encoded(image: Image.Image, form: str = "PNG", **how) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def face(orl, person: int, number: int = 1) -> Image.Image:
    return Image.open(io.BytesIO(orl[f"s{person}/{number}.pgm"]))


def pngs(orl, person: int, count: int = 3) -> list[tuple[str, bytes, str]]:
    """Photos of a person as a browser hands them over."""
    return [(f"{number}.png", encoded(face(orl, person, number)), "image/png")
            for number in range(1, count + 1)]


def landscape() -> Image.Image:
    image = Image.new("RGB", (400, 300), "skyblue")
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 200, 400, 300], "green")
    pen.ellipse([300, 20, 360, 80], "yellow")
    pen.polygon([(50, 200), (130, 90), (210, 200)], "grey")
    return image


def cartoon() -> Image.Image:
    """Two dots and a line in a circle."""
    image = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse([50, 50, 250, 250], outline="black", width=4)
    for x in (110, 180):
        pen.ellipse([x, 120, x + 12, 132], "black")
    pen.line([(120, 190), (180, 190)], "black", 4)
    return image


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


# What a person does.


def words(elements) -> list[str]:
    return [element.value for element in elements]


def said(at: AppTest) -> str:
    return " ".join(words(at.markdown))


def captions(at: AppTest) -> str:
    return " ".join(words(at.caption))


def tiles(at: AppTest) -> list[str]:
    return [button.key.removeprefix("faces.tile.") for button in at.button
            if str(button.key).startswith("faces.tile.")]


def click(at: AppTest, label: str) -> AppTest:
    """Press the button of that label."""
    (button,) = [button for button in at.button if button.label == label]
    button.click().run()
    assert not at.exception
    return at


def press(at: AppTest, key: str) -> AppTest:
    at.button(key=key).click().run()
    assert not at.exception
    return at


def upload(at: AppTest, data: bytes, name: str = "photo.png") -> AppTest:
    if at.segmented_control(key="faces.way").value != "Upload":
        at.segmented_control(key="faces.way").set_value("Upload").run()
    at.file_uploader(key="faces.file").set_value((name, data, "image/png")).run()
    assert not at.exception
    return at


def fill_in(at: AppTest, name: str, files: list) -> AppTest:
    """Fill in the form for one person, and press the button."""
    (field,) = [one for one in at.text_input if one.label == "Name"]
    field.set_value(name)
    (uploader,) = [one for one in at.file_uploader if one.label.startswith("Photos of")]
    uploader.set_value(files)
    return click(at, "Look at them")


def bring(at: AppTest, name: str, files: list) -> AppTest:
    """The same, and wait until the photos were looked at."""
    return finish(fill_in(at, name, files))


def bring_zip(at: AppTest, data: bytes) -> AppTest:
    (uploader,) = [one for one in at.file_uploader if "zip" in one.label]
    uploader.set_value(("people.zip", data, "application/zip")).run()
    return finish(press(at, "faces.zip.look"))


def enrol(at: AppTest) -> AppTest:
    return finish(press(at, "faces.enrol"))


def only_brought(at: AppTest) -> AppTest:
    """The model is about the brought people and nobody else."""
    (who,) = [one for one in at.segmented_control if str(one.key).startswith("faces.who.")]
    who.set_value(who.options[-1]).run()
    return finish(at)


def enrolled(at: AppTest) -> dict[str, int]:
    """Name to number of photos."""
    counts: dict[str, int] = {}
    for photo in session(at).given.bringing.photos:
        counts[photo.person] = counts.get(photo.person, 0) + 1
    return counts


def choose_method(at: AppTest, name: str) -> None:
    """Set a method, and start from a model that suits it."""
    at.segmented_control(key="faces.method").set_value(name).run()
    if any(button.key == "faces.switch" for button in at.button):
        finish(press(at, "faces.switch"))
    assert at.segmented_control(key="faces.method").value == name


def forget(at: AppTest) -> AppTest:
    assert not at.button(key="faces.forget").disabled
    return finish(press(at, "faces.forget"))


def embeddings(home: Path) -> set[str]:
    return {path.stem for path in (home / "embeddings").rglob("*.safetensors")}


def keys_of_person(at: AppTest, name: str) -> set[str]:
    dataset = session(at).dataset
    return {key for part in (dataset.train, dataset.held_out, dataset.test)
            for key, y in zip(part.keys, part.y.tolist(), strict=True)
            if dataset.classes[y] == name}


# The gallery.


@slow
def test_the_page_opens_with_everybody_and_no_error(looking):
    assert words(looking.title) == ["Faces"]
    assert words(looking.header) == ["1 Who is in it", "2 Show it a face", "3 Make it forget"]
    assert not looking.error and not looking.warning
    assert tiles(looking) == [f"s{number}" for number in range(1, PEOPLE + 1)]
    assert "AT&T Laboratories Cambridge" in captions(looking)
    assert "dlib ResNet-29" in captions(looking)


@slow
def test_the_first_persons_photos_are_shown_by_what_they_are_for(looking):
    for title in ("Learnt from: 4", "Held out for stop rules: 1", "Unseen: 5"):
        assert title in captions(looking)


@slow
def test_the_gallery_can_be_searched(looking):
    for wanted, found in (
        ("s1", ["s1", *(f"s{number}" for number in range(10, 20))]),
        ("S40", ["s40"]), (" s7 ", ["s7"]), ("", [f"s{number}" for number in range(1, 41)]),
        ("nobody", []), ("*", []), ("s[1]", []),
    ):
        looking.text_input(key="faces.search").set_value(wanted).run()
        assert not looking.exception and not looking.error, wanted
        assert tiles(looking) == found, wanted
        assert ("Nobody here is called" in " ".join(words(looking.info))) == (not found), wanted
        assert looking.session_state["faces.class"] == "s1", wanted


def shown_and_asked(at: AppTest) -> set[str]:
    """Everybody whom the gallery, the example and the request are about."""
    (tried,) = re.findall(r"A photo of (\S+) that the model has not learnt from", captions(at))
    names = session(at).dataset.classes
    shown = {m.value.strip("*") for m in at.markdown if m.value.strip("*") in names}
    asked = [*at.selectbox, *at.pills]
    return shown | {tried} | {one.value for one in asked if one.key == "faces.class"}


@slow
def test_the_person_shown_is_the_one_to_be_forgotten_before_and_after_each_run(small):
    assert shown_and_asked(small) == {"s7"}
    forget(small)
    assert shown_and_asked(small) == {"s7"}
    press(small, "faces.tile.s2")
    assert shown_and_asked(small) == {"s2"}
    forget(small)
    assert shown_and_asked(small) == {"s2"}
    small.pills(key="faces.class").set_value("s5").run()
    assert shown_and_asked(small) == {"s5"}
    press(small, "faces.undo")
    assert shown_and_asked(small) == {"s5"}


@slow
def test_a_request_for_random_photos_leaves_the_choice_of_the_person_as_it_is(small):
    press(small, "faces.tile.s4")
    small.segmented_control(key="faces.kind").set_value("Random photos").run()
    small.run()
    small.segmented_control(key="faces.kind").set_value("Photos I pick").run()
    assert shown_and_asked(small) == {"s4"}


@slow
def test_a_chosen_person_is_shown_tried_and_put_into_the_request(looking):
    press(looking, "faces.tile.s20")
    assert "**s20**" in said(looking)
    assert "**Original**: **s20**" in said(looking)
    assert "A photo of s20 that the model has not learnt from" in captions(looking)
    assert looking.selectbox(key="faces.class").value == "s20"
    assert "All 4 training photos of s20." in captions(looking)


@slow
def test_a_person_found_by_search_can_be_chosen_and_stays_when_the_search_ends(looking):
    looking.text_input(key="faces.search").set_value("s33").run()
    press(looking, "faces.tile.s33")
    looking.text_input(key="faces.search").set_value("").run()
    assert looking.selectbox(key="faces.class").value == "s33"
    assert "**Original**: **s33**" in said(looking)


@slow
@pytest.mark.drawn(1)
@pytest.mark.parametrize("person", ["s1", "s17", "s40"])
def test_every_unseen_photo_of_a_person_is_recognised(looking, person):
    press(looking, f"faces.tile.{person}")
    for number in range(1, 6):
        looking.number_input(key="faces.gallery.number").set_value(number).run()
        assert not looking.exception
        assert f"**Original**: **{person}**" in said(looking)


@slow
def test_the_threshold_is_explained_with_its_two_errors(looking):
    known = session(looking).threshold
    (caption,) = [one for one in words(looking.caption) if "Not someone I know" in one]
    shares = [float(share) / 100 for share in re.findall(r"([\d.]+) %", caption)]
    assert shares == pytest.approx([known.value, known.false_accept, known.false_reject], abs=6e-4)
    assert "200" in caption and "800" in caption


def many_people():
    """The gallery of 130 made-up people."""
    from types import SimpleNamespace

    from clusters import people

    from forget.unlearning.request import NOTHING
    from ui.run.gallery import gallery

    dataset = people(130, 2, held_out=0, size=4)
    gallery(SimpleNamespace(dataset=dataset, start=SimpleNamespace(forgotten=NOTHING),
                            subject=SimpleNamespace(key="faces", first=0)))


def test_a_gallery_of_many_people_has_pages_and_a_search_that_fits_them():
    at = AppTest.from_function(many_people, default_timeout=60).run()
    assert len(tiles(at)) == 60
    page = "faces.gallery.page"
    at.number_input(key=page).set_value(3).run()
    assert tiles(at) == [f"p{number}" for number in range(120, 130)]
    for wanted, counts in (("p1", {41}), ("p", {60, 10}), ("p77", {1}), ("", {60, 10})):
        at.text_input(key="faces.search").set_value(wanted).run()
        assert not at.exception
        assert len(tiles(at)) in counts
    press(at, f"faces.tile.{tiles(at)[-1]}")


# A photo that a person gives.


def answer(at: AppTest) -> str:
    (line,) = [one for one in words(at.markdown) if one.startswith("**Original")]
    return line


@slow
def test_a_photo_of_somebody_it_knows_is_recognised(looking, orl):
    one = face(orl, 15, 3)
    for name, data in {
        "png": encoded(one),
        "colour": encoded(one.convert("RGB")),
        "jpeg": encoded(one, "JPEG", quality=85),
        "grey with alpha": encoded(one.convert("LA")),
        "transparent": encoded(cut_out(one)),
        "palette": encoded(one.convert("P")),
        "small": encoded(one.resize((69, 84), Image.Resampling.LANCZOS)),
        "large": encoded(one.resize((920, 1120), Image.Resampling.LANCZOS)),
        "bmp": encoded(one, "BMP"),
        "pgm": orl["s15/3.pgm"],
    }.items():
        upload(looking, data)
        assert not looking.error, name
        assert "**s15**" in answer(looking), name
        upload(looking, b"", "nothing")
        assert "**Original**" not in said(looking)  # the next answer is not this one


def cut_out(image: Image.Image) -> Image.Image:
    """The face in an oval on nothing."""
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse([2, 2, image.width - 2, image.height - 2], fill=255)
    image = image.convert("RGBA")
    image.putalpha(mask)
    return image


@slow
@pytest.mark.drawn(2)
@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_sideways_photo_is_recognised(looking, orl, turn, tagged):
    """With the tag that a telephone writes, and without it."""
    exif = Image.Exif()
    if tagged:
        exif[ORIENTATION] = {90: 6, 180: 3, 270: 8}[turn]
    image = face(orl, 15, 3).resize((368, 448)).rotate(turn, expand=True)
    upload(looking, encoded(image, "JPEG", exif=exif, quality=92), "sideways.jpg")
    assert not looking.error
    assert "s15" in answer(looking)


@slow
def test_a_face_of_forty_pixels_is_recognised_or_said_to_be_too_small(looking, orl):
    image = Image.new("L", (300, 300), 120)
    image.paste(face(orl, 15, 3).resize((40, 49), Image.Resampling.LANCZOS), (130, 120))
    upload(looking, encoded(image))
    assert not looking.error
    if looking.warning:
        assert words(looking.warning)[0].startswith("No face was found here.")
        assert "**Original**" not in said(looking)
    else:
        assert "s15" in answer(looking)


@slow
@pytest.mark.parametrize("draw", [landscape, cartoon], ids=lambda draw: draw.__name__)
def test_a_picture_without_a_face_is_one_sentence(looking, draw):
    upload(looking, encoded(draw()))
    assert not looking.error
    (warning,) = words(looking.warning)
    assert warning.startswith("No face was found here.")
    assert "**Original**" not in said(looking)


@slow
def test_of_two_faces_none_is_taken_before_somebody_says_which(looking, orl):
    upload(looking, side_by_side(orl, 7, 16))
    (pills,) = [one for one in looking.pills if "faces" in one.label]
    assert pills.value is None
    assert "Original" not in said(looking)
    assert "none of them is clearly the largest" in captions(looking)
    for number, person in ((1, "s7"), (2, "s16")):
        looking.pills(key=pills.key).set_value(number).run()
        assert f"**Original, face {number}**: **{person}**" in said(looking)
        assert not looking.error


@slow
def test_by_far_the_largest_face_is_taken_and_that_is_said(looking, orl):
    upload(looking, side_by_side(orl, 7, 16, sides=(90, 220)))
    assert "**Original, face 2**: **s16**" in said(looking)
    assert "Face 2 is by far the largest, so it is the one unless you choose another." in captions(
        looking)
    (pills,) = [one for one in looking.pills if "faces" in one.label]
    looking.pills(key=pills.key).set_value(1).run()
    assert "**Original, face 1**" in said(looking)
    assert "by far the largest" not in captions(looking)


def folds(at: AppTest) -> list:
    """What is said of the photos that a dataset was made from."""
    return [one for one in at.expander if "used" in one.label]


@slow
def test_fifty_three_problems_are_one_line_above_the_gallery(looking):
    held = session(looking)
    assert folds(looking) == []
    before, kind = held.dataset, Kind("photos are left out", "no face was found in them")
    held.dataset = dataclasses.replace(before, findings=(
        *(Finding(f"“sky{n}_.png” is left out: no face", f"“sky{n}_.png”", kind, 1)
          for n in range(53)), Finding("“a” and “b” are taken as one person")))
    try:
        looking.run()
        (fold,) = folds(looking)
        assert fold.label == "400 of 453 photos are used; 53 are left out."
        assert not fold.proto.expanded
        short, full = words(fold.markdown)
        assert short.splitlines() == [
            "- 53 photos are left out (“sky0\\_.png”, “sky1\\_.png”, “sky2\\_.png” and 50 more): "
            "no face was found in them.", "- “a” and “b” are taken as one person."]
        assert len(full.splitlines()) == 54
        assert "- “sky52\\_.png” is left out: no face." in full
        assert "sky" not in captions(looking)
    finally:
        held.dataset = before


@slow
def test_of_twelve_faces_any_can_be_picked(looking, orl):
    persons = [1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34]
    image = Image.new("L", (4 * 220, 3 * 260), 90)
    for place, person in enumerate(persons):
        one = face(orl, person, 1).resize((184, 224), Image.Resampling.LANCZOS)
        image.paste(one, (18 + 220 * (place % 4), 18 + 260 * (place // 4)))
    upload(looking, encoded(image))
    assert not looking.error
    (pills,) = [one for one in looking.pills if "faces" in one.label]
    assert pills.label == "12 faces: which one?"
    key, seen = pills.key, []
    for number in range(1, 13):
        looking.pills(key=key).set_value(number).run()
        assert not looking.exception
        seen.append(re.search(r"s\d+", answer(looking)).group())
    assert sorted(seen) == sorted(f"s{person}" for person in persons)


BAD = {
    "a text file": (b"Dear diary", "not a picture"),
    "an empty file": (b"", "not a picture"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64, "HEIC"),
    "AVIF": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 64, "AVIF"),
    "half a picture": (None, "damaged"),
    "only a head": (b"\x89PNG\r\n\x1a\n" + b"0" * 50, "picture"),
    "a zip": (zipped({"a.txt": b"x"}), "not a picture"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "a bomb": ("bomb", "pixels"),
}


@slow
def test_what_is_no_photo_is_exactly_one_sentence(looking, orl):
    for name, (data, about) in BAD.items():
        if data is None:
            data = encoded(face(orl, 1).resize((400, 400)))[:2000]
        elif data == "bomb":
            data = encoded(Image.new("1", (20_000, 20_000)))
        upload(looking, data, "photo.jpg")
        (error,) = words(looking.error)
        assert about in error, name
        assert error.endswith(".") and error.count(".") <= 2, name
        assert "**Original**" not in said(looking), name
        assert not looking.warning, name


@slow
def test_the_sentence_stays_while_the_bad_file_does(looking):
    upload(looking, b"Dear diary")
    looking.run()
    assert len(looking.error) == 1


@slow
def test_a_good_photo_after_a_bad_one_is_judged(looking, orl):
    upload(looking, b"Dear diary")
    looking.file_uploader(key="faces.file").set_value(
        ("good.png", encoded(face(orl, 9, 2)), "image/png")).run()
    assert not looking.error
    assert "**s9**" in answer(looking)


@slow
def test_back_in_the_gallery_the_upload_is_gone(looking, orl):
    upload(looking, encoded(landscape()))
    looking.segmented_control(key="faces.way").set_value("From the gallery").run()
    assert not looking.warning
    assert "**s1**" in answer(looking)


@slow
def test_a_stranger_is_nobody_that_the_model_knows(small, orl):
    unknown = 0
    for person in (20, 25, 30, 35):
        upload(small, encoded(face(orl, person)))
        unknown += "not someone I know" in answer(small)
    assert unknown >= 3
    upload(small, encoded(face(orl, 5)))
    assert "**s5**" in answer(small)


def test_evidence_below_the_threshold_names_nobody():
    held = type("Held", (), {"threshold": Threshold(.8, .1, .1, 10, 10)})
    assert "not someone I know" in verdict_on(held, "Ann", .79)
    assert "not someone I know" not in verdict_on(held, "Ann", .8)
    held.threshold = None
    assert "not someone I know" not in verdict_on(held, "Ann", .01)


def drawn_caption(known: Threshold | None, held_out: int) -> str:
    """What is said about a threshold, for data with so many held-out photos."""
    def script(known, held_out):
        from types import SimpleNamespace

        from ui.faces.input import about_threshold

        about_threshold(SimpleNamespace(
            threshold=known, dataset=SimpleNamespace(held_out=range(held_out))))

    at = AppTest.from_function(script, kwargs={"known": known, "held_out": held_out}).run()
    assert not at.exception, at.exception
    return captions(at)


def test_without_a_threshold_it_is_said_that_somebody_is_always_named():
    assert "always names somebody" in drawn_caption(None, 0)


@slow
def test_where_nothing_is_held_out_the_rates_are_not_said_to_be_of_other_photos(small, orl):
    """Then the known people's test photos drew the line that they are judged by."""
    bring_zip(small, zipped({f"P{who}/{name}": data for who in (31, 32, 33, 34)
                             for name, data, _ in pngs(orl, who, 4)}))
    only_brought(enrol(small))
    assert len(session(small).dataset.held_out) == 0
    assert session(small).threshold is not None
    (caption,) = [one for one in words(small.caption) if "Not someone I know" in one]
    assert "On photos that did not draw it, strangers" not in caption


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (1600, 1), (92, 112), (1600, 1200)])
def test_any_photo_can_be_drawn_with_its_faces(size):
    from forget.faces import Face

    faces = tuple(Face((-5.0, -5.0, 3.0 * n, 4.0 * n), ((1.0, 1.0),) * 5, .9) for n in (1, 90, 500))
    for chosen in (None, 0, 2):
        assert max(annotated(Image.new("RGB", size), faces, chosen).size) == 420


# Forgetting.


VERDICTS = ("Matches retraining on accuracy", "Under-forgot", "Over-forgot", "Damaged the rest")


def verdict_boxes(at: AppTest) -> list[str]:
    return [box for box in words([*at.success, *at.warning, *at.error])
            if any(verdict in box for verdict in VERDICTS)]


def faults(at: AppTest) -> list[str]:
    """Error boxes, but for the verdict's own."""
    return [error for error in words(at.error) if error not in verdict_boxes(at)]


def see_all_views(at: AppTest) -> None:
    for view in at.segmented_control(key="faces.view").options:
        at.segmented_control(key="faces.view").set_value(view).run()
        assert not at.exception and faults(at) == [], view
        assert at.get("plotly_chart") or at.get("download_button") or at.table
    at.segmented_control(key="faces.view").set_value("Side by side").run()


@slow
@pytest.mark.drawn(2)
@pytest.mark.parametrize("name", METHODS)
def test_a_person_is_forgotten_by_every_method_and_every_view_is_drawn(page, own_home, name):
    choose_method(page, name)
    press(page, "faces.tile.s12")
    assert page.selectbox(key="faces.class").value == "s12"
    keys = keys_of_person(page, "s12")
    assert keys <= embeddings(own_home)
    forget(page)
    assert faults(page) == []
    (verdict,) = verdict_boxes(page)
    if name in ("retrain", "sisa", "certified"):
        assert "Matches retraining on accuracy" in verdict
    assert not keys & embeddings(own_home)
    assert page.segmented_control(key="faces.view").value == "Side by side"
    assert "**Photos of s12 that no model has seen**" in said(page)
    assert "**Who looks like them, and everybody else**" in said(page)
    labels = [metric.label for metric in page.metric]
    for model in ("Original", "Unlearned", "Retrained", "Strangers"):
        assert f"{model}: nobody known" in labels
    see_all_views(page)
    line = answer(page)
    assert "**s12**" in line  # the original goes on knowing them
    (line,) = [one for one in words(page.markdown) if one.startswith("**Unlearned**")]
    if name in ("retrain", "certified"):
        assert "not someone I know" in line


@slow
def test_picked_photos_are_forgotten_by_every_method(small, own_home):
    for name in METHODS:
        choose_method(small, name)
        press(small, "faces.tile.s1")
        small.segmented_control(key="faces.kind").set_value("Photos I pick").run()
        if session(small).results:
            press(small, "faces.over")
        for row in (0, 2):
            small.checkbox(key=f"faces.pick.{row}").check().run()
        before = embeddings(own_home)
        forget(small)
        assert len(verdict_boxes(small)) == 1, name
        train = session(small).dataset.train
        assert session(small).result.request.spec == "samples:0,2"
        assert session(small).result.method.name == name
        assert before - embeddings(own_home) <= {train.keys[row] for row in (0, 2)}
        assert not {train.keys[row] for row in (0, 2)} & embeddings(own_home)
        assert "**The photos that were forgotten**" in said(small)
        small.segmented_control(key="faces.view").set_value("Where predictions went").run()
        assert faults(small) == []
        small.segmented_control(key="faces.view").set_value("Side by side").run()


@slow
def test_without_a_picked_photo_there_is_nothing_to_forget(looking):
    looking.segmented_control(key="faces.kind").set_value("Photos I pick").run()
    assert looking.button(key="faces.forget").disabled
    looking.segmented_control(key="faces.kind").set_value("A person").run()
    assert not looking.button(key="faces.forget").disabled


@slow
def test_random_photos_can_be_forgotten(small):
    small.segmented_control(key="faces.kind").set_value("Random photos").run()
    small.number_input(key="faces.count").set_value(5).run()
    forget(small)
    assert len(verdict_boxes(small)) == 1
    see_all_views(small)


@slow
def test_undo_and_start_over(small):
    press(small, "faces.tile.s3")
    forget(small)
    held = session(small)
    first = held.result.unlearned
    press(small, "faces.tile.s4")
    assert small.pills(key="faces.class").value == "s4"
    forget(small)
    assert held.start.forgotten.classes == [2, 3]
    press(small, "faces.undo")
    assert held.result.unlearned is first
    press(small, "faces.over")
    assert held.result is None
    assert "4 See what is left" not in words(small.header)
    assert not small.button(key="faces.forget").disabled
    forget(small)
    assert len(held.results) == 1


@slow
def test_a_forgotten_person_can_still_be_looked_at_and_is_not_asked_for_again(small):
    press(small, "faces.tile.s3")
    forget(small)
    assert faults(small) == []
    assert shown_and_asked(small) == {"s3"}
    assert "Learnt from: 4 (forgotten)" in captions(small)
    assert "s3 is forgotten already: choose another person to forget." in words(small.info)
    assert small.button(key="faces.forget").disabled
    press(small, "faces.tile.s5")
    assert not small.button(key="faces.forget").disabled


@slow
def test_all_views_are_drawn_before_there_is_a_retrained_model(small, monkeypatch):
    monkeypatch.setattr("ui.run.workbench.add_references", None)
    monkeypatch.setattr("forget.unlearning.run._with_references", lambda result, *_, **__: result)
    press(small, "faces.tile.s3")
    forget(small)
    assert session(small).result.references == ()
    see_all_views(small)


@slow
def test_what_is_forgotten_is_deleted_even_if_only_the_comparison_is_stopped(
    small, own_home, monkeypatch
):
    press(small, "faces.tile.s6")
    keys = keys_of_person(small, "s6")

    def stopped_there(job, result):
        job.partial = result
        job._cancel.set()

    monkeypatch.setattr(Job, "unlearned", stopped_there)
    forget(small)
    assert session(small).result is not None
    assert STOPPED in words(small.warning)
    assert not keys & embeddings(own_home)


@slow
def test_another_dataset_after_choices_on_the_first(small, orl):
    """A person, a photo and a request that the next people do not have."""
    press(small, "faces.tile.s8")
    small.number_input(key="faces.gallery.number").set_value(5).run()
    bring_zip(small, zipped({f"P{who}/{name}": data for who in (31, 32, 33)
                             for name, data, _ in pngs(orl, who, 4)}))
    only_brought(enrol(small))
    assert not small.error
    assert tiles(small) == ["P31", "P32", "P33"]
    press(small, "faces.tile.P33")
    assert "**Original**: **P33**" in said(small)
    assert "All 2 training photos of P33." in captions(small)


def commands(at: AppTest) -> list[list[str]]:
    at.segmented_control(key="faces.view").set_value("Download").run()
    assert not at.exception
    return [shlex.split(code.value) for code in at.code]


@pytest.mark.drawn(1)
@slow
@pytest.mark.parametrize(("method", "knob", "value"), [
    ("certified", None, None), ("retrain", "min_steps", 600), ("retrain", "arch", "auto"),
])  # fmt: skip
def test_the_command_that_is_shown_gives_the_same_numbers(
    small, tmp_path, method, knob, value
):
    """Also where a person set back to the program's default what the recipe for faces changes."""
    choose_method(small, method)
    if knob:
        label = small.selectbox(key="faces.model").value
        key = f"faces.recipe.{label}"
        find = small.selectbox if isinstance(value, str) else small.number_input
        find(key=f"{key}.{knob}").set_value(value)
        finish(press(small, f"FormSubmitter:{key}.form-Use these settings"))
    forget(small)
    (command,) = commands(small)
    assert command[:3] == ["python", "-m", "forget"]
    assert cli.main([*command[3:], "--json", str(tmp_path / "r.json")]) == 0
    told, shown = json.loads((tmp_path / "r.json").read_text()), session(small).result.to_json()
    for field in ("dataset", "forget", "method", "params", "seed", "metrics", "unknown"):
        assert told[field] == shown[field], field


# Bringing people.


@slow
def test_a_person_with_several_photos_is_enrolled_known_and_forgotten(small, orl):
    bring(small, "Ann Lee", pngs(orl, 31))
    assert words(small.success) == ["3 photos of 1 person can be learnt from."]
    assert not small.warning and not small.error
    enrol(small)
    assert enrolled(small) == {"Ann Lee": 3}
    assert session(small).dataset.classes == ("Ann Lee", *(f"s{n}" for n in range(1, FEW + 1)))
    press(small, "faces.tile.Ann Lee")
    assert "**Original**: **Ann Lee**" in said(small)
    assert small.pills(key="faces.class").value == "Ann Lee"
    upload(small, encoded(face(orl, 31, 9)))
    assert "Ann Lee" in answer(small)  # or nobody, and she the nearest
    choose_method(small, "certified")
    press(small, "faces.tile.Ann Lee")
    forget(small)
    assert "Matches retraining on accuracy" in verdict_boxes(small)[0]
    assert session(small).result.request.spec == "class:Ann Lee"
    upload(small, encoded(face(orl, 31, 9)))
    (line,) = [one for one in words(small.markdown) if one.startswith("**Unlearned**")]
    assert "not someone I know" in line
    see_all_views(small)
    for command in commands(small):  # one that works, or none
        assert cli.main(command[3:]) == 0


@slow
def test_nothing_is_enrolled_before_a_person_says_so(small, orl):
    classes = session(small).dataset.classes
    bring(small, "Ann", pngs(orl, 31))
    assert enrolled(small) == {}
    press(small, "faces.leave")
    assert enrolled(small) == {}
    assert session(small).dataset.classes == classes
    assert not small.success


@slow
def test_a_zip_with_a_folder_a_person(small, orl):
    files = {f"people/{who}/{name}": data for who, number in (("Ann", 31), ("Ben/", 32))
             for name, data, _ in pngs(orl, number, 5)}
    bring_zip(small, zipped(files))
    assert words(small.success) == ["10 photos of 2 people can be learnt from."]
    only_brought(enrol(small))
    assert session(small).dataset.classes == ("Ann", "Ben")
    assert "always names somebody" in captions(small)
    forget(press(small, "faces.tile.Ben"))
    assert any("fewer than two classes" in one for one in words(small.warning))
    assert session(small).result is None


@slow
def test_what_is_left_out_of_a_zip_is_told_and_the_rest_is_taken(small, orl):
    files = {f"Ann/{name}": data for name, data, _ in pngs(orl, 31, 5)}
    files |= {"../../evil/1.png": encoded(face(orl, 32)), "Ann/notes.txt": b"hello",
              "loose.png": encoded(face(orl, 33)), "Alone/1.png": encoded(face(orl, 34)),
              "Ann/view.png": encoded(landscape()), "Ann/broken.png": b"\x89PNG\r\n\x1a\n",
              "__MACOSX/Ann/._1.png": b"x"}
    bring_zip(small, zipped(files))
    (warning,) = words(small.warning)
    assert warning.startswith("5 of 9 photos are used; 4 are left out.")
    for name in ("evil", "notes.txt", "loose.png", "Alone", "view.png", "broken.png"):
        assert warning.count(name) == 1, name
    assert words(small.success) == ["5 photos of 1 person can be learnt from."]
    assert not small.error
    enrol(small)
    assert enrolled(small) == {"Ann": 5}


def too_tight() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("Ann/1.png", b"\0" * (30 << 20))
    return out.getvalue()


BAD_ZIPS = {
    "text": lambda: b"no zip",
    "an empty file": lambda: b"",
    "cut": lambda: zipped({"Ann/1.png": b"x" * 5000})[:3000],
    "a bomb": too_tight,
    "no photos": lambda: zipped({"notes.txt": b"x"}),
    "leads out": lambda: zipped({"../1.png": b"x"}),
    "no entries": lambda: zipped({}),
}


@pytest.fixture
def with_ann(small, orl) -> AppTest:
    return enrol(bring(small, "Ann", pngs(orl, 31)))


def about_photos(at: AppTest) -> list[str]:
    """What the page says of photos that were looked at."""
    return words([*at.error, *at.warning, *at.info])


@slow
def test_a_zip_that_cannot_be_used_is_said_and_nobody_is_lost(with_ann, orl):
    silent = []
    for name, make in BAD_ZIPS.items():
        bring_zip(with_ann, make())
        if len(about_photos(with_ann)) != 1:
            silent.append((name, about_photos(with_ann)))
        assert enrolled(with_ann) == {"Ann": 3}, name
        if any(button.key == "faces.leave" for button in with_ann.button):
            assert with_ann.button(key="faces.enrol").disabled
            press(with_ann, "faces.leave")
        assert enrolled(with_ann) == {"Ann": 3}, name
    enrol(bring(with_ann, "Ben", pngs(orl, 32)))
    assert enrolled(with_ann) == {"Ann": 3, "Ben": 3}
    assert silent == []


BAD_PEOPLE = {
    "1 of 1 photo can be used": lambda orl: pngs(orl, 32, 1),
    "0 of 2 photos can be used": lambda orl: [("a.png", encoded(landscape()), "image/png")] * 2,
    "cannot be read as pictures": lambda orl: [("a.png", b"Dear diary", "image/png")] * 3,
    "copies of photos that are kept": lambda orl: [(f"{n}.png", pngs(orl, 32, 1)[0][1], "image/png")
                                      for n in range(3)],
    "HEIC": lambda orl: [("a.heic", b"\0\0\0\x18ftypheic" + b"\0" * 50, "image/heic"),
                         *pngs(orl, 32, 1)],
    "under different names": lambda orl: pngs(orl, 31, 2),
}


@slow
def test_a_person_who_cannot_be_learnt_from_is_told_and_nobody_is_lost(with_ann, orl):
    for about, files in BAD_PEOPLE.items():
        bring(with_ann, "Ben", files(orl))
        assert any(about in warning for warning in words(with_ann.warning)), about
        assert not with_ann.error and not with_ann.success, about
        assert with_ann.button(key="faces.enrol").disabled
        press(with_ann, "faces.leave")
        assert enrolled(with_ann) == {"Ann": 3}


@slow
def test_two_people_of_the_same_name_are_noticed(small, orl):
    enrol(bring(small, "Maria", pngs(orl, 31)))
    bring(small, "Maria", pngs(orl, 32))
    assert any("Maria" in one for one in words([*small.warning, *small.info]))
    press(small, "faces.leave")
    assert enrolled(small) == {"Maria": 3}


@slow
def test_a_brought_person_called_as_one_of_the_gallery_is_noticed(small, orl):
    bring(small, "s3", pngs(orl, 32))
    assert any("s3" in one for one in words([*small.warning, *small.info]))


@slow
def test_more_photos_of_a_person_are_added(small, orl):
    enrol(bring(small, "Ann", pngs(orl, 31)[:2]))
    enrol(bring(small, "  Ann ", pngs(orl, 31)[2:]))
    assert enrolled(small) == {"Ann": 3}


@slow
def test_an_enrolled_persons_photo_under_another_name_costs_the_enrolled_one_nothing(small, orl):
    """The new name is the doubtful one; what was enrolled before stays."""
    enrol(bring(small, "Ann", pngs(orl, 31, 2)))
    bring(small, "Ben", [*pngs(orl, 31, 2), *[(f"own {name}", data, kind)
                                              for name, data, kind in pngs(orl, 32, 3)]])
    assert any("2 times the same photo stands under different names" in one
               for one in words(small.warning))
    enrol(small)
    assert enrolled(small).get("Ann") == 2
    assert enrolled(small).get("Ben") == 3


@slow
def test_photos_of_the_gallery_under_a_new_name_are_told(small, orl):
    enrol(bring(small, "Ann", pngs(orl, 3)))
    (fold,) = folds(small)
    assert re.fullmatch(r"\d+ of 83 photos are used; \d+ are left out\.", fold.label)
    assert "3 times the same photo stands under different names" in said(small)
    assert not small.exception


ANY_NAMES = ("a/b", "../../etc", "👩‍👧 Zoë", "חנה לוי", "*bold* _x_ [a](b)", "..", "class:s1",
             "s1,s2", "$x$ :smile: `c`", "Ж" * 80, "字" * 80, "<b>x</b>", "7")


@slow
def test_names_that_are_nearly_one_are_said_and_a_person_chooses(small, orl):
    enrol(bring(small, "José Álvarez", pngs(orl, 31)))
    bring(small, "josé  álvarez", pngs(orl, 32))
    assert ("José Álvarez is known already; josé álvarez would be another person."
            in words(small.info))
    enrol(small)
    assert enrolled(small) == {"José Álvarez": 3, "josé álvarez": 3}  # nobody chose: two people
    assert "are taken as 2 people; if they are one, give them one name" in said(small)
    assert [one.label for one in folds(small)] == ["All 86 photos are used; 1 note on them."]
    finish(press(small, "faces.remove.josé álvarez"))
    bring(small, "JOSE ALVAREZ", pngs(orl, 32))
    finish(click(small, "They are one: José Álvarez"))
    assert not [one for one in words(small.info) if "another person" in one]
    enrol(small)
    assert enrolled(small) == {"José Álvarez": 6}


@slow
def test_two_people_of_one_zip_whose_names_are_nearly_one_can_be_made_one(small, orl):
    files = {f"{who}/{number}.png": encoded(face(orl, person, number))
             for who, person in (("Ann", 31), ("ann", 32)) for number in (1, 2)}
    bring_zip(small, zipped(files))
    assert "Ann and ann would be two people." in words(small.info)
    finish(click(small, "They are one: Ann"))
    enrol(small)
    assert enrolled(small) == {"Ann": 4}


@slow
def test_any_name_can_be_enrolled_chosen_forgotten_and_kept(small, orl, own_home):
    for name in ANY_NAMES[:2]:
        enrol(bring(small, name, pngs(orl, 10 + ANY_NAMES.index(name), 3)))
        assert enrolled(small)[name] == 3
    bringing = session(small).given.bringing  # the others in one go
    bringing.photos = [Photo(name, file, data) for number, name in enumerate(ANY_NAMES)
                       for file, data, _ in pngs(orl, 10 + number, 3)]
    only_brought(finish(small.run()))
    assert not small.error
    assert set(session(small).dataset.classes) == set(ANY_NAMES)
    for name in ANY_NAMES[::2]:
        press(small, f"faces.tile.{name}")
        assert not small.error, name
        assert small.session_state["faces.class"] == name
    choose_method(small, "certified")
    for name in ANY_NAMES[3:5]:
        press(small, f"faces.tile.{name}")
        forget(small)
        result = session(small).result
        assert result.classes[result.request.class_index] == name
        assert faults(small) == []
    see_all_views(small)
    press(small, "faces.keep")
    assert not small.error
    assert {photo.person for photo in people.kept_photos()} == set(ANY_NAMES)
    assert all(path.is_relative_to(own_home / "people") for path in new_files(own_home))


@slow
def test_a_long_name_of_wide_signs_can_be_kept_too(small, orl, caplog):
    """Eighty signs of four bytes each: more than a disk takes as one name."""
    enrol(bring(small, "👩" * 80, pngs(orl, 31, 3)))
    press(small, "faces.keep")
    assert not small.error
    assert "👩" not in caplog.text


def new_files(home: Path) -> list[Path]:
    """What is neither the gallery's photos, nor a network, nor computed from the gallery."""
    known = ("faces", "dlib_resnet", "embeddings", "trained")
    return [path for path in home.rglob("*") if path.is_file()
            and path.relative_to(home).parts[0] not in known and not path.name.startswith(".")
            and path.name != "machine.key"]


@slow
def test_a_form_that_is_not_filled_in_is_one_sentence(small, orl):
    for name, count, about in (
        ("", 2, "needs a name"), ("   ", 2, "needs a name"), ("Ann", 0, "photos were given"),
        ("a\u202eb", 2, "control characters"), ("\u200b", 2, "control characters"),
    ):
        fill_in(small, name, pngs(orl, 31, count))
        (error,) = words(small.error)
        assert about in error
        assert session(small).given.bringing.job is None


def side_by_side(orl, *people: int, sides: tuple[int, ...] = (184, 184)) -> bytes:
    """One photo of several people, each as wide as is said."""
    image = Image.new("L", (20 + sum(sides) + 20 * len(sides), 60 + max(sides) * 112 // 92), 90)
    left = 20
    for person, side in zip(people, sides, strict=True):
        image.paste(face(orl, person, 7).resize((side, side * 112 // 92)), (left, 30))
        left += side + 20
    return encoded(image)


@slow
def test_of_a_photo_with_several_people_one_is_picked(small, orl):
    both = side_by_side(orl, 31, 32)
    bring(small, "Ann", [*pngs(orl, 31, 3), ("both.png", both, "image/png")])
    assert any("2 faces" in warning for warning in words(small.warning))
    (pills,) = [one for one in small.pills if "both.png" in one.label]
    assert pills.value is None
    pills.set_value(1).run()
    finish(press(small, "faces.pick"))
    assert words(small.success) == ["4 photos of 1 person can be learnt from."]
    assert not small.warning
    enrol(small)
    assert enrolled(small) == {"Ann": 4}
    (picked,) = [one for one in session(small).given.bringing.photos if one.name == "both.png"]
    assert left_of(picked)


def picks(at: AppTest) -> list:
    """The choices among faces in photos that were brought."""
    return [one for one in at.pills if str(one.key).startswith("faces.pick.")]


def left_of(photo: Photo) -> bool:
    """Whether the face that was picked is the one on the left."""
    (found,) = find_faces([read_photo(photo.data)])
    return photo.face == min(range(2), key=lambda index: found.faces[index].box[0])


@slow
def test_where_the_largest_face_is_taken_it_is_said_and_another_can_be_chosen(small, orl):
    crowd = ("crowd.png", side_by_side(orl, 32, 31, sides=(90, 220)), "image/png")
    bring(small, "Ann", [*pngs(orl, 31, 3), crowd])
    assert words(small.warning) == [
        "“crowd.png” of Ann shows 2 faces; by far the largest is taken, number 2 from the left."]
    assert words(small.success) == ["4 photos of 1 person can be learnt from."]
    assert picks(small) == []
    small.toggle[0].set_value(True).run()
    (pills,) = picks(small)
    assert pills.value == 2
    pills.set_value(1).run()
    finish(press(small, "faces.pick"))
    assert not small.warning
    enrol(small)
    (picked,) = [one for one in session(small).given.bringing.photos if one.name == "crowd.png"]
    assert left_of(picked)


@slow
def test_a_person_can_be_removed_again(small, orl):
    enrol(bring(small, "Ann", pngs(orl, 31)))
    enrol(bring(small, "Ben", pngs(orl, 32)))
    finish(press(small, "faces.remove.Ann"))
    assert enrolled(small) == {"Ben": 3}
    assert "Ann" not in session(small).dataset.classes
    finish(press(small, "faces.remove.Ben"))
    assert session(small).dataset.classes == tuple(f"s{n}" for n in range(1, FEW + 1))


@slow
def test_only_one_brought_person_is_one_sentence_and_not_the_end(small, orl):
    enrol(bring(small, "Ann", pngs(orl, 31)))
    only_brought(small)
    (error,) = words(small.error)
    assert "2 people are needed" in error
    assert not small.exception
    (who,) = [one for one in small.segmented_control if str(one.key).startswith("faces.who.")]
    who.set_value(who.options[0]).run()
    finish(small)
    assert not small.error
    assert tiles(small) == [f"s{n}" for n in range(1, FEW + 1)]


@pytest.fixture
def busy():
    """Another tab's job that keeps all others waiting."""
    job = Job("Something else", lambda job: [time.sleep(.05) or job.check() for _ in range(400)])
    people.shared.job_queue().submit(job)
    yield job
    job.cancel()


@slow
def test_people_can_be_brought_while_a_model_forgets(small, orl, busy):
    """Two jobs of one tab at once, each with its progress and its way out."""
    press(small, "faces.forget")
    fill_in(small, "Ann", pngs(orl, 31))
    assert words(small.error) == []
    assert session(small).busy
    assert not session(small).given.bringing.job.over
    busy.cancel()
    finish(small)
    assert session(small).result is not None
    assert words(small.success)


@slow
def test_looking_can_be_stopped_and_started_again(with_ann, orl, busy):
    fill_in(with_ann, "Ben", pngs(orl, 32))
    click(with_ann, "Cancel")
    busy.cancel()
    finish(with_ann)
    assert not with_ann.error
    assert enrolled(with_ann) == {"Ann": 3}
    enrol(bring(with_ann, "Ben", pngs(orl, 32)))
    assert enrolled(with_ann) == {"Ann": 3, "Ben": 3}


# What stays where.


def everything_in(home: Path) -> dict[str, bytes]:
    """Every file's bytes, but for the gallery's photos and the network."""
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*")
            if path.is_file() and not path.is_symlink()}


def traces(home: Path, names: list[str], photos: list) -> list[str]:
    """Files whose names or bytes tell of people or of their photos, by key or by content."""
    tells = [*(name.encode() for name in names), *(one[1][40:200] for one in photos),
             *(Photo("", "", one[1]).key.encode()[:16] for one in photos)]
    return [place for place, data in everything_in(home).items()
            if any(tell in data or tell.decode("latin-1") in place for tell in tells)]


@pytest.mark.drawn(1)
@slow
@pytest.mark.parametrize(("name", "joined"), [
    ("retrain", True), ("sisa", False),
    ("certified", False), ("gradient_ascent", True),
])  # fmt: skip
def test_nothing_of_lent_people_is_written_or_logged(
    small, orl, own_home, caplog, capfd, name, joined
):
    caplog.set_level(logging.INFO)
    people_brought = {"Quentin Zarathustra": pngs(orl, 31), "Ulrike Xanthippe": pngs(orl, 32),
                      "Yolanda Wittgenstein": pngs(orl, 33)}
    bring_zip(small, zipped({f"{who}/holiday-{file}": data for who, photos in people_brought.items()
                             for file, data, _ in photos}))
    enrol(small)
    before = set(everything_in(own_home))
    if not joined:
        only_brought(small)
    choose_method(small, name)
    press(small, "faces.tile.Ulrike Xanthippe")
    forget(small)
    assert session(small).result.classes[session(small).result.request.class_index] == (
        "Ulrike Xanthippe")
    see_all_views(small)
    given = [photo for photos in people_brought.values() for photo in photos]
    assert traces(own_home, [*people_brought, "holiday"], given) == []
    new = set(everything_in(own_home)) - before
    assert {Path(place).name for place in new} <= {"machine.key", ".machine.key.lock"}
    logs = caplog.text + "".join(capfd.readouterr())
    for word in ("Quentin", "Ulrike", "Yolanda", "holiday"):
        assert word not in logs


@slow
def test_a_forgotten_lent_person_is_gone_from_what_was_computed(small, orl):
    enrol(bring(small, "Ann", pngs(orl, 31)))
    keys = keys_of_person(small, "Ann")
    private = session(small).dataset.private
    assert keys <= {place[1] for place in private["embedded"]}
    choose_method(small, "certified")
    press(small, "faces.tile.Ann")
    forget(small)
    assert not keys & {place[1].partition("/")[0] for place in private["embedded"]}


@slow
def test_photos_are_kept_where_it_says_and_can_be_deleted(small, orl, own_home):
    photos = pngs(orl, 31)
    enrol(bring(small, "Quentin Zarathustra", photos))
    assert traces(own_home, ["Quentin"], photos) == []
    press(small, "faces.keep")
    place = own_home / "people"
    files = sorted(path for path in place.rglob("*") if path.is_file())
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert {path.read_bytes() for path in files} == {data for _, data, _ in photos}
    assert all(one.startswith("people/") for one in traces(own_home, ["Quentin"], photos))
    assert str(place) in captions(small)
    assert "3 photos of 1 person" in captions(small)
    press(small, "faces.kept.delete")
    assert not place.exists()
    assert traces(own_home, ["Quentin"], photos) == []
    assert enrolled(small) == {"Quentin Zarathustra": 3}  # in this tab's memory still


@slow
def test_kept_people_come_back_in_another_tab(small, orl, own_home):
    enrol(bring(small, "Ann/Lee", pngs(orl, 31)))
    press(small, "faces.keep")
    other = opened()
    assert enrolled(other) == {}
    finish(press(other, "faces.kept.load"))
    assert words(other.success) == ["3 photos of 1 person can be learnt from."]
    enrol(other)
    assert enrolled(other) == {"Ann/Lee": 3}
    assert "Ann/Lee" in session(other).dataset.classes


@slow
def test_keeping_twice_is_keeping_once(small, orl, own_home):
    enrol(bring(small, "Ann", pngs(orl, 31)))
    press(small, "faces.keep")
    press(small, "faces.keep")
    assert len([path for path in (own_home / "people").rglob("*") if path.is_file()]) == 3


def test_deleting_what_is_deleted_already_is_no_fault(home):
    people.keep([Photo("Ann", "1.png", b"x")])
    assert len(people.kept_photos()) == 1
    shutil.rmtree(people.folder())
    assert people.kept_photos() == []
    assert kept_people() == set()


def usable(name: str) -> bool:
    try:
        return person_name(name) == name
    except BadInput:
        return False


NAMES = st.text(min_size=1, max_size=80).map(lambda text: " ".join(text.split())).filter(usable)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_what_is_kept_comes_back_under_the_same_name(home, name):
    shutil.rmtree(home, ignore_errors=True)
    people.keep([Photo(name, "1.png", b"x")])
    (kept,) = people.kept_photos()
    assert (kept.person, kept.data) == (name, b"x")
    assert kept_people() == {name}
    inside = [path for path in home.rglob("*") if path.is_file()]
    assert [path.parent.parent for path in inside] == [people.folder()]


@pytest.mark.parametrize("name", [
    "Thumbs.db", "desktop.ini", "__MACOSX", ".hidden", "..", ".", "a/b", "a\\b", "~", "CON",
    "100%", "%41nn", "ends.", "👩" * 80, "字" * 80, "/" * 80,
])  # fmt: skip
def test_names_that_mean_something_to_a_disk_come_back_too(home, name):
    people.keep([Photo(name, "1.png", b"x")])
    (kept,) = people.kept_photos()
    assert kept.person == name
    assert kept_people() == {name}
    inside = [path for path in home.rglob("*") if path.is_file()]
    assert {path.parent.parent for path in inside} == {people.folder()}


def test_people_whose_names_differ_only_in_signs_are_kept_apart(home):
    names = ["a/b", "a%2Fb", "a:b", "ab", "a b", "A/b"]
    people.keep([Photo(name, "1.png", name.encode()) for name in names])
    assert {one.person: one.data for one in people.kept_photos()} == {
        name: name.encode() for name in names}


def test_a_photo_is_kept_whatever_its_file_was_called(home):
    names = ("a.PNG", "a", "a.txt", "../../a.jpg", ".jpg", "a.heic", "é.jpg")
    for number, name in enumerate(names):
        people.keep([Photo("Ann", name, bytes([number]))])
    assert len(people.kept_photos()) == 7


@slow
def test_a_failure_while_keeping_tells_no_name(small, orl, caplog, capfd, monkeypatch):
    """A full disk, or a folder that may not be written."""
    def full(_, path):
        raise OSError(28, "No space left on device", str(path))

    enrol(bring(small, "Quentin Zarathustra", pngs(orl, 31)))
    monkeypatch.setattr("forget.io.files.os.replace", full)
    small.button(key="faces.keep").click().run()
    assert not small.exception
    assert len(small.error) == 1
    assert "Quentin" not in caplog.text + "".join(capfd.readouterr())


@slow
def test_a_fault_while_forgetting_tells_no_name(small, orl, caplog, capfd, monkeypatch):
    def broken(dataset, start, request, *_, **__):
        raise RuntimeError("inner detail")

    monkeypatch.setattr("ui.run.workbench.run", broken)
    enrol(bring(small, "Quentin Zarathustra", pngs(orl, 31)))
    press(small, "faces.tile.Quentin Zarathustra")
    forget(small)
    assert any("Something went wrong" in one for one in words(small.warning))
    assert "Quentin" not in caplog.text + "".join(capfd.readouterr())


# Beside the page.


def test_what_is_known_of_photos_is_no_checkpoint(home):
    """The pages list a person's own checkpoints; embeddings are none."""
    place = home / "embeddings" / "dlib_resnet-v1" / "ab"
    place.mkdir(parents=True)
    torch.save({}, place / "x.pt")
    (place / f"{'ab' * 32}.safetensors").write_bytes(b"x")
    (home / "features").mkdir()
    (home / "features" / "scattering-00.safetensors").write_bytes(b"x")
    (home / "theirs.safetensors").write_bytes(b"x")
    assert [path.name for path in store.foreign_files()] == ["theirs.safetensors"]


@slow
def test_the_digits_page_does_not_list_embeddings_as_models(own_home):
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=60)
    at.session_state["framed"] = True
    at.run()
    assert not at.exception
    assert not any("safetensors" in str(table.value) for table in at.table)


@slow
def test_a_session_of_its_own_sees_nobody_elses_people(small, orl):
    enrol(bring(small, "Ann", pngs(orl, 31)))
    other = opened()
    assert enrolled(other) == {}
    assert tiles(other) == [f"s{n}" for n in range(1, FEW + 1)]
    assert "Ann" not in said(other) + captions(other)


@slow
def test_an_embedder_that_does_not_exist_is_one_sentence(own_home, monkeypatch):
    monkeypatch.setenv("FORGET_EMBEDDER", "nope")
    forget_caches()
    at = AppTest.from_file(PAGE, default_timeout=60)
    at.session_state["framed"] = True
    at.run()
    if "faces.session" in at.session_state:
        finish(at)
    assert not at.exception
    (error,) = words(at.error)
    assert "'nope'" in error and "dlib\\_resnet" in error
    forget_caches()


@slow
def test_getting_ready_can_be_stopped_and_tried_again(few, busy):
    at = AppTest.from_file(PAGE, default_timeout=60)
    at.session_state["framed"] = True
    click(at.run(), "Cancel")
    assert words(at.error) == ["Stopped before the model was ready."]
    busy.cancel()
    finish(click(at, "Try again"))
    assert not at.error
    assert tiles(at) == [f"s{n}" for n in range(1, FEW + 1)]


@slow
def test_the_page_without_its_photos_says_so_in_one_sentence(home, monkeypatch):
    """Nothing is here and nothing can be fetched."""
    from forget.core.errors import SourceDown

    def down(self, *_):
        raise SourceDown("no source of the faces answers; try later")

    assert warm_up().done.wait(60)
    monkeypatch.setattr(Faces, "read", down)
    forget_caches()
    at = opened()
    (error,) = words(at.error)
    assert error == "No source of the faces answers; try later."
    assert "Try again" in [button.label for button in at.button]
    forget_caches()
