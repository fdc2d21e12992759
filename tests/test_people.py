"""From photos with names to a dataset, with every fault of theirs said in a sentence."""

import dataclasses
import hashlib
import unicodedata

import made_up
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Small, encoded, photo, photos_of, picture
from PIL import Image, ImageEnhance

from forget.core.errors import BadInput, Cancelled
from forget.data.findings import grouped, in_short
from forget.data.people import (
    Photo,
    checked,
    natural,
    person_name,
    printable,
    shares,
    to_dataset,
)
from forget.faces import embed
from forget.faces.copies import copies_among, look_of
from forget.unlearning.request import Forgotten, keys_of, parse_request

PARTS = ("train", "held_out", "test")


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


def dataset_of(photos, **how):
    return to_dataset("mine", photos, Small(), private={}, **how)


def sentences(findings) -> tuple[str, ...]:
    return tuple(map(str, findings))


def findings_of(photos) -> tuple[str, ...]:
    return sentences(checked(photos, Small(), private={})[1])


def in_short_of(photos) -> list[str]:
    return [in_short(group) for group in grouped(checked(photos, Small(), private={})[1])]


def names_used(photos) -> list[tuple[str, str]]:
    return [(one.photo.person, one.photo.name) for one in checked(photos, Small(), private={})[0]]


GOOD = photos_of(Anna=4, Ben=6)


# The dataset.


def test_a_dataset_of_people():
    made = dataset_of(GOOD)
    assert made.name == "mine"
    assert made.classes == ("Anna", "Ben")
    assert [len(getattr(made, part)) for part in PARTS] == [4, 1, 5]
    assert (made.embedder, made.findings) == ("small", ())
    assert made.train.x.shape == (4, 12) and made.train.x.dtype == torch.float32
    assert made.held_out.pictures.shape == (1, 3, 96, 96)
    assert len(made.fingerprint) == 64


def test_every_row_belongs_to_its_photo_and_its_person():
    made = dataset_of(GOOD)
    known = {one.key: one for one in embed.embed([p.data for p in GOOD], Small(), keep=False)}
    person = {one.key: one.person for one in GOOD}
    seen = []
    for part in PARTS:
        samples = getattr(made, part)
        assert samples.ids.tolist() == list(range(len(samples)))
        for row, key in enumerate(samples.keys):
            assert torch.equal(samples.x[row], known[key].row)
            assert torch.equal(samples.pictures[row], known[key].picture)
            assert made.classes[samples.y[row]] == person[key]
            seen.append(key)
    assert sorted(seen) == sorted(person)


def test_the_split_is_the_documented_one():
    made = dataset_of(GOOD, seed=5)
    for index, person in enumerate(made.classes):
        keys = sorted((one.key for one in GOOD if one.person == person),
                      key=lambda key: hashlib.sha256(f"5:{key}".encode()).hexdigest())
        got = [[key for key, y in zip(samples.keys, samples.y, strict=True) if y == index]
               for samples in (made.test, made.held_out, made.train)]
        half, held = len(keys) // 2, int(len(keys) >= 5)
        assert got == [keys[:half], keys[half : half + held], keys[half + held :]]


def test_who_is_forgotten_has_keys_of_photos_that_were_left_out_too():
    """They were looked at, and what is known of them is kept as of any other."""
    copy, cloud = (Photo("Ben", "again.png", GOOD[0].data),
                   Photo("Ben", "sky.png", photo(900, faces=0)))
    made = dataset_of([*GOOD, *photos_of(Anna=0, Ben=0, Cleo=3), copy, cloud])
    used = {key for part in PARTS for key in getattr(made, part).keys}
    assert not {copy.key, cloud.key} & used
    ben = Forgotten((parse_request("class:Ben", made, 0),))
    assert keys_of(made, ben) == {copy.key, cloud.key} | {
        one.key for one in GOOD if one.person == "Ben"}
    some = Forgotten((parse_request("samples:0", made, 0),))
    assert keys_of(made, some) == {made.train.keys[0]}


def test_the_order_in_which_photos_come_changes_nothing():
    made, other = dataset_of(GOOD), dataset_of(GOOD[::-1])
    assert made.fingerprint == other.fingerprint
    assert made.test.keys == other.test.keys
    assert dataset_of(GOOD, seed=1).test.keys != made.test.keys


@pytest.mark.parametrize(("count", "test", "held_out", "train"), [
    (2, 1, 0, 1), (3, 1, 0, 2), (4, 2, 0, 2), (5, 2, 1, 2), (6, 3, 1, 2), (10, 5, 1, 4),
])  # fmt: skip
def test_shares(count, test, held_out, train):
    assert shares(count) == {"test": test, "held_out": held_out, "train": train}


