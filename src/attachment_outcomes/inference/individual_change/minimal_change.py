r"""How large must a change be to matter? Minimal important differences (MIDs) by distribution and by an anchor.

Vocabulary
----------
anchor        something other than the score that says whether a person improved: their own rating of change, another measure
d             change towards better: :math:`x_2 - x_1` if higher is better, else :math:`x_1 - x_2`; every MID is in its points
ROC MID       the change that best tells the improved from the others by the anchor (Youden's point; or nearest to the corner)
predictive    the change at which the odds of being improved are what they are in the sample: likelihood ratio 1
adjusted      the predictive MID corrected for a share of improved that is not one half; reliable: by the anchor's reliability too
eligible      whether the anchor is worth using: AUC at least .70 and correlation at least .30

An MID by distribution says what could be measured, not what matters: it is a stand-in where no anchor is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtri
from scipy.stats import rankdata

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.individual_change.methods import ALPHA
from attachment_outcomes.inference.individual_change.reading import numbers_of, scores_of
from attachment_outcomes.inference.pairing import same_people
from attachment_outcomes.inference.proportions import cluster_codes
from attachment_outcomes.inference.resampling import REPLICATES, Replicates, cluster_bootstrap, cluster_bootstrap_rows

Numbers = NDArray[np.float64]
LEAST_AUC = 0.70  # Terwee et al. (2007), J. Clin. Epidemiol., 60, 34-42: an area of at least .70 is adequate
LEAST_CORRELATION = 0.30  # Revicki et al. (2008), J. Clin. Epidemiol., 61, 102-109: anchors that correlate .30 or more
HALF_SD = 0.5  # Norman, Sloan & Wyrwich (2003), Med. Care, 41, 582-592
# Terluin, Eekhout & Terwee (2017), J. Clin. Epidemiol., 83, 90-100, from simulations; recalled, and the same in another program.
ADJUSTMENT = (0.090, 0.103)
NEWTON_STEPS, NEWTON_TOLERANCE = 60, 1e-12
# Terluin, Eekhout & Terwee (2022), J. Clin. Epidemiol., 148, 48-53: likewise; what recovery it gives is in docs/methods.
RELIABLE_ADJUSTMENT = (0.8, 0.5)
ROC_QUANTITIES = ("roc_youden", "roc_corner", "predictive", "predictive_adjusted", "predictive_reliable")
PLACE = "minimal change"
FEWEST = 5  # improved and not improved people below which no curve is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Roc:
    """How an anchor and the change go together. MIDs are in points towards better.

    ``youden`` and ``corner``  MID by Youden's index, and by least distance to sensitivity = specificity = 1
    ``sensitivity``, ``specificity``  at Youden's point, change at or beyond it counting as improved
    ``tied``                   how many other thresholds have the same Youden index; the one nearest the corner is told
    ``auc`` with ``auc_error``, ``auc_low``, ``auc_high``  area under the curve with DeLong's standard error and interval
    ``correlation``            Spearman's, of change towards better and anchor
    ``predictive``, ``adjusted``  MID by logistic regression, and corrected for ``share``, that of the improved; NaN if not found
    ``reliable``               corrected by the anchor's reliability too; NaN where that is not given
    """

    youden: float
    corner: float
    sensitivity: float
    specificity: float
    tied: int
    auc: float
    auc_error: float
    auc_low: float
    auc_high: float
    correlation: float
    predictive: float
    adjusted: float
    reliable: float
    share: float
    n: int
    n_improved: int
    note: str = ""

    @property
    def eligible(self) -> bool:
        """Whether the anchor is worth using."""
        return self.auc >= LEAST_AUC and self.correlation >= LEAST_CORRELATION


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))


def toward_better(pre: ArrayLike, post: ArrayLike, *, higher_is_better: bool) -> Numbers:
    """Return everybody's change towards better, score points; NaN where a score is missing."""
    x1, x2 = scores_of(pre, post, place=PLACE)
    return np.asarray(x2 - x1 if higher_is_better else x1 - x2, dtype=float)


