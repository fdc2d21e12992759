"""Still more hostile things: pictures in two forms, folders, names, records, answers of Drive.

    python -m tests.hostile_ways FOLDER [--files N] [--seed N] [--tricks KIND:HOW …]

Makes files of all kinds, these and those of :mod:`tests.hostile` and :mod:`tests.hostile_words`.
"""

import contextlib
import functools
import io
import json
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import safetensors.torch
from PIL import Image

from forget.io.paths import downloads
from forget.records import database, ledger
from forget.records.bases import BASES
from forget.records.contributions import add
from forget.records.database import reading
from tests import hostile, hostile_words
from tests.hostile import (
    chunk,
    encoded,
    npz,
    photo,
    png,
    shaped,
    tensors_file,
    trick,
    with_pickle,
    zeros,
    zipped,
)
from tests.hostile_words import PNG, SIDE, canvas, canvas_trick, message, sent

KINDS = ("folder", "people", "records", "export", "name", "drive")
for _kind in KINDS:
    hostile.TRICKS[_kind] = []
hostile.KINDS += KINDS
hostile.SUFFIX |= {"folder": "tar", "people": "tar", "records": "db", "export": "json",
                   "name": "txt", "drive": "json"}

# Pictures that are two things, or more than one picture.


@trick("png")
def a_moving_picture_with_giant_frames(draw):
    begin = png(8, 8)
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 2**31 - 1, 2**31 - 1, 0, 0, 1, 1, 0, 0))
    data = chunk(b"fdAT", struct.pack(">I", 1) + zeros(1 << 20))
    return begin[:33] + chunk(b"acTL", struct.pack(">II", 99, 0)) + (frame + data) * 99 + begin[33:]


@trick("png")
def text_of_eighteen_megabytes(draw):
    return png(8, 8, before=chunk(b"tEXt", b"a\0" + b"x" * (18 << 20)))


@trick("png")
def international_text_that_unpacks_to_gigabytes(draw):
    return png(8, 8, before=chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(200 << 20)) * 5)


@trick("png")
def brightness_and_colours_that_are_none(draw):
    odd = (chunk(b"gAMA", b"\xff" * 4), chunk(b"gAMA", bytes(4)), chunk(b"gAMA", b"\1"),
           chunk(b"cHRM", b"\xff" * 32), chunk(b"pHYs", b"\xff" * 9), chunk(b"sBIT", b"\xff"),
           chunk(b"tRNS", b"\xff" * 999), chunk(b"bKGD", b""), chunk(b"sRGB", b"\xff"))
    return png(8, 8, before=b"".join(odd))


@trick("png")
def a_picture_that_is_a_zip_and_a_page_too(draw):
    return (png(8, 8, before=chunk(b"tEXt", b"a\0<script>alert(1)</script>"))
            + zipped({"../canary": b"x", "A/1.png": png(8, 8)}))


@trick("png")
def a_tiff_of_giant_strips(draw):
    tags = [(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (259, 3, 1, 5),
            (262, 3, 1, 1), (273, 4, 2**30, 8), (277, 3, 1, 1), (278, 4, 1, 2**31 - 1),
            (279, 4, 2**30, 8)]
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags))
            + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4))


