"""Sudden gains: the example data of the R package, R's own functions interval by interval, hand-worked cases, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.change.gain_criteria import (
    Rule,
    cutoff_from,
    describe_gains,
    find_gains,
    gain_profile,
    interval_counts,
    wide_series,
)
from attachment_outcomes.change.gain_noise import autocorrelation, correlations, detrended, expected_gains
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.sudden_gains import ANALYSIS, TABLES, analyse
from attachment_outcomes.errors import StatisticsError

BDI = Rule(cutoff=7)
R_PACKAGE = Rule(cutoff=7, losses="any rise")


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "suddengains"


@pytest.fixture(scope="module")
def bdi(folder: Path) -> np.ndarray:
    """Sessions 1 to 12 of the 43 people."""
    return pd.read_csv(folder / "sgdata.csv")[[f"bdi_s{i}" for i in range(1, 13)]].to_numpy(dtype=float)


def test_gains_of_the_package_example(bdi: np.ndarray, folder: Path) -> None:
    """24 gains in 15 of 43 people, where they are, and which intervals cannot be judged (89 of 387)."""
    found = find_gains(bdi, BDI)
    counts = interval_counts(found, range(1, 13))
    assert counts["n_gains"].tolist() == [3, 8, 1, 3, 1, 2, 5, 1, 0]
    assert counts["interval"].tolist()[0] == "2 to 3"
    assert (found.gain.sum(), found.gain.any(axis=1).sum(), found.available.sum()) == (24, 15, 387 - 89)
    assert np.nansum(found.criteria, axis=(1, 2)).tolist() == [34, 45, 81]
    listed = pd.read_csv(folder / "ref_bysg_cut7.csv")
    row, interval = np.nonzero(found.gain)
    ours = pd.DataFrame({"id": pd.read_csv(folder / "sgdata.csv")["id"].to_numpy()[row], "sg_session_n": interval + 1})
    pd.testing.assert_frame_equal(
        ours.sort_values(["id", "sg_session_n"], ignore_index=True),
        listed[["id", "sg_session_n"]].sort_values(["id", "sg_session_n"], ignore_index=True),
        check_dtype=False,
    )


def test_settled_intervals_leave_83_unknown(bdi: np.ndarray) -> None:
    found = find_gains(bdi, Rule(cutoff=7, settle=True))
    assert 387 - found.available.sum() == 83
    assert (found.gain == find_gains(bdi, BDI).gain).all()


def test_with_the_assessment_before_session_1_the_first_interval_counts(folder: Path) -> None:
    """The package's table over s0 to s12: its name ``sg_2to3`` is the interval from session 1 to 2."""
    listed = pd.read_csv(folder / "ref_identify_sg_cut7.csv")
    found = find_gains(listed[[f"bdi_s{i}" for i in range(13)]].to_numpy(dtype=float), BDI)
    theirs = listed[[c for c in listed if c.startswith("sg_")]].to_numpy(dtype=float)
    ours = np.where(found.available, found.gain, np.nan)[:, 1:-1]
    np.testing.assert_array_equal(ours, theirs)


def test_losses_as_in_the_package_only_by_name(folder: Path) -> None:
    listed = pd.read_csv(folder / "ref_identify_sl_cut7.csv")
    values = listed[[f"bdi_s{i}" for i in range(13)]].to_numpy(dtype=float)
    theirs = listed[[c for c in listed if c.startswith("sl_")]].to_numpy(dtype=float)
    found = find_gains(values, R_PACKAGE)
    np.testing.assert_array_equal(np.where(found.available, found.loss, np.nan)[:, 1:-1], theirs)
    right = find_gains(values, BDI).loss
    assert not (right & ~found.loss).any()


def test_three_losses_of_the_package_example(bdi: np.ndarray) -> None:
    assert find_gains(bdi, R_PACKAGE).loss.sum() == 3


def test_a_rise_below_a_quarter_is_no_loss_but_meets_the_packages_criterion() -> None:
    values = np.array([[40, 40, 40, 48, 48, 48]], dtype=float)  # 8 points, a fifth of 40
    assert not find_gains(values, BDI).loss.any()
    assert find_gains(values, R_PACKAGE).loss.sum() == 1
    assert find_gains(values + np.array([0, 0, 0, 2, 2, 2]), BDI).loss.sum() == 1


