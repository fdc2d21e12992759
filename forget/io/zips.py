"""What zips say in more than one way: how long their list of entries is, and what these are called.

Both are looked at here because Python's own answers are not the same in all its versions.
"""

import struct
import unicodedata
import zipfile
import zlib
from typing import BinaryIO

MAX_DIRECTORY = 4 << 20
"""Bytes of a zip's own list of entries, which is read as a whole."""

REMARK = 1 << 16
END, LOCATOR, END64 = 22, 20, 56
"""Lengths of the last record (signature PK 5 6), of what stands before it in a zip of 64 bits
(PK 6 7), and of the record before that (PK 6 6)."""


def directory_size(file: BinaryIO) -> int:
    """Length of a zip's list of entries in bytes, the larger where its two records differ.

    The 32-bit record has it in its bytes 12 to 15, the 64-bit one in 40 to 47, and that one is
    believed before the other.  Raises :class:`zipfile.BadZipFile` where there is no end record.
    """
    length = file.seek(0, 2)
    file.seek(max(0, length - REMARK - END - LOCATOR - END64))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < END:
        raise zipfile.BadZipFile("no end record")
    (size,) = struct.unpack_from("<L", tail, at + 12)
    at64 = at - LOCATOR - END64
    if at64 >= 0 and tail[at64:at64 + 4] == b"PK\6\6":
        (size64,) = struct.unpack_from("<Q", tail, at64 + 40)
        size = max(0 if size == 0xFFFFFFFF else size, size64)
    return size


UTF8 = 0x800
"""The flag of an entry whose name is UTF-8."""

UNICODE_PATH = 0x7075
"""The extra field with an entry's name in UTF-8, beside a name in a legacy encoding."""

AMBIGUOUS = "ß"
"""In cp437 what an á is in Windows' encodings."""


def path_of(entry: zipfile.ZipInfo) -> str | None:
    """An entry's path with forward slashes, None where its encoding is not told.

    It is told by a flag, by the Unicode path field where that was made for this very name, and by
    the bytes themselves where they are UTF-8, which several programs write without saying so.
    """
    if entry.flag_bits & UTF8:
        return _slashed(entry.orig_filename)
    raw = entry.orig_filename.encode("cp437")
    name = _field(entry.extra, raw) or _utf8(raw)
    return None if name is None else _slashed(name)


def guessed_path(entry: zipfile.ZipInfo) -> str:
    """The path of an entry whose encoding is not told: each part that could be right in cp437, the
    format's own, and the others with a sign for every byte that is no ASCII.

    >>> entry = zipfile.ZipInfo("Zo\\u00eb/\\u2565/1.jpg")
    >>> guessed_path(entry)
    'Zoë/\ufffd/1.jpg'
    """
    return "/".join(part if _could_be_right(part) else
                    part.encode("cp437").decode("ascii", "replace")
                    for part in _slashed(entry.orig_filename).split("/"))


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


def _field(extra: bytes, raw: bytes) -> str | None:
    """The name in the Unicode path field: version 1, the CRC of the other name, and UTF-8."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4:4 + length], extra[4 + length:]
        if kind == UNICODE_PATH and field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            return _utf8(field[5:])
    return None


def _utf8(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _could_be_right(name: str) -> bool:
    """Whether it is of Latin letters with few accents in each word, as names are.

    >>> [_could_be_right(name) for name in ("Zoë Müller", "æ╛ÿY", "Ç¡¡á", "àóá", "TomßÜ", "BÑk")]
    [True, False, False, False, False, False]
    """
    if not all(sign.isalpha() or sign.isascii() for sign in name):
        return False
    words = "".join(sign if sign.isalpha() else " " for sign in name).split()
    return all(map(_could_be_a_word, words))


def _could_be_a_word(word: str) -> bool:
    accents = [sign for sign in word if not sign.isascii()]
    if 2 * len(accents) > len(word) or AMBIGUOUS in accents:
        return False
    if any(sign.isupper() and not sign.isascii() for sign in word[1:]) and not word.isupper():
        return False
    return all(unicodedata.name(sign, "").startswith("LATIN ") for sign in accents)
