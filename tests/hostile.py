"""Hostile files of every kind that a person can hand over, made from a seed.

Each kind has tricks of its own, tried one after the other; after them come damaged copies of good
files: cut short, with changed bits, with a part said twice, with numbers replaced. A file that
would run code or lead out of its folder would make a file called ``canary`` somewhere.
"""

import argparse
import dataclasses
import functools
import io
import itertools
import json
import pickle
import random
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

from forget.data import Dataset, Samples
from forget.learners.convex import Convex
from forget.methods.certified import Certified
from forget.report.export import save_outcome
from forget.unlearning import store
from forget.unlearning.certificate import text_of
from forget.unlearning.learn import start_from
from forget.unlearning.request import parse_request
from forget.unlearning.run import run
from forget.unlearning.store import header, seal

KINDS = ("png", "jpeg", "webp", "zip", "npz", "safetensors", "pt", "model", "manifest",
         "certificate", "verifymodel", "secret")  # fmt: skip
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp", "zip": "zip", "npz": "npz", "pt": "pt",
          "manifest": "json", "certificate": "json"}  # fmt: skip
ESCAPES = ("../canary", "../../../../canary", "/canary", "C:\\canary", "..\\canary",
           "a/../../canary", "canary\0.jpg", "//canary", "~/canary",
           "\\\\host\\canary")  # fmt: skip
BIG = 7_071
"""Side of a picture of just under 50 million pixels, the most that is decoded."""


@dataclasses.dataclass(frozen=True)
class Hostile:
    """One file: what it is to be taken for, what was done to it, and its bytes."""

    name: str
    how: str
    data: bytes


TRICKS: dict[str, list[Callable[[random.Random], bytes]]] = {kind: [] for kind in KINDS}
MORE_GOOD: dict[str, Callable[[str], bytes]] = {}
"""What makes a good file of kinds that other modules add."""



def trick(*kinds: str):
    """Register a maker; its name in words says what it does."""
    def register(make):
        for kind in kinds:
            TRICKS[kind].append(make)
        return make
    return register


def made(seed: int, count: int) -> Iterator[Hostile]:
    """So many files, the kinds in turn; of each kind its tricks in an order that the seed gives,
    and after every two of them damage, as where there are no more."""
    left = {kind: random.Random(f"{seed}/{kind}").sample(TRICKS[kind], len(TRICKS[kind]))
            for kind in KINDS}
    for number in range(count):
        kind, turn = KINDS[number % len(KINDS)], number // len(KINDS)
        draw = random.Random(f"{seed}/{number}")
        make = left[kind].pop() if left[kind] and turn % 3 < 2 else None
        how, data = (words(make), make(draw)) if make else damaged(kind, draw)
        yield Hostile(name_of(kind, number), how, data)


def chosen(tricks: Iterable[str]) -> Iterator[Hostile]:
    """The files of some tricks, each given as ``kind:how``; of an unknown one :class:`KeyError`."""
    for number, (kind, how) in enumerate((one.split(":", 1) for one in tricks), 900):
        make = {words(make): make for make in TRICKS[kind]}[how]
        yield Hostile(name_of(kind, number), how, make(random.Random(0)))


def words(make: Callable) -> str:
    return make.__name__.replace("_", " ")


def name_of(kind: str, number: int) -> str:
    return f"{kind}-{number:03}.{SUFFIX.get(kind, 'safetensors')}"


# Damage that suits any kind.


def damaged(kind: str, draw: random.Random) -> tuple[str, bytes]:
    """A good file with one kind of damage, and the damage in words."""
    data = bytearray(good(kind))
    how = draw.choice(("cut short", "bits changed", "bytes of the beginning changed",
                       "a part said twice", "a part left out", "numbers made giant",
                       "another kind's beginning"))  # fmt: skip
    place, length = draw.randrange(len(data)), draw.randrange(1, 200)
    if how == "cut short":
        del data[place:]
    elif how == "bits changed":
        for _ in range(draw.choice((1, 3, 30))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif how == "bytes of the beginning changed":
        for _ in range(4):
            data[draw.randrange(min(64, len(data)))] = draw.randrange(256)
    elif how == "a part said twice":
        data[place:place] = data[place:place + length] * draw.choice((1, 50))
    elif how == "a part left out":
        del data[place:place + length]
    elif how == "numbers made giant":
        for _ in range(3):
            at = draw.randrange(len(data))
            data[at:at + 4] = draw.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"9999", b"\0" * 4))
    else:
        other = good(draw.choice([one for one in KINDS if one != kind]))
        data[:length] = other[:length]
    return how, bytes(data)


@functools.cache
def good(kind: str) -> bytes:
    """A file of the kind with nothing wrong."""
    if kind in MORE_GOOD:
        return MORE_GOOD[kind](kind)
    if kind in ("png", "jpeg", "webp"):
        return encoded(photo(), kind)
    if kind == "zip":
        return zipped({f"{who}/{n}.png": good("png") for who in "AB" for n in range(2)})
    if kind == "npz":
        return npz()
    if kind == "safetensors":
        return safetensors.torch.save(mlp())
    if kind == "pt":
        return torch_bytes(mlp())
    if kind == "manifest":
        return json.dumps({"files": {"shipped.safetensors": {"sha256": "0" * 64}}}).encode()
    paths = {"certificate": honest().certificate, "secret": honest().secret}
    return (paths.get(kind) or honest().model).read_bytes()


# What is decoded with: small data, and files of an honest removal.


@dataclasses.dataclass(frozen=True)
class Honest:
    """The files of one certified removal."""

    certificate: Path
    model: Path
    secret: Path