def distribution_mids(
    pre: ArrayLike,
    *,
    reliability: float,
    rng: np.random.Generator,
    clusters: ArrayLike | pd.Series | None = None,
    alpha: float = ALPHA,
    replicates: int = REPLICATES,
    ci_level: float = CI_LEVEL,
) -> pd.DataFrame:
    r"""Return the MIDs that the distribution before treatment gives: half an SD, one SEM, and the smallest detectable change.

    .. math:: S_1/2, \qquad SEM = S_1\sqrt{1-r}, \qquad SDC = z\sqrt2\,SEM

    Parameters
    ----------
    pre : (n,) floats
        Scores before, points; NaN is left out.
    reliability
        Between 0 and 1; taken as known.
    rng, clusters, replicates, ci_level
        For the percentile interval of a bootstrap of people, or of whole therapists.
    alpha
        Gives z, two-sided.

    Returns
    -------
    DataFrame
        ``quantity`` (half_sd, one_sem, smallest_detectable_change), ``estimate, std_error, ci_low, ci_high, n, n_clusters, note``.

    Raises
    ------
    StatisticsError
        If the reliability is not between 0 and 1, fewer than two people have a score, or all score alike.

    References
    ----------
    Norman, G. R., Sloan, J. A., & Wyrwich, K. W. (2003). Medical Care, 41, 582-592. Wyrwich, K. W., Tierney, W. M., & Wolinsky,
    F. D. (1999). J. Clin. Epidemiol., 52, 861-873 (one SEM). de Vet, H. C. W., et al. (2006). J. Clin. Epidemiol., 59, 1033-1039.
    """
    if not 0 < reliability < 1:
        raise _refuse(f"reliability is {reliability}; allowed: between 0 and 1, both excluded.")
    same_people(PLACE, pre=pre, clusters=clusters)
    x = numbers_of(pre, place=PLACE, what="pre")
    there = ~np.isnan(x)
    labels = None if clusters is None else pd.Series(clusters).reset_index(drop=True)[there].reset_index(drop=True)
    x = x[there]
    if len(x) < 2 or not x.std() > 0:
        raise _refuse("fewer than two people, or all scored alike before treatment.")
    sem = float(np.sqrt(1 - reliability))
    factors = {
        "half_sd": HALF_SD, "one_sem": sem, "smallest_detectable_change": -float(ndtri(alpha / 2)) * float(np.sqrt(2)) * sem,
    }  # fmt: skip
    d = x - x.mean()

    def sd(sums: Numbers) -> Numbers:
        n, first, second = sums.T
        return np.asarray(np.sqrt(np.maximum(second - first**2 / n, 0) / (n - 1)), dtype=float)

    drawn = cluster_bootstrap(sd, np.column_stack([np.ones_like(d), d, d * d]), rng=rng, clusters=labels, replicates=replicates)
    found = drawn.interval(0, method="percentile", ci_level=ci_level)
    rows = [
        (name, k * found.estimate, k * found.std_error, k * found.ci_low, k * found.ci_high, len(x), found.n_clusters, found.note)
        for name, k in factors.items()
    ]
    return pd.DataFrame(rows, columns=["quantity", "estimate", "std_error", "ci_low", "ci_high", "n", "n_clusters", "note"])


def mean_change_mid(
    change: ArrayLike, minimally: ArrayLike, *, clusters: ArrayLike | pd.Series | None = None, ci_level: float = CI_LEVEL
) -> Effect:
    """Return the mean change towards better of those whom the anchor calls minimally improved, with a t interval.

    Parameters
    ----------
    change : (n,) floats
        From :func:`toward_better`; NaN is left out.
    minimally : (n,) booleans
        Whether the anchor says a little better; missing is left out.
    clusters : (n,) labels, optional
        Therapists; the interval is then cluster-robust with t on G − 1 degrees of freedom.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If fewer than two people (or clusters) are minimally improved.

    References
    ----------
    Jaeschke, R., Singer, J., & Guyatt, G. H. (1989). Controlled Clinical Trials, 10, 407-415.
    """
    same_people(PLACE, change=change, minimally=minimally, clusters=clusters)
    d = numbers_of(change, place=PLACE, what="change")
    little = _said(minimally, "minimally").fillna(False).to_numpy(dtype=bool)
    if little.shape != d.shape:
        raise _refuse(f"{len(d)} changes but {len(little)} anchors; allowed: one for each.")
    kept = little & ~np.isnan(d)
    if kept.sum() < 2:
        raise _refuse(f"{int(kept.sum())} people are minimally improved by the anchor; at least two are needed.")
    labels = None if clusters is None else cluster_codes(pd.Series(clusters).reset_index(drop=True)[kept])
    d = d[kept]
    how = "mean change of the minimally improved" + ("" if labels is None else ", cluster-robust (CR1)")
    return effect(float(d.mean()), d - d.mean(), labels, method=how, ci_level=ci_level)


