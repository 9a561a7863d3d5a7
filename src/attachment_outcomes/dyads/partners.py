"""How alike are partners, in attachment class and in scores?

Rows and first scores are person_a's. Kappa, agreement and the correlation do not change if all couples are turned round,
but the correlation does if only some are: it presumes that person_a plays the same part in every couple.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attachment_outcomes.dyads.couples import couple_scores
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference import agreement
from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.measures.codes import CLASSES, TWO_WAY_UNRESOLVED, classes
from attachment_outcomes.measures.targets import CODES, about_the_other, first_classes

CONCORDANCE, CORRELATION = "couple_concordance", "couple_correlation"
SELF = "self"


def partner_agreement(
    couples: pd.DataFrame,
    classifications: pd.DataFrame,
    *,
    system: str,
    way: str = TWO_WAY_UNRESOLVED,
    ci_level: float = CI_LEVEL,
    flow: Flow,
) -> list[Estimate]:
    """Estimate how often partners have the same class, from the first classification of each.

    Parameters
    ----------
    couples : DataFrame
        person_a, person_b.
    classifications : DataFrame
        Canonical table.
    system, way : str
        Coding system, and how its classes are read.
    ci_level : float
        Confidence level of the intervals.
    flow : Flow
        Takes the couples left out.

    Returns
    -------
    list of Estimate
        analysis ``couple_concordance``: agreement (Wilson) and kappa (Fleiss–Cohen–Everitt).

    Raises
    ------
    DataError
        If a code is not the system's, or a person's first classification is ambiguous.
    """
    rows = first_classes(classifications, system)
    sides = []
    for own, other in (("person_a", "person_b"), ("person_b", "person_a")):
        found = about_the_other(couples[own], couples[other], rows)
        labels, _ = classes(found[CODES], system=system, way=way)
        sides.append(labels)
    used = (sides[0].notna() & sides[1].notna()).to_numpy(dtype=bool)
    flow.add(f"partners' classes, {system}, {way}", len(couples), int(used.sum()), "a partner without a class", unit="couples")
    if not used.any():
        return [not_testable(CONCORDANCE, f"no couple in which both partners have a class in {system}", outcome=system)]
    table = agreement.crosstab(sides[0][used].tolist(), sides[1][used].tolist(), CLASSES[system][way], place="partners' classes")
    share, k = agreement.observed_agreement(table, ci_level=ci_level), agreement.kappa(table, ci_level=ci_level)
    n = int(table.sum())
    found_k = agreement.Interval(k.kappa, k.std_error, k.ci_low, k.ci_high, k.note)
    return [
        Estimate(
            analysis=CONCORDANCE, estimand=estimand, outcome=system, definition=way, estimate=found.estimate,
            std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, p_value=p, n=n,
            n_clusters=n, unit=unit, method=method, note="; ".join(filter(None, ["n counts couples", found.note])),
        )
        for estimand, found, p, unit, method in (
            ("agreement", share, np.nan, "proportion", "Wilson"),
            ("kappa", found_k, k.p_value, "kappa", "Fleiss-Cohen-Everitt"),
        )
    ]  # fmt: skip


def _rater(scores: pd.DataFrame, name: str) -> str:
    """Return who rates a score: the person, or else the only other rater there is."""
    instrument, _, scale = name.partition(".")
    mine = ((scores["instrument"] == instrument) & (scores["scale"] == scale)).to_numpy(dtype=bool)
    raters = sorted(scores.loc[mine, "rater"].unique())
    return str(raters[0]) if len(raters) == 1 else SELF


def partner_correlations(
    couples: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    names: Sequence[str],
    occasions: str = "wave",
    ci_level: float = CI_LEVEL,
    flow: Flow,
) -> list[Estimate]:
    """Estimate the correlation between partners of each score, with Fisher's interval.

    The scores are those of the first occasion at which both partners have one, rated by themselves, or by the one other
    rater there is (a coder); a score about the partner goes before one about nobody in particular.

    Parameters
    ----------
    couples : DataFrame
        From ``couple_table``.
    scores : DataFrame
        Canonical table.
    names : sequence of str
        Scores, ``<instrument>.<scale>``.
    occasions : {"wave", "session"}
        What orders the measurements.
    ci_level : float
        Confidence level of the intervals.
    flow : Flow
        Takes the couples left out.

    Raises
    ------
    DataError
        If a person has two values of a score at one occasion.
    """
    out = []
    for name in names:
        rater = _rater(scores, name)
        both = couple_scores(couples, scores, score=name, rater=rater, occasions=occasions).drop_duplicates("couple_id")
        why = "no occasion with both partners' scores"
        flow.add(f"partners' scores, {name}", len(couples), len(both), why, unit="couples")
        if both.empty:
            out.append(not_testable(CORRELATION, why, outcome=name))
            continue
        found = pearson(both["score_a"], both["score_b"], ci_level=ci_level)
        out.append(
            Estimate(
                analysis=CORRELATION, estimand="correlation", outcome=name, definition=f"{rater}, first {occasions} of both",
                estimate=found.r, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
                p_value=found.p_value, n=found.n, n_clusters=found.n, unit="r", method=found.method,
                note="; ".join(filter(None, ["n counts couples", found.note])),
            )
        )  # fmt: skip
    return out
