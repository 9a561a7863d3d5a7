"""How many couples recover in satisfaction, by how much measurement error, and are their partners then secure?

The couple mean is treated as one score: its SD is that of the couple means before treatment, and its reliability is taken
to be that of one partner's score, which is a convention of this project. The mean of two scores is at least as reliable,
so the criterion is a strict one.

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
METHOD = "JT"
HIGHER_IS_BETTER = "higher is better"
MISSING_VARIANT = "couples without an end counted as not recovered"
SECURE, UNSURE = "secure", "boundary"
COLUMNS = [
    "couple_id", "person_a", "person_b", "outcome", "definition", "primary", "pre", "post", "change", "statistic",
    "category", "clinical_at_baseline",
]  # fmt: skip


@dataclass(frozen=True)
class Definition:
    """One definition of a couple's change: the study's entry, filled up from the instrument; ``why_not`` if it cannot be used.

    Without ``sd`` the SD of the couple means before treatment is taken, without ``clinical`` their mean and SD.
    """

    name: str
    reliability: float
    sd: float | None
    kind: str
    clinical: Norm | None
    functional: Norm | None
    instrument: Cutoff | None
    higher_is_better: bool
    unchecked: tuple[str, ...] = ()
    why_not: str = ""


def definition(given: Mapping[str, Any], scale: Mapping[str, Any]) -> Definition:
    """Return a definition of change from the study's entry, filled up from the instrument's scale.

    The first reliability, the first functional norm and the first cutoff of the instrument are its defaults; the
    instrument's clinical norm is used with ``sd: reference`` only, whose SD is that of the clinical norm, or else of the
    functional one. What was recalled and not checked in its source is named in ``unchecked``.
    """
    unchecked: list[str] = []
    reference = given.get("sd", "sample") == "reference"
    published: dict[str, Mapping[str, Any]] = {}
    for entry in scale.get("norms", []):
        published.setdefault(entry["population"], entry)

    def taken(what: str, own: Any, default: Mapping[str, Any] | None) -> Any:
        """Return the study's own number, else the instrument's, and note it where it is not verified."""
        found, source = (own, given) if own is not None else (default, default)
        if found is not None and source is not None and not source.get("verified", False):
            unchecked.append(what)
        return found

    clinical = taken("clinical norm", given.get("clinical"), published.get("clinical") if reference else None)
    functional = taken("functional norm", given.get("functional"), published.get("functional"))
    reliability = taken("reliability", given.get("reliability"), next(iter(scale.get("reliability", [])), None))
    if isinstance(reliability, Mapping):
        reliability = reliability["value"]
    kind = str(given.get("cutoff", "auto"))
    cutoff = None
    if kind == "instrument" or (kind == "auto" and functional is None):
        cutoff = taken("cutoff", None, next(iter(scale.get("cutoffs", [])), None))
    norms = [None if n is None else Norm(float(n["mean"]), float(n["sd"])) for n in (clinical, functional)]
    known = norms[0] or norms[1]
    why_not = ""
    if scale.get("direction", NEUTRAL) == NEUTRAL:
        why_not = "the scale has no better end"
    elif given.get("method", METHOD) != METHOD:
        why_not = f"couple means are assessed by {METHOD} only, not by {given['method']}"
    elif reliability is None:
        why_not = "no reliability is given, by the study or the instrument"
    elif reference and known is None:
        why_not = "no reference sample is given, by the study or the instrument"
    return Definition(
        name=str(given.get("name", "")),
        reliability=math.nan if reliability is None else float(reliability),
        sd=known.sd if reference and known is not None else None,
        kind=kind,
        clinical=norms[0],
        functional=norms[1],
        instrument=None if cutoff is None else Cutoff(float(cutoff["value"]), "instrument", bool(cutoff["inclusive"])),
        higher_is_better=scale.get("direction") == HIGHER_IS_BETTER,
        unchecked=tuple(unchecked),
        why_not=why_not,
    )


def couple_change(couples: pd.DataFrame, rule: Definition, *, outcome: str, primary: bool) -> tuple[pd.DataFrame, Cutoff | None]:
    """Return each couple's change and category by one definition (``COLUMNS``), and the cutoff that was used.

    Parameters
    ----------
    couples : DataFrame
        couple_id, person_a, person_b, pre, post (couple means in score points; missing stays missing).
    rule : Definition
        From :func:`definition`. What is taken from the couple means is taken from couples with both.
    outcome : str
        Name of the score.
    primary : bool
        Marks the primary definition.

    Raises
    ------
    StatisticsError
        If fewer than two couples have both means, the couple means do not vary where their SD is needed, or the cutoff
        asked for cannot be made.
    """
    pre, post = couples["pre"].to_numpy(dtype=float), couples["post"].to_numpy(dtype=float)
    both = ~(np.isnan(pre) | np.isnan(post))
    if both.sum() < 2:
        raise StatisticsError(problem(outcome, f"{int(both.sum())} couples have both means; allowed: 2 or more."))
    own = Norm(float(pre[both].mean()), float(pre[both].std(ddof=1)))
    cutoff = choose_cutoff(
        rule.kind,
        clinical=rule.clinical or own,
        functional=rule.functional,
        instrument=rule.instrument,
        higher_is_better=rule.higher_is_better,
    )
    sd = own.sd if rule.sd is None else rule.sd
    category = categories(pre, post, sd=sd, reliability=rule.reliability, cutoff=cutoff, higher_is_better=rule.higher_is_better)
    out = couples[["couple_id", "person_a", "person_b"]].assign(
        outcome=outcome,
        definition=rule.name or (METHOD if cutoff is None else f"{METHOD} cutoff {cutoff.kind}"),
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


def recovery_rates(
    changes: pd.DataFrame, *, cutoff: Cutoff | None, flow: Flow, unchecked: Sequence[str] = (), ci_level: float = CI_LEVEL
) -> list[Estimate]:
    """Estimate the share of distressed couples that recovered and of all couples that reliably improved.

    Parameters
    ----------
    changes : DataFrame
        From :func:`couple_change`, one definition.
    cutoff : Cutoff or None
        Without one recovery is not testable.
    flow : Flow
        Takes the couples left out.
    unchecked : sequence of str
        Numbers behind the definition that were recalled and not checked, for ``note``.
    ci_level : float
        Confidence level of Wilson's interval.

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
    note = "n counts couples" + (f"; recalled, not checked: {', '.join(unchecked)}" if unchecked else "")
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
            unit="proportion", direction="higher is better", method="Wilson", note=note,
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
