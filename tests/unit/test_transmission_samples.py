"""Class tables of several samples: one by one, summed and pooled."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.study.contracts import typed
from attachment_outcomes.transmission import pool_samples
from attachment_outcomes.transmission.samples.effects import BY_MEANING
from attachment_outcomes.transmission.samples.pooled import not_told, pooled_systems
from attachment_outcomes.transmission.samples.tables import STATISTICS, read_samples, sample_results

METAFOR = 2e-6  # metafor's default stops when tau2 moves by less than 1e-5
SYSTEMS = {
    "secure/insecure": ["IS", "S"],
    "ABC": ["A", "B", "C"],
    "ABCD": ["A", "B", "C", "D"],
    "organized/disorganized": ["D", "O"],
}


@pytest.fixture(scope="module")
def opie(shared_data):
    folder = shared_data / "opie2021_child_attachment_stability"
    table = pd.read_csv(folder / "transitions_long.csv").rename(
        columns={
            "row_id": "sample_id",
            "study_id": "cluster",
            "subsample": "label",
            "from_class": "row_class",
            "to_class": "col_class",
        }
    )
    return folder, table


def canonical(sample, cells, *, system="two", classes=("IS", "S"), cluster=None, label=None, standing="stored", stated=None):
    rows = [(classes[i], classes[j], "count", cells[i][j]) for i in range(len(classes)) for j in range(len(classes))]
    if stated is not None:
        rows.append((None, None, "kappa", stated))
    frame = pd.DataFrame(rows, columns=["row_class", "col_class", "measure", "value"])
    return typed(frame.assign(sample_id=sample, system=system, cluster=cluster, label=label, standing=standing), "samples")


def test_every_sample_of_opie_2021_agrees_with_vcd(opie):
    folder, table = opie
    samples = read_samples(table, systems=SYSTEMS)
    rows, statistics = sample_results(samples)
    reference = pd.read_csv(folder / "reference_kappa_by_sample.csv").astype({"row_id": str})
    both = reference.merge(statistics, left_on=["row_id", "system"], right_on=["sample_id", "system"], suffixes=("_r", ""))
    assert len(both) == len(reference) == len(statistics) == 144
    assert (both["kappa"] - both["kappa_r"]).abs().max() < 1e-10
    assert (both["agreement"] - both["po"]).abs().max() < 1e-10
    assert (both["chance"] - both["pe"]).abs().max() < 1e-10
    told = both["kappa_se"].notna()
    assert (both["kappa_se"] - both["kappa_ase"])[told].abs().max() < 1e-10
    assert (both.loc[~told, "kappa_ase"] < 1e-6).all()  # one reading has a single class: no error at all, so no interval
    assert len([r for r in rows if r.analysis == "sample_kappa"]) == 144
    estimates_frame(rows, study="opie2021")


def test_summed_tables_of_opie_2021(opie):
    folder, table = opie
    rows, _ = sample_results(read_samples(table, systems=SYSTEMS))
    found = {(r.outcome, r.estimand): r for r in rows if r.analysis == "pooled_table"}
    reference = json.loads((folder / "reference_pooled_tables.json").read_text(encoding="utf-8"))
    for system, expected in reference.items():
        assert found[(system, "kappa")].estimate == pytest.approx(expected["kappa"][0], abs=1e-10)
        assert found[(system, "agreement")].estimate == pytest.approx(expected["agreement"][0], abs=1e-10)
        assert found[(system, "kappa")].method == "cluster jackknife"
    assert found[("ABCD", "kappa")].n == 3990


def test_pooled_samples_of_opie_2021_agree_with_metafor(opie):
    folder, table = opie
    reference = json.loads((folder / "reference_meta.json").read_text(encoding="utf-8"))
    names = {"stays_secure": "stay_secure", "becomes_secure": "insecure_to_secure", "phi": "phi_fisher_z"}
    for measure, name in names.items():
        expected = reference[name]
        rows = {
            (r.estimand, r.definition): r
            for r in pool_samples(table, measure=measure, system="secure/insecure", classes=["IS", "S"], interval="z")
        }
        main = rows[(measure, "REML, normal")]
        assert main.primary
        assert main.n_clusters == expected["k"]
        assert main.estimate == pytest.approx(expected.get("pooled", expected.get("r")), abs=METAFOR)
        assert [main.ci_low, main.ci_high] == pytest.approx(expected["ci"], abs=METAFOR)
        assert rows[(f"{measure}_i2", "REML, normal")].estimate == pytest.approx(expected["I2"] / 100, abs=METAFOR)
        if "pi" in expected:
            limits = rows[(f"{measure}_prediction_interval", "REML, normal")]
            assert [limits.ci_low, limits.ci_high] == pytest.approx(expected["pi"], abs=METAFOR)
        if "three_level_CR1" in expected:
            nested = rows[(measure, "three levels, CR1")]
            assert math.log(nested.estimate / (1 - nested.estimate)) == pytest.approx(expected["three_level_CR1"]["b"], abs=METAFOR)
            assert nested.std_error == pytest.approx(expected["three_level_CR1"]["se"], abs=METAFOR)
            assert nested.n_clusters - 1 == expected["three_level_CR1"]["df"]
    moments = pool_samples(table, measure="stays_secure", system="secure/insecure", method="DL")
    logit = math.log(moments[0].estimate / (1 - moments[0].estimate))
    assert logit == pytest.approx(reference["stay_secure"]["DL"]["b"], abs=1e-9)


def test_stated_kappas_that_differ_are_named():
    table = pd.concat([canonical("a", [[9, 3], [2, 10]], stated=0.58), canonical("b", [[9, 3], [2, 10]], stated=0.66)])
    rows, statistics = sample_results(read_samples(table))
    assert list(statistics.columns) == list(STATISTICS)
    assert statistics["differs"].tolist() == [False, True]
    notes = {r.group: r.note for r in rows if r.analysis == "sample_kappa"}
    assert notes == {"a": "", "b": "stated kappa 0.660 differs from the counts' 0.583"}


def test_hoffman_2006_by_hand():
    # 65 dyads, 13 secure before, 12 of them after, 23 of the 52 insecure became secure (Hoffman et al., 2006).
    table = canonical("hoffman", [[29, 23], [1, 12]])
    found = {m: pool_samples(table, measure=m)[0].estimate for m in ("stays_secure", "becomes_secure", "agreement", "odds_ratio")}
    assert found == pytest.approx(
        {"stays_secure": 12 / 13, "becomes_secure": 23 / 52, "agreement": 41 / 65, "odds_ratio": 29 * 12 / 23}
    )
    rows = pool_samples(table, measure="stays_secure")
    assert len(rows) == 1
    assert "one sample" in rows[0].note


def test_recalled_tables_are_shown_but_never_pooled():
    table = pd.concat([canonical("a", [[9, 3], [2, 10]]), canonical("b", [[1, 30], [40, 2]], standing="recalled")])
    samples = read_samples(table)
    rows, statistics = sample_results(samples)
    assert "recalled" in statistics.set_index("sample_id").loc["b", "note"]
    assert {r.n for r in rows if r.analysis == "pooled_table"} == {24}
    flow = Flow()
    pooled, _ = pooled_systems(samples, pool="two", meaning="transmission", flow=flow)
    shares = {"secure_given_secure", "secure_given_insecure"}
    assert {r.n for r in pooled if r.estimand not in shares} == {24}
    assert {r.n for r in pooled if r.estimand in shares} == {12}  # of those secure and insecure in the rows
    assert [r.estimand for r in pooled] == BY_MEANING["transmission"]
    lines = flow.frame()
    assert lines.loc[lines["reason"].str.startswith("recalled"), ["n_in", "n_out"]].to_numpy().tolist() == [[2, 1]] * 6
    only = [s for s in samples if s.recalled]
    assert {r.estimand for r in pooled_systems(only, pool="two", flow=Flow())[0]} == {NOT_TESTABLE}
    assert "all tables are recalled" in sample_results(only)[0][-1].note
    estimates_frame([*rows, *pooled])


def test_incomplete_and_unnamed_tables_are_left_out_and_counted():
    table = pd.concat(
        [canonical("a", [[9, 3], [2, 10]]), canonical("b", [[9, None], [2, 10]]), canonical("c", [[1, 1], [1, 1]], system="other")]
    )
    flow = Flow()
    samples = read_samples(table, systems={"two": ["IS", "S"], "three": ["A", "B", "C"]}, flow=flow)
    assert [s.sample_id for s in samples] == ["a"]
    assert flow.frame()[["n_in", "n_out"]].to_numpy().tolist() == [[3, 2], [2, 1]]
    assert [r.outcome for r in not_told({"two": [], "three": []}, samples)] == ["three"]


def test_cells_not_listed_count_zero_and_secure_is_put_last():
    table = pd.DataFrame({"sample_id": ["a"] * 3, "row_class": ["S", "S", "IS"], "col_class": ["S", "IS", "IS"], "n": [7, 3, 5]})
    sample = read_samples(table)[0]
    assert sample.table.tolist() == [[5, 0], [3, 7]]


def test_repeated_labels_are_told_apart():
    table = pd.concat([canonical(s, [[9, 3], [2, 10]], label="Meins et al. (2017)") for s in ("1", "2")])
    rows, _ = sample_results(read_samples(table))
    assert [r.group for r in rows if r.analysis == "sample_kappa"] == ["Meins et al. (2017) [1]", "Meins et al. (2017) [2]"]


def test_systems_without_a_name_to_pool_are_not_testable():
    assert pooled_systems([], pool=None, flow=Flow())[0][0].estimand == NOT_TESTABLE
    rows, _ = pooled_systems([], pool="two", meaning="stability", flow=Flow())
    assert [r.definition for r in rows] == ["stays_secure", "becomes_secure", "phi"]
    estimates_frame(rows)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"row_class": "X"}, DataError, r"a class that two does not have in row 1; allowed: IS, S"),
        ({"value": -1.0}, DataError, "negative or fractional count in row 1"),
        ({"value": 2.5}, DataError, "negative or fractional count in row 1"),
        ({"col_class": "S"}, DataError, "a cell listed twice in row 2"),
    ],
)
def test_bad_tables_are_refused(change, error, message):
    table = canonical("a", [[9, 3], [2, 10]])
    for column, value in change.items():
        table.loc[0, column] = value
    with pytest.raises(error, match=message):
        read_samples(table, systems={"two": ["IS", "S"]})


def test_bad_questions_are_refused():
    table = canonical("a", [[9, 3], [2, 10]])
    with pytest.raises(ConfigError, match="Did you mean 'kappa'"):
        pool_samples(table, measure="kapa")
    with pytest.raises(ConfigError, match="the table has 2"):
        pool_samples(pd.concat([table, canonical("a", [[1, 2], [2, 1]], system="b")]), measure="kappa")
    three = canonical("a", [[5, 1, 1], [1, 5, 1], [1, 1, 5]], classes=("A", "B", "C"))
    with pytest.raises(StatisticsError, match="3 classes; allowed: 2"):
        pool_samples(three, measure="phi")
    assert pool_samples(three, measure="kappa")[0].n == 21
    with pytest.raises(DataError, match="no column 'n'"):
        pool_samples(pd.DataFrame({"sample_id": ["a"], "row_class": ["S"], "col_class": ["S"]}), measure="kappa")


def test_a_kappa_of_those_who_extracted_the_table_is_held_against_its_counts_too():
    rows = canonical("a", [[40, 10], [10, 40]], system="s")
    said = rows.iloc[[0]].assign(measure="kappa_extracted", row_class=None, col_class=None, value=0.7)
    statistics = sample_results(read_samples(pd.concat([rows, said])))[1]
    assert statistics["differs"].tolist() == [True]
    assert "extracted the table 0.700 differs from the counts' 0.600" in statistics["note"].item()
