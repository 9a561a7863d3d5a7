r"""Could a curve of mean changes as far from zero have come about if nobody, on average, had changed?

Every person's change is as likely to have been seen the other way round if there was no mean change. All specifications are made
anew from the same turned signs, so that what they share is kept; the signs of a therapist's clients turn together.

For a specification with influence parts a (change) and e (scale), see :mod:`.kernels`, and signs :math:`\varepsilon`:

.. math:: d = \frac{\sum \varepsilon_i a_i}{\sum w_i}, \quad
    V = \frac{G}{G-1}\frac{\sum_g A_g^2 - 2d\sum_g\varepsilon_g A_g E_g + d^2 \sum_g E_g^2}{(\sum w_i)^2}

which is two matrix products for all reshuffles and specifications.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.change.occasions import pairs
from attachment_outcomes.change.specification.choices import Occasions
from attachment_outcomes.change.specification.kernels import Influence, standardised
from attachment_outcomes.change.specification.situation import BOUND, Handling, situation_of
from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import check_generator, cluster_codes

Numbers = NDArray[np.float64]
PERMUTATIONS = 999
FEWEST_UNITS = 6  # 2^6 sign patterns: below it no p value under .05 could be two-sided
CELLS = 20_000_000  # signs at once
ROUNDING = 1e-10
SMALLEST = 1e-300


@dataclass(frozen=True, kw_only=True)
class MeanPart:
    """One specification of a mean change: whose (``person_id``), with what influence, and the clusters of its interval."""

    people: NDArray[np.object_]
    influence: Influence
    clusters: NDArray[np.object_] | None = None


@dataclass(frozen=True, kw_only=True)
class Flipped:
    """A curve's statistics, their p values, and how often a specification came out as significant under turned signs."""

    median: float
    share_significant: float
    combined_z: float
    p_median: float
    p_share: float
    p_combined: float
    share_expected: float
    specifications: int
    permutations: int
    units: int


def mean_parts(
    long: pd.DataFrame,
    *,
    higher_is_better: bool,
    occasions: Sequence[Occasions],
    handlings: Mapping[str, Handling],
    range_: tuple[float, float] | None = None,
    therapists: pd.Series | None = None,
    rng: np.random.Generator | None = None,
) -> list[MeanPart]:
    """Return the mean-change specifications that can be turned round: single sets of scores, no bounds.

    Imputed scores are left out: their model would have to be fitted anew under every reshuffle.

    Parameters
    ----------
    long
        ``person_id, occasion, value``.
    higher_is_better, range_
        Of the scale.
    occasions, handlings
        The choices.
    therapists
        Therapist by ``person_id``: intervals allow for them.
    rng
        For handlings that draw.
    """
    long = long.sort_values(["person_id", "occasion"], kind="stable", ignore_index=True)
    found = []
    for at in [o for o in occasions if not o.refused]:
        situation = situation_of(
            long, pairs(long, baseline=at.baseline, end=at.end), higher_is_better=higher_is_better, range_=range_,
            rng=np.random.default_rng(0) if rng is None else rng, therapists=therapists,
        )  # fmt: skip
        people = situation.frame["person_id"].to_numpy(dtype=object)
        for handling in [h for h in handlings.values() if h.standing != BOUND and not h.imputes]:
            try:
                handled = handling.apply(situation)
            except StatisticsError:
                continue  # told among the specifications
            x1, x2 = handled.pre[0], handled.post[0]
            keep = ~(np.isnan(x1) | np.isnan(x2))
            if keep.sum() < 2 or not x1[keep].std() > 0:
                continue
            weights = np.ones(int(keep.sum())) if handled.weights is None else handled.weights[keep]
            influence = standardised(x1[keep], x2[keep], weights, 1.0 if higher_is_better else -1.0)
            own = None if therapists is None else therapists.reindex(people[keep]).to_numpy(dtype=object)
            found.append(MeanPart(people=people[keep], influence=influence, clusters=own))
    return found


