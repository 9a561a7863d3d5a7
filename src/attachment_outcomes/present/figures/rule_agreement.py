"""How far the rules of reliable change agree: kappa of every pair, and which sets of rules call people improved or worse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, PALE, look, new_figure
from attachment_outcomes.present.words import count, level_text, number, score_title, sentence

NEEDS = ("rule_agreement", "rule_patterns")
AND, NONE, OTHER = " + ", "no rule", "other"
SHADES = LinearSegmentedColormap.from_list("kappa", ["#FFFFFF", "#CFE3F2", BLUE, "#00344F"])
DARK = 0.55  # kappa from which a cell's number is white
FILLS = {"improved": (BLUE, ""), "deteriorated": (ORANGE, "//")}
ROW = 0.27  # inches a rule


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the primary outcome: kappa of each pair of rules, and beside it the sets of rules that call people the same.

    Raises
    ------
    NothingToDraw
        If fewer than two rules were compared.
    """
    agreement = need(tables["rule_agreement"], "rule_agreement", "fewer than two rules of change could be compared")
    outcome = _outcome(agreement, settings)
    pairs = agreement[agreement["outcome"] == outcome].reset_index(drop=True)
    patterns = tables["rule_patterns"]
    patterns = patterns[patterns["outcome"] == outcome].reset_index(drop=True)
    shown = patterns[patterns["n"].notna() & (patterns["n"] > 0)]
    rules = _rules(pairs, shown)
    kinds = [d for d in FILLS if (shown["direction"] == d).any()]
    widths = [len(rules) + 1.5, *(float((shown["direction"] == d).sum()) + 0.5 for d in kinds)]
    with look():
        figure = new_figure(2.2 + ROW * len(rules))
        grid = figure.subplots(
            2, len(widths), squeeze=False, gridspec_kw={"width_ratios": widths, "height_ratios": [1.15, ROW * len(rules)]}
        )
        _heat_map(grid[1, 0], grid[0, 0], pairs, rules)
        for column, direction in enumerate(kinds, start=1):
            _sets(grid[0, column], grid[1, column], shown[shown["direction"] == direction], rules, direction)
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.0)  # type: ignore[union-attr,call-arg]
    hidden = int(patterns["n"].isna().sum())
    caption = _caption(agreement, pairs, outcome, settings, hidden)
    return Drawing(figure, _data(pairs, patterns), caption, _alt(pairs, shown, rules, caption))


def _outcome(agreement: pd.DataFrame, settings: dict[str, Any]) -> str:
    """Return the study's first outcome that has a comparison."""
    there = list(agreement["outcome"].unique())
    wanted = [str(o["score"]) for o in (settings.get("change") or {}).get("outcomes", [])]
    return next((o for o in wanted if o in there), there[0])


