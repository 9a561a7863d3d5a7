"""Classes of grandparents, parents and children as one flow, and what becomes of security if transmission stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator, PercentFormatter

from attachment_outcomes.present.drawing import Drawing, NothingToDraw
from attachment_outcomes.present.lookup import one, records, told
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, PALE, SKY, VERMILION, look, new_figure
from attachment_outcomes.present.words import count, estimate_text, interval_text, p_value, percent, sentence

NEEDS = ("generation_chains", "generation_transitions", "generation_projection", "estimates")
PEOPLE = ("grandparent_class", "parent_class", "child_class")
HEADS = ("Grandparents", "Parents", "Children")
FILLS = {
    **dict.fromkeys(("secure", "F", "B", "organised"), (BLUE, "")),
    **dict.fromkeys(("Ds", "A", "dismissing"), (SKY, "\\\\")),
    **dict.fromkeys(("E", "C", "preoccupied", "insecure"), (ORANGE, "//")),
    **dict.fromkeys(("U", "D", "fearful", "unresolved or disorganised"), (VERMILION, "xx")),
}
BEST = ("secure", "F", "B", "organised")
MARKS = {"all": (INK, "o"), "best": (BLUE, "s")}
OTHER_MARKS = "^vDPX"
NODE, GAP, STEP = 0.06, 0.025, 1.0  # width of a bar, space between classes as a share of all chains, distance of the columns
# Estimates whose n is that of all chains.
OF_ALL_CHAINS = ("agreement", "kappa", "all_alike", "all_alike_if_markov", "agreement_if_markov", "agreement_beyond_markov")
LEAST_LABELLED = 0.035
ASIDE, APART = 0.04, 0.1  # by which points of other starts, and corrected ones, stand aside


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw the chains of the primary way, if there are any, and below them the projection, if there is one.

    Chains whose kinds are suppressed are one grey band. Where nobody may know how many they are, or no change between
    two generations is left to be shown, the chains are left out, as they would show classes passed on without exception: the
    flow is then that of each step by itself, if none of its counts is suppressed.

    Raises
    ------
    NothingToDraw
        If there is neither, or every count is suppressed and nothing is projected.
    """
    chains, projected = tables["generation_chains"], tables["generation_projection"]
    way = next((str(t["way"].iloc[0]) for t in (chains, projected) if len(t)), "")
    chains, projected = (t[t["way"] == way].reset_index(drop=True) for t in (chains, projected))
    shown = chains[chains["n"] > 0]
    estimates = tables["estimates"]
    hidden = int(chains["n"].isna().sum())
    unseen = _unseen(chains, estimates, way) if hidden else 0.0
    kept_back = _kept_back(chains, shown, unseen) if hidden else ""
    if kept_back:
        shown = shown.iloc[:0]
    known = projected[projected["share"].notna()]
    steps = tables["generation_transitions"]
    steps = steps[steps["way"] == way].reset_index(drop=True)
    if not kept_back or steps["n"].isna().any() or not (steps.groupby("step")["n"].sum() > 0).all():
        steps = steps.iloc[:0]
    parts = [bool(len(shown) or len(steps)), bool(len(known))]
    if not any(parts):
        if kept_back:
            raise NothingToDraw(f"generation_chains: {kept_back[0].lower()}{kept_back[1:]}, and nothing is projected")
        raise NothingToDraw("generation_chains: there is no chain of three generations to show, and nothing is projected")
    with look():
        figure = new_figure(4.3 * parts[0] + 4.0 * parts[1])
        ratios = [4.3, 3.4] if all(parts) else [1]
        axes = figure.subplots(sum(parts), 1, squeeze=False, height_ratios=ratios)[:, 0].tolist()
        if len(steps):
            _steps(axes[0], steps)
        elif parts[0]:
            _flow(axes[0], chains, shown, unseen)
        if parts[1]:
            _projection(axes[-1], known)
    total = float(chains["n"].sum()) + (0.0 if np.isnan(unseen) else unseen)
    caption = sentence(
        f"{way}; n = {'at least ' if np.isnan(unseen) else ''}{count(total)} chains" if total else f"{way}; no chain",
        f"{hidden} kinds of chains are suppressed as small counts; in grey, {count(unseen)} chains"
        if hidden and len(shown)
        else "",
        kept_back.replace("The flow is not drawn", "Each step is drawn by itself, not the chains") if len(steps) else kept_back,
        *_tests(estimates, way, settings),
        *_told(estimates, way, settings),
        "Projections take transmission to be first-order and to stay as it is, and a child's class to stand for that as a parent"
        if parts[1]
        else "",
        _without_interval(known) if parts[1] else "",
    )
    listed = "; ".join(f"{', '.join(str(r[p]) for p in PEOPLE)}: {count(r['n'])}" for r in records(shown))
    data = chains.drop(columns="way").assign(what="chains")
    below = projected.drop(columns="way").assign(what="projection")
    return Drawing(
        figure, pd.concat([data, below], ignore_index=True), caption, f"Flow over three generations. {listed}. {caption}"
    )


