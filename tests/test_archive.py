"""Photos out of zips and folders: what is in them comes out, and nothing in them does harm."""

import io
import os
import stat
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget.core.errors import BadInput
from forget.data import archive
from forget.data.findings import grouped, in_short

PEOPLE = {"Anna/1.jpg": b"a1", "Anna/2.jpg": b"a2", "Ben/1.png": b"b1"}


def photos_from_zip(*given):
    """The photos, and what is said of the rest in short."""
    photos, findings = archive.photos_from_zip(*given)
    return photos, [in_short(group) for group in grouped(findings)]


def photos_from_folder(*given, **how):
    """The same of a folder."""
    photos, findings = archive.photos_from_folder(*given, **how)
    return photos, [in_short(group) for group in grouped(findings)]


def zipped(files, how=zipfile.ZIP_STORED) -> bytes:
    """A zip of files by name or by ZipInfo."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry


def names(found) -> list[str]:
    photos, _ = found
    return [photo.name for photo in photos]


def entry_at(data: bytes, name: str) -> int:
    """Where a name's entry begins in a zip's list of entries."""
    return data.rindex(name.encode()) - 46


def changed(data: bytes, at: int, form: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(form, out, at, value)
    return bytes(out)


# Zips.


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_folder_a_person_comes_out_with_the_photos_bytes(how):
    photos, findings = photos_from_zip(zipped(PEOPLE, how))
    assert {photo.name: photo.data for photo in photos} == PEOPLE
    assert [photo.person for photo in photos] == ["Anna", "Anna", "Ben"]
    assert findings == []


def test_one_folder_around_all_people_is_taken_off():
    inside = {f"My photos/{name}": data for name, data in PEOPLE.items()}
    assert names(photos_from_zip(zipped(inside))) == list(PEOPLE)
    photos, findings = photos_from_zip(zipped(inside | {"README.txt": b"", "My photos/x.jpg": b""}))
    assert [photo.name for photo in photos] == list(PEOPLE)
    assert len(findings) == 2


def test_the_only_person_is_not_taken_off():
    files = {"Anna/1.jpg": b"1", "Anna/holiday/2.jpg": b"2"}
    photos, findings = photos_from_zip(zipped(files))
    assert [(photo.person, photo.name) for photo in photos] == [("Anna", "Anna/1.jpg")]
    assert findings == [f"“Anna/holiday/2.jpg” is left out: {archive.TOO_DEEP}"]
    assert names(photos_from_zip(zipped({"all/Anna/1.jpg": b"1"}))) == ["Anna/1.jpg"]


def test_the_order_is_natural():
    files = {f"s{person}/{number}.pgm": b"" for person in (10, 2) for number in (11, 3)}
    assert names(photos_from_zip(zipped(files))) == [
        "s2/3.pgm", "s2/11.pgm", "s10/3.pgm", "s10/11.pgm"]  # fmt: skip


@pytest.mark.parametrize("junk", [
    "__MACOSX/Anna/._1.jpg", "Anna/.DS_Store", ".DS_Store", "Anna/Thumbs.db", "Anna/._1.jpg",
    "desktop.ini", ".git/1.jpg",
])  # fmt: skip
def test_what_an_operating_system_left_is_skipped_without_a_word(junk):
    photos, findings = photos_from_zip(zipped(PEOPLE | {junk: b"?"}))
    assert (len(photos), findings) == (3, [])


@pytest.mark.parametrize("path", [
    "../evil/1.jpg", "Anna/../../1.jpg", "/etc/1.jpg", "C:/x/1.jpg", "c:\\x\\1.jpg",
    "..\\evil\\1.jpg", "\\\\server\\share\\1.jpg",
])  # fmt: skip
def test_a_path_that_leads_out_is_left_out(path):
    photos, findings = photos_from_zip(zipped(PEOPLE | {path: b"?"}))
    assert [photo.name for photo in photos] == list(PEOPLE)
    assert len(findings) == 1 and archive.LEADS_OUT in findings[0]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_left_out(kind):
    photos, findings = photos_from_zip(zipped(
        PEOPLE | {special("Anna/link.jpg", kind | 0o777): b"/etc/passwd"}))
    assert [photo.name for photo in photos] == list(PEOPLE)
    assert len(findings) == 1 and archive.NOT_PLAIN in findings[0]


def test_backslashes_separate_too_and_dots_are_nothing():
    files = {"all\\Anna\\1.jpg": b"1", "./all/./Ben/1.jpg": b"2"}
    assert names(photos_from_zip(zipped(files))) == ["Anna/1.jpg", "Ben/1.jpg"]


def test_files_that_are_no_pictures_are_counted_in_one_sentence():
    more = {f"Anna/{number}.txt": b"" for number in range(5)}
    photos, findings = photos_from_zip(zipped(PEOPLE | more))
    assert len(photos) == 3
    assert findings == ["5 other files are left out (“Anna/0.txt”, “Anna/1.txt”, “Anna/2.txt” and "
                        f"2 more): {archive.NO_PICTURE}"]


def test_only_what_could_be_a_photo_is_counted_as_one_that_is_left_out():
    _, findings = archive.photos_from_zip(zipped(PEOPLE | {
        "notes.txt": b"?", "../out/1.jpg": b"?", "alone.jpg": b"?", "Anna/deep/1.jpg": b"?"}))
    assert {one.about: one.photos for one in findings} == {
        "“notes.txt”": 0, "“../out/1.jpg”": 0, "“alone.jpg”": 1, "“Anna/deep/1.jpg”": 1}


def test_a_folder_too_deep_is_no_photo(folder):
    (folder / "Anna" / "deep").mkdir()
    (finding,) = archive.photos_from_folder(folder)[1]
    assert (finding.about, finding.photos) == ("“Anna/deep”", 0)


def test_a_photo_without_a_folder_is_told():
    photos, findings = photos_from_zip(zipped(PEOPLE | {"x.jpg": b""}))
    assert len(photos) == 3
    assert findings == [f"“x.jpg” is left out: {archive.NO_FOLDER}"]


@pytest.mark.parametrize("person", ["Zoë", "李小龍", "محمد", "a,b: c", "🙂", "O'Neil & Søn"])
def test_names_in_utf8(person):
    (photo,), findings = photos_from_zip(zipped({f"{person}/1.jpg": b""}))
    assert (photo.person, findings) == (person, [])


@pytest.mark.parametrize(("raw", "person"), [
    ("Zoë".encode("cp437"), "Zoë"), ("Zoë".encode(), "Zoë"), ("李".encode(), "李"),
])  # fmt: skip
def test_names_that_are_not_marked_as_utf8_are_either(raw, person):
    data = zipped({"N" * len(raw) + "/1.jpg": b"x"}).replace(b"N" * len(raw), raw)
    (photo,), _ = photos_from_zip(data)
    assert photo.person == person


def unicode_path(raw: bytes, name: bytes, version=1, crc=None) -> bytes:
    """The extra field with a name in UTF-8 beside another one."""
    field = struct.pack("<BL", version, zlib.crc32(raw) if crc is None else crc) + name
    return struct.pack("<HH", 0x7075, len(field)) + field


def named(raw: bytes, extra: bytes = b"") -> bytes:
    """A zip of one photo whose name has these bytes and no flag."""
    entry = zipfile.ZipInfo("N" * len(raw))
    entry.extra = extra
    return zipped({entry: b"x"}).replace(b"N" * len(raw), raw)


@pytest.mark.parametrize(("raw", "person"), [
    (b"____/1.jpg", "李小龍"), (b"Jos\x82/1.jpg", "José"), ("Анна/1.jpg".encode("cp866"), "Анна"),
])  # fmt: skip
def test_the_unicode_path_field_goes_before_the_name(raw, person):
    data = named(raw, unicode_path(raw, f"{person}/1.jpg".encode()))
    (photo,), findings = photos_from_zip(data)
    assert (photo.person, photo.name, findings) == (person, f"{person}/1.jpg", [])
    evil = unicode_path(raw, f"../{person}/1.jpg".encode())
    assert photos_from_zip(named(raw, evil))[0] == []


@pytest.mark.parametrize("extra", [
    unicode_path(b"another name", b"Ben/1.jpg"), unicode_path(b"Anna/1.jpg", b"Ben/1.jpg", 2),
    unicode_path(b"Anna/1.jpg", b""),
], ids=["of another name", "of another version", "empty"])
def test_a_unicode_path_field_that_is_not_for_this_name_is_nothing(extra):
    (photo,), findings = photos_from_zip(named(b"Anna/1.jpg", extra))
    assert (photo.person, findings) == ("Anna", [])


def test_a_unicode_path_field_without_anything_in_it_is_nothing_or_a_sentence():
    """From Python 3.12 on the standard library refuses such a zip."""
    try:
        (photo,), findings = photos_from_zip(named(b"Anna/1.jpg", struct.pack("<HH", 0x7075, 0)))
    except BadInput as error:
        assert sys.version_info >= (3, 12) and "this zip is damaged" in str(error)
    else:
        assert (photo.person, findings) == ("Anna", [])


@pytest.mark.parametrize(("person", "encoding"), [
    ("Анна", "cp866"), ("Ева", "cp866"), ("Анна", "cp1251"), ("太郎", "cp932"), ("李小龍", "gbk"),
    ("김철수", "cp949"), ("Müller", "cp1252"), ("Ángel", "cp850"), ("דוד", "cp862"),
    ("Łukasz", "cp852"), ("Adrián", "cp1252"), ("Tomáš", "cp1250"), ("Bąk", "cp852"),
])
def test_names_in_an_encoding_that_nobody_tells_are_a_sentence(person, encoding):
    photos, findings = photos_from_zip(named(f"{person}/1.jpg".encode(encoding)))
    assert photos == []
    assert len(findings) == 1 and archive.NO_NAME in findings[0]


def test_what_could_be_a_name_is_read_and_told():
    (photo,), findings = photos_from_zip(named("Zoë/1.jpg".encode("cp437")))
    assert photo.person == "Zoë"
    assert len(findings) == 1 and "read as “Zoë”: look whether that is right" in findings[0]


def test_a_photos_own_name_may_be_in_any_encoding():
    (photo,), findings = photos_from_zip(named("Anna/фото.jpg".encode("cp866")))
    assert (photo.person, photo.name, findings) == ("Anna", "Anna/\ufffd\ufffd\ufffd\ufffd.jpg", [])


# What is a picture.

PICTURES = {
    "1.jfif": b"\xff\xd8\xff\xe0", "2.jpe": b"\xff\xd8\xff\xe1", "3.pjpeg": b"", "4.mpo": b"",
    "5": b"\x89PNG\r\n\x1a\n", "6.bak": b"GIF89a", "7.photo": b"RIFF\0\0\0\0WEBPVP8 ",
    "8.dat": b"BM\0\1\0\0\0\0\0\0", "9.raw": b"P5\n9 9\n", "10.tmp": b"\0\0\0\x18ftypheic",
}  # fmt: skip


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pictures_are_known_by_what_is_in_them(how, tmp_path):
    others = {"Anna/notes": b"BMW, P5 and RIFF", "Anna/a.txt": b"", "Anna/b.doc": b"MM\0"}
    files = {f"Anna/{name}": data for name, data in PICTURES.items()} | others
    photos, findings = photos_from_zip(zipped(files, how))
    assert [photo.name for photo in photos] == [f"Anna/{name}" for name in PICTURES]
    assert len(findings) == 1 and findings[0].startswith("3 other files are left out")
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert photos_from_folder(tmp_path)[0] == photos


def test_a_name_with_signs_that_nobody_sees_is_shown_with_a_mark():
    _, findings = photos_from_zip(zipped(PEOPLE | {"a\x1b[31m.txt": b""}))
    assert findings == [f"“a\ufffd[31m.txt” is left out: {archive.NO_PICTURE}"]


@pytest.mark.parametrize("data", [
    b"", b"PK", b"no zip at all" * 100, b"PK\5\6" + bytes(10), zipped(PEOPLE)[:-30],
    zipped(PEOPLE)[100:], zipped(PEOPLE).replace(b"a1", b"??"),
])  # fmt: skip
def test_a_damaged_zip_is_refused(data):
    with pytest.raises(BadInput, match="damaged"):
        photos_from_zip(data)


def test_an_encrypted_zip_is_refused():
    data = zipped(PEOPLE)
    with pytest.raises(BadInput, match="without a password"):
        photos_from_zip(changed(data, entry_at(data, "Anna/2.jpg") + 8, "<H", 1))


def test_an_empty_zip_has_no_photos():
    assert photos_from_zip(zipped({})) == ([], [])


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 400))
def test_any_bytes_give_photos_or_one_known_error(noise, start, length):
    """Bytes of a zip replaced by others, also in the middle of its records."""
    data = zipped(PEOPLE, zipfile.ZIP_DEFLATED)
    for broken in (noise, data[:start] + noise + data[start + length :]):
        try:
            photos, findings = photos_from_zip(broken)
        except BadInput as error:
            assert "\n" not in str(error)
        else:
            assert all(photo.person and photo.name for photo in photos)
            assert all(len(sentence.splitlines()) == 1 for sentence in findings)


# Zips that would fill memory.


def test_a_photo_over_the_limit_is_left_out(monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    photos, findings = photos_from_zip(zipped(PEOPLE | {"Anna/3.jpg": bytes(11)}))
    assert len(photos) == 3
    assert archive.TOO_LARGE in findings[0]


def test_what_is_packed_too_tightly_is_left_out():
    bomb = zipped(PEOPLE | {"Anna/3.jpg": bytes(5 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    photos, findings = photos_from_zip(bomb)
    assert len(photos) == 3
    assert archive.TOO_TIGHT in findings[0]


def test_photos_that_are_too_much_together_are_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL", 5)
    with pytest.raises(BadInput, match="together"):
        photos_from_zip(zipped(PEOPLE))
    monkeypatch.setattr(archive, "MAX_TOTAL", 6)
    assert len(photos_from_zip(zipped(PEOPLE))[0]) == 3


def test_too_many_entries_are_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(BadInput, match="more than 2 files"):
        photos_from_zip(zipped(PEOPLE))


def test_a_list_of_entries_that_is_too_long_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(archive, "MAX_DIRECTORY", 100)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BadInput, match="files"):
        photos_from_zip(ZIP)


ZIP = zipped(PEOPLE)


@pytest.mark.parametrize("declared", [1, 1 << 19])
def test_a_size_that_is_a_lie_is_found_while_reading(declared):
    """An entry that says it is small and unpacks to 1 MB, or the other way round."""
    data = zipped({"Anna/1.jpg": bytes(1 << 18)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(BadInput, match="damaged"):
        photos_from_zip(changed(data, entry_at(data, "Anna/1.jpg") + 24, "<L", declared))


def test_entries_that_share_their_bytes_are_refused():
    """As in a bomb whose thousand entries all unpack the same bytes (Fifield 2019)."""
    data = zipped({"Anna/1.jpg": os.urandom(5000)})
    at = entry_at(data, "Anna/1.jpg")
    end = data.rindex(b"PK\5\6")
    one = data[at:end]
    tail = bytearray(data[end:])
    struct.pack_into("<HHL", tail, 8, 3, 3, 3 * len(one))
    with pytest.raises(BadInput, match="damaged"):
        photos_from_zip(data[:at] + 3 * one + bytes(tail))


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_left_out(how):
    photos, findings = photos_from_zip(zipped(PEOPLE, how))
    assert photos == []
    assert len(findings) == 1 and archive.OTHER_PACKING in findings[0]


def test_a_zip_in_a_zip_is_no_picture():
    photos, findings = photos_from_zip(zipped({"Anna/inner.zip": ZIP}))
    assert photos == []
    assert archive.NO_PICTURE in findings[0]


def test_nothing_is_written_to_disk(tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    photos_from_zip(zipped(PEOPLE | {"../x/1.jpg": b"", "/x/1.jpg": b""}))
    assert list(tmp_path.rglob("*")) == []


def test_the_checksum_is_believed_before_the_photo():
    data = zipped({"Anna/1.jpg": b"x" * 100})
    at = entry_at(data, "Anna/1.jpg") + 16
    with pytest.raises(BadInput, match="damaged"):
        photos_from_zip(changed(data, at, "<L", zlib.crc32(b"y")))


# Folders.


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with PEOPLE in it."""
    for name, data in PEOPLE.items():
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "people"


