"""The search of the data folder: a planted piece is found wherever it lies, and what is not theirs
is not."""

import dataclasses
import gzip
import hashlib
import json
import os
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import HealthCheck, example, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from safetensors.torch import save_file
from small_base import (
    ANA,
    BEN,
    SMALL,
    give,
    given,
    quick,
)

from forget.data import find_dataset
from forget.data import kept as kept_on_disk
from forget.data.faces import FACES_FILES
from forget.data.people import Photo
from forget.io.files import DeclaredFile
from forget.io.paths import downloads
from forget.methods.retrain import Retrain
from forget.records import database, replace, trace
from forget.records.bases import Digits, Given
from forget.records.contributions import add
from forget.records.requests import ask, carry_out, erase_kept, set_policy
from forget.records.taught import RETRAIN, teach
from forget.records.trace import held, like, search

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _small(small):
    """The small base alone, over an empty folder."""


def plant(name: str, data: bytes):
    path = downloads() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def found(name: str = "", rows=(), files=()) -> set[tuple[str, str]]:
    return {(hit.file, hit.what) for hit in search(name, rows, files)}


def noise(size: int) -> bytes:
    return RNG.bytes(size)


ROW = given(ANA.seed, 1)[0]
KINDS = {"a sample": ROW.x.numpy().tobytes(), "a picture": ROW.picture.numpy().tobytes(),
         "a hash of a file": ROW.sha256.encode()}