def _unseen(chains: pd.DataFrame, estimates: pd.DataFrame, way: str) -> float:
    """Return how many chains are of suppressed kinds, from the number of all that an estimate tells; NaN where none does."""
    rows = estimates[(estimates["analysis"] == "three_generations") & (estimates["definition"] == way)]
    told_of = rows.loc[rows["estimand"].isin(OF_ALL_CHAINS), "n"].dropna()
    return float(told_of.iloc[0] - chains["n"].sum()) if len(told_of) else float("nan")


def _kept_back(chains: pd.DataFrame, shown: pd.DataFrame, unseen: float) -> str:
    """Return why a flow with suppressed kinds of chains would mislead, if it would."""
    if shown.empty:
        return "The flow is not drawn: all kinds of chains are suppressed, as small counts or as counts that give them back"
    if not unseen > 0:
        return "The flow is not drawn: some chains are suppressed as small counts, and how many is not told"
    ranks = np.array([_ranks(chains, row) for _, row in shown.iterrows()])
    for step, words in enumerate(("grandparent and parent", "parent and child")):
        if (ranks[:, step] == ranks[:, step + 1]).all():
            return (
                f"The flow is not drawn: all chains in which {words} differ are suppressed as small counts, as if there were none"
            )
    return ""


def _ranks(chains: pd.DataFrame, row: pd.Series) -> tuple[int, ...]:
    """Return the place of each generation's class among its classes."""
    return tuple(list(dict.fromkeys(chains[p])).index(row[p]) for p in PEOPLE)


def _others(known: pd.DataFrame) -> list[str]:
    """Return the classes, other than the secure one, in which projected lines begin."""
    return [s for s in dict.fromkeys(known["start_class"]) if s != "all" and s not in BEST]


def _without_interval(known: pd.DataFrame) -> str:
    """Return which lines are drawn without their intervals, so that the others can be read."""
    others = _others(known)
    return (
        f"Intervals of lines that begin {', '.join(others)} are not drawn; they are in the data of this figure"
        if others[1:]
        else ""
    )


def _tests(estimates: pd.DataFrame, way: str, settings: dict[str, Any]) -> list[str]:
    """Return what the tests of a first-order chain say, with and without error."""
    keys: dict[str, object] = {"analysis": "three_generations", "definition": way}
    out = []
    words = "agreement of grandparent and child beyond the parent's class"
    kappa = told(estimates, words, settings, estimand="conditional_kappa", **keys)
    test = one(estimates, estimand="markov", **keys)
    if kappa:
        out.append(kappa.replace("class ", "class: kappa ", 1))
    if test is not None and not np.isnan(test["p_value"]):
        out.append(f"Test that children depend on the parent's class alone: {p_value(test['p_value'])}")
    left, given = (one(estimates, estimand=f"conditional_kappa_{word}_error", **keys) for word in ("by", "beyond"))
    if left is not None and given is not None and not np.isnan(left["estimate"]):
        value = estimate_text(left["estimate"], "kappa")
        out.append(f"Error in the classes alone would leave {value}; the test that allows for it: {p_value(given['p_value'])}")
    return out


def _told(estimates: pd.DataFrame, way: str, settings: dict[str, Any]) -> list[str]:
    """Return persistence and half-life in words."""
    keys: dict[str, object] = {"analysis": "three_generations", "definition": way}
    found = [
        told(estimates, f"parent and child {word} where the grandparent is", settings, estimand="persists", group=word, **keys)
        for word in ("secure", "insecure")
    ]
    row = one(estimates, estimand="half_life", group="", **keys)
    if row is not None and not np.isnan(row["estimate"]):
        text = interval_text(row["ci_low"], row["ci_high"], "generations")
        found.append(f"half of a difference between lines is left after {row['estimate']:.1f} generations {text}".strip())
    return [f for f in found if f]


