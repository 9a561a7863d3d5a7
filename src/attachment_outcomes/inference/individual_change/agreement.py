r"""Do the rules agree on who changed, and how much does what they say hang on the numbers they rest on?

Vocabulary
----------
code          a person's category by one rule as a number, in the order of the categories; −1 where the rule says nothing
pattern       the set of rules that call a person improved (or deteriorated)
sensitivity   the share of the improved, recovered and deteriorated as the reliability, or the least change that counts, varies
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.individual_change.methods import (
    CATEGORIES,
    DETERIORATED,
    IMPROVED,
    METHODS,
    Setting,
    expected_improved,
    threshold,
)
from attachment_outcomes.inference.individual_change.reliable import statistic_and_code
from attachment_outcomes.inference.individual_change.significance import RECOVERED, Cutoff
from attachment_outcomes.inference.proportions import cluster_codes, proportion, robust_variance

Numbers = NDArray[np.float64]
Codes = NDArray[np.int8]
BLOCK = 100_000  # people whose codes are held as yes/no columns at once
WEIGHTS = ("none", "linear")
AGREEMENT_COLUMNS = ["rule_a", "rule_b", "kappa", "ci_low", "ci_high", "agreement", "n"]
NO_RULE, OTHER, AND = "no rule", "other", " + "
MOST_RULES = 62  # a pattern is the bits of one whole number
LEAST = 10  # people of a pattern that is told by itself
RELIABILITY, MID = "reliability", "least change that counts"
SENSITIVITY_COLUMNS = ["parameter", "value", "estimand", "share", "ci_low", "ci_high", "expected_without_change", "in_use", "n"]


def rule_codes(pre: ArrayLike, post: ArrayLike, *, setting: Setting, names: Sequence[str], higher_is_better: bool) -> Codes:
    """Return everybody's code by every rule: (n, rules), positions in improved, unchanged, deteriorated; −1 = missing."""
    x1, x2 = np.asarray(pre, dtype=float), np.asarray(post, dtype=float)
    out = np.empty((len(x1), len(names)), dtype=np.int8, order="F")
    for k, name in enumerate(names):
        out[:, k] = statistic_and_code(x1, x2, name, setting, higher_is_better)[1]
    return out


def _check_codes(codes: ArrayLike, names: Sequence[str], classes: int) -> Codes:
    array = np.asarray(codes)
    if array.ndim != 2 or array.shape[1] != len(names) or array.dtype.kind not in "iu":
        what = f"found {array.dtype} codes of shape {array.shape} for {len(names)} rules; allowed: whole numbers, people by rules."
        raise StatisticsError(problem("rules compared", what))
    if len(set(names)) < len(names):
        raise StatisticsError(problem("rules compared", "two rules bear one name."))
    if array.size and (array.min() < -1 or array.max() >= classes):
        what = f"found codes from {array.min()} to {array.max()}; allowed: -1 (missing) to {classes - 1}."
        raise StatisticsError(problem("rules compared", what))
    return array.astype(np.int8, copy=False)


def pairwise_counts(codes: ArrayLike, *, classes: int = len(CATEGORIES)) -> NDArray[np.int64]:
    """Return the table of counts of every pair of rules, (rules, rules, classes, classes); people missing in either are left out.

    One product of matrices for all pairs: a million people by twelve rules take seconds.
    """
    array = np.asarray(codes)
    array = _check_codes(array, [str(k) for k in range(array.shape[1] if array.ndim == 2 else 0)], classes)
    rules = array.shape[1]
    total = np.zeros((rules * classes, rules * classes))
    for start in range(0, len(array), BLOCK):
        # Sums of a block stay below 2^24, up to which single precision counts exactly.
        there = (array[start : start + BLOCK, :, None] == np.arange(classes, dtype=np.int8)).reshape(-1, rules * classes)
        yes = there.astype(np.float32)
        total += yes.T @ yes
    return total.reshape(rules, classes, rules, classes).transpose(0, 2, 1, 3).astype(np.int64)


