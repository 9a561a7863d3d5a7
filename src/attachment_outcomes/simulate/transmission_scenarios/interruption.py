"""Treated and untreated parents whose children are secure with known chances; and what a comparison of arms says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.simulate.draws import Flags, normals, order
from attachment_outcomes.simulate.recovery.study import Finding, Sample
from attachment_outcomes.transmission.interruption import functioning_change, interrupted_transmission

Key = tuple[str, str]
OF_INSECURE, OF_SECURE = 0.35, 0.70  # chance of a secure child without treatment
PER_POINT = 0.06  # of the change in reflective functioning
OF_CIRCUMSTANCE = 0.10  # chance for each SD of what decides who is treated, where that is not lot
SIBLINGS_ALIKE = 0.3  # share of second children who have the first one's class
RANDOMISED, CONFOUNDED, ERROR, SIBLINGS = "randomised", "confounded", "interview error", "siblings"
OURS, WALD, INDEPENDENT = "library", "Wald", "pairs independent"
TARGETS = {
    ("child_secure_difference", "parent insecure"): "difference",
    ("interaction_risk_difference", ""): "interaction",
    ("interaction_odds_ratio", ""): "log odds ratio",
    ("fraction_interrupted", ""): "fraction interrupted",
}


def arms(
    rng: np.random.Generator, *, per_arm: int, effect: float, situation: str, insecure: float, agreement: float, rating_error: float
) -> Sample:
    r"""Parents in two arms of ``per_arm``, with one child each, or two (``siblings``).

    A child is secure with the chance

    .. math:: p = .35\ (\text{parent insecure}) \text{ or } .70 + \delta\,treated \cdot insecure + .06\,d

    with d the change in reflective functioning, standard normal and the same in both arms. Arms are allotted at random; or
    (``confounded``) go to parents in better circumstances, which add .10 for each SD to the chance in both classes; or (``interview
    error``) classes before and after are read with the given ``agreement`` (kappa of a reading with the truth) and reflective
    functioning with an error of SD ``rating_error``. Of two siblings the second has the class of the first in three of ten
    families.

    Targets: ``difference`` of children of insecure parents and ``interaction``, both :math:`\delta`; ``log odds ratio`` of the
    interaction; ``fraction interrupted`` :math:`\delta/.65`; ``functioning``, .06 a point.
    """
    n = 2 * per_arm
    circumstance = normals(rng, n)
    treated: Flags = order(rng, n) < per_arm
    if situation == CONFOUNDED:
        treated = np.argsort(np.argsort(circumstance + normals(rng, n), kind="stable"), kind="stable") >= per_arm
    own: Flags = rng.random(n) < insecure
    change, level = normals(rng, n), 3 + normals(rng, n)
    chance = np.where(own, OF_INSECURE + effect * treated, OF_SECURE) + PER_POINT * change
    chance = np.clip(chance + OF_CIRCUMSTANCE * circumstance * (situation == CONFOUNDED), 0.02, 0.98)
    secure = rng.random(n) < chance
    family = np.arange(n)
    after = own
    seen_before, seen_after = own, after
    ratings = level, level + change
    if situation == ERROR:
        seen_before, seen_after = (np.where(rng.random(n) < agreement, own, rng.random(n) < insecure) for _ in range(2))
        ratings = ratings[0] + rating_error * normals(rng, n), ratings[1] + rating_error * normals(rng, n)
    frame = pd.DataFrame(
        {
            "arm": np.where(treated, "treated", "comparison"),
            "before": _words(~seen_before),
            "after": _words(~seen_after),
            "child": _words(secure),
            "cluster": family,
            "functioning_before": ratings[0],
            "functioning_after": ratings[1],
        }
    )
    if situation == SIBLINGS:
        second = np.where(rng.random(n) < SIBLINGS_ALIKE, secure, rng.random(n) < chance)
        frame = pd.concat([frame, frame.assign(child=_words(second))], ignore_index=True)
    truth = {
        "difference": effect,
        "interaction": effect,
        "log odds ratio": float(logit(OF_INSECURE + effect) - logit(OF_INSECURE)),
        "fraction interrupted": effect / (1 - OF_INSECURE),
        "functioning": PER_POINT,
    }
    return Sample(frame, truth)


def _words(secure: Flags) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.where(secure, "secure", "insecure")


def compared(data: pd.DataFrame, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Tell what the library says of the arms, and what Wald's intervals or intervals for independent pairs would say."""
    for method in methods:
        frame = data.drop(columns="cluster") if method == INDEPENDENT else data
        if method == WALD:
            yield from _wald(frame)
            continue
        for row in interrupted_transmission(frame):
            target = TARGETS.get((row.estimand, row.group))
            if target is not None:
                yield _finding(row, target, method)


def change_in_functioning(data: pd.DataFrame) -> Iterator[Finding]:
    """Tell the share of secure children for each point of change among parents whose class is the same."""
    try:
        rows = functioning_change(data)
    except StatisticsError:
        yield Finding("functioning", math.nan)
        return
    row = next(r for r in rows if r.estimand == "functioning_change_per_point")
    yield Finding("functioning", row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value)


def _finding(row: Estimate, target: str, method: str) -> Finding:
    """Return an estimate as a finding; an interval without a p value tests by whether it holds no difference."""
    values = row.estimate, row.ci_low, row.ci_high
    if target == "log odds ratio":
        values = tuple(math.log(v) for v in values)  # type: ignore[assignment]
    low = -math.inf if math.isnan(values[1]) and math.isfinite(values[2]) else values[1]
    p = 1.0 if low <= 0 <= values[2] else 0.0
    return Finding(target, values[0], row.std_error, low, values[2], p, method=method)


def _wald(frame: pd.DataFrame) -> Iterator[Finding]:
    """Tell differences with the errors of normal theory."""
    secure = frame["child"] == "secure"
    cells = secure.groupby([frame["arm"], frame["before"]]).agg(["mean", "size"])
    share, n = cells["mean"].to_dict(), cells["size"].to_dict()
    keys = [(a, b) for b in ("insecure", "secure") for a in ("treated", "comparison")]
    if any(k not in share for k in keys):
        return
    variance = {k: share[k] * (1 - share[k]) / n[k] for k in keys}
    for target, weights in (("difference", (1, -1, 0, 0)), ("interaction", (1, -1, -1, 1))):
        yield _normal(target, dict(zip(keys, weights, strict=True)), share, variance)  # type: ignore[arg-type]  # keys of pandas


def _normal(target: str, weights: Mapping[Key, int], share: Mapping[Key, float], variance: Mapping[Key, float]) -> Finding:
    estimate = sum(w * share[k] for k, w in weights.items())
    error = math.sqrt(sum(w**2 * variance[k] for k, w in weights.items()))
    half = critical(0.95) * error
    return Finding(target, estimate, error, estimate - half, estimate + half, float(abs(estimate) <= half), method=WALD)