@given(st.integers(2, 10_000))
def test_every_share_is_enough(count):
    parts = shares(count)
    assert sum(parts.values()) == count
    assert parts["train"] >= 1 and parts["test"] >= 1
    assert parts["held_out"] == (count >= 5)


def test_without_held_out_photos_the_part_is_empty_and_has_its_shape():
    made = dataset_of(photos_of(Anna=2, Ben=2))
    assert made.held_out.x.shape == (0, 12)
    assert made.held_out.pictures.shape == (0, 3, 96, 96)
    assert made.held_out.keys == ()


def test_classes_are_in_natural_order():
    made = dataset_of(photos_of(s10=2, s9=2, s1=2, Zoë=2))
    assert made.classes == ("s1", "s9", "s10", "Zoë")


def test_a_private_dataset_keeps_everything_in_its_own_memory(home, looked):
    private = {"something": 1}
    made = to_dataset("mine", GOOD, Small, private=private)
    assert made.private is private and private["something"] == 1
    assert not home.exists() or not [path for path in home.rglob("*") if path.is_file()]
    again = to_dataset("mine", [*GOOD, *photos_of(Anna=4, Ben=6, Carl=2)[-2:]], Small,
                       private=private)
    assert len(looked) == len(GOOD) + 2
    assert again.classes == ("Anna", "Ben", "Carl")


def test_a_public_dataset_is_kept_on_disk(home, looked):
    made = to_dataset("ours", GOOD, Small())
    assert made.private is None
    assert len(list(home.rglob("*.safetensors"))) == len(GOOD)
    assert to_dataset("ours", GOOD, Small()).fingerprint == made.fingerprint
    assert len(looked) == len(GOOD)


def test_it_can_be_cancelled():
    def stop(progress):
        raise Cancelled

    with pytest.raises(Cancelled):
        dataset_of(GOOD, progress=stop)


# Names.


@pytest.mark.parametrize(("text", "name"), [
    ("Anna", "Anna"), ("  Anna ", "Anna"), ("Anna\t B\u00a0C", "Anna B C"), ("Zoe\u0308", "Zoë"),
    ("a,b: c/d", "a,b: c/d"), ("👩\u200d🔬", "👩\u200d🔬"), ("محمد علي", "محمد علي"),
    ("می\u200cخواهم",) * 2, ("x" * 80, "x" * 80), ("Anna\nB", "Anna B"),
])  # fmt: skip
def test_a_name_in_its_one_spelling(text, name):
    assert person_name(text) == name


@pytest.mark.parametrize(("text", "says"), [
    ("", "give one"), (" \t\n", "give one"), ("x" * 81, "81 letters"), ("a\0b", "control"),
    ("a\x1b[31mb", "control"), ("a\u202eb", "control"), ("a\ud800", "control"), ("\x07", "control"),
    ("\ufeffAnna", "control"), ("An\u200bna", "control"),
])  # fmt: skip
def test_a_name_that_cannot_be_used_is_refused(text, says):
    with pytest.raises(BadInput, match=says) as caught:
        person_name(text)
    assert str(caught.value).isprintable()


@given(st.text())
def test_a_name_is_settled_at_once_or_refused(text):
    try:
        name = person_name(text)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert person_name(name) == name == unicodedata.normalize("NFC", name).strip()
        assert 0 < len(name) <= 80
        name.encode()


@given(st.lists(st.text()))
def test_natural_order_is_an_order_of_any_names(names):
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)


@given(st.lists(st.integers(0, 10**30), unique=True))
def test_numbers_come_in_their_order(numbers):
    names = sorted((f"s{number}.pgm" for number in numbers), key=natural)
    assert names == [f"s{number}.pgm" for number in sorted(numbers)]


@given(st.text())
def test_a_printable_name_is_one_short_line(name):
    shown = printable(name)
    assert len(shown) <= 161 and len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in shown)
    shown.encode()


