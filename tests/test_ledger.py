"""The ledger: whatever is altered, removed, added or put in another order is found, and what is
odd and no fault is only noted."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import sqlite3

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_base import tamper

from forget.core.errors import BadInput, ForgetError
from forget.io.private import machine_key
from forget.records import database, ledger
from forget.records.database import reading, writing
from forget.records.ledger import (
    Entry,
    append,
    entries,
    export_text,
    extends,
    read_export,
    seal_of,
    subject_of,
    verify,
    verify_chain,
)

BODIES = ({"base": "small", "samples": 3}, {"base": "small", "accuracy": 0.1, "how": "retrain"},
          {}, {"nested": {"list": [1, 2.5, None, True], "text": "Größe “7”"}},
          {"base": "small", "samples": 3})
COUNT = len(BODIES)
SUBJECT = subject_of(b"k" * 32, "Ana Example")

numbers = st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(st.none() | st.booleans() | numbers | st.text(),
                     lambda inner: st.lists(inner, max_size=4)
                     | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12)
bodies = st.dictionaries(st.text(), plain, max_size=5)


@pytest.fixture(autouse=True)
def _home(home):
    """An empty folder for each test."""


def fill() -> None:
    for number, body in enumerate(BODIES):
        with writing() as db:
            append(db, f"what {number}", body, SUBJECT if number % 2 else ledger.NOBODY)


def read() -> tuple[list[Entry], dict]:
    with reading() as db:
        return entries(db), dict(db.execute("SELECT * FROM ledger_end").fetchone())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A ledger of five entries and its end, and the folder with the key of its seal."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("ledger")
        patch.setenv("FORGET_HOME", str(folder))
        fill()
        chain, end = read()
        seals = [seal_of(machine_key(), count, chain[count - 1].hash) for count in range(1, COUNT)]
    return folder, chain, end, seals


@pytest.fixture
def kept(written, monkeypatch):
    """The ledger of :func:`written`, and its end, on the machine that sealed it."""
    folder, chain, end, _ = written
    monkeypatch.setenv("FORGET_HOME", str(folder))
    return chain, end


def faults(chain, end) -> tuple[str, ...]:
    return verify_chain(chain, end).faults


def rehashed(chain: list[Entry]) -> list[Entry]:
    """The chain with numbers and hashes as they would be for these entries."""
    done, previous = [], ledger.START
    for number, entry in enumerate(chain, 1):
        entry = dataclasses.replace(entry, number=number, previous=previous)
        entry = dataclasses.replace(entry, hash=entry.expected)
        done.append(entry)
        previous = entry.hash
    return done


def with_one(chain, place: int, entry: Entry) -> list[Entry]:
    return [*chain[:place], entry, *chain[place + 1:]]


# As it was written


def test_an_empty_ledger_verifies():
    with reading() as db:
        assert verify(db) == ledger.Verified(0, (), ())
    with writing() as db:
        assert verify(db) == ledger.Verified(0, (), ())


def test_a_ledger_as_it_was_written_verifies(kept):
    chain, _ = kept
    assert [entry.number for entry in chain] == list(range(1, COUNT + 1))
    assert [entry.body for entry in chain] == list(BODIES)
    assert chain[0].previous == "0" * 64
    assert all(after.previous == before.hash
               for before, after in itertools.pairwise(chain))
    with reading() as db:
        assert verify(db) == ledger.Verified(COUNT, (), ())


def test_an_entrys_hash_is_sha256_of_canonical_json_that_anybody_can_write_again(kept):
    for entry in kept[0]:
        shown = {"number": entry.number, "at": entry.at, "what": entry.what,
                 "subject": entry.subject, "body": entry.body, "previous": entry.previous}
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
        assert entry.hash == hashlib.sha256(text.encode()).hexdigest()


@settings(max_examples=30)
@given(body=bodies)
def test_whatever_plain_data_an_entry_holds_verifies_and_comes_back_the_same(body):
    with contextlib.closing(database._empty()) as db:
        append(db, "anything", body)
        append(db, "anything", {})
        (first, _), verified = entries(db), verify(db)
        assert not verified.faults and verified.count == 2
        assert first.body == body
        chain, end = read_export(export_text(db))
        assert chain == entries(db)
        assert not verify_chain(chain, end).faults


@pytest.mark.parametrize("value", [0.1, 1e300, 5e-324, -0.0, 1 / 3, 2**53 + 1, "\u2028é\U0001f600",
                                   "\ud800", "\x00"])
def test_numbers_and_signs_that_are_easily_lost_stay_as_they_are(value):
    with writing() as db:
        append(db, "anything", {"value": value})
    with reading() as db:
        (entry,) = entries(db)
        assert not verify(db).faults
        assert repr(entry.body["value"]) == repr(value)
        assert read_export(export_text(db))[0] == [entry]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_what_is_no_plain_data_is_refused_and_leaves_nothing(value):
    fill()
    with pytest.raises((ValueError, TypeError)), writing() as db:
        append(db, "anything", {"value": value})
    assert len(read()[0]) == COUNT


def test_one_key_and_name_give_one_subject_and_another_key_another():
    assert subject_of(b"a" * 32, "Ana") == subject_of(b"a" * 32, "Ana")
    others = {subject_of(b"a" * 32, "Ana"), subject_of(b"b" * 32, "Ana"),
              subject_of(b"a" * 32, "Ben"), hashlib.sha256(b"Ana").hexdigest()}
    assert len(others) == 4


# Anything changed in the chain


@given(data=st.data())
def test_any_altered_field_of_any_entry_is_found(written, data):
    folder, chain, end, _ = written
    place = data.draw(st.integers(0, COUNT - 1))
    field = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Entry)]))
    value = data.draw({"number": st.integers(-3, 2**70), "body": bodies}.get(field, st.text()))
    before = getattr(chain[place], field)
    assume(json.dumps(value, sort_keys=True) != json.dumps(before, sort_keys=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder))
        changed = dataclasses.replace(chain[place], **{field: value})
        assert faults(with_one(chain, place, changed), end)


@pytest.mark.parametrize("place", range(COUNT))
def test_one_sign_changed_in_any_field_is_found(kept, place):
    chain, end = kept
    for field in ("at", "what", "subject", "previous", "hash"):
        text = getattr(chain[place], field)
        for altered in (text + "0", text[1:], text.swapcase()):
            if altered != text:
                changed = dataclasses.replace(chain[place], **{field: altered})
                assert faults(with_one(chain, place, changed), end), (field, altered)


@pytest.mark.parametrize("place", range(COUNT))
def test_an_entry_altered_and_hashed_anew_is_found(kept, place):
    chain, end = kept
    changed = dataclasses.replace(chain[place], body={"samples": 1_000})
    changed = dataclasses.replace(changed, hash=changed.expected)
    assert faults(with_one(chain, place, changed), end)


@pytest.mark.parametrize("place", range(COUNT))
def test_a_removed_entry_is_found_wherever_it_stood(kept, place):
    chain, end = kept
    rest = [*chain[:place], *chain[place + 1:]]
    assert faults(rest, end)
    assert faults(rehashed(rest), end)
    last = rehashed(rest)[-1]
    assert faults(rehashed(rest), end | {"count": len(rest), "hash": last.hash})


def test_all_entries_after_any_place_removed_is_found(kept):
    chain, end = kept
    for count in range(COUNT):
        assert faults(chain[:count], end)
        last = chain[count - 1].hash if count else ledger.START
        assert faults(chain[:count], end | {"count": count, "hash": last})


@pytest.mark.parametrize("place", range(COUNT + 1))
def test_an_added_entry_is_found_wherever_it_is_put(kept, place):
    chain, end = kept
    for new in (chain[0], chain[-1], dataclasses.replace(chain[0], what="made up")):
        longer = [*chain[:place], new, *chain[place:]]
        assert faults(longer, end)
        longer = rehashed(longer)
        assert faults(longer, end)
        assert faults(longer, end | {"count": len(longer), "hash": longer[-1].hash})


@given(order=st.permutations(range(COUNT)))
def test_any_other_order_is_found(written, order):
    folder, chain, end, _ = written
    assume(order != list(range(COUNT)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder))
        mixed = [chain[place] for place in order]
        assert faults(mixed, end)
        numbered = [dataclasses.replace(entry, number=number)
                    for number, entry in enumerate(mixed, 1)]
        assert faults(numbered, end)
        assert faults(rehashed(mixed), end | {"hash": rehashed(mixed)[-1].hash})


@pytest.mark.parametrize("changed", [{"count": COUNT - 1}, {"count": COUNT + 1}, {"count": 0},
                                     {"hash": "0" * 64}, {"hash": ""}, {"seal": ""},
                                     {"seal": "0" * 64}, {"seal": "é"}, {"seal": None},
                                     {"seal": b"\x00"}, {"hash": None}])
def test_a_replaced_end_is_found(kept, changed):
    chain, end = kept
    assert faults(chain, end | changed)


def test_an_end_that_was_taken_away_is_found(kept):
    assert faults(kept[0], None)


def test_a_whole_ledger_written_anew_without_this_machines_key_is_found(written, home):
    _, chain, end, _ = written
    forged = rehashed([dataclasses.replace(entry, body={}) for entry in chain])
    for seal in (end["seal"], hashlib.sha256(forged[-1].hash.encode()).hexdigest(),
                 seal_of(machine_key(), COUNT, forged[-1].hash)):  # by the key of another machine
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FORGET_HOME", str(written[0]))
            assert faults(forged, {"count": COUNT, "hash": forged[-1].hash, "seal": seal})


def test_a_key_that_was_replaced_is_said(written, monkeypatch):
    _, chain, end, _ = written  # under another home, with another key
    (fault,) = faults(chain, end)
    assert "machine.key" in fault


# In the file


ALTERED = (
    *(f"UPDATE ledger SET {column} = {value} WHERE number = {number}"
      for number in (1, 3, COUNT)
      for column, value in (("at", "'2000-01-01T00:00:00.000+00:00'"), ("what", "'other'"),
                            ("subject", "'00'"), ("previous", "'00'"), ("hash", "'00'"),
                            ("body", "'{\"samples\":4}'"), ("number", "77"))),
    *(f"DELETE FROM ledger WHERE number = {number}" for number in (1, 3, COUNT)),
    "INSERT INTO ledger SELECT 6, at, what, subject, body, hash, hash FROM ledger WHERE number = 5",
    "DELETE FROM ledger",
    "DELETE FROM ledger_end",
    "UPDATE ledger_end SET count = 4",
    "UPDATE ledger_end SET seal = 'ff'",
)

HOSTILE = (
    "UPDATE ledger SET body = 'no JSON' WHERE number = 2",
    "UPDATE ledger SET body = '' WHERE number = 2",
    "UPDATE ledger SET body = '[]' WHERE number = 2",
    "UPDATE ledger SET body = 'null' WHERE number = 2",
    "UPDATE ledger SET body = '{\"x\":NaN}' WHERE number = 2",
    "UPDATE ledger SET body = '{\"x\":1e999}' WHERE number = 2",
    "UPDATE ledger SET body = x'ff' WHERE number = 2",
    "UPDATE ledger SET body = CAST(x'ff' AS TEXT) WHERE number = 2",
    f"UPDATE ledger SET body = '{'[' * 50_000}' WHERE number = 2",
    "UPDATE ledger SET at = x'00' WHERE number = 2",
    "UPDATE ledger SET at = 5 WHERE number = 2",
    "UPDATE ledger SET what = CAST(x'ff' AS TEXT) WHERE number = 2",
    "UPDATE ledger SET hash = x'ff' WHERE number = 2",
    "UPDATE ledger_end SET seal = 'é'",
    "UPDATE ledger_end SET seal = x'ff'",
    "UPDATE ledger_end SET seal = CAST(x'ff' AS TEXT)",
    "UPDATE ledger_end SET hash = x'ff'",
    "UPDATE ledger_end SET count = 'many'",
)

SAID_TWICE = (
    # The text of an entry is not what was written, though a reader of JSON takes it for the same.
    "UPDATE ledger SET body = '{\"base\":\"small\",\"samples\":\"Ana\",\"samples\":3}' "
    "WHERE number = 1",
    "UPDATE ledger SET body = body || '      ' WHERE number = 1",
)


@pytest.mark.parametrize("statement", ALTERED + HOSTILE + SAID_TWICE,
                         ids=lambda statement: statement[:60])
def test_what_somebody_alters_in_the_file_is_found(statement):
    fill()
    tamper(statement)
    with reading() as db:
        assert verify(db).faults


def test_entries_taken_off_by_somebody_who_has_an_earlier_export_are_found():
    fill()
    with reading() as db:
        earlier = json.loads(export_text(db))["end"]
    for _ in range(3):
        with writing() as db:
            append(db, "later", {})
    tamper(f"DELETE FROM ledger WHERE number > {earlier['count']}",
           f"UPDATE ledger_end SET count = {earlier['count']}, hash = '{earlier['hash']}', "
           f"seal = '{earlier.get('seal', '')}'")
    with reading() as db:
        assert verify(db).faults


@pytest.mark.parametrize("statement", [
    "UPDATE ledger SET what = 'other' WHERE number = 1",
    "UPDATE ledger SET number = 9 WHERE number = 1",
    "DELETE FROM ledger WHERE number = 5",
    "DELETE FROM ledger",
    "INSERT OR REPLACE INTO ledger SELECT number, at, 'other', subject, body, previous, hash "
    "FROM ledger WHERE number = 1",
])
def test_the_program_itself_cannot_alter_or_remove_entries(statement):
    fill()
    before = read()
    with pytest.raises(sqlite3.IntegrityError), writing() as db:
        db.execute(statement)
    assert read() == before


def test_an_entry_is_written_with_its_transaction_or_not_at_all():
    fill()
    before = read()
    with pytest.raises(KeyboardInterrupt), writing() as db:
        append(db, "never", {})
        raise KeyboardInterrupt
    assert read() == before
    with writing() as db:
        assert append(db, "next", {}) == COUNT + 1
    with reading() as db:
        assert not verify(db).faults


# The clock


def test_a_clock_that_was_set_back_is_noted_and_nothing_is_lost(monkeypatch):
    fill()
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: "2001-01-01T00:00:00.000+00:00")
        for _ in range(2):
            with writing() as db:
                append(db, "later", {})
    with reading() as db:
        verified = verify(db)
    assert verified.count == COUNT + 2 and not verified.faults
    (note,) = verified.notes
    assert f"entry {COUNT + 1} " in note and "clock" in note


def test_times_are_utc_and_sort_as_they_come():
    times = [ledger.now() for _ in range(50)]
    assert times == sorted(times)
    assert all(one.endswith("+00:00") and len(one) == len(times[0]) for one in times)


# Exports


def exported() -> str:
    with reading() as db:
        return export_text(db)


def test_an_export_comes_back_as_it_was_and_verifies():
    fill()
    chain, end = read_export(exported())
    assert chain == read()[0]
    verified = verify_chain(chain, end)
    assert (verified.count, verified.faults) == (COUNT, ())
    assert json.loads(exported())["does_not_prove"] == list(ledger.UNPROVEN)


def test_an_empty_ledgers_export_verifies():
    chain, end = read_export(exported())
    assert (chain, end) == ([], None)
    assert not verify_chain(chain, end).faults


def test_an_export_is_checked_on_a_machine_without_the_key(written, home):
    _, chain, end, _ = written
    assert not verify_chain(chain, {"count": end["count"], "hash": end["hash"]}).faults


@given(data=st.data())
def test_an_altered_export_is_found_or_is_no_export(written, data):
    folder = written[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder))
        shown = json.loads(exported())
    one = data.draw(st.sampled_from(shown["entries"]))
    field = data.draw(st.sampled_from(sorted(one)))
    value = data.draw(plain)
    assume(json.dumps(value) != json.dumps(one[field]))
    one[field] = value
    try:
        chain, end = read_export(json.dumps(shown))
    except BadInput:
        return
    assert verify_chain(chain, end).faults


HOSTILE_EXPORTS = {
    "nothing": "", "no JSON": "{", "another kind": '{"kind": "else", "entries": [], "end": null}',
    "a list": "[]", "a number": "3", "nested": "[" * 100_000,
    "entries of another kind": '{"kind": "KIND", "entries": 5, "end": null}',
    "an entry of another kind": '{"kind": "KIND", "entries": [5], "end": null}',
    "a field too many": '{"kind": "KIND", "entries": [{"number": 1, "more": 2}], "end": null}',
    "an endless end": '{"kind": "KIND", "entries": [], "end": {"count": 1e999, "hash": "", '
                      '"seal": ""}}',
    "an end of another kind": '{"kind": "KIND", "entries": [], "end": [1]}',
    "no end": '{"kind": "KIND", "entries": []}',
    "a large number": '{"kind": "KIND", "entries": [], "end": {"count": ' + "9" * 5000 + "}}",
    "no number": '{"kind": "KIND", "entries": [{"number": 1, "at": "", "what": "", "subject": "",'
                 ' "body": {"x": NaN}, "previous": "", "hash": ""}], "end": null}',
}


@pytest.mark.parametrize("text", HOSTILE_EXPORTS.values(), ids=HOSTILE_EXPORTS)
def test_a_hostile_export_is_refused_with_a_sentence_or_does_not_verify(text):
    try:
        chain, end = read_export(text.replace("KIND", ledger.KIND))
    except ForgetError as error:
        assert "export" in str(error)
    else:
        assert verify_chain(chain, end).faults


@pytest.mark.parametrize("odd", ["\ud800", "\x1b[2J", "\n", "\u202e"])
@pytest.mark.parametrize("field", ["at", "what", "subject", "hash"])
def test_what_is_said_about_an_export_can_be_printed_whatever_stands_in_it(odd, field):
    fill()
    shown = json.loads(exported())
    shown["entries"][3][field] = odd
    try:
        chain, end = read_export(json.dumps(shown))
        verified = verify_chain(chain, end)
        assert verified.faults
        said = " ".join((*verified.faults, *verified.notes))
    except BadInput as error:
        said = str(error)
    assert said.encode() and odd not in said


def test_a_later_ledger_begins_with_an_earlier_export():
    fill()
    earlier, _ = read_export(exported())
    with writing() as db:
        append(db, "later", {})
    chain, _ = read()
    assert extends(chain, earlier) == []
    assert extends(chain, chain) == []
    assert extends(chain, []) == []
    assert extends(earlier, chain)  # an entry was taken off since
    assert extends(rehashed([dataclasses.replace(entry, body={}) for entry in chain]), earlier)
    assert extends(rehashed(chain[1:]), earlier)


def test_an_earlier_export_that_was_altered_itself_is_no_proof():
    fill()
    earlier, _ = read_export(exported())
    altered = with_one(earlier, 1, dataclasses.replace(earlier[1], body={"samples": 9}))
    assert extends(read()[0], altered)