def rule_agreement(
    codes: ArrayLike,
    names: Sequence[str],
    *,
    classes: int = len(CATEGORIES),
    weights: Literal["none", "linear"] = "none",
    clusters: ArrayLike | pd.Series | None = None,
    ci_level: float = CI_LEVEL,
) -> pd.DataFrame:
    r"""Return Cohen's kappa of every pair of rules, with its interval and the share who are in the same category.

    .. math::

        \kappa_w = \frac{\sum w_{ij}p_{ij} - p_e}{1 - p_e}, \quad p_e = \sum w_{ij}p_{i\cdot}p_{\cdot j}, \quad
        u_{ij} = \frac{w_{ij} - (\bar w_{i\cdot} + \bar w_{\cdot j})(1-\kappa_w) - \kappa_w + p_e(1-\kappa_w)}{1-p_e}

    with :math:`w_{ij}` 1 on the diagonal and else 0, or :math:`1-|i-j|/(K-1)` (``linear``: improved against deteriorated is a
    greater disagreement than either against unchanged). The variance is that of the mean of u (Fleiss, Cohen & Everitt, 1969),
    summed within clusters where there are any.

    Parameters
    ----------
    codes : (n, rules) whole numbers
        From :func:`rule_codes`, or of any rules: 0 to ``classes`` − 1 in their order, −1 where missing.
    names
        The rules.
    classes, weights, ci_level
        Number of categories, weights, and confidence level.
    clusters : (n,) labels, optional
        Therapists; the interval then uses t on G − 1 degrees of freedom.

    Returns
    -------
    DataFrame
        ``AGREEMENT_COLUMNS``, a row a pair in the order of the names. ``n`` counts who has a category by both. Kappa is NaN
        where it is not defined (all in one category by both, or nobody); the interval is NaN where one rule has a single
        category, and without length where all agree.

    Raises
    ------
    StatisticsError
        If codes or labels do not fit, or the weights are unknown.

    References
    ----------
    Fleiss, J. L., Cohen, J., & Everitt, B. S. (1969). Psychological Bulletin, 72, 323-327.
    """
    array = _check_codes(codes, names, classes)
    if weights not in WEIGHTS:
        raise StatisticsError(
            problem("weights", f"found {weights!r}; allowed: {', '.join(WEIGHTS)}.{did_you_mean(weights, WEIGHTS)}")
        )
    labels = None if clusters is None else cluster_codes(clusters, n=len(array))
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes)))
    w = (apart == 0).astype(float) if weights == "none" else 1 - apart / (classes - 1)
    tables = pairwise_counts(array, classes=classes)
    rows = []
    for a, b in combinations(range(len(names)), 2):
        table = tables[a, b]
        value, low, high = _kappa(table, w, array[:, a], array[:, b], labels, ci_level)
        n = int(table.sum())
        same = float(np.trace(table)) / n if n else np.nan
        rows.append((names[a], names[b], value, low, high, same, n))
    out = pd.DataFrame(rows, columns=AGREEMENT_COLUMNS)
    return out.astype({"rule_a": "str", "rule_b": "str", **dict.fromkeys(AGREEMENT_COLUMNS[2:6], "float64"), "n": "int64"})


def _kappa(
    table: NDArray[np.int64], w: Numbers, first: Codes, second: Codes, labels: NDArray[np.int64] | None, ci_level: float
) -> tuple[float, float, float]:
    n = int(table.sum())
    if n == 0:
        return np.nan, np.nan, np.nan
    p = table / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    chance = float(rows @ w @ columns)
    if np.count_nonzero(rows) == 1 and np.count_nonzero(columns) == 1 and np.trace(table) == n:
        return np.nan, np.nan, np.nan
    value = (float((w * p).sum()) - chance) / (1 - chance)
    if min(np.count_nonzero(rows), np.count_nonzero(columns)) == 1:
        return value, np.nan, np.nan
    inner = w - ((w @ columns)[:, None] + (rows @ w)[None, :]) * (1 - value)
    influence = (inner - (value - chance * (1 - value))) / (1 - chance)
    if labels is None:
        half = critical(ci_level) * float(np.sqrt((p * influence**2).sum() / n))
        return value, value - half, value + half
    both = (first >= 0) & (second >= 0)
    own = labels[both]
    there = np.unique(own, return_inverse=True)[1]
    if there.max() == 0:
        return value, np.nan, np.nan
    variance, df = robust_variance(influence[first[both], second[both]], there)
    half = float(student.ppf(0.5 + ci_level / 2, df)) * float(np.sqrt(variance))
    return value, value - half, value + half


