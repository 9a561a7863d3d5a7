"""The truth of a simulated cohort: which parameters there are, and what they may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attachment_outcomes.errors import ConfigError, did_you_mean, problem

Range = tuple[float, float]
SHARE: Range = (0, 1)
SD: Range = (0, 100)
POINTS: Range = (-100, 100)
CORRELATION: Range = (-0.99, 0.99)
RELIABILITY: Range = (0.01, 0.99)
COUNT: Range = (1, 1_000_000)

_CHANGING: dict[str, Range] = {"mean": POINTS, "sd": SD, "change": POINTS, "change_sd": SD}
_SECURITY: dict[str, Range] = {"mean": POINTS, "sd": SD, "secure_parent": POINTS, "secure_child": POINTS}

# Key to the range its number may have; a key with several numbers (a list) has them all in that range.
PARAMETERS: dict[str, Any] = {
    "seed": (0, 2**63),
    "network": {"sites": COUNT, "therapists": COUNT, "clients": COUNT},
    "attachment": {
        "anxiety": {**_CHANGING, "reliability": RELIABILITY},
        "avoidance": {**_CHANGING, "reliability": RELIABILITY},
        "correlation": CORRELATION,
        "pace_weeks": (0.1, 1000),
    },
    "symptoms": {
        **_CHANGING,
        "reliability": RELIABILITY,
        "correlation_start_change": CORRELATION,
        "correlation_anxiety": CORRELATION,
        "correlation_avoidance": CORRELATION,
        "correlation_attachment_change": CORRELATION,
        "pace_weeks": (0.1, 1000),
    },
    "heterogeneity": {
        "therapist_share": (0, 0.9),
        "fearful_points": POINTS,
        "fit_points": POINTS,
        "site_sd": SD,
        "secure_base_points": POINTS,
    },
    "waves": {"weeks": (0, 1000), "late_share": SHARE, "missed_share": SHARE, "missed_after_dropout_share": SHARE},
    "sessions": {"planned": (10, 200), "break_share": SHARE, "missed_share": SHARE},
    "alliance": {
        "mean": POINTS,
        "sd": SD,
        "within_sd": SD,
        "growth_per_session": POINTS,
        "reliability": RELIABILITY,
        "break_dip": POINTS,
        "break_dip_per_anxiety_sd": POINTS,
    },
    "ruptures": {
        "share": SHARE,
        "second_share": SHARE,
        "depth": (0, 4),
        "depth_sd": SD,
        "repaired_share": SHARE,
        "repaired_points": POINTS,
        "unrepaired_points": POINTS,
        "observed_share": SHARE,
    },
    "reports": {
        "client_sensitivity": SHARE,
        "client_false_alarm": SHARE,
        "therapist_sensitivity": SHARE,
        "therapist_false_alarm": SHARE,
        "missing_share": SHARE,
    },
    "observers": {
        "clients": COUNT,
        "sessions": COUNT,
        "coded_twice_share": SHARE,
        "segments": COUNT,
        "sees": SHARE,
        "false_codes": (0, 100),
        "rating_sd": SD,
    },
    "exploration": {"security_slope": POINTS},
    "dropout": {"hazard": (1e-6, 0.5), "symptoms_log_odds": POINTS, "alliance_log_odds": POINTS, "referred_share": SHARE},
    "families": {
        "dyads": COUNT,
        "siblings": (0, 1_000_000),
        "grandparents": (0, 1_000_000),
        "classes": {"avoidant": SHARE, "secure": SHARE, "ambivalent": SHARE, "disorganised": SHARE},
        "kappa": SHARE,
        "cannot_classify_share": SHARE,
        "no_secondary_share": SHARE,
        "sensitivity": _SECURITY,
        "reflective_functioning": {**_SECURITY, "between_generations": CORRELATION},
    },
    "trial": {
        "draw": (0, 1_000_000),
        "parents": (2, 999),
        "classes": {"avoidant": SHARE, "secure": SHARE, "ambivalent": SHARE, "disorganised": SHARE},
        "becomes_secure": {"therapy": SHARE, "usual_care": SHARE},
        "stays_secure": SHARE,
        "reflective_functioning": {
            "mean": POINTS,
            "sd": SD,
            "secure_parent": POINTS,
            "gain": {"therapy": POINTS, "usual_care": POINTS, "secure": POINTS},
            "gain_sd": SD,
            "error_sd": SD,
        },
        "child_secure": {
            "insecure_parent": SHARE,
            "secure_parent": SHARE,
            "therapy": POINTS,
            "became_secure": POINTS,
            "per_point": POINTS,
        },
        "missed_interview_share": SHARE,
        "missed_child_share": SHARE,
    },
    "couples": {
        "couples": COUNT,
        "satisfaction": {**_CHANGING, "reliability": RELIABILITY},
        "correlation": SHARE,
        "anxiety": _CHANGING,
        "avoidance": _CHANGING,
        "lost_share": SHARE,
    },
    "samples": {
        "samples": COUNT,
        "smallest": COUNT,
        "largest": COUNT,
        "kappa": SHARE,
        "tau": SD,
        "high_risk_share": SHARE,
        "high_risk_kappa": (-1, 1),
    },
    "dirt": {
        "missing_answer_share": SHARE,
        "blank_questionnaire_share": SHARE,
        "duplicated_rows": (0, 1000),
        "out_of_range_answers": (0, 1000),
    },
}


def _problems(found: Any, wanted: Any, key: str) -> Iterator[str]:
    place = f"truth, key {key or '(top level)'}"
    if isinstance(wanted, dict):
        if not isinstance(found, Mapping):
            yield problem(place, f"found {found!r}; it holds the keys {', '.join(wanted)}.")
            return
        for name in found:
            if name not in wanted:
                yield problem(place, f"unknown key {name!r}; allowed: {', '.join(wanted)}.{did_you_mean(name, wanted)}")
        for name, inner in wanted.items():
            if name not in found:
                yield problem(place, f"required key {name!r} is missing.")
            else:
                yield from _problems(found[name], inner, f"{key}/{name}".strip("/"))
        return
    low, high = wanted
    for number in found if isinstance(found, list) and found else [found]:
        if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
            yield problem(place, f"found {number!r}; allowed: a number from {low:g} to {high:g}.")


def check_truth(truth: Mapping[str, Any]) -> None:
    """Check that a truth has every parameter, no other, and each in its range.

    Raises
    ------
    ConfigError
        With one line a problem.
    """
    lines = list(_problems(truth, PARAMETERS, ""))
    if not lines:
        families, samples = truth["families"], truth["samples"]
        if families["siblings"] + families["grandparents"] > families["dyads"] - families["siblings"]:
            lines.append(problem("truth, key families", "more siblings and grandparents than there are parents."))
        lines += [
            problem(f"truth, key {part}/classes", "the shares do not add up to 1.")
            for part in ("families", "trial")
            if abs(sum(truth[part]["classes"].values()) - 1) > 1e-9
        ]
        if samples["largest"] < samples["smallest"]:
            lines.append(problem("truth, key samples", "largest is below smallest."))
        if not isinstance(truth["waves"]["weeks"], list) or not isinstance(truth["sessions"]["planned"], list):
            lines.append(problem("truth", "waves/weeks and sessions/planned are lists."))
    if lines:
        raise ConfigError("\n".join(lines))