def test_a_folder_gives_what_its_zip_gives(folder):
    assert photos_from_folder(folder) == photos_from_zip(ZIP)


def test_what_is_no_photo_in_a_folder_is_told(folder):
    for name in ("x.jpg", "notes.txt", "Anna/notes.txt", "Anna/deep/1.jpg", ".hidden/1.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    photos, findings = photos_from_folder(folder)
    assert len(photos) == 3
    assert findings == [
        f"“Anna/deep” is left out: {archive.TOO_DEEP}",
        f"2 other files are left out (“Anna/notes.txt” and “notes.txt”): {archive.NO_PICTURE}",
        f"“x.jpg” is left out: {archive.NO_FOLDER}",
    ]


def test_links_out_of_the_folder_are_not_followed(folder, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "1.jpg").write_bytes(b"secret")
    (folder / "Carl").symlink_to(tmp_path / "secret")
    (folder / "Anna" / "3.jpg").symlink_to(tmp_path / "secret" / "1.jpg")
    (folder / "Anna" / "4.jpg").symlink_to("4.jpg")
    (folder / "Anna" / "5.jpg").symlink_to("nowhere.jpg")
    photos, findings = photos_from_folder(folder)
    assert [photo.name for photo in photos] == list(PEOPLE)
    assert findings == ["4 other files are left out (“Anna/3.jpg”, “Anna/4.jpg”, “Anna/5.jpg” and "
                        f"1 more): {archive.NOT_PLAIN}"]


def test_links_within_the_folder_are(folder):
    (folder / "Anna" / "3.jpg").symlink_to(folder / "Ben" / "1.png")
    (folder / "Carl").symlink_to("Ben")
    photos, findings = photos_from_folder(folder)
    assert {photo.name: photo.data for photo in photos} == PEOPLE | {
        "Anna/3.jpg": b"b1", "Carl/1.png": b"b1"}  # fmt: skip
    assert findings == []


def test_a_folder_may_be_a_link_itself(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert photos_from_folder(tmp_path / "link") == photos_from_zip(ZIP)


def test_special_files_are_not_opened(folder):
    os.mkfifo(folder / "Anna" / "3.jpg")
    photos, findings = photos_from_folder(folder)
    assert len(photos) == 3
    assert archive.NOT_PLAIN in findings[0]


def test_sizes_are_limited_in_folders_too(folder, monkeypatch):
    (folder / "Anna" / "3.jpg").write_bytes(bytes(11))
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    photos, findings = photos_from_folder(folder)
    assert len(photos) == 3
    assert archive.TOO_LARGE in findings[0]
    monkeypatch.setattr(archive, "MAX_TOTAL", 5)
    with pytest.raises(BadInput, match="together"):
        photos_from_folder(folder)


def test_people_with_few_photos_may_be_passed_over(folder):
    assert names(photos_from_folder(folder, at_least=2)) == ["Anna/1.jpg", "Anna/2.jpg"]


def test_a_file_that_may_not_be_read_is_told(folder, monkeypatch):
    real = os.open

    def opened(path, *how, **more):
        if str(path).endswith("2.jpg"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *how, **more)

    monkeypatch.setattr(archive.os, "open", opened)
    photos, findings = photos_from_folder(folder)
    assert [photo.name for photo in photos] == ["Anna/1.jpg", "Ben/1.png"]
    assert findings == ["“Anna/2.jpg” is left out: it cannot be read (Permission denied)"]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        photos_from_folder(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="names are bytes only on Unix")
def test_names_that_are_no_text_can_be_told(folder):
    (folder / os.fsdecode(b"\xff")).mkdir()
    (folder / os.fsdecode(b"\xff/\xfe.txt")).write_bytes(b"")
    _, findings = photos_from_folder(folder)
    assert findings == [f"“\ufffd/\ufffd.txt” is left out: {archive.NO_PICTURE}"]


@pytest.mark.timeout(20)
def test_a_file_that_does_not_answer_is_not_waited_for(tmp_path):
    """As the kernel's log under /proc, once it has been read: a dataset may be named "/"."""
    os.mkfifo(tmp_path / "log")
    assert archive._beginning(tmp_path / "log", 10) == b""
    (tmp_path / "file").write_bytes(b"0123456789abc")
    assert archive._beginning(tmp_path / "file", 10) == b"0123456789"

