"""Pooling class tables where little is there: few samples, all alike, shared clusters, words that are no numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.inference.pooling.moderators import meta_regression
from attachment_outcomes.transmission import pool_samples
from attachment_outcomes.transmission.samples.checks import DEPENDENT, SHARED, influence, small_samples
from attachment_outcomes.transmission.samples.differences import JOINT, moderators
from attachment_outcomes.transmission.samples.effects import ALIKE
from attachment_outcomes.transmission.samples.pooled import measured
from attachment_outcomes.transmission.samples.tables import read_reported, read_samples

CELLS = [("insecure", "insecure"), ("insecure", "secure"), ("secure", "insecure"), ("secure", "secure")]
FEW = [(10, 5, 4, 81), (8, 4, 5, 60)]
MANY = [(10 + i, 5 + i % 2, 4 + i % 3, 30 + i) for i in range(12)]


def long(counts, *, clusters=None, names=("insecure", "secure")):
    other = dict(zip(("insecure", "secure"), names, strict=True))
    rows = [
        {
            "sample_id": f"s{i:02d}",
            "row_class": other[a],
            "col_class": other[b],
            "n": n,
            "cluster": clusters[i] if clusters else None,
        }
        for i, table in enumerate(counts)
        for (a, b), n in zip(CELLS, table, strict=True)
    ]
    return pd.DataFrame(rows)


def effects(counts, measure="kappa", clusters=None):
    return measured(read_samples(long(counts, clusters=clusters)), [], measure, "all", flow=Flow())


def test_people_of_a_conditional_share_are_those_of_its_row():
    rows = pool_samples(long(FEW), measure="secure_given_insecure")
    assert {r.n for r in rows} == {27}  # 15 and 12 insecure parents of 177
    assert {r.n for r in pool_samples(long(FEW), measure="agreement")} == {177}
    found = effects(MANY, "secure_given_insecure")
    assert found.rows["n"].tolist() == [a + b for a, b, _, _ in MANY]
    risk = pd.DataFrame({"sample_id": [f"s{i:02d}" for i in range(12)], "trait": "risk", "number": np.nan, "level": ["a", "b"] * 6})
    levels = {r.group: r.n for r in moderators(found, risk, ["risk"], system="all") if r.estimand == "secure_given_insecure"}
    assert levels == {"risk: a": sum(a + b for a, b, _, _ in MANY[::2]), "risk: b": sum(a + b for a, b, _, _ in MANY[1::2])}


def test_tests_of_asymmetry_that_the_error_misleads_are_given_for_phi_only():
    for measure in ("kappa", "secure_given_insecure", "agreement", "odds_ratio"):
        rows = small_samples(effects(MANY, measure), "all", interval="hartung-knapp")
        assert [r.estimand for r in rows] == [f"{measure}_egger", NOT_TESTABLE, NOT_TESTABLE]
        assert {r.note for r in rows[1:]} == {DEPENDENT}
    rows = small_samples(effects(MANY, "phi"), "all", primary=False, interval="hartung-knapp")
    assert [r.estimand for r in rows] == ["phi_egger", "phi_rank_correlation", "phi_trim_and_fill"]
    assert not any(r.primary for r in rows)


def test_traits_of_samples_that_share_clusters_have_cluster_robust_errors():
    clusters = [f"c{i // 2}" for i in range(12)]
    found = effects(MANY, clusters=clusters)
    level = [["low", "high"][i // 2 % 2] for i in range(12)]
    risk = pd.DataFrame({"sample_id": [f"s{i:02d}" for i in range(12)], "trait": "risk", "number": np.nan, "level": level})
    rows = moderators(found, risk, ["risk"], system="all")
    contrast = next(r for r in rows if r.estimand == "kappa_contrast")
    levels = {r.group: r for r in rows if r.estimand == "kappa"}
    y, v = found.rows["effect"].to_numpy(), found.rows["variance"].to_numpy()
    low = (risk["level"] == "low").astype(float)
    robust = meta_regression(y, v, pd.DataFrame({"low": low}), clusters=clusters).coefficients
    plain = meta_regression(y, v, pd.DataFrame({"low": low})).coefficients
    assert [contrast.std_error, contrast.p_value] == pytest.approx(robust.loc[1, ["std_error", "p_value"]].tolist())
    assert contrast.std_error != pytest.approx(plain.loc[1, "std_error"])
    assert contrast.definition == "REML, cluster-robust (CR2)"
    assert contrast.n_clusters == 6
    assert "degrees of freedom" in contrast.note
    high = levels["risk: high"]
    assert [high.ci_low, high.ci_high, high.n_clusters] == pytest.approx([*robust.loc[0, ["ci_low", "ci_high"]], 3])
    assert next(r for r in rows if r.definition == JOINT).note.startswith("12 samples in 6 clusters")


def test_three_levels_with_shared_clusters_have_no_joint_test_and_do_not_count_in_holms():
    ids = [f"s{i:02d}" for i in range(12)]
    levels = pd.DataFrame({"sample_id": ids, "trait": "coding", "number": np.nan, "level": [c for c in "abcabc" for _ in "12"]})
    years = pd.DataFrame({"sample_id": ids, "trait": "year", "number": np.arange(12.0) ** 2, "level": None})
    found = effects(MANY, clusters=[f"c{i // 2}" for i in range(12)])
    rows = moderators(found, pd.concat([levels, years]), ["coding", "year"], system="all")
    tests = {r.group: r for r in rows if r.definition == JOINT}
    assert math.isnan(tests["coding"].p_value)
    assert "no joint test" in tests["coding"].note
    assert "Holm over 1 traits" in tests["year"].note
    assert "nan" not in tests["coding"].note


def test_a_level_of_one_cluster_is_left_out_and_checks_say_that_clusters_are_shared():
    clusters = [f"c{i // 4}" for i in range(12)]
    found = effects(MANY, clusters=clusters)
    risk = pd.DataFrame(
        {"sample_id": [f"s{i:02d}" for i in range(12)], "trait": "risk", "number": np.nan, "level": ["hi"] * 4 + ["lo"] * 8}
    )
    flow = Flow()
    rows = moderators(found, risk, ["risk"], system="all", flow=flow)
    assert [r.estimand for r in rows] == [NOT_TESTABLE]
    assert flow.frame()["reason"].tolist() == ["a level of fewer than 2 clusters of samples"]
    checks = [influence(found, "all", None, primary=False, interval="z")[0][0], *small_samples(found, "all", interval="z")[:1]]
    assert all(SHARED in r.note for r in checks)
    assert not checks[0].primary
    apart = effects(MANY)
    checks = [influence(apart, "all", None, primary=True, interval="z")[0][0], *small_samples(apart, "all", interval="z")]
    assert not any(SHARED in r.note for r in checks)


def test_a_trait_told_twice_of_a_sample_is_refused():
    told = pd.DataFrame({"sample_id": ["s00", "s00", "s01"], "trait": "year", "number": [1.0, 2.0, 3.0], "level": None})
    with pytest.raises(DataError, match="1 rows tell a trait"):
        moderators(effects(MANY), told, ["year"], system="all")


def test_samples_in_which_all_agree_are_left_out_of_kappa_and_phi_by_their_own_reason():
    table = long([(10, 0, 0, 10), (8, 4, 5, 60), (9, 3, 4, 20), (0, 0, 0, 9)])
    for measure, undefined in (("kappa", "kappa or its error not defined"), ("phi", "an empty row or column, a phi of 1")):
        flow = Flow()
        row = pool_samples(table, measure=measure, flow=flow)[0]
        assert "2 left out, 1 of them because all agree, so that the pooled value is too low" in row.note
        lines = flow.frame()
        assert lines.loc[lines["reason"] == ALIKE, ["n_in", "n_out"]].to_numpy().tolist() == [[4, 3]]
        assert lines.loc[lines["reason"].str.startswith(undefined), ["n_in", "n_out"]].to_numpy().tolist() == [[3, 2]]
    assert "all agree" not in pool_samples(long(FEW), measure="kappa")[0].note


def test_an_interval_shorter_than_the_normal_one_says_so_and_does_not_shrink_a_new_samples():
    rows = {(r.estimand, r.definition): r for r in pool_samples(long([(8, 4, 5, 60), (9, 3, 4, 20)]), measure="kappa")}
    main, normal = rows[("kappa", "REML, Hartung-Knapp")], rows[("kappa", "REML, normal")]
    new = rows[("kappa_prediction_interval", "REML, Hartung-Knapp")]
    assert main.ci_high - main.ci_low < 0.05
    assert "shorter than the normal interval" in main.note
    assert f"modified {new.ci_low:.3f} to {new.ci_high:.3f}" in main.note  # tau2 is 0: the limits are those of the mean
    assert new.ci_low < normal.ci_low < normal.ci_high < new.ci_high
    assert "modified" in new.method
    assert "shorter" not in normal.note


def test_equal_samples_have_no_p_value_in_any_row():
    rows = pool_samples(long([(10, 5, 5, 10)] * 4, clusters=["a", "a", "b", "b"]), measure="kappa")
    of = {r.definition: r for r in rows if r.estimand == "kappa"}
    for definition in ("REML, Hartung-Knapp", "three levels, CR2", "three levels, CR1"):
        assert math.isnan(of[definition].p_value)
        assert of[definition].std_error == 0
        assert "no length because all effects are equal" in of[definition].note
    assert of["REML, normal"].p_value > 0


def test_one_sample_has_a_normal_interval_by_name():
    (row,) = pool_samples(long(FEW[:1]), measure="kappa")
    assert (row.definition, row.method) == ("one sample, normal", "one sample, normal")
    assert "tau2" not in row.note
    assert "nan" not in row.note


def test_the_secure_class_is_known_in_any_case_and_order():
    for names in (("insecure", "Secure"), ("Ds", "F"), ("Dismissing", "autonomous")):
        table = long(FEW, names=names)
        both = [pool_samples(t, measure="secure_given_secure")[0] for t in (table, table.iloc[::-1].reset_index(drop=True))]
        assert both[0].estimate == pytest.approx(both[1].estimate)
        assert both[0].n == 150  # secure parents
    for names in (("low", "high"), ("S", "secure")):
        with pytest.raises(ConfigError, match="known as secure"):
            pool_samples(long(FEW, names=names), measure="secure_given_secure")
    assert pool_samples(long(FEW, names=("low", "high")), measure="kappa")[0].n == 177
    named = pool_samples(long(FEW, names=("low", "high")), measure="secure_given_secure", classes=["low", "high"])
    assert named[0].n == 150


def test_canonical_rows_need_no_system():
    canonical = long(FEW).rename(columns={"n": "value"}).assign(measure="count")
    told = pd.DataFrame({"sample_id": ["r"], "measure": ["kappa"], "value": [0.4], "n": [50], "ci_low": [0.2], "ci_high": [0.6]})
    table = pd.concat([canonical, told], ignore_index=True)
    assert pool_samples(canonical, measure="kappa")[0].n_clusters == 2
    assert pool_samples(table, measure="kappa")[0].n_clusters == 3
    assert [r.sample_id for r in read_reported(table, [], systems={"all": ()})] == ["r"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": "a"}, "a count or value that is no number in rows 1"),
        ({"sample_id": None}, "no sample_id in rows 1"),
        ({"row_class": None}, "a cell without a class in rows 1"),
        ({"system": None}, "rows without a system"),
    ],
)
def test_words_for_counts_and_missing_names_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        pool_samples(long(FEW).assign(**change), measure="kappa")
