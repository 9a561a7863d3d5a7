"""Which is the smallest difference that matters: the study's, the instrument's, or a share of the norm's SD?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem

# SDs of the norm where no smallest change that matters is known: half a standard deviation (Norman et al. 2003)
NORM_MARGIN_SD = 0.5


def check_margins(margins: Mapping[str, Any], scores: list[str]) -> None:
    """Refuse margins of scores that are no outcome.

    Raises
    ------
    ConfigError
        If there is one.
    """
    for key in margins:
        if key not in scores:
            what = f"no outcome {key!r}; allowed: {', '.join(scores)}.{did_you_mean(key, scores)}"
            raise ConfigError(
                problem("change.equivalence.margins", what, hint="without its margin an outcome is judged by another.")
            )


def margin_of(score: str, scale: Mapping[str, Any], settings: Mapping[str, Any], norm_sd: float | None) -> tuple[float, str]:
    """Return the smallest difference that matters, score points, and where it comes from.

    The study's ``margins``, else the instrument's first ``mid``, else ``norm_margin_sd`` SDs of the norm.

    Raises
    ------
    StatisticsError
        If there is none of them.
    """
    given = (settings.get("margins") or {}).get(score)
    if given is not None:
        return float(given), "given by the study"
    for entry in scale.get("mid", []):
        return float(entry["value"]), "of the instrument" + ("" if entry.get("verified") else ", recalled, not checked")
    if norm_sd is None:
        hint = "give it under equivalence/margins."
        what = "no smallest difference that matters: neither the study nor the instrument gives one, and there is no norm."
        raise StatisticsError(problem(score, what, hint=hint))
    share = float(settings.get("norm_margin_sd", NORM_MARGIN_SD))
    return share * norm_sd, f"{share:g} SD of the norm, as no smallest difference that matters is given"