def _flow(ax: Axes, chains: pd.DataFrame, shown: pd.DataFrame, unseen: float) -> None:
    """Draw one band a kind of chain through three columns of bars, and a grey one for the chains of suppressed kinds."""
    total = float(shown["n"].sum()) + unseen
    order = [list(dict.fromkeys(chains[p])) for p in PEOPLE]
    places = [_bars(ax, chains, shown, p, names, total, i) for i, (p, names) in enumerate(zip(PEOPLE, order, strict=True))]
    rows = records(shown)
    rank = [{name: i for i, name in enumerate(names)} for names in order]
    keys = [tuple(rank[i][row[p]] for i, p in enumerate(PEOPLE)) for row in rows]
    # In each column the bands of a class lie in the order of the classes they come from and go to, so that few cross.
    tops: list[dict[int, float]] = [{}, {}, {}]
    for column, by in enumerate(((0, 1, 2), (1, 0, 2), (2, 1, 0))):
        sorted_keys = [tuple(key[b] for b in by) for key in keys]
        for i in sorted(range(len(rows)), key=sorted_keys.__getitem__):
            name = rows[i][PEOPLE[column]]
            tops[column][i] = places[column][name]
            places[column][name] -= float(rows[i]["n"]) / total
    for i, row in enumerate(rows):
        height = float(row["n"]) / total
        colour, _ = _fill(row[PEOPLE[0]], order[0])
        alike = len(set(keys[i])) == 1
        for column in (0, 1):
            x0, x1 = column * STEP + NODE / 2, (column + 1) * STEP - NODE / 2
            _band(ax, (x0, x1), (tops[column][i], tops[column + 1][i]), height, colour, alike=alike)
        if height >= LEAST_LABELLED:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
            ax.text(
                STEP + 0.16, tops[1][i] - height / 2, count(row["n"]) + _share(chains, height), fontsize=7.5, va="center", bbox=box
            )
    spaces = max(map(len, order)) - 1
    if unseen:
        spaces += 1
        _suppressed(ax, unseen, total, top=unseen / total - 1 - GAP * spaces)
    ax.set(xlim=(-0.42, 2 * STEP + 0.42), ylim=(-(1 + GAP * spaces) - 0.01, 0.01))
    for i, head in enumerate(HEADS):
        ax.text(i * STEP, 1.02, head, ha="center", va="bottom", fontweight="bold", transform=ax.get_xaxis_transform())
    ax.axis("off")


def _steps(ax: Axes, steps: pd.DataFrame) -> None:
    """Draw each step by itself: bars of the classes on both sides, and a band a cell of its table."""
    spaces = 0
    for place, (step, part) in enumerate(steps.groupby("step", sort=False)):
        total = float(part["n"].sum())
        x0, x1 = place * (STEP + APART), place * (STEP + APART) + STEP
        order = [list(dict.fromkeys(part[column])) for column in ("from_class", "to_class")]
        spaces = max(spaces, *(len(names) - 1 for names in order))
        tops = []
        for side, (column, names) in enumerate(zip(("from_class", "to_class"), order, strict=True)):
            top, starts = 0.0, {}
            outside = (side == 0) == (place == 0)
            for name in names:
                n = float(part.loc[part[column] == name, "n"].sum())
                colour, hatch = _fill(name, names)
                left = (x0, x1)[side] - NODE / 2
                look_of: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": INK, "linewidth": 0.7}
                ax.add_patch(Rectangle((left, top - n / total), NODE, n / total, zorder=3, **look_of))
                starts[name] = top
                if n and outside:
                    x, ha = ((x0 - NODE, "right"), (x1 + NODE, "left"))[side]
                    text = f"{name}\n{count(n)} ({percent(n / total)})"
                    ax.text(x, top - n / total / 2, text, ha=ha, va="center", linespacing=1.15, fontsize=8.5)
                top -= n / total + GAP
            tops.append(starts)
        for row in records(part):
            height = float(row["n"]) / total
            ends = tops[0][row["from_class"]], tops[1][row["to_class"]]
            tops[0][row["from_class"]] -= height
            tops[1][row["to_class"]] -= height
            colour, _ = _fill(row["from_class"], order[0])
            alike = order[0].index(row["from_class"]) == order[1].index(row["to_class"])
            _band(ax, (x0 + NODE / 2, x1 - NODE / 2), ends, height, colour, alike=alike)
            if height >= LEAST_LABELLED:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
                ax.text(
                    x0 + 0.16, ends[0] - height / 2, f"{count(row['n'])} ({percent(height)})", fontsize=7.5, va="center", bbox=box
                )
        ax.text(
            (x0 + x1) / 2,
            1.02,
            f"{step}, {count(total)} pairs",
            ha="center",
            va="bottom",
            fontweight="bold",
            transform=ax.get_xaxis_transform(),
        )
    ax.set(xlim=(-0.42, 2 * STEP + APART + 0.42), ylim=(-(1 + GAP * spaces) - 0.01, 0.01))
    ax.axis("off")


