"""Clients of whom nobody, or everybody, truly changed: how often does each rule of individual change call them improved?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from attachment_outcomes.inference.individual_change.controls import regression_norm, retest_norm
from attachment_outcomes.inference.individual_change.methods import ALPHA, METHODS, expected_improved
from attachment_outcomes.inference.individual_change.reliable import setting_from, statistic_and_code
from attachment_outcomes.simulate.draws import SMALLEST, normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
NORMAL, SKEWED, FLOOR, SELECTED = CASES = ("normal", "skewed", "floor", "selected")
SHAPE = 4  # of the gamma numbers: a skewness of 1
ABOVE = 0.5  # SDs above the mean, from which the selected are taken: three in ten
CANDIDATES = 5  # for each of the selected; enough but for one sample of 200 in more than a billion
REFERENCE = ", reference"  # behind a case: mean and SD are the population's


@dataclass(frozen=True, kw_only=True)
class Treated:
    """Scores of the treated and of an untreated control sample (higher is worse), and what is known of the population."""

    pre: Numbers
    post: Numbers
    control_pre: Numbers
    control_post: Numbers
    mean: float
    sd: float
    reliability: float
    change: float


def _gammas(rng: np.random.Generator, *shape: int) -> Numbers:
    """Return gamma numbers, as sums of exponential ones."""
    uniform = np.clip(rng.random((SHAPE, *shape)), SMALLEST, 1.0)
    return np.asarray(-np.log(uniform).sum(axis=0), dtype=np.float64)


def _twice(rng: np.random.Generator, n: int, case: str, mean: float, sd: float, reliability: float) -> tuple[Numbers, Numbers]:
    """Return two scores a person without true change."""
    of_true, of_error = sd * math.sqrt(reliability), sd * math.sqrt(1 - reliability)
    if case == FLOOR:
        gamma = _gammas(rng, n)
        true = mean + of_true * (gamma - SHAPE) / math.sqrt(SHAPE)
        errors = of_error * gamma / math.sqrt(SHAPE * (SHAPE + 1)) * normals(rng, 2, n)
    else:
        true = mean + of_true * normals(rng, n)
        z = (_gammas(rng, 2, n) - SHAPE) / math.sqrt(SHAPE) if case == SKEWED else normals(rng, 2, n)
        errors = of_error * z
    return true + errors[0], true + errors[1]


def _sample(rng: np.random.Generator, n: int, case: str, mean: float, sd: float, reliability: float) -> tuple[Numbers, Numbers]:
    if case != SELECTED:
        return _twice(rng, n, case, mean, sd, reliability)
    first, second = _twice(rng, CANDIDATES * n, NORMAL, mean, sd, reliability)
    chosen = np.flatnonzero(first > mean + ABOVE * sd)[:n]
    return first[chosen], second[chosen]


def no_change(
    rng: np.random.Generator, *, clients: int, reliability: float, mean: float, sd: float, change: float, rules: Sequence[str]
) -> Sample:
    r"""Make scores before and after of clients of whom nobody truly changes, in four cases, each with untreated controls.

    .. math:: x_1 = T + e_1, \quad x_2 = T + e_2, \quad \mathrm{Var}(T) = r\sigma^2, \ \mathrm{Var}(e) = (1 - r)\sigma^2

    ``normal``; ``skewed`` errors (skewness 1, towards worse); ``floor``, where true scores are skewed (1) and the error falls to
    nothing at their lowest; ``selected``, clients whose score before is more than half an SD above the mean. As many controls
    are measured twice, chosen alike. Targets, of each rule: the share improved, ``JT``, whose truth is the nominal
    :math:`\alpha/2`; its distance from what theory expects, ``JT less theory`` (0); and the share improved after everybody's true
    score fell by ``change``, ``JT, changed``, whose truth is the power of Jacobson and Truax' rule,
    :math:`\Phi(\delta/(\sigma\sqrt{2(1-r)}) - z)`, for every rule.
    """
    data = {}
    for case in CASES:
        pre, post = _sample(rng, clients, case, mean, sd, reliability)
        control_pre, control_post = _sample(rng, clients, case, mean, sd, reliability)
        data[case] = Treated(
            pre=pre, post=post, control_pre=control_pre, control_post=control_post, mean=mean, sd=sd, reliability=reliability,
            change=change,
        )  # fmt: skip
    power = float(ndtr(change / (sd * math.sqrt(2 * (1 - reliability))) - ndtri(1 - ALPHA / 2)))
    truth: dict[str, float] = {}
    for rule in rules:
        truth |= {rule: ALPHA / 2, f"{rule} less theory": 0.0, f"{rule}, changed": power}
    return Sample(data, truth)


def shares_improved(data: Mapping[str, Treated], *, methods: Sequence[str], rules: Sequence[str]) -> Iterator[Finding]:
    """Tell the share improved by each rule, without and with true change, and how far it is from what theory expects.

    ``methods`` are cases of :func:`no_change`; with ``, reference`` behind, mean and SD before treatment are the population's and
    not this sample's. The reliability is the population's; what the rules need of a control or retest sample is the controls'.
    Where a rule is defined for nobody, its share is NaN.
    """
    for method in methods:
        own, reference = data[method.removesuffix(REFERENCE)], method.endswith(REFERENCE)
        retest = retest_norm(own.control_pre, own.control_post)
        for change in (0.0, own.change):
            post = own.post - change
            setting = setting_from(
                own.pre, post, reliability=own.reliability, sd=own.sd if reference else None,
                mean_pre=own.mean if reference else None, regression=regression_norm(own.control_pre, own.control_post),
                control_post_mean=float(own.control_post.mean()), ms_error=retest.ms_error,
            )  # fmt: skip
            for rule in rules:
                code = statistic_and_code(own.pre, post, rule, setting, False)[1]
                share = float((code == 0).mean()) if (code >= 0).any() else math.nan
                if change:
                    yield Finding(f"{rule}, changed", share, method=method)
                    continue
                yield Finding(rule, share, method=method)
                if math.isfinite(METHODS[rule].spread(setting)):
                    yield Finding(f"{rule} less theory", share - expected_improved(rule, setting), method=method)
