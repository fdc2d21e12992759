"""teach, erase, queue, trace and ledger on the command line: what they say and how they end."""

import contextlib
import dataclasses
import json
import sqlite3

import pytest
from small_base import ANA, BEN, SMALL, Person, give, rows, tamper

from forget.cli import main as cli
from forget.cli import records as commands
from forget.data import kept as kept_on_disk
from forget.data.people import Photo
from forget.io.paths import downloads
from forget.methods.certified import Certified
from forget.methods.finetune import FineTune
from forget.records import composition, contributions, database, ledger, lineage, requests
from forget.records.bases import Digits
from forget.records.contributions import contributors, kept
from forget.records.database import reading

QUICK = ("--set", "learner.min_steps=60")
GUO = ("--learner", "convex", "--set", "mode=guo", "--set", "lam=1")
CLEO = Person("Cleo", 103)


@pytest.fixture(autouse=True)
def _small(small, monkeypatch):
    """The small base alone, over an empty folder, and nothing to warm up for."""
    monkeypatch.setattr(commands, "warm", lambda: None)


@pytest.fixture
def forget(capsys):
    """Runs one command: its exit status, what it printed, and what it told on the side."""
    def run(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's way
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def files(tmp_path):
    """Writes so many rows of a person as files, and returns their paths."""
    def write(person: Person, count: int = 4) -> list:
        paths = [tmp_path / f"{person.seed} {number}.row" for number in range(count)]
        for path, row in zip(paths, rows(person.seed, count), strict=True):
            path.write_bytes(row.tobytes())
        return paths

    return write


def teach_both(forget, files, *how) -> None:
    for person in (ANA, BEN):
        give(person)
    status, _, err = forget("teach", "small", *(how or QUICK))
    assert status == 0, err


def entries() -> list[ledger.Entry]:
    with reading() as db:
        return ledger.entries(db)


# teach


def test_files_are_taught_under_a_name(forget, files):
    status, out, _ = forget("teach", "small", *files(ANA), "--by", f" {ANA.name}", "--label",
                            ANA.name, *QUICK)
    assert status == 0
    assert "4 of 4 samples are new" in out and "4 given samples learnt" in out
    assert f"entry {entries()[-1].number})" in out
    assert ANA.name not in out
    assert [one.name for one in contributors()] == [ANA.name]
    status, out, _ = forget("teach", "small", *files(ANA, 5), "--by", ANA.name, "--label",
                            ANA.name, "--how", "finetune")
    assert (status, "1 of 5 samples is new" in out) == (0, True)


def test_a_name_that_is_nearly_known_is_said_and_is_another_person(forget, files):
    give(ANA)
    status, _, err = forget("teach", "small", *files(BEN), "--by", "ana  EXAMPLE", "--label", "IDA",
                            *QUICK)
    assert status == 0
    assert (f"note: {ANA.name} is known already; ana EXAMPLE would be another person; if they are "
            f"one, give --by '{ANA.name}'") in err
    assert ("note: Ida is known already; IDA would be another person; if they are one, give "
            "--label 'Ida'") in err
    assert sorted(one.name for one in contributors()) == [ANA.name, "ana EXAMPLE"]
    _, _, err = forget("teach", "small", *files(BEN, 5), "--by", "ana EXAMPLE", "--label", "IDA")
    assert "is known already" not in err


def test_a_file_that_cannot_be_read_is_named(forget, files, tmp_path):
    (tmp_path / "diary.png").write_bytes(b"Dear diary")
    status, _, err = forget("teach", "small", *files(ANA), tmp_path / "diary.png", "--by", "Ana",
                            "--label", "Ana")
    assert (status, contributors()) == (2, [])
    assert f"'{tmp_path / 'diary.png'}' cannot be taught: this is no row" in err


def test_which_of_several_faces_is_taken_is_said(forget, files, monkeypatch):
    said = "shows 2 faces; by far the largest is taken, number 2 from the left"
    read = type(SMALL).read
    monkeypatch.setattr(type(SMALL), "read", lambda self, data, face=None: dataclasses.replace(
        read(self, data, face), note=said))
    paths = files(ANA, 1)
    _, _, err = forget("teach", "small", *paths, "--by", "Ana", "--label", "Ana", *QUICK)
    assert f"note: '{paths[0]}' {said}" in err


@pytest.mark.parametrize("learner", ["network", "sisa", "convex"])
def test_the_kind_of_model_can_be_chosen_and_stays(forget, files, learner):
    give(ANA)
    knobs = {"sisa": ("--set", "shards=2", "--set", "slices=2")}.get(learner, ())
    assert forget("teach", "small", "--learner", learner, *knobs)[0] == 0
    before = lineage.learner_of(SMALL)
    assert before.name == learner
    give(BEN)
    assert forget("teach", "small")[0] == 0
    assert lineage.learner_of(SMALL) == before


def test_a_seed_that_was_chosen_stays_until_another_is_given(forget):
    give(ANA)
    assert forget("teach", "small", "--seed", 3, *QUICK)[0] == 0
    status, _, err = forget("teach", "small")
    assert (status, "nothing new" in err) == (2, True)
    give(BEN)
    assert forget("teach", "small")[0] == 0
    assert lineage.live(SMALL, lineage.learner_of(SMALL)).seed == 3
    assert forget("teach", "small", "--seed", 0)[0] == 0


@pytest.mark.parametrize(("arguments", "said"), [
    (("nowhere",), "cannot be taught"),
    (("small",), "nothing was given"),
    (("small", "FILE"), "--by NAME --label LABEL"),
    (("small", "FILE", "--by", "Ana Example"), "--by NAME --label LABEL"),
    (("small", "MISSING", "--by", "Ana Example", "--label", "x"), "cannot be read"),
    (("small", "FILE", "--by", "", "--label", "x"), "--by NAME"),
    (("small", "FILE", "--by", "  ", "--label", "x"), "needs a name"),
    (("small", "FILE", "--by", "Ana Example", "--label", "\x00"), "control characters"),
    (("small", "OTHER", "--by", "Ana Example", "--label", "x"), "no row"),
    (("small", "FILE", "--by", "Ana Example", "--label", "x", "--set", "nonsense=1"), "nonsense"),
    (("small", "FILE", "--by", "Ana Example", "--label", "x", "--how", "magic"), "magic"),
    (("small", "FILE", "--by", "Ana Example", "--label", "x", "--learner", "magic"), "magic"),
    (("small", "FILE", "--by", "Ana Example", "--label", "x", "--seed", "-1"), "seed"),
])
def test_what_cannot_be_taught_is_bad_input_and_nothing_is_kept(forget, files, tmp_path,
                                                                arguments, said):
    (tmp_path / "other").write_bytes(b"no row")
    places = {"FILE": files(ANA, 1)[0], "MISSING": tmp_path / "missing",
              "OTHER": tmp_path / "other"}
    status, out, err = forget("teach", *(places.get(one, one) for one in arguments))
    assert (status, out) == (2, "")
    assert said in err and "Traceback" not in err
    assert err.count("\n") == 1 or err.startswith("usage")
    assert contributors() == [] and kept(SMALL) == [] and entries() == []


def test_a_label_that_is_no_digit_is_bad_input(forget, files, monkeypatch):
    monkeypatch.setattr(type(SMALL), "label", lambda self, text: Digits().label(text))
    status, _, err = forget("teach", "small", *files(ANA, 1), "--by", ANA.name, "--label", "seven")
    assert (status, "0 to 9" in err) == (2, True)


# erase


def test_who_asks_is_forgotten_and_the_exit_status_does_not_judge(forget, files):
    teach_both(forget, files)
    status, out, _ = forget("erase", ANA.name)
    assert status == 0
    assert "4 samples forgotten and deleted, by retrain" in out and "verdict: " in out
    assert f"(ledger: entry {entries()[-1].number})" in out
    assert [one.name for one in contributors()] == [BEN.name]
    assert ANA.name not in out
    status, out, _ = forget("erase", ANA.name)
    assert (status, out) == (2, "")


def test_a_method_and_its_knobs_can_be_chosen(forget, files):
    teach_both(forget, files)
    status, out, _ = forget("erase", ANA.name, "--method", "finetune", "--set", "min_steps=30",
                            "--references", 2)
    assert (status, "by finetune" in out) == (0, True)
    body = entries()[-1].body
    assert (body["params"]["min_steps"], body["references"]) == (30, 2)


@pytest.mark.parametrize(("learner", "method"), [("sisa", "sisa"), ("convex", "certified")])
def test_the_method_that_proves_most_is_taken_where_none_is_named(forget, files, learner, method):
    knobs = ("--set", "shards=2", "--set", "slices=2") if learner == "sisa" else ()
    teach_both(forget, files, "--learner", learner, *knobs)
    status, out, _ = forget("erase", ANA.name)
    assert (status, f"by {method}" in out) == (0, True)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--method", "magic"), "magic"), (("--method", "sisa"), "needs the learner"),
    (("--set", "magic=1"), "magic"), (("--set", "magic"), "KNOB=VALUE"),
    (("--references", "0"), "between 1 and 100")])
