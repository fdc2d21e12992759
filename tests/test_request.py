"""Deletion requests: every form that a person may write, and every wrong one refused."""

import numpy as np
import pytest
import torch
from conftest import tiny_dataset
from hypothesis import example, given
from hypothesis import strategies as st

from forget.core.errors import BadInput
from forget.data import Dataset, Samples
from forget.unlearning.request import Forgotten, Request, parse_request, split

TINY = tiny_dataset()
N = len(TINY.train)
PER_CLASS = 60
NOTHING = Forgotten()


def is_valid(request: Request, already: Forgotten = NOTHING) -> None:
    ids = request.ids
    assert ids.dtype == torch.int64
    assert 1 <= len(request) == len(ids) < N
    assert torch.equal(ids, ids.unique())
    assert ids[0] >= 0
    assert ids[-1] < N
    assert not torch.isin(ids, already.ids).any()
    left = torch.ones(N, dtype=torch.bool)
    left[ids] = left[already.ids] = False
    assert len(TINY.train.y[left].unique()) >= 2


@pytest.mark.parametrize("index", range(4))
def test_a_class_request_names_all_training_samples_of_the_class(index):
    request = parse_request(f"class:{TINY.classes[index]}", TINY, 0)
    is_valid(request)
    assert request.class_index == index
    assert len(request) == PER_CLASS
    assert set(TINY.train.y[request.ids].tolist()) == {index}


@pytest.mark.parametrize("count", [1, 2, 17, 100])
def test_a_random_request_has_the_count_asked_for(count):
    request = parse_request(f"random:{count}", TINY, 3)
    is_valid(request)
    assert len(request) == count
    assert request.class_index is None


def test_a_samples_request_names_exactly_its_ids():
    request = parse_request("samples:3,17,99", TINY, 0)
    is_valid(request)
    assert request.ids.tolist() == [3, 17, 99]
    assert request.class_index is None


@pytest.mark.parametrize("spec", ["samples:99,3,17", "samples:3,3,17,99,17", "samples: 17, 3 ,99"])
def test_ids_come_out_sorted_and_once(spec):
    assert parse_request(spec, TINY, 0).ids.tolist() == [3, 17, 99]


def test_the_first_and_the_last_id_are_in_range():
    assert parse_request(f"samples:0,{N - 1}", TINY, 0).ids.tolist() == [0, N - 1]


def test_the_spec_is_kept_as_it_was_written():
    assert parse_request("samples:3, 1", TINY, 0).spec == "samples:3, 1"


def test_the_seed_does_not_change_a_class_or_samples_request():
    for spec in ("class:b", "samples:4,5"):
        assert torch.equal(parse_request(spec, TINY, 0).ids, parse_request(spec, TINY, 1).ids)