def rule_patterns(
    codes: ArrayLike, names: Sequence[str], *, called: int = CATEGORIES.index(IMPROVED), least: int = LEAST, most: int = 15
) -> pd.DataFrame:
    """Return how many people each set of rules calls improved (or another category), the largest set of people first.

    Parameters
    ----------
    codes, names
        As in :func:`rule_agreement`. A person of whom a rule says nothing is not called so by it.
    called
        The category, by its number.
    least, most
        Patterns of fewer than ``least`` people, and all but the ``most`` largest, are pooled as ``other``, with as many more as
        make these at least ``least`` people: a pattern of one person would show what the rules say of that person.

    Returns
    -------
    DataFrame
        ``pattern`` (names joined by `` + ``, ``no rule``, or ``other``) and ``n``; the counts sum to the number of people.

    Raises
    ------
    StatisticsError
        If codes do not fit or there are too many rules.
    """
    array = _check_codes(codes, names, 1 + max(called, int(np.max(codes, initial=0))))
    if len(names) > MOST_RULES:
        raise StatisticsError(problem("patterns", f"{len(names)} rules; allowed: up to {MOST_RULES}."))
    bits = np.zeros(len(array), dtype=np.int64)
    for k in range(len(names)):
        bits |= (array[:, k] == called).astype(np.int64) << k
    seen, n = np.unique(bits, return_counts=True)
    words = [AND.join(name for k, name in enumerate(names) if pattern >> k & 1) or NO_RULE for pattern in seen.tolist()]
    ordered = sorted(zip((-n).tolist(), words, strict=True))
    kept = [(word, -count) for count, word in ordered if -count >= least][:most]
    pooled = len(array) - sum(count for _, count in kept)
    while 0 < pooled < least and kept:
        pooled += kept.pop()[1]
    if pooled:
        kept.append((OTHER, pooled))
    return pd.DataFrame(kept, columns=["pattern", "n"]).astype({"pattern": "str", "n": "int64"})


def _complete(pre: ArrayLike, post: ArrayLike, clusters: ArrayLike | pd.Series | None) -> tuple[Numbers, Numbers, Any]:
    x1, x2 = (np.asarray(pd.Series(x).to_numpy(dtype=float, na_value=np.nan)) for x in (pre, post))
    if x1.shape != x2.shape:
        raise StatisticsError(problem("sensitivity", f"{len(x1)} scores before but {len(x2)} after; allowed: pairs."))
    both = ~(np.isnan(x1) | np.isnan(x2))
    if not both.any():
        raise StatisticsError(problem("sensitivity", "nobody has both scores."))
    labels = None if clusters is None else cluster_codes(clusters, n=len(x1))[both]
    return x1[both], x2[both], labels


def sensitivity_to_reliability(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    setting: Setting,
    method: str = "JT",
    values: Sequence[float],
    higher_is_better: bool,
    cutoff: Cutoff | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    ci_level: float = CI_LEVEL,
) -> pd.DataFrame:
    r"""Return the shares of the improved, recovered and deteriorated by one rule at each reliability.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points; people with NaN in either are left out.
    setting
        As the study has it; its reliability is added to the values and marked ``in_use``. A reliability of the end score that
        equals that of the first varies with it.
    method
        A rule that needs a reliability.
    values
        Reliabilities, between 0 and 1.
    higher_is_better, cutoff, clusters, ci_level
        Direction; for the recovered (None: not told); for the intervals (Wilson, at the effective n of therapists).

    Returns
    -------
    DataFrame
        ``SENSITIVITY_COLUMNS``. ``improved`` holds the recovered. ``expected_without_change``: the share if nobody had truly
        changed (:func:`.methods.expected_improved`; for the recovered see :func:`expected_recovered`).

    Raises
    ------
    StatisticsError
        If the rule does not rest on a reliability, or a value is not between 0 and 1.
    """
    if RELIABILITY not in METHODS[method].needs:
        raise StatisticsError(problem("sensitivity", f"{method} does not rest on a reliability.", hint="choose JT."))
    if not all(0 < v < 1 for v in values):
        raise StatisticsError(problem("sensitivity", "a reliability is not between 0 and 1."))
    x1, x2, labels = _complete(pre, post, clusters)
    together = setting.reliability_post == setting.reliability
    rows = []
    for value in sorted({*map(float, values), setting.reliability}):
        here = replace(setting, reliability=value, reliability_post=value if together else setting.reliability_post)
        in_use = value == setting.reliability
        rows += _shares(x1, x2, here, method, higher_is_better, cutoff, labels, ci_level, (RELIABILITY, value, in_use))
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