def test_a_wrong_method_is_bad_input_and_leaves_all_there(forget, files, arguments, said):
    teach_both(forget, files)
    kept_on_disk.keep([Photo(ANA.name, "x.jpg", b"photo")])
    status, _, err = forget("erase", ANA.name, *arguments)
    assert (status, said in err) == (2, True)
    assert len(kept(SMALL, ANA.name)) == 4 and requests.waiting() == []
    assert kept_on_disk.folder_of(ANA.name).exists()


def test_photos_that_were_only_kept_are_deleted_and_that_is_said(forget):
    kept_on_disk.keep([Photo(ANA.name, "x.jpg", b"photo")])
    status, out, _ = forget("erase", ANA.name)
    assert (status, "1 kept photo" in out) == (0, True)
    assert not kept_on_disk.folder_of(ANA.name).exists()


def test_a_request_that_cannot_be_carried_out_ends_with_1_and_another_method_works(
        forget, files, monkeypatch):
    teach_both(forget, files)

    def refuse(self, model, task):
        raise commands.BadInput("it does not suit")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(FineTune, "steps", refuse)
        status, out, _ = forget("erase", ANA.name, "--method", "finetune")
    assert status == 1
    assert "not carried out: it does not suit" in out and "another method" in out
    assert len(kept(SMALL, ANA.name)) == 4
    assert forget("erase", ANA.name)[0] == 0
    assert kept(SMALL, ANA.name) == []


