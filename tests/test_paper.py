"""Digits on real paper: read as they would be on a plain sheet, or refused with a sentence."""

import io
import time

import numpy as np
import pytest
import torch
from papers import KINDS
from PIL import Image, ImageDraw, ImageFilter

from forget.core.errors import BadImage, EmptyDrawing
from forget.data import find_dataset
from forget.data.mnist import RECIPES
from forget.io.images import digit_from_drawing, digit_from_picture, read_image
from forget.learners.network import Network
from forget.unlearning.learn import start_from

CLEAR = (0, 1, 2, 3, 4, 9, 11, 17, 61, 84)
"""Places in the test set of clearly written digits: 7, 2, 1, 0, 4, 9, 6, 7, 8, 8."""


@pytest.fixture(scope="module")
def shipped():
    """The model that ships and the real dataset, from the folder beside the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FORGET_HOME", raising=False)
        digits = find_dataset("mnist").load()
        yield start_from(Network(**RECIPES["network"]), digits, 0).model, digits


@torch.inference_mode()
def answer(model, digit: np.ndarray) -> tuple[int, float]:
    chances = model(torch.from_numpy(digit)[None, None]).softmax(1)[0]
    return int(chances.argmax()), float(chances.max())


def test_digit(digits, place: int) -> tuple[np.ndarray, int]:
    return digits.test.x[place, 0].numpy(), int(digits.test.y[place])


test_digit.__test__ = False


@pytest.mark.drawn(12)
@pytest.mark.parametrize("kind", KINDS)
def test_a_digit_is_read_on_every_kind_of_paper(kind, shipped):
    model, digits = shipped
    rng = np.random.default_rng([2026, list(KINDS).index(kind)])
    right = 0
    for place in rng.permutation(CLEAR)[:4]:
        digit, label = test_digit(digits, place)
        try:
            said, chance = answer(model, digit_from_picture(read_image(KINDS[kind](digit, rng))))
        except BadImage:
            continue
        right += said == label
        assert said == label or chance < 0.9
    assert right >= 3


@pytest.mark.drawn(10)
@pytest.mark.parametrize("kind", [name for name in KINDS if not name.startswith("box")])
def test_paper_without_a_digit_gets_no_answer(kind):
    rng = np.random.default_rng([7, list(KINDS).index(kind)])
    with pytest.raises(BadImage):
        digit_from_picture(read_image(KINDS[kind](np.zeros((28, 28), np.uint8), rng)))


@pytest.mark.parametrize("size", [(2000, 2600), (3000, 2250)])
def test_a_large_photo_is_read_in_well_under_two_seconds(size):
    image = Image.new("RGB", size, (235, 232, 225))
    ImageDraw.Draw(image).line([(700, 500), (1300, 500), (900, 1500)], (30, 30, 40), 60)
    image = Image.blend(image, Image.effect_noise(size, 60).convert("RGB"), 0.1)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    assert len(out.getvalue()) > 1 << 20
    began = time.process_time()
    digit_from_picture(read_image(out.getvalue()))
    assert time.process_time() - began < 1.5


# What is not one digit.


def paper(side: int = 260) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (side, side), 255)
    return image, ImageDraw.Draw(image)


def refused(image: Image.Image, words: str) -> None:
    """By one sentence that says what is wrong and what to do: as a picture and as a drawing."""
    with pytest.raises(BadImage, match=words):
        digit_from_picture(image)
    with pytest.raises(BadImage, match=words):
        digit_from_drawing(np.asarray(image.convert("RGBA")))


def beside(digits, places: list[int], gap: int, down: bool = False) -> Image.Image:
    """Test digits in a row or a column, 100 pixels high, so many pixels of paper between them."""
    cut = []
    for place in places:
        digit, _ = test_digit(digits, place)
        image = Image.fromarray(digit)
        image = image.crop(image.getbbox())
        cut.append(image.resize((round(100 * image.width / image.height), 100)))
    image = Image.new("L", (400, 400), 0)
    at = 10
    for one in cut:
        image.paste(one, (40, at) if down else (at, 40))
        at += gap + (one.height if down else one.width)
    return image.point(lambda value: 255 - value)


@pytest.mark.drawn(10)
@pytest.mark.parametrize("places", [(0, 1), (3, 17), (11, 9), (4, 61), (0, 3, 9)])
@pytest.mark.parametrize(("gap", "down"), [(12, False), (25, False), (60, False), (30, True)])
def test_several_digits_are_refused(places, gap, down, shipped):
    refused(beside(shipped[1], places[:2] if down else places, gap, down), "more than one digit")


@pytest.mark.parametrize(("places", "side", "gap", "around"), [
    ((5, 18), (28, 28), 82, 40), ((1, 2), (28, 28), 26, 33), ((14, 26), (90, 90), 71, 90),
    ((10, 8), (40, 40), 54, 22),
])
@pytest.mark.parametrize("chalk", [False, True])
def test_small_digits_far_apart_are_refused(places, side, gap, around, chalk, shipped):
    """The paper between the strokes of one of them was read as a digit, and surely."""
    width, height = side
    sheet = Image.new("L", (2 * around + 2 * width + gap, 2 * around + height))
    for at, place in enumerate(places):
        digit, _ = test_digit(shipped[1], place)
        sheet.paste(Image.fromarray(digit).resize(side), (around + at * (width + gap), around))
    with pytest.raises(BadImage, match="more than one digit"):
        digit_from_picture(sheet if chalk else sheet.point(lambda value: 255 - value))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(28, 28), (200, 150), (500, 500)])
def test_noise_is_refused(seed, size):
    noise = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    with pytest.raises(BadImage):
        digit_from_picture(Image.fromarray(noise))


@pytest.mark.parametrize("seed", range(3))
def test_marks_all_over_are_refused(seed):
    rng = np.random.default_rng(seed)
    image, draw = paper()
    for x, y in rng.uniform(10, 250, (60, 2)):
        draw.line([x, y, x + rng.normal(0, 15), y + rng.normal(0, 15)], 0, 4)
    refused(image, "marks all over")


def test_a_scribble_is_refused():
    image, draw = paper()
    draw.line([tuple(point) for point in np.random.default_rng(0).uniform(10, 250, (40, 2))], 0, 8)
    refused(image, "marks all over")


def test_a_blot_is_refused():
    image, draw = paper()
    draw.ellipse([80, 70, 170, 180], fill=0)
    refused(image, "blot")


def test_a_dot_is_refused():
    image, draw = paper()
    draw.ellipse([120, 110, 126, 116], fill=0)
    refused(image, "blot")


@pytest.mark.parametrize("width", [1, 4, 10])
def test_an_empty_box_is_no_zero(width):
    image, draw = paper()
    draw.rectangle([40, 30, 200, 220], outline=0, width=width)
    with pytest.raises(BadImage):
        digit_from_picture(image)


@pytest.mark.parametrize("grey", [0, 120, 255])
def test_an_empty_sheet_is_empty(grey):
    with pytest.raises(EmptyDrawing):
        digit_from_picture(Image.new("L", (300, 200), grey))


# What is one digit all the same.


@pytest.mark.parametrize("place", [*CLEAR, 963])
def test_a_digit_on_a_plain_sheet_is_read(place, shipped):
    # 963: the paper beside it stands out more, and is less sharp.
    digit, label = test_digit(shipped[1], place)
    picture = Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC)
    assert answer(shipped[0], digit_from_picture(picture))[0] == label


def test_a_five_with_its_flag_apart_is_read(shipped):
    image, draw = paper()
    body = [(105, 70), (100, 120), (140, 118), (165, 145), (150, 190), (95, 195)]
    draw.line(body, 0, 14, "curve")
    draw.line([(122, 62), (180, 58)], 0, 14)
    image = image.filter(ImageFilter.GaussianBlur(1))
    assert answer(shipped[0], digit_from_picture(image))[0] == 5


def test_a_four_in_two_strokes_that_do_not_meet_is_read(shipped):
    image, draw = paper()
    draw.line([(90, 60), (80, 130), (140, 130)], 0, 13, "curve")
    draw.line([(158, 55), (155, 215)], 0, 13)
    assert answer(shipped[0], digit_from_picture(image))[0] == 4


@pytest.mark.parametrize("place", CLEAR)
def test_a_digit_drawn_over_the_whole_canvas_is_read(place, shipped):
    digit, label = test_digit(shipped[1], place)
    image = Image.fromarray(digit)
    image = image.crop(image.point(lambda value: 255 * (value > 60)).getbbox()).resize(
        (260, 260) if image.width > 14 else (60, 260))
    if label == 1:
        image = image.resize((60, 260))
    rgba = np.asarray(image.point(lambda value: 255 - value).convert("RGBA"))
    assert answer(shipped[0], digit_from_drawing(rgba))[0] == label


def test_a_box_on_the_canvas_is_a_sign_like_any_other():
    image, draw = paper()
    draw.rectangle([50, 50, 210, 210], outline=0, width=18)
    assert digit_from_drawing(np.asarray(image.convert("RGBA"))).max() == 255


@pytest.mark.parametrize("left", [0, 100, 246])
def test_a_one_along_the_canvas_edge_is_read(left, shipped):
    image, draw = paper()
    draw.rectangle([left, 30, left + 13, 230], fill=0)
    assert answer(shipped[0], digit_from_drawing(np.asarray(image.convert("RGBA"))))[0] == 1
