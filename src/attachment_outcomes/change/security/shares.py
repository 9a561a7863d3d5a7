r"""What share of the insecure reach security, what share would without true change, and how far apart are they?

Vocabulary
----------
earned security          insecure at baseline, secure at the end (prospective; the retrospective kind, judged from an interview
                         about childhood, is another thing: :mod:`.retrospective`)
crossing                 secure at the end, whatever the size of the change
with reliable change     and changed by more than error on every side that kept the person insecure
sustained                secure at the end and at a later follow-up
expected without change  share of the same people who would be counted if nobody truly changed, see :mod:`.expectation`
excess                   earned security minus that share: the estimand
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.change.aligned import check_pairs, check_region, check_secure
from attachment_outcomes.change.security.dropout import filled, weighted_share
from attachment_outcomes.change.security.expectation import (
    ALPHA,
    PLACE,
    WHICH,
    Chance,
    Flags,
    Numbers,
    Reference,
    Which,
    crossed_reliably,
    error_covariance,
    moment_influence,
    moments,
    probability_of_reliable_crossing,
    probability_of_staying,
    probability_without_change,
    reference_variance,
    reliable_distance,
    widened,
)
from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import CLUSTERED, WILSON, Proportion, cluster_codes, proportion, robust_variance

ANALYSIS = "earned_security"
SECURE = "secure"
CROSSING, RELIABLE, SUSTAINED = "crossing", "crossing with reliable change", "sustained at follow-up"
DEFINITIONS = [CROSSING, RELIABLE, SUSTAINED]
COMPLETE, WEIGHTED, WORST, BEST = "complete cases", "weighted for drop-out", "worst case of drop-out", "best case of drop-out"
DROPOUT = [COMPLETE, WEIGHTED, WORST, BEST]
SCREENED = "chosen by observed scores"  # what a row is called whose expectation rests on a reference population
FEW_EVENTS = 10  # people who reached it, or did not; below, the delta method's interval of a difference is too short
CAVEAT = "crossing the boundary is not by itself a change of attachment: read it beside the share expected without change"
OWN_MOMENTS = (
    "assumes normal scores, the given reliabilities at every occasion, and people chosen, if at all, by what they truly are: true "
    "scores centre on this sample's mean; where people were chosen by a high observed score, the expectation is too low"
)
REFERENCE_MOMENTS = (
    "assumes normal scores, the given reliabilities at every occasion, and people chosen by their observed scores alone from the "
    "reference population, towards which they regress; where they were chosen by what they truly are, the expectation is too high"
)


@dataclass(frozen=True)
class _Sample:
    """Everybody with a class at baseline: who was insecure, who was seen after, who then counts, in which cluster."""

    insecure: Flags
    seen: Flags
    reached: Flags
    x: Numbers | None
    codes: NDArray[np.int64] | None
    covariates: Numbers | None

    def only(self, keep: Flags) -> _Sample:
        """Return some of the people; clusters are numbered anew."""
        return _Sample(
            self.insecure[keep], self.seen[keep], self.reached[keep], None if self.x is None else self.x[keep],
            None if self.codes is None else cluster_codes(self.codes[keep]),
            None if self.covariates is None else self.covariates[keep],
        )  # fmt: skip


def earned_security(
    baseline: ArrayLike,
    end: ArrayLike,
    *,
    secure: str = SECURE,
    scores: ArrayLike | None = None,
    end_scores: ArrayLike | None = None,
    follow_up: ArrayLike | None = None,
    reliability: tuple[float, float] | None = None,
    region: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    definition: str = CROSSING,
    which: Which = "crossed",
    dropout: str = COMPLETE,
    covariates: ArrayLike | None = None,
    reference: Reference | None = None,
    error_correlation: float = 0.0,
    alpha: float = ALPHA,
    outcome: str = "",
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    note: str = "",
) -> list[Estimate]:
    """Return the share of the insecure who become secure, the share expected without true change, and the excess.

    Parameters
    ----------
    baseline, end : (n,) words
        Class of each person. Without a class at baseline a person is left out; without one at the end see ``dropout``.
    secure
        The class that counts as secure; every other one is insecure.
    scores : (n, 2) floats, optional
        Baseline anxiety and avoidance (higher = less secure), for the expectation.
    end_scores : (n, 2) floats, optional
        The same at the end, for ``crossing with reliable change``.
    follow_up : (n,) words, optional
        Class at a later occasion, for ``sustained at follow-up``.
    reliability : (anxiety, avoidance), optional
        In (0, 1), in the population whose moments are used.
    region : (k, 3) floats, optional
        The secure half-planes of the rule that made the classes; see :mod:`attachment_outcomes.inference.half_planes`.
    clusters : (n,) labels, optional
        Therapists.
    definition
        ``crossing``, ``crossing with reliable change`` or ``sustained at follow-up``.
    which
        For reliable change: on every side that kept the person insecure (``crossed``), on ``any``, or on ``both`` dimensions.
    dropout
        ``complete cases``, ``weighted for drop-out``, ``worst case of drop-out`` or ``best case of drop-out``.
    covariates : (n, k) floats, optional
        For the weights, beside the two baseline scores; a missing one is the mean, and that it was missing a covariate too.
    reference
        Population from which people were chosen by their observed scores. Without it the sample's own moments are used, which
        presumes that they were chosen, if at all, by what they truly are. This is the default because it needs nothing that is not
        known.
    error_correlation
        Of the two errors of one occasion; 0 unless something is known.
    alpha
        For reliable change, two-sided.
    outcome, primary, note
        Passed into the rows.
    ci_level
        Confidence level.

    Returns
    -------
    list of Estimate
        ``earned_security``, ``expected_without_change`` and ``excess`` (proportions). What the data cannot answer is a row
        that says so.

    Raises
    ------
    StatisticsError
        If the inputs differ in length, Series have different indexes (arrays are paired by position), a reliability is not in
        (0, 1), a word is not known, ``secure`` is no word or differs from a class by case or blanks alone, or the scores and the
        region do not give the classes.

    Notes
    -----
    The share has Wilson's interval (on the effective n if there are clusters or weights). The excess has a delta-method interval
    from influence values that include the estimation of mean, covariance and weights, summed within clusters, with t on G − 1 df;
    where fewer than 10 people reached it (or did not) it is made of the limits of its two shares. The reliabilities and a reference
    without ``n``, are taken as known. The distance that counts as reliable is fixed by the data before it is used for both the
    observed and the expected share.
    """
    for word, allowed in ((definition, DEFINITIONS), (dropout, DROPOUT)):
        if word not in allowed:
            raise StatisticsError(problem(PLACE, f"found {word!r}; allowed: {', '.join(allowed)}.{did_you_mean(word, allowed)}"))
    first, last = pd.Series(baseline).reset_index(drop=True), pd.Series(end).reset_index(drop=True)
    if len(first) != len(last):
        raise StatisticsError(problem(PLACE, f"{len(first)} baseline but {len(last)} end classes."))
    check_pairs(PLACE, baseline=baseline, end=end, follow_up=follow_up if definition == SUSTAINED else None)
    series: dict[str, Any] = {"baseline": baseline, "end": end, "follow_up": follow_up, "clusters": clusters}
    series |= {"scores": scores, "end_scores": end_scores}
    check_pairs(PLACE, **{k: v for k, v in series.items() if isinstance(v, pd.Series | pd.DataFrame)})
    check_secure(PLACE, secure, [*first.dropna(), *last.dropna()])
    for r in reliability or ():
        if not 0 < r < 1:
            raise StatisticsError(problem(PLACE, f"reliability {r}; allowed: between 0 and 1, both excluded."))
    label = "; ".join([definition, *([] if dropout == COMPLETE else [dropout]), *([SCREENED] if reference else [])])
    x, y = (_points(v, len(first)) for v in (scores, end_scores))
    planes = None if region is None else np.asarray(region, dtype=float)
    for classes, points in ((first, x), (last, y)):
        if points is not None and planes is not None:
            there = classes.notna().to_numpy()
            check_region(PLACE, (classes[there] == secure).to_numpy(dtype=bool), points[there], planes)
    if not ((first == secure).any() or (last == secure).any()):
        note = "; ".join(t for t in (f"nobody is classed {secure!r} at either occasion", note) if t)
    seen, reached, distance = last.notna().to_numpy(), (last == secure).fillna(False).to_numpy(dtype=bool), None
    if definition == SUSTAINED:
        if follow_up is None:
            return [_untestable(f"{SUSTAINED}: nobody was followed up after the end", outcome, label)]
        later = pd.Series(follow_up).reset_index(drop=True)
        if len(later) != len(first):
            raise StatisticsError(problem(PLACE, f"{len(first)} baseline but {len(later)} follow-up classes."))
        seen, reached = seen & later.notna().to_numpy(), reached & (later == secure).fillna(False).to_numpy(dtype=bool)
    if definition == RELIABLE:
        if x is None or y is None or reliability is None or planes is None:
            return [_untestable(f"{RELIABLE}: needs scores at both occasions, reliabilities and known bounds", outcome, label)]
        seen = seen & ~np.isnan(y).any(axis=1)
        pairs = seen & first.notna().to_numpy() & ~np.isnan(x).any(axis=1)
        if pairs.sum() < 3:
            who = "1 person" if pairs.sum() == 1 else f"{int(pairs.sum())} people"
            return [_untestable(f"{RELIABLE}: {who} with both scores; three are needed", outcome, label)]
        spread = np.cov(x[pairs].T, ddof=1) if reference is None else np.asarray(reference.covariance, dtype=float)
        distance = reliable_distance(planes, spread, reliability, error_correlation=error_correlation, alpha=alpha)
        reached = reached & crossed_reliably(x, y, planes, distance, which=which)
    known = first.notna().to_numpy() & (seen if dropout == COMPLETE else True)
    if dropout in (WORST, BEST):
        reached, seen = np.where(seen, reached, dropout == BEST), np.ones(len(first), dtype=bool)
    extra = None if covariates is None else np.asarray(covariates, dtype=float).reshape(len(first), -1)
    codes = None if clusters is None else cluster_codes(clusters, n=len(first))
    sample = _Sample((first != secure).to_numpy(dtype=bool), seen, reached, x, codes, extra).only(known)
    if not sample.insecure.any():
        return [_untestable("nobody classed at both occasions was insecure at baseline", outcome, label)]
    row, influence, told = _observed(sample, dropout, ci_level)
    if row is None:
        return [_untestable(f"{dropout}: {told}", outcome, label)]
    kept = f"reliable change {WHICH[which]}" if definition == RELIABLE else ""
    shown = Estimate(
        analysis=ANALYSIS, estimand="earned_security", outcome=outcome, definition=label, primary=primary, estimate=row.estimate,
        std_error=row.std_error, ci_low=row.ci_low, ci_high=row.ci_high, ci_level=ci_level, n=row.n, n_clusters=row.n_clusters,
        unit="proportion", direction="higher is better", method=row.method,
        note="; ".join(t for t in (CAVEAT, kept, told, row.note, note) if t),
    )  # fmt: skip
    lacking = "scores" if x is None else "reliabilities of both dimensions" if reliability is None else "a rule with known bounds"
    if x is None or reliability is None or planes is None:
        return [shown, _untestable(f"excess over measurement error: needs {lacking}", outcome, label, "excess")]
    if sample.x is None or np.isnan(sample.x).any():
        return [shown, _untestable("excess over measurement error: some classed people have no scores", outcome, label, "excess")]
    chance = _chance(definition, reliability, planes, distance, which, error_correlation)
    try:
        error_covariance(np.eye(2), reliability, error_correlation=error_correlation)
        more = _excess(sample, row, influence, chance, reference, ci_level)
    except StatisticsError as error:
        return [shown, _untestable(f"excess over measurement error: {error}", outcome, label, "excess")]
    model = OWN_MOMENTS if reference is None else "; ".join(t for t in (REFERENCE_MOMENTS, reference.source) if t)
    text = "; ".join(t for t in (model, f"reliabilities {reliability[0]:g} and {reliability[1]:g}", kept, told, note) if t)
    rows = [replace(r, outcome=outcome, definition=label, primary=primary) for r in more]
    return [shown, *(replace(r, note="; ".join(t for t in (text, r.note) if t)) for r in rows)]


def _points(given: ArrayLike | None, n: int) -> Numbers | None:
    if given is None:
        return None
    x = np.asarray(given, dtype=float)
    if x.shape != (n, 2):
        raise StatisticsError(problem(PLACE, f"scores have shape {x.shape}; allowed: {(n, 2)}."))
    return x


def _chance(
    definition: str, reliability: tuple[float, float], region: Numbers, distance: Numbers | None, which: Which, correlation: float
) -> Chance:
    if definition == CROSSING:
        return lambda x, m, c: probability_without_change(x, m, c, reliability, region, error_correlation=correlation)
    if definition == SUSTAINED:
        return lambda x, m, c: probability_of_staying(x, m, c, reliability, region, error_correlation=correlation)
    assert distance is not None  # made above, where the definition asks for it
    fixed = distance
    return lambda x, m, c: probability_of_reliable_crossing(
        x, m, c, reliability, region, fixed, which=which, error_correlation=correlation
    )


def _untestable(reason: str, outcome: str, definition: str, group: str = "") -> Estimate:
    return replace(not_testable(ANALYSIS, reason, outcome=outcome), group=group, definition=definition)


def _observed(s: _Sample, dropout: str, ci_level: float) -> tuple[Proportion | None, Numbers, str]:
    """Return the share with its interval, each person's influence on it, and what is to be told of the weights."""
    rate = s.insecure.mean()
    influence = np.zeros(len(s.insecure))
    codes = None if s.codes is None else s.codes[s.insecure]
    if dropout != WEIGHTED or s.seen[s.insecure].all():
        reached = s.reached[s.insecure]
        share = proportion(reached, clusters=codes, ci_level=ci_level)
        influence[s.insecure] = (reached - reached.mean()) / rate
        told = "everybody insecure at baseline was seen, so that there is nothing to weight" if dropout == WEIGHTED else ""
        return share, influence, told
    seen = s.seen[s.insecure]
    given = [] if s.x is None else [s.x[s.insecure]]
    given += [] if s.covariates is None else [filled(s.covariates[s.insecure], seen)]
    try:
        if not given:
            raise StatisticsError("needs scores at baseline or other covariates")
        found = weighted_share(s.reached[s.insecure], seen, np.column_stack(given))
    except StatisticsError as error:
        return None, influence, str(error)
    influence[s.insecure] = found.influence / rate
    told = (
        f"{found.n_seen} of {found.n} were seen; the weights leave the information of {found.effective:.0f} of them, "
        f"the largest weight is {found.largest:.2g}"
    )
    labels = None if codes is None else cluster_codes(codes)
    variance, df = robust_variance(found.influence, labels)
    p = found.estimate
    plain = wilson(p * found.n_seen, found.n_seen, ci_level=ci_level)
    if 0 < p < 1 and variance > 0:
        shrink = float(norm.ppf(0.5 + ci_level / 2) / student.ppf(0.5 + ci_level / 2, df)) ** 2
        n_effective = max(min(p * (1 - p) / variance, found.n_seen) * shrink, 1.0)
        plain = wilson(p * n_effective, n_effective, ci_level=ci_level)
    return Proportion(
        estimate=p, std_error=float(np.sqrt(variance)), ci_low=plain.ci_low, ci_high=plain.ci_high, ci_level=ci_level, n=found.n,
        n_clusters=np.nan if labels is None else df + 1, design_effect=np.nan,
        method=f"inverse-probability weights, {WILSON if labels is None else CLUSTERED}",
    ), influence, told  # fmt: skip


