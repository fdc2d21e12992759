"""More hostile things that a person can hand over: what a canvas sends, labels, links, arguments.

    python -m tests.hostile_words FOLDER [--files N] [--seed N] [--tricks KIND:HOW …]

Makes files of all kinds, these and those of :mod:`tests.hostile`.
"""

import base64
import json
import random
from collections.abc import Callable

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests import hostile
from tests.hostile import chunk, encoded, npz, photo, png, shaped, zeros

KINDS = ("canvas", "labels", "link", "arguments")
SIDE = 260
PNG = "data:image/png;base64,"

for _kind in KINDS:
    hostile.TRICKS[_kind] = []
hostile.KINDS += KINDS
hostile.SUFFIX |= {"canvas": "bin", "labels": "npz", "link": "txt", "arguments": "txt"}


def plain(kind: str) -> bytes:
    """One of these with nothing wrong."""
    return {"canvas": lambda: message(sent(PNG + base64.b64encode(drawn()).decode())),
            "labels": npz, "link": lambda: b"https://drive.google.com/drive/folders/1Z2mHXy4C7",
            "arguments": lambda: line(["trace", "Ana"])}[kind]()


def line(words: list[str]) -> bytes:
    """A command line as the system keeps it: whatever bytes it has between its NULs, it is one."""
    return b"\0".join(word.encode("utf-8", "surrogateescape") for word in words)


hostile.MORE_GOOD.update(dict.fromkeys(KINDS, plain))


# Canvases: a message of Streamlit's protocol with a value for one canvas.


def message(value: object, kind="json_value", name="digits.canvas.0") -> bytes:
    """``value`` as JSON, or as it is where it is text already."""
    back = BackMsg()
    one = back.rerun_script.widget_states.widgets.add(id=f"$$ID-0-{name}")
    setattr(one, kind, json.dumps(value) if kind == "json_value" and not isinstance(value, str)
            else value)
    return back.SerializeToString()


def sent(data: object, objects: object = ()) -> dict:
    return {"drawing": {"raw": {"objects": list(objects)}, "data": data}, "backgroundFit": None}


def drawn(form="PNG", mode="RGBA") -> bytes:
    return encoded(photo(mode, SIDE), form)


def canvas(data: bytes, before=PNG) -> bytes:
    return message(sent(before + base64.b64encode(data).decode()))


def canvas_trick(name: str, make: Callable[[random.Random], bytes]) -> None:
    make.__name__ = name
    hostile.TRICKS["canvas"].append(make)


LOOP = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 260 260\n%%EndComments\n{} loop\n"
STEALS = (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 260 260\n%%EndComments\n"
          b"(canary) (w) file closefile\n")

for _name, _data in {
    "EPS with a loop": lambda: LOOP, "EPS that writes a file": lambda: STEALS,
    "PDF": lambda: b"%PDF-1.7\n%\xff\n", "SVG": lambda: b"<svg><image href='file:///etc'/></svg>",
    "GIF": lambda: drawn("GIF", "P"), "WEBP": lambda: drawn("WEBP"), "BMP": lambda: drawn("BMP"),
    "JPEG": lambda: drawn("JPEG", "RGB"), "TIFF": lambda: drawn("TIFF"), "PPM": lambda: b"P6 9 9 9",
    "a picture of 4000 x 4000": lambda: png(4000, 4000, colour=6),
    "a picture as large as there is": lambda: png(2**31 - 1, 2**31 - 1, packed=zeros(99)),
    "a line of pixels": lambda: png(50_000_000, 1),
    "one pixel more": lambda: png(SIDE + 1, SIDE, colour=6),
    "16 bits": lambda: png(SIDE, SIDE, 16, 6), "interlaced": lambda: png(SIDE, SIDE, 8, 6, 1),
    "a palette": lambda: png(SIDE, SIDE, 8, 3), "grey": lambda: png(SIDE, SIDE),
    "no pixels": lambda: png(SIDE, SIDE, 8, 6, packed=b""),
    "more data than pixels": lambda: png(SIDE, SIDE, 8, 6, packed=zeros(200 << 20)),
    "text that unpacks to gigabytes": lambda: png(SIDE, SIDE, 8, 6, before=chunk(
        b"zTXt", b"a\0\0" + zeros(100 << 20))),
    "a profile that unpacks to gigabytes": lambda: png(SIDE, SIDE, 8, 6, before=chunk(
        b"iCCP", b"a\0\0" + zeros(100 << 20))),
    "frames without number": lambda: png(SIDE, SIDE, 8, 6, before=chunk(
        b"acTL", b"\x7f\xff\xff\xff\0\0\0\0")),
    "ten thousand parts": lambda: png(SIDE, SIDE, 8, 6, before=chunk(b"abCd", b"") * 10_000),
    "a header twice": lambda: png(SIDE, SIDE, 8, 6, before=png(4_000, 4_000, packed=b"")[8:33]),
    "a beginning alone": lambda: b"\x89PNG\r\n\x1a\n", "nothing": lambda: b"",
}.items():  # fmt: skip
    canvas_trick(_name, lambda draw, data=_data: canvas(data()))

