r"""How many would be classed secure at the end if nobody truly changed?

Vocabulary
----------
region       the half-planes that together bound the secure scores, see :mod:`attachment_outcomes.inference.half_planes`
true score   what a person would score on average over endless repetitions
own moments  mean and covariance of this sample's baseline scores
reference    mean and covariance of the population from which people were chosen

Classical test theory for two dimensions. With :math:`\Sigma` the covariance of the observed scores, :math:`\mu` their mean,
:math:`E` that of the errors, with variances :math:`(1 - r_k)\sigma_k^2`, and :math:`\Sigma_\tau = \Sigma - E` that of the true
scores, the score of somebody who did not change is at any later occasion, given the baseline score :math:`x`,

.. math:: N\big(\mu + \Sigma_\tau\Sigma^{-1}(x - \mu),\; \Sigma - \Sigma_\tau\Sigma^{-1}\Sigma_\tau\big)

Whose :math:`\mu` and :math:`\Sigma` depends on how people were chosen. If by their *observed* scores (a screening), chance put
some of them above the line, and they regress towards the population they were screened from: its moments belong here. If by what
they *truly* are (they seek help because they are insecure), the sample is a population of its own, and its own moments do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.special import ndtr
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.effects import Effect
from attachment_outcomes.inference.half_planes import region_probability

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Which = Literal["crossed", "any", "both"]
MomentFunction = Callable[[Numbers, Numbers], Numbers]  # mean, covariance -> values
Chance = Callable[[Numbers, Numbers, Numbers], Numbers]  # scores, mean, covariance -> probability of each person

WHICH = {
    "crossed": "on every side that kept the person insecure",
    "any": "on at least one side that kept the person insecure",
    "both": "on both dimensions",
}
ALPHA = 0.05  # two-sided, as in Jacobson & Truax (1991)
HERMITE = 20  # nodes in each direction for the true scores; the probability of staying is then exact to 1e-6
_HERMITE, _HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(HERMITE)
STEP = 1e-4  # of the SD, for the derivatives by the mean and covariance
GRID_STEP, GRID_REACH, GRID_MOST = 0.2, 5.5, 400  # in SDs of the errors; SDs of true scores beyond the means; points a side
PLACE = "earned security"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The population from which people were chosen: mean and covariance of its observed scores (anxiety, avoidance).

    ``n`` is how many people these rest on; without it they are taken as known. ``source`` is told with the rows.
    """

    mean: tuple[float, float]
    covariance: ArrayLike
    n: float = np.inf
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no population.

        Raises
        ------
        StatisticsError
            If the covariance is not a symmetric, positive definite 2 x 2 table, or ``n`` is below 3.
        """
        spread = np.asarray(self.covariance, dtype=float)
        if spread.shape != (2, 2) or not np.isfinite(spread).all() or not np.allclose(spread, spread.T):
            raise StatisticsError(problem(f"{PLACE}, reference", "the covariance is not a symmetric 2 x 2 table."))
        if np.linalg.eigvalsh(spread)[0] <= 0 or not np.isfinite(self.mean).all() or not self.n >= 3:
            raise StatisticsError(
                problem(f"{PLACE}, reference", "needs finite means, a positive definite covariance, and n of at least 3.")
            )


def error_covariance(covariance: ArrayLike, reliability: tuple[float, float], *, error_correlation: float = 0.0) -> Numbers:
    r"""Return the covariance of the errors of measurement of two scores, :math:`(1 - r_k)\sigma_k^2` on its diagonal.

    Raises
    ------
    StatisticsError
        If a reliability is not in (0, 1) or the errors' correlation not in (-1, 1).
    """
    for r in reliability:
        if not 0 < r < 1:
            raise StatisticsError(problem(PLACE, f"reliability {r}; allowed: between 0 and 1, both excluded."))
    if not -1 < error_correlation < 1:
        raise StatisticsError(problem(PLACE, f"correlation of errors {error_correlation}; allowed: between -1 and 1."))
    sd = np.sqrt((1 - np.asarray(reliability, dtype=float)) * np.diag(np.asarray(covariance, dtype=float)))
    found: Numbers = np.outer(sd, sd) * np.array([[1.0, error_correlation], [error_correlation, 1.0]])
    return found


def true_given_scores(
    scores: Numbers, mean: Numbers, covariance: Numbers, reliability: tuple[float, float], *, error_correlation: float = 0.0
) -> tuple[Numbers, Numbers, Numbers]:
    """Return mean (a row a person) and covariance of true scores given observed ones, and the covariance of errors.

    Raises
    ------
    StatisticsError
        If the dimensions correlate more than their reliabilities allow (the true scores' covariance is not positive).
    """
    error = error_covariance(covariance, reliability, error_correlation=error_correlation)
    true = covariance - error
    if np.linalg.eigvalsh(true)[0] <= 0:
        raise StatisticsError(
            problem(PLACE, "the two dimensions correlate more than their reliabilities allow.", hint="check the reliabilities.")
        )
    shrink = true @ np.linalg.inv(covariance)
    return mean + (scores - mean) @ shrink.T, true - shrink @ true, error


def probability_without_change(
    scores: Numbers, mean: Numbers, covariance: Numbers, reliability: tuple[float, float], region: Numbers,
    *, error_correlation: float = 0.0,
) -> Numbers:  # fmt: skip
    """Return each person's probability of an end score in a region, given the baseline scores, if nothing truly changed.

    Parameters
    ----------
    scores : (n, 2) floats
        Anxiety and avoidance at baseline, score points.
    mean, covariance : (2,) and (2, 2) floats
        Moments of the observed scores, of the sample or of the reference population; see the module.
    reliability : (anxiety, avoidance)
        In (0, 1), in the population of these moments.
    region : (k, 3) floats
        Half-planes.
    error_correlation
        Of the two errors of one occasion.

    Raises
    ------
    StatisticsError
        See :func:`true_given_scores`.
    """
    m, spread, error = true_given_scores(scores, mean, covariance, reliability, error_correlation=error_correlation)
    return region_probability(m, spread + error, region)


def reliable_distance(
    region: ArrayLike, covariance: ArrayLike, reliability: tuple[float, float], *, error_correlation: float = 0.0,
    alpha: float = ALPHA,
) -> Numbers:  # fmt: skip
    r"""Return how far scores must move across each line, and down each dimension, to have changed reliably.

    .. math:: z_{1-\alpha/2}\,\sqrt{2\,w' E\,w}

    for a line :math:`w`: Jacobson's and Truax's threshold for the score :math:`w'x`. For a cut on one dimension that is the
    dimension's own. The last two values are those of anxiety and avoidance themselves.

    Raises
    ------
    StatisticsError
        If ``alpha`` is not in (0, 1); see also :func:`error_covariance`.
    """
    if not 0 < alpha < 1:
        raise StatisticsError(problem(PLACE, f"alpha {alpha}; allowed: between 0 and 1."))
    lines = np.vstack([np.asarray(region, dtype=float)[:, :2], np.eye(2)])
    error = error_covariance(covariance, reliability, error_correlation=error_correlation)
    found: Numbers = float(norm.ppf(1 - alpha / 2)) * np.sqrt(2 * np.einsum("ki,ij,kj->k", lines, error, lines))
    return found


def _check_which(which: str) -> None:
    if which not in WHICH:
        raise StatisticsError(
            problem(f"{PLACE}, reliable change", f"found {which!r}; allowed: {', '.join(WHICH)}.{did_you_mean(which, WHICH)}")
        )


def crossed_reliably(
    baseline: ArrayLike, end: ArrayLike, region: ArrayLike, distance: Numbers, *, which: Which = "crossed"
) -> Flags:
    """Tell who lies in the region at the end and came there by reliable change.

    Parameters
    ----------
    baseline, end : (n, 2) floats
        Scores; NaN counts as not there.
    region : (k, 3) floats
        Secure half-planes.
    distance : (k + 2,) floats
        From :func:`reliable_distance`. A change of exactly that much is not reliable.
    which
        ``crossed`` (every line the person was beyond at baseline: for two cuts, each dimension that was high), ``any`` of these,
        or ``both`` dimensions, high or not.

    Raises
    ------
    StatisticsError
        If ``which`` is something else.
    """
    _check_which(which)
    x, y, planes = (np.asarray(v, dtype=float) for v in (baseline, end, region))
    before, after = (v @ planes[:, :2].T + planes[:, 2] for v in (x, y))
    there = (after > 0).all(axis=1)
    if which == "both":
        return np.asarray(there & (x - y > distance[-2:]).all(axis=1))
    beyond, moved = before <= 0, after - before > distance[:-2]
    return np.asarray(there & ((moved | ~beyond).all(axis=1) if which == "crossed" else (moved & beyond).any(axis=1)))


def probability_of_reliable_crossing(
    scores: Numbers, mean: Numbers, covariance: Numbers, reliability: tuple[float, float], region: Numbers, distance: Numbers,
    *, which: Which = "crossed", error_correlation: float = 0.0,
) -> Numbers:  # fmt: skip
    """Return each person's probability of :func:`crossed_reliably` if nothing truly changed; parameters as there and above.

    Raises
    ------
    StatisticsError
        See :func:`true_given_scores` and :func:`crossed_reliably`.
    """
    _check_which(which)
    m, spread, error = true_given_scores(scores, mean, covariance, reliability, error_correlation=error_correlation)
    spread = spread + error
    lines, constants = region[:, :2], np.broadcast_to(region[:, 2], (len(scores), len(region)))
    before = scores @ lines.T + region[:, 2]
    needed = region[:, 2] - before - distance[:-2]  # the constant of "moved across this line by more than the distance"
    if which == "both":
        down = scores - distance[-2:]
        planes = np.vstack([region, np.column_stack([-np.eye(2), np.zeros(2)])])
        return region_probability(m, spread, planes, offsets=np.hstack([constants, down]))
    beyond = before <= 0
    if which == "crossed":
        return region_probability(m, spread, region, offsets=np.where(beyond, np.minimum(constants, needed), constants))
    # Any: secure, less secure with no line crossed by enough.
    planes = np.vstack([region, -region])
    short = np.where(beyond, -needed, np.inf)
    none = region_probability(m, spread, planes, offsets=np.hstack([constants, short]))
    return np.where(beyond.any(axis=1), region_probability(m, spread, region) - none, 0.0)


def probability_of_staying(
    scores: Numbers, mean: Numbers, covariance: Numbers, reliability: tuple[float, float], region: Numbers,
    *, error_correlation: float = 0.0,
) -> Numbers:  # fmt: skip
    r"""Return each person's probability of scores in the region at two later occasions, if nothing truly changed.

    .. math:: \int P(\tau + e \in R)^2 \, p(\tau \mid x)\, d\tau

    Errors of the two occasions are independent, so that given the true score :math:`\tau` the occasions are; over the true scores
    it is integrated by Gauss–Hermite quadrature.

    Raises
    ------
    StatisticsError
        See :func:`true_given_scores`.
    """
    m, spread, error = true_given_scores(scores, mean, covariance, reliability, error_correlation=error_correlation)
    weights = np.outer(_HERMITE_WEIGHTS, _HERMITE_WEIGHTS).ravel() / (2 * np.pi)
    nodes = np.stack(np.meshgrid(_HERMITE, _HERMITE, indexing="ij"), axis=-1).reshape(-1, 2) @ np.linalg.cholesky(spread).T
    # On cuts that follow the dimensions, independent errors leave a product of two tails.
    plain = error_correlation == 0 and bool(((region[:, :2] != 0).sum(axis=1) == 1).all())
    at = (lambda true: _tails(true, error, region)) if plain else _surface(m, spread, error, region)
    out = np.zeros(len(m))
    for node, weight in zip(nodes, weights, strict=True):
        out += weight * at(m + node) ** 2
    return np.clip(out, 0.0, 1.0)


def _surface(means: Numbers, spread: Numbers, error: Numbers, region: Numbers) -> Callable[[Numbers], Numbers]:
    """Return the probability of the region by the true score, smoothly between the points of a grid."""
    axes = []
    for k in range(2):
        reach, step = GRID_REACH * np.sqrt(spread[k, k]), GRID_STEP * np.sqrt(error[k, k])
        low, high = means[:, k].min() - reach, means[:, k].max() + reach
        axes.append(np.linspace(low, high, int(np.clip(np.ceil((high - low) / step), 8, GRID_MOST))))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    heights = region_probability(points, error, region).reshape(len(axes[0]), len(axes[1]))
    spline = RectBivariateSpline(*axes, heights, kx=3, ky=3, s=0)
    return lambda true: np.asarray(spline(true[:, 0], true[:, 1], grid=False), dtype=float)


def _tails(true: Numbers, error: Numbers, region: Numbers) -> Numbers:
    sd = np.sqrt(np.diag(error))
    low, high = np.full_like(true, -np.inf), np.full_like(true, np.inf)
    for w1, w2, c in region:
        k, w = (0, w1) if w1 else (1, w2)
        edge = (-c / w - true[:, k]) / sd[k]
        if w > 0:
            low[:, k] = np.maximum(low[:, k], edge)
        else:
            high[:, k] = np.minimum(high[:, k], edge)
    found: Numbers = np.clip(ndtr(high) - ndtr(low), 0.0, None).prod(axis=1)
    return found


def moments(x: Numbers, reference: Reference | None) -> tuple[Numbers, Numbers]:
    """Return mean and covariance (ddof 1) of the reference, or of these scores.

    Raises
    ------
    StatisticsError
        If there are fewer than three people, or nobody differs.
    """
    if reference is not None:
        return np.asarray(reference.mean, dtype=float), np.asarray(reference.covariance, dtype=float)
    if len(x) < 3:
        who = "1 person" if len(x) == 1 else f"{len(x)} people"
        raise StatisticsError(problem(PLACE, f"{who}; the covariance of two dimensions needs three."))
    covariance = np.cov(x.T, ddof=1)
    if not (np.diag(covariance) > 0).all():
        raise StatisticsError(problem(PLACE, "nobody differs at baseline."))
    return x.mean(axis=0), covariance


def moment_influence(x: Numbers, mean: Numbers, covariance: Numbers, function: MomentFunction) -> tuple[Numbers, Numbers]:
    """Return each person's influence (n, q), through the sample's moments, on q functions of these, and their gradient (5, q).

    The gradient is by the two means, then by the first variance, the covariance and the second variance.
    """
    sd = np.sqrt(np.diag(covariance))
    centred = x - mean
    slopes, parts = [], []
    for j in range(2):
        step = np.eye(2)[j] * STEP * sd[j]
        slopes.append((function(mean + step, covariance) - function(mean - step, covariance)) / (2 * step[j]))
        parts.append(centred[:, j])
    for j, k in ((0, 0), (0, 1), (1, 1)):
        size = STEP * sd[j] * sd[k]
        change = np.zeros((2, 2))
        change[j, k] = change[k, j] = size
        slopes.append((function(mean, covariance + change) - function(mean, covariance - change)) / (2 * size))
        parts.append(centred[:, j] * centred[:, k] - covariance[j, k])
    gradient: Numbers = np.array(slopes)
    return np.column_stack(parts) @ gradient, gradient


def reference_variance(reference: Reference) -> Numbers:
    """Return the covariance (5, 5) of a reference's means, variances and covariance, for normal scores; 0 if taken as known."""
    found = np.zeros((5, 5))
    if not np.isfinite(reference.n):
        return found
    spread = np.asarray(reference.covariance, dtype=float)
    found[:2, :2] = spread / reference.n
    pairs = ((0, 0), (0, 1), (1, 1))
    for a, (i, j) in enumerate(pairs):
        for b, (k, m) in enumerate(pairs):
            found[2 + a, 2 + b] = (spread[i, k] * spread[j, m] + spread[i, m] * spread[j, k]) / (reference.n - 1)
    return found


def widened(found: Effect, variance: float) -> Effect:
    """Return an effect with the variance of something else that it rests on added, on the same degrees of freedom."""
    if variance == 0:
        return found
    std_error = float(np.sqrt(found.std_error**2 + variance))
    half = float(student.ppf(0.5 + found.ci_level / 2, found.df)) * std_error
    p_value = float(2 * student.sf(abs(found.estimate) / std_error, found.df))
    return replace(found, std_error=std_error, ci_low=found.estimate - half, ci_high=found.estimate + half, p_value=p_value)