def test_what_is_spent_is_said_beforehand(forget, files):
    teach_both(forget, files, *GUO, "--set", "sigma=0.0095")
    status, _, err = forget("erase", ANA.name)
    assert (status, "of the budget" in err, "trained anew" in err) == (0, True, False)
    status, _, err = forget("erase", BEN.name)
    assert (status, "of the budget" in err, "trained anew" in err) == (0, True, True)
    assert entries()[-1].body["anew"] is True


@pytest.mark.parametrize("name", ["", "  "])
def test_erasing_nobody_erases_nothing(forget, files, name):
    teach_both(forget, files)
    kept_on_disk.keep([Photo(ANA.name, "x.jpg", b"photo")])
    assert forget("erase", name)[0] in (0, 2)
    assert kept_on_disk.folder_of(ANA.name).exists() and len(kept(SMALL)) == 8


# queue


def test_a_policy_is_shown_and_set(forget):
    status, out, _ = forget("queue")
    assert (status, out) == (0, "Small people: requests are carried out at once\n")
    status, out, _ = forget("queue", "small", "--batch", 3)
    assert (status, out) == (0, "Small people: requests are carried out when 3 wait\n")
    assert requests.policy(SMALL) == 3


def test_a_limit_for_publications_is_shown_set_and_lifted(forget):
    status, out, _ = forget("queue", "small", "--most-epsilon", 2.5)
    assert status == 0
    assert "may allow epsilon 2.5 together" in out
    assert composition.limit(SMALL) == 2.5
    status, out, _ = forget("queue", "small", "--most-epsilon", 0)
    assert (status, out) == (0, "Small people: requests are carried out at once\n")
    assert composition.limit(SMALL) is None