for _name, _value in {
    "a list": [1], "words": "words", "a number": 7, "nothing at all": "null", "no JSON": "{no",
    "NaN": "NaN", "a number beyond any": '{"drawing":1e999}', "a list for a drawing": {
        "drawing": [1]}, "a list for data": sent([1]), "data in each other": sent(sent(sent(1))),
    "brackets": "[" * 100_000, "closed brackets": "[" * 5_000 + "]" * 5_000,
    "a number of a million digits": '{"drawing":' + "9" * 1_000_000 + "}",
    "a fit that is none": {"drawing": None, "backgroundFit": [1]},
    "another address": sent("https://example.org/1.png"), "a file": sent("file:///etc/passwd"),
    "no base64": sent(PNG + "~" * 100), "twenty megabytes of letters": sent(PNG + "A" * (20 << 20)),
    "half a letter": '{"drawing":{"data":"\\ud800"}}',
    "strokes that are none": sent(None, [1, "x", None, [[]]]),
    "a picture for a stroke": sent(None, [{"type": "Image", "src": "file:///etc/passwd"}]),
    "a million strokes": sent(None, [{}] * 1_000_000),
    "a stroke without end": sent(None, [{"type": "Path", "path": [["L", 1, 2]] * 60_000}]),
    "keys without number": {str(n): n for n in range(100_000)},
    "lists without number": "[" + "[]," * 600_000 + "[]]",
}.items():  # fmt: skip
    canvas_trick(_name, lambda draw, value=_value: message(value))

for _kind, _value in {"bool_value": True, "int_value": 7, "bytes_value": b"x", "string_value": "x",
                      "double_value": float("nan")}.items():
    canvas_trick(f"{_kind} for a drawing", lambda draw, kind=_kind, value=_value: message(
        value, kind))


# Labels.

