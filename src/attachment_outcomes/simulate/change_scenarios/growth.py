"""Growth of clients within therapists, with drop-out: change, Feingold's d, therapists' shares, and two arms that do not differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from attachment_outcomes.change.growth.comparison import compare_courses
from attachment_outcomes.change.growth.curve import growth_curve
from attachment_outcomes.change.growth.effect_size import feingold_d
from attachment_outcomes.change.growth.therapist_rows import therapist_effects
from attachment_outcomes.flow import Flow
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

KNOWN, ESTIMATED = "SD known", "SD estimated"


def therapist_growth(
    rng: np.random.Generator,
    *,
    therapists: int,
    share: float,
    fewest: int,
    most: int,
    waves: int,
    intercept: float,
    slope: float,
    sd_intercept: float,
    sd_slope: float,
    correlation: float,
    sd_residual: float,
    dropout: float,
    steepness: float,
) -> Sample:
    r"""Scores of clients over the waves, clients within therapists who differ in levels and slopes, in two arms that do not differ.

    .. math:: y_{jit} = \beta_0 + w_{0j} + u_{0ji} + (\beta_1 + w_{1j} + u_{1ji})\,t + e_{jit}, \quad t = 0, 1, \dots

    ``sd_intercept`` and ``sd_slope`` are those of levels and slopes in all; ``share`` of both variances lies between therapists.
    Every second client is in the second arm. After each wave a client leaves with probability ``expit(dropout + steepness * z)``,
    z the score just seen in SDs of the first wave: missing at random. Targets: ``change`` from first to last wave, ``d`` (over the
    SD of the first wave's scores), ``share of levels`` (of all variance at the first wave), ``share of slopes``, ``difference`` of
    the arms' slopes and ``d of arms`` (both 0).
    """
    per = np.floor(fewest + (most + 1 - fewest) * rng.random(therapists)).astype(np.int64)
    of = np.repeat(np.arange(therapists), per)
    clients = len(of)

    def pair(n: int, part: float) -> tuple[np.ndarray, np.ndarray]:
        draws = normals(rng, 2, n)
        second = correlation * draws[0] + np.sqrt(1 - correlation**2) * draws[1]
        return np.sqrt(part) * sd_intercept * draws[0], np.sqrt(part) * sd_slope * second

    w, u = pair(therapists, share), pair(clients, 1 - share)
    time = np.arange(waves, dtype=float)
    own = intercept + w[0][of] + u[0], slope + w[1][of] + u[1]
    score = own[0][:, None] + own[1][:, None] * time + sd_residual * normals(rng, clients, waves)
    sd = float(np.hypot(sd_intercept, sd_residual))
    leaves = rng.random((clients, waves)) < expit(dropout + steepness * (score - intercept) / sd)
    client, wave = np.nonzero(np.cumsum(leaves, axis=1) - leaves == 0)
    data = pd.DataFrame(
        {
            "person_id": pd.Series(client).astype("str"), "occasion": wave, "time": time[wave], "value": score[client, wave],
            "therapist_id": of[client], "arm": np.where(client % 2, "second", "first"),
        }
    )  # fmt: skip
    change = slope * (waves - 1)
    truth = {
        "change": change, "d": change / sd, "share of levels": share * sd_intercept**2 / sd**2, "share of slopes": share,
        "difference": 0.0, "d of arms": 0.0,
    }  # fmt: skip
    return Sample(data, truth)


def growth_findings(data: pd.DataFrame, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Fit a straight line with therapists and tell the targets of :func:`therapist_growth`.

    d is told by the ``methods`` ``SD estimated`` and ``SD known`` (before treatment); all else by the first of these.
    """
    people = data.drop_duplicates("person_id").set_index("person_id")
    found = growth_curve(
        data, outcome="score", time_unit="wave", end=float(data["time"].max()), shape="linear", therapists=people["therapist_id"]
    )
    course = found.course
    if course is None:
        return
    of = {r.estimand: r for r in found.estimates}
    arms, _ = compare_courses(course, people["arm"], name="arm", outcome="score", time_unit="wave")
    pairs = {r.estimand: r for r in arms if " - " in r.group}
    none = pd.DataFrame({"person_id": [], "pre": [], "post": []})
    shares, _ = therapist_effects(course, none, people["therapist_id"], outcome="score", fewest=2, flow=Flow())
    by_share = {r.estimand: r for r in shares}
    told = {
        "change": of["change_to_end"], "d": of["feingold_d"], "difference": pairs["slope_difference"],
        "d of arms": pairs["feingold_d"], "share of levels": by_share["share_intercept"],
        "share of slopes": by_share["share_slope"],
    }  # fmt: skip
    for target, row in told.items():
        yield Finding(
            target, row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value, course.fit.converged, course.fit.singular,
            ESTIMATED,
        )  # fmt: skip
    if KNOWN not in methods:
        return
    weights = np.array([[0.0, course.end - course.start]])
    change, first = of["change_to_end"], (data["occasion"] == 0).to_numpy()
    known = feingold_d(
        change.estimate, change.std_error, data["value"][first], df=float(course.fit.uncertainty.df(weights)[0]), sd_estimated=False
    )
    yield Finding(
        "d", known.estimate, known.std_error, known.ci_low, known.ci_high, known.p_value, course.fit.converged, course.fit.singular,
        KNOWN,
    )  # fmt: skip
