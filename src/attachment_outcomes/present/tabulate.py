"""Tables in the style of the APA: no vertical rules, exact p, intervals in brackets, and a line of notes.

A table is written twice: as a page of its own that needs nothing else, and as CSV with the same cells.
"""

from __future__ import annotations

import html as escape
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row
from attachment_outcomes.present.words import (
    MISSING,
    SUPPRESSED,
    count,
    digits_of,
    estimate_text,
    first_upper,
    interval_text,
    level_text,
    number,
    plain,
    sentence,
)

INK, RULE = "#222222", "#222222"
# The page forbids itself everything but its own style, so it can be opened anywhere and fetches nothing.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 1.5rem; color: #222222; font-family: "DejaVu Sans", Arial, sans-serif; }} p {{ max-width: 60rem; }}
table.gt_table {{ margin-left: 0 !important; }} td.gt_row {{ vertical-align: top !important; }}</style>
</head>
<body>
{body}
</body>
</html>
"""
NAMES = {
    "share": "share",
    "mean_change": "mean change",
    "standardised_change": "standardised change (pre–post d)",
    "improved_expected_without_change": "improved if nobody had changed",
    "reliable_change_threshold": "least reliable change",
    "share_with_rupture": "clients with a rupture",
    "expected_on_noise": "clients with a rupture, in noise alone",
    "rate_per_session": "ruptures per session",
    "repaired_minus_none": "repaired − none",
    "unrepaired_minus_none": "unrepaired − none",
    "repaired_minus_unrepaired": "repaired − unrepaired",
    "none_minus_any": "none − any rupture",
    "repair_minus_avoidance": "repair contrast − avoidance contrast",
    "bowker": "Bowker's test of symmetry, chi-square",
    "stuart_maxwell": "Stuart–Maxwell test of equal margins, chi-square",
    "recovered_still_insecure": "recovered while still insecure",
    "cramers_v": "Cramér's V",
    "phi": "phi",
    "kappa": "kappa",
    "overdispersion_phi": "overdispersion phi",
    "between_unit_variance": "variance between units",
    "largest_difference_from_published": "largest distance from the published rate",
}


@dataclass(frozen=True)
class Table:
    """A table as printed: its cells, and the page that shows them."""

    frame: pd.DataFrame
    html: str


def estimand_name(row: Row) -> str:
    """Return what a row estimates, in words."""
    name = str(row["estimand"])
    if name.endswith("_prediction_interval"):
        return f"{plain(name.removesuffix('_prediction_interval'))}, prediction interval"
    if name.endswith("_i2"):
        return f"{plain(name.removesuffix('_i2'))}, I²"
    return NAMES.get(name, plain(name))


def cells(row: Row, settings: dict[str, Any]) -> dict[str, str]:
    """Return the printed cells of an estimate: n, clusters, estimate, interval and p."""
    unit = str(row["unit"])
    hidden = SUPPRESSED in str(row["note"])
    return {
        "n": count(row["n"]) if hidden or not pd.isna(row["n"]) else MISSING,
        "clusters": count(row["n_clusters"]) if not pd.isna(row["n_clusters"]) else MISSING,
        "estimate": SUPPRESSED if hidden and pd.isna(row["estimate"]) else f"{estimate_text(row['estimate'], unit)}{_unit(unit)}",
        f"{level_text(settings)} CI": interval_text(row["ci_low"], row["ci_high"], unit, digits=digits_of(row["estimate"], unit))
        or MISSING,
        "p": MISSING
        if pd.isna(row["p_value"])
        else ("< .001" if row["p_value"] < 0.001 else number(row["p_value"], 3, bounded=True)),
    }


def estimate_table(
    rows: Sequence[Row],
    settings: dict[str, Any],
    *,
    name: str,
    title: str,
    group: Callable[[Row], str],
    label: Callable[[Row], str] = estimand_name,
    notes: Sequence[str] = (),
    empty: str = "There are no such estimates.",
) -> Table:
    """Return a table of estimates, one row each, under headings; columns that are empty throughout are left out."""
    lines = [{"group": group(r), "quantity": first_upper(label(r)), **cells(r, settings)} for r in rows]
    frame = pd.DataFrame(lines)
    optional = [c for c in ("clusters", "p") if c in frame and frame[c].isin(["", MISSING]).all()]
    frame = frame.drop(columns=optional)
    if "clusters" in frame and (frame["clusters"] == frame["n"]).all():
        frame = frame.drop(columns="clusters")
    methods = list(dict.fromkeys(str(r["method"]) for r in rows if r["method"]))
    listed = f"Methods: {'; '.join(methods)}" if methods else ""
    return make_table(frame, name=name, title=title, notes=[*notes, listed], group="group", empty=empty)


def _unit(unit: str) -> str:
    """Return the unit as it follows a number; a proportion has its per cent sign, kappa and r have none."""
    return {"score points": " points", "SD units": " SD"}.get(unit, "") if " per " not in unit else f" {unit}"


def make_table(
    frame: pd.DataFrame, *, name: str, title: str, notes: Sequence[str] = (), group: str | None = None, empty: str = ""
) -> Table:
    """Return the table as a page: headings in words, numbers to the right, notes below.

    Parameters
    ----------
    frame : pd.DataFrame
        Printed cells.
    name : str
        Fixed name of the table within the page.
    title : str
        Above the table, and of the page.
    notes : sequence of str
        Sentences of the note; empty ones are skipped.
    group : str, optional
        Column whose values become headings between the rows.
    empty : str
        What is said where there are no rows.
    """
    note = sentence(*notes)
    if frame.empty:
        body = f"<h1>{escape.escape(title)}</h1>\n<p>{escape.escape(empty)}</p>"
        return Table(frame, PAGE.format(title=escape.escape(title), body=body))
    body = _great_table(frame, name=name, title=title, note=note, group=group)
    return Table(frame, PAGE.format(title=escape.escape(title), body=body))


def _great_table(frame: pd.DataFrame, *, name: str, title: str, note: str, group: str | None) -> str:
    from great_tables import GT, loc, style

    shown = frame.fillna(MISSING).replace("", MISSING)
    table = GT(shown, id=name, groupname_col=group).tab_header(title=title)
    table = table.cols_label({c: first_upper(plain(c)) if c not in ("n", "p") else c for c in shown.columns if c != group})
    words = [c for c in shown.columns if c != group and not _is_numbers(shown[c])]
    table = table.cols_align("right").cols_align("left", columns=words)
    table = table.tab_style(style.text(style="italic"), loc.column_labels(columns=[c for c in ("n", "p") if c in shown]))
    if note:
        table = table.tab_source_note(f"Note. {note}")
    table = table.tab_options(
        table_font_names=["DejaVu Sans", "Arial", "sans-serif"],
        table_font_size="14px",
        table_font_color=INK,
        heading_align="left",
        heading_title_font_size="16px",
        heading_border_bottom_style="none",
        table_border_top_style="none",
        column_labels_border_top_style="solid",
        column_labels_border_top_width="1.5px",
        column_labels_border_top_color=RULE,
        column_labels_border_bottom_style="solid",
        column_labels_border_bottom_width="1px",
        column_labels_border_bottom_color=RULE,
        column_labels_font_weight="normal",
        table_body_hlines_style="none",
        table_body_vlines_style="none",
        table_body_border_top_style="none",
        table_body_border_bottom_style="solid",
        table_body_border_bottom_width="1.5px",
        table_body_border_bottom_color=RULE,
        table_border_bottom_style="none",
        row_group_border_top_style="none",
        row_group_border_bottom_style="none",
        row_group_font_weight="bold",
        data_row_padding="3px",
        source_notes_font_size="12px",
    )
    return str(table.as_raw_html())


def _is_numbers(column: pd.Series) -> bool:
    """Tell whether every cell starts like a number, so that the column is set to the right."""
    return bool(column.astype(str).str.match(r"^([−\d.<\[(]|suppressed|—)").all())
