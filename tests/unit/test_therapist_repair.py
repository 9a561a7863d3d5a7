"""Therapists' repair rates against glmer, what is left out and said, and what is refused."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.inference.funnel import exact_limits, exact_overdispersion, exact_tail
from attachment_outcomes.inference.logistic_mixed.fit import logistic_mixed_model
from attachment_outcomes.inference.logistic_mixed.profile import top_sd
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import therapist_repair
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.therapist_repair import (
    TABLES,
    RepairModel,
    analyse,
    decided_ruptures,
    fit_repair,
    repair_by_therapist,
)

GLMER = 2e-5  # glmer's own likelihood and optimum agree with ours to about this much (docs/methods/logistic-mixed-models.md)
BOBYQA = 2e-4  # of conditional modes, which hang on all parameters


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("therapist_repair")


@pytest.fixture(scope="module")
def ruptures(reference: Reference) -> pd.DataFrame:
    data = reference.frame("data").rename(columns={"therapist": "therapist_id"})
    return data.assign(therapist_id=data["therapist_id"].map("t{:02d}".format), depth=1.0, repaired=data["repaired"].astype(float))


def found(rows: list[Estimate]) -> dict[tuple[str, str], Estimate]:
    return {(e.estimand, e.group): e for e in rows}


def test_profile_test_ratio_and_range_agree_with_glmer(reference: Reference, ruptures: pd.DataFrame) -> None:
    fit = logistic_mixed_model("repaired ~ 1", ruptures, groups="therapist_id", quadrature=9)
    sd = top_sd(fit, "repaired ~ 1", ruptures)
    theirs = reference["alone"]
    theirs.check({"intercept": fit.estimates["estimate"], "sd": sd.estimate}, rel=GLMER)
    theirs.check({"ci": [sd.ci_low, sd.ci_high]}, abs=2e-3)  # our roots are to 1e-3 log odds
    theirs.check({"statistic": sd.statistic, "p": sd.p_value}, rel=1e-4)
    modes = fit.modes("therapist_id")
    theirs.check({"modes": modes["estimate"], "se": modes["std_error"]}, abs=BOBYQA)
    model = RepairModel(fit=fit, therapists=sd, client_sd=0.0, note="")
    theirs.check({"expected": model.share(np.array([-1, 1]) * norm.ppf(0.975) * sd.estimate)}, rel=1e-4)


def test_clients_in_therapists_with_a_covariate_agree_with_glmer(reference: Reference, ruptures: pd.DataFrame) -> None:
    z = (ruptures["onset"] - ruptures["onset"].mean()) / ruptures["onset"].std()
    fit = logistic_mixed_model("repaired ~ z", ruptures.assign(z=z), groups=("client", "therapist_id"))
    client, therapist = (math.sqrt(v) for v in fit.variances.values())
    theirs = reference["nested"]
    theirs.check({"fixed": fit.estimates["estimate"], "client_sd": client, "therapist_sd": therapist}, rel=1e-4, abs=2e-5)
    theirs.check({"modes": fit.modes("therapist_id")["estimate"]}, abs=BOBYQA)
    sd = top_sd(fit, "repaired ~ z", ruptures.assign(z=z))
    model = RepairModel(fit=fit, therapists=sd, client_sd=client, note="")
    theirs.check({"shares": model.share(np.array([-1.0, 0.0, 1.0]) * therapist)}, rel=1e-4)


def test_exact_limits_tails_and_overdispersion_agree_with_r(reference: Reference) -> None:
    for case in reference.frame("limits").itertuples():
        low, high = exact_limits([case.n], target=case.p, level=case.level, between=case.tau2)
        assert [low[0], high[0]] == pytest.approx([case.low, case.high], abs=1e-8)
        assert exact_tail([case.k], [case.n], target=case.p, between=case.tau2)[0] == pytest.approx(case.tail, rel=1e-8)
    units = reference.frame("units")
    found = exact_overdispersion(units["events"], units["n"], target=float(units["events"].sum() / units["n"].sum()))
    reference["dispersion"].check({"phi": found.phi, "tau2": found.tau2}, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "target", "level", "between", "message"),
    [
        ([5.5], 0.5, 0.95, 0.0, "whole and above 0"), ([5], 1.0, 0.95, 0.0, "must lie between"),
        ([5], 0.5, 1.0, 0.0, "level 1.0"), ([5], 0.5, 0.95, 0.25, "too large"),
    ],
)  # fmt: skip
def test_impossible_limits_are_refused(n: list, target: float, level: float, between: float, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        exact_limits(n, target=target, level=level, between=between)


def test_the_rows_are_those_of_the_model(ruptures: pd.DataFrame) -> None:
    rows, table = repair_by_therapist(ruptures, rng=np.random.default_rng(1), adjust=("onset", "depth"), definition="made up")
    by = found(rows)
    model = fit_repair(ruptures, ())
    assert by["therapist_sd", ""].estimate == pytest.approx(model.therapists.estimate)
    assert by["therapist_variance", ""].ci_high == pytest.approx(model.therapists.ci_high**2)
    ratio = by["median_odds_ratio", ""]
    assert ratio.estimate == pytest.approx(math.exp(math.sqrt(2) * 0.6744897502 * model.therapists.estimate))
    assert ratio.p_value == model.therapists.p_value
    assert by["share_repaired", ""].estimate == pytest.approx(ruptures["repaired"].mean())
    assert by["expected_low", ""].estimate < ruptures["repaired"].mean() < by["expected_high", ""].estimate
    # Depth does not vary here and is left out; the session of the onset stays.
    assert ("odds_ratio_onset", "adjusted") in by
    assert ("odds_ratio_depth", "adjusted") not in by
    assert "adjusted for onset" in by["therapist_sd", "adjusted"].note
    assert all("not effect" in by[name, ""].note for name in ("therapist_sd", "median_odds_ratio"))
    assert list(table.columns) == list(TABLES["therapist_repair"])
    estimates_frame(rows)  # no two rows answer one question


def test_codes_are_new_and_say_nothing_of_the_therapist(ruptures: pd.DataFrame) -> None:
    _, one = repair_by_therapist(ruptures, rng=np.random.default_rng(1))
    _, other = repair_by_therapist(ruptures, rng=np.random.default_rng(2))
    assert not set(one["therapist"]) & set(ruptures["therapist_id"])
    assert one["share"].tolist() != other["share"].tolist()
    pd.testing.assert_frame_equal(
        one.drop(columns="therapist").sort_values(["n_ruptures", "share", "log_odds"], ignore_index=True),
        other.drop(columns="therapist").sort_values(["n_ruptures", "share", "log_odds"], ignore_index=True),
    )


def test_shrunken_shares_lie_between_the_raw_one_and_the_average_and_few_ruptures_are_not_shown(ruptures: pd.DataFrame) -> None:
    first = ruptures["therapist_id"] == "t01"
    few = pd.concat([ruptures[~first], ruptures[first].iloc[:4]])
    rows, table = repair_by_therapist(few, rng=np.random.default_rng(1), fewest=5)
    assert len(table) == 23
    assert found(rows)["n_shown", ""].estimate == 23
    assert found(rows)["share_repaired", ""].n_clusters == 24
    away, shrunken = table["share"] - table["target"], table["estimate"] - table["target"]
    assert (shrunken.abs()[away.abs() > 0.1] < away.abs()[away.abs() > 0.1]).all()
    assert np.corrcoef(away, shrunken)[0, 1] > 0.95
    assert (table["ci_low"] < table["estimate"]).all()
    assert (table["low95_adjusted"] <= table["low95"] + 1e-12).all()


def test_without_differences_there_is_no_interval_for_a_therapist() -> None:
    rows = [(f"c{j}-{i}", f"t{j:02d}", float(k)) for j in range(12) for i in range(4) for k in (0, 1)]
    alike = pd.DataFrame(rows, columns=["client", "therapist_id", "repaired"])
    given, table = repair_by_therapist(alike, rng=np.random.default_rng(1))
    by = found(given)
    sd = by["therapist_sd", ""]
    assert (sd.estimate, sd.ci_low, sd.p_value) == (0.0, 0.0, 1.0)
    assert sd.ci_high > 0
    assert by["median_odds_ratio", ""].estimate == 1.0
    assert table["ci_low"].isna().all()
    assert table["estimate"].tolist() == pytest.approx([0.5] * 12)


def test_where_few_clients_have_two_ruptures_their_level_is_left_out_and_it_is_said(ruptures: pd.DataFrame) -> None:
    single = ruptures.drop_duplicates("client")
    rows, _ = repair_by_therapist(single, rng=np.random.default_rng(1))
    by = found(rows)
    assert ("client_variance", "") not in by
    assert "clients with two ruptures or more: 0" in by["therapist_sd", ""].note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[d["therapist_id"] < "t10"], "9 therapists have a client with a rupture whose end was seen; at least 10"),
        (lambda d: d.assign(repaired=1.0), "there is nothing to differ in"),
        (lambda d: d.iloc[:0], "0 therapists"),
    ],
)
def test_what_cannot_be_told_is_refused(ruptures: pd.DataFrame, change, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StatisticsError, match=message):
            repair_by_therapist(change(ruptures), rng=np.random.default_rng(1))


def test_a_fit_and_other_data_are_refused_by_the_profile(ruptures: pd.DataFrame) -> None:
    fit = logistic_mixed_model("repaired ~ 1", ruptures, groups="therapist_id")
    with pytest.raises(StatisticsError, match="not those of the fit"):
        top_sd(fit, "repaired ~ 1", ruptures.iloc[1:])


def sessions(therapists: int, clients: int = 3) -> tuple[dict[str, pd.DataFrame], dict]:
    """Ratings of six or seven sessions: a drop at 4, back at 5 with every second client; of some nobody saw the end."""
    rating, treatment = [], []
    for j in range(therapists):
        for i in range(clients):
            person = f"p{j:02d}{i}"
            back, short = (i + j) % 2 == 0, i == 2
            values = [5.0, 5.2, 5.1, 2.0, *([5.2, 5.0, 5.1, 5.2] if back else [2.1, 2.2, 2.0, 2.1])]
            values = [5.0, 5.2, 5.1, 5.0, 5.2, 2.0] if short else values
            rating += [(person, "1", s, v) for s, v in enumerate(values, 1)]
            treatment.append((person, "1", f"t{j:02d}" if j else None))
    keys = ["person_id", "treatment_id"]
    tables = {
        "sessions": pd.DataFrame(rating, columns=[*keys, "session_number", "srs"]).astype({"session_number": "Int64"}),
        "treatments": pd.DataFrame(treatment, columns=[*keys, "therapist_id"]),
        "scores": pd.DataFrame(columns=["person_id", "instrument", "scale", "rater", "wave", "session_number", "score"]),
    }
    presets = {
        "drop": {"rule": "attachment_outcomes.rupture.rules:within_person_drop", "settings": {"k": 1.0}, "episode": {"window": 3}}
    }
    return tables, presets


def test_a_study_counts_what_is_left_out() -> None:
    tables, presets = sessions(13)
    data = RuptureData(tables, {"alliance": "srs", "criteria": ["drop"]}, presets, {})
    part = analyse(data)
    flow = {row.step: (row.n_in, row.n_out) for row in data.flow.frame().itertuples()}
    assert flow["therapist repair: end seen"] == (39, 26)  # a third of the ruptures were in the last session
    assert flow["therapist repair: therapist known"] == (26, 24)
    share = found(part.estimates)["share_repaired", ""]
    assert share.n_clusters == 12
    assert share.note.endswith("left out: 13 censored ruptures, 2 without a therapist")
    ruptures = decided_ruptures(data.detections[0], data.clients[0])
    assert ruptures["onset"].tolist() == [4.0] * 26
    assert part.tables["therapist_repair"].empty  # two ruptures a therapist: nobody is shown singly


def test_a_study_with_few_therapists_says_so() -> None:
    tables, presets = sessions(6)
    part = analyse(RuptureData(tables, {"alliance": "srs", "criteria": ["drop"]}, presets, {}))
    assert [e.estimand for e in part.estimates] == ["not testable"]
    assert "5 therapists" in part.estimates[0].note
    assert list(part.tables["therapist_repair"].columns) == list(TABLES["therapist_repair"])


# --- The picture -----------------------------------------------------------------------------------------------------------------


def drawn(ruptures: pd.DataFrame):
    rows, table = repair_by_therapist(ruptures, rng=np.random.default_rng(1), definition="control_chart")
    return therapist_repair.draw({"therapist_repair": table, "estimates": estimates_frame(rows)}, {"ci_level": 0.95}), table


def test_the_picture_names_nobody_and_shows_every_therapist_twice(ruptures: pd.DataFrame) -> None:
    drawing, table = drawn(ruptures)
    assert "therapist" not in drawing.data.columns
    assert len(drawing.data) == len(table) == 24
    left, right = drawing.figure.axes[:2]
    assert left.get_title(loc="left") == "Shrunken shares"
    assert [t.get_text() for t in left.get_xticklabels() if t.get_text() and t.get_visible()] in ([], [""] * len(left.get_xticks()))
    assert sum(len(c.get_offsets()) for c in right.collections) == 24
    assert "Control chart: repaired 6" in drawing.caption
    assert "median odds ratio 1.8" in drawing.caption
    assert "nobody ranked" in drawing.caption
    assert svg_text(drawing) == svg_text(drawn(ruptures)[0])


def test_without_differences_the_picture_says_so_and_without_therapists_there_is_none() -> None:
    rows = [(f"c{j}-{i}", f"t{j:02d}", float(k)) for j in range(12) for i in range(4) for k in (0, 1)]
    drawing, table = drawn(pd.DataFrame(rows, columns=["client", "therapist_id", "repaired"]))
    said = " ".join(t.get_text() for t in drawing.figure.axes[0].texts)
    assert "no difference between therapists is estimated" in said
    with pytest.raises(NothingToDraw, match="no therapist has enough ruptures"):
        therapist_repair.draw({"therapist_repair": table.iloc[:0], "estimates": estimates_frame([])}, {})
