"""The instrument registry: every file scores its own worked examples, and no key contradicts itself."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attachment_outcomes.config import load_instrument, load_instruments, validated
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.measures.instruments import read_instrument, read_instruments, split_score, unverified
from attachment_outcomes.measures.scoring import score

EXACT = 1e-9  # sums and means of a few dozen small numbers
KEYS = sorted(load_instruments())


def made_from_items(instrument: dict[str, Any]) -> list[str]:
    return [n for n, s in instrument["scales"].items() if s["items"] or s["parts"]]


def misses(instrument: dict[str, Any]) -> list[str]:
    """Return what the worked examples say otherwise than the key does."""
    if not instrument["examples"]:
        return []
    form = read_instrument(instrument)
    answers = pd.DataFrame([{i: e["answers"].get(i, math.nan) for i in form.items} for e in instrument["examples"]])
    scored = score(answers, instrument=form)
    found = []
    for number, example in enumerate(instrument["examples"]):
        for scale, expected in example["scores"].items():
            got = float(scored[scale].iloc[number])
            agrees = math.isnan(got) if expected is None else math.isclose(got, expected, abs_tol=EXACT)
            if not agrees:
                found.append(f"example {number + 1}, {scale}: worked by hand {expected}, scored {got}")
    return found


@pytest.mark.parametrize("key", KEYS)
def test_worked_examples_are_scored_as_by_hand(key: str) -> None:
    assert misses(load_instrument(key)) == []


@pytest.mark.parametrize("key", KEYS)
def test_examples_show_every_scale_and_how_missing_answers_are_treated(key: str) -> None:
    instrument, file = load_instrument(key), f"config/instruments/{key}.yaml"
    form = read_instrument(instrument)
    made = made_from_items(instrument)
    given = [(n, e["answers"], e["scores"][n]) for e in instrument["examples"] for n in made if n in e["scores"]]
    for name in made:
        shown = any(n == name and value is not None for n, _, value in given)
        assert shown, f"{file}: {name!r} is made from items, but no worked example gives its score; add one under examples."
    if any(form.scales[n].max_missing for n in made):
        prorated = any(value is not None and not set(form.items_of(n)) <= set(answers) for n, answers, value in given)
        assert prorated, f"{file}: unanswered items are tolerated (max_missing), but no worked example leaves one out."
    if any(len(form.items_of(n)) > 1 for n in made):
        assert any(value is None for *_, value in given), f"{file}: no worked example shows when a score is refused (null)."


@pytest.mark.parametrize("key", [k for k in KEYS if any(s["reverse"] for s in load_instrument(k)["scales"].values())])
def test_examples_notice_every_reversed_item(key: str) -> None:
    instrument = load_instrument(key)
    for name, scale in instrument["scales"].items():
        for item in scale["reverse"]:
            wrong = copy.deepcopy(instrument)
            wrong["scales"][name]["reverse"].remove(item)
            assert misses(wrong), f"config/instruments/{key}.yaml: no example notices whether item {item} of {name!r} is reversed."


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_file_carries_a_comment(key: str, root: Path) -> None:
    lines = (root / "config" / "instruments" / f"{key}.yaml").read_text(encoding="utf-8").splitlines()
    bare = [
        n for n, line in enumerate(lines, start=1) if re.match(r"\s*(- )?[a-z_0-9]*[a-z_][a-z_0-9]*:", line) and "  # " not in line
    ]
    assert not bare, f"config/instruments/{key}.yaml: lines {bare} have no comment saying what the key means or why it is so."


@pytest.mark.parametrize("key", KEYS)
def test_a_recalled_number_is_never_verified(key: str) -> None:
    for name, scale in load_instrument(key)["scales"].items():
        for group in ("reliability", "norms", "cutoffs", "reliable_change"):
            for number in scale[group]:
                assert not (number["verified"] and "recalled" in number["source"]), f"{key}.{name}: {group}"


def items(key: str, *scales: str) -> list[int]:
    return sorted(i for s in scales for i in load_instrument(key)["scales"][s]["items"])


@pytest.mark.parametrize(
    ("key", "scales", "last"),
    [
        ("ecr", ("anxiety", "avoidance"), 36),
        ("ecr_r", ("anxiety", "avoidance"), 36),
        ("ecr_s", ("anxiety", "avoidance"), 12),
        ("ecr12", ("anxiety", "avoidance"), 12),
        ("ecr_rs", ("anxiety", "avoidance"), 9),
        ("prfq18", ("prementalizing", "certainty", "interest"), 18),
        ("core_om", ("wellbeing", "problems", "functioning", "risk"), 34),
        ("oq45", ("symptom_distress", "interpersonal_relations", "social_role"), 45),
        ("wai_sr", ("task", "bond", "goal"), 12),
    ],
)
def test_scales_divide_the_items_without_gap_or_overlap(key: str, scales: tuple[str, ...], last: int) -> None:
    assert items(key, *scales) == list(range(1, last + 1))


def reversed_items(key: str) -> list[int]:
    return sorted({i for s in load_instrument(key)["scales"].values() for i in s["reverse"]})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ecr", [3, 15, 19, 22, 25, 27, 29, 31, 33, 35]),
        ("ecr_r", [9, 11, 20, 22, 26, 27, 28, 29, 30, 31, 33, 34, 35, 36]),
        ("core_om", [3, 4, 7, 12, 19, 21, 31, 32]),
        ("core10", [2, 3]),
        ("oq45", [1, 12, 13, 20, 21, 24, 31, 37, 43]),
        ("ecr_rs", [1, 2, 3, 4]),
        ("wai_sr", []),
    ],
)
def test_reversed_items_are_the_published_ones(key: str, expected: list[int]) -> None:
    assert reversed_items(key) == expected


def test_ecr12_scores_the_ecr_items_it_took() -> None:
    origin = dict(zip(range(1, 13), [2, 6, 8, 9, 14, 15, 18, 24, 25, 27, 29, 31], strict=True))
    short, full = load_instrument("ecr12")["scales"], load_instrument("ecr")["scales"]
    for name in ("anxiety", "avoidance"):
        assert {origin[i] for i in short[name]["items"]} <= set(full[name]["items"])
        assert {origin[i] for i in short[name]["reverse"]} == {origin[i] for i in short[name]["items"]} & set(full[name]["reverse"])


@pytest.mark.parametrize(
    ("score_name", "cutoff", "change"),
    [("phq9.total", 10, 6), ("gad7.total", 8, 4), ("core10.total", 11, 6), ("core_om.total", 9.9, 5), ("oq45.total", 64, 14)],
)
def test_default_criteria_are_the_published_ones(score_name: str, cutoff: float, change: float) -> None:
    key, name = score_name.split(".")
    scale = load_instrument(key)["scales"][name]
    assert (scale["cutoffs"][0]["value"], scale["reliable_change"][0]["value"]) == (cutoff, change)


def broken(change: dict[str, Any]) -> dict[str, Any]:
    scale = {"title": "T", "direction": "higher is worse", "items": [1, 2, 3], "score": "mean", **change}
    return {"name": "mine", "title": "Mine", "range": [1, 5], "scales": {"total": scale}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reverse": [4]}, r"mine, scale total, key reverse: items \[4\] are not among the scale's items"),
        ({"recode": {9: {1: 0}}}, r"key recode: items \[9\]"),
        ({"reverse": [1], "recode": {1: {1: 0}}}, "both reversed and recoded"),
        ({"items": [1, 1, 2]}, r"items \[1\] stand twice"),
        ({"weights": {1: 1}}, "weighs every item"),
        ({"max_missing": 3}, "at least one of the 3 items must be answered"),
        ({"range": [1, 7]}, r"key range: found \[1, 7\]; the items give \[1, 5\]"),
        ({"parts": ["total"]}, "made in one way"),
        ({"items": [], "parts": ["totl"]}, "'totl' is not a scale"),
    ],
)
def test_a_key_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_instrument(broken(change))


def test_an_unknown_key_of_the_file_is_named_with_a_suggestion() -> None:
    wrong = copy.deepcopy(load_instrument("phq9"))
    wrong["scales"]["total"]["revers"] = [1]
    with pytest.raises(ConfigError, match=r"unknown key 'revers'.*Did you mean 'reverse'"):
        validated(wrong, "instrument", "config/instruments/phq9.yaml")


def test_a_study_form_changes_range_items_and_tolerance() -> None:
    form = read_instrument(
        "ecr", override={"range": [1, 5], "items": {"anxiety": ["2", 4, 6, 8, 10, 22]}, "reason": "a short web form"}
    )
    anxiety = form.scales["anxiety"]
    assert (form.low, form.high, form.own_range) == (1, 5, True)
    assert (anxiety.items, sorted(anxiety.reverse), anxiety.max_missing) == ((2, 4, 6, 8, 10, 22), [22], 1)  # 3 of 18 is 1 of 6
    assert (anxiety.low, anxiety.high) == (1, 5)
    assert form.scales["avoidance"].max_missing == 3


def test_ranges_of_sums_recodings_weights_and_parts_follow_from_the_items() -> None:
    bounds = {s: (f.low, f.high) for k in ("oq45", "rq", "rfq8", "core_om") for s, f in read_instrument(k).scales.items()}
    assert bounds["symptom_distress"] == (0, 100)
    assert bounds["total"] == (0, 40)  # of the CORE-OM, read last
    assert bounds["self_model"] == (-12, 12)
    assert bounds["certainty"] == (0, 3)
    assert (read_instrument("oq45").scales["total"].low, read_instrument("oq45").scales["total"].high) == (0, 180)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"items": {"anxeity": [2]}}, "no scale 'anxeity'.*Did you mean 'anxiety'"),
        ({"items": {"anxiety": [1, 2]}}, "allowed: a subset of"),
        ({"items": {"anxiety": []}}, "allowed: a subset of"),
        ({"range": [5, 1]}, "the lowest answer comes first"),
    ],
)
def test_an_impossible_study_form_is_refused(override: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_instrument("ecr", override=override)


def test_a_form_of_an_instrument_that_is_not_used_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no instrument 'ecrr'.*Did you mean 'ecr'"):
        read_instruments({"ecr": load_instrument("ecr")}, {"ecrr": {"range": [1, 5]}})


def test_a_score_name_is_looked_up_with_suggestions() -> None:
    forms = read_instruments({"ecr": load_instrument("ecr")})
    assert split_score("ecr.anxiety", forms)[1].key == "anxiety"
    with pytest.raises(ConfigError, match=r"no scale 'anxity'; it has anxiety, avoidance. Did you mean 'anxiety'"):
        split_score("ecr.anxity", forms)
    with pytest.raises(ConfigError, match=r"no instrument 'phq9'"):
        split_score("phq9.total", forms)


def test_unverified_numbers_are_named() -> None:
    assert unverified(load_instrument("phq9")) == []
    assert "anxiety: functional norm 3.56 (1.12)" in unverified(load_instrument("ecr_r"))
    assert "the scoring key" in unverified(load_instrument("ecr_s"))
