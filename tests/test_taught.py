"""The model of a base: what it learnt is its lineage, one takes the place of the other whole or not
at all, and the same seed gives the same weights."""

import contextlib
import dataclasses
import os
import sqlite3

import pytest
import torch
from conftest import weights_hash
from small_base import (
    ANA,
    BEN,
    PEOPLE,
    SMALL,
    Impatient,
    give,
    given,
    quick,
    stands,
)

from forget.core.errors import BadInput, Busy, Cancelled, CannotWrite, DamagedRecord
from forget.io.paths import downloads
from forget.learners import LEARNERS
from forget.methods.retrain import Retrain
from forget.metrics.accuracy import Predictions
from forget.records import database, ledger, lineage, replace, taught
from forget.records.contributions import add, kept
from forget.records.database import reading, writing
from forget.records.lineage import classes_with, dataset_with, learner_of, live
from forget.records.replace import becoming, tidy
from forget.records.requests import ask
from forget.records.taught import FINETUNE, RETRAIN, expected_seconds, teach
from forget.unlearning import store


@pytest.fixture(autouse=True)
def _small(small):
    """The small base alone, over an empty folder."""


def ids(contributor: str | None = None) -> set[int]:
    return {one.id for one in kept(SMALL, contributor)}


def now():
    return live(SMALL, quick())


def entries() -> list[ledger.Entry]:
    with reading() as db:
        assert not ledger.verify(db).faults
        return ledger.entries(db)


def files() -> list[str]:
    folder = downloads() / database.MODELS
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_before_anything_was_taught_the_model_is_the_original():
    assert learner_of(SMALL) is None
    here = now()
    assert (here.made, here.samples, here.row) == ("original", frozenset(), None)
    assert here.classes == PEOPLE
    assert files() == []


def test_before_anything_was_given_there_is_nothing_to_learn():
    for how in (RETRAIN, FINETUNE):
        with pytest.raises(BadInput, match="nothing was given"):
            teach(SMALL, how, quick())
    assert entries() == [] and files() == []


# What teaching does


@pytest.mark.parametrize("name", list(LEARNERS))
def test_every_learner_can_be_retrained_and_knows_who_was_taught(name):
    give(ANA, 6)
    done = teach(SMALL, RETRAIN, quick(name))
    here = now()
    assert here.classes == (*PEOPLE, ANA.name)
    assert here.samples == ids() and here.made == RETRAIN
    assert (here.learner, here.seed) == (quick(name), 0)
    assert here.row == done.after.row is not None
    rows = torch.stack([one.x for one in given(ANA.seed, 12)[6:]])  # new ones
    features = here.learner.feature_map((16,))
    rows = rows if features is None else features(rows)
    assert (here.model(rows).argmax(1) == len(PEOPLE)).float().mean() > 0.5
    assert weights_hash(here.model) == weights_hash(done.after.model)
    assert done.accuracy_after > 0.8


@pytest.mark.parametrize("name", list(LEARNERS))
def test_the_same_seed_gives_the_same_weights_twice_and_another_one_others(name, tmp_path,
                                                                          monkeypatch):
    hashes = []
    for number, seed in enumerate((3, 3, 4)):
        monkeypatch.setenv("FORGET_HOME", str(tmp_path / f"home {number}"))
        (tmp_path / f"home {number}").mkdir()
        (tmp_path / f"home {number}" / "machine.key").write_bytes(b"k" * 32)
        give(ANA)
        teach(SMALL, RETRAIN, quick(name), seed)
        if name == "network":
            give(BEN)
            teach(SMALL, FINETUNE, quick(name), seed)
        hashes.append(weights_hash(now().model))
    assert hashes[0] == hashes[1] != hashes[2]


def test_going_on_widens_the_head_and_keeps_the_rows_of_known_outputs():
    give(ANA)
    first = teach(SMALL, RETRAIN, quick()).after
    give(BEN)
    dataset = dataset_with(SMALL, first.learner, kept(SMALL), (*first.classes, BEN.name))
    wide = taught.widened(first, dataset, torch.Generator().manual_seed(0))
    assert wide.n_classes == len(first.classes) + 1
    for name, before in first.model.state_dict().items():
        after = wide.state_dict()[name]
        assert after.shape[0] == before.shape[0] + 1
        assert torch.equal(after[:len(before)], before)
        if after.ndim > 1:
            assert after[len(before):].any(), "a new output is drawn, and not nothing"
    x = dataset.test.x
    assert torch.allclose(wide(x)[:, :-1], first.model(x), atol=1e-6)


def test_going_on_learns_what_is_new_and_its_lineage_holds_all():
    give(ANA, 6)
    first = teach(SMALL, RETRAIN, quick()).after
    give(BEN, 6)
    done = teach(SMALL, FINETUNE, quick("sisa", shards=7), seed=9)
    here = now()
    assert here.classes == (*PEOPLE, ANA.name, BEN.name)
    assert here.samples == ids() > first.samples
    assert (here.learner, here.seed, here.made) == (first.learner, first.seed, FINETUNE)
    assert done.accuracy_before == pytest.approx(
        Predictions.of(first.model, SMALL.dataset().test).accuracy)
    rows = torch.stack([one.x for one in given(BEN.seed, 12)[6:]])
    assert (here.model(rows).argmax(1) == len(PEOPLE) + 1).float().mean() > 0.5


