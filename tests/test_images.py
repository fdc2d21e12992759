"""Pictures from people: any bytes give the digit as MNIST would have it, or one known error."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from scipy import ndimage

from forget.core.errors import BadImage, BadInput, EmptyDrawing
from forget.io import images, paper
from forget.io.images import digit_from_drawing, digit_from_picture, read_image


def seven(side=200, width=0.08, box=(0.25, 0.2, 0.75, 0.8), ink=0, paper=255) -> Image.Image:
    """A seven drawn with a round pen, in a box given in shares of the picture's side."""
    image = Image.new("L", (side, side), paper)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (side * share for share in box)
    pen = max(1, round(width * side * (box[3] - box[1]) / 0.6))
    points = [(left, top), (right, top), (left + (right - left) * 0.35, bottom)]
    draw.line(points, fill=ink, width=pen, joint="curve")
    for x, y in points:
        draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=ink)
    return image


def encoded(image: Image.Image, form="PNG", **how) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def digit_of(data: bytes) -> np.ndarray:
    return digit_from_picture(read_image(data))


def is_digit(digit: np.ndarray) -> None:
    assert digit.shape == (28, 28)
    assert digit.dtype == np.uint8
    assert digit.max() > 200
    assert (digit > 0).mean() < 0.75


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference, as a share of the mean ink."""
    one, other = one.astype(float), other.astype(float)
    return np.abs(one - other).mean() / ((one.mean() + other.mean()) / 2)


SEVEN = digit_from_picture(seven())


def looks_like_the_seven(digit: np.ndarray, most=0.25) -> None:
    is_digit(digit)
    assert distance(digit, SEVEN) < most


def test_the_measure_of_these_tests_tells_a_seven_from_others():
    one = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(one).line([(100, 40), (100, 160)], fill=0, width=16)
    zero = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(zero).ellipse([60, 40, 140, 160], outline=0, width=16)
    for other in (one, zero, seven().transpose(Image.Transpose.ROTATE_90),
                  seven().transpose(Image.Transpose.FLIP_LEFT_RIGHT)):  # fmt: skip
        assert distance(digit_from_picture(other), SEVEN) > 0.6


def test_a_digit_has_mnists_form():
    is_digit(SEVEN)
    rows, columns = np.nonzero(SEVEN > 60)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    assert SEVEN[0].max() == SEVEN[-1].max() == SEVEN[:, 0].max() == SEVEN[:, -1].max() == 0


# Every form of a good picture.


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_gives_the_same_digit(form, mode):
    looks_like_the_seven(digit_of(encoded(seven().convert(mode), form)))


def test_black_on_white_and_white_on_black_give_the_same_digit():
    assert np.array_equal(digit_from_picture(seven(ink=255, paper=0)), SEVEN)


@pytest.mark.parametrize(("ink", "paper"), [(100, 200), (60, 130), (200, 100), (0, 60), (180, 255)])
def test_faint_ink_gives_the_same_digit(ink, paper):
    looks_like_the_seven(digit_from_picture(seven(ink=ink, paper=paper)))


@pytest.mark.parametrize("box", [
    (0.02, 0.02, 0.22, 0.26), (0.78, 0.02, 0.98, 0.26), (0.02, 0.74, 0.22, 0.98),
    (0.78, 0.74, 0.98, 0.98), (0.4, 0.4, 0.6, 0.64),
], ids=["upper left", "upper right", "lower left", "lower right", "small"])  # fmt: skip
def test_a_digit_in_a_corner_is_centred_and_scaled(box):
    looks_like_the_seven(digit_from_picture(seven(400, box=box)))


@pytest.mark.parametrize("side", [60, 100, 300, 400, 500, 1000, 2000])
def test_the_scale_of_a_picture_does_not_matter(side):
    looks_like_the_seven(digit_from_picture(seven(side)), 0.25 if side >= 100 else 0.35)


def test_a_hundred_and_a_thousand_pixels_give_nearly_the_same_digit():
    assert distance(digit_from_picture(seven(100)), digit_from_picture(seven(1000))) < 0.2


@pytest.mark.parametrize("width", [0.005, 0.01, 0.02, 0.04, 0.06])
def test_a_thin_pen_is_widened_towards_mnists(width):
    ink = digit_from_picture(seven(500, width)).mean() / SEVEN.mean()
    assert 0.5 < ink < 1.3


def test_a_thin_pen_would_be_thin_without_being_widened(monkeypatch):
    monkeypatch.setattr(paper, "PEN", 0.0)
    assert digit_from_picture(seven(500, 0.01)).mean() / SEVEN.mean() < 0.35


def test_uneven_light_gives_the_same_digit():
    light = np.linspace(1, 0.75, 200)[None, :]
    picture = Image.fromarray((np.asarray(seven()) * light).astype(np.uint8))
    looks_like_the_seven(digit_from_picture(picture))


def test_specks_of_dirt_are_left_out():
    picture = seven(400)
    draw = ImageDraw.Draw(picture)
    for x, y in [(5, 5), (390, 10), (8, 380)]:
        draw.rectangle([x, y, x + 2, y + 2], fill=0)
    looks_like_the_seven(digit_from_picture(picture), 0.1)


def test_noise_around_a_digit_is_left_out():
    noise = np.random.default_rng(0).normal(0, 8, (200, 200))
    picture = np.clip(np.asarray(seven(ink=20, paper=235)) + noise, 0, 255).astype(np.uint8)
    looks_like_the_seven(digit_from_picture(Image.fromarray(picture)))


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (100, 200), (200, 100)])
def test_a_16_bit_png_gives_the_same_digit(ink, paper):
    wide = np.asarray(seven(ink=ink, paper=paper)).astype(np.uint16) * 257
    data = encoded(Image.fromarray(wide))
    assert Image.open(io.BytesIO(data)).mode.startswith("I")
    looks_like_the_seven(digit_of(data), 0.05)


def test_a_16_bit_png_with_small_values_gives_the_same_digit():
    looks_like_the_seven(digit_of(encoded(Image.fromarray(np.asarray(seven()).astype(np.uint16)))))


def test_a_palette_png_gives_the_same_digit():
    looks_like_the_seven(digit_of(encoded(seven().convert("RGB").convert("P"))))


def test_a_palette_png_with_a_transparent_colour_gives_the_same_digit():
    image = seven().point(lambda v: 255 if v > 127 else 0).convert("P")
    paper = image.getpixel((0, 0))
    looks_like_the_seven(digit_of(encoded(image, transparency=paper)))


def test_a_black_and_white_png_gives_the_same_digit():
    looks_like_the_seven(digit_of(encoded(seven().convert("1"))))


def test_a_cmyk_jpeg_gives_the_same_digit():
    data = encoded(seven().convert("RGB").convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    looks_like_the_seven(digit_of(data))


def on_nothing(mode: str, ink: int) -> Image.Image:
    """The seven in one grey on a transparent ground."""
    alpha = Image.fromarray(255 - np.asarray(seven()))
    image = Image.new("L", alpha.size, ink).convert("LA" if mode == "LA" else "RGBA")
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_dark_and_light_ink_on_a_transparent_ground_show(mode, ink, form):
    image = on_nothing(mode, ink)
    how = {"lossless": True} if form == "WEBP" else {}
    looks_like_the_seven(digit_of(encoded(image, form, **how)), 0.05)


def test_a_wholly_transparent_picture_is_empty():
    with pytest.raises(EmptyDrawing):
        digit_of(encoded(Image.new("RGBA", (50, 50), (255, 0, 0, 0))))


def test_an_animated_gif_gives_its_first_frame():
    blank = Image.new("L", (200, 200), 255)
    data = encoded(seven(), "GIF", save_all=True, append_images=[blank, blank], duration=50)
    assert Image.open(io.BytesIO(data)).n_frames > 1
    looks_like_the_seven(digit_of(data))


@pytest.mark.parametrize(("orientation", "back"), [
    (1, None), (2, Image.Transpose.FLIP_LEFT_RIGHT), (3, Image.Transpose.ROTATE_180),
    (4, Image.Transpose.FLIP_TOP_BOTTOM), (5, Image.Transpose.TRANSPOSE),
    (6, Image.Transpose.ROTATE_90), (7, Image.Transpose.TRANSVERSE),
    (8, Image.Transpose.ROTATE_270),
])  # fmt: skip
def test_a_photo_taken_sideways_is_turned_upright(orientation, back):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = seven() if back is None else seven().transpose(back)
    looks_like_the_seven(digit_of(encoded(lying, "JPEG", quality=95, exif=exif)))


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo"])
def test_the_content_decides_and_not_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(encoded(seven(), "WEBP", lossless=True))
    looks_like_the_seven(digit_of((tmp_path / name).read_bytes()), 0.05)


def test_a_tall_and_a_wide_picture_keep_the_digits_form():
    tall, wide = Image.new("L", (200, 900), 255), Image.new("L", (900, 200), 255)
    tall.paste(seven(), (0, 300))
    wide.paste(seven(), (300, 0))
    looks_like_the_seven(digit_from_picture(tall), 0.35)
    looks_like_the_seven(digit_from_picture(wide), 0.35)


def test_a_one_is_not_widened_to_the_box():
    picture = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(picture).line([(100, 40), (100, 160)], fill=0, width=14)
    digit = digit_from_picture(picture)
    rows, columns = np.nonzero(digit > 60)
    assert np.ptp(rows) + 1 in (19, 20)
    assert np.ptp(columns) + 1 <= 5


# The canvas.


def drawing(side=280, ink=(255, 255, 255, 255), paper=(0, 0, 0, 0)) -> np.ndarray:
    image = Image.new("RGBA", (side, side), paper)
    ImageDraw.Draw(image).line(
        [(70, 56), (210, 56), (119, 224)], fill=ink, width=22, joint="curve")  # fmt: skip
    return np.asarray(image)


@pytest.mark.parametrize(("ink", "paper"), [
    ((255, 255, 255, 255), (0, 0, 0, 0)), ((0, 0, 0, 255), (255, 255, 255, 255)),
    ((0, 0, 0, 255), (0, 0, 0, 0)), ((255, 255, 255, 255), (0, 0, 0, 255)),
    ((200, 30, 30, 255), (0, 0, 0, 0)), ((0, 0, 0, 255), (238, 238, 238, 255)),
])  # fmt: skip
def test_a_drawing_in_any_colour_gives_the_digit(ink, paper):
    looks_like_the_seven(digit_from_drawing(drawing(ink=ink, paper=paper)), 0.35)


@pytest.mark.parametrize("paper", [(0, 0, 0, 0), (0, 0, 0, 255), (255, 255, 255, 255)])
def test_an_empty_canvas_is_empty(paper):
    with pytest.raises(EmptyDrawing):
        digit_from_drawing(np.asarray(Image.new("RGBA", (280, 280), paper)))


# Wrong pictures.


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))  # fmt: skip


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 9_000), (7_072, 7_072),
                                  (1, 50_000_001), (2**31 - 1, 1), (100_000, 100_000)])  # fmt: skip
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(size, monkeypatch):
    def load(*_):
        raise AssertionError("decoded")

    data = png_header(*size)
    assert len(data) < 200
    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(BadImage, match="50 million"):
        read_image(data)


def test_a_picture_of_nearly_too_many_pixels_is_taken(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 200 * 200)
    looks_like_the_seven(digit_of(encoded(seven())))
    monkeypatch.setattr(images, "MAX_PIXELS", 200 * 200 - 1)
    with pytest.raises(BadImage):
        read_image(encoded(seven()))


@pytest.mark.parametrize("extra", [1, 10_000_000])
def test_a_file_of_too_many_bytes_is_refused_unread(extra):
    data = encoded(seven())
    with pytest.raises(BadImage, match="at most 20 MB"):
        read_image(data + b"\0" * (images.MAX_BYTES - len(data) + extra))


def test_a_file_of_just_few_enough_bytes_is_read():
    data = encoded(seven())
    looks_like_the_seven(digit_of(data + b"\0" * (images.MAX_BYTES - len(data))), 0.05)


@pytest.mark.parametrize("data", [
    b"", b"\0", b"this is a text named seven.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"%PDF-1.7\n", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"BM",
    b"PK\x03\x04", b"\0" * 1000, b"\xff" * 1000, png_header(0, 0), png_header(10, 10)[:-30],
], ids=lambda data: repr(data[:8]))  # fmt: skip
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(BadImage) as caught:
        read_image(data)
    assert not isinstance(caught.value, EmptyDrawing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["TIFF", "ICO", "PPM", "TGA", "PCX", "PDF", "EPS"])
def test_other_formats_are_refused(form):
    with pytest.raises(BadImage, match="PNG, JPEG, WEBP"):
        read_image(encoded(seven(64).convert("RGB"), form))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_picture_is_refused_or_read(form):
    data = encoded(seven(), form)
    with pytest.raises(BadImage):
        read_image(data[: len(data) // 4])
    for share in np.linspace(0, 1, 40):
        try:
            read_image(data[: int(len(data) * share)])
        except BadImage:
            continue


def test_a_truncated_jpeg_is_said_to_be_damaged():
    data = encoded(seven(), "JPEG")
    with pytest.raises(BadImage, match="damaged"):
        read_image(data[: len(data) // 2])


def test_a_bad_image_is_bad_input():
    assert issubclass(EmptyDrawing, BadImage)
    assert issubclass(BadImage, BadInput)


# Nothing to see.


@pytest.mark.parametrize("grey", [0, 255, 128])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (500, 300)])
def test_an_empty_picture_is_empty(grey, size):
    with pytest.raises(EmptyDrawing):
        digit_of(encoded(Image.new("L", size, grey)))


def test_paper_with_a_little_noise_is_empty():
    noise = np.random.default_rng(0).normal(240, 2, (100, 100)).clip(0, 255).astype(np.uint8)
    with pytest.raises(EmptyDrawing):
        digit_from_picture(Image.fromarray(noise))


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (1, 5), (5, 1), (2, 40)])
def test_a_tiny_picture_gives_a_digit_or_a_sentence(size):
    checker = (np.indices(size).sum(0) % 2 * 255).astype(np.uint8)
    try:
        digit = digit_from_picture(Image.fromarray(checker))
    except BadImage:
        return
    assert digit.shape == (28, 28)


# Whatever else there is.


def is_centred(digit: np.ndarray) -> None:
    """The centre of mass lies within a pixel of the middle, unless the digit reaches an edge."""
    for axis, centre in enumerate(ndimage.center_of_mass(digit)):
        lines = np.flatnonzero(digit.max(1 - axis))
        assert abs(centre - 13.5) <= 1 or lines[0] == 0 or lines[-1] == 27


@pytest.mark.drawn(8)
@pytest.mark.parametrize("turn", range(0, 360, 45))
@pytest.mark.parametrize("shift", [(0, 0), (18, -14), (-20, 15)])
def test_the_centre_of_mass_lies_in_the_middle(turn, shift):
    picture = seven().rotate(turn, fillcolor=255, translate=shift)
    digit = digit_from_picture(picture)
    rows, columns = ndimage.center_of_mass(digit)
    assert abs(rows - 13.5) <= 1
    assert abs(columns - 13.5) <= 1


points = st.tuples(st.integers(20, 180), st.integers(20, 180))


@given(st.lists(points, min_size=2, max_size=6), st.integers(2, 30))
def test_any_stroke_gives_a_digit_that_is_centred(path, pen):
    picture = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(picture)
    draw.line(path, fill=0, width=pen, joint="curve")
    for x, y in path:
        draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=0)
    try:
        digit = digit_from_picture(picture)
    except BadImage:
        return  # a blot, or wider than any digit
    assert digit.shape == (28, 28)
    assert digit.dtype == np.uint8
    assert digit.max() > 200
    is_centred(digit)


@given(st.binary(max_size=300))
@example(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
def test_random_bytes_are_a_bad_image(data):
    try:
        digit = digit_of(data)
    except BadImage:
        return
    assert digit.shape == (28, 28)


SMALL = [encoded(seven(40).convert(mode), form) for mode, form in [
    ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "JPEG"), ("P", "GIF"), ("RGB", "WEBP"),
    ("RGB", "BMP"),
]]  # fmt: skip


def keeps_its_size(data: bytes) -> bool:
    """Whether the picture still claims the size that it had: the claims are tested elsewhere."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size == (40, 40)
    except Exception:  # noqa: BLE001  what this raises is not under test
        return True


@given(st.sampled_from(SMALL), st.floats(0, 1), st.integers(0, 255), st.integers(0, 3))
def test_a_picture_with_changed_bytes_is_read_or_refused(data, share, value, drop):
    place = int(share * (len(data) - 1))
    changed = data[:place] + bytes([value]) + data[place + 1 + drop :]
    if not keeps_its_size(changed):
        return
    try:
        digit = digit_of(changed)
    except BadImage:
        return
    assert digit.shape == (28, 28)


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_any_small_array_of_greys_gives_a_digit_or_a_sentence(grey):
    try:
        digit = digit_from_picture(Image.fromarray(grey))
    except BadImage:
        return
    assert digit.shape == (28, 28)
    assert digit.dtype == np.uint8