@trick("png")
def gifs_whose_frames_grow(draw):
    frames = [Image.new("P", (9, 9), n) for n in range(3)]
    data = bytearray(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    data[6:10] = b"\xff\xff\xff\xff"  # of the screen
    return bytes(data)


@trick("png")
def a_gif_that_unpacks_without_end(draw):
    return (b"GIF89a" + struct.pack("<HH", 7000, 7000) + b"\xf0\0\0" + bytes(6) + b","
            + struct.pack("<HHHH", 0, 0, 7000, 7000) + b"\0\x0b" + (b"\xff" + b"\0" * 255) * 60_000)


@trick("png")
def a_bmp_of_giant_runs(draw):
    head = struct.pack("<IiiHHIIiiII", 40, 7000, -7000, 1, 8, 1, 0, 0, 0, 256, 0)
    return (b"BM" + struct.pack("<IHHI", 99, 0, 0, 14 + 40 + 1024) + head + bytes(1024)
            + b"\xff\1" * 300_000)


@trick("png")
def a_bmp_of_negative_size(draw):
    head = struct.pack("<IiiHHIIiiII", 40, -(2**31), -(2**31), 1, 32, 3, 0, 0, 0, 2**31 - 1, 0)
    return b"BM" + struct.pack("<IHHI", 99, 0, 0, 2**31 - 1) + head + bytes(64)


@trick("png")
def numbers_in_words_for_pixels(draw):
    return b"P3\n7000 7000\n65535\n" + b"9 " * 9_000_000


@trick("png")
def netpbm_with_sizes_that_are_none(draw):
    sizes = draw.choice((b"-1 -1", b"9" * 5_000 + b" 1", b"1e9 1e9", b"0 0", b"#" + b"a" * 99_999))
    return b"P6\n" + sizes + b"\n255\n" + bytes(99)


@trick("png")
def a_netpbm_of_fifty_million_deep_pixels(draw):
    return b"P5\n3000 3000\n65535\n" + bytes(2 * 9_000_000)


@trick("png")
def lines_that_end_in_the_middle(draw):
    return png(4000, 4000, 8, 6, packed=zeros(4000 * 16_001 // 2))


@trick("png")
def the_end_before_the_pixels(draw):
    data = png(8, 8)
    return data[:33] + chunk(b"IEND", b"") + data[33:]


@trick("png")
def a_film_that_says_it_is_a_photo(draw):
    kind = draw.choice((b"heic", b"avif", b"isom"))
    return struct.pack(">I", 2**31 - 1) + b"ftyp" + kind + b"x" * 9


@trick("jpeg")
def a_profile_that_says_it_has_gigabytes(draw):
    head = struct.pack(">I4sI4s4s4s", 2**32 - 1, b"lcms", 2**26, b"mntr", b"RGB ", b"XYZ ")
    return encoded(photo(), "jpeg", icc_profile=head + bytes(104) + struct.pack(">I", 2**32 - 1)
                   + b"\xff" * 9_999)


@trick("jpeg")
def tables_that_are_too_long(draw):
    data = bytearray(encoded(photo(), "jpeg"))
    at = data.index(b"\xff\xc4")
    data[at + 5:at + 21] = b"\xff" * 16
    return bytes(data)


@trick("jpeg")
def restarts_without_number(draw):
    data = encoded(photo(), "jpeg")
    at = data.index(b"\xff\xda")
    return data[:at] + b"\xff\xdd\0\4\0\1" + data[at:-2] + b"\xff\xd0" * 5_000_000 + data[-2:]


@trick("jpeg")
def an_arithmetic_frame_with_a_thousand_components(draw):
    data = bytearray(encoded(photo(), "jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 9] = draw.choice((0xC9, 0xCA, 0xC3, 0xCB)), 255
    return bytes(data)


@trick("jpeg")
def remarks_that_hold_pictures(draw):
    inner = encoded(photo(), "jpeg")
    marks = b"".join(b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner for _ in range(4000))
    return inner[:2] + marks + inner[2:]


@trick("webp")
def a_moving_picture_of_ten_thousand_frames(draw):
    frame = hostile.anmf(encoded(photo(side=16), "webp")[12:], 0, 0, 16, 16)
    return hostile.vp8x(4471, 4471, 0x12, hostile.chunk_of_riff(b"ANIM", bytes(6)) + frame * 10_000)


@trick("webp")
def frames_outside_of_the_canvas(draw):
    frame = hostile.anmf(encoded(photo(side=16), "webp")[12:], 2**24 - 1, 2**24 - 1, 2**24, 2**24)
    return hostile.vp8x(15, 15, 0x12, hostile.chunk_of_riff(b"ANIM", bytes(6)) + frame)


@trick("webp")
def exif_and_profile_of_megabytes(draw):
    return hostile.vp8x(63, 63, 0x2C, hostile.chunk_of_riff(b"ICCP", b"\xff" * (8 << 20))
                        + encoded(photo(), "webp")[12:]
                        + hostile.chunk_of_riff(b"EXIF", b"II*\0\x08\0\0\0" + b"\xff" * (8 << 20)))


# Archives.


@trick("zip")
def the_same_person_in_twenty_spellings(draw):
    names = ["Zo\u00eb", "Zoe\u0308", "ZO\u00cb", "Zo\u00eb ", " Zo\u00eb", "Zo\u00eb\u200b",
             "\ufeffZo\u00eb", "Zo\u00eb.", "Zo\u00eb\u00a0", "\u202eZo\u00eb", "Zo\u0451",
             "Z\u03bf\u00eb", "Zo\u00eb\t", "ZO\u00cb\u2060", "Z\u200doe\u0308", "CON", "aux.txt"]
    return zipped([(f"{name}/{n}.png", photo_number(n)) for name in names for n in range(3)])


@trick("zip")
def people_without_number(draw):
    return zipped({f"person {n}/{n}.png": b"\x89PNG\r\n\x1a\n%d" % n for n in range(9_999)},
                  zipfile.ZIP_STORED)


@trick("zip")
def folders_in_each_other_without_end(draw):
    return zipped([("a/" * n + "1.png", photo_number(1)) for n in range(0, 9_000, 300)])


@trick("zip")
def entries_behind_the_end(draw):
    data = bytearray(zipped({"A/1.png": photo_number(1), "A/2.png": photo_number(2)}))
    at = data.index(b"PK\1\2")
    data[at + 42:at + 46] = draw.choice((b"\xff" * 4, struct.pack("<L", len(data) - 4)))
    return bytes(data)


@trick("zip")
def devices_and_sockets(draw):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, kind in enumerate((0o020000, 0o060000, 0o010000, 0o140000, 0o120000)):
            one = zipfile.ZipInfo(f"A/{number}.png")
            one.create_system, one.external_attr = 3, (kind | 0o777) << 16
            archive.writestr(one, photo_number(1))
    return out.getvalue()


@trick("zip")
def other_names_in_the_list_than_beside_the_files(draw):
    data = zipped({"A/1.png": photo_number(1), "B/1.png": photo_number(2)})
    return data.replace(b"A/1.png", b"../c.pn", 1)


@trick("zip")
def times_that_are_none(draw):
    data = bytearray(zipped({"A/1.png": photo_number(1), "B/1.png": photo_number(2)}))
    at = data.index(b"PK\1\2")
    data[at + 12:at + 16] = b"\xff" * 4
    return bytes(data)


@trick("zip")
def a_remark_of_sixty_thousand_ends(draw):
    remark = (b"PK\5\6" + bytes(18)) * 2_900
    data = zipped({"A/1.png": photo_number(1)})
    return data[:-2] + struct.pack("<H", len(remark)) + remark


@functools.cache
def photo_number(number: int) -> bytes:
    return encoded(photo().rotate(number), "png")


# Arrays.


@trick("npz")
def members_that_stand_twice(draw):
    good, bad = npz(), npz(x_train=np.array([hostile.Canary()] * 30, dtype=object))
    both = [(name, zipfile.ZipFile(io.BytesIO(data)).read(name)) for data in (good, bad)
            for name in zipfile.ZipFile(io.BytesIO(data)).namelist()]
    return zipped(both)


@trick("npz")
def numbers_at_their_ends(draw):
    ends = np.array([3.4e38, -3.4e38, 1e-45, 0.0])
    return npz(x_train=np.tile(ends, (30, 1)), x_test=np.tile(-ends, (30, 1)))


@trick("npz")
def rows_of_one_number_and_of_millions(draw):
    return npz(x_train=np.zeros((30, 1_000_000), np.float16), x_test=np.zeros((30, 1_000_000),
                                                                             np.float16))


@trick("npz")
def a_shape_of_a_thousand_axes(draw):
    return npz(x_train=shaped("(" + "1, " * 1_000 + ")", "<f8", data=bytes(8)))


@trick("npz")
def a_shape_of_words_and_of_huge_numbers(draw):
    shape = draw.choice(("(30, True)", "(30, 1e3)", "(" + "9" * 4_000 + ", 4)", "[30, 4]",
                         "(30, -0)", "(30, 4, 0, 99999999999)", "30", "None"))
    return npz(x_train=shaped(shape, "<f8", data=bytes(960)))


@trick("npz")
def a_kind_of_number_in_a_kind_of_number(draw):
    deep = "[('a', " * 400 + "'<f8'" + ")]" * 400
    head = f"{{'descr': {deep}, 'fortran_order': False, 'shape': (30, 4)}}"
    return npz(x_train=hostile.npy_header(head, bytes(960)))


@trick("npz")
def an_array_in_a_version_that_is_none(draw):
    return npz(x_train=b"\x93NUMPY" + bytes([draw.choice((0, 4, 255)), 255]) + bytes(400))


# Checkpoints.


@hostile.both("a key that stands thrice and a hole")
def _(draw):
    return tensors_file({}, bytes(64), b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                        b'"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
                        b'"b":{"dtype":"F32","shape":[1],"data_offsets":[60,64]}}')


@hostile.both("remarks that are no text")
def _(draw):
    about = draw.choice((b'{"forget":1}', b"[]", b'{"forget":"\\ud800"}', b'{"forget":null}',
                         b'{"forget":"' + b"9" * 5_000 + b'"}', b'{"forget":"[[]]"}'))
    return tensors_file({}, b"", b'{"__metadata__":' + about + b"}")


@trick("safetensors")
def names_with_nul_and_bidi(draw):
    weights = hostile.mlp()
    odd = ("fc1\0.weight", "\u202efc1.bias", "fc2.weight\ud7ff", "", ".", "a" * 60_000)
    return safetensors.torch.save(dict(zip(odd, weights.values(), strict=True)))


@trick("pt")
def a_memo_without_end(draw):
    return with_pickle(b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", n << 20)
                                              for n in range(2_000)) + b".")


@trick("pt")
def text_that_says_it_has_gigabytes(draw):
    return with_pickle(b"\x80\x02" + draw.choice((b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f",
                                                  b"\x8d" + b"\xff" * 7 + b"\x7f")) + b"a.")


@trick("pt")
def whole_numbers_of_a_million_digits(draw):
    return with_pickle(b"\x80\x02}" + hostile.text("a") + b"I" + b"9" * 1_000_000 + b"\ns.")


@trick("pt")
def pictures_and_zips_that_say_they_are_weights(draw):
    return draw.choice((png(8, 8), zipped({"A/1.png": png(8, 8)}), b"GGUF" + b"\xff" * 99,
                        b"\x89HDF\r\n\x1a\n" + b"\xff" * 999, b"\x1f\x8b" + b"\xff" * 99))


# Canvases.

for _name, _value in {
    "a thousand lists in each other in a dictionary": '{"drawing":' + "[" * 900 + "]" * 900 + "}",
    "the same name a thousand times": "{" + ",".join(['"drawing":null'] * 1_000) + "}",
    "numbers of all sizes in a stroke": sent(None, [{"type": "path", "left": 1e308, "path": [
        ["M", 1e308, -1e308], ["Q", 10**30, 5e-324, 0, 0], ["L", 1.5, True]]}]),
    "a stroke with links and code": sent(None, [{"type": "path", "path": [["M", 1, 1]], "fill": {
        "type": "pattern", "source": "https://example.org/1.png"}, "clipPath": {"a": 1},
        "__proto__": {"a": 1}, "src": "file:///etc/passwd"}]),
    "bidi and nul for names": {"\u202edrawing": None, "drawing\0": sent(None), "": 1},
    "an empty drawing in spaces": " " * 900_000 + "{}",
    "another kind of data": sent("data:image/svg+xml;base64,PHN2Zz4="),
    "half a prefix": sent(PNG[:-7]), "the prefix alone": sent(PNG),
    "base64 with lines": sent(PNG + "iVBO\nRw0K\n" * 99),
}.items():
    canvas_trick(_name, lambda draw, value=_value: message(value))
for _name, _data in {
    "a moving picture": lambda: a_moving(SIDE), "gigantic brightness": lambda: png(
        SIDE, SIDE, 8, 6, before=chunk(b"gAMA", b"\xff" * 4)),
    "a turned picture": lambda: encoded(photo("RGBA", SIDE), "png", exif=turned(6)),
    "nothing seen at all": lambda: encoded(Image.new("RGBA", (SIDE, SIDE)), "png"),
}.items():
    canvas_trick(_name, lambda draw, data=_data: canvas(data()))
for _kind, _value in {"trigger_value": True, "string_trigger_value": "x"}.items():
    def _make(draw, kind=_kind, value=_value):
        back = hostile_words.BackMsg()
        one = back.rerun_script.widget_states.widgets.add(id="$$ID-0-digits.canvas.0")
        if kind == "trigger_value":
            one.trigger_value = value
        else:
            one.string_trigger_value.data = value
        return back.SerializeToString()

    canvas_trick(f"a {_kind} for a drawing", _make)


def a_moving(side: int) -> bytes:
    frames = [photo("RGBA", side).rotate(turn) for turn in range(3)]
    return encoded(frames[0], "png", save_all=True, append_images=frames[1:])


def turned(how: int) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x112, 3, 1, how) + bytes(4)


# Links and arguments.

for _link in (
    "https://drive.google.com/%zz%", "https://drive.google.com/file/d/%2e%2e%2f%2e%2e/view",
    "https://drive.google.com/open?id=a&id=b&id=" + "c" * 9_000,
    "https://drive.google.com/drive/folders/%ff%fe%00", "https://drive.google.com\\@example.org/",
    "https://drive.google.com/uc?id=1#https://example.org", "https://drive.google.com:443/uc?id=1",
    "https://drive.google.com./uc?id=1", "https://user:pass@drive.google.com/uc?id=1",
    "HTTPS://DRIVE.GOOGLE.COM/open?ID=1", "https://docs.google.com/document/d//export",
    "https://drive.google.com/drive/u/999999999999/folders/" + "\u202e" * 99,
    "https://drive.google.com/drive/folders/a?resourcekey=\r\nx", "https:drive.google.com/uc?id=1",
    "https://[::ffff:drive.google.com]/", "https://drive.google.com/uc?id=" + "%" * 5_000,
):
    def _make(draw, link=_link):
        return link.encode("utf-8", "surrogatepass")

    _make.__name__ = f"link {_link[:40]!a}" + f" ({len(_link)})"
    hostile.TRICKS["link"].append(_make)

NUMBERS = ("-1", "0", "1e309", "nan", "9" * 5_000, "\u0663", "1_0", " 1 ", "", "0x10", "1.5", "+1",
           "\u00b2", "1\n2", "--", "\x1b]0;a\x07", "\u202e1")  # fmt: skip
ASKED = (
    ("run", "DATA", "--forget", "random:VALUE", "--method", "retrain"),
    ("run", "DATA", "--forget", "samples:VALUE,VALUE", "--method", "retrain"),
    ("run", "DATA", "--forget", "class:VALUE", "--method", "retrain"),
    ("run", "DATA", "--forget", "class:1", "--method", "finetune", "--set", "epochs=VALUE"),
    ("run", "DATA", "--forget", "class:1", "--method", "finetune", "--set", "VALUE"),
    ("run", "DATA", "--forget", "class:1", "--method", "sisa", "--set", "learner.shards=VALUE"),
    ("run", "DATA", "--forget", "class:1", "--method", "retrain", "--seed", "VALUE"),
    ("run", "DATA", "--forget", "class:1", "--method", "retrain", "--references", "VALUE"),
    ("run", "DATA", "--forget", "class:1", "--method", "VALUE"),
    ("compare", "DATA", "--forget", "class:1", "--methods", "VALUE,VALUE"),
    ("compare", "DATA", "--forget", "class:1", "--audit", "--shadows", "VALUE"),
    ("train", "DATA", "--learner", "VALUE"), ("teach", "VALUE"), ("queue", "VALUE"),
    ("teach", "faces", "--by", "VALUE", "/dev/null"),
    ("queue", "mnist", "--batch", "VALUE"), ("VALUE",), ("VALUE", "VALUE"),
    ("ledger", "verify", "VALUE"), ("ledger", "VALUE"), ("methods", "VALUE"), ("--VALUE",),
    ("fetch", "--folder", "VALUE"), ("erase", "VALUE", "--method", "VALUE"),
)  # fmt: skip

for _number, _command in enumerate(ASKED):
    def _make(draw, command=_command):
        value = draw.choice(NUMBERS)
        return hostile_words.line([word.replace("VALUE", value) for word in command])

    _make.__name__ = f"numbers for {' '.join(_command)!a}"
    hostile.TRICKS["arguments"].append(_make)


# Folders that are dropped in: a tar is laid out where the folder is to be.


def tarred(members: dict[bytes | str, object], **changes) -> bytes:
    """A tar of files (bytes), links (a text) and other members (a tarfile type)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT,
                      errors="surrogateescape") as archive:
        for name, what in members.items():
            one = tarfile.TarInfo(name.decode("utf-8", "surrogateescape")
                                  if isinstance(name, bytes) else name)
            one.mode = changes.get("mode", 0o644)
            if isinstance(what, bytes):
                one.size = len(what)
                archive.addfile(one, io.BytesIO(what))
            else:
                one.type = tarfile.SYMTYPE if isinstance(what, str) else what[0]
                one.linkname = what if isinstance(what, str) else ""
                archive.addfile(one)
    return out.getvalue()


def people(*names: str | bytes, count: int = 3) -> dict[bytes, bytes]:
    raw = [name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
           for name in names]
    return {name + b"/%d.png" % n: photo_number(n) for name in raw for n in range(count)}


LAID_OUT: dict[str, Callable[[], bytes]] = {
    "names that are no text": lambda: tarred(people(b"\xff\xfe", b"A\xed\xa0\x80", "B")),
    "names that move the cursor": lambda: tarred(people("A\x1b[2J\n", "B\u202e", "\x07")),
    "names of what no disk has": lambda: tarred(people("CON", "a:b", "x" * 200, " ", "~", "-rf")),
    "photos that are links out": lambda: tarred(people("A", "B") | {
        "A/8.png": "/etc/passwd", "B/9.png": "../../../../canary", "C": "/", "A/7.png": "7.png"}),
    "pipes and folders for photos": lambda: tarred(people("A", "B") | {
        "A/8.png": (tarfile.FIFOTYPE,), "B/9.png": (tarfile.DIRTYPE,), "C": (tarfile.FIFOTYPE,)}),
    "a link to the folder itself": lambda: tarred(people("A", "B") | {"C": ".", "A/A": ".."}),
    "photos that are none": lambda: tarred(people("A", "B") | {
        "A/8.png": b"", "B/9.png": b"\x89PNG\r\n\x1a\n", "A/7.jpg": zeros(99), "A/6.heic": b"x"}),
    "photos of fifty million pixels": lambda: tarred({
        f"{who}/1.png": png(hostile.BIG, hostile.BIG) + who.encode() for who in "AB"}),
    "a photo of more than twenty megabytes": lambda: tarred(people("A", "B") | {
        "A/8.png": photo_number(1) + bytes(21 << 20)}),
    "two thousand people": lambda: tarred(
        people(*(f"person {n}" for n in range(2_000)), count=1)),
    "the same photo for all": lambda: tarred({f"{who}/{n}.png": photo_number(1) for who in "ABC"
                                              for n in range(9)}),
    "no rights": lambda: tarred(people("A", "B"), mode=0),
    "nothing": lambda: tarred({}),
    "a name in a file that is no text": lambda: tarred(people("A") | {"A/name.txt": b"\xff\xfe"}),
    "a name in a file that moves the cursor": lambda: tarred(people("A", "B") | {
        "A/name.txt": b"A\x1b[2J\n\nB", "B/name.txt": b""}),
    "a name in a file of eighty megabytes": lambda: tarred(people("A") | {
        "A/name.txt": b"x" * (80 << 20)}),
    "a name in a folder": lambda: tarred(people("A") | {"A/name.txt": (tarfile.DIRTYPE,)}),
    "a name in a link out": lambda: tarred(people("A") | {"A/name.txt": "/etc/passwd"}),
    "names that are percents": lambda: tarred(people("%00", "%FF", "%2e%2e%2fA", "%", "%0A")),
    "the same person twice": lambda: tarred(people("Zo\u00eb", "Zoe\u0308", "zo\u00eb")),
    "files for people": lambda: tarred({"1.png": photo_number(1), "name.txt": b"x", "A": b"x"}),
}


# Records: a database that somebody else wrote.


@functools.cache
def recorded() -> bytes:
    """The database of two contributors with a sample each, one of whom waits."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("Ana", "Bo")):
        digit = rng.integers(0, 256, (28, 28)).astype(np.uint8)
        add(BASES["mnist"], name, [(str(number), BASES["mnist"].drawn(digit))])
    with contextlib.closing(sqlite3.connect(database.path())) as db:
        db.execute("INSERT INTO request (base, contributor, method, settings, state, asked_at) "
                   "VALUES ('mnist', 1, 'retrain', '{}', 'waiting', '2026-01-01')")
        db.execute("INSERT INTO policy VALUES ('mnist', 3)")
        db.commit()
        db.execute("PRAGMA journal_mode = DELETE")
    exported()
    data = database.path().read_bytes()
    for left in downloads().glob(f"{database.NAME}*"):
        left.unlink()
    return data


_exported: list[bytes] = []


def exported() -> bytes:
    """The ledger of the same, as it is handed to somebody else."""
    if not _exported:
        if not database.path().is_file():
            recorded()
        else:
            with reading() as db:
                _exported.append(ledger.export_text(db).encode())
    return _exported[0]


def changed(*statements: str) -> Callable[[], bytes]:
    """What makes the database with something done to it that the program never does."""
    def make() -> bytes:
        place = downloads() / "changed.db"
        place.write_bytes(recorded())
        with contextlib.closing(sqlite3.connect(place)) as db:
            db.execute("PRAGMA writable_schema = ON")
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"
                                      ).fetchall():
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                db.execute(statement)
            db.commit()
        data = place.read_bytes()
        place.unlink()
        return data

    return make


RECORDS: dict[str, Callable[[], bytes]] = {
    "a version that is not yet": changed("PRAGMA user_version = 99"),
    "a version below none": changed("PRAGMA user_version = -5"),
    "version none with tables": changed("PRAGMA user_version = 0"),
    "limits that are none": changed("INSERT INTO composition VALUES ('mnist', x'00ff')",
                                    "INSERT INTO composition VALUES ('faces', -1e308)"),
    "no tables": changed("DROP TABLE lineage", "DROP TABLE sample", "DROP TABLE contributor"),
    "a view for a table": changed("ALTER TABLE sample RENAME TO s", "CREATE VIEW sample AS "
                                  "SELECT * FROM s UNION ALL SELECT * FROM s"),
    "samples of other bytes": changed("UPDATE sample SET x = zeroblob(9), picture = 'text'"),
    "samples of a hundred megabytes": changed("UPDATE sample SET x = zeroblob(100000000)"),
    "numbers for texts": changed("UPDATE sample SET label = 7, sha256 = 1e308"),
    "names that move the cursor": changed(
        "UPDATE contributor SET name = 'A' || char(27) || '[2J' || char(10) || id"),
    "names that are no text": changed("UPDATE contributor SET name = CAST(x'fffe' || id AS TEXT)"),
    "names that are bytes": changed(
        "UPDATE contributor SET name = x'00ff', key = 'k' WHERE id = 1"),
    "keys of no bytes": changed("UPDATE contributor SET key = x''"),
    "a policy beyond any": changed("PRAGMA ignore_check_constraints = ON",
                                   "UPDATE policy SET batch = -9"),
    "a policy that is text": changed("PRAGMA ignore_check_constraints = ON",
                                     "UPDATE policy SET batch = 'many'"),
    "a method that is none": changed("UPDATE request SET method = '../canary', settings = '[[['"),
    "settings in each other": changed("UPDATE request SET settings = '" + "[" * 90_000 + "'"),
    "a base that is none": changed("UPDATE sample SET base = '../canary'",
                                   "UPDATE request SET base = '../canary'"),
    "entries numbered at the end": changed("UPDATE ledger SET number = 9223372036854775806 "
                                           "WHERE number = 2"),
    "entries of brackets": changed("UPDATE ledger SET body = '" + "[" * 90_000 + "'"),
    "entries that are bytes": changed("UPDATE ledger SET body = x'ff', at = 3"),
    "entries of ten megabytes": changed("UPDATE ledger SET body = json_object('a', "
                                        "hex(zeroblob(5000000)))"),
    "an end that is text": changed("UPDATE ledger_end SET count = 'many', hash = 7, seal = 1.5"),
    "an end far away": changed("UPDATE ledger_end SET count = 9223372036854775807"),
    "more than one end": changed("DROP TABLE ledger_end", "CREATE TABLE ledger_end (one, count, "
                                 "hash, seal)", "INSERT INTO ledger_end VALUES (1, 1, 1, 1), "
                                 "(1, 2, 2, 2)"),
    "entries that name what is not there": changed(
        "UPDATE request SET entry = 'x', contributor = 99"),
    "tables of other columns": changed("DROP TABLE policy", "CREATE TABLE policy (a, b, c)"),
    "a log of rubbish": lambda: recorded() + b"\xff" * 9_999,
    "nothing": lambda: b"", "a page alone": lambda: recorded()[:512],
    "a million pages in the header": lambda: recorded()[:28] + b"\x7f" + recorded()[29:],
    "a picture": lambda: png(8, 8),
}
hostile.MORE_GOOD["records"] = lambda kind: recorded()
hostile.MORE_GOOD["export"] = lambda kind: exported()


# Names, as a person types them, and names of files in a Drive folder.

NAMES = (
    "", " ", "\0", "a\0b", "\x1b[31mAna", "A\nB", "\u202eanA", "\ufeffAna", "\u200b", "\u200d" * 80,
    "a" * 81, "a" * 100_000, "\u0301" * 100_000, "a" + "\u0301" * 79, "\udcff", "\ud800",
    "..", "../../canary", "/canary", "CON", "nul.txt", "name.txt", "%00", "%2e%2e", "~", ".hidden",
    "<script>alert(1)</script>", "[a](javascript:alert(1))", ":material/error:", "$x^2$", "{{7*7}}",
    "%s%n", "'; DROP TABLE sample;--", "(forgotten 1)", "class:7", "random:1", "\U0001f469" * 80,
    "\ufdfa" * 80, "\u00df" * 80, "\u0130" * 80, "9" * 80, "\u0663\u00b2", "\U000e0041" * 80,
    "\uffff\ufffe", "Zo\u00eb", "mnist+given", "\r\nSet-Cookie: a=b", "\t\v\f",
    "=cmd|' /C calc'!A0",
)  # fmt: skip

for _text in NAMES:
    def _make(draw, text=_text):
        return text.encode("utf-8", "surrogatepass")

    _make.__name__ = f"name {_text[:20]!a} ({len(_text)})"
    hostile.TRICKS["name"].append(_make)

LISTS = {
    "names that lead out": hostile.ESCAPES, "all the same": ("a.pt",) * 3_000,
    "the same but for case": ("A.pt", "a.PT", "a.pt", "B/a.pt", "b/A.pt"),
    "names of dots": (".", "..", "...", ".pt", " .pt", ". . .pt", ""),
    "names without end": ("a" * 100_000 + ".pt", "a/" * 9_000 + "b.pt", "\u0301" * 9_000),
    "names that move the cursor": ("\x1b[2J.pt", "a\nb.pt", "\u202etp.a", "\0.pt", "\ud800.pt"),
    "names of devices": ("CON", "nul.pt", "COM1.pt", "a:b.pt", "a|b?.pt", "-rf.pt"),
    "numbers in brackets": ("a.pt", "a.pt", "a (2).pt", "a (2).pt", "a (3).pt"),
    "folders for names": ("a.pt/", "/", "//", "a//b.pt", "./a.pt", "a/../b.pt"),
}
hostile.MORE_GOOD["name"] = lambda kind: "Zo\u00eb Kim".encode()
hostile.MORE_GOOD["drive"] = lambda kind: json.dumps(["A/net.pt", "B/net.pt"]).encode()

for _name, _names in LISTS.items():
    def _make(draw, names=_names):
        return json.dumps(list(names)).encode()

    _make.__name__ = _name
    hostile.TRICKS["drive"].append(_make)

for _kind, _makers in {"folder": LAID_OUT, "people": LAID_OUT, "records": RECORDS}.items():
    for _name, _laid in _makers.items():
        def _make(draw, laid=_laid):
            return laid()

        _make.__name__ = _name
        hostile.TRICKS[_kind].append(_make)
    if _makers is LAID_OUT:
        hostile.MORE_GOOD[_kind] = lambda kind: tarred(people("Ana", "Bo"))

for _name, _change in hostile.json_tricks().items():
    if _name != "a million files":
        hostile._json_trick("export", _name, _change)


@trick("export")
def entries_by_the_hundred_thousand(draw):
    shown = json.loads(exported())
    return json.dumps(shown | {"entries": shown["entries"] * 30_000}).encode()


@trick("export")
def fields_that_are_none(draw):
    shown = json.loads(exported())
    odd = draw.choice((None, [], {}, 1e308, "\u202e", "\ud800", "\n", -1, True))
    shown["entries"] = [one | {draw.choice(sorted(one)): odd} for one in shown["entries"]]
    return json.dumps(shown).encode()


if __name__ == "__main__":
    hostile.main()