def test_more_of_a_class_of_the_base_widens_nothing():
    add(SMALL, ANA.name, [("Ida", one) for one in given(0, 3)])
    teach(SMALL, RETRAIN, quick())
    add(SMALL, ANA.name, [("Jon", one) for one in given(1, 3)])
    teach(SMALL, FINETUNE, quick())
    assert now().classes == PEOPLE
    assert now().model.n_classes == len(PEOPLE)
    assert classes_with(PEOPLE, ["Jon", "b", "Ida", "a", "b"]) == (*PEOPLE, "b", "a")


@pytest.mark.parametrize("name", ["sisa", "convex"])
def test_a_model_that_cannot_go_on_says_so_and_stays(name):
    give(ANA)
    teach(SMALL, RETRAIN, quick(name))
    before, had = now().row, entries()
    give(BEN)
    with pytest.raises(BadInput, match="retrain"):
        teach(SMALL, FINETUNE, quick(name))
    assert now().row == before
    assert len(entries()) == len(had) + 1  # what Ben gave


def test_nothing_new_is_said_and_another_recipe_or_seed_is_something_new():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    for how in (RETRAIN, FINETUNE):
        with pytest.raises(BadInput, match="nothing new"):
            teach(SMALL, how, quick())
    row = now().row
    for learner, seed in ((quick(), 1), (quick(min_steps=70), 1), (quick("convex"), 1)):
        teach(SMALL, RETRAIN, learner, seed)
        assert (now().learner, now().seed) == (learner, seed) and now().row != row
        row = now().row


def test_a_new_model_leaves_out_who_waits_to_be_forgotten_and_going_on_does_not_add_them():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    give(BEN)
    ask(BEN.name, {"small": Retrain()})  # before anything of his was learnt
    add(SMALL, "Cleo", [("Cleo", one) for one in given(103, 3)])
    teach(SMALL, FINETUNE, quick())
    assert now().samples == ids(ANA.name) | ids("Cleo")
    assert BEN.name not in now().classes
    ask(ANA.name, {"small": Retrain()})
    teach(SMALL, RETRAIN, quick(), seed=1)
    assert now().samples == ids("Cleo")
    assert now().classes == (*PEOPLE, "Cleo")


def test_when_all_wait_to_be_forgotten_the_new_model_is_without_them():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    ask(ANA.name, {"small": Retrain()})
    teach(SMALL, RETRAIN, quick(), seed=1)
    assert (now().samples, now().classes) == (frozenset(), PEOPLE)


def test_the_entry_says_what_was_done_and_binds_the_live_file():
    give(ANA, 3)
    teach(SMALL, RETRAIN, quick())
    give(BEN, 2)
    done = teach(SMALL, FINETUNE, quick())
    first, second = (entry for entry in entries() if entry.what == "taught")
    assert second.number == done.entry
    assert (second.body["samples"], second.body["new"], second.body["how"]) == (5, 2, FINETUNE)
    assert second.body["test_accuracy"] == done.accuracy_after
    assert first.body["model_sha256"] != second.body["model_sha256"] == sha256_of_live()


def sha256_of_live() -> str:
    (name,) = (one for one in files() if not one.endswith(store.SECRET))
    return store.sha256_of(lineage.home(name))


def test_what_learning_took_is_known_for_the_next_time():
    assert expected_seconds(SMALL, RETRAIN, quick()) is None
    now()  # trains the original
    assert expected_seconds(SMALL, RETRAIN, quick()) > 0
    give(ANA)
    done = teach(SMALL, RETRAIN, quick())
    assert expected_seconds(SMALL, RETRAIN, quick()) == done.seconds


# Files and lineage


@pytest.mark.parametrize("name", list(LEARNERS))
def test_one_model_a_base_lies_on_disk_for_its_owner_alone(name):
    for person in (ANA, BEN):
        give(person)
        teach(SMALL, RETRAIN, quick(name))
    assert len(files()) == 1 + quick(name).keeps
    for path in (downloads() / database.MODELS).iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        for said in (ANA.name, BEN.name, "Ana", "Ben"):
            assert said.encode() not in path.read_bytes()
    assert stands(given(ANA.seed, 1)[0].x.numpy().tobytes()[:32]) == [database.NAME]


def test_a_sample_cannot_be_deleted_while_a_models_lineage_holds_it():
    give(ANA)
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    add(SMALL, "Cleo", [("Cleo", one) for one in given(103, 1)])  # not learnt
    with pytest.raises(sqlite3.IntegrityError), writing() as db:
        db.execute("DELETE FROM sample")
    with pytest.raises(sqlite3.IntegrityError), writing() as db:
        db.execute("DELETE FROM contributor")
    assert len(kept(SMALL)) == 9
    with writing() as db:
        db.execute("DELETE FROM sample WHERE label = 'Cleo'")
    assert len(kept(SMALL)) == 8


