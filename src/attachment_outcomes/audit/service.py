"""The audit of one study: every rate it can give, per unit and beside benchmarks, and what it cannot give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.audit.completeness import COLUMNS as COMPLETENESS_COLUMNS
from attachment_outcomes.audit.completeness import completeness_table
from attachment_outcomes.audit.counts import count_rates
from attachment_outcomes.audit.funnel import COLUMNS as FUNNEL_COLUMNS
from attachment_outcomes.audit.funnel import funnel_table
from attachment_outcomes.audit.rates import ANALYSIS, DIRECTIONS, RULES, dropout_events, outcome_events, rate_estimate
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.funnel import Overdispersion

UNIT_WORDS = {"therapist": "therapist", "site": "site", "sample": "provider"}


WORDS = ("unit", "unit_id", "label", "rate", "instrument", "occasion")


def empty_table(columns: Sequence[str]) -> pd.DataFrame:
    """Return a table with no rows, its names as words and its numbers as numbers."""
    return pd.DataFrame({c: pd.Series(dtype="str" if c in WORDS else "float64") for c in columns})


@dataclass
class Audit:
    """What an audit gives: estimate rows, the funnel and completeness tables, and the flow of exclusions."""

    estimates: list[Estimate] = field(default_factory=list)
    funnel: pd.DataFrame = field(default_factory=lambda: empty_table(FUNNEL_COLUMNS))
    completeness: pd.DataFrame = field(default_factory=lambda: empty_table(COMPLETENESS_COLUMNS))
    flow: Flow = field(default_factory=Flow)


def audit_service(
    tables: Mapping[str, pd.DataFrame],
    *,
    settings: Mapping[str, Any] | None,
    change: Mapping[str, Any] | None = None,
    ci_level: float = CI_LEVEL,
) -> Audit:
    """Audit a service.

    Parameters
    ----------
    tables : mapping
        ``people_change, treatments, scores, people, samples``.
    settings : mapping or None
        The study's block ``audit``; None says that the study has none.
    change : mapping, optional
        The study's block ``change``; its first outcome is audited where ``settings`` names none.
    ci_level : float
        Confidence level of the Wilson intervals.

    Returns
    -------
    Audit
        A rate is one row a group: of the whole service (``primary``), of each unit (definition "by therapist"), and of
        each benchmark (definition "benchmark"). What the data cannot answer is a row that says so.
    """
    audit = Audit()
    if settings is None:
        audit.estimates.append(not_testable(ANALYSIS, "the study has no audit block"))
        return audit
    outcome = settings.get("outcome") or (change["outcomes"][0]["score"] if change else None)
    if outcome:
        _people_rates(audit, tables, str(outcome), settings["unit"], ci_level)
    elif not settings.get("counts"):
        audit.estimates.append(not_testable(ANALYSIS, "no outcome is named, and no counts are published", outcome="recovery"))
    _dropout(audit, tables, settings["unit"], ci_level)
    if settings.get("counts"):
        _count_rates(audit, tables["samples"], settings, ci_level)
    elif settings["unit"] == "sample":
        audit.estimates.append(
            not_testable(ANALYSIS, "samples are compared by counts, and audit.counts is not set", outcome="funnel")
        )
    _completeness(audit, tables, ci_level)
    audit.estimates.extend(_benchmarks(settings.get("benchmarks", []), ci_level))
    return audit


def _people_rates(audit: Audit, tables: Mapping[str, pd.DataFrame], outcome: str, unit: str, ci_level: float) -> None:
    change = tables["people_change"]
    if not (change["outcome"] == outcome).any():
        reason = f"no change in {outcome} was assessed; the rows of reliable_change say why"
        audit.estimates.append(not_testable(ANALYSIS, reason, outcome=f"recovery of {outcome}"))
        return
    events = outcome_events(change, outcome=outcome, flow=audit.flow)
    definitions = change.loc[(change["outcome"] == outcome) & change["primary"].fillna(False).astype(bool), "definition"]
    definition = str(definitions.iloc[0]) if len(definitions) else ""
    for rate, rule in RULES.items():
        part = events[events["rate"] == rate]
        if part.empty:
            reason = "nobody was clinical at baseline, or no cutoff is known" if rule.clinical_only else "nobody has both occasions"
            audit.estimates.append(not_testable(ANALYSIS, f"{rate}: {reason}", outcome=f"{rate} of {outcome}"))
        else:
            row = rate_estimate(
                rate,
                part["event"].sum(),
                len(part),
                ci_level=ci_level,
                outcome=outcome,
                definition=definition,
                note=_denominator(rate),
            )
            audit.estimates.append(row)
    _paired(audit, tables, outcome, ci_level)
    if unit != "sample":
        _by_unit(audit, events.merge(_units(tables, unit, audit.flow), on="person_id", how="left"), unit, ci_level, outcome)


def _denominator(rate: str) -> str:
    return "of those clinical at baseline" if RULES[rate].clinical_only else "of all with both occasions"


def _paired(audit: Audit, tables: Mapping[str, pd.DataFrame], outcome: str, ci_level: float) -> None:
    """Add the share of clients with both occasions: outcome rates speak only of these."""
    rows = tables["people_change"]
    rows = rows[(rows["outcome"] == outcome) & rows["primary"].fillna(False).astype(bool)]
    roles = tables["people"].set_index("person_id")["role"]
    answering = set(roles.reindex(rows["person_id"]).dropna())
    expected = set(roles.index[roles.isin(answering)]) | set(rows["person_id"])
    both = int((rows["pre"].notna() & rows["post"].notna()).sum())
    audit.estimates.append(
        rate_estimate(
            "completeness",
            both,
            len(expected),
            ci_level=ci_level,
            outcome=outcome,
            definition="both occasions",
            note="of all people with a part in the study that answers this instrument",
        )
    )


def _units(tables: Mapping[str, pd.DataFrame], unit: str, flow: Flow) -> pd.DataFrame:
    """Return ``person_id, unit_id`` of people who belong to exactly one unit."""
    if unit == "site":
        pairs = tables["people"][["person_id", "site_id"]].rename(columns={"site_id": "unit_id"})
    else:
        pairs = tables["treatments"][["person_id", "therapist_id"]].rename(columns={"therapist_id": "unit_id"})
    known = pairs.dropna().drop_duplicates()
    single = known[~known["person_id"].duplicated(keep=False)]
    n_people = pairs["person_id"].nunique()
    flow.add(f"audit: people by {unit}", n_people, len(single), f"no {unit}, or more than one", unit="people")
    return single


def _by_unit(audit: Audit, events: pd.DataFrame, unit: str, ci_level: float, outcome: str) -> None:
    """Add each unit's rates and the funnel of each rate."""
    known = events[events["unit_id"].notna()]
    order = sorted(known["unit_id"].unique())
    labels = {u: f"{UNIT_WORDS[unit]} {i}" for i, u in enumerate(order, start=1)}
    for rate in known["rate"].unique():
        part = known[known["rate"] == rate].groupby("unit_id")["event"].agg(n="size", events="sum").reset_index()
        part["label"] = part["unit_id"].map(labels)
        _funnel(audit, part, unit, str(rate), ci_level, outcome)
    if not order:
        audit.estimates.append(not_testable(ANALYSIS, f"no {unit} is known", outcome=f"funnel of {outcome or 'dropout'}"))


