"""How many couples recover in satisfaction, by how much measurement error, and are their partners then secure?

The couple mean is treated as one score: its SD is that of the couple means before treatment, and its reliability is taken
to be that of one partner's score, as Jacobson, Follette and Revenstorf (1984, Behavior Therapy, 15, 336-352) did. The mean
of two scores is at least as reliable, so the criterion is a strict one.

Vocabulary
----------
distressed      the couple mean is on the clinical side of the cutoff before treatment; only such couples can recover
recovered       distressed before, reliably improved, and on the functional side at the end
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.reliable_index import (
    IMPROVED,
    RECOVERED,
    Cutoff,
    Norm,
    categories,
    choose_cutoff,
    is_clinical,
    reliable_change_index,
)

RECOVERY, INDIVIDUAL = "couple_recovery", "couple_individual"
NEUTRAL = "neutral"
HIGHER_IS_BETTER = "higher is better"
MISSING_VARIANT = "couples without an end counted as not recovered"
SECURE, UNSURE = "secure", "boundary"
COLUMNS = [
    "couple_id", "person_a", "person_b", "outcome", "definition", "primary", "pre", "post", "change", "statistic",
    "category", "clinical_at_baseline",
]  # fmt: skip


@dataclass(frozen=True)
class Definition:
    """One definition of a couple's change, resolved from the study's settings and the instrument; ``why_not`` if it cannot be."""

    name: str
    reliability: float
    sd: float | None
    kind: str
    clinical: Norm | None
    functional: Norm | None
    instrument: Cutoff | None
    higher_is_better: bool
    why_not: str = ""


def definition(given: Mapping[str, Any], scale: Mapping[str, Any]) -> Definition:
    """Return a definition of change from the study's entry, filled up from the instrument's scale.

    The first reliability, the first norm of each population and the first cutoff of the instrument are its defaults.
    ``sd: reference`` means the SD of the clinical norm, or else of the functional one.
    """
    norms = {n["population"]: n for n in reversed(scale.get("norms", []))}

    def norm(name: str) -> Norm | None:
        found = given.get(name) or norms.get(name)
        return Norm(float(found["mean"]), float(found["sd"])) if found else None

    reliabilities = scale.get("reliability", [])
    reliability = given.get("reliability") or (reliabilities[0]["value"] if reliabilities else math.nan)
    cutoffs = scale.get("cutoffs", [])
    own = Cutoff(float(cutoffs[0]["value"]), "instrument", bool(cutoffs[0]["inclusive"])) if cutoffs else None
    clinical, functional = norm("clinical"), norm("functional")
    kind = given.get("cutoff", "auto")
    reference = given.get("sd", "sample") == "reference"
    reference_norm = clinical or functional
    sd = reference_norm.sd if reference and reference_norm is not None else None
    why_not = ""
    if scale.get("direction", NEUTRAL) == NEUTRAL:
        why_not = "the scale has no better end"
    elif math.isnan(reliability):
        why_not = "no reliability is given, by the study or the instrument"
    elif reference and sd is None:
        why_not = "no reference sample is given, by the study or the instrument"
    return Definition(
        given.get("name") or f"{given.get('method', 'JT')}, cutoff {kind}", float(reliability), sd, kind, clinical, functional,
        own, scale.get("direction") == HIGHER_IS_BETTER, why_not,
    )  # fmt: skip


def couple_change(couples: pd.DataFrame, rule: Definition, *, outcome: str, primary: bool) -> tuple[pd.DataFrame, Cutoff | None]:
    """Return each couple's change and category by one definition: ``COLUMNS``.

    Parameters
    ----------
    couples : DataFrame
        couple_id, person_a, person_b, pre, post (couple means in score points; missing stays missing).
    rule : Definition
        Reliability, SD (without one that of the couple means before treatment, of couples with both) and cutoff. Cutoffs a
        and c, asked for without a clinical norm, take the mean and SD of the couple means before treatment.
    outcome : str
        Name of the score.
    primary : bool
        Marks the primary definition.

    Raises
    ------
    StatisticsError
        If fewer than two couples have both means and no SD is given, or the couple means do not vary.
    """
    pre, post = couples["pre"].to_numpy(dtype=float), couples["post"].to_numpy(dtype=float)
    both = ~(np.isnan(pre) | np.isnan(post))
    if both.sum() < 2 and (rule.sd is None or (rule.kind in ("a", "c") and rule.clinical is None)):
        raise StatisticsError(problem(outcome, f"{int(both.sum())} couples have both means; an SD needs 2.", hint="give norms."))
    clinical = rule.clinical
    if clinical is None and rule.kind in ("a", "c"):
        clinical = Norm(float(pre[both].mean()), float(pre[both].std(ddof=1)))
    cutoff = choose_cutoff(
        rule.kind, clinical=clinical, functional=rule.functional, instrument=rule.instrument, higher_is_better=rule.higher_is_better
    )
    sd = float(pre[both].std(ddof=1)) if rule.sd is None else rule.sd
    category = categories(pre, post, sd=sd, reliability=rule.reliability, cutoff=cutoff, higher_is_better=rule.higher_is_better)
    out = couples[["couple_id", "person_a", "person_b"]].assign(
        outcome=outcome,
        definition=rule.name,
        primary=primary,
        pre=pre,
        post=post,
        change=post - pre,
        statistic=reliable_change_index(pre, post, sd=sd, reliability=rule.reliability),
        category=category,
        clinical_at_baseline=pd.Series(pd.NA, index=couples.index, dtype="boolean"),
    )
    if cutoff is not None:
        distressed = pd.Series(is_clinical(pre, cutoff, higher_is_better=rule.higher_is_better), index=out.index, dtype="boolean")
        out["clinical_at_baseline"] = distressed.mask(np.isnan(pre))
    return couple_frame([out]), cutoff


def couple_frame(frames: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """Return couples' changes with fixed columns and types."""
    kinds: dict[str, Any] = dict.fromkeys(("pre", "post", "change", "statistic"), "float64")
    kinds |= {"primary": "bool", "clinical_at_baseline": "boolean"}
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    return whole[COLUMNS].astype({c: kinds.get(c, "str") for c in COLUMNS})


