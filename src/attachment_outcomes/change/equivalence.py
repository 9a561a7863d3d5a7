r"""Is the treated people's end like a norm, is a change too small to matter, and do the earned secure look like the always secure?

Vocabulary
----------
margin              the smallest difference that would matter; the bounds are one margin on either side of no difference
earned secure       insecure at baseline, secure at the end
continuously secure secure at both
verdict             ``equivalent``, ``different``, ``different, but within bounds``, or ``neither shown``; two groups are never
                    said not to differ because a test of their difference found nothing
family              the outcomes asked one question; their p values are adjusted together (Holm)

The two one-sided tests are those of :mod:`attachment_outcomes.inference.equivalence`; an end mean beside a norm and two groups
within therapists need standard errors of their own, which are here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from attachment_outcomes.change.equivalence_margins import check_margins, margin_of
from attachment_outcomes.change.inputs import SELF, ChangeData, Outcome
from attachment_outcomes.change.occasions import long_scores, pairs
from attachment_outcomes.change.security_groups import security_at_both
from attachment_outcomes.errors import DataError, StatisticsError, problem
from attachment_outcomes.inference.effects import effect
from attachment_outcomes.inference.equivalence import ALPHA, OUTCOMES, Equivalence, estimate_equivalence, paired_equivalence
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import estimate_direction, scale_of
from attachment_outcomes.inference.multiplicity import adjust_p_values
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, cluster_codes, robust_variance
from attachment_outcomes.inference.steps import Part, stacked

Numbers = NDArray[np.float64]
ANALYSIS = "equivalence"
NORM, NO_CHANGE, SECURITY = "end and norm", "no relevant change", "earned and continuously secure"
ESTIMANDS = {NORM: "end_minus_norm", NO_CHANGE: "mean_change", SECURITY: "earned_minus_continuous"}
UNADJUSTED, ADJUSTED = "unadjusted", "adjusted for baseline"
VERDICTS = {
    "equivalent": "equivalent", "different": "different", "both": "different, but within bounds", "undecided": "neither shown",
}  # fmt: skip
MARGIN_SD = 0.3  # of earned and continuously secure, pooled SDs: the bounds that the field's claim is put in
MIN_GROUP = 10  # below it two groups say nothing about bounds as narrow as these
TABLES: dict[str, dict[str, str]] = {
    "equivalence": {
        "question": "str", "outcome": "str", "definition": "str", "primary": "bool", "estimate": "float64", "std_error": "float64",
        "df": "float64", "low": "float64", "high": "float64", "tost_low": "float64", "tost_high": "float64", "ci_low": "float64",
        "ci_high": "float64", "ci_level": "float64", "alpha": "float64", "p_equivalence": "float64", "p_difference": "float64",
        "p_equivalence_holm": "float64", "p_difference_holm": "float64", "family_size": "int64", "verdict": "str", "unit": "str",
        "n": "float64", "first_n": "float64", "second_n": "float64", "n_clusters": "float64", "margin_source": "str",
        "method": "str", "note": "str",
    }
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One outcome's answer to one question, before the family is adjusted."""

    question: str
    outcome: str
    definition: str
    primary: bool
    found: Equivalence
    unit: str
    direction: str
    margin_source: str
    groups: tuple[float, float] = (math.nan, math.nan)