_honest: list[Path] = []


def prepare(folder: Path) -> None:
    """Carry out an honest removal and keep its files; needs FORGET_HOME to be a folder of its own.
    """
    start = start_from(Convex(lam=1e-3), rows(), 0)
    request = parse_request("samples:0,5", rows(), 0, start.forgotten)
    save_outcome(run(rows(), start, request, Certified(), 0, references=0), folder)
    use(folder)


def use(folder: Path) -> None:
    """Take the honest files from a folder."""
    _honest[:] = [folder]


def honest() -> Honest:
    folder = _honest[0]
    return Honest(folder / "certificate.json", folder / "model.safetensors",
                  folder / "model.secret.safetensors")


@functools.cache
def rows() -> Dataset:
    """Clouds of feature vectors, 4 numbers each, in 3 classes."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 4))

    def part(count):
        y = np.arange(count) % 3
        return Samples.from_arrays((centres[y] + rng.normal(size=(count, 4))).astype(np.float32), y)

    return Dataset("rows", ("a", "b", "c"), part(60), part(12), part(12))


@functools.cache
def digits() -> Dataset:
    """Noise in the form of MNIST."""
    rng = np.random.default_rng(0)

    def part(count):
        return Samples.from_arrays(rng.integers(0, 256, (count, 1, 28, 28)).astype(np.uint8),
                                   np.arange(count) % 10)

    return Dataset("digits", tuple("0123456789"), part(40), part(20), part(20))


def mlp(inputs=784, hidden=64, classes=10) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"fc1": (hidden, inputs), "fc2": (hidden, hidden), "fc3": (classes, hidden)}
    return {f"{name}.{what}": torch.randn(shape if what == "weight" else shape[:1],
                                          generator=generator)
            for name, shape in shapes.items() for what in ("weight", "bias")}


# Pictures.


def photo(mode="RGB", side=64) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side)).convert(mode)


def encoded(image: Image.Image, form: str, **how) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    return (struct.pack(">I", len(data) if length is None else length) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))


def zeros(count: int) -> bytes:
    """So many zeros, deflated."""
    work = zlib.compressobj(9)
    parts = [work.compress(bytes(min(1 << 20, count - at))) for at in range(0, count, 1 << 20)]
    return b"".join(parts) + work.flush()


@functools.lru_cache(maxsize=4)
def png(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0,
        packed: bytes | None = None, before: bytes = b"") -> bytes:
    """A PNG of zeros, all there unless ``packed`` is given."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if packed is None:
        packed = zeros(height * (1 + (width * depth * channels + 7) // 8) + 16 * interlace * height)
    begin = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", begin) + before + chunk(b"IDAT", packed)
            + chunk(b"IEND", b""))


@trick("png")
def a_line_of_fifty_million_pixels(draw):
    return png(50_000_000, 1)


@trick("png")
def more_pixels_in_the_header_than_memory(draw):
    return png(2**31 - 1, 2**31 - 1, packed=zeros(1000))


@trick("png")
def text_that_unpacks_to_gigabytes(draw):
    return png(8, 8, before=chunk(b"zTXt", b"a\0\0" + zeros(200 << 20)) * 5)


@trick("png")
def fifty_million_grey_pixels_of_16_bits(draw):
    return png(BIG, BIG, depth=16)


@trick("png")
def fifty_million_transparent_pixels_of_16_bits(draw):
    return png(BIG, BIG, depth=16, colour=6)


@trick("png")
def fifty_million_pixels_with_grey_and_alpha(draw):
    return png(BIG, BIG, colour=4)


@trick("png")
def fifty_million_interlaced_pixels(draw):
    return png(BIG, BIG, colour=2, interlace=1)


@trick("png")
def fifty_million_grey_pixels_with_one_transparent_colour(draw):
    return png(BIG, BIG, before=chunk(b"tRNS", b"\0\1"))


@trick("png")
def a_column_of_fifty_million_pixels(draw):
    return png(1, 50_000_000)


@trick("png")
def fifty_million_pixels_in_colours_of_a_palette(draw):
    return png(BIG, BIG, colour=3, before=chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256)))


@trick("png")
def more_data_than_pixels(draw):
    return png(8, 8, packed=zeros(1 << 30))


@trick("png")
def a_colour_profile_that_unpacks_to_gigabytes(draw):
    return png(8, 8, before=chunk(b"iCCP", b"a\0\0" + zeros(1 << 30)))


@trick("png")
def a_chunk_longer_than_the_file(draw):
    return png(8, 8, before=chunk(b"tEXt", b"a\0b", length=2**31 - 1))


@trick("png")
def no_pixels(draw):
    return png(0, 10, packed=zeros(10))


@trick("png")
def frames_without_number(draw):
    return png(8, 8, before=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))


@trick("png", "jpeg", "webp")
def an_exif_table_that_points_to_itself(draw):
    entries = b"".join(struct.pack("<HHII", tag, kind, 2**31 - 1, 8) for tag, kind in
                       [(0x112, 3), (0x8769, 4), (0x8825, 4), (0x9C9B, 5), (0x14A, 13)])
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5) + entries + b"\x08\0\0\0"
    form = draw.choice(("png", "jpeg", "webp"))
    return encoded(photo(), form, exif=exif)


@trick("jpeg")
def thousands_of_scans(draw):
    return scans(3000)


@trick("jpeg")
def more_pixels_in_the_frame_than_there_are(draw):
    return resized_jpeg(7000, 7000)


@trick("jpeg")
def the_largest_frame_there_is(draw):
    return resized_jpeg(65535, 65535)


