"""Photos from people: any bytes give an upright colour picture of a bounded size, or one error."""

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from forget.core.errors import BadImage
from forget.io import images
from forget.io.images import read_image, read_photo

COLOURS = ((220, 40, 40), (40, 200, 60), (50, 60, 210), (240, 220, 30))
"""Of the four quarters: upper left and right, lower left and right."""


def quarters(width=60, height=40) -> Image.Image:
    """A photo whose way up can be told."""
    image = Image.new("RGB", (width, height), COLOURS[3])
    for index, place in enumerate([(0, 0), (width // 2, 0), (0, height // 2)]):
        image.paste(COLOURS[index], (*place, place[0] + width // 2, place[1] + height // 2))
    return image


def encoded(image: Image.Image, form="PNG", **how) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def is_upright(photo: Image.Image, most=12, size=(60, 40)) -> None:
    """The four quarters are where they were, in nearly their colours."""
    assert photo.mode == "RGB"
    assert photo.size == size
    for index, colour in enumerate(COLOURS):
        x, y = (1 + 2 * (index % 2)) / 4, (1 + 2 * (index // 2)) / 4
        seen = photo.getpixel((int(x * photo.width), int(y * photo.height)))
        assert np.abs(np.subtract(seen, colour)).max() <= most


def is_a_photo(photo: Image.Image) -> None:
    assert photo.mode == "RGB"
    assert min(photo.size) >= 1 and max(photo.size) <= images.LONGEST
    assert len(photo.tobytes()) == 3 * photo.width * photo.height


# Every form of a good photo.


@pytest.mark.parametrize(("form", "how"), [
    ("PNG", {}), ("JPEG", {"quality": 95, "subsampling": 0}), ("WEBP", {"lossless": True}),
    ("GIF", {}), ("BMP", {}), ("PPM", {}),
])  # fmt: skip
def test_every_format_gives_the_same_photo(form, how):
    is_upright(read_photo(encoded(quarters(), form, **how)))


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "PPM"])
def test_grey_becomes_equal_colours(form):
    grey = quarters().convert("L")
    assert np.array_equal(read_photo(encoded(grey, form)), np.stack([grey] * 3, 2))


@pytest.mark.parametrize("head", [b"P5 3 2 255\n", b"P5\n# a comment\n3 2\n255\n"])
def test_a_pgm_is_read(head):
    photo = read_photo(head + bytes(range(0, 60, 10)))
    assert np.array_equal(np.asarray(photo)[:, :, 1], [[0, 10, 20], [30, 40, 50]])


def test_a_pgm_in_plain_text_is_read():
    assert np.asarray(read_photo(b"P2 2 1 255\n7 9\n"))[0, :, 0].tolist() == [7, 9]


def test_a_long_picture_in_plain_text_is_refused_unread(monkeypatch):
    data = b"P3 2 1 255\n" + b"9 " * 6
    monkeypatch.setattr(images, "MAX_PLAIN", len(data))
    read_photo(data)
    monkeypatch.setattr(images, "MAX_PLAIN", len(data) - 1)
    with pytest.raises(BadImage, match="written out"):
        read_photo(data)


def test_a_pgm_of_16_bits_is_read():
    data = b"P5 3 1 65535\n" + struct.pack(">3H", 0, 0x8080, 0xFFFF)
    assert np.asarray(read_photo(data))[0, :, 0].tolist() == [0, 128, 255]


def test_a_16_bit_png_keeps_its_greys():
    wide = np.array([[0, 1000, 40_000, 65_535]], np.uint16)
    assert np.asarray(read_photo(encoded(Image.fromarray(wide))))[0, :, 2].tolist() == [
        0, 3, 155, 255]  # fmt: skip


def test_a_palette_png_has_its_colours():
    is_upright(read_photo(encoded(quarters().quantize(8))))


def test_a_black_and_white_png_is_read():
    photo = read_photo(encoded(Image.fromarray(np.eye(8) > 0)))
    assert np.array_equal(np.asarray(photo)[:, :, 0], 255 * np.eye(8))


def test_a_cmyk_jpeg_has_its_colours():
    data = encoded(quarters().convert("CMYK"), "JPEG", quality=95, subsampling=0)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    is_upright(read_photo(data), 16)


def test_two_photos_in_one_jpeg_give_the_first():
    blank = Image.new("RGB", (60, 40))
    data = encoded(quarters(), "MPO", save_all=True, append_images=[blank], quality=95)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    is_upright(read_photo(data), 40)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animated_picture_gives_its_first_frame(form):
    blank = Image.new("RGB", (60, 40))
    how = {"lossless": True} if form == "WEBP" else {}
    data = encoded(quarters(), form, save_all=True, append_images=[blank, blank], **how)
    assert Image.open(io.BytesIO(data)).n_frames > 1
    is_upright(read_photo(data))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_is_transparent_is_white(form):
    photo = quarters().convert("RGBA")
    photo.paste((9, 9, 9, 0), (0, 0, 30, 20))
    photo.paste((0, 0, 0, 128), (30, 0, 60, 20))
    how = {"lossless": True} if form == "WEBP" else {}
    read = read_photo(encoded(photo, form, **how))
    assert read.getpixel((10, 10)) == (255, 255, 255)
    assert read.getpixel((40, 10)) == (127, 127, 127)
    assert read.getpixel((10, 30)) == COLOURS[2]


def test_a_transparent_grey_and_a_transparent_palette_are_laid_on_white():
    grey = Image.merge("LA", [Image.new("L", (4, 4), 50), Image.new("L", (4, 4), 0)])
    assert read_photo(encoded(grey)).getpixel((1, 1)) == (255, 255, 255)
    palette = quarters().quantize(8)
    data = encoded(palette, transparency=palette.getpixel((0, 0)))
    assert read_photo(data).getpixel((1, 1)) == (255, 255, 255)
    assert read_photo(data).getpixel((50, 1)) == COLOURS[1]


# Which way up.

BACK = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def lying(orientation: int, size=(60, 40)) -> Image.Image:
    """The photo as a camera that was held so stores it."""
    photo, back = quarters(*size), BACK[orientation]
    return photo if back is None else photo.transpose(back)


@pytest.mark.parametrize("orientation", BACK)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_taken_sideways_is_turned_upright(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    is_upright(read_photo(encoded(lying(orientation), form, quality=95, exif=exif)), 40)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_large_photo_taken_sideways_is_turned_and_shrunk(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(lying(orientation, (3300, 2200)), "JPEG", exif=exif)
    is_upright(read_photo(data), 12, (1600, 1067))


def with_exif(raw: bytes) -> bytes:
    return encoded(lying(6), "JPEG", quality=95, exif=b"Exif\0\0" + raw)


def exif_of(*tags: tuple[int, int, int, int]) -> bytes:
    """An EXIF block of (tag, type, count, value or offset), true or not."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


SIDEWAYS = (0x0112, 3, 1, 6)


@pytest.mark.parametrize("beside", [
    (0x8769, 4, 1, 0x7FFFFFFF), (0x010E, 2, 100_000, 0x7FFF), (0x8825, 2, 4, 0x41414141),
    (0x0132, 3, 1, 5), (0x010F, 12, 1, 50), (0x011A, 2, 4, 0),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_tag_does_not_hinder_turning(beside):
    is_upright(read_photo(with_exif(exif_of(SIDEWAYS, beside))), 40)


@pytest.mark.parametrize("raw", [
    b"", b"rubbish", b"II*\0", b"II*\0\xff\xff\xff\x7f", exif_of((0x0112, 3, 1, 77)),
    exif_of((0x0112, 2, 4, 6)), exif_of((0x0112, 3, 1, 0)),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_photo_whose_exif_says_nothing_stays_as_it_is(raw):
    assert read_photo(with_exif(raw)).size == (40, 60)


@given(st.binary(max_size=80))
@example(exif_of(SIDEWAYS, (0x010E, 11, 1, 7)))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_exif_makes_a_photo_unreadable(raw):
    assert read_photo(with_exif(raw)).size in [(40, 60), (60, 40)]


# Size.


@pytest.mark.drawn(8)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "PPM"])
@pytest.mark.parametrize(("size", "small"), [
    ((3200, 1600), (1600, 800)), ((1601, 1000), (1600, 999)), ((1200, 4000), (480, 1600)),
    ((3000, 2000), (1600, 1067)), ((1600, 1600), (1600, 1600)), ((300, 200), (300, 200)),
])  # fmt: skip
def test_a_large_photo_is_shrunk_and_a_small_one_stays(form, size, small):
    is_upright(read_photo(encoded(quarters(*size), form)), 12, small)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 5000), (5000, 1), (3, 20_000), (1, 1600)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_strangest_sizes_are_read(form, size):
    photo = read_photo(encoded(Image.new("RGB", size, (10, 20, 30)), form))
    is_a_photo(photo)
    assert max(photo.size) == min(1600, max(size))


def test_fine_texture_turns_grey_and_not_into_a_pattern():
    rows, columns = np.indices((3200, 3200))
    texture = Image.fromarray(((rows + columns) % 2 * 255).astype(np.uint8))
    assert np.ptp(np.asarray(read_photo(encoded(texture)))[5:-5, 5:-5]) <= 4


def test_a_large_jpeg_is_decoded_small(monkeypatch):
    seen = []
    convert = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda image, mode, *more: (
        seen.append(image.size), convert(image, mode, *more))[1])
    read_photo(encoded(quarters(6400, 4800), "JPEG"))
    assert seen and max(max(size) for size in seen) <= 3200


@pytest.mark.parametrize("size", [(20_000, 20_000), (7_072, 7_072), (50_000_001, 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size, monkeypatch):
    def load(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(BadImage, match="50 million"):
        read_photo(b"P5 %d %d 255\n" % size)


def test_too_many_bytes_are_refused_unread():
    data = encoded(quarters())
    with pytest.raises(BadImage, match="at most 20 MB"):
        read_photo(data + bytes(images.MAX_BYTES - len(data) + 1))
    is_upright(read_photo(data + bytes(images.MAX_BYTES - len(data))))


# Wrong files.


def says_one_sentence(error: BadImage) -> None:
    assert "\n" not in str(error)
    assert str(error)[0].islower() and not str(error).endswith(".")
    assert "give" in str(error)


@pytest.mark.parametrize("kind", [b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc", b"avif",
                                  b"avis"])  # fmt: skip
def test_a_telephones_own_format_is_named(kind):
    box = struct.pack(">I", 24) + b"ftyp" + kind + b"\0\0\0\0mif1" + kind
    with pytest.raises(BadImage, match=r"HEIC or AVIF.*JPEG") as caught:
        read_photo(box + bytes(1000))
    says_one_sentence(caught.value)


@pytest.mark.parametrize("data", [
    b"", b"\0", b"a text named me.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7\n",
    b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"P5", b"P5 9 9", b"P6 0 0 255\n", b"P9 1 1 255\n0",
    b"P5 9 9 255\nshort", b"P5 9 9 0\n" + bytes(81), b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5),
    b"Pf 1 1 -1.0\n" + struct.pack("<f", float("nan")), b"\0\0\0\x18ftypisom" + bytes(99),
    b"PK\x03\x04",
], ids=lambda data: repr(data[:12]))  # fmt: skip
def test_what_is_no_photo_is_refused_in_one_sentence(data):
    with pytest.raises(BadImage) as caught:
        read_photo(data)
    says_one_sentence(caught.value)


@pytest.mark.parametrize("form", ["TIFF", "ICO", "TGA", "PCX", "PDF"])
def test_other_formats_are_refused(form):
    with pytest.raises(BadImage, match="PNG, JPEG, WEBP"):
        read_photo(encoded(quarters(), form))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM"])
def test_half_a_photo_is_damaged(form):
    data = encoded(quarters(), form)
    with pytest.raises(BadImage, match=r"damaged|not a picture"):
        read_photo(data[: len(data) // 2])


def test_a_digit_is_not_read_from_netpbm():
    with pytest.raises(BadImage):
        read_image(b"P5 1 1 255\n0")


SMALL = [encoded(image, form) for image, form in [
    (quarters(), "PNG"), (quarters().convert("RGBA"), "PNG"), (quarters().quantize(8), "PNG"),
    (quarters(), "JPEG"), (quarters().convert("CMYK"), "JPEG"), (quarters(), "GIF"),
    (quarters(), "WEBP"), (quarters(), "BMP"), (quarters(), "PPM"),
    (quarters().convert("L"), "PPM"), (Image.fromarray(np.eye(40, dtype=np.uint16)), "PNG"),
]]  # fmt: skip


def is_small(data: bytes) -> bool:
    """Whether the picture claims few pixels: large claims are tested elsewhere, and take long."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height < 100_000
    except Exception:  # noqa: BLE001  what this raises is not under test
        return True


@given(st.sampled_from(SMALL), st.floats(0, 1), st.integers(0, 255), st.integers(0, 3))
def test_a_photo_with_changed_bytes_is_read_or_refused(data, share, value, drop):
    place = int(share * (len(data) - 1))
    changed = data[:place] + bytes([value]) + data[place + 1 + drop :]
    if not is_small(changed):
        return
    try:
        is_a_photo(read_photo(changed))
    except BadImage as error:
        says_one_sentence(error)


@given(st.sampled_from([b"", b"P1 ", b"P2 3 3 9 ", b"P3 2 2 255 ", b"P4 8 1\n", b"P5 3 3 255\n",
                        b"P6 ", b"P7\n", b"Pf ", b"\0\0\0\x18ftyp", b"GIF89a"]),
       st.binary(max_size=200))  # fmt: skip
def test_random_bytes_are_read_or_refused(head, data):
    if not is_small(head + data):
        return
    try:
        is_a_photo(read_photo(head + data))
    except BadImage as error:
        says_one_sentence(error)


@given(st.integers(1, 50), st.integers(1, 50),
       st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1"]))  # fmt: skip
def test_pixels_of_small_photos_are_kept(width, height, mode):
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    assert np.array_equal(read_photo(encoded(image)), image.convert("RGB"))
