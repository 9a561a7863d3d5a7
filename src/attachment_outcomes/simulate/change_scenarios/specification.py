"""Known truth for equivalence between two groups of therapists' clients, and for specification curves without mean change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import t as student

from attachment_outcomes.change.equivalence import group_equivalence
from attachment_outcomes.change.specification.kernels import standardised
from attachment_outcomes.change.specification.signs import MeanPart, sign_flip_curve
from attachment_outcomes.inference.multiplicity import adjust_p_values
from attachment_outcomes.inference.weighting import seen_weights
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

Numbers = NDArray[np.float64]
OUTCOMES = ("relationship", "regulation", "parenting")
ANY = "any of three"
Groups = tuple[Numbers, Numbers, NDArray[np.bool_], NDArray[np.int64]]


def security_groups(
    rng: np.random.Generator,
    *,
    therapists: int,
    each: int,
    difference: float,
    margin: float,
    earned: float,
    spread: float,
    icc: float,
    stability: float,
    together: float,
) -> Sample:
    r"""Three outcomes of earned and continuously secure clients of therapists, at baseline and at the end.

    .. math:: y_{ij} = difference \cdot earned_{ij} + \sqrt{icc}\,w_j + \sqrt{1 - icc}\,e_{ij}, \quad
        earned_{ij} \sim B(p_j), \quad p_j \sim Beta,\ \mathrm{E}\,p_j = earned,\ \mathrm{Var}\,p_j = spread \cdot earned(1-earned)

    The baselines correlate ``stability`` with e and do not differ between groups; e of two outcomes correlate ``together``. The
    SD within groups is 1. Targets: ``difference``, and by outcome ``margin left``, what is left of the margin: 0 where the groups
    differ by just what matters, so that finding them equivalent is an error. ``any of three`` is the same of the whole family.
    """
    therapist = np.repeat(np.arange(therapists), each)
    n, concentration = len(therapist), 1 / spread - 1
    rate = betaincinv(earned * concentration, (1 - earned) * concentration, np.clip(rng.random(therapists), 1e-12, 1 - 1e-12))
    group = rng.random(n) < rate[therapist]
    between, shared, own, fresh = normals(rng, 3, therapists), normals(rng, n), normals(rng, 3, n), normals(rng, 3, n)
    within = np.sqrt(together) * shared + np.sqrt(1 - together) * own
    end = difference * group + np.sqrt(icc) * between[:, therapist] + np.sqrt(1 - icc) * within
    start = stability * within + np.sqrt(1 - stability**2) * fresh
    left = margin - abs(difference)
    return Sample((start, end, group, therapist), {"difference": difference, "margin left": left, ANY: left})


def compared(data: Groups, *, by_therapist: bool, adjusted: bool, margin: float) -> Iterator[Finding]:
    """Test three outcomes for equivalence; the first outcome's difference and error, and the family's under Holm."""
    start, end, group, therapist = data
    found = [
        group_equivalence(y, group, baseline=x if adjusted else None, clusters=therapist if by_therapist else None, margin=margin)
        for x, y in zip(start, end, strict=True)
    ]
    first = found[0]
    half = float(student.ppf(0.975, first.df)) * first.std_error
    yield Finding("difference", first.estimate, first.std_error, first.estimate - half, first.estimate + half, first.p_difference)
    yield Finding("margin left", margin - abs(first.estimate), p_value=first.p_value)
    family = adjust_p_values([f.p_value for f in found])
    yield Finding(ANY, max(margin - abs(f.estimate) for f in found), p_value=float(family.min()))


def unchanged(
    rng: np.random.Generator, *, therapists: int, each: int, effect: float, icc: float, reliability: float, leave: float
) -> Sample:
    r"""Two scales over three waves of therapists' clients; therapists differ in how their clients change.

    .. math:: x_{ijt} = \tau_{ijt} + \epsilon_{ijt}, \quad \tau_{ijt} - \tau_{ij0} = \tfrac t2 (-effect + w_j + u_{ij}), \quad
        \mathrm{Var}\,w = icc\,v,\ \mathrm{Var}\,u = (1 - icc)v,\ v = 0.5

    Baselines have SD 1; lower is better. After wave 0 and after wave 1 a client leaves with probability ``leave``, whatever the
    scores. Targets: ``median``, ``significant share`` and ``combined z`` of the curve, each 0 without mean change.
    """
    therapist = np.repeat(np.arange(therapists), each)
    n = len(therapist)
    true = np.sqrt(reliability) * normals(rng, 2, n)
    w, u = normals(rng, therapists), normals(rng, n)
    gain = -effect + np.sqrt(0.5 * icc) * w[therapist] + np.sqrt(0.5 * (1 - icc)) * u
    error = np.sqrt(1 - reliability) * normals(rng, 2, 3, n)
    there = np.cumsum(rng.random((2, n)) < leave, axis=0) == 0
    scores = np.array([[true[k] + t / 2 * gain + error[k, t] for t in range(3)] for k in range(2)])
    scores[:, 1:][:, ~there] = np.nan
    return Sample((scores, therapist), {"median": effect, "significant share": effect, "combined z": effect})


def flipped(data: tuple[Numbers, NDArray[np.int64]], *, methods: Sequence[str], permutations: int, seed: int) -> Iterator[Finding]:
    """Test the curve of both scales, two ends and three handlings; signs turn by ``therapist``, or by ``client`` as if independent.

    The specifications are those of :func:`~attachment_outcomes.change.specification.signs.mean_parts`, made from arrays.
    """
    scores, therapist = data
    owners = pd.Series(therapist.astype(object))
    found = []
    for x in scores:
        last = np.where(np.isnan(x[2]), x[1], x[2])
        for post, before in ((last, x[0]), (x[2], np.where(np.isnan(x[1]), x[0], x[1]))):
            seen = ~np.isnan(post)
            design = np.column_stack([np.ones(len(post)), (x[0] - x[0].mean()) / x[0].std()])
            weights = seen_weights(design, seen.astype(float)).weights
            found += [
                (x[0], post, seen.astype(float)),
                (x[0], np.where(seen, post, before), np.ones(len(post))),
                (x[0], post, weights),
            ]
    for method in methods:
        together = method == "therapist"
        parts = [_part(*one, owners if together else None) for one in found]
        curve = sign_flip_curve(
            parts, rng=np.random.default_rng(seed), therapists=owners if together else None, permutations=permutations
        )
        yield Finding("median", curve.median, p_value=curve.p_median, method=method)
        yield Finding("significant share", curve.share_significant, p_value=curve.p_share, method=method)
        yield Finding("combined z", curve.combined_z, p_value=curve.p_combined, method=method)


def _part(pre: Numbers, post: Numbers, weights: Numbers, owners: pd.Series | None) -> MeanPart:
    keep = np.flatnonzero(weights > 0)
    influence = standardised(pre[keep], post[keep], weights[keep], -1.0)
    clusters = None if owners is None else owners.to_numpy(dtype=object)[keep]
    return MeanPart(people=keep.astype(object), influence=influence, clusters=clusters)