def test_magnitudes_proportions_and_reversals_of_the_package_example(bdi: np.ndarray, folder: Path) -> None:
    listed = pd.read_csv(folder / "ref_bysg_cut7.csv")
    described = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["describe_bysg"]
    gains = describe_gains(bdi, find_gains(bdi, BDI).gain, strictly=True)
    ids = pd.read_csv(folder / "sgdata.csv")["id"].to_numpy()[gains["row"]]
    ours = gains.assign(id=ids).sort_values(["id", "interval"])
    theirs = listed.sort_values(["id", "sg_session_n"])
    assert ours["magnitude"].tolist() == theirs["sg_magnitude"].tolist()
    known = theirs["sg_change_proportion"].notna().to_numpy()  # the package needs sessions 1 and 12
    assert known.sum() == 23
    assert ours["proportion"].to_numpy()[known].tolist() == pytest.approx(
        theirs["sg_change_proportion"].to_numpy()[known].tolist(), rel=1e-12
    )
    assert ours["reversed"].astype(int).tolist() == theirs["sg_reversal"].tolist()
    assert round(gains["magnitude"].mean(), 2) == described["sg_magnitude_m"]
    assert round(gains["magnitude"].std(), 2) == described["sg_magnitude_sd"]
    assert gains["reversed"].sum() == described["sg_reversal_n"]
    per_person = gains.groupby("row").size()
    assert (per_person > 1).sum() == 8  # describe_byperson: sg_multiple_n


def test_criteria_agree_with_base_r() -> None:
    reference = load_reference("sudden_gains")
    x = np.array([[np.nan if v is None else v for v in row] for row in reference["values"]], dtype=float)
    published = find_gains(x, BDI)
    reference["published"].check(
        {
            "gains": np.flatnonzero(published.gain), "criteria": np.nansum(published.criteria, axis=(1, 2)),
            "unknown": published.available[:, 1:-1].size - published.available.sum(),
        }
    )  # fmt: skip
    student = find_gains(x, Rule(cutoff=7, third="student"))
    reference["student"].check({"gains": np.flatnonzero(student.gain), "criteria": np.nansum(student.criteria, axis=(1, 2))})
    reference["first_session"].check({"gains": np.flatnonzero(find_gains(x, Rule(cutoff=7, first_session=True)).gain)})
    reference["losses"].check({"losses": np.flatnonzero(published.loss)})
    reference.check({"cutoff": cutoff_from(sd=10.5, reliability=0.931)}, rel=1e-14)
    assert len(reference["student"]["gains"]) > len(reference["published"]["gains"]) > 20
    mirrored = find_gains(60 - x, BDI, higher_is_better=True)
    only_first = Rule(cutoff=7, percent=None)
    assert (find_gains(60 - x, only_first, higher_is_better=True).gain == find_gains(x, only_first).gain).all()
    assert mirrored.available.sum() == published.available.sum()


def test_the_cutoff_of_the_tutorial_and_of_the_example(folder: Path) -> None:
    assert round(cutoff_from(sd=10.5, reliability=0.931), 3) == 7.645
    described = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["cutoff"]
    ours = cutoff_from(sd=described["sd"], reliability=described["reliability"])
    assert ours == pytest.approx(described["reliable_change_value"], rel=2e-5)  # the package takes z as 1.96


def test_worked_by_hand() -> None:
    """30, 30, 30 to 20, 20, 20: no fluctuation, so any difference passes criterion 3; it reverses with a later 25."""
    series = np.array([[30, 30, 30, 20, 20, 20, 25, 20.0]])
    found = find_gains(series, BDI)
    assert np.flatnonzero(found.gain).tolist() == [2]
    gains = describe_gains(series, found.gain)
    assert gains[["magnitude", "change", "proportion"]].iloc[0].tolist() == [10, 10, 1]
    assert bool(gains["reversed"].iloc[0])
    assert not describe_gains(series, found.gain, strictly=True)["reversed"].iloc[0]
    assert find_gains(series[:, :6] - 20 + 0.0, Rule(cutoff=7), minimum=-1.0).gain.sum() == 1


