"""Names that are nearly one: said on the page and on the command line, and never made one."""

import pytest

from forget.core.spelling import alike, another, sets_alike


@pytest.mark.parametrize("name", [
    "josé álvarez", "JOSÉ ÁLVAREZ", "Jose Alvarez", "Jose\u0301 A\u0301lvarez", "JoséÁlvarez",
    "José  Álvarez", "Ｊｏｓé　Álvarez", "“José” Álvarez", "José\u200bÁlvarez"])
def test_case_accents_width_quotes_and_spaces_do_not_tell_people_apart(name):
    assert alike(name, ["Ana", "José Álvarez"]) == ["José Álvarez"]


@pytest.mark.parametrize("name", [
    "José", "Josef Álvarez", "", "  ", "„", "Álvarez José", "José Á"])
def test_other_names_are_not_alike(name):
    assert alike(name, ["Ana", "José Álvarez", "’"]) == []


def test_a_name_that_is_known_needs_no_hint():
    assert alike("josé", ["José", "josé"]) == []
    assert alike("JOSÉ", ["José", "josé", "José"]) == ["José", "josé"]


@pytest.mark.parametrize("names", [
    ["李小龍", "李小龙"], ["Анна", "Anna"], ["s1", "s10"], ["👩", "👨"], ["’", "„"]])
def test_names_of_other_signs_stay_apart(names):
    assert sets_alike(names) == []


def test_the_hint_says_which_is_known():
    assert another("josé álvarez", "José Álvarez") == (
        "José Álvarez is known already; josé álvarez would be another person")