def _funnel(audit: Audit, units: pd.DataFrame, unit: str, rate: str, ci_level: float, outcome: str) -> None:
    frame, spread = funnel_table(units, unit=unit, rate=rate)
    audit.funnel = pd.concat([audit.funnel, frame], ignore_index=True) if len(audit.funnel) else frame
    definition = f"by {UNIT_WORDS[unit]}"
    rows = zip(frame["events"], frame["n"], frame["unit_id"], frame["label"], strict=True)
    # The id tells apart two units that are printed under one name.
    doubled = set(frame.loc[frame["label"].duplicated(keep=False), "label"])
    audit.estimates.extend(
        rate_estimate(
            rate,
            e,
            n,
            ci_level=ci_level,
            outcome=outcome,
            group=f"{label} ({unit_id})" if label in doubled else str(label),
            definition=definition,
            primary=False,
        )
        for e, n, unit_id, label in rows
    )
    audit.estimates.extend(_spread(spread, rate, definition, ci_level, outcome))


def _spread(spread: Overdispersion, rate: str, definition: str, ci_level: float, outcome: str) -> list[Estimate]:
    if not np.isfinite(spread.phi):
        return [
            not_testable(ANALYSIS, f"overdispersion needs at least two units, found {spread.n_units}", outcome=f"funnel of {rate}")
        ]
    quantities = [
        ("overdispersion_phi", spread.phi, "variance ratio", "1 = chance alone; n is units"),
        ("between_unit_variance", spread.tau2, "squared radians", "0 = units differ by chance alone; n is units"),
    ]
    return [
        Estimate(
            analysis=ANALYSIS,
            estimand=estimand,
            estimate=value,
            outcome=outcome,
            group=rate,
            definition=definition,
            primary=False,
            ci_level=ci_level,
            n=spread.n_units,
            n_clusters=spread.n_units,
            unit=measure,
            note=note,
            method="10 % winsorised z scores, arcsine scale",
        )
        for estimand, value, measure, note in quantities
    ]


