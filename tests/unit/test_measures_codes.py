"""Coders' codes read in four ways, by hand from the coding systems' own rules."""

from __future__ import annotations

import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.measures.codes import CLASSES, MATCH, WAYS, check_codes, classes, read_class

FOUR, THREE, TWO, TWO_FORCED, DISORGANISED = WAYS
FIRST_FOUR = WAYS[:4]


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        ("AAI", "F", ("F", "F", "secure", "secure")),
        ("AAI", "F5", ("F", "F", "secure", "secure")),
        ("AAI", "F1a", ("F", "F", "secure", "secure")),
        ("AAI", "Ds1", ("Ds", "Ds", "insecure", "insecure")),
        ("AAI", "ds3b", ("Ds", "Ds", "insecure", "insecure")),
        ("AAI", "E2", ("E", "E", "insecure", "insecure")),
        ("AAI", "U/F", ("U", "F", "insecure", "secure")),
        ("AAI", "U/d/F2", ("U", "F", "insecure", "secure")),
        ("AAI", "Ud / Ds3", ("U", "Ds", "insecure", "insecure")),
        ("AAI", "U", ("U", None, "insecure", None)),
        ("AAI", "CC", ("U", None, "insecure", None)),
        ("AAI", "CC/F3", ("U", "F", "insecure", "secure")),
        ("AAI", "CC/Ds/E", ("U", None, "insecure", None)),  # two organised classes: neither is the secondary one
        ("AAI", "U/CC/E1", ("U", "E", "insecure", "insecure")),
        ("AAI", "secure", (None, None, "secure", "secure")),
        ("AAI", "Insecure", (None, None, "insecure", "insecure")),
        ("SSP", "B2", ("B", "B", "secure", "secure")),
        ("SSP", "A1", ("A", "A", "insecure", "insecure")),
        ("SSP", "D/A", ("D", "A", "insecure", "insecure")),
        ("SSP", "D/B4", ("D", "B", "insecure", "secure")),
        ("SSP", "D", ("D", None, "insecure", None)),
        ("SSP", "CC", ("D", None, "insecure", None)),
        ("SSP", " ", (None, None, None, None)),
    ],
)
def test_a_code_is_read_in_four_ways(system: str, code: str, expected: tuple[str | None, ...]) -> None:
    assert tuple(read_class(code, system=system, way=way) for way in FIRST_FOUR) == expected


@pytest.mark.parametrize("code", ["X", "F6", "Ds5", "A", "D", "F/U", "F/E", "F/Ds1", "U/X", "U1/", "dismissing"])
def test_codes_that_are_unknown_or_leave_the_class_open_are_refused(code: str) -> None:
    with pytest.raises(DataError, match=r"classifications.primary: .* in row 2; allowed: Ds, F, E, U") as caught:
        classes(pd.DataFrame({"primary": ["F", code]}), system="AAI", way=FOUR)
    assert f" {code} " not in str(caught.value)


@pytest.mark.parametrize("code", ["A/C", "B/D", "B5", "U", "F"])
def test_codes_of_the_strange_situation_are_its_own(code: str) -> None:
    with pytest.raises(DataError, match=r"allowed: A, B, C, D, CC, D/A, D/B, D/C, secure, insecure"):
        read_class(code, system="SSP", way=FOUR)


FRAME = pd.DataFrame(
    {
        "primary": ["F", "U", "U", "U/E", "U", "secure", None, None],
        "secondary": [None, "F", None, None, "Ds", None, None, None],
        "forced": [None, None, "Ds", None, "F", None, "E", None],
    },
    index=list("abcdefgh"),
)


def test_secondary_and_forced_columns_give_the_organised_class_and_everyone_else_is_counted() -> None:
    three, excluded = classes(FRAME, system="AAI", way=THREE)
    assert three.fillna("-").to_dict() == dict(zip("abcdefgh", ["F", "F", "Ds", "E", "F", "-", "E", "-"], strict=True))
    assert sum(excluded.values()) == 2
    assert excluded == {
        "no class given": 1,
        "only secure or insecure given, not the class": 1,
        "no organised class beside the unresolved or disorganised one": 0,
    }
    four, excluded = classes(FRAME, system="AAI", way=FOUR)
    assert four.fillna("-").tolist() == ["F", "U", "U", "U", "U", "-", "-", "-"]
    assert excluded == {"no class given": 2, "only secure or insecure given, not the class": 1}
    two, excluded = classes(FRAME, system="AAI", way=TWO)
    assert two.fillna("-").tolist() == ["secure", "insecure", "insecure", "insecure", "insecure", "secure", "-", "-"]
    assert excluded == {"no class given": 2}
    forced, _ = classes(FRAME, system="AAI", way=TWO_FORCED)
    assert forced.fillna("-").tolist() == ["secure", "secure", "insecure", "insecure", "secure", "secure", "insecure", "-"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"primary": "F", "forced": "Ds"}, "classifications.forced: another organised class than the primary one in row 1"),
        ({"primary": "U", "forced": "U"}, "classifications.forced: a class that is not an organised one in row 1"),
        ({"primary": "F", "secondary": "U"}, "classifications.secondary: a class that takes priority"),
        ({"primary": "U/F", "secondary": "E"}, "classifications.secondary: another class than the composite code"),
        ({"primary": "secure", "forced": "E"}, "classifications.forced: an insecure class where the primary is secure"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(row: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        classes(pd.DataFrame([row]), system="AAI", way=THREE)


def test_an_unknown_system_or_way_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"found 'AIA'; allowed: AAI, SSP"):
        classes(FRAME, system="AIA", way=FOUR)
    with pytest.raises(ConfigError, match=r"found '3 way'; allowed: 4-way; 3-way; .*Did you mean '3-way'"):
        classes(FRAME, system="AAI", way="3 way")


def test_classes_and_their_match() -> None:
    assert CLASSES["AAI"][FOUR] == ["Ds", "F", "E", "U"]
    assert CLASSES["SSP"][FOUR] == ["A", "B", "C", "D"]
    assert [MATCH[c] for c in CLASSES["AAI"][FOUR]] == ["A", "B", "C", "D"]
    assert all(CLASSES[s][w] == ["secure", "insecure"] for s in CLASSES for w in (TWO, TWO_FORCED))


@pytest.mark.parametrize(("system", "word"), [("AQS", "secure"), ("styles", "Secure"), ("AAI", "F2")])
def test_blanks_beside_the_class_are_missing_in_every_system(system: str, word: str) -> None:
    frame = pd.DataFrame({"primary": [word, " "], "secondary": ["", " "], "forced": [None, ""]})
    labels, excluded = classes(frame, system=system, way="2-way, forced")
    assert labels.isna().tolist() == [False, True]
    assert labels[0] == "secure"
    assert excluded["no class given"] == 1


def test_rows_of_a_bad_code_are_those_of_the_whole_table() -> None:
    table = pd.DataFrame({"system": ["AQS", "SSP", None, "SSP"], "primary": ["secure", "B", "B", "Q7"]})
    check_codes(table, system="AQS", way="2-way, forced")
    with pytest.raises(DataError, match="in row 4;"):
        check_codes(table, system="SSP", way="2-way, forced")