@pytest.mark.parametrize(("arguments", "said"), [
    (("--most-epsilon", "2"), "name the base"), (("small", "--most-epsilon", "nan"), "a number"),
    (("small", "--most-epsilon", "-1"), "a number"), (("small", "--most-epsilon", "x"), "float"),
    (("nowhere",), "cannot be taught"), (("--batch", "2"), "name the base"),
    (("small", "--batch", "0"), "1 to 1000"), (("small", "--batch", "x"), "invalid int")])
def test_a_policy_that_is_none_is_bad_input(forget, arguments, said):
    status, _, err = forget("queue", *arguments)
    assert (status, said in err) == (2, True)
    assert requests.policy(SMALL) == 1


def test_requests_that_wait_are_shown_without_a_name_and_carried_out_when_asked(forget, files):
    teach_both(forget, files)
    forget("queue", "small", "--batch", 2)
    status, out, _ = forget("erase", ANA.name)
    assert (status, "1 request waits" in out) == (0, True)
    status, out, _ = forget("queue")
    assert status == 0 and "request 1, asked " in out and "4 samples by retrain" in out
    assert ANA.name not in out
    assert len(kept(SMALL, ANA.name)) == 4
    status, out, _ = forget("queue", "--run")
    assert (status, "samples forgotten and deleted" in out) == (0, True)
    assert kept(SMALL, ANA.name) == [] and requests.waiting() == []
    assert forget("queue", "--run")[0] == 0


def test_the_second_request_of_a_batch_carries_both_out(forget, files):
    teach_both(forget, files)
    forget("queue", "small", "--batch", 2)
    forget("erase", ANA.name)
    status, out, _ = forget("erase", BEN.name)
    assert (status, out.count("forgotten and deleted")) == (0, 2)
    assert contributors() == []


def test_carrying_out_at_once_from_now_on_leaves_nobody_waiting(forget, files):
    teach_both(forget, files)
    forget("queue", "small", "--batch", 3)
    forget("erase", ANA.name)
    status, out, _ = forget("queue", "small", "--batch", 1)
    assert status == 0 and requests.waiting() == []
    assert "forgotten and deleted" in out


def test_each_retrain_that_the_queue_will_need_is_said_beforehand(forget, files):
    # The first fits into the budget, and the second does not any more after it.
    teach_both(forget, files, *GUO, "--set", "sigma=0.0095")
    forget("queue", "small", "--batch", 5)
    for person in (ANA, BEN):
        requests.ask(person.name, {"small": Certified()})
    status, _, err = forget("queue", "--run")
    assert status == 0 and "of the budget" in err
    assert [entry.body["anew"] for entry in entries()[-2:]] == [False, True]
    assert "trained anew" in err


# trace


def test_what_is_held_and_found_is_shown(forget, files):
    teach_both(forget, files)
    status, out, _ = forget("trace", f" {ANA.name} ")
    assert status == 0
    assert "small: 4 samples" in out and "learnt from 4 of them" in out
    assert "ledger entries about them: 1\n" in out
    assert f"found the name in {database.NAME}" in out
    assert f"found a picture in {database.NAME}" in out
    shown = json.loads(forget("trace", ANA.name, "--json")[1])
    assert (shown["samples"], shown["waiting"], shown["ledger_entries"]) == (4, [], [1])
    (model,) = shown["models"]
    assert {"file": f"taught/{model}", "what": "a model that learnt from the samples"} \
        in shown["found"]


def test_an_unknown_name_is_told_so_after_the_search(forget):
    status, out, err = forget("trace", "Nobody Known")
    assert (status, out) == (2, "the records hold nothing about this contributor\n"
                                "a search of the whole data folder found nothing\n")
    assert "nothing is held about this contributor" in err
    status, out, _ = forget("trace", "Nobody Known", "--json")
    assert status == 2
    assert json.loads(out) == {"samples": 0, "models": {}, "waiting": [], "ledger_entries": [],
                               "kept_photos": 0, "found": []}
    assert not database.path().exists(), "looking makes no records"


