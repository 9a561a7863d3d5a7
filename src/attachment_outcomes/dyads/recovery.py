"""How many couples recover in satisfaction, by how much measurement error, and are their partners then secure?

The couple mean is treated as one score, by the definitions of change that people's scores have: its SD is that of the couple
means before treatment, and its reliability is taken to be that of one partner's score, which is a convention of this project.
The mean of two scores is at least as reliable, so the criterion is a strict one.

Vocabulary
----------
distressed      the couple mean is on the clinical side of the cutoff before treatment; only such couples can recover
recovered       distressed before, reliably improved, and on the functional side at the end
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import TYPES, Definition, changes, typed
from attachment_outcomes.inference.individual_change.methods import IMPROVED
from attachment_outcomes.inference.individual_change.significance import RECOVERED

RECOVERY, INDIVIDUAL = "couple_recovery", "couple_individual"
METHODS = ("JT",)  # with a reliability that is too low only JT is sure to err on the strict side
MISSING_VARIANT = "couples without an end counted as not recovered"
SECURE, UNSURE = "secure", "boundary"
COLUMNS = ["couple_id", "person_a", "person_b", "outcome", *TYPES]


def couple_change(couples: pd.DataFrame, rule: Definition, *, outcome: str) -> pd.DataFrame:
    """Return each couple's change and category by one definition (``COLUMNS``).

    Parameters
    ----------
    couples : DataFrame
        couple_id, person_a, person_b, pre, post (couple means in score points; missing stays missing).
    rule : Definition
        Completed from the instrument and these couple means.
    outcome : str
        Name of the score.
    """
    found = changes(rule, couples["pre"], couples["post"])
    names = couples[["couple_id", "person_a", "person_b"]].reset_index(drop=True).assign(outcome=outcome)
    return couple_frame([pd.concat([names, found], axis=1)])


def couple_frame(frames: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """Return couples' changes with fixed columns and types."""
    return typed(pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS), COLUMNS)


def recovery_rates(
    couples: pd.DataFrame, rule: Definition, *, outcome: str, flow: Flow, ci_level: float = CI_LEVEL
) -> list[Estimate]:
    """Estimate the share of distressed couples that recovered and of all couples that reliably improved.

    Parameters
    ----------
    couples : DataFrame
        From :func:`couple_change`.
    rule : Definition
        The definition used there. Without a cutoff recovery is not testable.
    outcome : str
        Name of the score.
    flow : Flow
        Takes the couples left out.
    ci_level : float
        Confidence level of Wilson's interval.

    Returns
    -------
    list of Estimate
        analysis ``couple_recovery``: recovered (of distressed couples with both means) and reliably_improved (of couples
        with both means, recovered ones included); and both again, not primary, with couples that have no end counted as not
        recovered or improved.
    """
    name = rule.name
    started, ended = couples["pre"].notna(), couples["category"].notna()
    step = f"couples, {outcome}, {name}"
    flow.add(step, len(couples), int(started.sum()), "no occasion with both partners' scores at baseline", unit="couples")
    flow.add(step, int(started.sum()), int((started & ended).sum()), "no later occasion with both partners' scores", unit="couples")
    distressed = couples["clinical_at_baseline"].fillna(False).astype(bool)
    if rule.cutoff is not None:
        reason = "not distressed at baseline (counts for improvement, not for recovery)"
        flow.add(step, int((started & ended).sum()), int((distressed & ended).sum()), reason, unit="couples")
    note = "; ".join(("n counts couples, by the mean of both partners", *rule.notes))
    recovered = couples["category"] == RECOVERED
    improved = couples["category"].isin([IMPROVED, RECOVERED])

    def rate(estimand: str, event: pd.Series, among: pd.Series, label: str, main: bool, why: str) -> Estimate:
        if not among.any():
            return replace(not_testable(RECOVERY, f"{estimand}: {why}", outcome=outcome), definition=label, group=estimand)
        n = int(among.sum())
        found = wilson(int((event & among).sum()), n, ci_level=ci_level)
        return Estimate(
            analysis=RECOVERY, estimand=estimand, outcome=outcome, definition=label, primary=main, estimate=found.estimate,
            std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, n=n, n_clusters=n,
            unit="proportion", direction="higher is better", method=f"{rule.method}; Wilson", note=note,
        )  # fmt: skip

    out = []
    for label, main, seen in ((name, rule.primary, ended), (f"{name}, {MISSING_VARIANT}", False, started)):
        no_end = "no couple with both partners' scores at baseline and end"
        if rule.cutoff is None:
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


def recovered_still_insecure(couples: pd.DataFrame, style: pd.Series, *, ci_level: float = CI_LEVEL, flow: Flow) -> list[Estimate]:
    """Estimate the share of recovered couples in which at least one partner has an insecure style at the end.

    Couples in which a partner's style is missing or on a boundary are left out and counted.
    """
    outcome = str(couples["outcome"].iloc[0]) if len(couples) else ""
    recovered = couples[couples["category"] == RECOVERED]
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
            definition=str(couples["definition"].iloc[0]), estimate=found.estimate, std_error=found.std_error,
            ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
            n=n, n_clusters=n, unit="proportion", direction="lower is better", method="Wilson",
            note="n counts recovered couples with both partners' styles",
        )
    ]  # fmt: skip
