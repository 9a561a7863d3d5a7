"""The claims of the field's guides, and the verdict that these data give on each."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import GREY, INK, VERDICT_MARKS, look, new_figure
from attachment_outcomes.present.words import count, sentence, with_interval

NEEDS = ("claims", "estimates")
LINE = 0.158  # inches a line of text
CLAIM_WIDTH, FINDING_WIDTH = 76, 56  # characters
MOST_LINES = 4
BEFORE = {unit: f"{unit} " for unit in ("odds ratio", "risk ratio", "kappa", "r", "phi")}
AFTER = {"score points": " points", "SD units": " SD"}
X_MARK, X_ID, X_CLAIM, X_VERDICT, X_FINDING = 0.012, 0.03, 0.075, 0.55, 0.66


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw one row a claim: symbol and word of the verdict, and the estimate or what is missing.

    Raises
    ------
    NothingToDraw
        If there are no claims.
    """
    claims = need(tables["claims"], "claims", "there are no claims").reset_index(drop=True)
    rows = [_row(line) for line in records(claims)]
    heights = [max(len(r["claim"]), len(r["finding"])) + 0.9 for r in rows]
    total = sum(heights) + 2.2
    with look():
        figure = new_figure(LINE * total + 0.3, width=10.5)
        figure.set_layout_engine("none")
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set(xlim=(0, 1), ylim=(-total, 0))
        ax.axis("off")
        _heading(ax)
        top = -1.7
        for row, height in zip(rows, heights, strict=True):
            middle = top - height / 2
            _draw_row(ax, row, middle)
            ax.axhline(top - height, color="#DDDDDD", linewidth=0.6)
            top -= height
    tally = claims["verdict"].value_counts()
    counts = ", ".join(f"{tally.get(v, 0)} {v}" for v in VERDICT_MARKS)
    caption = sentence(
        f"{len(claims)} claims: {counts}",
        'Each verdict follows a rule that was fixed beforehand and is read from the interval, so "inconclusive" means that the '
        'interval covers both answers and "not testable" that the data lack what the claim needs',
    )
    listed = "; ".join(f"{c.claim} {c.verdict}" for c in claims.itertuples())
    return Drawing(figure, claims, caption, f"Verdicts on {len(claims)} claims. {listed}.")


def _row(line: dict[str, Any]) -> dict[str, Any]:
    if line["verdict"] == "not testable":
        words = str(line["missing"]) if isinstance(line["missing"], str) else ""
    else:
        unit = str(line["unit"]) if isinstance(line["unit"], str) else ""
        n = f", n = {count(line['n'])}" if not pd.isna(line["n"]) else ""
        words = f"{BEFORE.get(unit, '')}{with_interval(line)}{AFTER.get(unit, '')}{n}"
    text = line.get("text")
    return {
        "id": line["claim"],
        "verdict": line["verdict"],
        "claim": _wrapped(str(text) if isinstance(text, str) else "", CLAIM_WIDTH),
        "finding": _wrapped(words, FINDING_WIDTH),
    }


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, max_lines=MOST_LINES, placeholder=" …") or [""]


def _heading(ax: Axes) -> None:
    for x, word in ((X_ID, "Claim"), (X_VERDICT, "Verdict"), (X_FINDING, "Estimate [interval], or what is missing")):
        ax.text(x, -0.8, word, fontweight="bold", va="center", fontsize=9)
    ax.axhline(-1.7, color=INK, linewidth=0.9)


def _draw_row(ax: Axes, row: dict[str, Any], middle: float) -> None:
    colour, marker = VERDICT_MARKS.get(row["verdict"], (GREY, "_"))
    ax.plot(X_MARK, middle, marker=marker, color=colour, markersize=8.5, markeredgewidth=2 if marker == "_" else 0.8)
    common: dict[str, Any] = {"va": "center", "fontsize": 8.5, "linespacing": 1.2}
    ax.text(X_ID, middle, row["id"], fontweight="bold", **common)
    ax.text(X_CLAIM, middle, "\n".join(row["claim"]), **common)
    ax.text(X_VERDICT, middle, row["verdict"], fontweight="normal" if row["verdict"] == "not testable" else "bold", **common)
    ax.text(X_FINDING, middle, "\n".join(row["finding"]), color="#555555" if row["verdict"] == "not testable" else INK, **common)
