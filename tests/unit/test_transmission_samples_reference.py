"""Pooling class tables of samples against metafor, clubSandwich and lme4 (validation/samples.R), with zero cells among them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.agreement import adjusted_residuals, kappa
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.two_by_two import phi
from attachment_outcomes.study.intake import read_study
from attachment_outcomes.transmission.samples.checks import influence, small_samples
from attachment_outcomes.transmission.samples.contrasts import kappas
from attachment_outcomes.transmission.samples.differences import JOINT, moderators
from attachment_outcomes.transmission.samples.effects import MEASURES, read_effects
from attachment_outcomes.transmission.samples.pooled import pooled_rows
from attachment_outcomes.transmission.samples.tables import Sample, data_errors, read_samples, sample_results

R = 1e-9  # both stop when tau2 rests to twelve digits or more
NESTED = 2e-6  # bobyqa's last digits of two variances
GLMER = 1e-4  # lme4 stops earlier than we do


@pytest.fixture(scope="module")
def reference(root):
    return json.loads((root / "tests" / "reference" / "samples.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def samples(reference):
    tables = np.array(reference["cells"]).reshape(-1, 2, 2)
    clusters = reference["cluster"]
    return [Sample(f"s{i}", f"s{i}", f"c{c}", "two", t) for i, (t, c) in enumerate(zip(tables, clusters, strict=True))]


@pytest.fixture(scope="module")
def traits(reference):
    ids = [f"s{i}" for i in range(len(reference["year"]))]
    year = pd.DataFrame({"sample_id": ids, "trait": "year", "number": [float(y) for y in reference["year"]], "level": None})
    return pd.concat([year, pd.DataFrame({"sample_id": ids, "trait": "risk", "number": np.nan, "level": reference["risk"]})])


NAMES = ["kappa", "phi", "odds_ratio", "agreement", "secure_given_secure", "secure_given_insecure"]


@pytest.mark.parametrize("name", NAMES)
def test_each_measure_is_read_and_pooled_as_metafor_does(reference, samples, name):
    expected, effects = reference["pooled"][name], read_effects(samples, [], MEASURES[name])
    assert effects.rows["effect"].to_numpy() == pytest.approx(expected["y"], abs=R)
    assert effects.rows["variance"].to_numpy() == pytest.approx(expected["v"], abs=R)
    back = effects.measure.back
    for interval, word in (("z", "normal"), ("hartung-knapp", "Hartung-Knapp")):
        rows = {(r.estimand, r.definition): r for r in pooled_rows(effects, "two", interval=interval)}
        told = expected["z" if interval == "z" else "hartung_knapp"]
        main = rows[(name, f"REML, {word}")]
        assert main.primary
        assert main.estimate == pytest.approx(float(back(told["estimate"])), abs=R)
        assert [main.ci_low, main.ci_high] == pytest.approx(list(back(told["ci"])), rel=1e-8)
        assert rows[(f"{name}_tau2", f"REML, {word}")].estimate == pytest.approx(told["tau2"], abs=R)
        spread = rows[(f"{name}_prediction_interval", f"REML, {word}")]
        new = told["prediction"]
        careful = pool(expected["y"], expected["v"], interval="hartung-knapp-modified")
        if (
            interval != "z" and main.std_error < (1 - R) * careful.std_error
        ):  # metafor's limits of a new sample shrink with the interval
            new = [careful.prediction_low, careful.prediction_high]
            assert "with the modified error" in spread.note
        assert [spread.ci_low, spread.ci_high] == pytest.approx(list(back(new)), rel=1e-8)
        i2 = rows[(f"{name}_i2", f"REML, {word}")]
        assert [i2.estimate, i2.p_value] == pytest.approx([told["i2"], told["q_p"]], abs=R)
        for kind in ("CR1", "CR2"):
            nested = rows[(name, f"three levels, {kind}")]
            assert nested.estimate == pytest.approx(float(back(expected[kind]["estimate"])), abs=NESTED)
            assert nested.std_error == pytest.approx(expected[kind]["se"], abs=NESTED)
            assert not nested.primary


@pytest.mark.parametrize("name", ["agreement", "secure_given_secure", "secure_given_insecure"])
def test_shares_by_counts_are_those_of_glmer(reference, samples, name):
    effects = read_effects(samples, [], MEASURES[name])
    row = next(r for r in pooled_rows(effects, "two") if r.definition == "binomial mixed model")
    assert row.estimate == pytest.approx(float(effects.measure.back(reference["binomial"][name]["estimate"])), abs=GLMER)


@pytest.mark.parametrize("name", NAMES)
def test_traits_influence_and_asymmetry_are_metafors(reference, samples, traits, name):
    expected, effects = reference["pooled"][name], read_effects(samples, [], MEASURES[name])
    back = effects.measure.back
    apart = effects._replace(rows=effects.rows.assign(cluster=effects.rows["sample_id"]))
    rows = moderators(apart, traits, ["year", "risk"], system="two")
    slope = next(r for r in rows if r.estimand == f"{name}_slope")
    assert [slope.estimate, slope.ci_low, slope.ci_high] == pytest.approx(
        [expected["year"][c][1] for c in ("estimate", "ci_low", "ci_high")], abs=1e-8
    )
    contrasts = {r.group: r for r in rows if r.estimand == f"{name}_contrast"}
    for i, level in enumerate(("high", "medium"), start=1):
        row = contrasts[f"risk: {level} against low"]
        assert [row.estimate, row.ci_low, row.ci_high] == pytest.approx(
            [expected["risk"][c][i] for c in ("estimate", "ci_low", "ci_high")], abs=1e-8
        )
    raw = sorted([(expected["year"]["qm_p"], "year"), (expected["risk"]["qm_p"], "risk")])
    holm = {raw[0][1]: min(1, 2 * raw[0][0]), raw[1][1]: min(1, max(2 * raw[0][0], raw[1][0]))}
    tested = {r.group: r for r in rows if r.definition == JOINT}
    assert {t: r.p_value for t, r in tested.items()} == pytest.approx(holm, abs=1e-8)
    if expected["z"]["tau2"] > R:
        assert tested["risk"].estimate == pytest.approx(expected["risk"]["r2"], abs=1e-8)
    else:  # nothing differs, so nothing is explained; metafor says 0
        assert np.isnan(tested["risk"].estimate)
    robust = moderators(effects, traits, ["year", "risk"], system="two")
    for found in (r for r in robust if r.estimand in (f"{name}_slope", f"{name}_contrast")):
        told, at = (expected["year_cr2"], 1) if found.group == "year" else (expected["risk_cr2"], 1 + ("medium" in found.group))
        assert [found.std_error, found.p_value] == pytest.approx([told["se"][at], told["p"][at]], abs=1e-7)
    for level, told in zip(("low", "high", "medium"), zip(*expected["levels_cr2"].values(), strict=True), strict=True):
        row = next(r for r in robust if r.group == f"risk: {level}")
        assert [row.ci_low, row.ci_high] == pytest.approx(list(back(told)), abs=1e-7)
    _, table = influence(effects, "two", None, primary=True, interval="hartung-knapp")
    table = table.assign(order=table["sample_id"].str[1:].astype(int)).sort_values("order")
    for column in ("estimate", "ci_low", "ci_high"):
        told = effects.measure.back(expected["without"][column])
        assert table[column].to_numpy() == pytest.approx(told, rel=1e-7)
    asymmetry = {r.estimand: r for r in small_samples(effects, "two", interval="z")}
    assert asymmetry[f"{name}_egger"].p_value == pytest.approx(expected["egger_p"], abs=1e-8)


def test_kappas_of_all_tables_at_once_are_those_one_by_one(reference):
    tables = np.array([*reference["cells"], [9, 0, 4, 0], [5, 0, 0, 7], [8, 0, 0, 0]]).reshape(-1, 2, 2)
    found = kappas(tables)
    for i, table in enumerate(tables):
        one = kappa(table)
        expected = [one.kappa, one.std_error, one.p_value, one.agreement, one.chance]
        assert [float(x[i]) for x in found[:5]] == pytest.approx(expected, abs=1e-14, nan_ok=True)


def test_published_tables_are_those_of_the_reference(shared_data):
    tables, _ = read_study("published_tables", shared_data)
    systems = {s: ["insecure", "secure"] for s in tables["samples"].loc[tables["samples"]["measure"] == "count", "system"].unique()}
    samples = read_samples(tables["samples"], systems=systems)
    known = json.loads((shared_data / "published_tables" / "reference.json").read_text(encoding="utf-8"))
    assert {s.sample_id for s in samples} == set(known)
    assert sorted(s.sample_id for s in samples if s.recalled) == ["cicchetti2006_IPP", "cicchetti2006_PPI"]
    statistics = sample_results(samples)[1].set_index("sample_id")
    for sample in samples:
        told, mine = known[sample.sample_id], statistics.loc[sample.sample_id]
        assert [mine["n"], mine["agreement"], mine["kappa"]] == pytest.approx(
            [told["n"], told["agreement"], told["kappa"]], abs=1e-10
        )
        if told["phi"] is None:
            assert np.isnan(phi(sample.table).estimate)
            assert np.isnan(mine["kappa_se"])  # the reference has rounding of 0 there
        else:
            assert mine["kappa_se"] == pytest.approx(told["kappa_ase"], abs=1e-10)
            assert phi(sample.table).estimate == pytest.approx(told["phi"], abs=1e-10)
            residuals = np.array(told["adj_residuals"], dtype=float)
            assert np.sort(adjusted_residuals(sample.table).ravel()) == pytest.approx(np.sort(residuals.ravel()), abs=1e-9)


def test_opie_2021_has_the_three_tables_that_its_workbook_miscounts(shared_data):
    tables, _ = read_study("opie2021", shared_data)
    samples = read_samples(tables["samples"], systems={"secure/insecure": ["IS", "S"]})
    rows = {r.definition: r for r in data_errors(sample_results(samples)[1])}
    assert rows["extracted"].estimate == 3
    for authors in ("Barnett et al. (2006)", "Stevenson-Hinde & Shouldice (1990)", "Xue (2010)"):
        assert authors in rows["extracted"].note
    assert rows["extracted"].n == 55
    traits = tables["sample_traits"]
    assert set(traits["trait"]) == {"year", "age at first", "interval", "risk", "coding", "caregiver", "published"}
    assert traits.groupby("trait")["sample_id"].nunique().eq(67).all()
