"""The bootstrap of cutoffs, thresholds and shares: against R, against a loop that spells every step out, and at its edges."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.bootstrap import (
    Population,
    bootstrap_change,
    usable_pair_methods,
)
from attachment_outcomes.inference.individual_change.methods import METHODS
from attachment_outcomes.inference.individual_change.reliable import reliable_change, setting_from
from attachment_outcomes.inference.individual_change.significance import Cutoff, categorise, cutoffs
from attachment_outcomes.inference.resampling import cluster_bootstrap_rows

R_DIGITS = 1e-9  # the R file prints 15 digits of numbers around 10
SAME = 1e-9  # two ways through the same arithmetic


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_compared")["sample"]


def made(n: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return whole scores before and after, lower is better."""
    rng = np.random.default_rng(seed)
    before = rng.normal(20, 6, n).round()
    return before, (0.6 * before + 4 + rng.normal(0, 5, n)).round()


def named(table: pd.DataFrame, estimand: str, method: str = "") -> dict[str, float]:
    rows = table[(table["estimand"] == estimand) & (table["method"] == method)]
    return dict(zip(rows["category"], rows["estimate"], strict=True))


def test_estimates_match_formulas_in_r(reference: Reference) -> None:
    setting = setting_from(reference["pre"], reference["post"], reliability=reference["reliability"])
    found = bootstrap_change(
        reference["pre"], reference["post"], setting=setting, methods=["JT", "GLN", "EN", "NK", "HA"], cutoff="c",
        functional=Population(mean=reference["m0"], sd=reference["s0"]), rng=np.random.default_rng(1), replicates=99,
    )  # fmt: skip
    thresholds = {m: named(found.table, "reliable_change_threshold", m)[""] for m in reference["thresholds"]}
    crossed = named(found.table, "crossed_without_reliable_change", "JT")[""]
    ours = {
        "cutoffs": named(found.table, "cutoff"), "thresholds": thresholds, "shares": named(found.table, "share", "JT"),
        "crossed": crossed,
    }  # fmt: skip
    reference.check(ours, abs=R_DIGITS)


def test_cutoff_on_true_scores_matches_clinicalsignificance(shared_data: Path) -> None:
    """Jacobson and Truax' couples, DAS, r = .88, norm 114.8 (17.8): 94.8424, and 94.5511 on true scores."""
    table = pd.read_csv(shared_data / "jacobson1989/jacobson_1989.csv").pivot(index="subject", columns="time", values="das")
    setting = setting_from(table["pre"], table["post"], reliability=0.88)
    found = bootstrap_change(
        table["pre"], table["post"], setting=setting, methods="JT", higher_is_better=True, rng=np.random.default_rng(1),
        functional=Population(mean=114.8, sd=17.8), cutoff="c", replicates=99,
    ).table  # fmt: skip
    assert (named(found, "cutoff")["c"], named(found, "cutoff")["c_true"]) == pytest.approx((94.8424, 94.5511), abs=5e-5)
    counts = {k: round(30 * v) for k, v in named(found, "share", "JT").items()}
    assert counts == {"recovered": 14, "improved": 5, "unchanged": 10, "deteriorated": 1, "harmed": 0}


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("kind", ["a", "c"])
def test_every_replicate_is_what_a_loop_over_people_finds(higher: bool, kind: str) -> None:
    """The loop takes each drawn person by itself, through the functions that categorise a study's people."""
    before, after = made(60)
    if higher:
        before, after = 60 - before, 60 - after
    norm = (51.0, 4.0) if higher else (9.0, 4.0)
    given = {"reliability": 0.88, "criterion": 5.0, "control_post_mean": 19.0}
    therapist = np.arange(60) % 9
    setting = setting_from(before, after, **given)
    names = usable_pair_methods(setting)
    assert len(names) >= 6
    found = bootstrap_change(
        before, after, setting=setting, rng=np.random.default_rng(3), higher_is_better=higher, clusters=therapist,
        functional=Population(mean=norm[0], sd=norm[1]), cutoff=kind, replicates=10,
    )  # fmt: skip
    keys = list(found.table[["estimand", "method", "category"]].itertuples(index=False, name=None))

    def slowly(rows: np.ndarray, copies: np.ndarray) -> list[float]:
        x1, x2 = before[rows], after[rows]
        own = cutoffs(clinical=(x1.mean(), x1.std(ddof=1)), functional=norm, higher_is_better=higher)
        told: dict[tuple[str, str, str], float] = {("cutoff", "", k): v for k, v in own.items()}
        for name in names:
            change = reliable_change(x1, x2, methods=name, higher_is_better=higher, **given)
            kinds = categorise(x1, x2, change["category"], cutoff=Cutoff(kind, own[kind]), higher_is_better=higher)
            shares = kinds["category"].value_counts(normalize=True)
            told |= {("share", name, str(c)): float(v) for c, v in shares.items()}
            told["reliably_improved", name, ""] = float((change["category"] == "improved").sum() / change["category"].count())
            told["crossed_without_reliable_change", name, ""] = float(kinds["crossed"].sum() / kinds["crossed"].count())
        return [told.get(key, np.nan) for key in keys]

    loop = cluster_bootstrap_rows(slowly, rng=np.random.default_rng(3), clusters=therapist, replicates=10)
    compared = np.isfinite(loop.draws)
    estimands = {key[0] for key, seen in zip(keys, compared.any(axis=0), strict=True) if seen}
    assert estimands == {"cutoff", "share", "reliably_improved", "crossed_without_reliable_change"}
    np.testing.assert_allclose(found.replicates.draws[compared], loop.draws[compared], atol=SAME)
    np.testing.assert_allclose(found.replicates.estimates[compared[0]], loop.estimates[compared[0]], atol=SAME)