def _said(values: ArrayLike, name: str) -> pd.Series:
    try:
        return pd.Series(values).astype("boolean")
    except (TypeError, ValueError):
        raise _refuse(f"{name} holds other values than true, false and missing.") from None


def _anchored(change: ArrayLike, improved: ArrayLike) -> tuple[Numbers, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the changes and the anchor of those who have both, and who they are."""
    d = numbers_of(change, place=PLACE, what="change")
    said = _said(improved, "improved")
    if len(said) != len(d):
        raise _refuse(f"{len(d)} changes but {len(said)} anchors; allowed: one for each.")
    there = ~np.isnan(d) & said.notna().to_numpy()
    yes = said[there].to_numpy(dtype=bool)
    n, positive = len(yes), int(yes.sum())
    if min(positive, n - positive) < FEWEST:
        what = f"{positive} improved and {n - positive} not improved people by the anchor; at least {FEWEST} of each are needed."
        raise _refuse(what, hint="choose another anchor, or another level of it.")
    if not np.ptp(d[there]) > 0:
        raise _refuse("everybody changed by the same amount.")
    return d[there], yes, there


def anchor_roc(
    change: ArrayLike,
    improved: ArrayLike,
    *,
    anchor: ArrayLike | None = None,
    anchor_reliability: float | None = None,
    ci_level: float = CI_LEVEL,
) -> Roc:
    r"""Return the MIDs that tell the improved from the others by an anchor, and whether the anchor is worth using.

    .. math::

        J(t) = \mathrm{sens}(t) + \mathrm{spec}(t) - 1, \qquad \log\frac{P}{1-P} = C + B d, \qquad
        MID_{pred} = \frac{\log\frac{p}{1-p} - C}{B}, \qquad
        MID_{adj} = MID_{pred} - (0.090 + 0.103\,r)\,S_d\log\frac{p}{1-p}, \qquad
        MID_{rel} = MID_{pred} - \Big(\frac{0.8}{r_a} - 0.5\Big)\,r\,S_d\log\frac{p}{1-p}

    with thresholds t midway between neighbouring changes, p the share of the improved, :math:`S_d` the SD of change and r its
    correlation with being improved, and :math:`r_a` the anchor's reliability as a rating of change.

    Parameters
    ----------
    change : (n,) floats
        From :func:`toward_better`; people without it or without an anchor are left out.
    improved : (n,) booleans
        Whether the anchor says improved.
    anchor : (n,) numbers, optional
        The anchor itself, higher = better, for its correlation with change; by default ``improved``.
    anchor_reliability
        Of the anchor as a measure of change, between 0 and 1, for the last of the MIDs.
    ci_level
        Of the interval of the area.

    Raises
    ------
    StatisticsError
        If fewer than five people are improved, or not improved, all changed alike, or the reliability is not between 0 and 1.

    Notes
    -----
    The ROC MID is one of few possible thresholds and so unsteady: it comes with a bootstrap interval (:func:`bootstrap_mids`).
    Both it and the predictive MID are biased where the share of the improved is far from one half: too large if most improved, too
    small if few did. The adjusted one repairs that where the anchor is reliable, the last one also where it is not. Their
    constants were found by simulation of normal scores.

    References
    ----------
    Youden, W. J. (1950). Cancer, 3, 32-35. DeLong, E. R., DeLong, D. M., & Clarke-Pearson, D. L. (1988). Biometrics, 44,
    837-845. Terluin, B., Eekhout, I., Terwee, C. B., & de Vet, H. C. W. (2015). J. Clin. Epidemiol., 68, 1388-1396 (predictive).
    Terluin, B., Eekhout, I., & Terwee, C. B. (2017). J. Clin. Epidemiol., 83, 90-100 (adjusted); (2022), 148,
    48-53 (by the anchor's reliability).

    Examples
    --------
    >>> found = anchor_roc([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [False] * 4 + [True, False] + [True] * 4)
    >>> found.youden, round(found.auc, 2)
    (3.5, 0.96)
    """
    same_people(PLACE, change=change, improved=improved, anchor=anchor)
    d, yes, there = _anchored(change, improved)
    values, place = np.unique(d, return_inverse=True)
    positive = np.bincount(place[yes], minlength=len(values)).astype(float)
    negative = np.bincount(place[~yes], minlength=len(values)).astype(float)
    mids = _mids(values, positive, negative, _known(anchor_reliability))
    level = _said(improved, "improved").to_numpy(dtype=float, na_value=np.nan)
    level = (level if anchor is None else numbers_of(anchor, place=PLACE, what="anchor"))[there]
    known = ~np.isnan(level)
    correlation = _spearman(d[known], level[known])
    auc, error = _delong(values, positive, negative)
    half = critical(ci_level) * error
    sensitivity, specificity, tied = _at(values, positive, negative, mids[0])
    notes = (
        [] if np.isfinite(mids[2]) else ["the logistic regression has no solution: change tells the two groups apart without error"]
    )
    notes += [f"{tied} other thresholds tell as well"] if tied else []
    return Roc(
        youden=mids[0], corner=mids[1], sensitivity=sensitivity, specificity=specificity, tied=tied, auc=auc, auc_error=error,
        auc_low=max(auc - half, 0.0), auc_high=min(auc + half, 1.0), correlation=correlation, predictive=mids[2],
        adjusted=mids[3], reliable=mids[4],
        share=float(yes.mean()), n=len(d), n_improved=int(yes.sum()), note="; ".join(notes),
    )  # fmt: skip


def bootstrap_mids(
    change: ArrayLike,
    improved: ArrayLike,
    *,
    rng: np.random.Generator,
    clusters: ArrayLike | pd.Series | None = None,
    anchor_reliability: float | None = None,
    replicates: int = REPLICATES,
) -> Replicates:
    """Return the replicates of ``ROC_QUANTITIES``: the MIDs by Youden's point, by the corner, predictive, and adjusted twice.

    People, or whole therapists, are drawn again. ``interval(which)`` of the result gives each interval; percentile limits suit
    the ROC MID, which takes few values. Parameters are as in :func:`anchor_roc`.

    Raises
    ------
    StatisticsError
        As :func:`anchor_roc`.
    """
    same_people(PLACE, change=change, improved=improved, clusters=clusters)
    d, yes, there = _anchored(change, improved)
    labels = pd.Series(np.arange(len(d)) if clusters is None else np.asarray(pd.Series(clusters), dtype=object)[there])
    values, place = np.unique(d, return_inverse=True)
    cell = place + len(values) * yes
    reliability = _known(anchor_reliability)

    def mids(rows: NDArray[np.int64], copies: NDArray[np.int64]) -> Sequence[float]:
        weights = np.bincount(cell[rows], minlength=2 * len(values)).astype(float)
        negative, positive = weights[: len(values)], weights[len(values) :]
        if min(positive.sum(), negative.sum()) < 1:
            raise StatisticsError("nobody drawn is improved, or everybody")
        # A value nobody drawn has is no neighbour of others: thresholds lie midway between those that are there.
        there = weights.reshape(2, -1).sum(axis=0) > 0
        return _mids(values[there], positive[there], negative[there], reliability)

    return cluster_bootstrap_rows(mids, rng=rng, clusters=labels, replicates=replicates)


def _known(reliability: float | None) -> float:
    """Return the anchor's reliability, NaN if it is not known."""
    if reliability is None:
        return np.nan
    if not 0 < reliability < 1:
        raise _refuse(f"the anchor's reliability is {reliability}; allowed: between 0 and 1, both excluded.")
    return float(reliability)


def _mids(values: Numbers, positive: Numbers, negative: Numbers, reliability: float) -> tuple[float, float, float, float, float]:
    """Return the MIDs from how many improved and not improved people have each value of change."""
    p, n = positive.sum(), negative.sum()
    if len(values) < 2:
        return np.nan, np.nan, np.nan, np.nan, np.nan
    sensitivity = 1 - np.cumsum(positive)[:-1] / p
    specificity = np.cumsum(negative)[:-1] / n
    between = (values[1:] + values[:-1]) / 2
    youden, distance = sensitivity + specificity, (1 - sensitivity) ** 2 + (1 - specificity) ** 2
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    first = best[np.argmin(distance[best])]
    predictive, log_odds = _predictive(values, positive, negative)
    total = p + n
    mean = float((values @ (positive + negative)) / total)
    variance = float(((values - mean) ** 2 @ (positive + negative)) / (total - 1))
    share = p / total
    # Point-biserial correlation of change with being improved.
    r = float(((values - mean) @ positive) / total) / float(np.sqrt(variance * (total - 1) / total * share * (1 - share)))
    step = float(np.sqrt(variance)) * log_odds
    adjusted = predictive - (ADJUSTMENT[0] + ADJUSTMENT[1] * r) * step
    reliable = predictive - (RELIABLE_ADJUSTMENT[0] / reliability - RELIABLE_ADJUSTMENT[1]) * r * step
    return float(between[first]), float(between[int(np.argmin(distance))]), predictive, adjusted, reliable


def _predictive(values: Numbers, positive: Numbers, negative: Numbers) -> tuple[float, float]:
    """Return the predictive MID and the log odds of being improved, by Newton's steps on two parameters."""
    total = positive + negative
    share = positive.sum() / total.sum()
    log_odds = float(np.log(share / (1 - share)))
    middle = float(values @ total / total.sum())
    scale = float(np.sqrt((values - middle) ** 2 @ total / total.sum()))
    z = (values - middle) / scale
    b0, b1 = log_odds, 0.0
    for _ in range(NEWTON_STEPS):
        chance = expit(b0 + b1 * z)
        rest, weight = positive - total * chance, total * chance * (1 - chance)
        h00, h01, h11 = float(weight.sum()), float(weight @ z), float(weight @ z**2)
        determinant = h00 * h11 - h01**2
        if not determinant > 1e-9 * h00 * h11:
            return np.nan, log_odds  # the groups are told apart without error, or nearly
        g0, g1 = float(rest.sum()), float(rest @ z)
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        longest = max(abs(step0), abs(step1))
        shorten = min(1.0, 4.0 / longest) if longest > 0 else 1.0
        b0, b1 = b0 + shorten * step0, b1 + shorten * step1
        if longest < NEWTON_TOLERANCE * (1 + abs(b0) + abs(b1)):
            return ((log_odds - b0) / b1 * scale + middle if b1 != 0 else np.nan), log_odds
    return np.nan, log_odds


def _delong(values: Numbers, positive: Numbers, negative: Numbers) -> tuple[float, float]:
    """Return the area and DeLong's standard error, from counts at each value: ties count half."""
    p, n = float(positive.sum()), float(negative.sum())
    below = (np.cumsum(negative) - negative / 2) / n  # of the not improved, for an improved person at each value
    above = 1 - (np.cumsum(positive) - positive / 2) / p
    auc = float(below @ positive / p)
    v10 = float((below - auc) ** 2 @ positive) / (p - 1)
    v01 = float((above - auc) ** 2 @ negative) / (n - 1)
    return auc, float(np.sqrt(v10 / p + v01 / n))


def _at(values: Numbers, positive: Numbers, negative: Numbers, threshold: float) -> tuple[float, float, int]:
    """Return sensitivity and specificity at a threshold, and how many others have the same sum."""
    sensitivity = 1 - np.cumsum(positive)[:-1] / positive.sum()
    specificity = np.cumsum(negative)[:-1] / negative.sum()
    here = int(np.searchsorted(values, threshold)) - 1
    total = sensitivity + specificity
    return float(sensitivity[here]), float(specificity[here]), int((total >= total.max() - 1e-12).sum()) - 1


def _spearman(a: Numbers, b: Numbers) -> float:
    if len(a) < 2 or not np.ptp(a) > 0 or not np.ptp(b) > 0:
        return np.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
