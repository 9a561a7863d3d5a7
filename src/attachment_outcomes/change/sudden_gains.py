"""Sudden gains of a study: how many, how large, how lasting, and how many there would be without any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.change.gain_criteria import (
    ALPHA,
    LEAST,
    PERCENT,
    Flags,
    Numbers,
    Rule,
    cutoff_from,
    describe_gains,
    find_gains,
    gain_profile,
    interval_counts,
    wide_series,
)
from attachment_outcomes.change.gain_noise import expected_gains
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.errors import AttachmentOutcomesError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import reliability_of, scale_of
from attachment_outcomes.inference.proportions import cluster_codes, proportion, robust_variance
from attachment_outcomes.inference.steps import Part, stacked, typed_table

ANALYSIS = "sudden_gains"
TABLES = {
    "sudden_gains": {
        "outcome": "str", "interval": "str", "session": "int64", "n_gains": "int64", "n_losses": "int64", "n_available": "int64",
    },
    "sudden_gain_profile": {
        "outcome": "str", "offset": "int64", "mean": "float64", "ci_low": "float64", "ci_high": "float64", "n": "int64",
    },
}  # fmt: skip


def analyse(data: ChangeData) -> Part:
    """Return counts, profile and shares of sudden gains in the series that ``change.sudden_gains`` names."""
    settings = data.settings.get("sudden_gains") or {}
    empty = {name: typed_table([], columns) for name, columns in TABLES.items()}
    if not settings.get("series"):
        reason = "no session-by-session series is named (change.sudden_gains.series)"
        return Part([not_testable(ANALYSIS, reason)], empty)
    name = str(settings["series"])
    try:
        return _analyse(data, settings, name)
    except AttachmentOutcomesError as error:
        return Part([not_testable(ANALYSIS, str(error), outcome=name)], empty)


def _analyse(data: ChangeData, settings: Mapping[str, Any], name: str) -> Part:
    scale = scale_of(name, data.instruments) if "." in name else {}
    direction = str(settings.get("direction") or scale.get("direction") or "")
    if direction not in ("higher is better", "higher is worse"):
        raise StatisticsError(f"it is not said which way {name} is better (change.sudden_gains.direction)")
    higher = direction == "higher is better"
    series = data.series(name, str(settings.get("rater", "self")))
    from_session = int(settings.get("from_session", 0))
    sessions = series[(series["session_number"] >= from_session).to_numpy(dtype=bool)].reset_index(drop=True)
    data.flow.add(
        f"sudden gains, {name}: from session {from_session} on", len(series), len(sessions), "before the first session that counts",
        unit="sessions",
    )  # fmt: skip
    wide = wide_series(sessions)
    if wide.shape[1] < LEAST + 2:
        raise StatisticsError("a series needs at least four sessions")
    rule, told = _rule(settings, scale, wide)
    minimum = float(settings.get("minimum", (scale.get("range") or [0.0])[0]))
    x = wide.to_numpy()
    found = find_gains(x, rule, higher_is_better=higher, minimum=minimum)
    assessed = found.available.any(axis=1)
    data.flow.add(
        f"sudden gains, {name}: an interval that can be judged", len(x), int(assessed.sum()),
        "too few sessions with a score in a row", unit="people",
    )  # fmt: skip
    if not assessed.any():
        raise StatisticsError("nobody has an interval with scores on both sides and two of three sessions around it")
    kind = (
        "Tang & DeRubeis" if (rule.third, rule.percent, rule.first_session) == ("published", PERCENT, False) else "other criteria"
    )
    base = Estimate(
        analysis=ANALYSIS, estimand="", estimate=math.nan, outcome=name, ci_level=data.ci_level, method=kind, note=told,
        n=float(assessed.sum()),
    )  # fmt: skip
    therapists = data.therapists_of(pd.Series(wide.index))
    of = np.arange(len(x)) if therapists is None else therapists.to_numpy()
    rows = [
        _share(replace(base, estimand=estimand), flags[assessed].any(axis=1), None if therapists is None else of[assessed])
        for estimand, flags in (("share_with_gain", found.gain), ("share_with_loss", found.loss))
    ]

    def judge(y: Numbers) -> tuple[Flags, Flags]:
        again = find_gains(y, rule, higher_is_better=higher, minimum=minimum)
        return again.gain, again.available

    maximum = settings.get("maximum", (scale.get("range") or [None, None])[1])
    expected = expected_gains(x[assessed], judge, minimum=minimum, maximum=maximum, rng=data.rng(ANALYSIS, name))
    if expected is None:
        rows.append(not_testable(ANALYSIS, "expected without gains: nobody has four scores", outcome=name))
    else:
        made = replace(
            base, n=float(expected.people), method=f"simulated trend and AR(1), {expected.replicates} replicates",
            note=f"people's own straight lines and SDs, lag-1 autocorrelation {expected.rho:.2f}; Monte-Carlo error only",
        )  # fmt: skip
        rows.append(
            _simulated(replace(made, estimand="expected_without_gains", unit="proportion"), expected.share, expected.share_error)
        )
        made = replace(made, estimand="expected_gains_per_100_intervals", unit="per 100 intervals")
        rows.append(_simulated(made, 100 * expected.rate, 100 * expected.rate_error))
    intervals = int(found.available.sum())
    rate = 100 * float(found.gain.sum()) / intervals
    note = f"{intervals} intervals; {told}"
    rows.append(replace(base, estimand="gains_per_100_intervals", estimate=rate, unit="per 100 intervals", note=note))
    gains = describe_gains(x, found.gain, higher_is_better=higher)
    if len(gains):
        rows += _sizes(base, gains, of[gains["row"]])
    counts = interval_counts(found, wide.columns).assign(outcome=name)
    profile = gain_profile(x, found.gain, clusters=of, ci_level=data.ci_level).assign(outcome=name)
    return Part(
        rows,
        {
            "sudden_gains": stacked([counts], TABLES["sudden_gains"], ["outcome", "session"]),
            "sudden_gain_profile": stacked([profile] if len(gains) else [], TABLES["sudden_gain_profile"], ["outcome", "offset"]),
        },
    )


def _share(row: Estimate, flags: ArrayLike, clusters: ArrayLike | None) -> Estimate:
    p = proportion(flags, clusters=clusters, ci_level=row.ci_level)
    return replace(
        row, estimate=p.estimate, std_error=p.std_error, ci_low=p.ci_low, ci_high=p.ci_high, n=float(p.n), n_clusters=p.n_clusters,
        unit="proportion", method=f"{row.method}, {p.method}", note="; ".join(filter(None, [row.note, p.note])),
    )  # fmt: skip


def _simulated(row: Estimate, value: float, error: float) -> Estimate:
    half = float(norm.ppf(0.5 + row.ci_level / 2)) * error
    return replace(row, estimate=value, std_error=error, ci_low=max(value - half, 0.0), ci_high=value + half)


def _sizes(base: Estimate, gains: pd.DataFrame, of: ArrayLike) -> list[Estimate]:
    """Return the mean magnitude and the share reversed; a person's (or a therapist's) gains are one cluster."""
    own = gains["magnitude"].to_numpy(dtype=float)
    codes = cluster_codes(np.asarray(of), n=len(own))
    size = replace(
        base, estimand="mean_magnitude", estimate=float(own.mean()), n=float(gains["row"].nunique()), unit="score points",
        direction="higher is better", note=f"{len(own)} gains; n is people with a gain",
    )  # fmt: skip
    if codes.max() > 0:
        variance, df = robust_variance(own - own.mean(), codes)
        half = float(student.ppf(0.5 + base.ci_level / 2, df)) * math.sqrt(variance)
        size = replace(
            size, std_error=math.sqrt(variance), ci_low=size.estimate - half, ci_high=size.estimate + half,
            n_clusters=float(codes.max() + 1),
        )  # fmt: skip
    reversed_ = _share(replace(base, estimand="share_reversed", note="n is gains, not people"), gains["reversed"], codes)
    return [size, reversed_]


def _rule(settings: Mapping[str, Any], scale: Mapping[str, Any], wide: pd.DataFrame) -> tuple[Rule, str]:
    """Return the rule, and in words where its cutoff is from."""
    cutoff, told = settings.get("cutoff"), "cutoff given"
    if cutoff is None:
        reliability, source = reliability_of(settings, scale)
        if reliability is None:
            raise StatisticsError("no cutoff, and no reliability to make one of (change.sudden_gains)")
        sd = settings.get("sd")
        if sd is None:
            first = wide.bfill(axis=1).iloc[:, 0].dropna()
            sd = float(first.std(ddof=1)) if len(first) > 1 else math.nan
            source += f", SD {sd:.3g} of people's first scores here"
        cutoff = cutoff_from(sd=float(sd), reliability=reliability, alpha=float(settings.get("alpha", ALPHA)))
        told = f"cutoff from {source}"
    third = settings.get("third", "published")
    return Rule(
        cutoff=float(cutoff), percent=settings.get("percent", PERCENT), third=None if third == "none" else third,
        alpha=float(settings.get("alpha", ALPHA)), first_session=bool(settings.get("first_session", False)),
        settle=bool(settings.get("settle", False)),
    ), f"{told}: {float(cutoff):.3g} points"  # fmt: skip