def _rules(pairs: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    """Return the rules from the one that calls most people improved to the one that calls fewest (as told by the sets)."""
    names = list(dict.fromkeys([*pairs["rule_a"], *pairs["rule_b"]]))
    improved = shown[shown["direction"] == "improved"]
    called = {name: sum(r["n"] for r in records(improved) if name in str(r["pattern"]).split(AND)) for name in names}
    return sorted(names, key=lambda name: (-called[name], names.index(name)))


def _heat_map(ax: Axes, above: Axes, pairs: pd.DataFrame, rules: list[str]) -> None:
    place = {name: k for k, name in enumerate(rules)}
    size = len(rules)
    for row in records(pairs):
        i, j = sorted((place[str(row["rule_a"])], place[str(row["rule_b"])]))
        kappa = row["kappa"]
        known = not pd.isna(kappa)
        colour = SHADES(float(np.clip(kappa, 0, 1))) if known else "white"
        ax.add_patch(Rectangle((i - 0.5, j - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8))
        text = number(float(kappa), 2, bounded=True) if known else "–"
        ax.text(i, j, text, ha="center", va="center", fontsize=6.1, color="white" if known and kappa >= DARK else INK)
    for name, k in place.items():
        ax.text(k, k, name, ha="left", va="center", fontsize=8, rotation=45, rotation_mode="anchor")
    ax.set(xlim=(-0.6, size + 0.9), ylim=(size - 0.4, -0.6))
    ax.set_yticks(range(size), rules)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0, labelsize=8)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_xlabel("Kappa of each pair of rules\n(1 = same category for everybody)", fontsize=8.5)
    above.axis("off")


def _sets(top: Axes, ax: Axes, part: pd.DataFrame, rules: list[str], direction: str) -> None:
    """Draw one direction: bars of people above, and below a dot for each rule of the set."""
    colour, hatch = FILLS[direction]
    part = part.reset_index(drop=True)
    columns = list(range(len(part)))
    n = part["n"].to_numpy(dtype=float).tolist()
    top.bar(columns, n, width=0.72, color=colour, edgecolor=INK, linewidth=0.5, hatch=hatch)
    for x, value in zip(columns, n, strict=True):
        top.text(x, value, count(value), ha="center", va="bottom", fontsize=6.5)
    top.set(xlim=(-0.7, len(part) - 0.3), ylim=(0, max(n) * 1.16), title=direction)
    top.title.set_fontsize(9.5)
    top.set_xticks([])
    top.tick_params(axis="y", labelsize=7.5)
    top.locator_params(axis="y", nbins=4)
    top.set_ylabel("People (n)", fontsize=8.5)
    for k in range(0, len(rules), 2):
        ax.axhspan(k - 0.5, k + 0.5, color=PALE, alpha=0.5, linewidth=0)
    for x, pattern in enumerate(part["pattern"].astype(str)):
        if pattern == OTHER:
            ax.text(x, (len(rules) - 1) / 2, "other sets, pooled", rotation=90, ha="center", va="center", fontsize=7.5)
            continue
        inside = [] if pattern == NONE else [k for k, name in enumerate(rules) if name in pattern.split(AND)]
        outside = [k for k in range(len(rules)) if k not in inside]
        ax.plot(
            [x] * len(outside), outside, "o", markersize=3.2, markerfacecolor="white", markeredgecolor=GREY, markeredgewidth=0.5
        )
        if inside:
            ax.plot([x, x], [min(inside), max(inside)], color=colour, linewidth=1.2)
            ax.plot([x] * len(inside), inside, "o", markersize=4.6, color=colour, markeredgecolor=INK, markeredgewidth=0.4)
    ax.set(xlim=(-0.7, len(part) - 0.3), ylim=(len(rules) - 0.4, -0.6))
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_xlabel("Sets of rules (filled)\nthat call people so" if len(part) > 3 else "Sets", fontsize=8.5)


def _data(pairs: pd.DataFrame, patterns: pd.DataFrame) -> pd.DataFrame:
    """Return what is plotted: the pairs, and below them the sets."""
    first = pairs[["outcome", "rule_a", "rule_b", "kappa", "ci_low", "ci_high", "agreement", "n"]].assign(direction="", pattern="")
    second = patterns[["outcome", "direction", "pattern", "n"]].assign(rule_a="", rule_b="")
    columns = ["outcome", "rule_a", "rule_b", "kappa", "ci_low", "ci_high", "agreement", "direction", "pattern", "n"]
    numbers = ["kappa", "ci_low", "ci_high", "agreement"]
    whole = pd.concat([first, second.assign(**dict.fromkeys(numbers, np.nan))], ignore_index=True)[columns]
    return whole.astype(dict.fromkeys(numbers, "float64"))


def _pair(row: dict[str, Any], settings: dict[str, Any]) -> str:
    inside = ""
    if not pd.isna(row["ci_low"]):
        limits = ", ".join(number(row[c], 2, bounded=True) for c in ("ci_low", "ci_high"))
        inside = f" [{level_text(settings)} CI {limits}]"
    return f"{row['rule_a']} and {row['rule_b']} {number(row['kappa'], 2, bounded=True)}{inside}"


def _caption(agreement: pd.DataFrame, pairs: pd.DataFrame, outcome: str, settings: dict[str, Any], hidden: int) -> str:
    known = pairs[pairs["kappa"].notna()].sort_values("kappa", kind="stable")
    told = ""
    if len(known):
        low, high = records(known.iloc[[0, -1]])
        told = f"kappa is lowest between {_pair(low, settings)} and highest between {_pair(high, settings)}"
    others = [
        f"{score_title(o, settings)} {number(float(agreement.loc[agreement['outcome'] == o, 'kappa'].median()), 2, bounded=True)}"
        for o in agreement["outcome"].unique()
        if o != outcome
    ]
    return sentence(
        f"{score_title(outcome, settings)}, n = {count(pairs['n'].max())}: {told}",
        f"The median kappa is {number(float(known['kappa'].median()), 2, bounded=True)}" if len(known) else "",
        f"Median kappa of other outcomes: {'; '.join(others)}" if others else "",
        f"{hidden} sets are suppressed as small counts and not drawn" if hidden else "",
        "Rules are ordered from the one that calls most people improved to the one that calls fewest",
    )


def _alt(pairs: pd.DataFrame, shown: pd.DataFrame, rules: list[str], caption: str) -> str:
    largest = shown[shown["direction"] == "improved"].head(3)
    listed = "; ".join(f"{r['pattern']}: {count(r['n'])}" for r in records(largest))
    return sentence(
        f"Heat map of kappa between {len(rules)} rules, beside bars of the sets of rules that call people improved or deteriorated",
        f"Largest sets for improved: {listed}" if listed else "",
        caption,
    )