def test_whoever_is_beyond_the_threshold_and_starts_at_the_mean_is_improved() -> None:
    before, after = made(80)
    setting = setting_from(before, after, reliability=0.9, control_post_mean=18.0, criterion=6.0)
    found = bootstrap_change(before, after, setting=setting, rng=np.random.default_rng(1), replicates=49).table
    rows = found[found["estimand"] == "reliable_change_threshold"]
    assert len(rows) == len(usable_pair_methods(setting))
    for method, least in zip(rows["method"], rows["estimate"], strict=True):
        start = float(before.mean())
        ends = np.array([start - least * 1.0001, start - least * 0.9999])
        both = {"reliability": 0.9, "sd": setting.sd, "methods": method, "mean_pre": setting.mean_pre, "criterion": 6.0}
        if "r12" in METHODS[method].needs:  # rests on the whole sample, so the two people are put into it
            people = reliable_change(np.append(before, [start, start]), np.append(after, ends), **both, control_post_mean=18.0)
            assert abs(float(people["statistic"].iloc[-2])) > abs(float(people["statistic"].iloc[-1]))
            continue
        if "sd_post" in METHODS[method].needs:
            continue
        told = reliable_change([start, start], ends, **both, control_post_mean=18.0)["category"].tolist()
        assert told == ["improved", "unchanged"], method


def test_a_known_sd_and_a_known_cutoff_do_not_vary() -> None:
    before, after = made(50)
    setting = setting_from(before, after, reliability=0.9, sd=7.0)
    found = bootstrap_change(
        before, after, setting=setting, methods="JT", rng=np.random.default_rng(1), cutoff=Cutoff("instrument", 12.0, True),
        replicates=99,
    )  # fmt: skip
    rows = found.table.set_index("estimand")
    assert rows.loc["reliable_change_threshold", "ci_low"] == rows.loc["reliable_change_threshold", "ci_high"]
    assert rows.loc["reliable_change_threshold", "estimate"] == pytest.approx(1.959964 * np.sqrt(2 * 49 * 0.1), abs=1e-6)
    assert found.cutoff == "instrument"


def test_known_means_stay_and_others_vary() -> None:
    before, after = made(50)
    setting = setting_from(before, after, reliability=0.9, mean_pre=80.0)
    kwargs = {"setting": setting, "methods": "GLN", "replicates": 99}
    fixed = bootstrap_change(before, after, rng=np.random.default_rng(1), known=["mean_pre", "sd"], **kwargs).table
    freed = bootstrap_change(before, after, rng=np.random.default_rng(1), known=["sd"], **kwargs).table
    share = freed["category"] == "improved"
    assert not np.isclose(fixed.loc[share, "estimate"], freed.loc[share, "estimate"])


def test_the_norms_own_uncertainty_widens_cutoffs_as_its_theory_says() -> None:
    """Cutoff b of a normal norm sample of n: variance S²/n + 4 S²/(2(n − 1)), approximately."""
    before, after = made(200)
    n, sd = 120, 5.0
    kwargs = {"setting": setting_from(before, after, reliability=0.9), "methods": "JT", "replicates": 4000}
    sized = bootstrap_change(before, after, functional=Population(mean=8, sd=sd, n=n), rng=np.random.default_rng(2), **kwargs).table
    known = bootstrap_change(before, after, functional=Population(mean=8, sd=sd), rng=np.random.default_rng(2), **kwargs).table
    error = {name: t.set_index("category").loc["b", "std_error"] for name, t in (("sized", sized), ("known", known))}
    assert error["known"] == 0
    assert error["sized"] == pytest.approx(np.sqrt(sd**2 / n + 4 * sd**2 / (2 * (n - 1))), rel=0.05)  # 4,000 draws: 1.1 %


