"""The tables of docs/methods/speed.md, from validation/bench/models.json: no number there is typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attachment_outcomes.present.validation.bench import MARKS, SHORT, in_order
from attachment_outcomes.present.words import count, first_upper

Record = Mapping[str, Any]
MARKER = "<!-- {} by `python3 run.py bench models` -->"
BEGIN, END = MARKER.format("made"), MARKER.format("end of what is made")
PACKAGES = tuple(MARKS)
PARTS = {"fixed": "fixed effects", "std_errors": "standard errors", "variances": "variances", "loglik": "log likelihood"}
NONE, EVERY = "—", "every model"
NOT_GIVEN = "not given this"
TIGHT = "lme4, tight"
HAPPENED = ("stopped", "failed", "not run")
FIGURE = "![Seconds a fit by number of clients, a line a package](../../validation/bench/models.png)"


def with_tables(page: str, record: Record) -> str:
    """Return the page with what stands between its markers made anew.

    Raises
    ------
    ValueError
        If the page has no markers.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(record)}\n{END}{rest.partition(END)[2]}"


def tables(record: Record) -> str:
    """Return the Markdown: machine and versions, timings by model, goals, agreement."""
    parts = [
        FIGURE,
        _about(record),
        *(text for name in dict.fromkeys(r["model"] for r in record["rows"]) for text in _model(record, name)),
    ]
    parts += ["### Goals", _goals(record), "### Do they find the same?", _agreement(record)]
    return "\n\n".join(parts) + "\n"


def seconds(value: float) -> str:
    """Return a duration with two significant digits, e.g. ``36 ms``, ``0.71 s``, ``110 s``."""
    text, unit = (f"{1000 * value:.2g}", "ms") if value < 0.0995 else (f"{value:.2g}", "s")
    return f"{float(text):g} {unit}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _about(record: Record) -> str:
    machine, versions = record["machine"], record["packages"]
    told = [f"{name} {versions[name]}" for name in ("R", *PACKAGES[1:], "numpy") if name in versions]
    absent = f" Not here, so not measured: {', '.join(record['absent'])}." if record.get("absent") else ""
    return (
        f"Machine: {machine['system']}, {machine['processor']}, {machine['processors']} processors, {machine['memory_gb']:g} GB, "
        f"Python {machine['python']}. Packages: {', '.join(told)}.{absent} A cell is the seconds of a fit (median over runs of a "
        "later call in the same process; of the first call where that took over 10 s) and the peak memory of the whole process. "
        "First: our first call in a process. Process: our process from its start to its end, with one fit."
    )


def _model(record: Record, name: str) -> Iterator[str]:
    rows = [r for r in record["rows"] if r["model"] == name]
    used = [p for p in PACKAGES if any("seconds" in r["results"].get(p, {}) for r in rows)]
    yield f"### {first_upper(rows[0]['title'])}"
    yield f"`{rows[0]['formula']}`"
    several = len({r["form"] for r in rows}) > 1
    head = ["clients", *(["form"] if several else []), "rows", *(SHORT.get(p, p) for p in used), "first", "process"]
    lines: list[list[str]] = []
    notes: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        own = row["results"].get(record["own"], {})
        cells = [_cell(row["results"].get(p, {})) for p in used]
        ends = [seconds(own[k]["median"]) if k in own else NONE for k in ("first_call", "process_seconds")]
        form = [row["form"]] if several else []
        lines.append([count(row["clients"]), *form, count(row["observations"] / row["fits"]), *cells, *ends])
        for package, one in in_order(row["results"]):
            text = one.get("not") or one.get("also")
            if "scaled_from_fits" in one:
                text = f"{one['scaled_from_fits']} fits, scaled to {row['fits']:,}"
            if text and text != NOT_GIVEN:
                notes.setdefault(package, {}).setdefault(text, []).append(" ".join([count(row["clients"]), *form]))
    yield _table(head, lines)
    if notes:
        yield "\n".join(f"- {package}: {'; '.join(_note(text, at) for text, at in of.items())}." for package, of in notes.items())


def _note(text: str, at: Sequence[str]) -> str:
    """Return a reason, with the rows it is for where it came up in the run."""
    return f"{text} ({', '.join(at)})" if text.startswith(HAPPENED) else text


def _cell(result: Mapping[str, Any]) -> str:
    if "seconds" not in result:
        return NONE
    return f"{seconds(result['seconds']['median'])}, {count(result['peak_mb']['median'])} MB"


def _goals(record: Record) -> str:
    """Return a line a goal, with the rows at which it was measured."""
    titles = {r["row"]: r for r in record["rows"]}
    groups: dict[tuple[str, str, str, float], list[Mapping[str, Any]]] = {}
    for goal in record["goals"]:
        row = titles.get(goal["row"])
        model = row["title"] if row else goal["row"].rpartition("-")[0].replace("_", "-") + " growth"
        key = (EVERY if goal["goal"].endswith(("index", "allowed")) else model, goal["goal"], goal["sense"], goal["bound"])
        groups.setdefault(key, []).append(goal)
    lines = []
    for (model, text, sense, bound), of in groups.items():
        states = [goal["met"] for goal in of]
        met = "not measured" if None in states and not any(s is not None for s in states) else "met" if all(states) else "not met"
        if model == EVERY:
            known = [g for g in of if g["met"] is not None]
            short = [f"{_where(titles, g, full=True)}: {g['measured']:.2g}" for g in known if not g["met"]]
            told = f"{len(known) - len(short)} of {len(known)} rows" + (f"; not: {', '.join(short)}" if short else "")
            met = "not measured" if not known else "not met" if short else "met"
        else:
            told = ", ".join(f"{_where(titles, g)}: " + (NONE if g["measured"] is None else f"{g['measured']:.3g}") for g in of)
        lines.append([model, f"{text}: {sense} {count(bound) if bound >= 10 else f'{bound:g}'}", told, met])
    return _table(["model", "goal", "measured", ""], lines)


def _where(titles: Mapping[str, Mapping[str, Any]], goal: Mapping[str, Any], *, full: bool = False) -> str:
    row = titles.get(goal["row"])
    if row is None:
        return str(goal["row"]).rpartition("-")[2]
    model = f"{row['title']}, " if full else ""
    return f"{model}{count(row['clients'])} {row['form']}"


def _agreement(record: Record) -> str:
    """Return the largest differences over a model's rows: of all packages from lme4 with tiny tolerances, of ours from others."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        for package, one in in_order(row["results"]):
            if "differences" in one and (package == record["own"] or row["reference"] == TIGHT):
                groups.setdefault((row["title"], row["reference"], package), []).append(one)
    lines = []
    for (title, reference, package), of in groups.items():
        most = [f"{max(one['differences'][part] for one in of):.1g}" for part in PARTS]
        gain = max((one["loglik_gain"] for one in of), key=abs)
        agreed = f"{sum(one['agrees'] for one in of)} of {len(of)}"
        lines.append([title, reference, SHORT.get(package, package), *most, f"{gain:+.1g}", agreed])
    limits = "; ".join(
        f"{family}: " + ", ".join(f"{PARTS[part]} {asked[part]:g}" for part in PARTS)
        for family, asked in sorted(record["agreement"].items())
    )
    head = ["model", "beside", "package", *PARTS.values(), "plain", "rows that agree"]
    told = (
        f"Largest relative difference over a model's rows; a row agrees if it is within these ({limits}). "
        "Plain: log likelihood minus the reference's, the largest; where positive, the reference stopped short of the optimum."
    )
    return f"{_table(head, lines)}\n\n{told}"