def digit(seed: int = 0) -> Given:
    """A digit as a pen draws it: a thin stroke on nothing."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    across = np.abs(x - 13.5 - rng.uniform(-0.3, 0.3) * (y - 14) - rng.uniform(-1, 1))
    stroke = np.clip(2.5 - across, 0, 1) * (np.abs(y - 13.5) < 10)
    return Digits().drawn((255 * stroke).astype(np.uint8))


# What is planted is found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@examples(before=st.integers(0, 70), after=st.integers(0, 20), what=st.sampled_from(list(KINDS)))
@example(before=0, after=0, what="a sample")
@example(before=7, after=1, what="a sample")
@example(before=4095, after=3, what="a picture")
def test_a_planted_thing_is_found_wherever_it_begins_and_ends(before, after, what):
    plant("cache/left.bin", noise(before) + KINDS[what] + noise(after))
    assert found("", [ROW]) == {("cache/left.bin", what)}


@pytest.mark.parametrize("name", ["left.bin", ".hidden", ".tmp/x", "trained/m.safetensors",
                                  "embeddings/x/00/00.safetensors", "records.db-wal", "no ending",
                                  "deep/er/and/deeper/x.json", "machine.key"])
def test_a_planted_sample_is_found_in_any_file(name):
    plant(name, noise(333) + KINDS["a sample"] + noise(99))
    assert (name, "a sample") in found("", [ROW])


@pytest.mark.parametrize("what", ["a sample", "a picture"])
def test_a_large_part_of_a_thing_is_enough(what):
    data = KINDS[what]
    for start, end in ((0, len(data) // 2), (len(data) // 2 + 1, len(data)),
                       (len(data) // 4 + 3, 3 * len(data) // 4 + 3)):
        plant("left.bin", noise(5) + data[start:end] + noise(5))
        assert ("left.bin", what) in found("", [ROW])


@pytest.mark.parametrize("page", [512, 1024, 4096])
def test_a_picture_cut_up_by_pages_is_found(page):
    data = torch.from_numpy(RNG.integers(0, 256, (3, 96, 96)).astype(np.uint8))
    one = Given(ROW.x, data, "", "0" * 64)
    raw = data.numpy().tobytes()
    pages = [noise(4) + raw[at:at + page - 4] for at in range(0, len(raw), page - 4)]
    plant("some.db", b"".join(noise(page) + one for one in pages))
    assert ("some.db", "a picture") in found("", [one])


@pytest.mark.parametrize("seed", range(12))
def test_a_digit_drawn_with_a_thin_pen_is_found(seed):
    one = digit(seed)
    plant("left.bin", noise(1001) + one.x.numpy().tobytes() + noise(77))
    assert [hit.file for hit in search("", [one])] == ["left.bin"]  # its picture is the same
    assert found("", [digit(seed + 100)]) == set()


def test_a_drawn_digit_is_found_in_the_records():
    add(Digits(), ANA.name, [("1", digit())])
    assert {file for file, _ in found("", [digit()])} == {database.NAME}
    assert {what for _, what in found("", [digit()])} >= {"a hash of a file", "a picture"}


@pytest.mark.parametrize("form", [str.encode, bytes.fromhex])
def test_a_hash_is_found_as_text_and_as_bytes(form):
    plant("left.bin", noise(11) + form(ROW.sha256) + noise(11))
    assert found("", [ROW]) == {("left.bin", "a hash of a file")}


def test_an_embedding_saved_as_a_tensor_is_found(tmp_path):
    downloads()
    save_file({"row": torch.cat([torch.randn(7), ROW.x, torch.randn(3)])},
              downloads() / "some.safetensors")
    assert found("", [ROW]) == {("some.safetensors", "a sample")}


def test_a_file_that_somebody_gave_is_found_whole_and_in_part():
    data = gzip.compress(noise(40_000))
    for part in (data, data[10_000:], data[:20_001]):
        plant("photo.jpg", noise(3) + part)
        assert found("", [], [data]) == {("photo.jpg", "a file")}


@pytest.mark.parametrize("size", [0, 1, 7, 15, 16, 17])
def test_small_files_are_read_without_fuss(size):
    plant("small.bin", KINDS["a sample"][:size])
    assert found("Ana Example", [ROW], [b"", b"x", noise(15)]) <= {("small.bin", "a sample")}


def test_several_things_in_several_files_are_each_said():
    other = given(BEN.seed, 1)[0]
    plant("one", KINDS["a sample"] + KINDS["a picture"])
    plant("two", other.x.numpy().tobytes())
    plant("three", noise(2000))
    assert found("", [ROW, other]) == {("one", "a sample"), ("one", "a picture"),
                                       ("two", "a sample")}


def test_in_noise_and_in_nothing_nothing_is_found():
    plant("noise", noise(1_000_000))
    plant("zeros", bytes(1_000_000))
    plant("white", b"\xff" * 100_000)
    plain = Given(torch.zeros(16), torch.full((3, 8, 8), 255, dtype=torch.uint8), "",
                  hashlib.sha256(b"plain").hexdigest())
    rows = [one for seed in range(20) for one in given(seed, 3)]
    assert found("Ana Example", [*rows, plain, digit()], [bytes(1000), b"\xff" * 1000]) == set()


# Names


LONG = "Ana Example"


@pytest.mark.parametrize("way", [str.encode, lambda name: json.dumps(name).encode()])
@pytest.mark.parametrize("name", [LONG, "Zoë Kimm", "李小龍先生", "O'Brien \"Bob\""])
def test_a_name_is_found_in_text_as_it_is_and_as_json_writes_it(name, way):
    plant("log.txt", b"given by: " + way(name) + b", yesterday")
    assert found(name) == {("log.txt", "the name")}


@pytest.mark.parametrize("before", [b"", b"\x00", b"G", b"9", b" "])
@pytest.mark.parametrize("after", [b"", b"\x00", b"K", b"_", b"\xff"])
def test_a_long_name_is_found_in_bytes_whatever_stands_beside_it(before, after):
    plant("some.db", b"\xfe\xff" + noise(500) + before + LONG.encode() + after + noise(500))
    assert found(LONG) == {("some.db", "the name")}


@pytest.mark.parametrize("place", ["people/Ana Example/x.bin", "Ana Example.txt",
                                   "a/photo of Ana Example, 2.jpg"])
def test_a_name_is_found_in_the_name_of_a_file_or_folder(place):
    plant(place, b"")
    assert found(f" {LONG}  ") == {(place, "the name")}


@pytest.mark.parametrize("name", ["A/B Example", "Ana: Example", "50% Example", "~Example"])
def test_a_name_that_no_folder_can_have_is_found_too(name):
    kept_on_disk.keep([Photo(name, "x.jpg", noise(64))])
    hits = found(name)
    assert hits and all(what == "the name" for _, what in hits)
    assert len(held(name).photos) >= 1
    kept_on_disk.delete(name)
    assert found(name) == set() and held(name).empty


@pytest.mark.parametrize("kept_as", ["Zoe\u0308 Kim", "Zoë  Kim", " Zoë Kim"])
def test_photos_kept_in_another_spelling_are_theirs_too(kept_as):
    kept_on_disk.keep([Photo(kept_as, "x.jpg", noise(64)), Photo("Zoë", "y.jpg", noise(64))])
    assert any("jpg" in photo for photo in held("Zoë Kim").photos)
    assert erase_kept("Zoë Kim") >= 1
    assert held("Zoë Kim").empty and found("Zoë Kim") == set()
    assert held("Zoë").photos, "somebody else's stay"


SHORT = ("Al", "a", "Jo", "ai", "mac", "rec", "ed", "Bo", "李")


@pytest.mark.parametrize("name", SHORT)
def test_a_short_name_is_not_found_by_chance(name):
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    plant("noise.bin", noise(300_000))
    plant("text.txt", f"x{name}x Alabama, machine, recording, Beds, Boat, maid; ".encode())
    save_file({"weight": torch.from_numpy(RNG.normal(size=50_000))},
              downloads() / "trained.safetensors")
    assert found(name) == set()


@pytest.mark.parametrize("name", ["Al", "Jo", "李"])
def test_a_short_name_is_found_in_text_in_headers_and_in_the_records(name):
    plant("log.txt", f"given by {name}.".encode())
    save_file({"weight": torch.zeros(2)}, downloads() / "m.safetensors", {"who": name})
    add(SMALL, name, [(name, one) for one in given(BEN.seed, 2)])
    assert {file for file, _ in found(name)} == {"log.txt", "m.safetensors", database.NAME}


def test_one_name_within_another_is_not_it():
    plant("log.txt", b"Ana Exampleton, Mariana Example2 and BanAna Example")
    assert found(LONG) == set()


@pytest.mark.parametrize("number", [1, 2, 48, 65, 90, 97, 122, 200])
def test_whoever_is_in_the_records_is_found_there_under_any_number(number):
    give(BEN)
    with closing(sqlite3.connect(database.path())) as db:
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'contributor'", (number,))
        db.commit()
    add(SMALL, LONG, [("Ida", given(ANA.seed, 1)[0])])
    assert (database.NAME, "the name") in found(LONG)
    add(SMALL, "Cleo Labels", [("Tag Example", given(ANA.seed, 1)[0])])
    assert (database.NAME, "the name") in found("Tag Example")


def test_a_name_that_is_left_in_the_log_is_found():
    give(BEN)
    with closing(database._connect(database.path())) as other:  # the log stays
        other.execute("SELECT 1 FROM sample").fetchall()
        give(ANA)
        with closing(sqlite3.connect(database.path())) as db:
            db.execute("PRAGMA foreign_keys = OFF")
            db.execute("DELETE FROM sample WHERE label = ?", (ANA.name,))
            db.execute("DELETE FROM contributor WHERE name = ?", (ANA.name,))
            db.commit()
        assert (f"{database.NAME}-wal", "the name") in found(ANA.name)
        assert (f"{database.NAME}-wal", "a sample") in found("", given(ANA.seed, 4))


@pytest.mark.slow
def test_every_digit_that_people_wrote_is_found_in_the_records(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("FORGET_HOME", str(ROOT / "forget_downloads"))
        train = find_dataset("mnist").load().train
    written = [Digits().drawn(train.x[index, 0].numpy()) for index in range(300)]
    add(Digits(), ANA.name, [(str(label), one) for label, one in
                             zip(train.y[:300].tolist(), written, strict=True)])
    for one in written:
        one = dataclasses.replace(one, sha256=hashlib.sha256(b"another").hexdigest())
        assert search("", [one]), "its pixels alone lead to it"


# Public data


@pytest.fixture
def public(monkeypatch) -> bytes:
    """A downloaded file that is as it was declared, with a sample's bytes in it."""
    data = noise(500) + KINDS["a sample"] + LONG.encode() + noise(500)
    declared = DeclaredFile("public.bin", hashlib.sha256(data).hexdigest(), len(data))
    bundle = type(FACES_FILES)("shelf", (declared,), (), "")
    source = type("Shelf", (), {"files": bundle})
    monkeypatch.setattr(trace, "DATASETS", {"shelf": source})
    return data