def test_clusters_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(8)
    therapist = np.repeat(np.arange(12), 15)
    before = rng.normal(20, 6, 180).round()
    after = (before - 3 + 6 * rng.normal(size=12)[therapist] + rng.normal(0, 3, 180)).round()
    kwargs = {"setting": setting_from(before, after, reliability=0.9), "methods": "JT", "replicates": 999}
    alone = bootstrap_change(before, after, rng=np.random.default_rng(1), **kwargs)
    together = bootstrap_change(before, after, rng=np.random.default_rng(1), clusters=therapist, **kwargs)
    error = [t.table.set_index("category").loc["improved", "std_error"] for t in (alone, together)]
    assert error[1] > 1.5 * error[0]
    assert (alone.n_clusters, together.n_clusters, together.n) == (180, 12, 180)


def test_bca_is_there_for_who_wants_it() -> None:
    before, after = made(40)
    setting = setting_from(before, after, reliability=0.9)
    found = bootstrap_change(before, after, setting=setting, methods="JT", rng=np.random.default_rng(1), interval="BCa").table
    row = found.set_index("category").loc["a"]
    assert row["ci_low"] < row["estimate"] < row["ci_high"]


def test_a_rule_that_says_nothing_in_the_sample_says_why() -> None:
    """HA: these differences vary less than error alone would make them."""
    before = np.arange(30.0)
    after = before - np.tile([1.0, 2.0], 15)
    setting = setting_from(before, after, reliability=0.6)
    found = bootstrap_change(before, after, setting=setting, methods="HA", rng=np.random.default_rng(1), replicates=99).table
    shares = found[found["estimand"] == "share"]
    assert shares["estimate"].isna().all()
    assert shares["note"].str.contains("not defined for the data").all()


def test_people_without_both_scores_do_not_count() -> None:
    before, after = made(40)
    setting = setting_from(before, after, reliability=0.9)
    kwargs = {"setting": setting, "methods": "JT", "replicates": 99}
    whole = bootstrap_change(before, after, rng=np.random.default_rng(1), **kwargs)
    more = bootstrap_change(
        np.append(before, [np.nan, 3.0]), np.append(after, [4.0, np.nan]), rng=np.random.default_rng(1), **kwargs
    )
    pd.testing.assert_frame_equal(whole.table, more.table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutoff": "d"}, "cutoff: found 'd'; allowed: a, b, c, a_true"),
        ({"cutoff": "b"}, "cutoff b needs a functional norm"),
        ({"known": ["mean"]}, "known: found 'mean'"),
        ({"methods": "HLL"}, "needs control_post_mean"),
        ({"methods": "JTT"}, "Did you mean 'JT'"),
        ({"clusters": [1, 2]}, "2 cluster labels for 20 people"),
        ({"clusters": [1] * 20}, "needs at least two"),
        ({"rng": 3}, "rng is a numpy Generator"),
        ({"replicates": 1}, "at least two are needed"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, message: str) -> None:
    before, after = made(20)
    given = {"setting": setting_from(before, after, reliability=0.9), "rng": np.random.default_rng(1), "replicates": 19}
    with pytest.raises(StatisticsError, match=message):
        bootstrap_change(before, after, **{**given, **change})


def test_scores_that_are_no_pairs_are_refused() -> None:
    setting = setting_from([1.0, 2.0], [3.0, 4.0], reliability=0.9)
    with pytest.raises(StatisticsError, match="2 scores before but 3 after"):
        bootstrap_change([1, 2], [1, 2, 3], setting=setting, rng=np.random.default_rng(1))
    with pytest.raises(StatisticsError, match="1 people with both scores"):
        bootstrap_change([1, 2], [1, np.nan], setting=setting, rng=np.random.default_rng(1))
    with pytest.raises(StatisticsError, match="a sample of 1"):
        Population(mean=3, sd=1, n=1)
    with pytest.raises(StatisticsError, match="found SD 0"):
        Population(mean=3, sd=0)


def test_rules_of_more_than_two_scores_are_left_out_and_refused_by_name() -> None:
    longer = [name for name, rule in METHODS.items() if "slopes" in rule.needs]
    setting = setting_from([1.0, 2.0, 4.0], [3.0, 4.0, 1.0], reliability=0.9)
    assert not set(longer) & set(usable_pair_methods(setting))
    for name in longer:
        with pytest.raises(StatisticsError, match=r"slopes|more than two"):
            usable_pair_methods(setting, name)


def test_two_thousand_draws_of_ten_thousand_people_take_seconds() -> None:
    """The goal is 10 s for every cutoff and rule; a tenth of the draws is timed, with room for a busy machine."""
    before, after = made(10_000)
    setting = setting_from(before, after, reliability=0.9, criterion=6.0)
    start = time.process_time()
    bootstrap_change(
        before, after, setting=setting, rng=np.random.default_rng(1), functional=Population(mean=9, sd=4, n=500), cutoff="c",
        replicates=199,
    )  # fmt: skip
    assert time.process_time() - start < 2.0
