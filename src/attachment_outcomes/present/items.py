"""What a study's report can hold: figures, tables and pages, what each is drawn from, and which studies have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Study = dict[str, Any]
OTHERS = ("observer_ratings",)  # of those, what does not go by that series
TRANSMISSION = "Transmission"
RUPTURES = "Rupture and repair"  # the category whose items say so where another series stands in for the alliance


@dataclass(frozen=True)
class Item:
    """One figure or table: where the report puts it, the tables it is drawn from, and when a study can have it."""

    category: str
    title: str
    needs: tuple[str, ...]
    when: Callable[[Study], bool] = lambda study: True


def _has(*path: str) -> Callable[[Study], bool]:
    def check(study: Study) -> bool:
        part: Any = study
        for key in path:
            part = part.get(key) if isinstance(part, Mapping) else None
        return bool(part)

    return check


def _asks(*path: str) -> Callable[[Study], bool]:
    """As ``_has``, where an empty block asks for everything by default."""

    def check(study: Study) -> bool:
        part: Any = study
        for key in path:
            part = part.get(key) if isinstance(part, Mapping) else None
        return part is not None

    return check


def _both(*checks: Callable[[Study], bool]) -> Callable[[Study], bool]:
    return lambda study: all(check(study) for check in checks)


def _feeds(table: str) -> Callable[[Study], bool]:
    return lambda study: any(t["table"] == table for source in study["sources"] for t in source["tables"])


FIGURES: dict[str, Item] = {
    "jacobson": Item("Attachment change", "Before and after, person by person", ("people_change", "estimates"), _has("change")),
    "style_flow": Item(
        "Attachment change",
        "Styles at the first and the last wave",
        ("transitions", "estimates"),
        _both(_has("change"), _has("measures", "styles")),
    ),
    "growth": Item("Attachment change", "Growth over treatment", ("growth", "estimates"), _has("change", "growth")),
    "therapist_effects": Item(
        "Attachment change", "Differences between therapists", ("therapists", "estimates"), _has("change", "growth")
    ),
    "earned_security": Item(
        "Attachment change",
        "Earned security and what error alone would give",
        ("estimates",),
        _both(_has("change"), _has("measures", "styles")),
    ),
    "rule_agreement": Item("Attachment change", "Agreement of the rules", ("rule_agreement", "rule_patterns"), _has("change")),
    "rule_sensitivity": Item(
        "Attachment change", "Shares over reliability and smallest change", ("rule_sensitivity",), _has("change")
    ),
    "sudden_gains": Item(
        "Course",
        "Sudden gains between sessions",
        ("sudden_gains", "sudden_gain_profile", "estimates"),
        _has("change", "sudden_gains"),
    ),
    "dose_response": Item(
        "Course", "Improvement by number of sessions", ("dose_response", "estimates"), _both(_has("change"), _feeds("sessions"))
    ),
    "time_to_improvement": Item("Course", "Time to reliable improvement", ("improvement_curves", "estimates"), _has("change")),
    "latent_change": Item("Course", "Latent change", ("latent_change", "estimates"), _both(_has("change"), _feeds("items"))),
    "missingness": Item("Robustness", "Who was seen", ("missingness", "estimates"), _has("change")),
    "tipping_point": Item("Robustness", "Tipping points", ("tipping_point",), _has("change")),
    "equivalence": Item("Robustness", "Equivalence", ("equivalence",), _has("change")),
    "specification_curve": Item("Robustness", "Specification curve", ("specifications", "estimates"), _has("change")),
    "invariance": Item("Measures", "Do the items mean the same at both occasions?", ("invariance",), _feeds("items")),
    "attachment_space": Item(
        "Attachment change", "Attachment anxiety and avoidance", ("styles", "estimates"), _has("measures", "styles")
    ),
    "change_shares": Item("Attachment change", "Who recovered, improved, stayed and deteriorated", ("estimates",), _has("change")),
    "reliability": Item("Measures", "Reliability of the scores", ("estimates",), _feeds("items")),
    "rupture_prevalence": Item(RUPTURES, "Ruptures by criterion, and in pure noise", ("estimates",), _has("rupture")),
    "correlations": Item(
        TRANSMISSION,
        "Correlations between generations and between partners",
        ("estimates",),
        lambda study: bool((study.get("transmission") or {}).get("continuous") or (study.get("dyads") or {}).get("scores")),
    ),
    "alliance_series": Item(RUPTURES, "One client's alliance", ("rupture_series", "episodes", "estimates"), _has("rupture")),
    "rupture_outcome": Item(
        RUPTURES, "Outcome by rupture and repair", ("rupture_outcomes", "estimates"), _has("rupture", "outcome")
    ),
    "rupture_agreement": Item(RUPTURES, "Agreement of the criteria", ("rupture_agreement", "estimates"), _has("rupture")),
    "rupture_timeline": Item(
        RUPTURES, "One client under every criterion", ("rupture_series", "episodes", "rupture_clients"), _has("rupture")
    ),
    "rupture_clients": Item(
        RUPTURES, "Clients from the fewest to the most ruptures", ("rupture_series", "episodes", "rupture_clients"), _has("rupture")
    ),
    "observer_ratings": Item(
        RUPTURES,
        "What observers saw",
        ("estimates", "observer_codes"),
        _both(_has("rupture"), _feeds("observations")),
    ),
    "repair_timing": Item(RUPTURES, "Repair by when it was known", ("estimates", "rupture_states"), _has("rupture", "outcome")),
    "repair_forest": Item(RUPTURES, "Beside the literature", ("repair_literature",), _has("rupture", "outcome")),
    "alliance_within": Item(
        RUPTURES, "From session to session", ("alliance_within_bins", "estimates"), _has("rupture", "symptoms")
    ),
    "therapist_repair": Item(RUPTURES, "Repair by therapist", ("therapist_repair", "estimates"), _has("rupture")),
    "repair_specification": Item(
        RUPTURES, "Specification curve of repair", ("repair_specifications", "estimates"), _has("rupture", "outcome")
    ),
    "transmission_mosaic": Item(
        TRANSMISSION,
        "Parents' and children's classes",
        ("residuals", "estimates"),
        _both(_has("transmission"), _feeds("classifications"), _feeds("relations")),
    ),
    "transmission_scatter": Item(
        TRANSMISSION,
        "Parents' and children's dimensions",
        ("transmission_pairs", "estimates"),
        _has("transmission", "continuous"),
    ),
    "corrected_agreement": Item(
        TRANSMISSION, "As observed, and without misclassification", ("estimates",), _has("transmission", "misclassification")
    ),
    "transmission_gap": Item(
        TRANSMISSION, "What transmission runs through", ("estimates", "gap_paths", "gap_sensitivity"), _has("transmission", "gap")
    ),
    "generation_flow": Item(
        TRANSMISSION,
        "Three generations",
        ("generation_chains", "generation_transitions", "generation_projection", "estimates"),
        _asks("transmission", "generations"),
    ),
    "interruption": Item(TRANSMISSION, "Interruption by treatment", ("estimates",), _has("transmission", "interruption")),
    "forest": Item(
        TRANSMISSION, "Over samples", ("sample_effects", "sample_statistics", "estimates"), _has("transmission", "samples")
    ),
    "galbraith": Item(
        TRANSMISSION,
        "Samples by their precision",
        ("sample_effects", "sample_statistics", "estimates"),
        _has("transmission", "samples"),
    ),
    "sample_influence": Item(
        TRANSMISSION, "Samples left out, and added up", ("sample_influence", "estimates"), _has("transmission", "samples")
    ),
    "audit_funnel": Item("Audit", "Funnel of units", ("funnel", "estimates"), _has("audit")),
    "completeness": Item("Audit", "Completeness of the data", ("completeness", "estimates"), _has("audit")),
    "claims_overview": Item("Claims", "The 24 claims", ("claims", "estimates")),
}

TABLES: dict[str, Item] = {
    "reliable_change": Item("Attachment change", "Reliable and clinically significant change", ("estimates",), _has("change")),
    "measures": Item("Measures", "Reliability and distribution of the scores", ("estimates",)),
    "transitions": Item(
        "Attachment change",
        "Transitions between styles",
        ("transitions", "estimates"),
        _both(_has("change"), _has("measures", "styles")),
    ),
    "security": Item("Attachment change", "Earned security", ("estimates",), _both(_has("change"), _has("measures", "styles"))),
    "growth_model": Item("Attachment change", "Growth over treatment", ("estimates",), _has("change", "growth")),
    "minimal_change": Item("Attachment change", "Minimal important differences", ("estimates",), _has("change")),
    "timing": Item("Course", "Timing of improvement, sudden gains and sessions", ("estimates",), _has("change")),
    "missing": Item("Robustness", "Change by how missing scores are handled", ("estimates",), _has("change")),
    "equivalence_tests": Item("Robustness", "Equivalence", ("equivalence",), _has("change")),
    "specifications": Item("Robustness", "Specification curve", ("specifications", "estimates"), _has("change")),
    "invariance_levels": Item("Measures", "Longitudinal invariance", ("invariance",), _feeds("items")),
    "couples": Item("Couples", "Couples", ("estimates",), _has("dyads")),
    "rupture": Item(RUPTURES, "Ruptures and repairs by criterion", ("estimates",), _has("rupture")),
    "repair_outcome": Item(RUPTURES, "Repair and outcome", ("estimates",), _has("rupture", "outcome")),
    "next_session": Item(RUPTURES, "From session to session", ("estimates",), _has("rupture", "symptoms")),
    "concordance": Item(TRANSMISSION, "Correspondence of classes", ("estimates",), _has("transmission")),
    "gap": Item(TRANSMISSION, "The transmission gap", ("estimates",), _has("transmission", "gap")),
    "generations": Item(
        TRANSMISSION, "Three generations", ("generation_chains", "estimates"), _asks("transmission", "generations")
    ),
    "arms": Item(TRANSMISSION, "Interruption by treatment", ("estimates",), _has("transmission", "interruption")),
    "transmission_literature": Item(TRANSMISSION, "Beside the literature", ("transmission_literature",), _has("transmission")),
    "samples": Item(
        TRANSMISSION, "Samples and what pooling gives", ("sample_statistics", "estimates"), _has("transmission", "samples")
    ),
    "audit": Item("Audit", "Rates of the service", ("estimates",), _has("audit")),
    "claims": Item("Claims", "Verdict on each claim", ("claims",)),
    "not_testable": Item("Claims", "What these data cannot answer", ("estimates",)),
    "flow": Item("Data", "Flow of exclusions", ("flow",)),
}


PAGES: dict[str, Item] = {
    "audit_page": Item("Audit", "Audit on one page", ("estimates", "funnel", "completeness", "flow", "claims")),
}

CSV_FILES = ("estimates", "claims", "flow", "people_change", "episodes", "concordance")

# Where figures, tables and pages find what they need, below the study's folder. What holds counts is the released copy.
FILES: dict[str, str] = {
    **{name: f"{name}.csv" for name in ("estimates", "claims", "flow", "concordance")},
    **{
        name: f"steps/released/{name}.parquet"
        for name in (
            "residuals",
            "transitions",
            "growth",
            "funnel",
            "completeness",
            "sample_statistics",
            "sample_effects",
            "sample_influence",
            "transmission_literature",
            "loglinear",
            "corrected_tables",
            "corrected_sensitivity",
            "gap_paths",
            "gap_sensitivity",
            "generation_chains",
            "generation_transitions",
            "generation_projection",
            "interruption_cells",
            "rule_agreement",
            "rule_patterns",
            "rule_sensitivity",
            "security_reliability",
            "therapists",
            "sudden_gains",
            "sudden_gain_profile",
            "improvement_curves",
            "dose_response",
            "latent_change",
            "invariance",
            "missingness",
            "missing_estimates",
            "tipping_point",
            "equivalence",
            "specifications",
            "rupture_agreement",
            "rupture_raters",
            "rupture_shapes",
            "observer_codes",
            "rupture_states",
            "repair_literature",
            "alliance_within_bins",
            "session_breaks",
            "therapist_repair",
            "repair_specifications",
        )
    },
    **{
        name: f"steps/{name}.parquet"
        for name in (
            "people_change",
            "styles",
            "episodes",
            "rupture_series",
            "rupture_clients",
            "rupture_outcomes",
            "transmission_pairs",
        )
    },
}
