"""Made-up reports and codings hold the truth they were made from; tolerances are about four standard errors."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from attachment_outcomes.config import read_yaml
from attachment_outcomes.simulate.cohort import simulate_cohort
from attachment_outcomes.simulate.observers import MARKERS, in_rupture
from attachment_outcomes.simulate.sessions import NEVER, Ruptures

RATINGS = ["withdrawal", "confrontation", "resolution"]


@pytest.fixture(scope="module")
def truth(root):
    large = deepcopy(read_yaml(root / "data" / "example" / "truth.yaml"))
    large["network"]["clients"] = 1500
    large["observers"] |= {"clients": 400, "sessions": 3, "coded_twice_share": 0.5}
    large["dirt"] |= {"duplicated_rows": 0}
    return large


@pytest.fixture(scope="module")
def tables(truth):
    return simulate_cohort(truth)


def test_which_sessions_have_an_open_rupture():
    # Client 1: onset 3, repaired after 2 sessions (3, 4 and the repair in 5). Client 2: onset 5, never repaired. Client 3: none.
    ruptures = Ruptures(
        onset=np.array([[3, NEVER], [5, NEVER], [NEVER, NEVER]]), depth=np.ones((3, 2)), length=np.full((3, 2), 2),
        repaired=np.array([[True, True], [False, True], [True, True]]),
    )  # fmt: skip
    going, mending = in_rupture(ruptures, 7)
    assert [(np.flatnonzero(row) + 1).tolist() for row in going] == [[3, 4, 5], [5, 6, 7], []]
    assert [(np.flatnonzero(row) + 1).tolist() for row in mending] == [[4, 5], [], []]


def test_clients_without_ruptures_report_tension_as_often_as_the_truth_has_false_alarms(tables, truth):
    reports = tables["reports"].merge(tables["true_clients"][["client_id", "group"]], on="client_id")
    quiet = reports[reports["group"] == "none"]
    for rater in ("client", "therapist"):
        said = quiet[f"{rater}_tension"].dropna() == "yes"
        assert said.mean() == pytest.approx(truth["reports"][f"{rater}_false_alarm"], abs=4 * np.sqrt(0.06 / len(said)))
    assert reports["client_tension"].isna().mean() == pytest.approx(truth["reports"]["missing_share"], abs=0.01)


def test_strength_and_resolution_are_reported_only_with_tension(tables):
    reports = tables["reports"]
    for rater in ("client", "therapist"):
        yes = (reports[f"{rater}_tension"] == "yes").to_numpy()
        for name in ("intensity", "resolution"):
            assert (reports[f"{rater}_{name}"].notna().to_numpy() == yes).all()
    assert len(reports) == (tables["sessions"]["attended"] == "yes").sum()


def test_coded_sessions_are_observed_ones_and_half_of_them_are_coded_twice(tables, truth):
    coded = tables["observer"]
    whole = coded[coded["segment"].isna()]
    assert len(whole.drop_duplicates(["client_id", "session"])) == 1200
    assert (whole["coder"] == "K2").sum() == 600
    joined = whole.merge(tables["sessions"], on=["client_id", "session"], suffixes=("", "_true"))
    assert len(joined) == len(whole)
    assert joined["withdrawal_true"].notna().all()
    worst = tables["sessions"].assign(worst=tables["sessions"][["withdrawal", "confrontation"]].max(axis=1))
    most = worst[worst["client_id"].isin(whole["client_id"])].groupby("client_id")["worst"].max()
    found = joined[["withdrawal_true", "confrontation_true"]].max(axis=1).groupby(joined["client_id"]).max()
    assert (found == most).all()


def test_coders_rate_with_the_truths_error_and_see_its_share_of_markers(tables, truth):
    coded, sd = tables["observer"], truth["observers"]["rating_sd"]
    whole = coded[coded["segment"].isna()].merge(tables["sessions"], on=["client_id", "session"], suffixes=("", "_true"))
    inner = whole[whole["withdrawal_true"].between(2, 4)]  # the ends of the scale cut errors off
    error = (inner["withdrawal"] - inner["withdrawal_true"]).astype(float)
    assert error.mean() == pytest.approx(0, abs=4 * sd / np.sqrt(len(error)))
    assert error.std() == pytest.approx(np.sqrt(sd**2 + 1 / 12), abs=0.1)  # rounding adds 1/12 to the variance
    # Markers a session: .9 for each point of severity above 1, seen with .85, and .01 false ones in each of 10 segments.
    markers = coded[coded["segment"].notna()].groupby(["client_id", "session", "coder"])[[f"W{i + 1}" for i in range(MARKERS["W"])]]
    seen = markers.sum().sum(axis=1).rename("seen").reset_index().merge(tables["sessions"], on=["client_id", "session"])
    expected = 0.85 * 0.9 * (seen["withdrawal"] - 1) + 0.1
    assert seen["seen"].mean() == pytest.approx(expected.mean(), abs=4 * np.sqrt(expected.mean() / len(seen)))


def test_what_a_marker_weighs_is_rated_exactly_where_it_was_seen(tables):
    coded = tables["observer"].set_index(["client_id", "session", "coder"])
    seen = coded[coded["segment"].notna()]["C2"].groupby(level=[0, 1, 2]).sum() > 0
    weighed = coded[coded["segment"].isna()]["C2_significance"].notna()
    assert (seen.sort_index() == weighed.sort_index()).all()
