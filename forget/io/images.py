"""Pictures from people: read without trusting them; a photo as it is, a digit as grey."""

import io
import re
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from forget.core.errors import BadImage
from forget.io.paper import LARGEST, digit_from_picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
PHOTO_FORMATS = (*FORMATS, "PPM")
MAX_BYTES = 20 << 20
MAX_PIXELS = 50_000_000
MAX_WEBP_PIXELS = 20_000_000
"""Of a WEBP, whose decoder takes 20 bytes for each."""

MAX_PLAIN = 4 << 20
"""Bytes of a PGM or PPM whose numbers are written out: 18 MB of them took 7 s."""

MAX_SIDE = 100_000
"""Longest side in pixels: shrinking a line of millions takes gigabytes."""

MAX_SCANS = 100
"""Passes over a JPEG, usually at most ten: each takes time, however few bytes it has."""

MAX_SEGMENTS = 60_000
"""Parts of a JPEG, usually at most a hundred."""

MARK = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
"""Where a part of a JPEG begins: not a byte of its data, and not one of the marks within a scan."""

SOI, EOI, SOS = b"\xd8", b"\xd9", b"\xda"
"""Marks of a JPEG's beginning, of its end, and of a scan."""

MAX_READS = 300_000
"""Reads of a file, some five for each of its parts: a file of nothing but parts takes minutes."""

STRIP = 256
"""Rows of a picture that are worked on at once."""

LONGEST = 1600
"""Longest side, in pixels, that a photo is shrunk to."""

HEAD = 16
"""Bytes of a file's beginning that tell of what kind it is."""

HEIF = (b"heic", b"heix", b"heim", b"heis", b"heif", b"hevc", b"hevx", b"mif1", b"msf1", b"avif",
        b"avis")  # fmt: skip
"""Kinds of files that a telephone may save photos as; they stand behind ``ftyp`` at byte 4."""

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What EXIF's orientation asks for."""


def read_image(data: bytes) -> Image.Image:
    """Decode a picture as grey (mode L), upright, its first frame if it is animated.

    Checks size in bytes, format (by content, not by name) and size in pixels before decoding.
    Transparent pictures are laid on whichever of black and white shows their content.
    Raises :class:`~forget.core.errors.BadImage`.
    """
    return _read(data, FORMATS, _grey)


def read_photo(data: bytes) -> Image.Image:
    """Decode a photo in colour (mode RGB), upright, its longest side at most 1600 pixels.

    Of an animated picture the first frame; a transparent one is laid on white. Takes Netpbm's PGM
    and PPM beside the formats of :func:`read_image`, within the same limits.
    Raises :class:`~forget.core.errors.BadImage`.
    """
    if _is_heif(data):
        raise BadImage("this is a HEIC or AVIF photo, which cannot be read here; save it as JPEG "
                       "and give the new file")
    return _read(data, PHOTO_FORMATS, _rgb)


def read_png(data: bytes) -> Image.Image:
    """Decode a PNG with its colours and its transparency (mode RGBA), within the same limits.

    Raises :class:`~forget.core.errors.BadImage`.
    """
    return _read(data, ("PNG",), lambda image: image.convert("RGBA"))


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so is of a kind that people save photos as, read here or not.

    >>> is_picture(b"\\xff\\xd8\\xff\\xe0"), is_picture(b"Dear Ana")
    (True, False)
    """
    return (head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a",
                             b"II*\0", b"MM\0*"))
            or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
            or (head[:2] == b"BM" and head[6:10] == bytes(4))
            or (head[:2] in (b"P2", b"P3", b"P5", b"P6") and head[2:3].isspace())
            or _is_heif(head))


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in HEIF


class _Patient(io.BytesIO):
    """A file in memory that can be read from so many times."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise ValueError("this file has too many parts")
        return super().read(size)