def _suppressed(ax: Axes, unseen: float, total: float, *, top: float) -> None:
    """Draw the chains of suppressed kinds: of them nobody is told who had which class."""
    height = unseen / total
    x = (-NODE / 2, 2 * STEP + NODE / 2)
    look_of: dict[str, Any] = {"facecolor": PALE, "hatch": "..", "edgecolor": GREY, "linewidth": 0.7}
    ax.add_patch(Rectangle((x[0], top - height), x[1] - x[0], height, zorder=2, **look_of))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    text = f"suppressed, classes not told: {count(unseen)} ({percent(height)})"
    ax.text(STEP, top - height / 2, text, ha="center", va="center", fontsize=8, bbox=box, zorder=4)


def _share(chains: pd.DataFrame, height: float) -> str:
    """Return a share in brackets; nothing where counts are suppressed, since nobody knows of how many it would be."""
    return "" if chains["n"].isna().any() else f" ({percent(height)})"


def _fill(name: str, names: list[str]) -> tuple[str, str]:
    return FILLS.get(name, (GREY, "..") if len(names) > 1 else (BLUE, ""))


def _bars(
    ax: Axes, chains: pd.DataFrame, shown: pd.DataFrame, column: str, names: list[str], total: float, place: int
) -> dict[str, float]:
    """Draw a column's bars with their labels; return where the first band of each class starts."""
    tops, top = {}, 0.0
    for name in names:
        n = float(shown.loc[shown[column] == name, "n"].sum())
        height = n / total
        tops[name] = top
        if not height:
            continue
        colour, hatch = _fill(name, names)
        left = place * STEP - NODE / 2
        look_of: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": INK, "linewidth": 0.7}
        ax.add_patch(Rectangle((left, top - height), NODE, height, zorder=3, **look_of))
        least = "≥ " if chains.loc[chains[column] == name, "n"].isna().any() else ""
        label = f"{name}\n{least}{count(n)}{_share(chains, height)}"
        side = {0: (-NODE, "right"), 1: (-NODE / 2 - 0.03, "right"), 2: (2 * STEP + NODE, "left")}[place]
        x = side[0] if place != 1 else STEP + side[0]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8} if place == 1 else None
        ax.text(x, top - height / 2, label, ha=side[1], va="center", linespacing=1.15, fontsize=8.5, bbox=box, zorder=4)
        top -= height + GAP
    return tops


def _band(ax: Axes, x: tuple[float, float], y: tuple[float, float], height: float, colour: str, *, alike: bool) -> None:
    (x0, x1), (start, end) = x, y
    middle = (x0 + x1) / 2
    points = [
        (x0, start), (middle, start), (middle, end), (x1, end), (x1, end - height),
        (middle, end - height), (middle, start - height), (x0, start - height), (x0, start),
    ]  # fmt: skip
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.CLOSEPOLY]
    ax.add_patch(PathPatch(Path(points, codes), facecolor=colour, edgecolor=INK, linewidth=0.4, alpha=0.6 if alike else 0.28))


def _projection(ax: Axes, known: pd.DataFrame) -> None:
    """Draw the share secure by generation, for everybody and for lines that begin in a class."""
    starts = list(dict.fromkeys(known["start_class"]))
    best = next((s for s in starts if s in BEST), None)
    word = "organised" if best == "organised" else "secure"
    others = _others(known)
    middle = (len(starts) - 1) / 2
    for i, start in enumerate(starts):
        colour, marker = MARKS.get("all" if start == "all" else "best" if start == best else "", ("", ""))
        if start in others:
            colour, marker = _fill(start, starts)[0], OTHER_MARKS[others.index(start) % len(OTHER_MARKS)]
        name = "everybody" if start == "all" else f"lines that begin {start}"
        for corrected in (False, True):
            rows = known[(known["start_class"] == start) & (known["corrected"].astype(bool) == corrected)]
            if rows.empty:
                continue
            x = rows["generation"].to_numpy(dtype=float) + (i - middle) * ASIDE + (APART if corrected else 0.0)
            dashes = "--" if corrected else "-"
            ax.plot(
                x, rows["share"], marker=marker, color=colour, markersize=5.5, linestyle=dashes, linewidth=1.3, clip_on=False,
                markerfacecolor="white" if corrected else colour, label=f"{name}, corrected for error" if corrected else name,
            )  # fmt: skip
            if start in ("all", best) or len(others) == 1:
                ax.vlines(x, rows["ci_low"], rows["ci_high"], color=colour, linewidth=1.1, linestyle=dashes)
    ax.set(ylim=(-0.01, 1.02), xlabel="Generation (0: today's parents)", ylabel=f"Projected share {word} (%)")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2, fontsize=8)
