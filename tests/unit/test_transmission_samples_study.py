"""Samples of others with the study's own families: traits, influence, numbers without a table, the literature beside."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_published, validated
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.measures.styles import no_styles
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.samples import study
from attachment_outcomes.transmission.samples.effects import MEASURES, family_variance, read_effects
from attachment_outcomes.transmission.samples.literature import d_from_r, r_from_d
from attachment_outcomes.transmission.samples.own import way_of
from attachment_outcomes.transmission.samples.tables import Reported

CELLS = [("insecure", "insecure"), ("insecure", "secure"), ("secure", "insecure"), ("secure", "secure")]
COUNTS = [[18, 6, 5, 22], [9, 3, 4, 14], [31, 17, 20, 58], [7, 8, 6, 11], [22, 12, 3, 30], [14, 5, 9, 35]]


def settings(**samples):
    block = {"systems": {"two": ["insecure", "secure"]}, "pool": "two", **samples}
    source = {"file": "f.csv", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    whole = {"name": "x", "title": "A study", "source": {"citation": "c", "licence": "l"}, "folder": "x", "sources": [source]}
    return validated({**whole, "transmission": {"samples": block}}, "study", "x.yaml")["transmission"]


def samples(counts=COUNTS, *, more=()):
    rows = [(f"s{i}", *CELLS[j], float(v), "count") for i, c in enumerate(counts) for j, v in enumerate(c)]
    frame = pd.DataFrame(rows, columns=["sample_id", "row_class", "col_class", "value", "measure"])
    extra = pd.DataFrame(list(more))
    return typed(pd.concat([frame, extra]).assign(system="two", standing="stored"), "samples")


def traits(**told):
    parts = []
    for trait, values in told.items():
        column = "level" if any(isinstance(v, str) for v in values) else "number"
        parts.append(pd.DataFrame({"sample_id": [f"s{i}" for i in range(len(values))], "trait": trait, column: list(values)}))
    return typed(pd.concat(parts), "sample_traits") if parts else empty("sample_traits")


PARENTS = ["F", "F", "Ds", "F", "E", "Ds", "F", "F", "Ds", "F", "F", "U/F"]
CHILDREN = ["B", "B", "A", "B", "C", "B", "B", "A", "A", "B", "B", "D/B"]


def families(siblings=1):
    n, parents, children = len(PARENTS), PARENTS, CHILDREN
    family = [f"f{i // siblings}" for i in range(n)]
    relations = {"person_a": [f"p{i}" for i in range(n)], "person_b": [f"c{i}" for i in range(n)], "family_id": family}
    codes = {"person_id": [f"{w}{i}" for w in "pc" for i in range(n)], "primary": [*parents, *children], "wave": 0}
    return {
        "relations": typed(pd.DataFrame(relations).assign(kind="parent_child"), "relations"),
        "classifications": typed(pd.DataFrame(codes).assign(system=["AAI"] * n + ["SSP"] * n), "classifications"),
    }


def data(block, *, own=None, published=(), **tables):
    whole = {t: empty(t) for t in ("relations", "classifications", "scores", "treatments", "samples", "sample_traits")}
    return TransmissionData({**whole, "styles": no_styles(), **(own or {}), **tables}, block, published=published)


def run(given):
    part = study.analyse(given)
    tables = {name: typed_table(part.tables.get(name, []), columns) for name, columns in study.TABLES.items()}
    return estimates_frame(part.estimates, study="x"), tables


def test_own_families_are_one_more_sample_and_may_be_left_out():
    estimates, tables = run(data(settings(), own=families(), samples=samples()))
    main = estimates[(estimates["analysis"] == "pooled_samples") & (estimates["estimand"] == "kappa") & estimates["primary"]]
    assert main["n_clusters"].tolist() == [7]
    effects = tables["sample_effects"]
    mine = effects[effects["own"] & (effects["measure"] == "agreement")].iloc[0]
    # secure-secure 6, secure-insecure 1, insecure-secure 1, insecure-insecure 4 (U/F counts insecure)
    assert [mine["n"], mine["estimate"]] == [12, pytest.approx(10 / 12)]
    assert mine["source"] == "counts"
    assert mine["label"] == "This study (2-way, unresolved insecure)"
    shares = effects[(effects["measure"] == "kappa")]["weight"]
    assert shares.sum() == pytest.approx(1)
    without, tables = run(data(settings(with_study=False), own=families(), samples=samples()))
    assert not tables["sample_effects"]["own"].any()
    assert without[(without["estimand"] == "kappa") & without["primary"] & (without["analysis"] == "pooled_samples")][
        "n_clusters"
    ].tolist() == [6]
    stability, _ = run(data(settings(meaning="stability"), own=families(), samples=samples()))
    assert "This study" not in " ".join(stability["group"])


def test_families_with_several_pairs_have_the_variance_of_the_jackknife():
    _, tables = run(data(settings(), own=families(siblings=2), samples=samples()))
    rows = tables["sample_effects"]
    mine = rows[rows["own"] & (rows["measure"] == "kappa")].iloc[0]
    assert mine["source"] == "jackknife over families"
    whole = np.array([[[0, 0], [0, 2]], [[2, 0], [0, 0]], [[1, 1], [0, 0]], [[1, 0], [1, 2]], [[3, 1], [0, 4]]])
    kappas = [float(MEASURES["kappa"].read((whole.sum(axis=0) - t)[None])[0][0]) for t in whole]
    assert family_variance(whole, MEASURES["kappa"]) == pytest.approx(4 / 5 * np.sum((np.array(kappas) - np.mean(kappas)) ** 2))
    # Without the last family nobody secure has an insecure child: the half that is added would make it jump.
    assert math.isnan(family_variance(np.array([[[1, 1], [0, 2]], [[1, 1], [1, 1]]]), MEASURES["odds_ratio"]))
    assert math.isnan(family_variance(np.array([[[1, 1], [0, 2]], [[1, 1], [1, 1]]]), MEASURES["secure_given_secure"]))


def test_the_way_is_told_by_the_secure_class():
    ways = ["4-way", "2-way, forced", "2-way, unresolved insecure"]
    assert way_of(["IS", "S"], ways) == "2-way, forced"
    assert way_of(["D", "O"], ways) == "2-way, disorganised"
    assert way_of(["A", "B", "C"], ways) is None
    assert way_of(["low", "high"], ways) is None
    assert way_of(["insecure", "secure"], ["4-way"]) is None


def test_numbers_stand_in_for_tables_and_what_cannot_be_pooled_is_counted():
    more = [
        {"sample_id": "r", "measure": "r", "value": 0.31, "n": 90.0},
        {"sample_id": "d", "measure": "d", "value": 1.06, "n": 60.0},
        {"sample_id": "p", "measure": "proportion", "value": 0.75, "n": 40.0},
        {"sample_id": "k", "measure": "kappa", "value": 0.4, "n": 50.0, "ci_low": 0.2, "ci_high": 0.6},
        {"sample_id": "bare", "measure": "kappa", "value": 0.4, "n": 50.0},
        {"sample_id": "s0", "measure": "r", "value": 0.9, "n": 10.0},
    ]
    given = data(settings(), samples=samples(more=more))
    _, tables = run(given)
    effects = tables["sample_effects"].set_index(["measure", "sample_id"])
    assert effects.loc[("phi", "r"), "effect"] == pytest.approx(math.atanh(0.31))
    assert effects.loc[("phi", "r"), "std_error"] == pytest.approx(1 / math.sqrt(87))
    assert effects.loc[("phi", "d"), "estimate"] == pytest.approx(1.06 / math.sqrt(1.06**2 + 4))
    assert effects.loc[("agreement", "p"), "std_error"] == pytest.approx(math.sqrt(1 / 30 + 1 / 10))
    assert effects.loc[("kappa", "k"), "std_error"] == pytest.approx(0.4 / (2 * 1.959964), abs=1e-7)
    assert effects.loc[("kappa", "k"), "source"] == "reported kappa"
    assert ("kappa", "bare") not in effects.index
    assert effects.loc[("phi", "s0"), "source"] == "counts"
    lines = given.flow.frame()
    kappa = lines[(lines["step"] == "pooled kappa, two") & (lines["reason"] == "kappa or its error not defined")]
    assert kappa[["n_in", "n_out"]].to_numpy().tolist() == [[8, 7]]
    assert read_effects(
        [], [Reported("a", "a", "a", "two", "r", 0.3, math.nan, math.nan, math.nan, False)], MEASURES["phi"]
    ).rows.empty


def test_traits_are_slopes_and_contrasts_and_missing_ones_are_counted():
    told = traits(year=[1990, 1994, 1999, 2003, 2008, None], risk=["low", "high", "low", "high", "low", "other"], same=["a"] * 6)
    given = data(settings(moderators=["year", "risk", "same", "none"]), samples=samples(), sample_traits=told)
    estimates, _ = run(given)
    rows = estimates[(estimates["analysis"] == "sample_moderators") & estimates["estimand"].str.startswith(("kappa", "not"))]
    others = [m for m in MEASURES if m != "kappa"]
    rows = rows[~rows["definition"].isin(others)].set_index(["estimand", "group"])
    assert rows.loc[("kappa_slope", "year"), "note"].startswith("centred at 1999")
    assert rows.loc[("kappa_contrast", "risk: high against low"), "n_clusters"] == 5
    assert rows.loc[("kappa", "risk: high"), "n_clusters"] == 2
    assert "Holm over 2 traits" in rows.loc[("kappa_r2", "year"), "note"]
    assert "do not differ in the trait" in rows.loc[(NOT_TESTABLE, "same"), "note"]
    assert "no sample has the trait" in rows.loc[(NOT_TESTABLE, "none"), "note"]
    lines = given.flow.frame().set_index(["step", "reason"])
    assert lines.loc[("year of samples, kappa, two", "without the trait"), ["n_in", "n_out"]].tolist() == [6, 5]
    assert lines.loc[("risk of samples, kappa, two", "a level of fewer than 2 samples"), ["n_in", "n_out"]].tolist() == [6, 5]


def test_too_few_samples_for_a_trait_or_for_asymmetry_say_so():
    given = data(settings(moderators=["year"]), samples=samples(COUNTS[:3]), sample_traits=traits(year=[1990, 1995, 2001]))
    estimates, _ = run(given)
    silent = estimates[estimates["estimand"] == NOT_TESTABLE]
    assert silent.loc[silent["analysis"] == "sample_moderators", "note"].str.contains("samples").all()
    asymmetry = silent[silent["definition"] == "kappa, small samples"]
    assert asymmetry["note"].tolist() == ["fewer than 10 samples: too few to see asymmetry"]


def test_influence_names_the_sample_that_moves_most_and_adds_by_order():
    odd = [*COUNTS, [2, 60, 55, 3]]
    told = traits(year=[1990, 1990, 1999, 2003, 2008, 2011, None])
    estimates, tables = run(data(settings(order="year"), samples=samples(odd), sample_traits=told))
    row = estimates[estimates["estimand"] == "kappa_without_most_influential"].iloc[0]
    assert row["note"].startswith("without s6")
    assert row["estimate"] > estimates.loc[(estimates["estimand"] == "kappa") & estimates["primary"], "estimate"].iloc[0]
    table = tables["sample_influence"]
    assert set(table["measure"]) == {"kappa"}
    added = table[table["kind"] == "up to"]
    assert added["label"].tolist() == ["1990", "1999", "2003", "2008", "2011"]
    assert added["k"].tolist() == [2, 3, 4, 5, 6]
    left = table[table["kind"] == "without"]
    assert left["k"].eq(6).all()
    assert left.loc[left["cook_d"].idxmax(), "sample_id"] == "s6"
    assert left["estimate"].is_monotonic_increasing


def test_the_literature_stands_beside_own_and_pooled_values_in_its_metric():
    published = load_published("transmission")["results"]
    _, tables = run(data(settings(), own=families(siblings=2), samples=samples(), published=published))
    rows = tables["transmission_literature"].set_index("key")
    assert len(rows) == len(published)
    secure = rows.loc["vanijzendoorn1995_secure"]
    assert secure["as_r"] == pytest.approx(0.47, abs=0.005)
    own_r = rows.loc["verhage2016_secure", "own"]
    assert secure["own"] == pytest.approx(2 * own_r / math.sqrt(1 - own_r**2))
    assert secure["pooled"] == pytest.approx(d_from_r(rows.loc["verhage2016_secure", "pooled"]))
    assert rows.loc["vanijzendoorn1995_agreement", "own"] == pytest.approx(10 / 12)
    assert rows.loc["benoit_parker1994_mother_4way", "own_n"] == 12
    assert pd.isna(rows.loc["benoit_parker1994_mother_4way", "pooled"])
    assert rows.loc["madigan2023_secure", "own"] == pytest.approx(7 / 12)
    assert rows.loc["madigan2023_disorganised", "own"] == pytest.approx(1 / 12)
    assert pd.isna(rows.loc["dewolff1997_sensitivity", "own"])
    assert r_from_d(d_from_r(0.3)) == pytest.approx(0.3)
    alone, tables = run(data({**settings(), "samples": None}, own=families(), published=published))
    assert alone["note"].tolist() == [study.NO_TABLES]
    assert tables["transmission_literature"]["own"].notna().sum() > 5
    _, tables = run(data(settings(meaning="stability"), samples=samples(), published=published))
    assert tables["transmission_literature"].empty


def test_published_files_name_what_each_result_needs():
    for name, keys in {"transmission": {"metric", "value"}, "rupture": {"r"}}.items():
        results = load_published(name)["results"]
        assert all(keys <= set(r) for r in results)
        assert len({r["key"] for r in results}) == len(results)
    for result in load_published("transmission")["results"]:
        assert {"system", "way", "class"} <= set(result) or result["about"] != "share"
        assert "way" in result or result["about"] != "agreement"
        bound = 1 if result["metric"] != "d" else 5
        assert 0 < result["value"] < bound
    good = load_published("transmission")["results"][0]
    for broken in ({"metric": "d"}, {"value": 0.3}, {"metric": "r", "value": 0.3, "class": "B"}, {}):
        bare = {k: v for k, v in good.items() if k not in ("metric", "value")}
        with pytest.raises(ConfigError, match="results/0"):
            validated({"name": "x", "title": "Results", "results": [{**bare, **broken}]}, "published", "x.yaml")


def test_bad_settings_and_tables_are_refused():
    with pytest.raises(ConfigError, match=r"no system 'tow'; systems are: two. Did you mean 'two'"):
        study.analyse(data(settings(pool="tow"), samples=samples()))
    twice = pd.concat([samples(), samples().head(1)])
    with pytest.raises(DataError, match="a cell listed twice"):
        study.analyse(data(settings(), samples=twice))


def test_a_recalled_kappa_without_a_table_is_marked():
    more = [{"sample_id": i, "measure": "kappa", "value": 0.4, "n": 50.0, "ci_low": 0.2, "ci_high": 0.6} for i in ("read", "told")]
    table = samples(more=more)
    table.loc[table["sample_id"] == "told", "standing"] = "recalled"
    _, tables = run(data(settings(systems={"two": ["insecure", "secure"], "other": ["D", "O"]}, pool="other"), samples=table))
    labels = tables["sample_effects"].set_index("sample_id")["label"]
    assert [labels["read"], labels["told"]] == ["read", "told, recalled"]


def test_a_child_seen_with_both_parents_counts_as_two_procedures():
    relations = {"person_a": ["m", "f", "n", "o"], "person_b": ["c", "c", "d", "d"], "family_id": ["1", "1", "2", "2"]}
    codes = {"person_id": ["c", "c", "d"], "about_person_id": ["m", "f", None], "primary": ["B", "A", "B"], "wave": 0}
    own = {
        "relations": typed(pd.DataFrame(relations).assign(kind="parent_child"), "relations"),
        "classifications": typed(pd.DataFrame(codes).assign(system="SSP"), "classifications"),
    }
    published = load_published("transmission")["results"]
    _, tables = run(data({**settings(), "samples": None}, own=own, published=published))
    row = tables["transmission_literature"].set_index("key").loc["madigan2023_secure"]
    assert [row["own"], row["own_n"]] == [pytest.approx(2 / 3), 3]  # with the mother, with the father, and once about nobody


def test_only_the_first_measure_is_primary():
    estimates, _ = run(data(settings(moderators=["year"]), samples=samples(), sample_traits=traits(year=[1, 2, 3, 4, 5, 6])))
    for analysis in ("sample_checks", "sample_moderators"):
        rows = estimates[(estimates["analysis"] == analysis) & estimates["primary"] & estimates["estimate"].notna()]
        assert set(rows["estimand"].str.split("_").str[0]) == {"kappa"}
