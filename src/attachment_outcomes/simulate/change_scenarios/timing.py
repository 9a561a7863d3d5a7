"""Data of known truth about when people improve, and the estimators of timing as recovery studies call them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.change.gain_criteria import Rule, find_gains
from attachment_outcomes.change.gain_noise import correlations, expected_gains
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.survival.curves import kaplan_meier
from attachment_outcomes.inference.survival.interval_censored import turnbull_curve
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
TOLD = (8.0, 26.0, 52.0)  # weeks at which the share is a target


class Visits(NamedTuple):
    """Ends of intervals by planned time, and by the time at which people really came."""

    left: Numbers
    right: Numbers
    real_left: Numbers
    real_right: Numbers


def visited_times(
    rng: np.random.Generator, *, clients: int, missed: float, scatter: float, improving: float, mean_weeks: float,
    visits: Sequence[float],
) -> Sample:  # fmt: skip
    r"""Draw times of lasting improvement that is seen at visits only: some missed, and scattered around the planned week.

    A share ``improving`` improves, at :math:`T \sim Exp(mean\_weeks)`; visit j is at
    :math:`v_j + scatter \cdot u, u \sim U(-1, 1)`, and missed with probability ``missed``. Targets: the
    shares improved by weeks 8, 26 and 52.
    """
    planned = np.asarray(visits, dtype=float)
    improves = rng.random(clients) < improving
    time = np.where(improves, -mean_weeks * np.log1p(-rng.random(clients)), np.inf)
    real = planned + scatter * (2 * rng.random((clients, len(planned))) - 1)
    came = rng.random(real.shape) >= missed
    shown = came & (real >= time[:, None])
    before = came & (real < time[:, None])

    def ends(at: Numbers) -> tuple[Numbers, Numbers]:
        return np.where(before, at, 0.0).max(axis=1), np.where(shown, at, np.inf).min(axis=1)

    truth = {f"by week {t:g}": float(improving * (1 - np.exp(-t / mean_weeks))) for t in TOLD}
    return Sample(Visits(*ends(np.broadcast_to(planned, real.shape)), *ends(real)), truth)


def improved_by(data: Visits, *, methods: Sequence[str], replicates: int, seed: int) -> Iterator[Finding]:
    """Estimate the shares by ``planned`` and ``actual`` (Kaplan-Meier at such times, without interval) and ``turnbull``."""
    for method in methods:
        if method == "turnbull":
            curve = turnbull_curve(data.left, data.right, times=TOLD, rng=np.random.default_rng(seed), replicates=replicates)
            for i, t in enumerate(TOLD):
                yield Finding(
                    f"by week {t:g}", float(curve.estimate[i]), float(curve.std_error[i]), float(curve.ci_low[i]),
                    float(curve.ci_high[i]), converged=curve.fit.converged, method=method,
                )  # fmt: skip
            continue
        left, right = (data.left, data.right) if method == "planned" else (data.real_left, data.real_right)
        event = np.isfinite(right)
        # Everybody who came to the visit around a week is in by four weeks after it.
        table = kaplan_meier(np.where(event, right, left), event).at(np.array(TOLD) + (0.0 if method == "planned" else 4.0))
        for t, estimate in zip(TOLD, table["estimate"].to_numpy(dtype=float), strict=True):
            yield Finding(f"by week {t:g}", 1 - estimate, method=method)


class Jumps(NamedTuple):
    """Series (people, sessions), and the interval of each person's jump (-1: none)."""

    values: Numbers
    at: NDArray[np.int64]


def jumps(
    rng: np.random.Generator, *, people: int, sessions: int, share: float, size: float, rho: float, level: float, slope: float,
    noise: float, missing: float,
) -> Sample:  # fmt: skip
    r"""Draw symptoms by session: a line with autocorrelated noise, and in a share of people one lasting drop of ``size`` points.

    .. math:: x_{it} = level + slope \cdot t - size \cdot 1[t > j_i] + e_{it}, \quad e_i \sim AR(1, \rho)\ \text{of SD noise}

    rounded, and none below 0; scores are missing with probability ``missing``. Targets: ``found`` (the share of
    jumps found, truth 1), ``found without jump`` (people without a jump who show a gain, truth 0), ``expected minus found`` (the
    expectation minus that share, truth 0 without jumps).
    """
    steps = np.arange(sessions)
    at = np.where(np.arange(people) < round(share * people), 2 + np.floor(rng.random(people) * (sessions - 5)).astype(np.int64), -1)
    wave = normals(rng, people, sessions) @ np.linalg.cholesky(correlations(rho, steps)).T
    fall = size * ((at[:, None] >= 0) & (steps > at[:, None]))
    values = np.maximum(np.round(level + slope * steps - fall + noise * wave), 0.0)
    values[rng.random(values.shape) < missing] = np.nan
    return Sample(Jumps(values, at), {"found": 1.0, "found without jump": 0.0, "expected minus found": 0.0})


def gains_found(
    data: Jumps, *, methods: Sequence[str], cutoff: float, replicates: int, expect: str, seed: int
) -> Iterator[Finding]:  # fmt: skip
    """Search for gains by sets of criteria: ``published``, ``student``, ``first two`` and ``first``; expectation for ``expect``."""
    rules = {
        "published": Rule(cutoff=cutoff), "student": Rule(cutoff=cutoff, third="student"),
        "first two": Rule(cutoff=cutoff, third=None), "first": Rule(cutoff=cutoff, third=None, percent=None),
    }  # fmt: skip
    planted = np.flatnonzero(data.at >= 0)
    free = data.at < 0
    for method in methods:
        rule = rules[method]
        found = find_gains(data.values, rule)
        judged = found.available[planted, data.at[planted]]
        if judged.any():
            p = proportion(found.gain[planted, data.at[planted]][judged])
            yield Finding("found", p.estimate, method=method)
        p = proportion(found.gain[free].any(axis=1))
        yield Finding("found without jump", p.estimate, method=method)
        if method == expect:

            def judge(y: Numbers, rule: Rule = rule) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
                again = find_gains(y, rule)
                return again.gain, again.available

            expected = expected_gains(data.values, judge, rng=np.random.default_rng(seed), minimum=0.0, replicates=replicates)
            if expected is not None:
                yield Finding("expected minus found", expected.share - p.estimate, method=method)
