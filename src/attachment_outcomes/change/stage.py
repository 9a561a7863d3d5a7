"""All that a study's ``change`` block asks for, in three steps: change itself, its course, and how far the answer holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from attachment_outcomes.change import (
    dose,
    equivalence,
    latent_change,
    outcomes,
    rules_compared,
    sudden_gains,
    timing,
)
from attachment_outcomes.change.growth import analysis as growth
from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.missing import study as missing
from attachment_outcomes.change.security import study as security
from attachment_outcomes.change.specification import stage as specification
from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.steps import Analysis, StepResult, gather, reasons_joined

NO_BLOCK = "the study's configuration has no block 'change'"


CHANGE = (
    Analysis(("reliable_change",), outcomes.TABLES, outcomes.analyse),
    Analysis(("rule_comparison", "minimal_change"), rules_compared.TABLES, rules_compared.analyse),
    Analysis(("transition", "earned_security"), security.TABLES, security.analyse),
)
COURSE = (
    Analysis(("growth", "therapist_effect"), growth.TABLES, growth.analyse),
    Analysis(("sudden_gains",), sudden_gains.TABLES, sudden_gains.analyse),
    Analysis(("time_to_improvement",), timing.TABLES, timing.analyse),
    Analysis(("dose_response",), dose.TABLES, dose.analyse),
    Analysis(("latent_change",), latent_change.TABLES, latent_change.analyse),
)
ROBUSTNESS = (
    Analysis(("missing_data",), missing.TABLES, missing.analyse),
    Analysis(("equivalence",), equivalence.TABLES, equivalence.analyse),
    Analysis(("specification_curve",), specification.TABLES, specification.analyse),
)
# What every step reads: the name here, and that of the canonical table.
READS = {
    **{name: name for name in ("scores", "waves", "people", "treatments", "sessions", "classifications")}, "answers": "items",
}  # fmt: skip


def run_step(
    analyses: Sequence[Analysis[ChangeData]],
    tables: Mapping[str, pd.DataFrame],
    *,
    settings: Mapping[str, Any] | None,
    instruments: Mapping[str, Mapping[str, Any]],
    ci_level: float = CI_LEVEL,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> StepResult:
    """Run the analyses of one step of a study's ``change`` block on its canonical tables.

    Parameters
    ----------
    analyses
        ``CHANGE`` (reliable change, agreement of rules, transitions, earned security), ``COURSE`` (growth, sudden gains, time to
        improvement, dose and response, latent change) or ``ROBUSTNESS`` (missing data, equivalence, specification curve).
    tables
        Those of ``READS``, and ``styles``. Where clients have an outcome, only
        they count; else everybody but the therapists.
    settings
        The study's ``change`` block, or None.
    instruments
        Instrument key to its configuration.
    ci_level
        Confidence level of every interval.
    overrides
        The study's own forms of instruments.
    seed
        What is random derives from it.

    Returns
    -------
    StepResult
        What the data cannot answer is a row among the estimates, never an omission; who could not be counted is in the flow.
    """
    if settings is None:
        return gather(analyses, [a.silent(NO_BLOCK) for a in analyses], Flow())
    data = ChangeData(
        scores=tables["scores"],
        styles=tables["styles"],
        waves=tables["waves"],
        people=tables["people"],
        treatments=tables["treatments"],
        sessions=tables["sessions"],
        classifications=tables["classifications"],
        answers=tables["answers"],
        settings=settings,
        instruments=instruments,
        overrides=overrides or {},
        ci_level=ci_level,
        seed=seed,
    )
    data, rows = _with_single_values(data, analyses)
    found = gather(analyses, [analysis.run(data) for analysis in analyses], data.flow)
    return replace(found, estimates=reasons_joined([*rows, *found.estimates]))


def _with_single_values(data: ChangeData, analyses: Sequence[Analysis[ChangeData]]) -> tuple[ChangeData, list[Estimate]]:
    """Leave out, by name, the outcomes of which people have several values at one occasion: they have no single change."""
    usable, rows = [], []
    for outcome in data.outcomes:
        try:
            data.long(outcome)
        except DataError as error:
            rows += [not_testable(name, str(error), outcome=str(outcome["score"])) for a in analyses for name in a.names]
        else:
            usable.append(outcome)
    return replace(data, settings={**data.settings, "outcomes": usable}), rows