@trick("jpeg")
def fifty_million_pixels_of_four_colours_in_scans(draw):
    return encoded(Image.new("CMYK", (BIG, BIG), (9, 99, 200, 30)), "jpeg", progressive=True)


@trick("jpeg")
def fifty_million_pixels_in_scans(draw):
    return encoded(Image.new("RGB", (BIG, BIG), (9, 99, 200)), "jpeg", progressive=True,
                   subsampling=0)


@trick("jpeg")
def twenty_megabytes_of_fill(draw):
    data = encoded(photo(), "jpeg")
    return data[:2] + b"\xff" * (19 << 20) + data[2:]


@trick("jpeg")
def five_million_empty_remarks(draw):
    data = encoded(photo(), "jpeg")
    return data[:2] + b"\xff\xfe\0\2" * 4_900_000 + data[2:]


@trick("png")
def a_million_empty_parts(draw):
    return png(8, 8, before=chunk(b"abCd", b"") * 1_600_000)


@trick("jpeg")
def a_thousand_colour_profiles(draw):
    data = encoded(photo(), "jpeg")
    part = b"\xff\xe2" + struct.pack(">H", 65_000) + b"ICC_PROFILE\0\1\xff" + bytes(64_984)
    return data[:2] + part * 200 + data[2:]


@trick("jpeg")
def a_film_behind_the_end(draw):
    return encoded(photo(), "jpeg") + draw.randbytes(8 << 20)


@trick("jpeg")
def thousands_of_scans_behind_a_false_end(draw):
    data = encoded(photo(), "jpeg", progressive=True)
    at = data.index(b"\xff\xda")
    return data[:at] + b"\xff\xe5\0\4\xff\xd9" + data[at:-2] + data[at:-2] * 3000 + data[-2:]


@trick("jpeg")
def marks_without_number(draw):
    data = encoded(photo(), "jpeg", progressive=True)
    return data[:-2] + b"\xff\xe5\0\2" * 4_000_000 + data[-2:]


@trick("jpeg")
def pictures_without_number_in_one(draw):
    index = (b"MPF\0II*\0\x08\0\0\0" + struct.pack("<H", 3)
             + struct.pack("<HHI4s", 0xB000, 7, 4, b"0100")
             + struct.pack("<HHII", 0xB001, 4, 1, 2**31 - 1)
             + struct.pack("<HHII", 0xB002, 7, 2**31 - 1, 50) + bytes(4))
    data = encoded(photo(), "jpeg")
    return data[:2] + b"\xff\xe2" + struct.pack(">H", len(index) + 2) + index + data[2:]