for _name, _labels in {
    "fractions": np.arange(30) % 3 + 0.5, "infinities": np.full(30, np.inf),
    "words": np.array(["a", "b", "c"] * 10), "bytes": np.array([b"a", b"b\0"] * 15),
    "dates": np.arange(30).astype("M8[s]"), "complex": np.arange(30) % 3 * 1j,
    "one class": np.zeros(30, int), "no labels": np.zeros(0, int), "a single number": np.array(3),
    "many dimensions": np.zeros((30, 1, 1, 1), int), "as many as a column": np.zeros((1, 30), int),
    "too few": np.arange(29) % 3, "too many": np.arange(31) % 3, "negative": -(np.arange(30) % 3),
    "the ends of whole numbers": np.array([-2**63, 2**63 - 1, 0] * 10),
    "half floats": (np.arange(30) % 3).astype("f2"), "the other order": (np.arange(30) % 3).astype(
        ">i8"), "yes and no": np.arange(30) % 2 > 0, "fields": np.zeros(30, [("a", "i4")]),
    "empty words": np.array([""] * 30), "a class a row": np.arange(30),
    "objects": np.array([hostile.Canary()] * 30, dtype=object),
    "another shape than there are numbers": shaped("(30, 99999999)", "<i8", data=bytes(240)),
    "a shape that is none": shaped("(30, 'x')", "<i8", data=bytes(240)),
    "a kind that is none": shaped("(30,)", "<i3", data=bytes(240)),
    "padding": b"\x93NUMPY\1\0\xff\xff" + b" " * 65_535, "no array": b"labels",
}.items():  # fmt: skip
    def _make(draw, labels=_labels):
        which = draw.choice((("y_train",), ("y_test",), ("y_train", "y_test")))
        return npz(**dict.fromkeys(which, labels))

    _make.__name__ = _name
    hostile.TRICKS["labels"].append(_make)


# Links to Google Drive.

DRIVE = "https://drive.google.com/"

for _link in (
    "", " ", "\n", "drive.google.com", "https://", "https://drive.google.com.example.org/a",
    "http://drive.google.com@example.org/", "https://example.org/?https://drive.google.com/",
    "file:///etc/passwd", "ftp://drive.google.com/a", "javascript:alert(1)", "//drive.google.com/a",
    "https://drive.google.com:99999999/a", "https://[drive.google.com/", "https://\udcff/",
    DRIVE, DRIVE + "file/d/", DRIVE + "file/d/../../../../canary/view", DRIVE + "open?id=",
    DRIVE + "drive/folders/" + "A" * 100_000, DRIVE + "drive/folders/\0", DRIVE + "uc?id=%00%0a",
    DRIVE + "file/d/\u202e\ud800/view", DRIVE + "a\r\nHost: example.org", "\ufeff" + DRIVE,
    DRIVE.upper() + "FILE", DRIVE * 1000, "а" + DRIVE[1:], "https://drive。google。com/a",
):
    def _make(draw, link=_link):
        return link.encode("utf-8", "surrogatepass")

    _make.__name__ = f"link {_link[:30]!a}" + f" ({len(_link)})"
    hostile.TRICKS["link"].append(_make)


# Arguments of the command line.

PATHS = (
    "", ".", "/", "/dev/null", "/dev/zero", "/proc/self/mem", "/dev/full", "x" * 300 + ".npz",
    "a/" * 3_000 + "a.npz", "\udcff.npz", "a\nb.npz", "\x1b[31m.npz", "\u202e.npz", "~nobody/a.npz",
    "$(touch canary).npz", "http://localhost/a.npz", "..", "../canary.npz", "C:\\canary.npz",
    "%s%n.npz", "{0}.npz", "*.npz", "canary\u0000.npz".replace("\0", "\x01"), "mnist+given+given",
)  # fmt: skip
COMMANDS = (
    ("run", "PATH", "--forget", "class:0", "--method", "retrain"),
    ("compare", "PATH", "--forget", "class:0"), ("train", "PATH"),
    ("verify", "PATH", "--model", "PATH", "--data", "PATH"), ("ledger", "verify", "--against",
                                                             "PATH"),
    ("trace", "PATH"), ("erase", "PATH"), ("fetch", "PATH"), ("trace", "Ana", "--like", "PATH"),
    ("run", "mnist", "--forget", "PATH", "--method", "PATH"),
)  # fmt: skip

for _number, _path in enumerate(PATHS):
    def _make(draw, path=_path, number=_number):
        command = COMMANDS[number % len(COMMANDS)] if number < 2 else draw.choice(COMMANDS)
        return line([path if word == "PATH" else word for word in command])

    _make.__name__ = f"path {_path[:20]!a} ({len(_path)})"
    hostile.TRICKS["arguments"].append(_make)


if __name__ == "__main__":
    hostile.main()
