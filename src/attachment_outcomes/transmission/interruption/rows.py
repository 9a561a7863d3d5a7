"""What every estimate of interruption carries: what was compared, by which design, at which level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.agreement import Interval, wilson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import WILSON, Proportion, proportion
from attachment_outcomes.inference.robust_logistic import FIRTH_NOTE, logistic_fit

Numbers = npt.NDArray[np.float64]
ANALYSIS = "interruption"
BETTER = "higher is better"
PROPORTION = "proportion"
# Without the numbers of the refusal: reasons are not suppressed where small counts would be.
NO_LOGISTIC = "odds ratio: all children alike, or too few pairs or families for a logistic model"
RANDOMISED = "arms were allotted at random"
FAMILIES = "Wilson interval on the effective n of families"
ALL_ALIKE = "all alike: the interval is that of one pair a family, since nothing tells how alike families are"
NOT_RANDOMISED = "an association: arms were not allotted at random, so that parents and children may have differed before"


@dataclass(frozen=True)
class Shared:
    """What all rows of one comparison have in common."""

    outcome: str = ""
    definition: str = ""
    randomised: bool = False
    ci_level: float = CI_LEVEL

    @property
    def standing(self) -> str:
        """Whether a difference between arms may be called an effect."""
        return RANDOMISED if self.randomised else NOT_RANDOMISED

    def row(self, estimand: str, found: Interval | Proportion, *, notes: Sequence[str] = (), **fields: Any) -> Estimate:
        """Return one estimate."""
        given = {"unit": PROPORTION, "direction": BETTER, "primary": False, **fields}
        return Estimate(
            analysis=ANALYSIS,
            estimand=estimand,
            outcome=self.outcome,
            definition=self.definition,
            estimate=found.estimate,
            std_error=found.std_error,
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            ci_level=self.ci_level,
            note="; ".join(filter(None, [found.note, *notes])),
            **given,
        )

    def silent(self, reason: str, *, group: str = "") -> Estimate:
        """Return the row that says what cannot be told."""
        return replace(not_testable(ANALYSIS, reason, outcome=self.outcome), definition=self.definition, group=group)


def share_of(secure: pd.Series, clusters: pd.Series | None, ci_level: float) -> Proportion:
    """Return a share; where families hold several pairs and all are alike, with Wilson's interval of as many as there are families.

    Nothing in such data tells how alike families are: one piece of information a family is the least that there can be.
    """
    found = proportion(secure, clusters=clusters, ci_level=ci_level)
    if clusters is None or 0 < found.estimate < 1:
        return found
    ends = wilson(found.estimate * found.n_clusters, found.n_clusters, ci_level=ci_level)
    return replace(
        found, ci_low=ends.ci_low, ci_high=ends.ci_high, method=FAMILIES, note=ALL_ALIKE if found.n_clusters < found.n else ""
    )


def of_share(found: Proportion) -> dict[str, Any]:
    """Return what a row says of a share beside its numbers; families are what pairs share."""
    method = WILSON if found.method == WILSON else FAMILIES
    return {"n": float(found.n), "n_clusters": found.n if math.isnan(found.n_clusters) else found.n_clusters, "method": method}


def odds_ratio_rows(
    design: Numbers,
    outcome: Numbers,
    codes: npt.NDArray[np.int64] | None,
    weights: Mapping[str, Numbers],
    shared: Shared,
    *,
    notes: Sequence[str] = (),
    **fields: Any,
) -> list[Estimate]:
    """Return odds ratios of a logistic model, one a weighted sum of coefficients, or why there are none."""
    try:
        found = logistic_fit(design, outcome, codes)
    except StatisticsError:
        return [shared.silent(NO_LOGISTIC, group="odds ratio")]
    rows = []
    for estimand, w in weights.items():
        log = float(found.coefficients @ w)
        std_error, df = found.error(w)
        known = norm if math.isinf(df) else student(df)
        half = float(known.ppf(0.5 + shared.ci_level / 2)) * std_error
        note = FIRTH_NOTE if found.penalised else ""
        ends = Interval(math.exp(log), std_error, math.exp(log - half), math.exp(log + half), note)
        given = {"unit": "odds ratio", "p_value": float(2 * known.sf(abs(log) / std_error)), "method": found.method, **fields}
        rows.append(shared.row(estimand, ends, notes=notes, **given))
    return rows
