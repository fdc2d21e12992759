"""What is known of a photo is computed once, kept whole, and erased without a trace."""

import hashlib
import logging
import re
from pathlib import Path

import made_up
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Other, Small, photo

from forget.core.errors import BadImage, BadInput, Cancelled
from forget.faces import Embedded, Face, embed
from forget.faces.embed import (
    all_kept,
    choose,
    embed_face,
    erase,
    folder_of,
    key_of,
    pick,
    try_embed,
)
from forget.io.paths import downloads

PHOTOS = [photo(seed) for seed in range(5)]
NONE, TWO_ALIKE, ONE_LARGER = photo(10, faces=0), photo(11, 2, 0.8), photo(12, 2, 0.4)


@pytest.fixture(autouse=True)
def looked(monkeypatch, home) -> list:
    """Made-up faces, an empty home, and every picture that was looked at."""
    seen = []

    def find_faces(photos):
        seen.extend(photos)
        return made_up.find_faces(photos)

    monkeypatch.setattr(embed, "find_faces", find_faces)
    monkeypatch.setattr(embed, "aligned", made_up.aligned)
    return seen


def kept_files() -> list[Path]:
    return [path for path in (downloads() / "embeddings").rglob("*") if path.is_file()]


def same(one: Embedded, other: Embedded) -> bool:
    tensors = [(one.picture, other.picture), (one.row, other.row), (one.look, other.look)]
    return (one.key, one.faces, one.chosen) == (other.key, other.faces, other.chosen) and all(
        a is b is None or torch.equal(a, b) for a, b in tensors)


# One photo.


def test_all_that_is_known_of_a_photo():
    (one,) = embed.embed(PHOTOS[:1], Small(), keep=False)
    assert one.key == hashlib.sha256(PHOTOS[0]).hexdigest() == key_of(PHOTOS[0])
    assert (len(one.faces), one.chosen) == (1, 0)
    assert (tuple(one.picture.shape), one.picture.dtype) == ((3, 96, 96), torch.uint8)
    assert (tuple(one.row.shape), one.row.dtype) == ((12,), torch.float32)
    assert (tuple(one.look.shape), one.look.dtype) == ((48, 48), torch.uint8)
    assert not one.row.is_inference()


def test_the_picture_is_the_aligned_face():
    (one,) = embed.embed(PHOTOS[:1], Small(), keep=False)
    crop = made_up.aligned(made_up.picture(0), one.faces[0]).float()
    means = torch.nn.functional.adaptive_avg_pool2d
    assert (means(one.picture.float(), 4) - means(crop, 4)).abs().max() < 3


def test_a_photo_without_a_face_and_one_with_several_have_no_row():
    none, several = embed.embed([NONE, TWO_ALIKE], Small(), keep=False)
    assert (none.faces, none.chosen, none.picture, none.row) == ((), None, None, None)
    assert (len(several.faces), several.chosen, several.row) == (2, None, None)


@pytest.mark.parametrize(("areas", "chosen"), [
    ((), None), ((1,), 0), ((4, 2), 0), ((4, 2.01), None), ((4, 1.9, 1.8), 0), ((4, 4), None),
    ((0,), 0),
])  # fmt: skip
def test_the_largest_face_is_chosen_where_it_has_twice_the_area_of_the_second(areas, chosen):
    assert choose([Face((0, 0, area, 1), (), 1.0) for area in areas]) == chosen


def test_a_clearly_larger_face_is_the_one_meant():
    (one,) = embed.embed([ONE_LARGER], Small(), keep=False)
    picture, row = embed_face(made_up.picture(12, 2, 0.4), one.faces[0], Small())
    assert one.chosen == 0
    assert torch.equal(one.picture, picture) and torch.equal(one.row, row)


def test_a_row_does_not_depend_on_the_photos_beside_it():
    together = embed.embed(PHOTOS, Small(), keep=False)
    alone = [embed.embed([data], Small(), keep=False)[0] for data in reversed(PHOTOS)]
    assert all(map(same, together, reversed(alone)))


def test_a_photo_that_cannot_be_read_is_an_error_in_its_place(looked):
    broken = PHOTOS[0][:200]
    one, error, two = try_embed([PHOTOS[0], broken, PHOTOS[1]], Small(), keep=True)
    assert isinstance(error, BadImage) and error.__traceback__ is None
    assert isinstance(one, Embedded) and isinstance(two, Embedded)
    assert len(kept_files()) == 2
    with pytest.raises(BadImage, match="damaged"):
        embed.embed([PHOTOS[0], broken], Small(), keep=True)


