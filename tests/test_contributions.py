"""What people gave: whose it is, in which spelling, how often it is kept, and what is refused."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_up import Small as SmallEmbedder
from made_up import aligned, find_faces, photo
from small_base import ANA, BEN, SMALL, give, given, stands

from forget.core.errors import BadImage, BadInput
from forget.faces import embed
from forget.methods.retrain import Retrain
from forget.records import bases, contributions, ledger
from forget.records.bases import Digits, Faces, base_called
from forget.records.contributions import (
    FIRST_ID,
    add,
    contributors,
    kept,
    samples_of,
    unasked,
)
from forget.records.database import path, reading, scrub, writing
from forget.records.requests import ask


@pytest.fixture(autouse=True)
def _small(small):
    """The small base alone, over an empty folder."""


def ledger_entries():
    with reading() as db:
        assert not ledger.verify(db).faults
        return ledger.entries(db)


def test_what_is_given_comes_back_as_it_was():
    rows = given(ANA.seed, 3)
    assert add(SMALL, ANA.name, [(ANA.name, one) for one in rows]) == 3
    back = kept(SMALL)
    assert [one.id for one in back] == [FIRST_ID + 1, FIRST_ID + 2, FIRST_ID + 3]
    for before, after in zip(rows, back, strict=True):
        assert torch.equal(before.x, after.x) and before.x.dtype == after.x.dtype
        assert torch.equal(before.picture, after.picture)
        assert (after.reader, after.sha256) == (before.reader, before.sha256)
        assert (after.base, after.contributor, after.label) == ("small", ANA.name, ANA.name)
    assert kept(SMALL, BEN.name) == []
    assert kept(Digits()) == []


@pytest.mark.parametrize("way", ["Zoë Kim", " Zoe\u0308  Kim\t", "\u00a0Zoë\u2003Kim\n"])
def test_a_name_has_one_spelling_whether_it_gives_or_is_a_label(way):
    one, other = given(ANA.seed, 2)
    add(SMALL, "Zoë Kim", [("Zoë Kim", one)])
    assert add(SMALL, way, [(way, one), (way, other)]) == 1
    (who,) = contributors()
    assert (who.name, who.counts) == ("Zoë Kim", {"small": 2})
    assert {sample.label for sample in kept(SMALL)} == {"Zoë Kim"}


@pytest.mark.parametrize("name", ["", "  \n", "x" * 81, "Ana\x00", "Ana\u202ebbc", "A\ud800"])
@pytest.mark.parametrize("place", ["contributor", "label"])
def test_a_name_that_is_none_is_refused_and_nothing_is_kept(name, place):
    names = {"contributor": ANA.name, "label": ANA.name} | {place: name}
    with pytest.raises(BadInput):
        add(SMALL, names["contributor"], [(names["label"], given(ANA.seed, 1)[0])])
    assert contributors() == [] and kept(SMALL) == [] and ledger_entries() == []


def test_one_wrong_label_among_several_keeps_none_of_them():
    one, other = given(ANA.seed, 2)
    with pytest.raises(BadInput):
        add(SMALL, ANA.name, [(ANA.name, one), ("", other)])
    assert kept(SMALL) == [] and contributors() == []


def test_no_sample_is_refused():
    with pytest.raises(BadInput, match="no row was given"):
        add(SMALL, ANA.name, [])
    assert contributors() == []


def test_a_sample_is_kept_once_under_one_label_and_again_under_another():
    assert give(ANA, 2) == 2
    assert give(ANA, 3) == 1
    assert give(ANA, 3) == 0
    assert give(ANA, 1, label="Somebody else") == 1
    assert len(kept(SMALL)) == 4


def test_the_same_sample_from_two_people_is_kept_for_each():
    rows = given(ANA.seed, 2)
    for person in (ANA, BEN):
        assert add(SMALL, person.name, [("both", one) for one in rows]) == 2
    assert len(kept(SMALL)) == 4
    assert len(kept(SMALL, ANA.name)) == len(kept(SMALL, BEN.name)) == 2


def test_nothing_new_is_no_entry_and_something_new_is_one_that_tells_only_how_many():
    give(ANA, 2)
    give(ANA, 2)
    give(ANA, 3)
    assert [(entry.what, entry.body) for entry in ledger_entries()] == [
        ("added", {"base": "small", "samples": 2}), ("added", {"base": "small", "samples": 1})]
    assert len({entry.subject for entry in ledger_entries()}) == 1


def test_each_contributor_has_a_key_of_their_own():
    give(ANA)
    give(BEN)
    first, second = ledger_entries()
    assert first.subject != second.subject
    with reading() as db:
        keys = {row["name"]: row["key"] for row in db.execute("SELECT * FROM contributor")}
    assert len(set(keys.values())) == 2 and all(len(key) == 32 for key in keys.values())
    assert ledger.subject_of(keys[ANA.name], ANA.name) == first.subject


def test_contributors_are_listed_by_name_with_their_counts():
    for name in ("ben", "Ana", "Čeněk"):
        add(SMALL, name, [(name, one) for one in given(len(name), 2)])
    assert [(one.name, one.counts) for one in contributors()] == [
        ("Ana", {"small": 2}), ("ben", {"small": 2}), ("Čeněk", {"small": 2})]


def test_one_contributor_can_give_so_many_samples_and_no_more(monkeypatch):
    monkeypatch.setattr(contributions, "MOST", 5)
    give(ANA, 4)
    with pytest.raises(BadInput, match="5 samples"):
        add(SMALL, ANA.name, [(ANA.name, one) for one in given(7, 2)])
    assert len(kept(SMALL)) == 4
    assert give(ANA, 5) == 1, "only what is new counts"
    assert give(BEN, 5) == 5


def test_who_waits_to_be_forgotten_can_add_nothing():
    give(ANA)
    give(BEN)
    ask(ANA.name, {"small": Retrain()})
    with pytest.raises(BadInput, match="asked to be forgotten"):
        add(SMALL, f" {ANA.name} ", [(ANA.name, one) for one in given(9, 1)])
    assert len(kept(SMALL, ANA.name)) == 4
    assert {one.contributor for one in unasked(SMALL)} == {BEN.name}
    assert give(BEN, 5) == 1


def test_an_id_is_never_given_twice():
    give(ANA, 3)
    last = kept(SMALL)[-1].id
    with writing() as db:
        db.execute("DELETE FROM sample")
    scrub()
    give(BEN, 1)
    assert kept(SMALL)[0].id > last


def test_samples_are_learnt_as_often_as_the_base_says_under_one_id():
    give(ANA, 2)
    give(BEN, 1, label="Ida")
    samples = samples_of(kept(SMALL), ("Ida", ANA.name), SMALL.copies)
    assert samples.ids.tolist() == [FIRST_ID + number for number in (1, 1, 2, 2, 3, 3)]
    assert samples.y.tolist() == [1, 1, 1, 1, 0, 0]
    assert samples.x.shape == (6, 16) and torch.equal(samples.x[0], samples.x[1])


# Digits


def test_a_label_of_a_digit_is_one_of_ten():
    for label in "0123456789":
        assert Digits().label(f" {label}\n") == label
    for label in ("", "10", "01", "-1", "seven", "７", "٣", "1.0", "²"):
        with pytest.raises(BadInput, match="0 to 9"):
            Digits().label(label)


def test_a_digit_is_kept_as_its_pixels_and_nothing_else():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
    one = Digits().drawn(pixels)
    add(Digits(), ANA.name, [("7", one)])
    (back,) = kept(Digits())
    assert back.x.shape == (1, 28, 28) and np.array_equal(back.x[0].numpy(), pixels)
    assert torch.equal(back.picture, back.x[0])
    assert back.label == "7"
    pixels[:] = 0
    assert one.x.any(), "a sample is a copy of what was drawn"


def test_what_is_no_picture_is_no_digit():
    with pytest.raises(BadImage):
        Digits().read(b"no picture")


# Faces


@pytest.fixture
def faces(monkeypatch) -> Faces:
    """The base of faces, with made-up photos and a small embedder."""
    monkeypatch.setattr(embed, "find_faces", find_faces)
    monkeypatch.setattr(embed, "aligned", aligned)
    monkeypatch.setattr(bases, "find_embedder", lambda: SmallEmbedder())
    return Faces()


def test_of_a_photo_the_face_is_kept_and_the_photo_is_not(faces):
    data = photo(1)
    one = faces.read(data)
    assert add(faces, ANA.name, [(ANA.name, one)]) == 1
    (back,) = kept(faces)
    assert torch.equal(back.x, one.x) and back.x.dtype == torch.float32
    assert back.picture.shape == (3, 96, 96)
    assert back.reader == faces.reader == one.reader
    assert stands(one.x.numpy().tobytes()[:64]) == [path().name]
    for start in range(0, len(data) - 24, 8):
        assert stands(data[start:start + 24]) == []
    assert not (path().parent / "embeddings").exists()


@pytest.mark.slow
def test_of_a_real_photo_the_face_is_kept_and_the_photo_is_not(orl, monkeypatch):
    data = orl["s1/1.pgm"]
    with monkeypatch.context() as patch:
        patch.setenv("FORGET_HOME", str(ROOT / "forget_downloads"))
        one, reader = Faces().read(data), Faces().reader
    assert one.reader == reader and one.x.shape == (128,)
    add(Faces(), ANA.name, [(ANA.name, one)])
    assert stands(one.x.numpy().tobytes()[:64]) == [path().name]
    body = data[-112 * 92:]
    for start in range(0, len(body) - 24, 24):
        assert stands(body[start:start + 24]) == []
    assert not (path().parent / "embeddings").exists()


def test_which_face_of_a_photo_is_meant_can_be_said(faces):
    two = photo(11, 2, 0.8)
    with pytest.raises(BadImage, match="2 faces"):
        faces.read(two)
    first, second = (faces.read(two, face) for face in (0, 1))
    assert not torch.equal(first.picture, second.picture)
    with pytest.raises(BadImage):
        faces.read(two, 2)
    with pytest.raises(BadImage, match="no face"):
        faces.read(photo(10, faces=0))


def test_a_face_is_labelled_with_a_name_in_one_spelling():
    assert Faces().label("  Zoe\u0308  Kim ") == "Zoë Kim"
    with pytest.raises(BadInput):
        Faces().label(" ")


def test_a_base_that_nobody_can_teach_is_refused():
    assert base_called("small") is SMALL
    for name in ("mnst", "", "Small"):
        with pytest.raises(BadInput, match="cannot be taught"):
            base_called(name)