def sensitivity_to_mid(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    setting: Setting,
    values: Sequence[float],
    in_use: float | None = None,
    higher_is_better: bool,
    cutoff: Cutoff | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    ci_level: float = CI_LEVEL,
) -> pd.DataFrame:
    """Return the same shares at each least change that counts (score points; change *at* it counts).

    Parameters are as in :func:`sensitivity_to_reliability`; ``in_use`` is the study's own value, if it has one.

    Raises
    ------
    StatisticsError
        If a value is not positive.
    """
    wanted = {*map(float, values), *(() if in_use is None else (float(in_use),))}
    if not all(v > 0 for v in wanted):
        raise StatisticsError(problem("sensitivity", "a least change is not positive."))
    x1, x2, labels = _complete(pre, post, clusters)
    rows = []
    for value in sorted(wanted):
        here = replace(setting, criterion=value)
        key = (MID, value, in_use is not None and value == in_use)
        rows += _shares(x1, x2, here, "criterion", higher_is_better, cutoff, labels, ci_level, key)
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


def _shares(
    x1: Numbers, x2: Numbers, setting: Setting, method: str, higher: bool, cutoff: Cutoff | None,
    labels: NDArray[np.int64] | None, ci_level: float, key: tuple[str, float, bool],
) -> list[tuple[Any, ...]]:  # fmt: skip
    code = statistic_and_code(x1, x2, method, setting, higher)[1]
    there = code >= 0
    by_chance = expected_improved(method, setting)
    better, worse = code == CATEGORIES.index(IMPROVED), code == CATEGORIES.index(DETERIORATED)
    told = [(IMPROVED, better, by_chance), (DETERIORATED, worse, by_chance)]
    if cutoff is not None:
        moved = cutoff.clinical(x1, higher_is_better=higher) & cutoff.functional(x2, higher_is_better=higher)
        told.insert(1, (RECOVERED, better & moved, expected_recovered(x1, setting, method, cutoff, higher)))
    parameter, value, in_use = key
    rows: list[tuple[Any, ...]] = []
    for estimand, event, expected in told:
        n = int(there.sum())
        if n == 0:
            rows.append((parameter, value, estimand, np.nan, np.nan, np.nan, expected, in_use, 0))
            continue
        found = proportion(event[there], clusters=None if labels is None else labels[there], ci_level=ci_level)
        rows.append((parameter, value, estimand, found.estimate, found.ci_low, found.ci_high, expected, in_use, n))
    return rows


def expected_recovered(x1: Numbers, setting: Setting, method: str, cutoff: Cutoff, higher_is_better: bool) -> float:
    r"""Return the share who would be called recovered if nobody truly changed, given everybody's score before.

    .. math:: \frac1n\sum_{i\,clinical} \Phi\left(\frac{d\,[M_1 + r(x_{1i}-M_1)] - \max(d\,cutoff,\ b_i)}{S_1\sqrt{1-r^2}}\right)

    with :math:`b_i` the end score (times d) from which the rule calls person i improved. It presumes true scores that centre on
    this sample's mean and equal errors at both occasions; NaN where the mean is not known or the rule is no line in the end score.
    """
    sign = 1.0 if higher_is_better else -1.0
    if setting.mean_pre is None or len(x1) == 0 or not setting.reliability > 0:
        return np.nan
    still = METHODS[method].statistic(x1, np.zeros_like(x1), setting)
    slope = METHODS[method].statistic(x1, np.ones_like(x1), setting) - still
    with np.errstate(divide="ignore", invalid="ignore"):
        least = (threshold(method, setting) - sign * still) / slope
    expected = setting.mean_pre + setting.reliability * (x1 - setting.mean_pre)
    chance = ndtr((sign * expected - np.maximum(sign * cutoff.value, least)) / setting.se_prediction)
    clinical = cutoff.clinical(x1, higher_is_better=higher_is_better)
    return float(np.where(clinical, chance, 0.0).mean())