def test_files_that_no_row_names_are_removed():
    give(ANA)
    teach(SMALL, RETRAIN, quick("convex"))
    here = files()
    folder = downloads() / database.MODELS
    for name in ("small-0000000000000000.safetensors", "small-00.secret.safetensors",
                 ".small-00.safetensors.x1y2", here[0] + ".copy"):
        (folder / name).write_bytes(b"left behind")
    assert tidy() == ""
    assert files() == here
    assert now().row is not None


def test_a_folder_among_the_models_hinders_nobody():
    give(ANA)
    (downloads() / database.MODELS / "somebody's").mkdir(parents=True)
    teach(SMALL, RETRAIN, quick())
    assert now().samples == ids()


def test_a_model_that_another_program_put_there_meanwhile_is_not_overwritten():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    before = now()
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    there, had = now(), entries()
    after = dataclasses.replace(before, made="other")
    with pytest.raises(BadInput, match="meanwhile"), \
            becoming(before, after, replace.Files.of(before.stored)) as (db, _):
        ledger.append(db, "taught", {})
    assert (now().row, now().samples, entries()) == (there.row, there.samples, had)
    tidy()
    assert len(files()) == 1


def test_what_breaks_off_in_the_middle_of_the_change_leaves_the_model_before():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    before, had = now(), entries()
    with pytest.raises(KeyboardInterrupt), \
            becoming(before, before, replace.Files.of(before.stored)) as (db, _):
        ledger.append(db, "taught", {})
        raise KeyboardInterrupt
    assert (now().row, entries()) == (before.row, had)
    assert weights_hash(now().model) == weights_hash(before.model)


@pytest.mark.parametrize("how", [RETRAIN, FINETUNE])
def test_stopped_teaching_changes_nothing(how):
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    give(BEN)
    before, had = now().row, entries()
    with pytest.raises(Cancelled):
        teach(SMALL, how, quick(), watch=Impatient(5))
    assert (now().row, entries(), len(files())) == (before, had, 1)
    teach(SMALL, how, quick())
    assert now().samples == ids()


def test_a_database_locked_meanwhile_loses_nothing(monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    give(ANA)
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy, match="another program"):
            teach(SMALL, RETRAIN, quick())
        other.execute("ROLLBACK")
    assert now().row is None and len(kept(SMALL)) == 4
    teach(SMALL, RETRAIN, quick())
    assert now().samples == ids() and len(files()) == 1


def test_a_disk_that_is_full_for_the_weights_loses_nothing(monkeypatch):
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    give(BEN)
    before, had = now().row, entries()

    def full(*_):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CannotWrite, match="free some space"):
            teach(SMALL, RETRAIN, quick())
    assert (now().row, entries(), len(files())) == (before, had, 1)


@pytest.mark.parametrize("error", [Busy("another reads"), CannotWrite("the disk is full")])
def test_what_cannot_be_cleaned_up_now_is_said_and_done_the_next_time(error, monkeypatch):
    give(ANA)

    def unable():
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(replace, "scrub", unable)
        done = teach(SMALL, RETRAIN, quick())
        assert str(error) in done.untidy
    assert now().samples == ids()
    with reading() as db:
        assert [row[0] for row in db.execute("SELECT what FROM chore")] == [replace.SCRUB]
    assert tidy() == ""
    with reading() as db:
        assert db.execute("SELECT count(*) FROM chore").fetchone()[0] == 0


def test_a_damaged_model_is_said_and_nobody_is_given_another():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    (name,) = files()
    data = bytearray(lineage.home(name).read_bytes())
    data[-3] ^= 1
    lineage.home(name).write_bytes(bytes(data))
    with pytest.raises(DamagedRecord):
        now()


def test_a_ledger_taken_away_whole_is_found_while_there_is_a_model():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as db:
        for name in ("ledger_keeps", "ledger_stays"):
            db.execute(f"DROP TRIGGER IF EXISTS {name}")
        db.execute("DELETE FROM ledger")
        db.execute("DELETE FROM ledger_end")
    with reading() as db:
        assert ledger.verify(db).faults


def test_nothing_made_from_what_was_given_lies_outside_of_the_records_and_the_model():
    now()  # the original, trained on the base's data alone
    before = {path for path in downloads().rglob("*") if path.is_file()}
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    give(BEN)
    teach(SMALL, FINETUNE, quick())
    new = {str(path.relative_to(downloads())) for path in downloads().rglob("*")
           if path.is_file() and path not in before}
    assert {one for one in new if not one.startswith((".", database.NAME))} \
        == {f"taught/{files()[0]}", "machine.key", ledger.END}


def test_a_reader_of_another_network_is_refused_and_named():
    add(SMALL, ANA.name, [(ANA.name, dataclasses.replace(one, reader="another"))
                          for one in given(ANA.seed, 2)])
    with pytest.raises(BadInput, match="FORGET_EMBEDDER"):
        teach(SMALL, RETRAIN, quick())
    assert now().row is None
