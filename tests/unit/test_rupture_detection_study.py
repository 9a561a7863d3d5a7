"""Planted ruptures: where they can be seen, how they truly end, and what a criterion makes of them, by hand and by theory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_criteria, project_root, read_yaml
from attachment_outcomes.files import read_table
from attachment_outcomes.present.validation.detection import BEGIN, END, draw, table, with_table
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.simulate.rupture_scenarios.detection import (
    Planted,
    _drops_less_theory,
    _endings,
    _series,
    _told,
    _visible,
    detection_errors,
    planted,
)

DROP = "within_person_drop"
SETTINGS = {
    "people": 200, "sessions": 12, "share": 0.6, "rho": 0.0, "depths": [1, 4], "sd": 0.5, "sd_spread": 0.2, "level": 5.0,
    "level_sd": 0.5, "low": 1.0, "high": 7.0, "step": 1 / 12, "missing": 0.1, "criteria": [DROP, "control_chart"],
}  # fmt: skip


def by_hand(*rows: list[float], onset: list[int], back: list[int]) -> Planted:
    return Planted({"x": np.array(rows, dtype=float)}, np.array(onset), np.array(back), 1.0, 7.0, independent=True)


def test_a_rupture_is_seen_in_its_first_rated_session_if_one_was_rated_before():
    nan = np.nan
    data = by_hand(
        [5, 5, nan, 3, 5, 5],  # planted at 2, unrated there: seen at 3; the next rated session is the return
        [nan, nan, 3, 5, 5, 5],  # nothing rated before it
        [5, 5, nan, 5, 5, 5],  # its only session is unrated
        [5, 5, 5, 3, 3, 3],  # lasts to the end, two rated sessions follow its first
        [5, 5, 3, nan, nan, nan],  # nothing rated after it
        [5, 5, 5, 5, 5, 5],  # none planted
        onset=[2, 2, 2, 3, 2, -1], back=[4, 3, 3, 6, 6, 6],
    )  # fmt: skip
    found = _visible(data, "x")
    assert found.seen.tolist() == [True, False, False, True, True, False]
    assert found.session[[0, 3, 4]].tolist() == [3, 3, 2]
    assert found.returns[[0, 3, 4]].tolist() == [1, 0, 0]
    assert found.followed[[0, 3, 4]].tolist() == [2, 2, 0]
    drop = as_criteria(DROP)[0]  # a window of three rated sessions
    # Repaired; two sessions follow, fewer than the window: censored; none follows: censored.
    assert _endings(found, drop)[[0, 3, 4]].tolist() == [0, 2, 2]
    short = as_criteria(DROP, window=2)[0]
    assert _endings(found, short)[[0, 3]].tolist() == [0, 1]


def test_an_episode_that_begins_a_session_early_or_late_counts_as_found_and_two_off_does_not():
    x = [5.0, 5.1, 5.0, 5.1, 2.0, 5.1, 5.0, 5.1, 5.0, 5.1]  # one drop, at session 4, back at 5
    data = by_hand(x, x, x, x, onset=[4, 3, 5, 6], back=[5, 4, 6, 7])
    found = detect(_series(data, "x"), as_criteria(DROP)[0])
    assert _told(found, np.array([4, 3, 5, 6]), 10).tolist() == [0, 0, 0, -1]
    told = {f.target: f.estimate for f in detection_errors(data, methods=["x"], criteria=[DROP])}
    assert told[f"{DROP}: missed"] == pytest.approx(1 / 4)
    # Only the first one's session lies inside the episode.
    assert told[f"{DROP}: begun outside any rupture"] == pytest.approx(3 / 4)
    assert told[f"{DROP}: repaired, told otherwise"] == 0


def test_false_ruptures_are_counted_in_clients_without_a_planted_one():
    calm, dip = [5.0, 5.1] * 5, [5.0, 5.1, 5.0, 5.1, 2.0, 2.0, 5.1, 5.0, 5.1, 5.0]
    data = by_hand(calm, dip, dip, onset=[-1, -1, 4], back=[10, 10, 6])
    told = {f.target: f.estimate for f in detection_errors(data, methods=["x"], criteria=["stiles2004"])}
    # Two clients without: 20 rated sessions, one rupture of two sessions, in one of them.
    assert told["stiles2004: false per 100 sessions"] == pytest.approx(5)
    assert told["stiles2004: falsely ruptured"] == pytest.approx(1 / 2)
    assert told["stiles2004: time in false ruptures"] == pytest.approx(2 / 20)


def test_the_same_clients_are_made_with_each_depth_and_only_the_ruptures_differ():
    data = planted(np.random.default_rng(3), **SETTINGS).data
    one, four = data.ratings["1 SD"], data.ratings["4 SD"]
    assert (data.onset[: round(0.6 * 200)] >= 1).all()
    assert (data.onset[120:] == -1).all()
    assert np.array_equal(one[120:], four[120:], equal_nan=True)
    place = np.arange(12)
    dip = (place >= data.onset[:, None]) & (place < data.back[:, None]) & (data.onset[:, None] >= 0)
    assert np.array_equal(one[~dip], four[~dip], equal_nan=True)
    rated = dip & ~np.isnan(one)
    assert (four[rated] <= one[rated]).all()
    assert four[rated].mean() < one[rated].mean() - 1
    steps = (one[~np.isnan(one)] - 1) * 12
    assert np.allclose(steps, np.round(steps))
    assert np.nanmin(four) >= 1
    assert np.nanmax(one) <= 7


def test_drops_in_normal_noise_are_as_many_as_the_beta_distribution_says():
    rng = np.random.default_rng(8)
    people, sessions = 6_000, 10
    data = Planted(
        {"x": 4 + 0.3 * rng.standard_normal((people, sessions))}, np.full(people, -1), np.full(people, sessions), -9, 99, True
    )
    for name in (DROP, "stiles2004"):
        found = detect(_series(data, "x"), as_criteria(name)[0])
        # 54,000 pairs: the Monte-Carlo error is below .25 percentage points; a wrong degree of freedom is off by 1 or more.
        assert _drops_less_theory(found, data.onset < 0) == pytest.approx(0, abs=0.6)


def test_theory_has_a_number_only_for_independent_noise_and_own_standard_deviations():
    def targets(rho: float) -> set[str]:
        return set(planted(np.random.default_rng(1), **{**SETTINGS, "rho": rho, "criteria": [DROP, "strauss2006"]}).truth)

    assert {t for t in targets(0) if t.endswith("theory")} == {f"{DROP}: drops less theory"}
    assert not {t for t in targets(0.3) if t.endswith("theory")}


def test_every_target_is_answered_and_errors_are_shares():
    sample = planted(np.random.default_rng(5), **SETTINGS)
    found = list(detection_errors(sample.data, methods=list(sample.data.ratings), criteria=SETTINGS["criteria"]))
    assert {f.target for f in found} == set(sample.truth)
    shares = [f.estimate for f in found if "per 100" not in f.target and "theory" not in f.target and f.estimate == f.estimate]
    assert all(0 <= s <= 1 for s in shares)


def test_deeper_ruptures_are_missed_less():
    sample = planted(np.random.default_rng(6), **{**SETTINGS, "sessions": 20})
    missed = {
        (f.target, f.method): f.estimate
        for f in detection_errors(sample.data, methods=["1 SD", "4 SD"], criteria=SETTINGS["criteria"])
    }
    for name in SETTINGS["criteria"]:
        assert missed[f"{name}: missed", "4 SD"] < missed[f"{name}: missed", "1 SD"]


def test_the_study_judges_every_criterion_that_goes_by_the_ratings():
    study = read_yaml(project_root() / "validation" / "recovery" / "rupture_detection.yaml")
    by_ratings = sorted(name for name, preset in load_criteria("rupture").items() if not preset.get("reads"))
    assert sorted(study["fixed"]["criteria"]) == by_ratings
    assert [e["options"]["criteria"] for e in study["estimators"]] == [study["fixed"]["criteria"]]


def made_up() -> pd.DataFrame:
    """Return results of two criteria: errors of .25 or, for the second, of .5; 2 and 1 false ruptures per 100 sessions."""
    whats = ["missed", "repaired, told otherwise", "unrepaired, told otherwise", "falsely ruptured", "time in false ruptures"]
    rows = [
        {
            "rho": rho, "sessions": 16, "target": f"{c}: {what}", "method": f"rupture of {d} SD", "measure": "bias",
            "value": rate if what == "false per 100 sessions" else e,
        }
        for rho in (0.0, 0.3) for c, e, rate in (("b", 0.25, 2.0), ("a", 0.5, 1.0)) for d in (1, 3)
        for what in [*whats, "false per 100 sessions"]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_table_tells_what_is_right_and_puts_few_false_ruptures_first():
    lines = table(made_up(), 0.3).splitlines()
    assert lines[2:] == [
        "| `a` | 50 % | 50 % | 50 % | 50 % | 1.0 | 50 % | 50 % |",
        "| `b` | 75 % | 75 % | 75 % | 75 % | 2.0 | 25 % | 25 % |",
    ]
    page = with_table(f"before\n{BEGIN}\nstale words\n{END}\nafter\n", made_up())
    assert page.startswith("before\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "stale words" not in page
    with pytest.raises(ValueError, match="lacks"):
        with_table("no marks", made_up())


def test_the_picture_shows_what_is_right_of_planted_and_wrong_of_calm():
    more = pd.concat([made_up(), made_up().assign(sessions=30, value=0.1)])
    shown = draw(more).data.set_index(["panel", "series", "criterion"])["share"]
    assert shown["found", "16 sessions, 3 SD", "a"] == pytest.approx(1 - 0.5)
    assert shown["ends", "repaired, told so", "b"] == pytest.approx(1 - 0.25)
    assert shown["false", "16 sessions", "b"] == pytest.approx(0.25)
    assert shown["false", "30 sessions", "b"] == pytest.approx(0.1)
    assert np.isnan(shown["found", "16 sessions, 2 SD", "a"])  # not in these results


def test_the_page_has_the_numbers_of_the_study():
    root = project_root()
    page = (root / "docs" / "methods" / "rupture-detection.md").read_text(encoding="utf-8")
    results = read_table(root / "validation" / "recovery" / "rupture_detection.csv")
    assert with_table(page, results) == page, "run `python3 run.py docs`"