def test_a_face_that_cannot_be_aligned_is_an_error_in_its_place(monkeypatch):
    def refuse(image, face):
        raise BadImage("all points in one place")

    monkeypatch.setattr(embed, "aligned", refuse)
    (error,) = try_embed(PHOTOS[:1], Small(), keep=True)
    assert isinstance(error, BadImage)
    assert kept_files() == []


def test_no_photos_give_nothing():
    assert embed.embed([], Small, keep=True) == []


# Another face.


def test_another_face_can_be_picked(looked):
    (one,) = embed.embed([TWO_ALIKE], Small(), keep=False)
    known = {}
    first, second = (pick(TWO_ALIKE, one, face, Small(), known) for face in (0, 1))
    assert (first.chosen, second.chosen) == (0, 1)
    assert first.faces == second.faces == one.faces
    assert not torch.equal(first.row, second.row)
    before = len(looked)
    assert same(pick(TWO_ALIKE, one, 1, Small(), known), second)
    assert len(looked) == before


def test_the_face_that_was_chosen_can_be_picked_at_no_cost(looked):
    (one,) = embed.embed([ONE_LARGER], Small(), keep=False)
    assert pick(ONE_LARGER, one, 0, Small(), {}) is one
    assert len(looked) == 1


@pytest.mark.parametrize("face", [-1, 2, 100])
def test_a_face_that_is_not_there_cannot_be_picked(face):
    (one,) = embed.embed([TWO_ALIKE], Small(), keep=False)
    with pytest.raises(BadImage, match="one of its 2"):
        pick(TWO_ALIKE, one, face, Small(), {})


# What is kept.


def test_what_is_kept_is_what_was_computed_and_nothing_is_looked_at_again(looked):
    photos = [*PHOTOS, NONE, TWO_ALIKE, ONE_LARGER]
    first = embed.embed(photos, Small(), keep=True)
    assert len(looked) == len(photos)
    again = embed.embed(photos, Small(), keep=True)
    assert len(looked) == len(photos)
    assert all(map(same, first, again))


def test_equal_photos_are_looked_at_once(looked):
    found = embed.embed([PHOTOS[0], PHOTOS[1], PHOTOS[0], PHOTOS[0]], Small(), keep=False)
    assert len(looked) == 2
    assert found[0] is found[2] is found[3]


def test_nothing_is_written_or_read_without_keep(looked, home):
    embed.embed(PHOTOS, Small(), keep=False)
    assert not home.exists() or kept_files() == []
    embed.embed(PHOTOS, Small(), keep=True)
    embed.embed(PHOTOS, Small(), keep=False)
    assert len(looked) == 3 * len(PHOTOS)


def test_what_lives_in_memory_is_looked_up_first(looked):
    known = {}
    first = embed.embed(PHOTOS, Small(), keep=False, known=known)
    again = embed.embed(PHOTOS, Small(), keep=False, known=known)
    assert len(looked) == len(PHOTOS)
    assert all(a is b for a, b in zip(first, again, strict=True))
    embed.embed(PHOTOS, Other(), keep=False, known=known)
    assert len(looked) == 2 * len(PHOTOS)


def test_files_are_named_by_hash_and_readable_by_their_owner_only():
    embed.embed(PHOTOS, Small(), keep=True)
    for path in kept_files():
        place = path.relative_to(downloads()).as_posix()
        assert re.fullmatch(r"embeddings/small-v1/([0-9a-f]{2})/\1[0-9a-f]{62}\.safetensors", place)
        assert path.stat().st_mode & 0o077 == 0


def test_an_embedder_and_its_versions_have_files_of_their_own(looked, monkeypatch):
    embed.embed(PHOTOS, Small(), keep=True)
    embed.embed(PHOTOS, Other(), keep=True)
    monkeypatch.setattr(Small, "version", 2)
    embed.embed(PHOTOS, Small(), keep=True)
    assert len(looked) == len(kept_files()) == 3 * len(PHOTOS)


def test_the_network_is_loaded_only_for_new_photos(monkeypatch):
    monkeypatch.setattr(Small, "loaded", 0)
    embed.embed(PHOTOS[:2], Small, keep=True)
    embed.embed(PHOTOS[:2], Small, keep=True)
    assert Small.loaded == 1
    embed.embed(PHOTOS[:3], Small, keep=True)
    assert Small.loaded == 2