def norm_equivalence(
    scores: ArrayLike,
    *,
    mean: float,
    sd: float,
    low: float,
    high: float,
    n: float | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    alpha: float = ALPHA,
) -> Equivalence:
    r"""Test whether people's mean is like that of a norm sample.

    .. math:: D = \bar x - M_0, \quad SE^2 = SE_{\bar x}^2 + S_0^2/n_0, \quad
        \nu = \frac{SE^4}{SE_{\bar x}^4/\nu_x + (S_0^2/n_0)^2/(n_0 - 1)}

    Parameters
    ----------
    scores : (n,) floats
        Scores at the end, score points; NaN is left out.
    mean, sd, n
        Of the norm sample; without ``n`` the norm is taken as known without error, and the note says so.
    low, high
        Bounds of D, score points, one below and one above 0.
    clusters : (n,) labels, optional
        Therapist of each person: :math:`SE_{\bar x}` is then cluster-robust (CR1), :math:`\nu_x` the number of therapists − 1.
    alpha
        Level of each one-sided test.

    Returns
    -------
    Equivalence
        ``estimate`` is D; ``null`` is 0.

    Raises
    ------
    StatisticsError
        If fewer than two people or clusters remain, nobody differs, or the norm or the bounds are impossible.

    References
    ----------
    Kendall, P. C., Marrs-Garcia, A., Nath, S. R., & Sheldrick, R. C. (1999). JCCP, 67, 285-299 (normative comparisons by
    equivalence tests).
    """
    if not sd > 0 or not math.isfinite(mean) or (n is not None and not n > 1):
        what = f"norm with mean {mean}, SD {sd} and n {n}; allowed: a mean, an SD above 0, more than one person."
        raise StatisticsError(problem(ANALYSIS, what))
    x = np.asarray(scores, dtype=float)
    there = ~np.isnan(x)
    if there.sum() < 2:
        who = "1 person" if there.sum() == 1 else f"{int(there.sum())} people"
        raise StatisticsError(problem(ANALYSIS, f"{who} with a score at the end; at least two are needed."))
    codes = None if clusters is None else cluster_codes(pd.Series(clusters).reset_index(drop=True)[there])
    x = x[there]
    own = effect(float(x.mean()), x - x.mean(), codes, method="")
    norm = 0.0 if n is None else sd**2 / n
    variance = own.std_error**2 + norm
    parts = own.std_error**4 / own.df + (0.0 if n is None else norm**2 / (n - 1))
    df = variance**2 / parts if parts > 0 else math.nan
    found = estimate_equivalence(own.estimate - mean, math.sqrt(variance), low=low, high=high, df=df, alpha=alpha)
    told = "the norm's own error is not known and not counted" if n is None else f"norm of {n:g} people"
    how = "TOST, mean and norm" + ("" if codes is None else ", cluster-robust (CR1)")
    return replace(found, n=own.n, n_clusters=own.n_clusters, method=how, note="; ".join(t for t in (told, own.note) if t))


def group_equivalence(
    end: ArrayLike,
    earned: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    margin: float = MARGIN_SD,
    alpha: float = ALPHA,
) -> Equivalence:
    r"""Test whether two groups' end means are alike, in pooled SDs, within therapists and at equal baselines if asked.

    .. math:: d = b / S_p, \quad u_i = \frac{n\,[(X'X)^{-1} x_i]_b\, e_i}{S_p\sqrt{1 - h_i}} - \frac d2\Big(\frac{r_i^2}{S_p^2} -
        \overline{r^2/S_p^2}\Big)

    with b the coefficient of ``earned`` in a least-squares model of the end (with ``baseline``, if given), e its residuals, h
    the leverages (HC2), r the residuals from the group means and :math:`S_p` their pooled SD (ddof 2), whether or not the
    baseline is in the model. The variance is that of the mean of u, summed within clusters (CR1), with t on G − 1 degrees of
    freedom; without clusters Welch's.

    Parameters
    ----------
    end : (n,) floats
        Scores at the end; people with NaN are left out.
    earned : (n,) booleans
        True: of the first group (d = first − second).
    baseline : (n,) floats, optional
        Scores at baseline, for the adjusted difference; people with NaN are left out.
    clusters : (n,) labels, optional
        Therapists.
    margin
        Smallest difference that matters, in pooled SDs.
    alpha
        Level of each one-sided test.

    Raises
    ------
    StatisticsError
        If a group has fewer than two people, nobody differs within the groups, the baseline tells the groups apart
        perfectly, there are fewer than two clusters, or the settings are impossible.

    References
    ----------
    Lakens, D. (2017). Social Psychological and Personality Science, 8, 355-362. MacKinnon, J. G., & White, H. (1985). J.
    Econometrics, 29, 305-325 (HC2).
    """
    y, first = np.asarray(end, dtype=float), np.asarray(earned, dtype=bool)
    before = None if baseline is None else np.asarray(baseline, dtype=float)
    if y.shape != first.shape or (before is not None and before.shape != y.shape):
        raise StatisticsError(problem(ANALYSIS, "scores and groups differ in length."))
    there = ~np.isnan(y) if before is None else ~(np.isnan(y) | np.isnan(before))
    codes = None if clusters is None else cluster_codes(pd.Series(clusters).reset_index(drop=True)[there])
    y, first = y[there], first[there]
    sizes = int(first.sum()), int((~first).sum())
    if min(sizes) < 2:
        raise StatisticsError(problem(ANALYSIS, f"groups of {sizes[0]} and {sizes[1]}; each needs at least two scores."))
    n = len(y)
    means = np.where(first, y[first].mean(), y[~first].mean())
    residual = y - means
    spread = float((residual**2).sum() / (n - 2))
    columns = [np.ones(n), first.astype(float)]
    if before is not None:
        columns.append(before[there] - before[there].mean())
    design = np.column_stack(columns)
    if spread == 0 or np.linalg.matrix_rank(design) < design.shape[1]:
        why = "nobody differs within the groups" if spread == 0 else "the baseline does not vary, or is that of the groups"
        raise StatisticsError(problem(ANALYSIS, f"{why}, so there is nothing to test."))
    bread = np.linalg.inv(design.T @ design)
    weights = design @ bread
    b = float(weights[:, 1] @ y)
    e = y - design @ (weights.T @ y)
    leverage = np.einsum("ij,ij->i", weights, design)
    # A leverage of 1 means that a person's residual is 0 whatever the score: there is nothing to rescale.
    scale = np.where(leverage < 1 - 1e-9, 1 / np.sqrt(np.clip(1 - leverage, 1e-9, None)), 0.0)
    sd = math.sqrt(spread)
    d = b / sd
    own = n * weights[:, 1] * e * scale / sd
    influence = own - d / 2 * (residual**2 - (residual**2).mean()) / spread
    variance, df = robust_variance(influence, codes)
    if codes is None:
        parts = [float((own[g] ** 2).sum()) for g in (first, ~first)]
        df = sum(parts) ** 2 / sum(p**2 / (k - 1) for p, k in zip(parts, sizes, strict=True))
    found = estimate_equivalence(d, math.sqrt(variance), low=-margin, high=margin, df=df, alpha=alpha)
    how = f"TOST, difference in pooled SDs{'' if before is None else ' at equal baselines'}, "
    how += "HC2, Welch's degrees of freedom" if codes is None else "cluster-robust (CR1)"
    few = codes is not None and df + 1 < FEW_CLUSTERS
    return replace(
        found, n=n, n_clusters=math.nan if codes is None else df + 1, method=how,
        note=f"few clusters ({df + 1:.0f}): the interval may be too short" if few else "",
    )  # fmt: skip


