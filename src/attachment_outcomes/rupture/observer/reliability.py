"""Do coders agree? Intraclass correlations of what they count and rate, and kappa of whether they saw anything at all.

Vocabulary
----------
target        what is coded: a session, or a segment of one
agreement     differences between coders count as error, their means too: ICC(A,1); of the mean of k coders ICC(A,k)
consistency   a coder who rates everything higher by the same does not count as error: ICC(C,1), ICC(C,k)
one-way       the same where coders differ from target to target, so that their means cannot be told apart: ICC(1,1), ICC(1,k)
PABAK         2 x agreement − 1: kappa if a marker were there in half of the segments; kappa is low where markers are rare
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import numpy.typing as npt

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.clustered_agreement import kappa_gradient, kappa_of
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.jackknife import jackknife
from attachment_outcomes.inference.proportions import Proportion, proportion

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
EDGE = 1e-9  # an ICC this near to its ends, or variance this small, differs from them by rounding only
LEAST_TARGETS = 5  # fewer say nothing about how targets differ
AGREEMENT, CONSISTENCY, ONE_WAY = "agreement", "consistency", "one-way"


@dataclass(frozen=True)
class CoderIcc:
    """An intraclass correlation of one coder (``single``) and of the mean of ``k`` coders, with intervals on the same jackknife.

    ``k`` is not whole where targets differ in their number of coders.
    """

    single: Interval
    average: Interval
    k: float
    n_targets: int
    n_coders: int
    n_clusters: int
    note: str = ""


def coder_icc(
    values: Numbers, targets: Codes, coders: Codes, clusters: Codes, *, ci_level: float = CI_LEVEL
) -> dict[str, CoderIcc]:
    r"""Return the intraclass correlations of coders, with intervals that allow for clients with several sessions.

    With the mean squares of targets R, of coders C, of the rest E and within targets W, and k coders:

    .. math::

       \mathrm{ICC}(A,1) = \frac{R-E}{R+(k-1)E+\frac kn(C-E)}, \quad \mathrm{ICC}(C,1) = \frac{R-E}{R+(k-1)E}, \quad
       \mathrm{ICC}(1,1) = \frac{R-W}{R+(k_0-1)W}

    and of the mean of k coders :math:`k\rho/(1+(k-1)\rho)`. Where every target that has two coders or more has the same ones,
    the first two are given; otherwise the third, with :math:`k_0 = (N - \sum k_i^2/N)/(n-1)`.

    Parameters
    ----------
    values, targets, coders, clusters : (n,) arrays
        One number a target and coder, numbers of target and coder, and of what targets share (the client). Targets with one
        coder are left out.
    ci_level : float
        Confidence level.

    Returns
    -------
    dict
        By ``agreement`` and ``consistency``, or by ``one-way``. Higher is better; 1 is perfect. Where coders agree in everything
        the interval is missing and the note says so.

    Raises
    ------
    StatisticsError
        With fewer than 5 targets that have two coders, or if targets do not differ.

    Notes
    -----
    The interval is the jackknife over clusters on Fisher's scale :math:`\tfrac12\ln\frac{1+(k-1)\rho}{1-\rho}`, with t on G − 1
    degrees of freedom. The F intervals of McGraw and Wong take targets as independent and their values as normal; sessions of
    one client are not, and counts are not. It holds for these coders: how others would have differed is not in it.

    References
    ----------
    McGraw, K. O., & Wong, S. P. (1996). Psychological Methods, 1, 30-46. Arvesen, J. N. (1969). Annals of Mathematical
    Statistics, 40, 2076-2100 (the jackknife of variance components).
    """
    values, targets, coders, clusters = np.asarray(values), np.asarray(targets), np.asarray(coders), np.asarray(clusters)
    many = np.bincount(targets)[targets] > 1 if len(targets) else np.zeros(0, dtype=bool)
    values, coders, clusters = values[many], coders[many], clusters[many]
    _, targets = np.unique(targets[many], return_inverse=True)
    n = int(targets.max()) + 1 if len(targets) else 0
    if n < LEAST_TARGETS:
        raise StatisticsError(f"{n} targets coded by two coders or more; at least {LEAST_TARGETS} are needed")
    who, coders = np.unique(coders, return_inverse=True)
    _, clusters = np.unique(clusters, return_inverse=True)
    values = values - values.mean()
    spread = float(np.abs(values).max(initial=0.0)) or 1.0
    values = values / spread  # an ICC has no unit
    if np.ptp(values) == 0 or np.ptp(np.bincount(targets, weights=values) / np.bincount(targets)) == 0:
        raise StatisticsError("targets do not differ in what coders gave, so that an intraclass correlation is not defined")
    crossed = len(values) == n * len(who)
    sums = _crossed_sums(values, targets, coders, clusters) if crossed else _one_way_sums(values, targets, clusters)
    left = sums.sum(axis=0) - sums
    out = {}
    for name in (AGREEMENT, CONSISTENCY) if crossed else (ONE_WAY,):
        of: Callable[[Numbers], Numbers] = partial(_crossed_icc, k=len(who), name=name) if crossed else _one_way_icc
        k = float(len(who)) if crossed else float(_mean_coders(sums.sum(axis=0)))
        single = _interval(float(of(sums.sum(axis=0))), of(left), k, ci_level)
        at, low, high = (_average(v, k) for v in (single.estimate, single.ci_low, single.ci_high))
        average = Interval(at, math.nan, low, high, single.note)
        out[name] = CoderIcc(single, average, k, n, len(who), len(sums), single.note)
    return out


def _interval(estimate: float, without_one: Numbers, k: float, ci_level: float) -> Interval:
    if estimate > 1 - EDGE:
        return Interval(1.0, math.nan, math.nan, math.nan, "no interval: the coders agree in everything")
    lowest = -1 / (k - 1)
    without_one = np.where((without_one > 1 - EDGE) | (without_one < lowest + EDGE), math.nan, without_one)
    if estimate < lowest + EDGE:
        return Interval(lowest, math.nan, math.nan, math.nan, "no interval: the mean of the coders is the same everywhere")

    def scale(rho: float) -> float:
        return 0.5 * math.log((1 + (k - 1) * rho) / (1 - rho))

    def back(z: float) -> float:
        grown = math.exp(2 * z)
        return (grown - 1) / (grown + k - 1)

    found = jackknife(estimate, without_one, scale=scale, back=back, ci_level=ci_level)
    return Interval(estimate, found.std_error, found.ci_low, found.ci_high, found.note)


def _average(rho: float, k: float) -> float:
    return k * rho / (1 + (k - 1) * rho) if math.isfinite(rho) and rho > -1 / (k - 1) else math.nan


def _crossed_sums(values: Numbers, targets: Codes, coders: Codes, clusters: Codes) -> Numbers:
    """Return, a row a cluster: targets, sum and sum of squares of their means, sum of squares within them, and sum a coder."""
    k = int(coders.max()) + 1
    table = np.empty((int(targets.max()) + 1, k))
    table[targets, coders] = values
    of = np.empty(len(table), dtype=np.int64)
    of[targets] = clusters
    means = table.mean(axis=1)
    within = ((table - means[:, None]) ** 2).sum(axis=1)
    parts = np.column_stack([np.ones(len(table)), means, means**2, within, table])
    return np.column_stack([np.bincount(of, weights=part) for part in parts.T])


def _crossed_icc(sums: Numbers, *, k: int, name: str) -> Numbers:
    n, total, squares, within = (sums[..., i] for i in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        people = k * (squares - total**2 / n) / (n - 1)
        columns = sums[..., 4:] / n[..., None]
        occasions = n * ((columns - (total / n)[..., None]) ** 2).sum(axis=-1)
        error = (within - occasions) / ((n - 1) * (k - 1))
        spread = k * (occasions / (k - 1) - error) / n if name == AGREEMENT else 0.0
        whole = people + (k - 1) * error + spread
        found: Numbers = np.where(whole > EDGE, (people - error) / whole, np.nan)
    return found


def _one_way_sums(values: Numbers, targets: Codes, clusters: Codes) -> Numbers:
    """Return, a row a cluster: targets, values, squared values a target, total, sum of k x squared mean, squares within."""
    k = np.bincount(targets).astype(float)
    total = np.bincount(targets, weights=values)
    of = np.empty(len(k), dtype=np.int64)
    of[targets] = clusters
    within = np.bincount(targets, weights=(values - (total / k)[targets]) ** 2)
    parts = np.column_stack([np.ones(len(k)), k, k**2, total, total**2 / k, within])
    return np.column_stack([np.bincount(of, weights=part) for part in parts.T])


def _mean_coders(sums: Numbers) -> Numbers:
    found: Numbers = (sums[..., 1] - sums[..., 2] / sums[..., 1]) / (sums[..., 0] - 1)
    return found


def _one_way_icc(sums: Numbers) -> Numbers:
    n, size, _, total, squares, within = (sums[..., i] for i in range(6))
    with np.errstate(divide="ignore", invalid="ignore"):
        between, rest = (squares - total**2 / size) / (n - 1), within / (size - n)
        whole = between + (_mean_coders(sums) - 1) * rest
        found: Numbers = np.where(whole > EDGE, (between - rest) / whole, np.nan)
    return found


@dataclass(frozen=True)
class CoderKappa:
    """Agreement of coders on whether something was there: ``value`` is kappa, NaN where it is not defined.

    ``kappa`` has its interval and is missing, with a note, where there is none.
    """

    value: float
    kappa: Effect | None
    agreement: Proportion
    share: float
    n_targets: int
    n_pairs: int
    note: str = ""

    @property
    def pabak(self) -> Interval:
        """Kappa adjusted for prevalence, 2 x agreement − 1, with its interval."""
        a = self.agreement
        return Interval(2 * a.estimate - 1, 2 * a.std_error, 2 * a.ci_low - 1, 2 * a.ci_high - 1, a.note)


def coder_kappa(
    present: npt.NDArray[np.bool_], targets: Codes, coders: Codes, clusters: Codes, *, ci_level: float = CI_LEVEL
) -> CoderKappa:
    r"""Return Cohen's kappa of coders on what is present, with an interval that allows for clients with many segments.

    With more than two coders it is Light's kappa: the mean of the kappas of all pairs of coders, weighted by the targets that
    a pair has in common. Its influence values are those of the pairs, :math:`u_i = \kappa_p + u_i^{(p)} - \bar\kappa`, summed
    within clusters; then CR1 and t on G − 1 df.

    Parameters
    ----------
    present, targets, coders, clusters : (n,) arrays
        Whether a coder saw it, and the numbers of target, coder, and what targets share (the client).
    ci_level : float
        Confidence level.

    Returns
    -------
    CoderKappa
        Also the share of targets on which a pair agrees (Wilson's interval on the effective n of the clusters), and ``share``,
        how often it was seen by those who were compared. Pairs of whom one always says the same have no kappa and are noted.

    Raises
    ------
    StatisticsError
        With fewer than 5 targets that have two coders or more.

    References
    ----------
    Cohen, J. (1960). Educational and Psychological Measurement, 20, 37-46. Light, R. J. (1971). Psychological Bulletin, 76,
    365-377. Byrt, T., Bishop, J., & Carlin, J. B. (1993). Journal of Clinical Epidemiology, 46, 423-429 (PABAK).
    """
    present, targets, coders, clusters = np.asarray(present), np.asarray(targets), np.asarray(coders), np.asarray(clusters)
    who, coders = np.unique(coders, return_inverse=True)
    _, targets = np.unique(targets, return_inverse=True)
    table = np.full((int(targets.max(initial=-1)) + 1, len(who)), -1, dtype=np.int64)
    table[targets, coders] = present
    of = np.zeros(len(table), dtype=np.int64)
    of[targets] = clusters
    n_targets = int(((table >= 0).sum(axis=1) > 1).sum())
    if n_targets < LEAST_TARGETS:
        raise StatisticsError(f"{n_targets} targets coded by two coders or more; at least {LEAST_TARGETS} are needed")
    pairs, single = [], 0
    for a, b in combinations(range(len(who)), 2):
        both = (table[:, a] >= 0) & (table[:, b] >= 0)
        if both.any():
            pairs.append((table[both, a], table[both, b], of[both]))
    same = np.concatenate([first == second for first, second, _ in pairs])
    labels = np.concatenate([where for *_, where in pairs])
    agreed = proportion(same, clusters=labels, ci_level=ci_level)
    values, influence, kept = [], [], []
    for first, second, where in pairs:
        if min(len(np.unique(first)), len(np.unique(second))) < 2:
            single += 1
            continue
        shares = np.bincount(first * 2 + second, minlength=4).reshape(2, 2) / len(first)
        slope = kappa_gradient(shares)
        values.append(np.full(len(first), kappa_of(shares)))
        influence.append(slope[first, second] - float((shares * slope).sum()))
        kept.append(where)
    share = float(np.concatenate([np.concatenate([first, second]) for first, second, _ in pairs]).mean())
    note = f"{single} of {len(pairs)} pairs of coders have no kappa: one of them always says the same" if single else ""
    if not values:
        return CoderKappa(math.nan, None, agreed, share, n_targets, len(pairs), note)
    each = np.concatenate(values)
    _, codes = np.unique(np.concatenate(kept), return_inverse=True)
    value = float(each.mean())
    how = "Cohen's kappa" if len(pairs) == 1 else "Light's kappa, mean of pairs of coders"
    try:
        found = effect(
            value, each - value + np.concatenate(influence), codes,
            method=f"{how}, influence values, cluster-robust (CR1), t on G - 1 df", ci_level=ci_level,
        )  # fmt: skip
    except StatisticsError as error:
        return CoderKappa(value, None, agreed, share, n_targets, len(pairs), "; ".join(filter(None, [note, str(error)])))
    return CoderKappa(value, found, agreed, share, n_targets, len(pairs), note)