@pytest.mark.parametrize("typed", [
    "josé  alvarez", "Jose Álvares", "'José Álvarez'", "JOSÉ ÁLVAREZ"])
def test_an_unknown_name_is_told_the_nearest(forget, files, typed):
    forget("teach", "small", *files(ANA), "--by", "José Álvarez", "--label", ANA.name)
    for command in ("trace", "erase"):
        status, _, err = forget(command, typed)
        assert status == 2
        assert err.endswith("did you mean 'José Álvarez'?\n")
    status, out, _ = forget("trace", "  Jose\u0301   A\u0301lvarez")  # another form of the same
    assert (status, "4 samples" in out) == (0, True)


def test_after_erasing_even_the_files_themselves_lead_to_nothing(forget, files):
    paths = files(ANA)
    teach_both(forget, files)
    before = json.loads(forget("trace", ANA.name, "--json", "--like", *paths)[1])
    assert before["found"]
    forget("erase", ANA.name)
    status, out, _ = forget("trace", ANA.name, "--like", *paths)
    assert status == 0 and "found nothing" in out
    (downloads() / "left.tmp").write_bytes(b"xyz" + paths[2].read_bytes())
    status, out, _ = forget("trace", ANA.name, "--like", *paths)
    assert status == 0 and "in left.tmp" in out


def test_files_to_look_for_that_are_not_there_are_bad_input(forget, tmp_path):
    status, _, err = forget("trace", ANA.name, "--like", tmp_path / "missing")
    assert (status, "cannot be read" in err) == (2, True)


# ledger


def test_an_empty_ledger_verifies(forget):
    status, out, _ = forget("ledger", "verify")
    assert (status, out.splitlines()[0]) == (0, "verified: 0 entries")
    for sentence in ledger.UNPROVEN:
        assert sentence in out
    assert not database.path().exists()


def test_a_ledger_that_was_tampered_with_ends_with_1(forget, files):
    teach_both(forget, files)
    forget("erase", ANA.name)
    status, out, _ = forget("ledger", "verify")
    assert (status, out.splitlines()[0]) == (0, f"verified: {len(entries())} entries")
    tamper("UPDATE ledger SET body = replace(body, '\"samples\"', '\"sample\"') WHERE number = 1")
    status, out, err = forget("ledger", "verify")
    assert (status, "NO: entry 1" in out, "does not verify" in err) == (1, True, True)


@pytest.mark.parametrize("statement", [
    "DELETE FROM ledger WHERE number = (SELECT max(number) FROM ledger)",
    "DELETE FROM ledger WHERE number = 1", "DELETE FROM ledger", "DELETE FROM ledger_end",
    "UPDATE ledger SET body = 'no JSON' WHERE number = 2",
    "UPDATE ledger SET body = '{\"x\":NaN}' WHERE number = 2",
    "UPDATE ledger SET body = CAST(x'ff' AS TEXT) WHERE number = 2",
    "UPDATE ledger SET at = x'ff' WHERE number = 2",
    "UPDATE ledger_end SET seal = 'é'",
])
def test_whatever_was_tampered_with_verifying_ends_with_1_and_a_sentence(forget, statement):
    give(ANA)
    give(BEN)
    give(CLEO)
    tamper(statement)
    status, out, err = forget("ledger", "verify")
    assert (status, out.startswith("NO: ")) == (1, True)
    assert "Traceback" not in err


