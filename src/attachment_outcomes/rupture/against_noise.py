"""Do people show more ruptures, and repair more of them, than series in which nothing happens?

The difference is what counts: a criterion that finds as much in noise as in people says nothing of people.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import t as student

from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import cluster_codes, robust_variance
from attachment_outcomes.rupture.noise import OnNoise, noise_rows
from attachment_outcomes.rupture.series import Flags, Numbers, Whole
from attachment_outcomes.rupture.summary import PREVALENCE

REPAIRED = "repaired_above_noise"
MIN_RUPTURES = 10  # whose end is known: with fewer a share has no interval worth the name
CAVEAT = "SDs and autocorrelation of the noise are those of these data, real ruptures included: if anything it is too lively"


@dataclass(frozen=True)
class _Ratio:
    """A ratio of two sums over clients, observed and in noise (the mean over replicates)."""

    top: Numbers
    bottom: Numbers
    noise_top: Numbers
    noise_bottom: Numbers


def above_noise(
    clients: pd.DataFrame, noise: OnNoise, *, outcome: str = "", group: str = "", ci_level: float = CI_LEVEL
) -> Iterator[Estimate]:
    r"""Yield what is found in people less what is found in noise: share with a rupture, ruptures per session, share repaired.

    .. math:: D = \frac{\sum y_i}{\sum x_i} - \frac{\sum \tilde y_i}{\sum \tilde x_i}, \qquad
        u_i = \frac{y_i - R x_i}{\bar x} - \frac{\tilde y_i - \tilde R \tilde x_i}{\bar{\tilde x}}

    where :math:`\tilde y_i` is the mean over the simulated series of the same client. The interval is by the influence values u,
    summed by person, t on G − 1 df, with the Monte-Carlo variance of the noise added. That a client with more sessions has more
    occasions is in both parts, so it does not widen the interval.

    Parameters
    ----------
    clients : frame
        As :func:`.summary.client_summary` returns it.
    noise : OnNoise
        What the same criterion finds in noise.
    outcome, group : str
        Name of the alliance score; the kind of noise.
    ci_level : float
        Confidence level.

    Returns
    -------
    Estimates
        Analysis ``rupture_prevalence``: ``share_above_noise``, ``rate_above_noise``, ``repaired_above_noise``, above 0 where people
        show more than noise. A difference of shares is a proportion: 0.1 is ten points. Of repairs there is none, and a
        reason, where the end of fewer than ten ruptures is known.
    """
    known = clients["n_ruptures"].notna().to_numpy(dtype=bool)
    simulated = np.zeros(len(clients), dtype=bool)
    simulated[noise.chosen[noise.assessable.any(axis=0)]] = True
    codes = cluster_codes(clients["client"][known].to_numpy())
    if codes.max(initial=-1) < 1:
        return
    definition, primary = str(clients["criterion"].iloc[0]), bool(clients["primary"].all()) and not group
    found = {r.estimand: r for r in noise_rows(noise, definition, ci_level=ci_level)}
    for estimand, unit, of_noise, parts in _ratios(clients[known], noise, (known & simulated)[noise.chosen]):
        row = found.get(of_noise)
        if row is None:
            continue
        if estimand == REPAIRED and parts.bottom.sum() < MIN_RUPTURES:
            reason = f"repairs above noise: the end of {parts.bottom.sum():.0f} ruptures is known; at least {MIN_RUPTURES} needed"
            yield replace(not_testable(PREVALENCE, reason, outcome=outcome), definition=definition, group=group)
            continue
        own, made = _influence(parts.top, parts.bottom), _influence(parts.noise_top, parts.noise_bottom)
        if np.array_equal(known, known & simulated):
            variance, df = robust_variance(own - made, codes)
        else:  # a part of the clients is simulated: the two parts are taken as unrelated, which is on the careful side
            variance, df = robust_variance(own, codes)
            variance += robust_variance(made, cluster_codes(clients["client"][known & simulated].to_numpy()))[0]
        share = float(parts.top.sum() / parts.bottom.sum())
        value, error = share - row.estimate, math.sqrt(variance + row.std_error**2)
        half = float(student.ppf(0.5 + ci_level / 2, df)) * error
        low, high, p_value, note = value - half, value + half, _p_value(value, error, df), CAVEAT
        if unit == "proportion" and share in (0.0, 1.0):
            limits = wilson(parts.top.sum(), parts.bottom.sum(), ci_level=ci_level)
            low, high, p_value = limits.ci_low - row.estimate, limits.ci_high - row.estimate, math.nan
            note = f"all alike in the data: Wilson limits less the noise; {note}"
        yield Estimate(
            analysis=PREVALENCE, estimand=estimand, outcome=outcome, group=group, definition=definition, primary=primary,
            estimate=value, std_error=error, ci_low=low, ci_high=high, ci_level=ci_level, p_value=p_value, n=float(len(own)),
            n_clusters=df + 1, unit=unit, method="observed minus noise, by client", note=note,
        )  # fmt: skip


def _ratios(clients: pd.DataFrame, noise: OnNoise, used: Flags) -> Iterator[tuple[str, str, str, _Ratio]]:
    """Yield each difference with its unit, the estimand of its noise, and what it is a ratio of."""
    columns = ("n_ruptures", "n_repaired", "n_unrepaired", "n_sessions")
    ruptures, repaired, unrepaired, sessions = (clients[c].to_numpy(dtype=float) for c in columns)
    counted = noise.assessable.mean(axis=0)[used]

    def mean(counts: Whole | Flags) -> Numbers:
        return np.asarray(counts.mean(axis=0)[used], dtype=np.float64)

    ruptured = _Ratio((ruptures > 0).astype(float), np.ones(len(clients)), mean(noise.ruptures > 0), counted)
    yield "share_above_noise", "proportion", "expected_on_noise", ruptured
    rate = _Ratio(ruptures, sessions, mean(noise.ruptures), counted * noise.sessions[used])
    yield "rate_above_noise", "ruptures per session", "noise_rate_per_session", rate
    ends = _Ratio(repaired, repaired + unrepaired, mean(noise.repaired), mean(noise.told))
    yield REPAIRED, "proportion", "noise_share_repaired", ends


def _influence(top: Numbers, bottom: Numbers) -> Numbers:
    """Return the influence values of a ratio of sums."""
    return np.asarray((top - top.sum() / bottom.sum() * bottom) / bottom.mean(), dtype=np.float64)


def _p_value(value: float, error: float, df: float) -> float:
    return float(2 * student.sf(abs(value) / error, df)) if error > 0 else math.nan