def verdict(p_equivalence: float, p_difference: float, *, alpha: float = ALPHA) -> str:
    """Return the verdict that two p values give: of equivalence, and of no difference."""
    return VERDICTS[OUTCOMES[bool(p_equivalence < alpha), bool(p_difference < alpha)]]


def adjusted_families(asked: list[Asked], *, ci_level: float) -> list[dict[str, Any]]:
    """Return the rows of the table ``equivalence``: every question and definition is a family of its own, adjusted by Holm.

    Each verdict is that of the adjusted p values.
    """
    rows: list[dict[str, Any]] = []
    for question, definition in dict.fromkeys((a.question, a.definition) for a in asked):
        family = [a for a in asked if (a.question, a.definition) == (question, definition)]
        of_equivalence = adjust_p_values([a.found.p_value for a in family])
        of_difference = adjust_p_values([a.found.p_difference for a in family])
        for a, p, q in zip(family, of_equivalence, of_difference, strict=True):
            f = a.found
            half = float(student.ppf(0.5 + ci_level / 2, f.df)) * f.std_error
            rows.append(
                {
                    "question": question, "outcome": a.outcome, "definition": definition, "primary": a.primary,
                    "estimate": f.estimate, "std_error": f.std_error, "df": f.df, "low": f.low, "high": f.high,
                    "tost_low": f.ci_low, "tost_high": f.ci_high, "ci_low": f.estimate - half, "ci_high": f.estimate + half,
                    "ci_level": ci_level, "alpha": f.alpha, "p_equivalence": f.p_value, "p_difference": f.p_difference,
                    "p_equivalence_holm": float(p), "p_difference_holm": float(q), "family_size": len(family),
                    "verdict": verdict(float(p), float(q), alpha=f.alpha), "unit": a.unit, "direction": a.direction, "n": f.n,
                    "first_n": a.groups[0], "second_n": a.groups[1], "n_clusters": f.n_clusters,
                    "margin_source": a.margin_source, "method": f.method, "note": f.note,
                }
            )  # fmt: skip
    return rows