def _excess(
    s: _Sample, share: Proportion, influence: Numbers, chance: Chance, reference: Reference | None, ci_level: float
) -> list[Estimate]:
    """Return the rows of the expectation and of what is observed beyond it."""
    assert s.x is not None  # the caller has seen to that
    mean, covariance = moments(s.x, reference)
    x = s.x[s.insecure]
    each = chance(x, mean, covariance)
    expected = float(each.mean())
    own = np.zeros(len(s.x))
    own[s.insecure] = (each - expected) / s.insecure.mean()
    drift, gradient = moment_influence(s.x, mean, covariance, lambda m, c: np.array([chance(x, m, c).mean()]))
    extra = 0.0
    if reference is None:
        own = own + drift[:, 0]
    else:
        extra = float(gradient[:, 0] @ reference_variance(reference) @ gradient[:, 0])
    how = "delta method" + ("" if s.codes is None else ", cluster-robust (CR1), t on G - 1 df")
    rows = []
    found_alone = widened(effect(expected, own, s.codes, method=how, ci_level=ci_level), extra)
    beyond = widened(effect(share.estimate - expected, influence - own, s.codes, method=how, ci_level=ci_level), extra)
    counted = share.estimate * (s.insecure & s.seen).sum()
    if min(counted, (s.insecure & s.seen).sum() - counted) < FEW_EVENTS:
        beyond = _by_limits(share, found_alone, beyond)
    for estimand, e in (("expected_without_change", found_alone), ("excess", beyond)):
        bounds = (max(e.ci_low, 0.0), min(e.ci_high, 1.0)) if estimand != "excess" else (e.ci_low, e.ci_high)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, estimate=e.estimate, std_error=e.std_error, ci_low=bounds[0],
                ci_high=bounds[1], ci_level=ci_level, p_value=e.p_value if estimand == "excess" else np.nan,
                n=int(s.insecure.sum()), n_clusters=e.n_clusters, unit="proportion",
                direction="higher is better" if estimand == "excess" else "",
                method=e.method, note=e.note,
            )
        )  # fmt: skip
    return rows


def _by_limits(share: Proportion, alone: Effect, beyond: Effect) -> Effect:
    r"""Return the excess with an interval from those of its two parts.

    .. math:: d - \sqrt{(p - l)^2 + (u_e - e)^2}, \quad d + \sqrt{(u - p)^2 + (e - l_e)^2}

    with the limits l, u of the observed and of the expected share. With few events the delta method takes the observed share for
    nearly certain (with none, for wholly so), where Wilson's limits do not. The two shares go together, which this leaves out: the
    interval is on the long side. There is no p value.

    References
    ----------
    Zou, G. Y., & Donner, A. (2008). Statistics in Medicine, 27, 1693-1702.
    """
    p, e = share.estimate, alone.estimate
    low, high = (float(v) for v in (np.hypot(p - share.ci_low, alone.ci_high - e), np.hypot(share.ci_high - p, e - alone.ci_low)))
    note = "; ".join(t for t in (f"fewer than {FEW_EVENTS} people reached it, or did not", beyond.note) if t)
    return replace(
        beyond, ci_low=p - e - low, ci_high=p - e + high, p_value=np.nan, note=note,
        method="from Wilson's limits of the observed and the delta method's of the expected share",
    )  # fmt: skip