def test_random_is_the_same_for_a_seed_and_differs_between_seeds():
    draws = [parse_request("random:30", TINY, seed).ids for seed in (0, 0, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[2], draws[3])


def test_random_takes_nothing_from_the_global_generators():
    torch.manual_seed(0)
    np.random.seed(0)
    first = parse_request("random:30", TINY, 5).ids
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(first, parse_request("random:30", TINY, 5).ids)


def test_random_draws_from_every_class():
    assert len(TINY.train.y[parse_request("random:100", TINY, 0).ids].unique()) == 4


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "not a request"), ("7", "not a request"), ("klass:a", "not a request"),
        ("Class:a", "not a request"), (":", "not a request"), (" class:a", "not a request"),
        ("class", "no class ''"), ("class:", "no class ''"), ("class:z", "no class 'z'"),
        ("class:A", "no class 'A'"), ("class:0", "no class '0'"), ("class:a,b", "no class 'a,b'"),
        ("random:", "not a count"), ("random:x", "not a count"), ("random:-1", "not a count"),
        ("random:1.5", "not a count"), ("random:1e2", "not a count"), ("random:nan", "not a count"),
        ("random:²", "not a count"), ("random:" + "9" * 5000, "not a count"),
        ("random:0", "out of range"), (f"random:{N}", "out of range"),
        (f"random:{N + 1}", "out of range"), ("random:999999999999", "out of range"),
        ("samples:", "not a sample id"), ("samples:,", "not a sample id"),
        ("samples:1,,2", "not a sample id"), ("samples:1,", "not a sample id"),
        ("samples:a", "not a sample id"), ("samples:-1", "not a sample id"),
        ("samples:1;2", "not a sample id"), ("samples:1.0", "not a sample id"),
        (f"samples:{N}", "no training sample"), (f"samples:1,{10**11}", "no training sample"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_and_told_why(spec, says):
    with pytest.raises(BadInput, match=says) as caught:
        parse_request(spec, TINY, 0)
    assert "\n" not in str(caught.value)


def test_an_unknown_class_is_told_the_classes():
    with pytest.raises(BadInput, match="it has a, b, c, d"):
        parse_request("class:z", TINY, 0)


NAMES = ("José Álvarez", "Anna  Lena", "ＡＢＣ", "7", "straße")


def named(names: tuple[str, ...] = NAMES) -> Dataset:
    """The small data with classes of these names; those beyond the data's four have no sample."""
    return Dataset("named", names, TINY.train, TINY.held_out, TINY.test)


@pytest.mark.parametrize(("typed", "index"), [
    ("José Álvarez", 0), ("Jose\u0301 A\u0301lvarez", 0), ("José  Álvarez", 0),
    (" José Álvarez ", 0), ("José\u00a0Álvarez", 0), ("José\tÁlvarez\n", 0),
    ("José\u2003\u202fÁlvarez", 0), ("Anna  Lena", 1), ("Anna Lena", 1), (" 7", 3),
])  # fmt: skip
def test_a_class_is_known_in_every_spelling_that_looks_the_same(typed, index):
    request = parse_request(f"class:{typed}", named(), 0)
    assert request.class_index == index
    assert request.spec == f"class:{NAMES[index]}", "records and keys are made of one spelling"


@pytest.mark.parametrize(("typed", "meant"), [
    ("josé álvarez", "José Álvarez"), ("Jose Alvarez", "José Álvarez"),
    ("'José Álvarez'", "José Álvarez"), ("“José Álvarez”", "José Álvarez"),
    ("José\u200bÁlvarez", "José Álvarez"), ("José Alvares", "José Álvarez"),
    ("ABC", "ＡＢＣ"), ("abc", "ＡＢＣ"), ("STRASSE", "straße"), ('"7"', "7"),
])  # fmt: skip
def test_a_class_that_is_nearly_named_is_asked_back_and_not_guessed(typed, meant):
    with pytest.raises(BadInput, match=rf"\(did you mean '{meant}'\?\); it has"):
        parse_request(f"class:{typed}", named(), 0)


def test_an_exact_name_is_meant_before_one_that_looks_the_same():
    names = ("José", "Jose\u0301", "c", "d")
    for index, name in enumerate(names):
        assert parse_request(f"class:{name}", named(names), 0).class_index == index
    with pytest.raises(BadInput, match="has no class"):
        parse_request("class: José", named(names), 0)


@pytest.mark.parametrize("typed", ["x" * 10**6, "\x1b[31m\n7", "\ud800", "\u202e7"])
def test_an_odd_name_is_refused_in_one_short_line(typed):
    with pytest.raises(BadInput) as caught:
        parse_request(f"class:{typed}", named(tuple(map(str, range(10_000)))), 0)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_an_unknown_class_among_many_is_told_a_short_list():
    names = tuple(f"s{i}" for i in range(1, 41))
    many = Dataset("many", names, TINY.train, TINY.held_out, TINY.test)
    with pytest.raises(BadInput, match=r"s1, s2, s3, s4, s5, s6, …, s40$"):
        parse_request("class:z", many, 0)


def test_out_of_range_ids_are_told_the_range():
    with pytest.raises(BadInput, match=f"ids go from 0 to {N - 1}"):
        parse_request(f"samples:{N}", TINY, 0)


def test_out_of_range_counts_are_told_the_range():
    with pytest.raises(BadInput, match=f"from 1 to {N - 1}"):
        parse_request(f"random:{N}", TINY, 0)


def test_the_whole_dataset_is_refused():
    with pytest.raises(BadInput, match="fewer than two classes"):
        parse_request("samples:" + ",".join(map(str, range(N))), TINY, 0)


def test_all_but_one_class_is_refused():
    ids = torch.nonzero(TINY.train.y != 0).flatten().tolist()
    with pytest.raises(BadInput, match="fewer than two classes"):
        parse_request("samples:" + ",".join(map(str, ids)), TINY, 0)


def test_all_but_two_classes_is_allowed():
    ids = torch.nonzero(TINY.train.y > 1).flatten().tolist()
    assert len(parse_request("samples:" + ",".join(map(str, ids)), TINY, 0)) == 2 * PER_CLASS


def test_a_class_of_two_is_refused():
    with pytest.raises(BadInput, match="fewer than two classes"):
        parse_request("class:a", tiny_dataset(n_classes=2), 0)


def test_random_that_leaves_one_class_is_refused():
    with pytest.raises(BadInput, match="fewer than two classes"):
        parse_request(f"random:{N - 1}", TINY, 0)


def test_a_class_name_with_a_colon_is_found():
    odd = Dataset("odd", ("a:1", "b", "c", "d"), TINY.train, TINY.held_out, TINY.test)
    assert parse_request("class:a:1", odd, 0).class_index == 0


def test_random_is_disjoint_from_what_is_forgotten_already():
    already = Forgotten()
    for _ in range(4):
        request = parse_request("random:40", TINY, 0, already)
        is_valid(request, already)
        already = already + request
    assert len(already.ids) == 160


def test_a_second_random_request_is_another_draw():
    first = parse_request("random:40", TINY, 0)
    again = parse_request("random:40", TINY, 0, Forgotten((first,)))
    assert not torch.equal(first.ids, again.ids)


def test_a_class_after_samples_of_it_asks_for_the_rest_of_it():
    ids = torch.nonzero(TINY.train.y == 1).flatten()[:10].tolist()
    already = Forgotten() + parse_request("samples:" + ",".join(map(str, ids)), TINY, 0)
    request = parse_request("class:b", TINY, 0, already)
    is_valid(request, already)
    assert len(request) == PER_CLASS - 10


def test_a_class_twice_is_refused():
    already = Forgotten((parse_request("class:b", TINY, 0),))
    with pytest.raises(BadInput, match="nothing that is still there"):
        parse_request("class:b", TINY, 0, already)


def test_a_sample_twice_is_refused_by_its_number():
    already = Forgotten((parse_request("samples:5,6", TINY, 0),))
    with pytest.raises(BadInput, match="sample 6 is forgotten already"):
        parse_request("samples:6,7", TINY, 0, already)


def test_requests_one_after_the_other_may_not_leave_one_class():
    already = Forgotten()
    for name in "ab":
        already = already + parse_request(f"class:{name}", TINY, 0, already)
    with pytest.raises(BadInput, match="fewer than two classes"):
        parse_request("class:c", TINY, 0, already)


def test_random_counts_only_what_is_left():
    already = Forgotten((parse_request("class:a", TINY, 0),))
    with pytest.raises(BadInput, match=f"from 1 to {N - PER_CLASS - 1}"):
        parse_request(f"random:{N - PER_CLASS}", TINY, 0, already)


def test_split_gives_the_request_and_what_nobody_named():
    already = Forgotten((parse_request("class:a", TINY, 0),))
    request = parse_request("random:30", TINY, 0, already)
    forget, retain = split(TINY.train, request, already)
    assert torch.equal(forget.ids, request.ids)
    assert len(retain) == N - PER_CLASS - 30
    assert not torch.isin(retain.ids, forget.ids).any()
    assert not (retain.y == 0).any()
    assert torch.equal(retain.x, TINY.train.x[retain.ids])


def test_forgotten_joins_requests_and_names_classes():
    requests = [parse_request(spec, TINY, 0) for spec in ("samples:9,2", "class:c", "class:a")]
    forgotten = Forgotten() + requests[0] + requests[1] + requests[2]
    assert forgotten.classes == [0, 2]
    assert torch.equal(forgotten.ids, torch.cat([r.ids for r in requests]).unique())


def test_the_key_depends_on_the_ids_and_not_on_how_they_were_asked_for():
    ids = parse_request("class:a", TINY, 0).ids.tolist()
    one = Forgotten((parse_request("class:a", TINY, 0),))
    same = Forgotten((parse_request("samples:" + ",".join(map(str, ids)), TINY, 0),))
    other = Forgotten((parse_request("class:b", TINY, 0),))
    assert one.key == same.key
    assert len({one.key, other.key, Forgotten().key}) == 3


words = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}:{}".format,
        st.sampled_from(["class", "random", "samples", "Samples", ""]),
        st.one_of(
            st.text(max_size=10), st.text("0123456789,-. abcde", max_size=12),
            st.integers().map(str), st.sampled_from(["a", "b", "d", "e"]),
            st.lists(st.integers(0, N), max_size=6).map(lambda ids: ",".join(map(str, ids))),
        ),
    ),
)  # fmt: skip


