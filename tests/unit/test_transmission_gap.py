"""Mediation of transmission: paths, intervals and sensitivity, against lavaan and by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.transmission.gap.correlations import (
    correlations_of_sums,
    cross_products,
    full,
    olkin_siotani,
    on_fisher_z,
    robust_covariance,
    standardised,
    upper,
)
from attachment_outcomes.transmission.gap.estimation import gap_from_correlations, transmission_gap
from attachment_outcomes.transmission.gap.intervals import CORRECTED, Drawn, joint_significance, path_error
from attachment_outcomes.transmission.gap.paths import ARROW, PARALLEL, PRODUCT, SERIAL, Model
from attachment_outcomes.transmission.gap.sensitivity import (
    corrected_for_unreliability,
    drawn_reliabilities,
    gap_of,
    rho_at_zero,
    under_confounding,
)

LAVAAN = 2e-8  # its optimiser stops there
REFERENCE = load_reference("gap")
MODEL = Model(("functioning", "sensitivity"))
NAMES = {
    "a1": (0, 1), "a2": (0, 2), "b1": (1, 3), "b2": (2, 3), "direct": (0, 3), "d": (1, 2),
}  # fmt: skip
R_1995 = np.array([[1, 0.34, 0.47], [0.34, 1, 0.32], [0.47, 0.32, 1]])


def data():
    return REFERENCE.frame("data")


def matrix():
    return np.array(REFERENCE["correlations"])


def by_name(model, values):
    return {(q.definition, q.estimand, q.group): float(v) for q, v in zip(model.quantities, values, strict=True)}


def found_in(rows, **wanted):
    kept = [r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(kept) == 1, [(r.definition, r.estimand, r.group, r.method) for r in kept]
    return kept[0]


@pytest.fixture(scope="module")
def gap():
    table = data()
    return transmission_gap(
        table["parent"], table[["functioning", "sensitivity"]], table["child"], rng=np.random.default_rng(1),
        reliabilities={"sensitivity": {"value": 0.9, "n": 60, "verified": False}},
    )  # fmt: skip


def test_paths_of_lavaan():
    found = by_name(MODEL, MODEL.values(matrix()))
    total = found[PARALLEL, "total", ""]
    for definition in (PARALLEL, SERIAL):
        chains = {"i1": "functioning", "i2": "sensitivity", "i12": "functioning → sensitivity"}
        paths = {name: ARROW.join(MODEL.variables[i] for i in ends) for name, ends in NAMES.items()}
        ours = {name: found[definition, "path", path] for name, path in paths.items() if (definition, "path", path) in found}
        ours |= {n: found[definition, "indirect", g] for n, g in chains.items() if (definition, "indirect", g) in found}
        if definition == PARALLEL:
            ours |= {"indirect_total": found[definition, "indirect_total", ""], "total": total}
        assert len(ours) == (9 if definition == PARALLEL else 8)
        REFERENCE[definition]["estimate"].check(ours, abs=LAVAAN)
    chains_together = sum(v for (d, e, _), v in found.items() if (d, e) == (SERIAL, "indirect"))
    assert chains_together == pytest.approx(found[PARALLEL, "indirect_total", ""], abs=1e-14)


def test_standard_errors_of_a_normal_sample_are_those_of_lavaan():
    r = matrix()
    normal = olkin_siotani(r) / len(data())
    for definition in (PARALLEL, SERIAL):
        arrows = {n: e for n, e in NAMES.items() if n in REFERENCE[definition]["std_error"]}
        ours = {n: path_error(r, normal, e, parallel=definition == PARALLEL)[1] for n, e in arrows.items()}
        REFERENCE[definition]["std_error"].check(ours, rel=1e-6)


def test_covariance_without_normality_is_that_of_lavaans_fourth_moments():
    variables = ["parent", "functioning", "sensitivity", "child"]
    r, covariance, groups = robust_covariance(data()[variables])
    n = len(data())
    assert groups == n
    assert r == pytest.approx(matrix(), abs=1e-11)
    ours = {frozenset((variables[i], variables[j])): k for k, (i, j) in enumerate(zip(*np.triu_indices(4, 1), strict=True))}
    order = [ours[frozenset(pair)] for pair in REFERENCE["free"]["pairs"]]
    # lavaan takes no account of the number of units: G / (G - 1) is ours.
    assert covariance[np.ix_(order, order)] * (n - 1) / n == pytest.approx(
        np.array(REFERENCE["free"]["covariance"]), rel=1e-6, abs=1e-9
    )


def test_olkin_and_siotani_agree_with_simulated_samples():
    simulated = np.array(REFERENCE["simulated"])
    # 60,000 samples of 400: a variance is known to 0.6 %, and the formula leaves out what falls with 1/n.
    assert olkin_siotani(matrix()) == pytest.approx(simulated, abs=0.015)


def test_correlations_of_one_pair_have_fishers_variance():
    r = np.array([0.3])
    assert on_fisher_z(r, olkin_siotani(full(r))) == pytest.approx(np.array([[1.0]]))


def test_the_gap_of_1995_by_hand():
    # .47 - .34 x .32, the way in which the gap was first computed; .32 is recalled, not read in the paper.
    model = Model(("sensitivity",))
    found = by_name(model, model.values(R_1995))
    assert found[PRODUCT, "gap", ""] == pytest.approx(0.3612)
    b = (0.32 - 0.34 * 0.47) / (1 - 0.34**2)
    assert found[PARALLEL, "indirect", "sensitivity"] == pytest.approx(0.34 * b)
    assert found[PARALLEL, "gap", ""] == pytest.approx((0.47 - 0.34 * 0.32) / (1 - 0.34**2))
    assert found[PARALLEL, "share_unexplained", ""] == pytest.approx(1 - 0.34 * b / 0.47)


def test_there_is_no_share_of_a_total_of_0():
    model = Model(("m",))
    found = by_name(model, model.values(full(np.array([0.3, 1e-17, 0.2]))))
    assert math.isnan(found[PARALLEL, "share_unexplained", ""])
    assert found[PARALLEL, "gap", ""] == pytest.approx(-found[PARALLEL, "indirect", "m"])


def test_rho_at_zero_is_the_correlation_of_residuals():
    found = rho_at_zero(matrix())
    REFERENCE["rho_zero"].check(dict(zip(["functioning", "sensitivity", "all"], found, strict=True)), abs=1e-10)
    alone = matrix()[np.ix_([0, 2, 3], [0, 2, 3])]
    assert rho_at_zero(alone) == pytest.approx([REFERENCE["rho_zero"]["sensitivity_alone"]] * 2, abs=1e-10)


def test_the_indirect_path_under_rho_is_that_of_a_model_with_the_errors_correlated_so():
    alone = Model(("sensitivity",))
    r = matrix()[np.ix_([0, 2, 3], [0, 2, 3])]
    indirect = by_name(alone, alone.values(r))[PARALLEL, "indirect", "sensitivity"]
    found = under_confounding(indirect, rho_at_zero(r)[0], np.array(REFERENCE["under"]["rho"]))
    assert found == pytest.approx(np.array(REFERENCE["under"]["indirect"]), abs=1e-6)
    assert under_confounding(indirect, rho_at_zero(r)[0], rho_at_zero(r)[0]) == pytest.approx(0, abs=1e-15)
    with pytest.raises(StatisticsError, match="between -1 and 1"):
        under_confounding(indirect, rho_at_zero(r)[0], 1.0)


def test_a_corrected_mediator_is_a_latent_one():
    r = matrix()[np.ix_([0, 1, 3], [0, 1, 3])]
    indirect, gap = gap_of(corrected_for_unreliability(r, [1, 0.8, 1]))
    REFERENCE["corrected"].check({"indirect": indirect, "gap": gap}, abs=1e-6)
    assert gap < gap_of(r)[1]  # error in the mediator alone makes part of the gap


def test_reliabilities_that_the_data_contradict_are_refused():
    r = full(np.array([0.5, 0.1, 0.7]))
    assert np.isnan(corrected_for_unreliability(r, [1, 0.45, 1])).all()
    with pytest.raises(StatisticsError, match="above 0 and at most 1"):
        corrected_for_unreliability(r, [1, 0, 1])
    rng = np.random.default_rng(3)
    x = rng.standard_normal(300)
    y = x + 0.3 * rng.standard_normal(300)
    rows = transmission_gap(
        rng.standard_normal(300), {"m": x}, y, rng=rng, replicates=99, draws=200, reliabilities={"m": {"value": 0.5}}
    ).estimates
    refused = found_in(rows, definition=CORRECTED)
    assert refused.estimand == NOT_TESTABLE
    assert "more reliable than said" in refused.note


def test_drawn_reliabilities_have_the_spread_of_a_correlation():
    given = {"functioning": {"value": 0.8, "n": 103}, "sensitivity": {"value": 0.7}}
    drawn = drawn_reliabilities(given, MODEL, np.random.default_rng(5), 20_000)
    assert np.arctanh(drawn[:, 1]).std() == pytest.approx(0.1, rel=0.02)
    assert np.unique(drawn[:, 2]).tolist() == [0.7]
    assert np.unique(drawn[:, [0, 3]]).tolist() == [1.0]


def test_rows_of_a_study(gap):
    rows = gap.estimates
    estimates_frame(rows, study="x")
    primary = {(r.estimand, r.group) for r in rows if r.primary}
    assert {e for e, _ in primary} == {"total", "path", "indirect", "indirect_total", "gap", "share_unexplained"}
    assert all(r.definition == PARALLEL and r.method.startswith("cluster bootstrap") for r in rows if r.primary)
    total, through, left = (found_in(rows, estimand=e, primary=True) for e in ("total", "indirect_total", "gap"))
    assert total.estimate == pytest.approx(through.estimate + left.estimate, abs=1e-14)
    # Both intervals of the sum are near that of lavaan's error, which presumes normality.
    error = REFERENCE[PARALLEL]["std_error"]["indirect_total"]
    for method in ("cluster bootstrap, percentile", "Monte-Carlo of correlations"):
        row = found_in(rows, estimand="indirect_total", method=method)
        assert row.std_error == pytest.approx(error, rel=0.15)
        assert row.ci_low < through.estimate < row.ci_high
    joint = found_in(rows, method="joint significance", definition=PARALLEL, group="functioning")
    b, se = path_error(
        matrix(), robust_covariance(data()[["parent", "functioning", "sensitivity", "child"]])[1], (1, 3), parallel=True
    )
    assert joint.p_value == pytest.approx(2 * 0.5 * math.erfc(abs(b / se) / math.sqrt(2)), abs=0.01)  # b1 is the weaker path


def test_sensitivity_passes_through_the_estimate(gap):
    rows, curve = gap.estimates, gap.sensitivity
    at_zero = curve[(curve["kind"] == "confounding") & (curve["value"] == 0)]
    assert len(at_zero) == 3
    for _, point in at_zero.iterrows():
        estimand = "indirect_total" if point["mediator"] == "all mediators" else "indirect"
        group = "" if estimand == "indirect_total" else point["mediator"]
        assert point["estimate"] == pytest.approx(found_in(rows, estimand=estimand, group=group, primary=True).estimate, abs=1e-14)
    perfect = curve[(curve["kind"] == "reliability") & (curve["value"] == 1) & (curve["estimand"] == "gap")]
    assert perfect["estimate"].to_numpy() == pytest.approx(found_in(rows, estimand="gap", primary=True).estimate, abs=1e-12)
    gaps = curve[(curve["kind"] == "reliability") & (curve["mediator"] == "all mediators") & (curve["estimand"] == "gap")]
    assert (np.diff(gaps["estimate"]) > 0).all()  # the less reliable, the more of the gap is error
    corrected = found_in(rows, definition=CORRECTED, estimand="gap")
    assert "sensitivity 0.9; not all checked in their source" in corrected.note
    assert corrected.estimate < found_in(rows, estimand="gap", primary=True).estimate


def test_a_share_has_an_interval_only_where_the_total_is_told():
    rng = np.random.default_rng(2)
    x, m = rng.standard_normal((2, 60))
    rows = transmission_gap(x, {"m": m}, -0.5 * m + rng.standard_normal(60), rng=rng, replicates=199, draws=500).estimates
    share = found_in(rows, estimand="share_unexplained", primary=True)
    assert math.isnan(share.ci_low)
    assert "that of the total holds 0" in share.note


def test_families_are_drawn_as_a_whole():
    table = data()
    twice = pd.concat([table, table], ignore_index=True)
    families = np.tile(np.arange(len(table)), 2)
    arguments = (twice["parent"], twice[["functioning", "sensitivity"]], twice["child"])
    whole = transmission_gap(*arguments, families=families, rng=np.random.default_rng(1)).estimates
    alone = transmission_gap(*arguments, rng=np.random.default_rng(1)).estimates
    for method in ("cluster bootstrap, percentile", "Monte-Carlo of correlations"):
        one, two = (found_in(rows, estimand="gap", definition=PARALLEL, method=method) for rows in (whole, alone))
        assert (one.n, one.n_clusters) == (300, 150)
        assert one.std_error == pytest.approx(two.std_error * math.sqrt(2), rel=0.08)


def test_correlations_of_sums_are_correlations():
    values = data()[["parent", "functioning", "sensitivity", "child"]].to_numpy(dtype=float)
    z = standardised(values)
    assert correlations_of_sums(cross_products(z[:70]).sum(axis=0, keepdims=True))[0] == pytest.approx(
        upper(np.corrcoef(values[:70].T)), abs=1e-12
    )
    z[:, 1] = 0.0
    assert np.isnan(correlations_of_sums(cross_products(z).sum(axis=0, keepdims=True))[0]).tolist() == [1, 0, 0, 1, 1, 0]


def test_published_correlations_of_one_sample_and_of_several():
    def gap_row(**given):
        rows = gap_from_correlations(R_1995, rng=np.random.default_rng(4), **given).estimates
        estimates_frame(rows, study="x")
        return found_in(rows, estimand="gap", definition=PRODUCT)

    one = gap_row(n=400)
    assert one.estimate == pytest.approx(0.3612)
    assert not one.primary
    # By the delta method: gap = r_xy - r_xm r_my.
    gradient = np.array([-0.32, 1, -0.34])
    assert one.std_error == pytest.approx(math.sqrt(gradient @ olkin_siotani(R_1995) @ gradient / 400), rel=0.03)
    apart = gap_row(n=np.full((3, 3), 400.0))
    variances = (1 - upper(R_1995) ** 2) ** 2 / 397
    assert apart.std_error == pytest.approx(math.sqrt(gradient**2 @ variances), rel=0.03)
    z = np.arctanh(R_1995 - np.eye(3))
    half = 1.959964 / math.sqrt(397)
    pooled = gap_row(limits=(np.tanh(z - half), np.tanh(z + half)))
    assert pooled.std_error == pytest.approx(apart.std_error, rel=0.03)
    untold = gap_row()
    assert math.isnan(untold.ci_low)
    assert "not told" in untold.note


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"correlations": [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]}, "impossible together"),
        ({"correlations": [[1, 0.3], [0.3, 1]]}, "symmetric table"),
        ({"correlations": [[1, 0.3, 0.2], [0.3, 1, 0.2], [0.1, 0.2, 1]]}, "symmetric table"),
        ({"n": 4}, "more than 4"),
        ({"n": np.full((3, 3), 3.0)}, "3 people or fewer"),
        ({"limits": (R_1995 + 0.1, R_1995 + 0.2)}, "does not hold its correlation"),
        ({"names": ("a", "b")}, "2 names for 1 mediators"),
    ],
)
def test_published_correlations_that_cannot_be(given, what):
    with pytest.raises(StatisticsError, match=what):
        gap_from_correlations(**{"correlations": R_1995, **given}, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: t.head(9), "fewer than 10 pairs"),
        (lambda t: t.assign(parent=1.0), "parent does not vary"),
        (lambda t: t.assign(sensitivity=2 * t["functioning"] - t["parent"]), "follows from the others"),
        (lambda t: t.assign(child=np.where(t.index == 3, np.nan, t["child"])), "a value is missing"),
    ],
)
def test_data_that_cannot_tell_paths(change, what):
    table = change(data())
    with pytest.raises(StatisticsError, match=what):
        transmission_gap(table["parent"], table[["functioning", "sensitivity"]], table["child"], rng=np.random.default_rng(1))


def test_mediators_without_names_of_their_own_are_refused():
    with pytest.raises(StatisticsError, match="same name"):
        Model(("m", "m"))
    with pytest.raises(StatisticsError, match="that of an end"):
        Model(("child",))
    with pytest.raises(StatisticsError, match="allowed: 1 to 6"):
        Model(())


def test_a_balanced_design_has_a_gap():
    x, m, y = np.tile([0, 1], 10), np.repeat([0, 1], 10), np.tile([0, 0, 1, 1], 5)
    _, covariance, _ = robust_covariance(np.column_stack([x, m, y]))
    assert (covariance == covariance.T).all()
    found = transmission_gap(x, {"m": m}, y, rng=np.random.default_rng(1), replicates=49, draws=50, sensitivity=False)
    total = [r for r in found.estimates if r.estimand == "total" and r.primary]
    assert total[0].estimate == pytest.approx(0, abs=1e-12)


def test_a_path_without_error_gives_no_p_value():
    matrix = np.array([[1, 0.4, 0.3], [0.4, 1, 0.5], [0.3, 0.5, 1]])
    drawn = Drawn(method="x", correlations=np.zeros((2, 3)), n=40, n_clusters=40)
    rows = joint_significance(Model(("m",)), matrix, np.zeros((3, 3)), drawn)
    assert rows
    assert all(math.isnan(r.p_value) and "no p value" in r.note for r in rows)


R = [[1, 0.34, 0.47], [0.34, 1, 0.32], [0.47, 0.32, 1]]


@pytest.mark.parametrize(
    ("correlations", "more", "reason"),
    [
        (0.3, {}, "symmetric table"),
        ([[1, 0.3], [0.3]], {}, "not numbers"),
        ([["a", "b", "c"]] * 3, {}, "not numbers"),
        (R, {"n": 400.5}, "no whole number"),
        (R, {"n": "many"}, "not numbers"),
        (R, {"n": [30, 40]}, "have shape"),
        (R, {"limits": (0.1, 0.2)}, "limits do not fit"),
    ],
)
def test_what_are_no_correlations_is_refused_in_words(correlations, more, reason):
    with pytest.raises(StatisticsError, match=reason):
        gap_from_correlations(correlations, rng=np.random.default_rng(1), draws=50, **more)


def test_a_whole_number_of_people_is_one_sample_whatever_its_type():
    found = [gap_from_correlations(R, n=n, rng=np.random.default_rng(1), draws=500).estimates for n in (400, 400.0, np.int64(400))]
    assert {row.n for rows in found for row in rows} == {400}
    assert len({tuple(row.ci_low for row in rows if row.estimand == "gap") for rows in found}) == 1


def test_a_reliability_of_three_people_is_refused():
    with pytest.raises(StatisticsError, match="one is of 3 people"):
        drawn_reliabilities({"sensitivity": {"value": 0.7, "n": 3}}, MODEL, np.random.default_rng(1), 10)