def analyse(data: ChangeData) -> Part:
    """Answer the three questions for a study's outcomes.

    Settings (``change.equivalence``, all optional): ``alpha``; ``margins``, score to the smallest difference that matters in
    score points; ``norm_margin_sd`` where neither the study nor the instrument knows one; ``security`` with ``outcomes`` (scores
    at the end; by default the study's outcomes that are no dimension of the classification), ``margin_sd``, ``min_group``.

    Returns
    -------
    Part
        Estimates: a row a question, outcome and definition, with the interval at the study's level, the adjusted p value of
        equivalence, and the verdict in the note. Table ``equivalence`` (counts: ``n``, ``first_n``, ``second_n``; ``tost_low``
        and ``tost_high`` are the limits of the 1 − 2 alpha interval).

    Raises
    ------
    ConfigError
        If a margin is given for a score that is no outcome of the study.
    """
    settings: Mapping[str, Any] = data.settings.get("equivalence") or {}
    check_margins(settings.get("margins") or {}, [str(o["score"]) for o in data.outcomes])
    asked: list[Asked] = []
    refused: list[Estimate] = []
    for position, outcome in enumerate(data.outcomes):
        _outcome(data, outcome, settings, position == 0, asked, refused)
    _security(data, settings, asked, refused)
    rows = adjusted_families(asked, ci_level=data.ci_level)
    table = stacked([pd.DataFrame(rows)] if rows else [], TABLES["equivalence"], ["question", "outcome", "definition"])
    return Part([*(_estimate(r) for r in rows), *refused], {"equivalence": table})


def _estimate(row: Mapping[str, Any]) -> Estimate:
    bounds = f"bounds {row['low']:g} and {row['high']:g} ({row['margin_source']})"
    note = f"{row['verdict']}; {bounds}; p is that of equivalence, adjusted by Holm over {row['family_size']} outcomes"
    return Estimate(
        analysis=ANALYSIS, estimand=ESTIMANDS[row["question"]], outcome=row["outcome"], definition=row["definition"],
        primary=row["primary"], estimate=row["estimate"], std_error=row["std_error"], ci_low=row["ci_low"], ci_high=row["ci_high"],
        ci_level=row["ci_level"], p_value=row["p_equivalence_holm"], n=row["n"], n_clusters=row["n_clusters"], unit=row["unit"],
        direction=row["direction"], method=row["method"], note="; ".join(t for t in (note, row["note"]) if t),
    )  # fmt: skip


def _refusal(question: str, reason: str, outcome: str, definition: str = "") -> Estimate:
    return replace(not_testable(ANALYSIS, f"{question}: {reason}", outcome=outcome), group=question, definition=definition)


def norm_of(outcome: Outcome, scale: Mapping[str, Any]) -> tuple[dict[str, float | None] | None, str]:
    """Return the functional norm (mean, SD, n) of the primary definition, else of the instrument, and its standing."""
    definition = (outcome.get("definitions") or [{}])[0]
    given = definition.get("functional")
    if given is not None:
        told = "functional norm given by the study" + ("" if definition.get("verified") else ", not checked")
        return {"mean": float(given["mean"]), "sd": float(given["sd"]), "n": _n(given)}, told
    for entry in scale.get("norms", []):
        if entry["population"] == "functional":
            told = "functional norm of the instrument" + ("" if entry["verified"] else ", recalled, not checked")
            return {"mean": float(entry["mean"]), "sd": float(entry["sd"]), "n": _n(entry)}, told
    return None, ""


def _n(entry: Mapping[str, Any]) -> float | None:
    return None if entry.get("n") is None else float(entry["n"])