def test_an_export_verifies_elsewhere_and_shows_what_came_off(forget, tmp_path, monkeypatch):
    give(ANA)
    status, text, _ = forget("ledger", "export")
    earlier = tmp_path / "earlier.json"
    earlier.write_text(text)
    assert status == 0 and json.loads(text)["kind"] == ledger.KIND
    give(BEN)
    later = tmp_path / "later.json"
    later.write_text(forget("ledger", "export")[1])
    assert forget("ledger", "verify", "--against", earlier)[0] == 0
    assert forget("ledger", "verify", later, "--against", earlier)[0] == 0
    status, out, _ = forget("ledger", "verify", earlier, "--against", later)
    assert (status, "NO: entry 2 of the earlier export" in out) == (1, True)
    monkeypatch.setenv("FORGET_HOME", str(tmp_path / "another machine"))
    assert forget("ledger", "verify", later)[0] == 0
    assert forget("ledger", "verify", "--against", earlier)[0] == 1


def test_an_altered_export_ends_with_1_and_what_is_none_with_2(forget, tmp_path):
    give(ANA)
    text = forget("ledger", "export")[1]
    path = tmp_path / "export.json"
    path.write_text(text.replace('"samples": 4', '"samples": 5'))
    status, out, _ = forget("ledger", "verify", path)
    assert (status, "altered" in out) == (1, True)
    for data in (b"", b"{}", b"\xff\xfe", text[:-20].encode()):
        path.write_bytes(data)
        status, out, err = forget("ledger", "verify", path)
        assert (status, out) == (2, "")
        assert "no exported ledger" in err
    assert forget("ledger", "verify", tmp_path / "missing")[0] == 2
    assert forget("ledger", "verify", "--against", tmp_path / "missing")[0] == 2
    assert forget("ledger", "magic")[0] == 2


def test_a_clock_that_was_set_back_is_told_on_the_side(forget, monkeypatch):
    give(ANA)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: "2001-01-01T00:00:00.000+00:00")
        give(BEN)
    status, out, err = forget("ledger", "verify")
    assert (status, "clock was set back" in err, "verified: 2" in out) == (0, True, True)


# What keeps every command from working is said in a sentence


COMMANDS = (("teach", "small"), ("erase", ANA.name), ("queue", "--run"), ("trace", ANA.name),
            ("ledger", "verify"), ("ledger", "export"))


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_damaged_records_end_every_command_with_1_and_a_sentence(forget, arguments):
    give(ANA)
    database.path().write_bytes(b"no database " * 1000)
    status, out, err = forget(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("forget: ") and "damaged" in err and err.count("\n") == 1


@pytest.mark.parametrize("arguments", COMMANDS[:2], ids=" ".join)
def test_records_held_by_another_program_end_what_writes_with_1(forget, arguments, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    give(ANA)
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        status, _, err = forget(*arguments)
        other.execute("ROLLBACK")
    assert (status, "another program" in err) == (1, True)
    assert len(kept(SMALL)) == 4


def test_nothing_that_is_said_names_who_gave(forget, files, monkeypatch):
    monkeypatch.setattr(contributions, "MOST", 3)
    for arguments in (("teach", "small", *files(ANA), "--by", ANA.name, "--label", ANA.name),
                      ("erase", ANA.name, "--method", "sisa"), ("queue",)):
        _, out, err = forget(*arguments)
        assert ANA.name not in out + err


def test_what_is_said_of_a_file_is_one_line_whatever_it_is_called(home, capsys):
    for name in ("a\nb", "\x1b[2Ja", "\u202ea", "\udcff", "x" * 100_000):
        for command in (["ledger", "verify", name], ["teach", name], ["queue", name],
                        ["verify", name, "--model", name, "--data", "mnist"],
                        ["train", "mnist", "--set", name], ["trace", "Ana", "--like", name]):
            assert cli.main(command) == 2
            (said,) = capsys.readouterr().err.splitlines()
            assert said.isprintable() and len(said) < 2_000, (command, said[:99])


def test_of_the_faults_of_a_ledger_a_hundred_are_said(home, tmp_path, capsys):
    entry = {"number": 7, "at": "", "what": "", "subject": "", "body": {}, "previous": "",
             "hash": ""}
    export = tmp_path / "export.json"
    export.write_text(json.dumps({"kind": ledger.KIND, "entries": [entry] * 300, "end": None}))
    assert cli.main(["ledger", "verify", str(export)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 101 and said[-1] == "NO: and 502 faults more"
