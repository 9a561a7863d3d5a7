"""The audit of a service on one page: rates beside benchmarks, completeness, units, exclusions, and how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.present.drawing import Drawing, NothingToDraw, inline_svg
from attachment_outcomes.present.figures import audit_funnel, completeness
from attachment_outcomes.present.lookup import Row, records, rows_of
from attachment_outcomes.present.pages.template import AUDIT
from attachment_outcomes.present.words import (
    MISSING,
    SUPPRESSED,
    count,
    first_upper,
    interval_text,
    level_text,
    outcome_title,
    percent,
    plain,
    sentence,
    with_interval,
)

NEEDS = ("estimates", "funnel", "completeness", "flow", "claims")
RATES = ("recovery", "reliable_improvement", "reliable_recovery", "reliable_deterioration", "dropout", "completeness")
NAMES = {"completeness": "Both occasions measured"}
COUNTED = ("national total", "all samples together")  # rates from published counts
VERDICTS = ("supported", "contradicted", "inconclusive", "not testable")
UNITS = {"therapist": "therapists", "site": "sites", "sample": "providers"}


def audit_page(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> str:
    """Return the page as HTML that runs nothing and fetches nothing.

    Parameters
    ----------
    tables : dict
        ``NEEDS``, with small counts already suppressed.
    settings : dict
        The study: title, about, source, audit block, scales, threshold, what is not verified.
    """
    estimates = tables["estimates"]
    rates = [_rate(row, estimates, settings) for row in _primary_rates(estimates)]
    unit = str((settings.get("audit") or {}).get("unit", "therapist"))
    threshold = int(settings.get("threshold", 0))
    claims = records(tables["claims"])
    flow = [_flow(row) for row in records(tables["flow"])]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(AUDIT).render(
        title=settings["title"],
        about=settings.get("about", ""),
        source=settings["source"],
        period=_period(estimates),
        key=_key(rates),
        level=level_text(settings),
        rates=rates,
        refused=_refused(estimates, settings),
        completeness=_figure(completeness.draw, tables, settings, "complete"),
        funnel=_figure(audit_funnel.draw, tables, settings, "funnel"),
        unit_title=first_upper(UNITS.get(unit, "units")),
        units=UNITS.get(unit, "units"),
        claims=claims,
        tally=_tally(claims),
        decided=[_claim(row) for row in claims if row["verdict"] != NOT_TESTABLE],
        flow=[line for line in flow if line["lost"]],
        unaffected=sum(not line["lost"] for line in flow),
        disclosure=(
            f"Numbers of 1 to {threshold - 1} people, and numbers from which these could be had, are suppressed."
            if threshold > 1
            else "No number is suppressed on this page, since the data are public or synthetic."
        ),
        unverified=[f"{plain(name)}: {', '.join(parts)}" for name, parts in settings.get("unverified", {}).items()],
    )


def _primary_rates(estimates: pd.DataFrame) -> list[Row]:
    rows = [r for r in rows_of(estimates, analysis="audit", primary=True) if r["estimand"] in RATES]
    return sorted(rows, key=lambda r: RATES.index(str(r["estimand"])))


def _rate(row: Row, estimates: pd.DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    hidden = pd.isna(row["estimate"])
    benchmarks = rows_of(estimates, analysis="audit", estimand=row["estimand"], definition="benchmark")
    outcome = outcome_title(str(row["outcome"]), settings)
    name = NAMES.get(str(row["estimand"]), first_upper(plain(str(row["estimand"]))))
    about = [outcome, *(str(row[c]) for c in ("definition", "group") if row[c] and row["estimand"] != "completeness")]
    return {
        "estimand": row["estimand"],
        "name": name,
        "about": ", ".join(p for p in about if p),
        "whom": "courses finished" if row["definition"] in COUNTED else "with both occasions",
        "n": count(row["n"]) if not pd.isna(row["n"]) else (SUPPRESSED if hidden else MISSING),
        "estimate": with_interval(row | {"ci_low": float("nan")}),
        "interval": interval_text(row["ci_low"], row["ci_high"], "proportion") or MISSING,
        "bar": MISSING if hidden else _bar(row, [b["estimate"] for b in benchmarks], name),
        "benchmarks": [
            {
                "value": percent(b["estimate"], 1),
                "compared": "" if hidden else f"({_compared(row, b['estimate'])})",
                "source": f"{b['group']}{', not verified' if b['note'] else ''}",
            }
            for b in benchmarks
        ],
    }


def _compared(row: Row, benchmark: float) -> str:
    if row["ci_low"] > benchmark:
        return "below the interval"
    return "above the interval" if row["ci_high"] < benchmark else "inside the interval"


def _bar(row: Row, benchmarks: list[float], name: str) -> Markup:
    """Return a bar of 0 to 100 % as SVG: a line from limit to limit, a dot, and triangles for benchmarks."""
    x = {key: f"{4 + 232 * float(row[key]):.1f}" for key in ("estimate", "ci_low", "ci_high")}
    words = f"{name}: {with_interval(row)}" + "".join(f", benchmark {percent(b, 1)}" for b in benchmarks)
    marks = "".join(f'<path d="M{4 + 232 * b:.1f} 17 l-4.5 7 h9 z" fill="#b35c00"/>' for b in benchmarks)
    parts = [
        f'<svg class="bar" viewBox="0 0 240 25" role="img" aria-label="{escape(words)}">',
        '<path d="M4 12 H236 M4 8 V16 M62 9.5 V14.5 M120 8 V16 M178 9.5 V14.5 M236 8 V16" stroke="#bbbbbb" fill="none"/>',
        f'<path d="M{x["ci_low"]} 12 H{x["ci_high"]}" stroke="#0072b2" stroke-width="3.5"/>',
        f'<circle cx="{x["estimate"]}" cy="12" r="5" fill="#0072b2" stroke="#ffffff"/>{marks}</svg>',
    ]
    return Markup("".join(parts))  # noqa: S704 (built here from numbers; the words are escaped)


def _key(rates: list[dict[str, Any]]) -> str:
    """Return the first sentence of the page."""
    said = {r["estimand"]: r for r in rates if SUPPRESSED not in r["estimate"] and r["estimate"] != MISSING}
    parts = []
    if "recovery" in said:
        r = said["recovery"]
        parts.append(f"Of {r['n']} clients in the clinical range at baseline, {r['estimate']} {r['interval']} recovered")
    if "reliable_improvement" in said:
        r = said["reliable_improvement"]
        parts.append(f"of {r['n']} {r['whom']}, {r['estimate']} {r['interval']} improved reliably")
    if "reliable_deterioration" in said:
        parts.append(f"{said['reliable_deterioration']['estimate']} deteriorated reliably")
    if "dropout" in said:
        parts.append(f"{said['dropout']['estimate']} of treatments ended by dropping out")
    return sentence(first_upper("; ".join(parts))) or "These data give no rate of recovery, improvement or dropout."


def _period(estimates: pd.DataFrame) -> str:
    rows = [r for r in rows_of(estimates, analysis="audit", estimand="recovery", primary=True) if r["group"]]
    return str(rows[0]["group"]) if rows else ""


def _refused(estimates: pd.DataFrame, settings: dict[str, Any]) -> list[str]:
    rows = rows_of(estimates, analysis="audit", estimand=NOT_TESTABLE)
    words = (f"{outcome_title(str(r['outcome']), settings) or 'Audit'}: {r['note']}" for r in rows)
    return [f"Not testable. {first_upper(plain(w))}." for w in words]


def _figure(
    draw: Callable[[dict[str, pd.DataFrame], dict[str, Any]], Drawing],
    tables: dict[str, pd.DataFrame],
    settings: dict[str, Any],
    name: str,
) -> dict[str, Any]:
    try:
        drawing = draw(tables, settings)
    except NothingToDraw as reason:
        return {"svg": "", "caption": "", "reason": f"Nothing to show: {str(reason).split(': ', 1)[-1]}."}
    svg = re.sub(r"\s*\n\s*", "\n", inline_svg(drawing, prefix=name))
    return {"svg": Markup(svg), "caption": drawing.caption, "reason": ""}  # noqa: S704 (made by the plotting library)


def _claim(row: Row) -> dict[str, str]:
    return {
        "id": str(row["claim"]),
        "verdict": str(row["verdict"]),
        "text": row["text"] if isinstance(row.get("text"), str) else "",
        "finding": f"{plain(str(row['estimand']))}: {with_interval(row)}"
        if isinstance(row.get("estimand"), str)
        else with_interval(row),
    }


def _tally(claims: list[Row]) -> str:
    found = [str(row["verdict"]) for row in claims]
    return sentence(f"Of {len(claims)} claims: " + ", ".join(f"{found.count(v)} {v}" for v in VERDICTS))


def _flow(row: Row) -> dict[str, Any]:
    hidden = bool(pd.isna(row["n_in"]) or pd.isna(row["n_out"]))
    return {
        "step": first_upper(str(row["step"])),
        "n_in": count(row["n_in"]),
        "n_out": count(row["n_out"]),
        "reason": row["reason"] if isinstance(row["reason"], str) else "",
        "lost": hidden or row["n_in"] > row["n_out"],
    }