def _outcome(
    data: ChangeData, outcome: Outcome, settings: Mapping[str, Any], primary: bool, asked: list[Asked], refused: list[Estimate]
) -> None:
    score, alpha = str(outcome["score"]), float(settings.get("alpha", ALPHA))
    try:
        scale, found = data.scale(outcome), data.pairs(outcome)
        norm, told = norm_of(outcome, scale)
        margin, source = margin_of(score, scale, settings, None if norm is None else norm["sd"])
    except (DataError, StatisticsError) as error:
        refused.extend(_refusal(q, str(error), score) for q in (NORM, NO_CHANGE))
        return
    labels, direction = data.therapists_of(found["person_id"]), estimate_direction(scale)
    labels = None if labels is None or labels.isna().all() else labels
    pre, post = (found[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post"))
    bounds = {"low": -margin, "high": margin, "alpha": alpha}
    try:
        if norm is None:
            raise StatisticsError("neither the study nor the instrument has a functional norm")
        tested = norm_equivalence(post, mean=norm["mean"] or 0.0, sd=norm["sd"] or 0.0, n=norm["n"], clusters=labels, **bounds)
        tested = replace(tested, note=f"{told}; {tested.note}")
        asked.append(Asked(NORM, score, "", primary, tested, "score points", direction, source))
    except StatisticsError as error:
        refused.append(_refusal(NORM, str(error), score))
    try:
        tested = paired_equivalence(pre, post, clusters=labels, **bounds)
        asked.append(Asked(NO_CHANGE, score, "", primary, tested, "score points", direction, source))
    except StatisticsError as error:
        refused.append(_refusal(NO_CHANGE, str(error), score))


def _security(data: ChangeData, settings: Mapping[str, Any], asked: list[Asked], refused: list[Estimate]) -> None:
    """Compare earned and continuously secure people on each outcome, unadjusted (primary) and at equal baselines.

    The groups are those among the people who have the outcome, so that couples who have no therapy of their own are compared
    on what couples filled in.
    """
    block: Mapping[str, Any] = settings.get("security") or {}
    try:
        classed, made_of = security_at_both(data)
    except (DataError, StatisticsError) as error:
        refused.append(_refusal(SECURITY, str(error), ""))
        return
    listed = block.get("outcomes")
    scores = list(listed) if listed is not None else [str(o["score"]) for o in data.outcomes if str(o["score"]) not in made_of]
    if not scores:
        refused.append(
            _refusal(SECURITY, "every outcome is a dimension that the classes are made of; name others in equivalence/security", "")
        )
    for position, score in enumerate(scores):
        note = "the classes are made of this score, so that both groups are selected by it" if score in made_of else ""
        try:
            scale = scale_of(score, data.instruments)
            long = long_scores(data.scores, score=score, rater=SELF, occasions=data.occasions)
            values = pairs(data.of_treated(long, score), **data.when)
        except (DataError, StatisticsError) as error:
            refused.append(_refusal(SECURITY, str(error), score))
            continue
        people = values.merge(classed, on="person_id", how="inner")
        people = people[people["post"].notna().to_numpy()].reset_index(drop=True)
        sizes = int(people["earned"].sum()), int((~people["earned"]).sum())
        least = int(block.get("min_group", MIN_GROUP))
        if min(sizes) < least:
            reason = (
                f"{sizes[0]} earned and {sizes[1]} continuously secure people with {score} at the end; each group needs {least}"
            )
            refused.append(_refusal(SECURITY, reason, score))
            continue
        roles = data.people.set_index("person_id")["role"].reindex(people["person_id"])
        if (roles == "partner").any():
            note = "; ".join(t for t in (note, "partners of one couple are taken as independent") if t)
        _groups(data, people, score, scale, block, settings, position == 0, note, asked, refused)


def _groups(
    data: ChangeData, people: pd.DataFrame, score: str, scale: Mapping[str, Any], block: Mapping[str, Any],
    settings: Mapping[str, Any], first: bool, note: str, asked: list[Asked], refused: list[Estimate],
) -> None:  # fmt: skip
    margin = float(block.get("margin_sd", MARGIN_SD))
    labels = data.therapists_of(people["person_id"])
    labels = None if labels is None or labels.isna().all() else labels
    post, pre, earned = (people[c].to_numpy(dtype=k) for c, k in (("post", float), ("pre", float), ("earned", bool)))
    for definition, baseline in ((UNADJUSTED, None), (ADJUSTED, pre)):
        try:
            found = group_equivalence(
                post, earned, baseline=baseline, clusters=labels, margin=margin, alpha=float(settings.get("alpha", ALPHA))
            )
        except StatisticsError as error:
            refused.append(_refusal(SECURITY, str(error), score, definition))
            continue
        found = replace(found, note="; ".join(t for t in (note, found.note) if t))
        used = earned if baseline is None else earned[~np.isnan(pre)]
        sizes = float(used.sum()), float((~used).sum())
        asked.append(
            Asked(SECURITY, score, definition, first and baseline is None, found, "SD units", estimate_direction(scale),
                  "pooled SDs, fixed beforehand", sizes)
        )  # fmt: skip