def _read(data: bytes, formats: tuple[str, ...],
          convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Open a picture, not yet decoded, hand it to ``convert`` and turn the result upright."""
    if len(data) > MAX_BYTES:
        raise BadImage(f"this file has {len(data) / 2**20:.0f} MB; give a picture of at most "
                       f"{MAX_BYTES >> 20} MB")
    if data[:2] in (b"P1", b"P2", b"P3") and len(data) > MAX_PLAIN:
        raise BadImage(f"this picture has its numbers written out, and over {MAX_PLAIN >> 20} MB "
                       "of them; save it as PNG or JPEG and give the new file")
    if data.startswith(b"\xff" + SOI):
        _check_scans(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(_Patient(data), formats=formats)
            most = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
            if image.width * image.height > most:
                raise BadImage(f"this picture has {image.width} x {image.height} pixels; give one "
                               f"of at most {most // 1_000_000} million")
            if max(image.size) > MAX_SIDE:
                raise BadImage(f"this picture has {image.width} x {image.height} pixels; give one "
                               f"with sides of at most {MAX_SIDE}")
            return _upright(convert(image), image.getexif().get(ORIENTATION))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BadImage(f"this picture is too large; give one of at most "
                       f"{MAX_PIXELS // 1_000_000} million pixels") from error
    except UnidentifiedImageError as error:
        raise BadImage("this file is not a picture that can be read; give a PNG, JPEG, WEBP, "
                       "GIF or BMP") from error
    except BadImage:
        raise
    except Exception as error:
        raise BadImage("this picture is damaged and cannot be read to its end; save it again "
                       "and give the new file") from error


def _check_scans(data: bytes) -> None:
    """Refuse a JPEG of too many scans, or parts, up to where it ends.

    Behind its end telephones append films, depths and second pictures; no decoder reads those.
    """
    scans, at = 0, len(SOI) + 1
    for _ in range(MAX_SEGMENTS):
        found = MARK.search(data, at)
        if found is None or found[1] == EOI:
            return
        scans += found[1] == SOS
        if scans > MAX_SCANS:
            break
        length = 0 if found[1] == SOI else int.from_bytes(data[found.end():found.end() + 2])
        at = found.end() + length
    raise BadImage(f"this JPEG is made of over {MAX_SCANS} layers; save it again and give the new "
                   "file")


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    """Turned as its EXIF asks.

    Not by ``ImageOps.exif_transpose``: it writes the EXIF anew, and fails where that is damaged.
    """
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _draft(image: Image.Image) -> None:
    """Let a JPEG be decoded smaller, to somewhat above the size that it is shrunk to."""
    shrink = min(1, LONGEST / max(image.size))
    image.draft(None, [max(1, int(side * shrink)) for side in image.size])


def _grey(image: Image.Image) -> Image.Image:
    _draft(image)
    if image.mode.startswith("I"):
        return _in_bytes(image)
    if image.has_transparency_data:
        image = _reduced(image, 2 * LARGEST)
        image.thumbnail((2 * LARGEST, 2 * LARGEST))  # small before it becomes floats
        return _flatten(image)
    return (image if image.mode == "RGB" else image.convert("RGB")).convert("L")


def _rgb(image: Image.Image) -> Image.Image:
    _draft(image)
    if image.mode == "F":
        raise BadImage("this picture holds fractions in place of colours; save it as JPEG or PNG "
                       "and give the new file")
    if image.mode.startswith("I"):
        image = _in_bytes(image)
    if image.has_transparency_data:
        image = _reduced(image, LONGEST)
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return image


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """The picture in mode RGBA, several times smaller where its longest side stays above ``side``.

    Strip by strip: shrinking a transparent picture as a whole takes two copies of it.
    """
    factor = max(1, max(image.size) // side)
    if factor == 1:
        return image.convert("RGBA")
    out = Image.new("RGBA", [-(-length // factor) for length in image.size])
    for top in range(0, image.height, STRIP * factor):
        strip = (0, top, image.width, min(top + STRIP * factor, image.height))
        out.paste(image.crop(strip).convert("RGBA").reduce(factor), (0, top // factor))
    return out


def _in_bytes(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits in 8 (mode L); values that fit in 8 bits stay."""
    strips = [(0, top, image.width, min(top + STRIP, image.height))
              for top in range(0, image.height, STRIP)]  # a copy of all would take too much
    most = max(np.asarray(image.crop(strip)).max() for strip in strips)
    out = np.empty((image.height, image.width), np.uint8)
    for strip in strips:
        values = np.asarray(image.crop(strip))
        out[strip[1]:strip[3]] = np.clip(values // 257 if most > 255 else values, 0, 255)
    return Image.fromarray(out)


def _flatten(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white, or on black where its visible part is light."""
    grey = np.asarray(image.convert("RGB").convert("L"), dtype=np.float64)
    alpha = np.asarray(image.getchannel("A"), dtype=np.float64) / 255
    visible = (grey * alpha).sum() / max(alpha.sum(), 1)
    paper = 0 if visible > 127 else 255
    return Image.fromarray(np.rint(grey * alpha + paper * (1 - alpha)).astype(np.uint8))


def digit_from_drawing(rgba: np.ndarray) -> np.ndarray:
    """The canvas's (H, W, 4) uint8 pixels as MNIST would have them: (28, 28) uint8, ink white."""
    return digit_from_picture(_flatten(Image.fromarray(rgba, "RGBA")), canvas=True)
