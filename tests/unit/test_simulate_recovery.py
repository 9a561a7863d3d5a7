"""Recovery studies: measures against rsimsum, seeds that depend on nothing else, failures that are counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.references import load_reference

from attachment_outcomes.config import read_yaml
from attachment_outcomes.errors import ConfigError, ConvergenceWarning, StatisticsError
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.validation.recovery import COLUMNS as PANELS
from attachment_outcomes.present.validation.recovery import draw
from attachment_outcomes.simulate import scenarios
from attachment_outcomes.simulate.recovery.estimators import mixed, repair, resampled, sandwich
from attachment_outcomes.simulate.recovery.limits import disagreements
from attachment_outcomes.simulate.recovery.measures import failures, first_findings, performance
from attachment_outcomes.simulate.recovery.repetitions import COLUMNS, Block, blocks, reason, run_study
from attachment_outcomes.simulate.recovery.study import Estimator, Finding, RecoveryStudy, Sample, generator, read_study

R_DIGITS = 1e-12  # stored with 15 digits; sums of 60 numbers
STUDY = "attachment_outcomes.simulate"
# Our names for rsimsum's, and what they are multiplied by: rsimsum has percentages where we have shares.
RSIMSUM = {
    "bias": ("bias", 1), "relative_bias": ("rbias", 1), "empirical_se": ("empse", 1), "mse": ("mse", 1),
    "model_se": ("modelse", 1), "model_se_error": ("relerror", 100), "coverage": ("cover", 1),
    "coverage_bias_eliminated": ("becover", 1), "power": ("power", 1),
}  # fmt: skip


def coin(rng: np.random.Generator, *, size: int, mean: float = 0.5) -> Sample:
    """Numbers around a mean."""
    return Sample(mean + rng.standard_normal(size), {"mean": mean, "nothing": 0.0})


def average(data: np.ndarray, *, times: float = 1.0) -> Iterator[Finding]:
    se = float(data.std(ddof=1) / math.sqrt(len(data)))
    value = times * float(data.mean())
    yield Finding("mean", value, se, value - 2 * se, value + 2 * se, 0.01 if abs(value) > 2 * se else 0.5)


def study(**changes: Any) -> RecoveryStudy:
    settings: dict[str, Any] = {
        "name": "made_up", "seed": 11, "repetitions": 10, "scenario": coin, "grid": {"size": [4, 9]}, "block": 3,
        "estimators": [Estimator(function=average, methods={"plain": ""})],
    }  # fmt: skip
    return RecoveryStudy(**{**settings, **changes})


def rows_of(estimate: Any, std_error: Any, *, truth: float, low: Any = None, high: Any = None, p: Any = math.nan) -> pd.DataFrame:
    """Repetitions of one cell, target and method; normal intervals if none are given."""
    b, s = np.asarray(estimate, dtype=float), np.asarray(std_error, dtype=float)
    z = 1.959963984540054  # qnorm(.975) in R
    frame = pd.DataFrame(
        {
            "cell": 0, "repetition": range(len(b)), "method": "plain", "target": "mean",
            "truth": truth, "estimate": b, "std_error": s,
            "ci_low": b - z * s if low is None else low, "ci_high": b + z * s if high is None else high, "p_value": p,
            "converged": True, "singular": False, "failure": "",
        }
    )  # fmt: skip
    return frame[COLUMNS]


def measured(rows: pd.DataFrame, of: RecoveryStudy | None = None) -> pd.DataFrame:
    return performance(rows, of or study()).set_index("measure")


# Measures


@pytest.mark.parametrize("model", ["Cox", "Exp", "RP(2)"])
def test_measures_and_their_errors_agree_with_rsimsum(model: str) -> None:
    reference = load_reference("recovery_reference")
    case = reference["cases"][model]
    b, s = np.array(case["estimate"]), np.array(case["std_error"])
    p = np.where(np.abs(b) >= 1.959963984540054 * s, 0.01, 0.5)
    found = measured(rows_of(b, s, truth=reference["truth"], p=p))
    case["value"].check({theirs: times * found.loc[ours, "value"] for ours, (theirs, times) in RSIMSUM.items()}, rel=R_DIGITS)
    case["mc_error"].check({theirs: times * found.loc[ours, "mc_error"] for ours, (theirs, times) in RSIMSUM.items()}, rel=R_DIGITS)


def test_measures_of_four_repetitions_worked_by_hand() -> None:
    rows = rows_of([1, 3, 5, 7], [1, 1, 1, 1], truth=2, low=[0, 2, 3, 6], high=[2, 4, 7, 8], p=[0.2, 0.04, 0.01, 0.001])
    found = measured(rows)
    assert found["value"].round(6).to_dict() == {
        "bias": 2.0, "relative_bias": 1.0, "empirical_se": 2.581989, "model_se": 1.0, "model_se_error": -0.612702, "mse": 9.0,
        "coverage": 0.5, "coverage_bias_eliminated": 0.5, "power": 0.75, "converged": 1.0, "singular": 0.0,
    }  # fmt: skip
    assert found.loc["coverage", "mc_error"] == 0.25  # sqrt(.5 * .5 / 4)


def test_a_test_of_what_is_nothing_is_called_an_error_and_has_no_relative_bias() -> None:
    found = measured(rows_of([1, -1, 2], [1, 1, 1], truth=0, p=[0.2, 0.04, 0.9]))
    assert found.loc["type_1_error", "value"] == pytest.approx(1 / 3)
    assert not {"power", "relative_bias"} & set(found.index)


@given(
    values=st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 5)), min_size=3, max_size=20),
    shift=st.floats(-100, 100), factor=st.floats(0.01, 100), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_measures_follow_the_unit_and_not_the_order(
    values: list[tuple[float, float]], shift: float, factor: float, order: Any
) -> None:
    b, s = (np.array(v) for v in zip(*values, strict=True))
    plain = measured(rows_of(b, s, truth=1.0))["value"]
    moved = measured(rows_of(b + shift, s, truth=1.0 + shift))["value"]
    larger = measured(rows_of(factor * b, factor * s, truth=factor))["value"]
    mixed_up = list(range(len(b)))
    order.shuffle(mixed_up)
    turned = measured(rows_of(b[mixed_up], s[mixed_up], truth=1.0))["value"]
    for name, power in (("bias", 1), ("empirical_se", 1), ("model_se", 1), ("mse", 2)):
        assert moved[name] == pytest.approx(plain[name], rel=1e-6, abs=1e-6)
        assert larger[name] == pytest.approx(factor**power * plain[name], rel=1e-6, abs=1e-6 * factor**power)
        assert turned[name] == pytest.approx(plain[name], rel=1e-9, abs=1e-9)
    assert plain["mse"] >= plain["bias"] ** 2 - 1e-9
    assert 0 <= plain["coverage"] <= 1


# Repetitions


def test_a_repetition_depends_on_seed_cell_and_number_only() -> None:
    all_of_it = run_study(study(), repetitions=8)
    turned = run_study(study(grid={"size": [9, 25, 4]}, block=2), repetitions=5)
    for n, here, there in ((4, 0, 2), (9, 1, 0)):
        one = all_of_it[(all_of_it["cell"] == here) & (all_of_it["repetition"] < 5)]["estimate"]
        other = turned[turned["cell"] == there]["estimate"]
        assert one.tolist() == other.tolist(), n
    assert all_of_it["estimate"].is_unique
    assert not set(run_study(study(seed=12), repetitions=3)["estimate"]) & set(all_of_it["estimate"])


def test_estimators_see_the_same_data() -> None:
    doubled = Estimator(function=average, methods={"doubled": ""}, options={"times": 2.0})
    rows = run_study(study(estimators=[*study().estimators, doubled]))
    wide = rows.pivot_table(index=["cell", "repetition"], columns="method", values="estimate")
    assert (wide["doubled"] == 2 * wide["plain"]).all()


def test_the_first_draws_are_these_on_every_machine() -> None:
    # Typed from a run, so that a change of numpy or of the way in which seeds are made cannot pass unseen.
    assert generator(11, {"size": 4}, 0).random(2).tolist() == [0.7951156429025885, 0.5487400477199729]


class Memory(dict[Block, pd.DataFrame]):
    """A store that lies in memory."""

    def put(self, block: Block, rows: pd.DataFrame) -> None:
        self[block] = rows


def test_a_stopped_run_goes_on_and_gives_the_same() -> None:
    made: list[int] = []

    def counted(data: np.ndarray) -> Iterator[Finding]:
        made.append(1)
        if len(made) == 15:
            raise KeyboardInterrupt
        yield from average(data)

    one = study(estimators=[Estimator(function=counted, methods={"plain": ""})])
    store = Memory()
    with pytest.raises(KeyboardInterrupt):
        run_study(one, store=store)
    assert len(store) == 4  # of three repetitions each; the fifth block was cut short
    kept: list[bool] = []
    rows = run_study(one, store=store, tell=lambda done, of, old: kept.append(old))
    assert kept == [True] * 4 + [False] * 4
    assert len(made) == 15 + 20 - 12
    pd.testing.assert_frame_equal(rows, run_study(study()))


def test_blocks_take_the_cells_in_turn() -> None:
    assert [(b.cell, b.start, b.stop) for b in blocks(study(), 5)] == [(0, 0, 3), (1, 0, 3), (0, 3, 5), (1, 3, 5)]


def test_two_cores_give_what_one_gives(root: Any) -> None:
    pooling = read_study(read_yaml(root / "validation" / "recovery" / "pooling.yaml"), "pooling.yaml")
    small = RecoveryStudy(
        name="small", seed=5, repetitions=3, block=2, scenario=pooling.scenario, fixed=pooling.fixed,
        grid={"samples": [4], "tau": [0, 0.1]}, estimators=pooling.estimators,
    )  # fmt: skip
    pd.testing.assert_frame_equal(run_study(small, cores=2), run_study(small))


def test_an_estimator_that_draws_gets_a_seed_of_its_own_in_each_repetition() -> None:
    def drawing(data: np.ndarray, *, seed: int) -> Iterator[Finding]:
        yield Finding("mean", float(np.random.default_rng(seed).random()))

    both = [Estimator(function=drawing, methods={name: ""}, seeded=True) for name in ("one", "other")]
    rows = run_study(study(estimators=both))
    assert rows["estimate"].is_unique
    pd.testing.assert_frame_equal(rows, run_study(study(estimators=both, block=7)))


def several(data: np.ndarray, *, methods: tuple[str, ...]) -> Iterator[Finding]:
    for number, method in enumerate(methods):
        yield Finding("mean", float(number), method=method)


def test_an_estimator_may_answer_by_several_methods_and_be_used_in_some_cells() -> None:
    one = Estimator(function=several, methods={"first": "a", "second": "b"}, where={"size": [9]})
    rows = run_study(study(estimators=[one, *study().estimators]), repetitions=2)
    assert rows.groupby(["cell", "method"], sort=False).size().to_dict() == {
        (0, "plain"): 2, (1, "first"): 2, (1, "second"): 2, (1, "plain"): 2,
    }  # fmt: skip
    assert set(rows.loc[rows["method"] == "second", "estimate"]) == {1.0}


# Failures


def weak(data: np.ndarray) -> Iterator[Finding]:
    """Fail in each way there is, by the first number."""
    way = int(10 * abs(data[0])) % 5
    if way == 0:
        raise StatisticsError(f"only {len(data)} groups, 3.5e-7 apart")
    if way == 1:
        np.linalg.cholesky(-np.eye(2))
    yield Finding("nothing", 0.0, 1.0, -2.0, 2.0, 0.9)
    if way != 2:
        yield Finding("mean", math.nan if way == 3 else 1.0, converged=way != 4)


def test_failures_are_counted_by_reason_and_none_is_dropped() -> None:
    one = study(grid={"size": [4]}, estimators=[Estimator(function=weak, methods={"weak": ""})], repetitions=200)
    rows = run_study(one)
    data = [generator(11, {"size": 4}, i).standard_normal(4) for i in range(200)]
    ways = pd.Series([int(10 * abs(0.5 + d[0])) % 5 for d in data]).value_counts()
    told = {(f["target"], f["reason"]): f["count"] for f in failures(rows, one)}
    assert told == {
        ("nothing", "only # groups, # apart"): ways[0], ("mean", "only # groups, # apart"): ways[0],
        ("nothing", "Matrix is not positive definite"): ways[1], ("mean", "Matrix is not positive definite"): ways[1],
        ("mean", "target not given"): ways[2], ("mean", "no finite estimate"): ways[3], ("mean", "did not converge"): ways[4],
    }  # fmt: skip
    found = performance(rows, one).set_index(["target", "measure"])["value"]
    assert found["nothing", "converged"] == pytest.approx((200 - ways[0] - ways[1]) / 200)
    assert found["mean", "converged"] == 0


def test_a_method_that_never_answers_has_a_row_that_says_so() -> None:
    def refuses(data: np.ndarray) -> Iterator[Finding]:
        raise StatisticsError("never")

    both = [*study().estimators, Estimator(function=refuses, methods={"refusing": ""})]
    found = performance(run_study(study(estimators=both)), study(estimators=both))
    own = found[found["method"] == "refusing"]
    assert own[["target", "measure", "value"]].to_numpy().tolist() == [["mean", "converged", 0.0]] * 2


def test_intervals_that_are_missing_now_and_then_are_told() -> None:
    rows = rows_of([1, 2, 3], [1, 1, 1], truth=2, low=[0, math.nan, 2], high=[2, math.nan, 4])
    assert [(f["reason"], f["count"]) for f in failures(rows, study())] == [("estimate without an interval", 1)]
    assert measured(rows).loc["coverage", "n"] == 2


def test_a_fault_of_the_code_ends_the_run_and_says_where() -> None:
    def broken(data: np.ndarray) -> Iterator[Finding]:
        raise KeyError("column")

    with pytest.raises(KeyError) as stopped:
        run_study(study(estimators=[Estimator(function=broken, methods={"plain": ""})]))
    assert stopped.value.__notes__ == ["in study made_up, size 4, repetition 0"]


def test_warnings_of_convergence_are_in_the_findings_and_others_are_heard() -> None:
    import warnings

    def warns(data: np.ndarray, *, category: str) -> Iterator[Finding]:
        warnings.warn("x", ConvergenceWarning if category == "convergence" else RuntimeWarning, stacklevel=1)
        yield Finding("mean", 1.0, singular=True)

    def used(category: str) -> RecoveryStudy:
        return study(estimators=[Estimator(function=warns, methods={"plain": ""}, options={"category": category})])

    assert run_study(used("convergence"))["singular"].all()
    with pytest.raises(RuntimeWarning):
        run_study(used("other"))


def test_long_reasons_are_cut() -> None:
    assert reason(StatisticsError("a" * 200)) == "a" * 120 + "…"
    assert reason(ZeroDivisionError()) == "ZeroDivisionError"


# Studies and limits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimators": [Estimator(function=average, methods={"a": ""})] * 2}, "two estimators have a method named 'a'"),
        ({"estimators": [Estimator(function=average, methods={"a": ""}, where={"m": [4]})]}, r"'m' is no parameter of the grid"),
        (
            {"estimators": [Estimator(function=average, methods={"a": ""}, where={"size": [5]})]},
            r"size: found \[5\]; the grid has 4, 9",
        ),
        ({"limits": [{"measure": "bias", "within": [0, 1], "methods": ["plan"]}]}, "no method 'plan'. Did you mean 'plain'"),
        ({"grid": {"truth": [1]}}, "'truth' is a column of the results"),
        ({"scenario": f"{STUDY}.scenarios:grwth"}, "has no 'grwth'. Did you mean 'growth'"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(**changes)


@pytest.mark.parametrize(
    ("finding", "message"),
    [(Finding("men", 1.0), "unknown target 'men'. Did you mean 'mean'"), (Finding("mean", 1.0, method="b"), "unknown method 'b'")],
)
def test_an_answer_that_the_study_does_not_know_is_refused(finding: Finding, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_study(study(estimators=[Estimator(function=lambda data: [finding], methods={"plain": ""})]))


def test_a_file_with_an_unknown_key_is_refused(root: Any) -> None:
    content = read_yaml(root / "validation" / "recovery" / "pooling.yaml")
    with pytest.raises(ConfigError, match=r"pooling.yaml.*unknown key 'repetition'.*Did you mean 'repetitions'"):
        read_study({**content, "repetition": 5}, "pooling.yaml")


def limited(**entries: Any) -> list[str]:
    grid = {"size": [4, 9]}
    results = pd.DataFrame(
        {"size": [4, 9], "target": "mean", "method": "plain", "measure": "coverage", "value": [0.90, 0.95], "mc_error": 0.01}
    )
    return disagreements(results, study(grid=grid, **entries))


def test_a_value_beyond_its_limits_by_more_than_two_errors_is_told() -> None:
    assert limited(limits=[{"measure": "coverage", "within": [0.93, 0.97]}]) == [
        "made_up: size 4, mean, plain: coverage 0.9 (error 0.01) is not within 0.93 and 0.97."
    ]
    assert limited(limits=[{"measure": "coverage", "within": [0.92, 0.97]}]) == []
    assert limited(limits=[{"measure": "coverage", "within": [0.93, 0.97], "where": {"size": [9]}}]) == []


def test_a_failure_may_be_foretold_but_then_it_has_to_happen() -> None:
    limits = [{"measure": "coverage", "within": [0.93, 0.97]}]
    assert limited(limits=limits, expected_to_fail=[{"measure": "coverage", "where": {"size": [4]}, "reason": "few"}]) == []
    (told,) = limited(
        limits=limits, expected_to_fail=[{"measure": "coverage", "where": {"size": [n]}, "reason": "few"} for n in (4, 9)]
    )
    assert "coverage was expected to fail (few) and does not" in told


def test_a_limit_that_applies_to_nothing_is_told() -> None:
    (told,) = limited(limits=[{"measure": "coverage", "within": [0, 1], "targets": ["men"]}])
    assert "a limit of coverage applies to no result" in told


def test_the_code_that_makes_the_repetitions_has_a_fingerprint_and_the_grid_does_not_count() -> None:
    function = f"{STUDY}.recovery.estimators:pooled_means"

    def coded(seed: int = 1, tau: float = 0.1, **options: Any) -> dict[str, str]:
        return RecoveryStudy(
            name="x", seed=seed, repetitions=5, scenario=f"{STUDY}.scenarios:pooled_samples", grid={"samples": [3], "tau": [tau]},
            estimators=[Estimator(function=function, methods={"a": ""}, options={"method": "DL", **options})],
        ).code  # fmt: skip

    assert coded() == coded(tau=0.2)
    assert coded(seed=2)["repetitions"] != coded()["repetitions"] != coded(interval="z")["repetitions"]
    assert coded(seed=2)["measures"] == coded()["measures"]


# Scenarios


def test_pooled_samples_have_the_effects_and_variances_they_say() -> None:
    (effects, variances), truth = scenarios.pooled_samples(
        np.random.default_rng(1), samples=40_000, tau=0.2, mean=0.3, smallest=30, largest=30
    )
    assert truth == {"related": 0.3, "unrelated": 0.0}
    assert (variances == 1 / 27).all()
    assert effects.mean(axis=0) == pytest.approx([0.3, 0.0], abs=0.006)  # 4 errors of sqrt((.04 + 1/27) / 40,000)
    assert effects.var(axis=0) == pytest.approx(0.04 + 1 / 27, rel=0.03)


@pytest.mark.parametrize(("icc", "share"), [(0.0, 0.3), (0.2, 0.1)])
def test_events_of_one_therapist_are_as_alike_as_asked_for(icc: float, share: float) -> None:
    (events, therapist), truth = scenarios.clustered_events(
        np.random.default_rng(2), therapists=20_000, icc=icc, share=share, fewest=2, most=2
    )
    assert truth == {"share": share}
    pairs = events.reshape(-1, 2)[np.bincount(therapist) == 2]
    assert events.mean() == pytest.approx(share, abs=0.01)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(icc, abs=0.03)


GROWTH = {
    "clients": 6000, "waves": 4, "intercept": 20.0, "slope": -1.0, "sd_intercept": 4.0, "sd_slope": 0.8, "correlation": -0.3,
    "sd_residual": 3.0,
}  # fmt: skip


def test_growth_has_the_moments_it_says() -> None:
    data, truth = scenarios.growth(np.random.default_rng(3), **GROWTH, dropout=-50.0, steepness=0.0)
    assert truth["covariance"] == pytest.approx(-0.96)
    wide = data.pivot_table(index="person_id", columns="week", values="score")
    assert wide.shape == (6000, 4)
    assert wide.mean().to_numpy() == pytest.approx([20, 19, 18, 17], abs=0.25)
    # variance 16 + 9 at the start; 16 + 2 * 3 * (-.96) + 9 * .64 + 9 at week 3; covariance of the two 16 - 3 * .96
    assert wide.cov().to_numpy()[[0, 3, 0], [0, 3, 3]] == pytest.approx([25.0, 25.0, 13.12], rel=0.07)
    assert data.groupby("arm")["person_id"].nunique().tolist() == [3000, 3000]


def test_those_who_leave_were_worse_when_last_seen_and_do_not_come_back() -> None:
    data, _ = scenarios.growth(np.random.default_rng(4), **GROWTH, dropout=-1.5, steepness=1.0)
    last = data.groupby("person_id")["week"].max()
    assert (data.groupby("person_id").size() == last + 1).all()
    first = data[data["week"] == 0].set_index("person_id")["score"]
    assert first[last == 0].mean() > first[last > 0].mean() + 2


def test_therapy_has_the_variances_it_says() -> None:
    data, truth = scenarios.therapy(
        np.random.default_rng(5), therapists=1500, therapist_share=0.2, client_share=0.4, variance=50.0, fewest=6, most=6, waves=2,
        intercept=20.0, slope=-1.0, training=0.0, severity=0.0,
    )  # fmt: skip
    assert truth["therapist variance"] == pytest.approx(10)
    assert truth["residual variance"] == pytest.approx(20)
    score = data["score"] + data["week"] - 20
    client = score.groupby(data["person_id"]).mean()
    therapist = score.groupby(data["therapist_id"]).mean()
    assert score.var() == pytest.approx(50, rel=0.06)
    assert client.var() == pytest.approx(10 + 20 + 20 / 2, rel=0.06)
    assert therapist.var() == pytest.approx(10 + 20 / 6 + 20 / 12, rel=0.12)
    assert data.groupby("therapist_id")["trained"].first().mean() == pytest.approx(0.4)
    assert not data[["person_id", "therapist_id"]].drop_duplicates()["person_id"].duplicated().any()


def test_the_mixed_model_finds_the_truth_of_a_large_therapy_sample() -> None:
    data, truth = scenarios.therapy(
        np.random.default_rng(6), therapists=300, therapist_share=0.1, client_share=0.4, variance=40.0, fewest=8, most=12, waves=4,
        intercept=20.0, slope=-1.0, training=-2.0, severity=1.5,
    )  # fmt: skip
    found = list(
        mixed(
            data, methods=("REML Satterthwaite", "REML CR2", "ML normal"), formula="score ~ week + trained + severity",
            groups=["person_id", "therapist_id"], fixed={"trained": "training", "week": "week", "severity": "severity"},
            variances={"therapist_id: intercept": "therapist variance", "residual": "residual variance"},
            shares={"therapist_id": "therapist share"},
        )
    )  # fmt: skip
    fixed = [f for f in found if math.isfinite(f.std_error)]
    assert len(fixed) == 9
    assert all(abs(f.estimate - truth[f.target]) < 4 * f.std_error for f in fixed)
    assert {f.method for f in found if f.target == "therapist share"} == {"REML Satterthwaite", "ML normal"}
    shares = [f.estimate for f in found if f.target == "therapist share"]
    assert shares == pytest.approx([0.1, 0.1], abs=0.045)
    by_method = {f.method: f for f in fixed if f.target == "training"}
    assert by_method["REML CR2"].std_error != by_method["REML Satterthwaite"].std_error
    half = (by_method["ML normal"].ci_high - by_method["ML normal"].ci_low) / 2
    assert half == pytest.approx(1.959963984540054 * by_method["ML normal"].std_error)


def test_repairs_have_the_odds_they_say() -> None:
    data, truth = scenarios.repairs(
        np.random.default_rng(7), clients=4000, per_therapist=10, fewest=4, most=6, level=-0.5, week=0.6, trained=0.8,
        sd_client=0.0, sd_therapist=0.0,
    )  # fmt: skip
    assert truth["office"] == 0.0
    assert set(data.groupby("person_id").size()) == {4, 5, 6}
    assert data["therapist_id"].max() == 399
    share = data[data["tens"].between(0.85, 1.15)].groupby("trained")["repaired"].mean()
    odds = np.log(share / (1 - share))
    assert odds[1.0] - odds[0.0] == pytest.approx(0.8, abs=0.25)  # three errors with 3,000 ruptures
    plain = data[(data["trained"] == 0) & (data["tens"].between(0.95, 1.05))]["repaired"].mean()
    assert plain == pytest.approx(1 / (1 + math.exp(-0.1)), abs=0.06)  # log odds -.5 + .6


def test_pairs_have_the_mean_and_correlation_they_say() -> None:
    (scores, therapist), truth = scenarios.clustered_pairs(
        np.random.default_rng(8), therapists=8000, icc=0.3, correlation=0.4, fewest=2, most=2, skew=0.8
    )
    assert truth == {"mean": pytest.approx(0.471410, abs=1e-6), "correlation": 0.4}  # (exp(.32) - 1) / .8
    assert scores[:, 0].mean() == pytest.approx(0.4714, abs=0.06)
    assert np.corrcoef(scores[:, 1:].T)[0, 1] == pytest.approx(0.4, abs=0.03)
    first, other = scores[::2], scores[1::2]
    assert (therapist[::2] == therapist[1::2]).all()
    assert np.corrcoef(first[:, 1], other[:, 1])[0, 1] == pytest.approx(0.3, abs=0.04)
    assert np.corrcoef(first[:, 2], other[:, 2])[0, 1] == pytest.approx(0.3, abs=0.04)


def test_estimators_tell_each_target_of_their_scenario_by_each_method() -> None:
    rng = np.random.default_rng(9)
    sample = scenarios.clustered_pairs(rng, therapists=30, icc=0.1, correlation=0.4, fewest=4, most=9, skew=0.5)
    drawn = list(resampled(sample.data, methods=("percentile", "BCa"), replicates=199, seed=1))
    assert [(f.method, f.target) for f in drawn] == [(m, t) for m in ("percentile", "BCa") for t in ("mean", "correlation")]
    assert drawn == list(resampled(sample.data, methods=("percentile", "BCa"), replicates=199, seed=1))
    robust, naive = (list(sandwich(sample.data, by_therapist=by)) for by in (True, False))
    assert [f.estimate for f in robust] == pytest.approx([f.estimate for f in drawn[:2]])
    assert robust[0].ci_high - robust[0].ci_low > naive[0].ci_high - naive[0].ci_low
    ruptures = scenarios.repairs(
        rng, clients=160, per_therapist=8, fewest=3, most=8, level=0.3, week=0.4, trained=0.6, sd_client=1.0, sd_therapist=0.5
    )
    found = list(repair(ruptures.data, quadrature=1))
    assert [f.target for f in found] == list(ruptures.truth)
    assert all(abs(f.estimate - ruptures.truth[f.target]) < 4 * f.std_error for f in found[:4])
    assert all(f.estimate >= 0 and math.isnan(f.std_error) for f in found[4:])


# Pictures and files


@pytest.fixture(scope="module")
def results() -> tuple[RecoveryStudy, pd.DataFrame]:
    one = study(grid={"size": [4, 9], "mean": [0.0, 0.5]}, repetitions=20)
    return one, performance(run_study(one), one)


def figure(one: RecoveryStudy, **changes: Any) -> dict[str, Any]:
    plain = {"x": "size", "title": "A title", "methods": one.methods, "repetitions": 20, "columns": list(PANELS)}
    return {**plain, **changes}


def test_the_figure_has_a_row_a_target_and_parameter_and_a_column_a_measure(results: tuple[RecoveryStudy, pd.DataFrame]) -> None:
    drawing = draw(results[1], figure(results[0], parameters={"mean": "mean {:.1f}"}))
    assert len(drawing.figure.axes) == 2 * len(PANELS)
    titles = [ax.get_title(loc="left") for ax in drawing.figure.axes]
    assert [t for t in titles if t] == ["Mean, mean 0.0", "Mean, mean 0.5"]
    assert "20 repetitions a cell" in drawing.caption
    coverage = results[1].loc[results[1]["measure"] == "coverage", "value"]
    assert f"{100 * coverage.min():.1f}" in drawing.caption
    assert drawing.caption in drawing.alt
    shown = drawing.figure.axes[0].containers[0].lines[0].get_ydata()
    wanted = results[1].query("mean == 0 and measure == 'bias'")["value"]
    assert list(shown) == pytest.approx(list(wanted))


def test_the_figure_repeats_and_leaves_out_columns_without_results(results: tuple[RecoveryStudy, pd.DataFrame]) -> None:
    one, table = results
    fewer = table[table["measure"] != "coverage"]
    drawing = draw(fewer, figure(one, columns=["bias", "coverage", "rejection"]))
    assert len(drawing.figure.axes) == 4
    assert "Coverage" not in drawing.caption
    texts = {svg_text(draw(table, figure(one))) for _ in range(2)}
    assert len(texts) == 1


def test_a_figure_of_no_result_is_refused(results: tuple[RecoveryStudy, pd.DataFrame]) -> None:
    with pytest.raises(NothingToDraw, match="none of the wanted targets has a result"):
        draw(results[1], figure(results[0], targets={"men": "Men"}))


def test_first_findings_hold_twelve_digits_and_no_nan() -> None:
    rows = rows_of([1 / 3, 2.0], [math.nan, 1.0], truth=1.0)
    first = first_findings(rows, study(), 1)
    assert [f["estimate"] for f in first] == [0.333333333333]
    assert first[0]["cell"] == {"size": 4}
    assert first[0]["std_error"] is None
