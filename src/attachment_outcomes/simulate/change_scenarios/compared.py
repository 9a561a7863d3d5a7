"""Data of known truth for bootstrap intervals of cutoffs and shares and for minimal important differences, and their estimators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.bootstrap import Population, bootstrap_change
from attachment_outcomes.inference.individual_change.minimal_change import anchor_roc, bootstrap_mids
from attachment_outcomes.inference.individual_change.reliable import setting_from
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
ALPHA = 0.05
MIDS = ("ROC, Youden", "ROC, corner", "predictive", "adjusted", "adjusted, reliability")


class Treated(NamedTuple):
    """People of therapists, before and after, and the norm sample they are held against."""

    pre: Numbers
    post: Numbers
    therapist: NDArray[np.int64]
    reliability: float
    norm: Population


def treated_people(
    rng: np.random.Generator, *, clients: int, icc: float, per_therapist: int, mean: float, sd: float, reliability: float,
    change: float, sd_change: float, norm_mean: float, norm_sd: float, norm_n: int,
) -> Sample:  # fmt: skip
    r"""Symptoms of clients of therapists before and after, lower is better, beside a norm sample.

    .. math:: x_1 = \tau + e_1, \quad x_2 = \tau + \delta + e_2, \quad \delta \sim N(\Delta, \sigma_\delta^2), \quad
        \mathrm{Var}(\tau) = r S_1^2, \quad \mathrm{Var}(e) = (1-r)S_1^2

    The share ``icc`` of the variances of :math:`\tau` and of :math:`\delta` lies between therapists. Norm mean and SD are those of
    a sample of ``norm_n``. Targets, at the population's mean, SD and norm: ``cutoff a``, ``cutoff c``, ``threshold`` (JT, points),
    ``improved JT``, ``improved GLN`` and ``recovered`` (JT with cutoff c).
    """
    therapist = np.arange(clients) // per_therapist
    groups = int(therapist[-1]) + 1
    between, within = normals(rng, 2, groups), normals(rng, 4, clients)
    shared, own = np.sqrt(icc), np.sqrt(1 - icc)
    true_sd, error = sd * np.sqrt(reliability), sd * np.sqrt(1 - reliability)
    true = mean + true_sd * (shared * between[0][therapist] + own * within[0])
    moved = change + sd_change * (shared * between[1][therapist] + own * within[1])
    pre, post = true + error * within[2], true + moved + error * within[3]
    norm_sample = norm_mean + norm_sd * normals(rng, norm_n)
    norm = Population(mean=float(norm_sample.mean()), sd=float(norm_sample.std(ddof=1)), n=norm_n)
    z = -float(ndtri(ALPHA / 2))
    threshold = z * np.sqrt(2) * error
    spread = np.sqrt(sd_change**2 + 2 * error**2)
    cut = (norm_sd * mean + sd * norm_mean) / (norm_sd + sd)
    # GLN: x2 - M1 - r (x1 - M1) is normal with mean change and this variance.
    r, post_variance = reliability, sd**2 + sd_change**2
    gln = np.sqrt(post_variance + r**2 * sd**2 - 2 * r * (r * sd**2))
    recovered = _recovered(mean, sd, r, change, post_variance, cut, float(threshold))
    truth = {
        "cutoff a": mean - 2 * sd, "cutoff c": cut, "threshold": float(threshold),
        "improved JT": float(ndtr((-change - threshold) / spread)),
        "improved GLN": float(ndtr((-change - z * sd * np.sqrt(1 - r**2)) / gln)), "recovered": recovered,
    }  # fmt: skip
    return Sample(Treated(pre, post, therapist, reliability, norm), truth)


def _recovered(mean: float, sd: float, r: float, change: float, post_variance: float, cut: float, threshold: float) -> float:
    """Return P(x1 > cut, x2 < min(cut, x1 - threshold)) by quadrature over the score before."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    low, high = cut, mean + 9 * sd
    x1 = (high - low) / 2 * nodes + (high + low) / 2
    density = np.exp(-(((x1 - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
    given = mean + change + r * (x1 - mean)
    left = np.sqrt(post_variance - r**2 * sd**2)
    chance = ndtr((np.minimum(cut, x1 - threshold) - given) / left)
    whole = float((high - low) / 2 * (weights * density * chance).sum())
    bound = float(multivariate_normal([-mean, mean + change], [[sd**2, -r * sd**2], [-r * sd**2, post_variance]]).cdf([-cut, cut]))
    if not 0 <= whole <= bound + 1e-4:
        raise StatisticsError("the share of the recovered is larger than that of those who cross the cutoff")
    return whole


def bootstrapped(data: Treated, *, replicates: int, by_therapist: bool, seed: int) -> Iterator[Finding]:
    """Tell cutoffs, threshold and shares with percentile intervals from drawing people, or therapists, again."""
    setting = setting_from(data.pre, data.post, reliability=data.reliability)
    found = bootstrap_change(
        data.pre, data.post, setting=setting, methods=["JT", "GLN"], functional=data.norm, cutoff="c", replicates=replicates,
        clusters=data.therapist if by_therapist else None, rng=np.random.default_rng(seed),
    ).table  # fmt: skip
    rows = found.set_index(["estimand", "method", "category"])
    wanted = {
        "cutoff a": ("cutoff", "", "a"), "cutoff c": ("cutoff", "", "c"), "threshold": ("reliable_change_threshold", "JT", ""),
        "improved JT": ("reliably_improved", "JT", ""), "improved GLN": ("reliably_improved", "GLN", ""),
        "recovered": ("share", "JT", "recovered"),
    }  # fmt: skip
    for target, key in wanted.items():
        estimate, error, low, high = rows.loc[key, ["estimate", "std_error", "ci_low", "ci_high"]].to_numpy(dtype=float)
        yield Finding(target, float(estimate), float(error), float(low), float(high))


def anchored_people(
    rng: np.random.Generator, *, clients: int, share: float, mid: float, sd_change: float, sd_error: float, sd_anchor: float
) -> Sample:
    r"""Change in whole points and an anchor, of people who differ in what they call improved.

    .. math:: d = \mathrm{round}(\delta + e), \quad improved: \delta + \eta > MID, \quad \delta \sim N(\mu, \sigma_\delta^2)

    :math:`\eta` holds both how people misjudge their change and how far their own least change is from the mean one; :math:`\mu`
    is what makes ``share`` of them improved. The data are the changes and who is improved. Target: ``mid``.
    """
    draws = normals(rng, 3, clients)
    mean = mid + float(ndtri(share)) * np.hypot(sd_change, sd_anchor)
    true = mean + sd_change * draws[0]
    change = np.round(true + sd_error * draws[1])
    return Sample((change, true + sd_anchor * draws[2] > mid), {"mid": mid})


def mids(
    data: tuple[Numbers, NDArray[np.bool_]], *, methods: Sequence[str], replicates: int, anchor_reliability: float, seed: int
) -> Iterator[Finding]:
    """Tell the MID by each method, with the percentile interval of a bootstrap of people (``replicates`` 0: without)."""
    change, improved = data
    found = anchor_roc(change, improved, anchor_reliability=anchor_reliability)
    values = dict(zip(MIDS, (found.youden, found.corner, found.predictive, found.adjusted, found.reliable), strict=True))
    rng = np.random.default_rng(seed)
    drawn = (
        bootstrap_mids(change, improved, rng=rng, replicates=replicates, anchor_reliability=anchor_reliability)
        if replicates
        else None
    )
    for method in methods:
        if drawn is None:
            yield Finding("mid", values[method], method=method)
            continue
        row = drawn.interval(MIDS.index(method), method="percentile")
        yield Finding("mid", values[method], row.std_error, row.ci_low, row.ci_high, method=method)