def recovery_rates(changes: pd.DataFrame, *, cutoff: Cutoff | None, ci_level: float = CI_LEVEL, flow: Flow) -> list[Estimate]:
    """Estimate the share of distressed couples that recovered and of all couples that reliably improved.

    Parameters
    ----------
    changes : DataFrame
        From :func:`couple_change`, one definition.
    cutoff : Cutoff or None
        Without one recovery is not testable.
    ci_level : float
        Confidence level of Wilson's interval.
    flow : Flow
        Takes the couples left out.

    Returns
    -------
    list of Estimate
        analysis ``couple_recovery``: recovered (of distressed couples with both means) and reliably_improved (of couples
        with both means, recovered ones included); and both again, not primary, with couples that have no end counted as not
        recovered or improved.
    """
    first = changes.iloc[0] if len(changes) else pd.Series({"outcome": "", "definition": "", "primary": False})
    outcome, name, primary = str(first["outcome"]), str(first["definition"]), bool(first["primary"])
    started, ended = changes["pre"].notna(), changes["category"].notna()
    step = f"couples, {outcome}, {name}"
    flow.add(step, len(changes), int(started.sum()), "no occasion with both partners' scores at baseline", unit="couples")
    flow.add(step, int(started.sum()), int((started & ended).sum()), "no later occasion with both partners' scores", unit="couples")
    distressed = changes["clinical_at_baseline"].fillna(False).astype(bool)
    if cutoff is not None:
        reason = "not distressed at baseline (counts for improvement, not for recovery)"
        flow.add(step, int((started & ended).sum()), int((distressed & ended).sum()), reason, unit="couples")
    recovered = changes["category"] == RECOVERED
    improved = changes["category"].isin([IMPROVED, RECOVERED])

    def rate(estimand: str, event: pd.Series, among: pd.Series, label: str, main: bool, why: str) -> Estimate:
        if not among.any():
            return replace(not_testable(RECOVERY, f"{estimand}: {why}", outcome=outcome), definition=label, group=estimand)
        n = int(among.sum())
        found = wilson(int((event & among).sum()), n, ci_level=ci_level)
        return Estimate(
            analysis=RECOVERY, estimand=estimand, outcome=outcome, definition=label, primary=main, estimate=found.estimate,
            std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, n=n, n_clusters=n,
            unit="proportion", direction="higher is better", method="Wilson", note="n counts couples",
        )  # fmt: skip

    out = []
    for label, main, seen in ((name, primary, ended), (f"{name}, {MISSING_VARIANT}", False, started)):
        no_end = "no couple with both partners' scores at baseline and end"
        if cutoff is None:
            why = "the definition has no cutoff"
            out.append(replace(not_testable(RECOVERY, f"recovered: {why}", outcome=outcome), definition=label, group="recovered"))
        else:
            out.append(rate("recovered", recovered, distressed & seen, label, main, "no couple was distressed at baseline"))
        out.append(rate("reliably_improved", improved, seen, label, main, no_end))
    return out


def styles_at_end(styles: pd.DataFrame, *, occasions: str, end: int | str) -> pd.Series:
    """Return each person's own style at the end by the primary classification, ``boundary`` and missing left out.

    With ``last``, the last occasion at which the person has a style.
    """
    at = {"wave": "wave", "session": "session_number"}[occasions]
    rows = styles[(styles["primary"].astype(bool) & (styles["rater"] == "self") & styles["style"].notna() & styles[at].notna())]
    rows = rows if end == "last" else rows[rows[at] == end]
    last = rows.sort_values(["person_id", at], kind="stable").drop_duplicates("person_id", keep="last")
    return last[last["style"] != UNSURE].set_index("person_id")["style"]


def recovered_still_insecure(changes: pd.DataFrame, style: pd.Series, *, ci_level: float = CI_LEVEL, flow: Flow) -> list[Estimate]:
    """Estimate the share of recovered couples in which at least one partner has an insecure style at the end.

    Couples in which a partner's style is missing or on a boundary are left out and counted.
    """
    outcome = str(changes["outcome"].iloc[0]) if len(changes) else ""
    recovered = changes[changes["category"] == RECOVERED]
    first, second = recovered["person_a"].map(style), recovered["person_b"].map(style)
    known = first.notna() & second.notna()
    n, why = int(known.sum()), "a partner's style missing or on a boundary"
    flow.add("recovered couples with both styles", len(recovered), n, why, unit="couples")
    if n == 0:
        why = "no couple recovered" if recovered.empty else "no recovered couple has both partners' styles at the end"
        return [not_testable(INDIVIDUAL, why, outcome=outcome)]
    insecure = int(((first[known] != SECURE) | (second[known] != SECURE)).sum())
    found = wilson(insecure, n, ci_level=ci_level)
    return [
        Estimate(
            analysis=INDIVIDUAL, estimand="recovered_still_insecure", outcome=outcome,
            definition=str(changes["definition"].iloc[0]), estimate=found.estimate, std_error=found.std_error,
            ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
            n=n, n_clusters=n, unit="proportion", direction="lower is better", method="Wilson",
            note="n counts recovered couples with both partners' styles",
        )
    ]  # fmt: skip
