"""What is looked at in a zip before its list of entries is read: how long that list is."""

import struct
import zipfile
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