def sign_flip_curve(
    parts: Sequence[MeanPart],
    *,
    rng: np.random.Generator,
    therapists: pd.Series | None = None,
    permutations: int = PERMUTATIONS,
    ci_level: float = CI_LEVEL,
) -> Flipped:
    """Test a curve of mean changes against no mean change in any specification.

    Parameters
    ----------
    parts
        The specifications, from :func:`mean_parts`, of one scale or of several.
    rng
        Generator of the signs.
    therapists
        Therapist by ``person_id``: their clients' signs turn together. People without one turn alone.
    permutations
        Number of reshuffles.
    ci_level
        1 − the two-sided level at which a specification is significant.

    Returns
    -------
    Flipped
        ``p_median`` (two-sided), ``p_share`` (share of specifications that are significantly better, one-sided) and ``p_combined``
        (mean of their z values, two-sided), each (b + 1)/(m + 1).

    Raises
    ------
    StatisticsError
        If there is no specification, or fewer than six people or therapists whose signs can turn.

    References
    ----------
    Simonsohn, U., Simmons, J. P., & Nelson, L. D. (2020). Nature Human Behaviour, 4, 1208-1214.
    """
    check_generator(rng, place="specification curve")
    if not parts:
        raise StatisticsError(problem("specification curve", "no mean change whose signs could be turned."))
    everybody = np.array(sorted({person for part in parts for person in part.people}), dtype=object)
    labels = pd.Series(everybody) if therapists is None else therapists.reindex(everybody).reset_index(drop=True)
    unit = cluster_codes(labels)
    units = int(unit.max()) + 1
    if units < FEWEST_UNITS:
        what = (
            f"{units} {'people' if therapists is None else 'therapists'} whose signs can turn; at least {FEWEST_UNITS} are needed."
        )
        raise StatisticsError(problem("specification curve", what))
    where = pd.Series(unit, index=everybody)
    k = len(parts)
    change, cross = np.zeros((units, k)), np.zeros((units, k))
    constant, square, total, df = np.zeros((4, k))
    for j, part in enumerate(parts):
        own = where.reindex(part.people).to_numpy()
        a, e = part.influence.change, part.influence.scale
        change[:, j] = np.bincount(own, weights=a, minlength=units)
        if part.clusters is not None:
            codes = cluster_codes(pd.Series(part.clusters))
            a, e = (np.bincount(codes, weights=v).astype(np.float64) for v in (a, e))
            firsts = np.unique(codes, return_index=True)[1]
            own = own[firsts]
        cross[:, j] = np.bincount(own, weights=np.asarray(a * e, dtype=float), minlength=units)
        groups = len(a)
        constant[j], square[j] = (factor * groups / (groups - 1) for factor in (float(a @ a), float(e @ e)))
        cross[:, j] *= groups / (groups - 1)
        total[j], df[j] = part.influence.weights.sum(), groups - 1
    limit = student.ppf(0.5 + ci_level / 2, df)

    def statistics(signs: NDArray[np.floating[Any]]) -> Numbers:
        d = signs @ change / total
        variance = np.maximum(constant - 2 * d * (signs @ cross) + d**2 * square, 0.0) / total**2
        t = np.divide(d, np.sqrt(variance), out=np.zeros_like(d), where=variance > 0)
        z = np.sign(t) * norm.isf(np.maximum(student.sf(np.abs(t), df), SMALLEST))
        return np.column_stack([np.median(d, axis=1), (t > limit).mean(axis=1), z.mean(axis=1)])

    seen = statistics(np.ones((1, units)))[0]
    extreme, significant = np.zeros(3), 0.0
    step = max(1, CELLS // units)
    for done in range(0, permutations, step):
        size = min(step, permutations - done)
        drawn = statistics(1.0 - 2.0 * rng.integers(0, 2, size=(size, units)))
        slack: Numbers = ROUNDING * np.abs(seen)
        extreme += [
            (np.abs(drawn[:, 0]) >= abs(seen[0]) - slack[0]).sum(), (drawn[:, 1] >= seen[1] - slack[1]).sum(),
            (np.abs(drawn[:, 2]) >= abs(seen[2]) - slack[2]).sum(),
        ]  # fmt: skip
        significant += float(drawn[:, 1].sum())
    p = (extreme + 1) / (permutations + 1)
    return Flipped(
        median=float(seen[0]), share_significant=float(seen[1]), combined_z=float(seen[2]), p_median=float(p[0]),
        p_share=float(p[1]), p_combined=float(p[2]),
        share_expected=significant / permutations, specifications=k, permutations=permutations, units=units,
    )  # fmt: skip