def test_all_kept():
    assert not all_kept(PHOTOS, Small)
    embed.embed(PHOTOS[:4], Small, keep=True)
    assert all_kept(PHOTOS[:4], Small)
    assert not all_kept(PHOTOS, Small)
    assert not all_kept(PHOTOS[:4], Other)


@pytest.mark.parametrize("data", [photo(0), NONE, TWO_ALIKE])
def test_a_change_anywhere_is_found(data, looked):
    (before,) = embed.embed([data], Small(), keep=True)
    (path,) = kept_files()
    whole = path.read_bytes()
    for at in [*range(0, 600, 7), *range(600, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        (after,) = embed.embed([data], Small(), keep=True)
        assert same(before, after)
    assert path.read_bytes() == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes_are_made_again(looked, data):
    embed.embed(PHOTOS[:1], Small(), keep=True)
    (path,) = kept_files()
    whole = path.read_bytes()
    path.write_bytes(data)
    embed.embed(PHOTOS[:1], Small(), keep=True)
    assert path.read_bytes() == whole


def test_a_damaged_file_is_told_once_without_any_name(caplog):
    embed.embed(PHOTOS, Small(), keep=True)
    path = kept_files()[0]
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.INFO):
        embed.embed(PHOTOS, Small(), keep=True)
    (record,) = caplog.records
    assert "made again" in record.getMessage()
    assert not re.search("[0-9a-f]{8}", record.getMessage())


def test_a_file_in_anothers_place_is_found(looked):
    embed.embed(PHOTOS[:2], Small(), keep=True)
    one, other = kept_files()
    other.write_bytes(one.read_bytes())
    found = embed.embed(PHOTOS[:2], Small(), keep=True)
    assert len(looked) == 3
    assert {item.key for item in found} == {key_of(data) for data in PHOTOS[:2]}


def test_a_file_of_an_older_form_is_made_again(looked, monkeypatch):
    embed.embed(PHOTOS[:1], Small(), keep=True)
    monkeypatch.setattr(embed, "FORM", embed.FORM + 1)
    embed.embed(PHOTOS[:1], Small(), keep=True)
    assert len(looked) == 2


# A long way, and a cut.


def test_progress_counts_photos_up_to_their_number(monkeypatch):
    monkeypatch.setattr(embed, "BATCH", 2)
    embed.embed(PHOTOS[:1], Small(), keep=True)
    told = []
    embed.embed([*PHOTOS, PHOTOS[0]], Small(), keep=True, progress=told.append)
    assert [(one.done, one.total) for one in told] == [(1, 5), (3, 5), (5, 5)]


def test_a_cut_keeps_what_is_done_and_goes_on_there(looked, monkeypatch):
    monkeypatch.setattr(embed, "BATCH", 2)

    def stop(progress):
        if progress.done >= 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        embed.embed(PHOTOS, Small(), keep=True, progress=stop)
    assert len(looked) == len(kept_files()) == 2
    embed.embed(PHOTOS, Small(), keep=True)
    assert len(looked) == len(kept_files()) == len(PHOTOS)


# Erasing.


def test_erased_photos_leave_no_trace():
    photos = [*PHOTOS, NONE]
    for embedder in (Small(), Other()):
        embed.embed(photos, embedder, keep=True)
    gone = [key_of(data) for data in (PHOTOS[0], PHOTOS[3], NONE)]
    half_written = embed._path(folder_of(Small), gone[0]).with_name(f".{gone[0]}.safetensors.x1")
    half_written.write_bytes(gone[0].encode())
    assert erase(gone) == 6
    assert len(kept_files()) == 6
    for path in downloads().rglob("*"):
        assert not any(key in path.name for key in gone)
        assert path.is_dir() or not any(key.encode() in path.read_bytes() for key in gone)
    assert erase(gone) == 0


def test_nothing_else_is_erased(looked):
    embed.embed(PHOTOS, Small(), keep=True)
    assert erase([key_of(b"another photo")]) == 0
    assert erase([]) == 0
    assert len(kept_files()) == len(PHOTOS)


@pytest.mark.parametrize("key", ["", "*", "../..", "a" * 63, "A" * 64, "a" * 64 + "\n", "?" * 64])
def test_what_is_no_key_is_refused(key):
    embed.embed(PHOTOS, Small(), keep=True)
    with pytest.raises(BadInput, match="sha256"):
        erase([key])
    assert len(kept_files()) == len(PHOTOS)