@given(words, st.integers(0, 2**63 - 1))
@example("random:100", 2**63 - 1)
@example("samples:\x001", 0)
@example("samples:٣", 0)
@example("class:\ud800", 0)
def test_any_text_is_a_valid_request_or_bad_input(spec, seed):
    try:
        request = parse_request(spec, TINY, seed)
    except BadInput:
        return
    is_valid(request)


@given(st.lists(st.tuples(words, st.integers(0, 3)), max_size=4))
def test_any_row_of_requests_stays_disjoint(specs):
    already = Forgotten()
    for spec, seed in specs:
        try:
            request = parse_request(spec, TINY, seed, already)
        except BadInput:
            continue
        is_valid(request, already)
        already = already + request


@given(st.integers(1, 150), st.integers(0, 2**32))
def test_random_is_a_function_of_count_and_seed(count, seed):
    first, again = (parse_request(f"random:{count}", TINY, seed) for _ in range(2))
    is_valid(first)
    assert len(first) == count
    assert torch.equal(first.ids, again.ids)


def test_ids_are_rows_of_the_training_part():
    x = TINY.train.x
    request = parse_request("samples:8,200", TINY, 0)
    forget, _ = split(TINY.train, request, Forgotten())
    assert torch.equal(forget.x, torch.stack([x[8], x[200]]))
    assert isinstance(forget, Samples)