@pytest.mark.parametrize(("name", "shown"), [
    ("👩\u200d🔬.png", "👩\u200d🔬.png"), ("محمد.jpg", "محمد.jpg"),
    ("a\u202egpj.exe", "a\ufffdgpj.exe"), ("\ud800", "\ufffd"), ("a\u2028b", "a\ufffdb"),
    ("a\u00a0b", "a\u00a0b"),
])  # fmt: skip
def test_only_what_is_no_letter_is_shown_with_a_mark(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize("name", ["a, b", "a:b", "a/b", "🙂", "محمد", "class:7", "7", "a b"])
def test_a_request_finds_any_name(name):
    made = dataset_of(photos_of(**{"Ben": 2, "Carl": 2, name: 4}))
    request = parse_request(f"class:{name}", made, seed=0)
    assert made.classes[request.class_index] == name
    assert len(request.ids) == 2


def test_two_spellings_of_a_name_are_one_person_and_that_is_said():
    photos = photos_of(Ben=2, **{"Zoe\u0308  K": 1, " Zoë K": 1})
    made = dataset_of(photos)
    assert made.classes == ("Ben", "Zoë K")
    assert sentences(made.findings) == (
        "“Zoe\u0308  K” and “ Zoë K” are taken as one person, “Zoë K”",)


def test_photos_of_a_name_that_cannot_be_used_are_left_out():
    photos = [*GOOD, *photos_of(**{"a\0b": 2, "": 1})]
    findings = in_short_of(photos)
    assert len(findings) == 2
    assert findings[0].startswith("2 photos are left out (“0.png” and “1.png”): the name "
                                  "“a\ufffdb” has control")
    assert findings[1].startswith("“0.png” is left out: a person needs a name")


# Photos.


def test_a_photo_without_a_face_is_left_out():
    findings = findings_of([*GOOD, Photo("Anna", "sky.png", photo(1, faces=0))])
    assert findings == ("“sky.png” of Anna is left out: no face was found in it; give a photo with "
                        "the face turned to the camera",)


def test_a_photo_of_several_is_left_out_until_a_face_is_picked():
    group = photo(2, 2, 0.9)
    made = dataset_of([*GOOD, Photo("Anna", "group.png", group)])
    assert len(made.findings) == 1
    assert str(made.findings[0]).startswith("“group.png” of Anna is left out: it shows 2 faces")
    assert "pick one" in str(made.findings[0])
    picked = dataset_of([*GOOD, Photo("Anna", "group.png", group, face=1)])
    assert picked.findings == ()
    assert sum(len(getattr(picked, part)) for part in PARTS) == len(GOOD) + 1


def test_a_face_that_is_not_there_cannot_be_picked():
    findings = findings_of([*GOOD, Photo("Anna", "group.png", photo(2, 2, 0.9), face=7)])
    assert len(findings) == 1 and "is none of its 2; pick one of those" in findings[0]


def test_one_photo_of_two_people_may_be_given_to_both():
    group = photo(2, 2, 0.9)
    photos = [*GOOD, Photo("Anna", "group.png", group, 0), Photo("Ben", "group.png", group, 1)]
    assert findings_of(photos) == ()
    assert len(names_used(photos)) == len(photos)


def test_a_clearly_larger_face_needs_no_pick_and_it_is_said_which_one_is_taken():
    passer_by = Photo("Anna", "with a passer-by.png", photo(3, 2, 0.4))
    assert findings_of([*GOOD, passer_by]) == (
        "“with a passer-by.png” of Anna shows 2 faces; by far the largest is taken, number 1 from "
        "the left",)
    assert len(names_used([*GOOD, passer_by])) == len(GOOD) + 1
    assert findings_of([*GOOD, dataclasses.replace(passer_by, face=0)]) == ()  # somebody said so


def test_many_problems_of_one_kind_are_one_sentence_with_a_few_names():
    photos = [*GOOD, *(Photo("Anna", f"sky{n}.png", photo(n, faces=0)) for n in range(5)),
              *(Photo("Ben", f"two{n}.png", photo(50 + n, 2, 0.9)) for n in range(2)),
              *(Photo("Ben", f"broken{n}.png", photo(60 + n)[:-200 - n]) for n in range(2)),
              *(Photo("Ben", f"copy{n}.png", photo(70)) for n in range(3)),
              *photos_of(Anna=0, Ben=0, Carl=1, Dora=1)]
    assert in_short_of(photos) == [
        "5 photos are left out (“sky0.png” of Anna, “sky1.png” of Anna, “sky2.png” of Anna and 2 "
        "more): no face was found in them; give photos with the face turned to the camera",
        "2 photos are left out (“two0.png” of Ben and “two1.png” of Ben): they show several faces, "
        "and it is not clear which one is meant; pick one in each, or cut the photos to one face",
        "2 photos are left out (“broken0.png” of Ben and “broken1.png” of Ben): they cannot be "
        "read as pictures",
        "2 photos are left out (“copy1.png” of Ben and “copy2.png” of Ben): they are copies of "
        "photos that are kept",
        "2 people are left out (Carl and Dora): fewer than 2 photos of each can be used; add "
        "photos"]


def test_people_whose_names_are_nearly_one_stay_apart_and_that_is_said():
    made = dataset_of(photos_of(**{"José Álvarez": 2, "josé álvarez": 2, "Ben": 2}))
    assert made.classes == ("Ben", "José Álvarez", "josé álvarez")
    assert sentences(made.findings) == (
        "“José Álvarez” and “josé álvarez” are taken as 2 people; if they are one, give them one "
        "name",)


def test_an_unreadable_file_is_left_out_with_the_reason():
    findings = findings_of([*GOOD, Photo("Anna", "broken.png", photo(1)[:100]),
                            Photo("Ben", "notes.png", b"notes")])
    assert len(findings) == 2
    assert "“broken.png” of Anna is left out: this picture is damaged" in findings[0]
    assert "“notes.png” of Ben is left out: this file is not a picture" in findings[1]


def test_a_person_with_too_few_photos_is_left_out():
    made = dataset_of([*GOOD, *photos_of(Anna=0, Ben=0, Carl=1),
                       Photo("Dora", "sky.png", photo(1, faces=0))])
    assert made.classes == ("Anna", "Ben")
    assert sentences(made.findings[-2:]) == (
        "Carl is left out: 1 of 1 photo can be used, and 2 are needed; add photos",
        "Dora is left out: 0 of 1 photo can be used, and 2 are needed; add photos")


@pytest.mark.parametrize(("photos", "says"), [
    ([], "nobody has 2 photos"),
    (photos_of(Anna=4), "only Anna has 2 photos"),
    (photos_of(Anna=1, Ben=1, Carl=1), "nobody has 2 photos"),
    ([*photos_of(Anna=4), *(Photo("Ben", f"{n}.png", photo(n, faces=0)) for n in (1, 2))],
     r"only Anna has 2 usable photos.*Ben.* is left out.*, and 2 more\)"),
    ([Photo(who, f"{n}.png", photo(n, faces=0)) for who in ("Ada", "Ben") for n in (1, 2)],
     r"nobody has 2 usable photos.*and \d more\)"),
])  # fmt: skip
def test_fewer_than_two_people_are_refused(photos, says):
    with pytest.raises(BadInput, match=says) as caught:
        dataset_of(photos)
    assert str(caught.value).isprintable()


def test_a_photo_whose_name_begins_with_its_folder_is_not_named_twice():
    assert Photo("Anna", "Anna/1.jpg", b"").called == "“Anna/1.jpg”"
    assert Photo("Anna", "1.jpg", b"").called == "“1.jpg” of Anna"
    assert Photo("A\n", "\x1b", b"").called == "“\ufffd” of A\ufffd"


# Copies.


def rescaled(image, factor):
    side = round(image.width * factor)
    return image.resize((side, side), Image.Resampling.LANCZOS)


COPIES = {
    "the same bytes": encoded,
    "another format": lambda image: encoded(image, "BMP"),
    "JPEG 90": lambda image: encoded(image, "JPEG", quality=90),
    "JPEG 50": lambda image: encoded(image, "JPEG", quality=50),
    "WEBP": lambda image: encoded(image, "WEBP", quality=70),
    "half": lambda image: encoded(rescaled(image, 0.5)),
    "three times": lambda image: encoded(rescaled(image, 3), "JPEG", quality=80),
    "brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.15)),
    "darker": lambda image: encoded(ImageEnhance.Brightness(image).enhance(0.85)),
    "more contrast": lambda image: encoded(ImageEnhance.Contrast(image).enhance(1.15)),
    "grey": lambda image: encoded(image.convert("L").convert("RGB")),
}


@pytest.fixture
def one_face(monkeypatch):
    """A detector that sees one face everywhere, whatever the colours."""
    def find_faces(photos):
        return [made_up.Found(one, (made_up.face_at(one, 0, made_up.LARGEST),)) for one in photos]

    monkeypatch.setattr(embed, "find_faces", find_faces)


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_a_persons_photo_is_left_out_and_the_first_is_kept(how, one_face):
    image = picture(77)
    photos = [*GOOD, Photo("Anna", "first.png", encoded(image)),
              Photo("Anna", "second.png", COPIES[how](image))]
    same = "the same" if how == "the same bytes" else "nearly the same"
    assert findings_of(photos) == (
        f"“second.png” of Anna is left out: it is {same} photo as “first.png” of Anna, which is "
        "kept",)
    assert ("Anna", "first.png") in names_used(photos)
    assert len(names_used(photos)) == len(photos) - 1


@pytest.mark.parametrize("how", COPIES)
def test_a_photo_under_two_names_is_left_out_of_both(how, one_face):
    image = picture(77)
    photos = [*GOOD, Photo("Anna", "a.png", encoded(image)),
              Photo("Ben", "b.png", COPIES[how](image))]
    (finding,) = findings_of(photos)
    assert finding.startswith("“a.png” of Anna and “b.png” of Ben are the same photo under "
                              "different names")
    assert len(names_used(photos)) == len(GOOD)


def test_all_copies_of_a_photo_under_two_names_are_left_out_with_it():
    photos = [*GOOD, Photo("Anna", "1.png", photo(77)), Photo("Anna", "2.png", photo(77)),
              Photo("Ben", "3.png", photo(77)), Photo("Carl", "4.png", photo(77)),
              Photo("Carl", "5.png", photo(77))]
    findings = findings_of(photos)
    assert findings[0].startswith(
        "“1.png” of Anna, “2.png” of Anna, “3.png” of Ben and 2 more are the same photo")
    assert findings[1].startswith("Carl is left out: 0 of 2 photos")
    assert len(findings) == 2
    assert len(names_used(photos)) == len(GOOD)


def test_a_third_copy_is_told_too():
    photos = [*GOOD, *(Photo("Anna", f"{n}.png", photo(77)) for n in range(3))]
    findings = findings_of(photos)
    assert len(findings) == 2
    assert all("“0.png” of Anna, which is kept" in one for one in findings)


def test_copies_of_a_photo_that_shows_no_face_are_left_out_for_that():
    photos = [*GOOD, *(Photo("Anna", f"{n}.png", photo(77, faces=0)) for n in range(2))]
    assert all("no face" in one for one in findings_of(photos))


def test_a_photo_framed_in_another_way_or_changed_in_one_place_is_no_copy(one_face):
    image = picture(77)
    moved = image.crop((8, 8, 96, 96)).resize((96, 96))
    other_mouth = image.copy()
    other_mouth.paste((255, 255, 255), (30, 60, 60, 72))
    photos = [*GOOD, *(Photo("Anna", f"{n}.png", encoded(one))
                       for n, one in enumerate((image, moved, other_mouth)))]
    assert findings_of(photos) == ()


def test_copies_among_many_are_found_across_chunks(monkeypatch):
    looks = torch.stack([look_of(picture(seed)) for seed in range(40)])
    looks[33] = looks[2]
    looks[39] = looks[2]
    faces = torch.zeros(40, dtype=torch.int64)
    expected = [(2, 33), (2, 39), (33, 39)]
    for chunk in (1, 7, 1024):
        monkeypatch.setattr("forget.faces.copies.CHUNK", chunk)
        assert copies_among(looks, faces) == expected
    faces[39] = 1
    assert copies_among(looks, faces) == [(2, 33)]


def test_pictures_of_one_colour_are_copies_of_nothing():
    looks = torch.full((3, 48, 48), 7, dtype=torch.uint8)
    assert copies_among(looks, torch.zeros(3, dtype=torch.int64)) == []
    assert copies_among(looks[:0], torch.zeros(0, dtype=torch.int64)) == []


KINDS = ("good", "none", "several", "broken", "copy")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(kinds=st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(KINDS)), max_size=14))
def test_any_mixture_gives_a_dataset_or_one_known_error(kinds, looked):
    """Every photo is used once, or a finding says why it is not."""
    data = {"good": lambda n: photo(100 + n), "none": lambda n: photo(200 + n, 0),
            "several": lambda n: photo(300 + n, 3, 0.9), "broken": lambda n: photo(n)[:-200],
            "copy": lambda n: photo(99)}  # fmt: skip
    photos = [Photo(person, f"{n}.png", data[kind](n)) for n, (person, kind) in enumerate(kinds)]
    usable, told = checked(photos, Small(), private={})
    findings = sentences(told)
    assert len(usable) + sum(one.photos for one in told) == len(photos)
    assert all(one.isprintable() for one in findings)
    used = {one.photo.name for one in usable}
    assert len(used) == len(usable)
    assert used <= {f"{n}.png" for n, (_, kind) in enumerate(kinds) if kind in ("good", "copy")}
    few = {one.split()[0] for one in findings if " can be used, and " in one}
    for n, (person, kind) in enumerate(kinds):
        if kind in ("none", "several", "broken"):
            assert any(f"“{n}.png”" in one for one in findings)
        elif kind == "good" and person not in few:
            assert f"{n}.png" in used
    try:
        made = to_dataset("mine", photos, Small(), private={})
    except BadInput:
        assert len({one.photo.person for one in usable}) < 2
    else:
        assert sum(len(getattr(made, part)) for part in PARTS) == len(usable)
        keys = [set(getattr(made, part).keys) for part in PARTS]
        assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