def test_each_criterion_can_be_switched_off() -> None:
    small = np.array([[40, 40, 40, 32, 32, 32.0]])  # 8 points, a fifth
    assert not find_gains(small, BDI).gain.any()
    assert find_gains(small, Rule(cutoff=7, percent=None)).gain.sum() == 1
    unstable = np.array([[40, 20, 40, 25, 45, 20.0]])
    assert not find_gains(unstable, BDI).gain.any()
    assert find_gains(unstable, Rule(cutoff=7, third=None)).gain[0, 2]
    assert find_gains(np.array([[8, 8, 8, 5, 5, 5.0]]), Rule(cutoff=None)).gain.sum() == 1


def test_the_third_criterion_is_stricter_as_published_than_as_a_t_test() -> None:
    """Means 30 and 24, pooled SD 3: t x 3 = 8.33 is not exceeded, t x 3 x sqrt(2/3) = 6.80 neither; with means 7 apart it is."""
    series = np.array([[27, 30, 33, 20, 23, 26.0]])
    assert not find_gains(series, Rule(cutoff=7)).gain.any()
    assert find_gains(series, Rule(cutoff=7, third="student")).gain.sum() == 1


def test_profile_is_the_mean_around_gains() -> None:
    series = np.array([[30, 30, 30, 20, 20, 20.0], [34, 32, 30, 20, 18, 16]])
    profile = gain_profile(series, find_gains(series, Rule(cutoff=7, third=None)).gain)
    assert profile["offset"].tolist() == [-3, -2, -1, 1, 2, 3]
    assert profile["mean"].tolist() == [32, 31, 30, 20, 19, 18]
    assert profile["n"].tolist() == [2] * 6


def test_order_of_people_and_a_shift_of_scale_do_not_matter(bdi: np.ndarray) -> None:
    found = find_gains(bdi, BDI)
    order = np.random.default_rng(1).permutation(len(bdi))
    assert (find_gains(bdi[order], BDI).gain == found.gain[order]).all()
    moved = find_gains(3 * bdi + 5, Rule(cutoff=21), minimum=5)
    assert (moved.gain == found.gain).all()


def test_noise_has_the_autocorrelation_that_was_put_in() -> None:
    rng = np.random.default_rng(8)
    steps = np.arange(14)
    for rho in (-0.3, 0.0, 0.5):
        noise = 2 * rng.standard_normal((3000, 14)) @ np.linalg.cholesky(correlations(rho, steps)).T
        x = 20 - rng.normal(0.5, 0.3, (3000, 1)) * steps + noise
        x[rng.random(x.shape) < 0.1] = np.nan
        line, maker = detrended(x)
        found, sd = autocorrelation(x, line, maker)
        assert found == pytest.approx(rho, abs=0.025)
        assert (sd**2).mean() == pytest.approx(4, rel=0.04)


def test_expected_gains_are_those_of_series_without_gains() -> None:
    """Series that are a line and noise: what is expected is what is there, within Monte-Carlo and sampling error."""
    rng = np.random.default_rng(4)
    x = 25 - 0.6 * np.arange(14) + rng.normal(0, 3, (800, 14))

    def judge(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = find_gains(y, Rule(cutoff=5), minimum=-50)
        return found.gain, found.available

    expected = expected_gains(x, judge, rng=np.random.default_rng(1), minimum=-50, replicates=60)
    assert expected is not None
    seen = judge(x)[0].any(axis=1).mean()
    assert expected.share == pytest.approx(seen, abs=0.04)
    again = expected_gains(x, judge, rng=np.random.default_rng(1), minimum=-50, replicates=60)
    assert again == expected
    assert expected_gains(np.full((3, 6), np.nan), judge, rng=rng) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rule(cutoff=None, percent=None, third=None), "no criterion"),
        (lambda: Rule(cutoff=-7), "above 0"),
        (lambda: Rule(cutoff=7, percent=25), "between 0 and 1"),
        (lambda: Rule(cutoff=7, alpha=0), "alpha 0"),
        (lambda: Rule(cutoff=7, third="t"), "allowed: published, student"),  # type: ignore[arg-type]
        (lambda: Rule(cutoff=7, losses="mirror"), "Did you mean 'mirrored'"),  # type: ignore[arg-type]
        (lambda: cutoff_from(sd=0, reliability=0.9), "SD 0"),
        (lambda: cutoff_from(sd=7, reliability=1), "both excluded"),
        (lambda: find_gains([[1, 2]], BDI), "three sessions"),
        (lambda: find_gains([[1, -2, 3, 4]], BDI), "below the scale's minimum"),
        (lambda: wide_series(pd.DataFrame({"person_id": ["a", "a"], "session_number": [1, 1], "value": [1, 2]})), "two values"),
    ],
)
def test_refusals(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError, match=message):
        call()