def _dropout(audit: Audit, tables: Mapping[str, pd.DataFrame], unit: str, ci_level: float) -> None:
    events = dropout_events(tables["treatments"], flow=audit.flow)
    if events.empty:
        audit.estimates.append(not_testable(ANALYSIS, "how treatments ended is not known", outcome="dropout"))
        return
    row = rate_estimate(
        "dropout",
        events["event"].sum(),
        len(events),
        ci_level=ci_level,
        definition="treatments ended",
        note="of the treatments whose end is known; n is treatments",
    )
    audit.estimates.append(row)
    if unit == "therapist":
        _by_unit(audit, events.rename(columns={"therapist_id": "unit_id"}), unit, ci_level, "")
    elif unit == "site":
        sites = tables["people"][["person_id", "site_id"]].rename(columns={"site_id": "unit_id"})
        _by_unit(audit, events.merge(sites, on="person_id", how="left"), unit, ci_level, "")


def _count_rates(audit: Audit, samples: pd.DataFrame, settings: Mapping[str, Any], ci_level: float) -> None:
    counts = settings["counts"]
    table = count_rates(samples, counts=counts, flow=audit.flow)
    if table.empty:
        audit.estimates.append(not_testable(ANALYSIS, "no counts are published", outcome="counts"))
        return
    national = counts.get("national")
    shown = counts.get("system") or sorted(table["system"].unique())[-1]
    providers = table[table["sample_id"] != national]
    whole = (
        table[table["sample_id"] == national]
        if national
        else providers.groupby(["system", "rate"], as_index=False)[["events", "n"]].sum()
    )
    definition = "national total" if national else "all samples together"
    for line in whole.to_dict("records"):
        published, note = line.get("published"), f"{definition}; counts as published"
        if pd.notna(published):
            note += f"; published {100 * published:.4g} %, computed {100 * line['events'] / line['n']:.4f} %"
        audit.estimates.append(
            rate_estimate(
                line["rate"],
                line["events"],
                line["n"],
                ci_level=ci_level,
                group=line["system"],
                definition=definition,
                primary=line["system"] == shown,
                note=note,
            )
        )
    audit.estimates.extend(_published_check(table, national, ci_level))
    if settings["unit"] == "sample":
        for rate, part in providers[providers["system"] == shown].groupby("rate", sort=True):
            _funnel(
                audit,
                part[["sample_id", "label", "n", "events"]].rename(columns={"sample_id": "unit_id"}),
                "sample",
                str(rate),
                ci_level,
                "",
            )


def _published_check(table: pd.DataFrame, national: str | None, ci_level: float) -> list[Estimate]:
    """Return, per rate, how far the computed rates lie from the published ones."""
    rows = []
    checked = table[table["published"].notna()]
    parts = {"national total": checked["sample_id"] == national, "samples": checked["sample_id"] != national}
    for name, keep in parts.items():
        for rate, part in checked[keep].groupby("rate", sort=True):
            distance = part["difference"].abs()
            rows.append(
                Estimate(
                    analysis=ANALYSIS,
                    estimand="largest_difference_from_published",
                    estimate=float(distance.max()),
                    group=str(rate),
                    definition=name,
                    primary=False,
                    ci_level=ci_level,
                    n=len(part),
                    n_clusters=part["sample_id"].nunique(),
                    unit="proportion",
                    method="largest distance between computed and published rate",
                    note=f"mean distance {distance.mean():.6f}; n is samples and periods compared",
                )
            )
    return rows


def _completeness(audit: Audit, tables: Mapping[str, pd.DataFrame], ci_level: float) -> None:
    audit.completeness = completeness_table(tables["scores"], tables["people"])
    table = audit.completeness
    audit.estimates.extend(
        rate_estimate(
            "completeness",
            present,
            expected,
            ci_level=ci_level,
            outcome=instrument,
            group=occasion,
            definition="by instrument and occasion",
            primary=False,
        )
        for instrument, occasion, expected, present in zip(*(table[c] for c in COMPLETENESS_COLUMNS[:4]), strict=True)
    )
    if audit.completeness.empty:
        audit.estimates.append(not_testable(ANALYSIS, "the study holds no scores of people", outcome="completeness"))


def _benchmarks(benchmarks: Sequence[Mapping[str, Any]], ci_level: float) -> list[Estimate]:
    return [
        Estimate(
            analysis=ANALYSIS,
            estimand=b["rate"],
            estimate=float(b["value"]),
            group=b["source"],
            definition="benchmark",
            primary=False,
            ci_level=ci_level,
            unit="proportion",
            direction=DIRECTIONS[b["rate"]],
            method="published benchmark",
            note="" if b["verified"] else "not verified against its source",
        )
        for b in benchmarks
    ]
