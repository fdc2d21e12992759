"""Folders of kept photos that somebody else put there, or changed."""

import pytest

from forget.data.kept import NAME, folder, folder_of, kept_people, kept_photos
from forget.records import trace
from tests import hostile


def photo_in(place) -> None:
    place.mkdir(parents=True)
    (place / "1.png").write_bytes(hostile.png(8, 8))


@pytest.mark.parametrize("said", [
    b"\xff\xfe", b"", b"A\x1b[2J", b"x" * 100_000, b"x" * 81], ids=lambda said: repr(said[:5]))
def test_a_file_that_says_no_name_is_not_believed(home, said):
    photo_in(folder() / "Ana")
    (folder() / "Ana" / NAME).write_bytes(said)
    assert kept_people() == {"Ana"}
    assert [photo.person for photo in kept_photos()] == ["Ana"]


def test_a_file_that_says_a_name_is_believed(home):
    place = folder_of("A/B")
    photo_in(place)
    (place / NAME).write_text("A/B")
    assert kept_people() == {"A/B"}


def test_a_link_is_nobodys_folder(home, tmp_path):
    photo_in(tmp_path / "elsewhere")
    folder().mkdir(parents=True)
    (folder() / "Ana").symlink_to(tmp_path / "elsewhere")
    assert kept_people() == set()
    assert trace.held("Ana").empty and kept_photos() == []
    photo_in(folder() / "Bo")
    (folder() / "Bo" / NAME).symlink_to("/etc/hostname")
    assert kept_people() == {"Bo"}