def test_public_data_are_passed_over_while_they_are_as_declared(public):
    plant("shelf/public.bin", public)
    assert found(LONG, [ROW]) == set()
    plant("shelf/public.bin", public + b"x")
    assert found(LONG, [ROW]) == {("shelf/public.bin", "a sample"),
                                  ("shelf/public.bin", "the name")}
    (downloads() / "shelf" / "public.bin").unlink()
    plant("elsewhere.bin", public)
    assert {file for file, _ in found(LONG, [ROW])} == {"elsewhere.bin"}


# What the records say


def test_all_that_is_held_is_listed():
    give(ANA)
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    give(ANA, 5)
    kept_on_disk.keep([Photo(ANA.name, "x.jpg", noise(64))])
    set_policy(SMALL, 2)
    ask(ANA.name, {"small": Retrain()})
    there = held(f"  {ANA.name.replace(' ', '   ')}")
    assert (there.name, len(there.samples), there.waiting) == (ANA.name, 5, ("small",))
    (model,) = there.models.items()
    assert model[1] == 4 and (downloads() / "taught" / model[0]).is_file()
    assert there.entries == (1, 4, 6)
    (photo,) = there.photos
    assert (downloads() / photo).is_file()
    assert not there.empty
    assert held("Nobody Known").empty