def study(settings: dict, n: int = 40) -> ChangeData:
    """Made-up sessions: symptoms fall a little a session; one in four has a jump of 4 of 10 points at session 5."""
    rng = np.random.default_rng(3)
    level = 7 - 0.05 * np.arange(1, 13) - 4.0 * ((np.arange(n) % 4 == 0)[:, None] & (np.arange(1, 13) > 5))
    value = np.clip(np.round(level + rng.normal(0, 0.6, (n, 12))), 0, 10)
    person = np.repeat([f"p{i:02d}" for i in range(n)], 12)
    sessions = pd.DataFrame(
        {"person_id": person, "treatment_id": "1", "session_number": np.tile(range(1, 13), n), "symptoms": value.ravel()}
    )
    people = pd.DataFrame({"person_id": sorted(set(person)), "role": "client"})
    treatments = pd.DataFrame(
        {"person_id": people["person_id"], "treatment_id": "1", "therapist_id": [f"t{i % 8}" for i in range(n)], "start_week": 0.0}
    )
    none = pd.DataFrame()
    return ChangeData(
        scores=none, styles=none, waves=none, people=people, treatments=treatments, sessions=sessions, classifications=none,
        answers=none, settings={"outcomes": [], "sudden_gains": settings}, instruments={}, seed=1,
    )  # fmt: skip


SETTINGS = {"series": "symptoms", "direction": "higher is worse", "cutoff": 2, "maximum": 10}


def test_analyse_tells_observed_beside_expected() -> None:
    data = study(SETTINGS)
    part = analyse(data)
    rows = {r.estimand: r for r in part.estimates}
    assert rows["share_with_gain"].estimate >= 0.2
    assert rows["share_with_gain"].n_clusters == 8
    assert rows["expected_without_gains"].estimate < rows["share_with_gain"].estimate
    assert rows["mean_magnitude"].estimate == pytest.approx(4, abs=0.8)
    assert set(part.tables) == set(TABLES)
    for name, table in part.tables.items():
        assert list(table) == list(TABLES[name])
        assert len(table)
    counts = part.tables["sudden_gains"]
    assert counts.loc[counts["n_gains"].idxmax(), "interval"] == "5 to 6"
    assert data.flow.frame()["n_out"].iloc[-1] == 40
    assert analyse(study(SETTINGS)).estimates == part.estimates


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no session-by-session series"),
        ({"series": "symptoms", "cutoff": 2}, "which way"),
        ({"series": "symptoms", "direction": "higher is worse"}, "no cutoff"),
        ({"series": "moods", "direction": "higher is worse", "cutoff": 2}, "no column 'moods'"),
        ({"series": "core10.total", "cutoff": 2}, "no instrument"),
        ({**SETTINGS, "cutoff": -1}, "above 0"),
    ],
)
def test_what_cannot_be_answered_is_a_row(settings: dict, message: str) -> None:
    part = analyse(study(settings))
    assert [r.estimand for r in part.estimates] == ["not testable"]
    assert part.estimates[0].analysis == ANALYSIS
    assert message in part.estimates[0].note
    assert all(len(t) == 0 for t in part.tables.values())


def test_reliability_makes_the_cutoff_with_the_samples_sd() -> None:
    part = analyse(study({**SETTINGS, "cutoff": None, "reliability": 0.5}))
    note = next(r for r in part.estimates if r.estimand == "share_with_gain").note
    assert "reliability 0.5" in note
    assert "SD 0." in note


def test_a_hundred_thousand_series_are_quick() -> None:
    import time

    x = np.random.default_rng(1).integers(0, 60, (100_000, 20)).astype(float)
    start = time.process_time()
    found = find_gains(x, BDI)
    assert time.process_time() - start < 5
    assert math.isfinite(found.gain.mean())
