"""Rates from published counts, and the whole audit of a study."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from attachment_outcomes.audit.counts import count_rates
from attachment_outcomes.audit.service import audit_service
from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE, estimates_frame, select
from attachment_outcomes.study.contracts import empty, typed

COUNTS = {
    "finished": "finished_course_treatment_count",
    "not_at_caseness": "not_at_caseness_count",
    "recovered": "recovery_count",
    "reliably_recovered": "reliable_recovery_count",
    "reliably_improved": "improvement_count",
    "reliably_deteriorated": "deterioration_count",
    "published": {"recovery": "recovery_percentage", "reliable_improvement": "improvement_percentage"},
    "national": "England",
}


def samples_from(rows: list[dict[str, str]], sample: str | None) -> pd.DataFrame:
    """Return service rows as the canonical samples table."""
    measures = [c for c in rows[0] if c.endswith(("_count", "_percentage"))]
    lines = [
        {
            "sample_id": sample or r["org_code"],
            "label": sample or r["org_name"],
            "system": r["reporting_period"],
            "measure": m,
            "value": float(r[m]) if r[m] not in ("", "*", "NA") else None,
            "standing": "stored",
        }
        for r in rows
        for m in measures
    ]
    return typed(pd.DataFrame(lines), "samples")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def nhs(shared_data: Path) -> pd.DataFrame:
    folder = shared_data / "nhs_talking_therapies"
    # One provider of 2023-24 is printed twice, with the same code and counts under two names.
    providers = {(r["org_code"], r["reporting_period"]): r for r in read(folder / "provider_totals_by_year.csv")}
    national = samples_from(read(folder / "england_totals_by_year.csv"), "England")
    return pd.concat([national, samples_from(list(providers.values()), None)], ignore_index=True)


def tables(**given: pd.DataFrame) -> dict[str, pd.DataFrame]:
    names = [
        "person_id", "outcome", "definition", "method", "primary", "pre", "post", "category", "clinical_at_baseline", "crossed",
    ]  # fmt: skip
    return {
        "people_change": pd.DataFrame(columns=names),
        "treatments": empty("treatments"),
        "scores": empty("scores"),
        "people": empty("people"),
        "samples": empty("samples"),
    } | given


def test_national_recovery_reproduces_the_published_percentages(nhs: pd.DataFrame, shared_data: Path) -> None:
    reference = json.loads((shared_data / "nhs_talking_therapies" / "reference.json").read_text())
    national = count_rates(nhs, counts=COUNTS).set_index(["sample_id", "rate", "system"]).loc["England"]
    assert national.loc[("recovery", "2024-25"), "proportion"] == pytest.approx(0.50546061, abs=1e-8)
    for period, known in reference["recovery_denominator"].items():
        ours = 100 * national.loc[("recovery", period), "proportion"]
        assert ours == pytest.approx(known["from_finished_minus_not_at_caseness"], abs=1e-9)
        assert round(ours, 1) == known["published"]
    for period, known in reference["improvement"].items():
        ours = 100 * national.loc[("reliable_improvement", period), "proportion"]
        assert ours == pytest.approx(known["calc"], abs=1e-9)
        assert round(ours, 1) == known["published"]


def test_the_audit_of_a_service_with_counts_compares_its_providers(nhs: pd.DataFrame) -> None:
    audit = audit_service(tables(samples=nhs), settings={"unit": "sample", "counts": COUNTS, "benchmarks": []})
    frame = estimates_frame(audit.estimates, study="nhs")
    main = select(frame, estimand="recovery", primary=True)
    assert main["group"].tolist() == ["2024-25"]
    assert main["estimate"].iloc[0] == pytest.approx(0.50546061, abs=1e-8)
    national = select(frame, estimand="largest_difference_from_published", definition="national total")
    assert (national["estimate"] < 0.0005 + 1e-9).all(), "within the rounding of one decimal of a per cent"
    assert set(audit.funnel["rate"]) == {"recovery", "reliable_recovery", "reliable_improvement", "reliable_deterioration"}
    assert "England" not in set(audit.funnel["unit_id"])
    assert select(frame, estimand="overdispersion_phi", group="recovery")["estimate"].iloc[0] > 1


def counts_of(rows: dict[str, dict[str, float | None]]) -> pd.DataFrame:
    lines = [
        {"sample_id": s, "system": "y", "measure": m, "value": v, "standing": "stored"}
        for s, row in rows.items()
        for m, v in row.items()
    ]
    return typed(pd.DataFrame(lines), "samples")


SMALL = {"finished": "done", "not_at_caseness": "not", "recovered": "rec", "published": {}}


def test_suppressed_counts_leave_and_are_counted() -> None:
    flow = Flow()
    table = count_rates(
        counts_of({"a": {"done": 50, "not": 10, "rec": 20}, "b": {"done": 20, "not": None, "rec": 5}}), counts=SMALL, flow=flow
    )
    assert table[["sample_id", "events", "n", "proportion"]].values.tolist() == [["a", 20.0, 40.0, 0.5]]
    assert flow.lines[0][1:3] == (2, 1)


def test_a_measure_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no measure 'don', .*Did you mean 'done'"):
        count_rates(counts_of({"a": {"done": 50, "not": 10, "rec": 20}}), counts=SMALL | {"finished": "don"})


def test_more_recovered_than_cases_are_refused() -> None:
    with pytest.raises(DataError, match="1 samples have more events than cases for recovery"):
        count_rates(counts_of({"a": {"done": 50, "not": 40, "rec": 20}}), counts=SMALL)


def test_a_count_given_twice_is_refused() -> None:
    frame = counts_of({"a": {"done": 50, "not": 40, "rec": 5}})
    with pytest.raises(DataError, match="occur twice"):
        count_rates(pd.concat([frame, frame]), counts=SMALL)


def clients() -> dict[str, pd.DataFrame]:
    ids = [f"c{i:02d}" for i in range(40)]
    change = pd.DataFrame(
        {
            "person_id": ids,
            "outcome": "core10.total",
            "definition": "JT c",
            "method": "JT",
            "primary": True,
            "pre": 20.0,
            "post": [10.0] * 38 + [None] * 2,
            "category": pd.Series(["recovered"] * 20 + ["unchanged"] * 18 + [None] * 2, dtype="str"),
            "clinical_at_baseline": pd.Series([True] * 38 + [None] * 2, dtype="boolean"),
            "crossed": pd.Series([False] * 38 + [None] * 2, dtype="boolean"),
        }
    )
    therapist = [f"t{i % 4}" for i in range(40)]
    treatments = pd.DataFrame(
        {"person_id": ids, "treatment_id": "1", "therapist_id": therapist, "end_reason": ["completed"] * 30 + ["dropped out"] * 10}
    )
    extra = pd.DataFrame({"person_id": ["c00"], "treatment_id": ["2"], "therapist_id": ["t9"], "end_reason": ["completed"]})
    people = pd.DataFrame({"person_id": [*ids, "late"], "role": "client", "site_id": ["s1", "s2", "s1"] * 13 + [None] * 2})
    scores = pd.DataFrame(
        {"person_id": ids, "wave": 0, "instrument": "core10", "scale": "total", "rater": "self", "score": [20.0] * 40}
    )
    return tables(
        people_change=change,
        treatments=typed(pd.concat([treatments, extra]), "treatments"),
        people=typed(people, "people"),
        scores=typed(scores, "scores"),
    )


def test_the_audit_of_clients_gives_rates_units_benchmarks_and_completeness() -> None:
    benchmarks = [{"rate": "recovery", "value": 0.5, "source": "a target", "verified": False}]
    settings = {"outcome": "core10.total", "unit": "therapist", "benchmarks": benchmarks}
    audit = audit_service(clients(), settings=settings)
    frame = estimates_frame(audit.estimates, study="s")
    main = frame[frame["primary"]].set_index("estimand")
    assert main.loc["recovery", "estimate"] == 20 / 38
    assert main.loc["recovery", "definition"] == "JT c"
    assert main.loc["dropout", "estimate"] == 10 / 41
    assert main.loc["completeness", ["n", "estimate"]].tolist() == [41, 38 / 41]
    benchmark = select(frame, definition="benchmark")
    assert benchmark[["estimate", "note"]].values.tolist() == [[0.5, "not verified against its source"]]
    recovery = audit.funnel[audit.funnel["rate"] == "recovery"]
    assert recovery["label"].tolist() == ["therapist 1", "therapist 2", "therapist 3", "therapist 4"]
    assert recovery["n"].sum() == 37, "the client of two therapists belongs to neither"
    assert audit.funnel[audit.funnel["rate"] == "dropout"]["n"].sum() == 41
    assert audit.completeness.values.tolist() == [["core10", "wave 0", 41, 40, 40 / 41]]
    assert "audit: people by therapist" in audit.flow.frame()["step"].tolist()


def test_sites_are_compared_where_the_study_says_so() -> None:
    audit = audit_service(clients(), settings={"outcome": "core10.total", "unit": "site", "benchmarks": []})
    assert set(audit.funnel["unit"]) == {"site"}
    assert set(audit.funnel["label"]) == {"site 1", "site 2"}


def test_the_outcome_defaults_to_the_first_of_change() -> None:
    audit = audit_service(clients(), settings={"unit": "site", "benchmarks": []}, change={"outcomes": [{"score": "core10.total"}]})
    assert any(e.estimand == "recovery" and e.primary for e in audit.estimates)


def test_what_cannot_be_answered_is_said() -> None:
    audit = audit_service(tables(), settings={"outcome": "core10.total", "unit": "therapist", "benchmarks": []})
    frame = estimates_frame(audit.estimates, study="s")
    assert (frame["estimand"] == NOT_TESTABLE).all()
    notes = " ".join(frame["note"])
    for part in ("no change in core10.total was assessed", "how treatments ended", "no scores of people"):
        assert part in notes
    nobody = clients()
    nobody["people_change"] = nobody["people_change"].assign(category=None, clinical_at_baseline=None)
    nobody["treatments"] = nobody["treatments"].assign(therapist_id=None)
    audit = audit_service(nobody, settings={"outcome": "core10.total", "unit": "therapist", "benchmarks": []})
    notes = " ".join(estimates_frame(audit.estimates, study="s")["note"])
    for part in ("recovery: nobody was clinical", "reliable_improvement: nobody has both", "no therapist is known"):
        assert part in notes
    audit = audit_service(tables(), settings={"unit": "sample", "benchmarks": []})
    notes = " ".join(estimates_frame(audit.estimates, study="s")["note"])
    assert "no outcome is named" in notes
    assert "audit.counts is not set" in notes


def test_a_study_without_the_block_says_so_in_one_row() -> None:
    audit = audit_service(tables(), settings=None)
    assert [e.note for e in audit.estimates] == ["the study has no audit block"]
    assert audit.funnel.empty
    assert audit.completeness.empty