@trick("jpeg")
def other_sampling_than_there_is(draw):
    data = bytearray(encoded(photo(), "jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 11] = 0x44
    return bytes(data)


def resized_jpeg(width: int, height: int) -> bytes:
    """A photo that says it has another size."""
    data = bytearray(encoded(photo(), "jpeg", progressive=True))
    at = data.index(b"\xff\xc2")
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@functools.cache
def scans(count: int) -> bytes:
    """A picture of 36 million pixels whose last scan is said so many times."""
    data = encoded(Image.new("L", (6000, 6000), 99), "jpeg", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


@trick("webp")
def a_moving_picture_of_fifty_million_pixels(draw):
    first = Image.new("RGB", (BIG, BIG), (9, 99, 200))
    return encoded(first, "webp", save_all=True, append_images=[Image.new("RGB", (BIG, BIG))],
                   duration=50, method=0, quality=0)


@trick("webp")
def the_largest_canvas_there_is(draw):
    return canvas(2**24 - 1, 2**8 - 1)


@trick("webp")
def a_canvas_far_larger_than_its_frame(draw):
    return canvas(BIG - 1, BIG - 1)


@trick("webp")
def as_many_transparent_pixels_as_are_decoded(draw):
    return encoded(Image.new("RGBA", (4472, 4472), (9, 99, 200, 40)), "webp", method=0, quality=0)


@trick("webp")
def fifty_million_transparent_pixels(draw):
    return encoded(Image.new("RGBA", (BIG, BIG), (9, 99, 200, 40)), "webp", method=0, quality=0)


@trick("webp")
def fifty_million_pixels_without_loss(draw):
    return encoded(Image.new("RGB", (BIG, BIG), (9, 99, 200)), "webp", lossless=True, method=0,
                   quality=0)


@trick("webp")
def thousands_of_frames(draw):
    frame = anmf(encoded(photo(side=16), "webp", lossless=True)[12:], 0, 0, 16, 16)
    return vp8x(BIG - 1, BIG - 1, 2, chunk_of_riff(b"ANIM", bytes(6)) + frame * 5000)


@trick("webp")
def a_length_beyond_the_end(draw):
    data = bytearray(good("webp"))
    data[4:8] = b"\xff\xff\xff\x7f"
    data[16:20] = b"\xff\xff\xff\x7f"
    return bytes(data)


def chunk_of_riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def vp8x(width_less_1: int, height_less_1: int, flags: int, rest: bytes) -> bytes:
    sizes = struct.pack("<I", width_less_1)[:3] + struct.pack("<I", height_less_1)[:3]
    body = b"WEBP" + chunk_of_riff(b"VP8X", bytes([flags, 0, 0, 0]) + sizes) + rest
    return b"RIFF" + struct.pack("<I", len(body)) + body


def anmf(picture: bytes, x: int, y: int, width: int, height: int) -> bytes:
    numbers = (x, y, width - 1, height - 1, 10)
    return chunk_of_riff(b"ANMF", b"".join(struct.pack("<I", one)[:3] for one in numbers) + b"\0"
                         + picture)


def canvas(width_less_1: int, height_less_1: int) -> bytes:
    frame = anmf(encoded(photo(side=16), "webp", lossless=True)[12:], 0, 0, 16, 16)
    return vp8x(width_less_1, height_less_1, 2, chunk_of_riff(b"ANIM", bytes(6)) + frame)


# Archives.


def zipped(files, how=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of a dictionary, or of pairs where a name comes twice."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", how) as archive:
        warnings.simplefilter("ignore")
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return out.getvalue()


def renamed(archive: bytes, old: bytes, new: bytes) -> bytes:
    """Another name of the same length in all places."""
    assert len(old) == len(new)
    return archive.replace(old, new)


def large_directory(count: int, before: bytes = b"") -> bytes:
    """A zip whose list of so many entries is announced in the 64-bit record alone."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0,
                        0, 0, 0, 0)  # fmt: skip
    listed = b"".join(entry + b"%05x" % (number % 0xFFFFF) for number in range(count))
    at, size = len(before), len(listed)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
    return before + listed + end64 + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 50,
                                                           at, 0)


def declared(archive: bytes, size: int) -> bytes:
    """The same with another size of the unpacked first file."""
    data = bytearray(archive)
    for signature, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = data.index(signature)
        data[at + place:at + place + 4] = struct.pack("<L", size)
    return bytes(data)


def overlapping(name: str, payload: bytes, count: int) -> bytes:
    """Many entries that share the bytes of one."""
    one = zipped({name: payload})
    at = one.index(b"PK\1\2")
    listed = b"".join(one[at:at + 46] + b"%s" % name.replace("0", str(number % 10), 1).encode()
                      for number in range(count))
    return one[:at] + listed + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(listed),
                                           at, 0)


@trick("zip")
def names_that_lead_out(draw):
    picture = good("png")
    return zipped([(f"{name}{end}", picture) for name in ESCAPES for end in ("", "/1.png", ".png")])


@trick("zip")
def links(draw):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, target in (("A/1.png", "../../canary"), ("B", "/etc"), ("B/passwd.png", "x")):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
    return out.getvalue()


@trick("zip")
def a_list_of_a_million_entries(draw):
    return large_directory(1_000_000)


@trick("zip")
def a_gigabyte_of_zeros_in_small_files(draw):
    return zipped({f"A/{number}.png": bytes(1 << 20) for number in range(1020)})


@trick("zip")
def a_gigabyte_of_zeros_in_one_file(draw):
    return zipped({"A/1.png": bytes(1 << 30)})


@trick("zip")
def zips_in_zips(draw):
    inner = zipped({"A/1.png": bytes(10 << 20)})
    for depth in range(5):
        inner = zipped({f"A/{depth}.{number}.zip": inner for number in range(16)})
    return zipped({"A/1.png": inner, "A/2.zip": inner})


@trick("zip")
def entries_that_share_their_bytes(draw):
    return overlapping("A/000.png", bytes(1 << 20), 900)


@trick("zip")
def a_size_smaller_than_what_is_packed(draw):
    return declared(zipped({"A/1.png": bytes(200 << 20)}), 1000)


@trick("zip")
def a_size_larger_than_what_is_packed(draw):
    return declared(zipped({"A/1.png": good("png")}, zipfile.ZIP_STORED), 19 << 20)


@trick("zip")
def other_packing_with_a_lie(draw):
    return declared(zipped({"A/1.png": bytes(1 << 30)}, zipfile.ZIP_BZIP2), 1000)


@trick("zip")
def pictures_of_fifty_million_pixels(draw):
    return zipped({f"A/{number}.png": png(BIG, BIG) + bytes([number]) for number in range(3)},
                  zipfile.ZIP_STORED)


@trick("zip")
def names_of_sixty_thousand_signs(draw):
    names = ["9" * 60_000, "a/" * 30_000, "\u202e" * 20_000, "²" * 9, "A/" + "\ud7ff" * 9]
    return zipped({f"A/{name[:65_000]}.png": good("png") for name in names})


@trick("zip")
def a_name_with_a_nul_and_one_with_broken_utf8(draw):
    data = zipped({"A/zero.png": good("png"), "A/\u00fcber.png": good("png")})
    return renamed(renamed(data, b"zero", b"z\0\n\x1b"), "\u00fc".encode(), b"\xff\xfe")


@trick("zip")
def two_ends(draw):
    one = zipped({"A/1.png": good("png")})
    return one + b"PK\5\6" + one[-18:] + b"PK\5\6"


@trick("zip")
def the_same_name_many_times(draw):
    return zipped([("A/1.png", good("png"))] * 500)


@trick("zip")
def encrypted_by_its_flag(draw):
    data = bytearray(good("zip"))
    data[data.index(b"PK\1\2") + 8] |= 1
    data[6] |= 1
    return bytes(data)


@trick("zip")
def extra_fields_that_lie(draw):
    entry = zipfile.ZipInfo("A/1.png")
    entry.extra = struct.pack("<HH", 1, 8) + b"\xff" * 8 + struct.pack("<HH", 0x7075, 60_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry, good("png"))
    return out.getvalue()


@trick("zip")
def a_unicode_path_that_leads_out(draw):
    return with_unicode_path(b"A/1.png", draw.choice(ESCAPES).encode())


@trick("zip")
def a_unicode_path_that_is_no_text(draw):
    return with_unicode_path(b"A/1.png", b"\xff\xfe\xed\xa0\x80")


@trick("zip")
def a_unicode_path_without_end(draw):
    return with_unicode_path(b"A/1.png", b"A/" * 30_000)


@trick("zip")
def names_in_encodings_that_are_not_told(draw):
    names = {"\u0410\u043d\u043d\u0430": "cp866", "\u592a\u90ce": "cp932", "\u674e": "gbk",
             "M\u00fcller": "cp1252", "\u0141ukasz": "cp852"}
    raw = [f"{name}/1.png".encode(encoding) for name, encoding in names.items()]
    data = zipped({"VWXYZ"[number] * len(one): good("png") for number, one in enumerate(raw)})
    for number, one in enumerate(raw):
        data = renamed(data, b"VWXYZ"[number:number + 1] * len(one), one)
    return data


@trick("zip")
def pictures_without_endings(draw):
    kinds = ("png", "jpeg", "webp")
    return zipped({f"A/{number}": good(kinds[number % 3])[:draw.choice((9, 16, 99, 9_999))]
                   for number in range(3_000)})


def with_unicode_path(raw: bytes, name: bytes) -> bytes:
    """A zip of one picture with a name in UTF-8 beside its own."""
    entry = zipfile.ZipInfo(raw.decode())
    field = struct.pack("<BL", 1, zlib.crc32(raw)) + name
    entry.extra = struct.pack("<HH", 0x7075, len(field)) + field
    return zipped([(entry, good("png"))])


# Arrays.


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def npy_header(text: str, data: bytes = b"") -> bytes:
    body = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(body)) + body + data


def shaped(shape: str, kind: str = "|u1", order: str = "False", data: bytes = b"") -> bytes:
    return npy_header(f"{{'descr': {kind!r}, 'fortran_order': {order}, 'shape': {shape}}}", data)


def npz(how=zipfile.ZIP_DEFLATED, **changes) -> bytes:
    """A good file but for the changes: arrays, or bytes of a member."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = rng.normal(size=(30, 4))
        arrays[f"y_{part}"] = np.arange(30) % 3
    return zipped({f"{name}.npy": one if isinstance(one, bytes) else npy(one)
                   for name, one in (arrays | changes).items()}, how)


class Canary:
    """Makes a file called canary in the working directory when it is unpickled."""

    def __reduce__(self):
        return exec, ("open('canary', 'w').close()",)


@trick("npz")
def an_array_of_objects(draw):
    return npz(x_train=np.array([Canary()] * 30, dtype=object))


@trick("npz")
def labels_of_objects(draw):
    return npz(y_train=np.array([Canary()] * 30, dtype=object))


@trick("npz")
def zeros_packed_a_thousand_times_smaller(draw):
    return npz(x_train=np.zeros((30, 28_000_000), np.uint8).reshape(30, 5600, 5000))


@trick("npz")
def other_packing_with_a_size_that_lies(draw):
    rest = npz(zipfile.ZIP_BZIP2, x_train=shaped("(30, 9)", "<f8") + bytes(1 << 30))
    data = bytearray(rest)
    for signature, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = data.index(signature)
        data[at + place:at + place + 4] = struct.pack("<L", 4000)
    return bytes(data)


@trick("npz")
def a_shape_larger_than_memory(draw):
    return npz(x_train=shaped("(1099511627776, 4)", "<f4"))


@trick("npz")
def a_shape_that_overflows(draw):
    return npz(x_train=shaped("(4294967296, 4294967296)", "<f4", data=bytes(64)))


@trick("npz")
def no_values_in_a_giant_shape(draw):
    return npz(x_train=shaped("(1099511627776, 0)", "<f4"))


@trick("npz")
def fortran_order_and_a_negative_side(draw):
    return npz(x_train=shaped("(-30, -4)", "<f4", "True", bytes(480)))


@trick("npz")
def a_list_of_a_million_arrays(draw):
    return large_directory(1_000_000)


@trick("npz")
def not_a_number_as_a_label(draw):
    return npz(y_train=np.full(30, np.nan))


@trick("npz")
def not_a_number_as_an_input(draw):
    return npz(x_train=np.full((30, 4), np.nan), x_test=np.full((30, 4), np.inf))


@trick("npz")
def code_in_a_header(draw):
    return npz(x_train=npy_header("__import__('os').system('touch canary')"))


@trick("npz")
def brackets_in_a_header(draw):
    return npz(x_train=npy_header("(" * 4000 + ")" * 4000), y_train=npy_header("-" * 9000 + "1"))


@trick("npz")
def a_header_of_gigabytes(draw):
    return npz(x_train=b"\x93NUMPY\2\0" + struct.pack("<L", 1 << 30) + b" " * (1 << 30))


@trick("npz")
def kinds_of_numbers_that_are_none(draw):
    kind = draw.choice(("V2147483647", "S2147483647", "U500000000", "M8[s]", "O8", "c16", "f16"))
    return npz(x_train=shaped("(30, 4)", kind, data=bytes(9000)))


@trick("npz")
def a_plain_pickle(draw):
    return pickle.dumps(Canary())


@trick("npz")
def a_pickle_for_an_array(draw):
    return npz(x_train=pickle.dumps(Canary()), y_train=b"\x80\x04.")


@trick("npz")
def names_that_lead_out_of_it(draw):
    return zipped([(name, npy(np.zeros(3))) for name in ESCAPES])


@trick("npz")
def integers_at_their_end(draw):
    ends = np.array([2**64 - 1, 0, 2**63], np.uint64)[np.arange(30) % 3]
    return npz(y_train=ends, y_test=ends)


# Checkpoints.


def tensors_file(entries: dict, data: bytes = b"", text: bytes | None = None,
                 length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    body = json.dumps(entries).encode() if text is None else text
    return struct.pack("<Q", len(body) if length is None else length) + body + data


def entry(kind: str, shape: list, begin: int, end: int) -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def both(name: str):
    """A trick for foreign checkpoints and for the program's own: the same header misleads both."""
    def register(make):
        make.__name__ = name
        for kind in ("safetensors", "model"):
            TRICKS[kind].append(make)
        return make
    return register


@trick("safetensors")
def layers_whose_product_does_not_fit_in_memory(draw):
    return safetensors.torch.save({"0.weight": torch.zeros(100_000, 1), "0.bias": torch.zeros(9),
                                   "1.weight": torch.zeros(2, 2), "1.bias": torch.zeros(2),
                                   "2.weight": torch.zeros(100_000, 1), "2.bias": torch.zeros(9)})


@trick("safetensors")
def channels_without_number(draw):
    shapes = [(1, 3_000_000, 1, 1), (1,), (1,), (1,), (1, 1, 1, 1), (1,), (1,), (1,), (9, 32), (9,),
              (3, 9), (3,)]  # fmt: skip
    return safetensors.torch.save({f"{place:02}.weight": torch.zeros(shape)
                                   for place, shape in enumerate(shapes)})


@trick("safetensors", "verifymodel")
def a_million_tensors(draw):
    one = '"%07d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return tensors_file({}, text=b"{" + ",".join(one % n for n in range(1_000_000)).encode() + b"}")


@trick("safetensors")
def small_numbers_of_four_bits(draw):
    return tensors_file({"a.weight": entry("F4", [2, 8], 0, 8)}, bytes(8))


@both("a header longer than the file")
def _(draw):
    return tensors_file({}, length=2**63 - 1)


@both("a header of a hundred megabytes of brackets")
def _(draw):
    return tensors_file({}, text=b'{"a":' + b"[" * (50 << 20))


@both("offsets that overlap")
def _(draw):
    return tensors_file({"a": entry("F32", [4], 0, 16), "b": entry("F32", [4], 8, 24)}, bytes(24))


@both("offsets beyond the end")
def _(draw):
    return tensors_file({"a": entry("F32", [2**40], 0, 2**42)}, bytes(64))


@both("a shape that overflows")
def _(draw):
    return tensors_file({"a": entry("F32", [2**32, 2**32], 0, 0)})


@both("negative and broken offsets")
def _(draw):
    return tensors_file({"a": entry("F32", [-1], -4, 0), "b": entry("F32", [1.5], 0, 6)}, bytes(8))


@both("the same name twice")
def _(draw):
    return tensors_file({}, bytes(8), b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}')


@trick("safetensors")
def names_of_other_files(draw):
    return safetensors.torch.save({name: torch.zeros(2, 2) for name in (*ESCAPES, "1.a", "a.1",
                                                                         "²", "9" * 5000)})


@trick("safetensors")
def numbers_that_are_none(draw):
    weights = mlp()
    weights["fc2.weight"][3, 3] = draw.choice((float("nan"), float("inf")))
    return safetensors.torch.save(weights)


@trick("safetensors")
def scaling_by_nothing(draw):
    return safetensors.torch.save(mlp() | {"scale.span": torch.tensor(0.0),
                                           "scale.shift": torch.tensor(1e38)})


@trick("safetensors")
def weights_at_the_end_of_what_a_float_holds(draw):
    return safetensors.torch.save({name: value * 3e38 for name, value in mlp().items()
                                   if (value * 3e38).isfinite().all()} or
                                  {name: value.sign() * 3e38 for name, value in mlp().items()})


@trick("safetensors")
def complex_and_whole_numbers(draw):
    return tensors_file({"a.weight": entry("C64", [2, 2], 0, 32), "a.bias": entry("I64", [2], 32,
                                                                                 48)}, bytes(48))


def torch_bytes(what, **how) -> bytes:
    out = io.BytesIO()
    torch.save(what, out, **how)
    return out.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    """A torch archive with any pickle in it."""
    return zipped({"a/data.pkl": pickled, "a/version": b"3\n", "a/byteorder": b"little"},
                  zipfile.ZIP_STORED)


def text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words.encode())) + words.encode()


def called(what: str, *arguments: bytes) -> bytes:
    """Pickled: a global, called."""
    module, _, name = what.rpartition(".")
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


@trick("pt")
def an_object_that_runs_code(draw):
    return torch_bytes({"a.weight": torch.zeros(2), "evil": Canary()})


@trick("pt")
def bytes_without_number(draw):
    count = b"\x8a\x05" + (3 << 30).to_bytes(5, "little")
    return with_pickle(b"\x80\x02}" + text("a") + called("builtins.bytearray", count) + b"s.")


@trick("pt")
def a_key_that_takes_years_to_hash(draw):
    tower = b"K\1\x85q\0" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    return with_pickle(b"\x80\x02}" + tower + b"K\1s.")


@trick("pt")
def a_key_of_a_million_tuples_in_each_other(draw):
    return with_pickle(b"\x80\x02})" + b"\x85" * 900_000 + b"K\1s.")


@trick("pt")
def giant_tensors_of_one_number(draw):
    return torch_bytes({"fc.weight": torch.zeros(1).expand(1 << 13, 1 << 13),
                        "fc.bias": torch.zeros(1).expand(1 << 13)})


@trick("pt")
def a_gigabyte_of_weights_packed_to_a_megabyte(draw):
    plain = zipfile.ZipFile(io.BytesIO(torch_bytes({"a": torch.zeros(64 << 20)})))
    return zipped({name: plain.read(name) for name in plain.namelist()})


@trick("pt")
def the_old_form_with_code(draw):
    return torch_bytes({"evil": Canary()}, _use_new_zipfile_serialization=False)


@trick("pt")
def a_bare_pickle_with_code(draw):
    return pickle.dumps(Canary(), protocol=draw.choice((0, 1, 2, 4, 5)))


@trick("pt")
def a_tar_that_leads_out(draw):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("storages", "tensors", "pickle", *ESCAPES[:3]):
            member = tarfile.TarInfo(name)
            data = pickle.dumps(Canary(), protocol=2)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@trick("pt")
def names_in_the_archive_that_lead_out(draw):
    return zipped([(name, b"x") for name in ESCAPES], zipfile.ZIP_STORED) + torch_bytes(mlp())


@trick("pt")
def a_storage_larger_than_memory(draw):
    data = torch_bytes({"a": torch.zeros(255)})
    pickled = zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl")
    return with_pickle(pickled.replace(b"K\xff", b"\x8a\x06\0\0\0\0\0\1"))


@trick("pt")
def calls_of_what_is_allowed(draw):
    name = draw.choice(("torch.FloatTensor", "torch.Tensor", "torch._utils._rebuild_tensor_v2",
                        "torch._utils._rebuild_meta_tensor_no_storage", "builtins.set",
                        "_codecs.encode", "torch.device", "collections.Counter"))
    return with_pickle(b"\x80\x02}" + text("a") + called(name, text("cuda:9"), b"K\x09") + b"s.")


@trick("pt")
def tensors_of_other_layouts(draw):
    sparse = torch.sparse_coo_tensor(torch.tensor([[10**9]]), torch.ones(1), (1 << 31,))
    return torch_bytes({"a.weight": draw.choice((
        sparse, torch.zeros(3, device="meta"), torch.zeros(3, dtype=torch.complex64),
        torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)))})


@trick("pt")
def small_floats_of_four_bits(draw):
    return torch_bytes({"a.weight": torch.zeros(2, 8, dtype=torch.uint8).view(
        torch.float4_e2m1fn_x2)})


@trick("pt")
def a_whole_module(draw):
    return torch_bytes(nn.Linear(3, 3))


@trick("pt")
def lists_a_million_deep(draw):
    return with_pickle(b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b".")


@trick("pt")
def a_name_that_is_no_text(draw):
    return with_pickle(b"\x80\x02}X\3\0\0\0\xed\xa0\x80" + called(
        "torch._utils._rebuild_parameter", b"N", b"\x88", b"N") + b"s.")


@trick("pt")
def a_program_for_torch(draw):
    return zipped({"a/constants.pkl": b"\x80\x02).", "a/code/__torch__.py": b"import os\n",
                   "a/data.pkl": b"\x80\x02c__torch__\nA\n)\x81.", "a/version": b"3"},
                  zipfile.ZIP_STORED)  # fmt: skip


# The program's own files with anything in their records, under seals that fit.


def sealed(tensors: dict[str, Tensor], record: str) -> bytes:
    return safetensors.torch.save(tensors, header(record, seal(record, tensors)))


def record(**changes) -> str:
    plain = {"learner": "network", "settings": {"arch": "mlp"}, "input_shape": [1, 28, 28],
             "n_classes": 10}
    return json.dumps(plain | changes)


def own(**changes) -> bytes:
    return sealed(scaled(mlp()), record(**changes))


def scaled(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"scale.shift": torch.tensor(127.5), "scale.span": torch.tensor(255.0)}


@trick("model")
def brackets_in_the_record(draw):
    return sealed(scaled(mlp()), "[" * 100_000)


@trick("model")
def classes_without_number(draw):
    return own(n_classes=30_000_000)


@trick("model")
def inputs_without_number(draw):
    return own(input_shape=[1, 5000, 5000])


@trick("model")
def more_than_any_memory(draw):
    return own(n_classes=draw.choice((2**40, 2**62, 2**80)), input_shape=[2**40])


@trick("model")
def shards_without_number(draw):
    return own(learner="sisa", settings={"arch": "cnn", "shards": 200}, input_shape=[3, 512, 512])


@trick("model")
def brackets_in_the_header(draw):
    return safetensors.torch.save(mlp(), {"forget": "[" * 100_000})


@trick("model")
def a_learner_that_is_none(draw):
    return own(learner=draw.choice((["network"], {"a": 1}, None, 7, "../../canary")))


@trick("model")
def settings_that_are_none(draw):
    return own(settings=draw.choice(([["arch", "mlp"]], {"arch": ["mlp"]}, {"lr": float("nan")},
                                     {"epochs": 10**400}, {"lr": 10**400}, "arch", {"": 1})))


@trick("model")
def scattering_of_giant_pictures(draw):
    return own(learner="convex", settings={}, input_shape=[1, 4096, 4096])


# Text.


def json_tricks() -> dict[str, Callable[[bytes, random.Random], bytes]]:
    """What misleads readers of JSON; each takes a good file."""
    return {
        "brackets without end": lambda good, draw: b"[" * 200_000,
        "braces without end": lambda good, draw: b'{"files":' * 100_000,
        "a number of a million digits": lambda good, draw: valued(b"1" * 900_000)(good),
        "a number beyond any": lambda good, draw: valued(b"1e999999")(good),
        "a whole number of 4000 digits": lambda good, draw: valued(b"9" * 4000)(good),
        "no numbers": lambda good, draw: valued(draw.choice((b"NaN", b"-Infinity")))(good),
        "half a letter": lambda good, draw: valued(b'"\\ud800"')(good),
        "nothing": lambda good, draw: b"",
        "a list": lambda good, draw: b"[" + good + b"]",
        "null for every value": lambda good, draw: valued(b"null")(good),
        "lists for every value": lambda good, draw: valued(b"[[]]")(good),
        "every key twice": lambda good, draw: good.rstrip()[:-1] + b"," + good.lstrip()[1:],
        "a mark of the byte order": lambda good, draw: b"\xef\xbb\xbf" + good,
        "sixteen bits a letter": lambda good, draw: good.decode().encode("utf-16"),
        "bytes that are no text": lambda good, draw: good.replace(b"s", b"\xff"),
        "a tiny number": lambda good, draw: valued(b"5e-324")(good),
        "true for every value": lambda good, draw: valued(b"true")(good),
        "a hundred megabytes": lambda good, draw: good + b" " * (100 << 20),
        "a million files": lambda good, draw: b'{"files":{' + b",".join(
            b'"%d":{"a":1}' % n for n in range(1_000_000)) + b"}}",
    }


def valued(value: bytes) -> Callable[[bytes], bytes]:
    """Every plain value of a JSON file replaced, as far as it is text."""
    def change(good: bytes) -> bytes:
        mark = "the value goes here"

        def marked(node):
            if isinstance(node, dict):
                return {key: marked(inner) for key, inner in node.items()}
            return mark

        return json.dumps(marked(json.loads(good)), indent=2).encode().replace(
            json.dumps(mark).encode(), value)

    return change


def _json_trick(kind: str, name: str, change) -> None:
    def make(draw):
        return change(good(kind), draw)

    make.__name__ = name
    TRICKS[kind].append(make)


for _kind in ("manifest", "certificate"):
    for _name, _change in json_tricks().items():
        _json_trick(_kind, _name, _change)


def _field_trick(field: str, *values) -> None:
    def make(draw):
        stated = json.loads(honest().certificate.read_bytes())
        return text_of(stated | {field: draw.choice(values)}).encode()

    make.__name__ = f"another {field}"
    TRICKS["certificate"].append(make)


for _field, _values in {
    "epsilon": (5e-324, 1e-300, 999_999.0), "delta": (5e-324, 1 - 2**-53, 1e-300),
    "sigma": (5e-324, 1e-300), "n_retained": (-1, 0, 10**300, 60),
    "residual": (0, 1e299), "mac": ("\ud800", "\0", "x" * 100_000),
}.items():  # fmt: skip
    _field_trick(_field, *_values)


# Files of a certified removal with anything in them.


def _forged(kind: str, name: str, change: Callable[[dict], dict], **changes) -> None:
    def make(draw):
        path = honest().secret if kind == "secret" else honest().model
        tensors, about = store.read_sealed(path)
        return sealed({name: value.contiguous() for name, value in change(tensors).items()},
                      json.dumps(about | changes))

    make.__name__ = name
    TRICKS[kind].append(make)


for _what, _value in {
    "of no numbers": torch.zeros(0), "of small floats": torch.zeros(32, dtype=torch.float16),
    "of many dimensions": torch.zeros(2, 2, 2, dtype=torch.uint8),
    "of negative numbers": -torch.ones(32, dtype=torch.int64),
}.items():  # fmt: skip
    for _name in ("weights", "forgotten_ids", "noise_key", "ids_key", "seal_key"):
        _forged("secret", f"{_name} {_what}",
                lambda kept, name=_name, value=_value: kept | {name: value})
_forged("secret", "weights of another shape", lambda kept: kept | {
    "weights": torch.zeros(3, 9, dtype=torch.float64)})
_forged("secret", "weights that are not numbers", lambda kept: kept | {
    "weights": kept["weights"] * float("nan")})
_forged("secret", "nothing in it", lambda kept: {})
_forged("verifymodel", "weights that are not numbers",
        lambda kept: {name: value * float("nan") for name, value in kept.items()})
_forged("verifymodel", "small floats", lambda kept: {
    name: value.half() for name, value in kept.items()})
_forged("verifymodel", "complex weights", lambda kept: {
    name: value.to(torch.complex64) for name, value in kept.items()})
_forged("verifymodel", "no weights", lambda kept: {})
_forged("verifymodel", "another learner", lambda kept: kept, learner="network",
        settings={"arch": "linear"})
_forged("verifymodel", "another mode", lambda kept: kept, settings={"mode": "guo"})
_forged("verifymodel", "the least sigma", lambda kept: kept, settings={"sigma": 1e-9, "lam": 10.0})
_forged("verifymodel", "inputs of another size", lambda kept: kept, input_shape=[2, 2])
_forged("verifymodel", "other classes", lambda kept: kept, n_classes=4)
_forged("verifymodel", "classes by the million", lambda kept: kept, n_classes=20_000_000)
_forged("verifymodel", "features of giant pictures", lambda kept: kept,
        input_shape=[1, 20_000, 20_000], settings={"features": "pixels"})
_forged("verifymodel", "no shape", lambda kept: kept, input_shape=[])


def main() -> None:
    """Write files into FOLDER/files, their stories into FOLDER/how.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tricks", nargs="*", default=())
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # torch's, of forms that are to go
    prepare(options.folder / "honest")
    told = {}
    for file in itertools.chain(made(options.seed, options.files), chosen(options.tricks)):
        (options.folder / "files" / file.name).write_bytes(file.data)
        told[file.name] = file.how
    (options.folder / "how.json").write_text(json.dumps(told))