def test_before_there_is_something_and_afterwards_nothing():
    give(ANA)
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    raw = [one.x.numpy().tobytes() for one in given(ANA.seed, 4)]
    there, hits = trace.trace(ANA.name, raw)
    (model,) = there.models
    assert {hit.file for hit in hits} == {database.NAME, f"taught/{model}"}
    assert {(hit.file, hit.what) for hit in hits} >= {
        (database.NAME, "a picture"), (database.NAME, "a hash of a file"),
        (database.NAME, "the name"), (f"taught/{model}", "a model that learnt from the samples")}
    ask(ANA.name, {"small": Retrain()})
    carry_out(SMALL, references=0)
    there, hits = trace.trace(ANA.name, raw)
    assert there.empty and hits == []
    assert trace.trace(BEN.name)[1], "what others gave is there still"
    for left in (ROW.x.numpy().tobytes(), ROW.sha256.encode(), ANA.name.encode()):
        plant("left.bin", noise(100) + left + noise(100))
        assert [hit.file for hit in trace.trace(ANA.name, raw)[1]] == ["left.bin"]


def test_what_each_base_would_make_of_a_file_is_looked_for():
    raw = KINDS["a sample"]
    (made,) = like(raw)
    assert torch.equal(made.x, ROW.x)
    assert like(b"neither a row nor a picture") == []


def test_a_link_that_leads_round_in_a_circle_or_nowhere_hinders_nobody(tmp_path):
    plant("a/b.bin", KINDS["a sample"])
    os.symlink(downloads(), downloads() / "a" / "again")
    os.symlink(tmp_path / "nowhere", downloads() / "nowhere")
    assert ("a/b.bin", "a sample") in found("", [ROW])


def test_a_search_reads_and_changes_nothing():
    give(ANA)
    teach(SMALL, RETRAIN, quick())

    def all_files():
        return {path: path.read_bytes() for path in downloads().rglob("*") if path.is_file()}

    before = all_files()
    assert trace.trace(ANA.name)[1]
    assert all_files() == before


def test_a_model_that_no_record_names_is_said_until_it_is_deleted():
    plant("taught/small-0123.safetensors", b"weights of a process that was killed")
    assert [(hit.file, "no record names" in hit.what) for hit in trace.trace(ANA.name)[1]] == [
        ("taught/small-0123.safetensors", True)]
    replace.tidy()
    assert trace.trace(ANA.name)[1] == []
