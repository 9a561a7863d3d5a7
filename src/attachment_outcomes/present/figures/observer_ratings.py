"""What observers code: whether coders agree, when ruptures are seen, who else tells of them, and which markers there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from attachment_outcomes.present.drawing import Drawing, need
from attachment_outcomes.present.lookup import records
from attachment_outcomes.present.style import BLUE, GREY, INK, ORANGE, SKY, VERMILION, look, new_figure
from attachment_outcomes.present.words import count, first_upper, level_text, number, percent, sentence, with_interval, wrapped

NEEDS = ("estimates", "observer_codes")
ANALYSIS = "observer_ratings"
FAMILIES = {"withdrawal": (BLUE, "o", ""), "confrontation": (VERMILION, "v", "//"), "strategies": (GREY, "s", "..")}
THIRDS = ("first third", "middle third", "last third")
# What coders gave, and how it is drawn: its estimands, in the order in which one is taken.
AGREEMENT = {
    "rating of the session": (("icc_single_agreement", "icc_single_one_way"), "rating", "o", BLUE),
    "count a session": (("icc_single_agreement", "icc_single_one_way"), "count", "s", ORANGE),
    "seen in a segment": (("kappa",), "seen in a segment (kappa)", "D", INK),
}
SIDES = (("observer_only", -1, SKY, "", "observer only"), ("other_only", 1, ORANGE, "//", "other only"))
CODE_ROW, WIDTH = 0.23, 9.2  # inches


def draw(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Drawing:
    """Draw agreement of coders, the course, agreement with others, and how often each code was seen.

    Raises
    ------
    NothingToDraw
        If nothing was estimated, or all is suppressed.
    """
    own = tables["estimates"]
    own = own[(own["analysis"] == ANALYSIS) & own["estimate"].notna()]
    parts = {
        name: rows for name, rows in (("coders", _coders(own)), ("course", _course(own)), ("others", _others(own))) if len(rows)
    }
    whole = tables["observer_codes"]
    codes = whole[whole["share"].notna()]
    need(pd.DataFrame({"part": [*parts]}), "estimates", "nothing that observers coded could be shown")
    heights = {"coders": 0.9 + 0.3 * parts["coders"]["row"].nunique() if "coders" in parts else 0, "course": 2.2, "others": 1.9}
    kept = [heights[name] for name in parts]
    with look():
        tall = max(sum(kept) + 0.5 * len(kept), 1.6 + CODE_ROW * len(codes))
        figure = new_figure(tall, width=WIDTH if len(codes) else 6.0)
        sides: list[Any] = list(figure.subfigures(1, 2, width_ratios=[1.15, 1], squeeze=False).ravel()) if len(codes) else [figure]
        axes = sides[0].subplots(len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": kept}).ravel().tolist()
        for ax, (name, rows) in zip(axes, parts.items(), strict=True):
            {"coders": _draw_coders, "course": _draw_course, "others": _draw_others}[name](ax, rows)
        if len(codes):
            _draw_codes(sides[1].subplots(), codes)
    caption = _caption(parts, codes, settings, hidden=len(whole) - len(codes))
    return Drawing(figure, _data(parts, codes), caption, "What observers coded, in panels. " + caption)


def _coders(own: pd.DataFrame) -> pd.DataFrame:
    found = []
    for definition, (estimands, label, _, _) in AGREEMENT.items():
        rows = own[(own["definition"] == definition) & own["estimand"].isin(estimands)]
        found.append(rows.assign(what=label))
    rows = pd.concat(found, ignore_index=True)
    order = [*FAMILIES, "resolution", "contribution"]
    rows["row"] = rows["outcome"].map({name: i for i, name in enumerate(order)}).fillna(len(order)).astype(int)
    return rows.sort_values(["row", "outcome"], kind="stable", ignore_index=True)


def _course(own: pd.DataFrame) -> pd.DataFrame:
    rows = own[(own["estimand"] == "share_of_sessions") & own["group"].isin(THIRDS)]
    return rows.assign(what=rows["outcome"], row=rows["group"].map({g: i for i, g in enumerate(THIRDS)}))


def _others(own: pd.DataFrame) -> pd.DataFrame:
    rows = own[own["estimand"].isin([side[0] for side in SIDES] + ["kappa"]) & (own["group"] != "")]
    rows = rows[rows["outcome"] == "any rupture"]
    return rows.assign(what=rows["estimand"], row=rows["group"].factorize()[0] if len(rows) else [])


def _draw_coders(ax: Axes, rows: pd.DataFrame) -> None:
    names = rows.drop_duplicates("outcome")["outcome"].tolist()
    for k, (_, label, marker, colour) in enumerate(AGREEMENT.values()):
        part = rows[rows["what"] == label]
        if part.empty:
            continue
        y = part["outcome"].map({n: len(names) - i for i, n in enumerate(names)}).to_numpy(dtype=float) - 0.22 * (k - 1)
        low, high = part["ci_low"].clip(lower=-0.05), part["ci_high"].clip(upper=1)
        ax.hlines(y, low, high, color=colour, linewidth=1.4)
        ax.plot(part["estimate"], y, marker, color=colour, markersize=5, label=f"ICC, {label}" if "kappa" not in label else label)
    ax.set_yticks(range(len(names), 0, -1), [first_upper(n) for n in names])
    ax.set(title="Do coders agree?", xlabel="One coder's ICC, or kappa", xlim=(-0.05, 1.02), ylim=(0.4, len(names) + 0.6))
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    _legend_above(ax)


def _draw_course(ax: Axes, rows: pd.DataFrame) -> None:
    for shift, family in ((-0.06, "withdrawal"), (0.06, "confrontation")):
        part = rows[rows["outcome"] == family].sort_values("row")
        colour, marker, hatch = FAMILIES[family]
        x = part["row"] + shift
        ax.vlines(x, part["ci_low"], part["ci_high"], color=colour, linewidth=1.3)
        face = "white" if hatch else colour
        ax.plot(
            x, part["estimate"], marker=marker, markerfacecolor=face, color=colour, linestyle="--" if hatch else "-", label=family
        )
    ax.set_xticks(range(3), [t.removesuffix(" third").capitalize() for t in THIRDS])
    ax.set(title="When are they seen?", xlabel="Third of the treatment", ylabel="Sessions", xlim=(-0.4, 2.4))
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _legend_above(ax)


def _draw_others(ax: Axes, rows: pd.DataFrame) -> None:
    names = rows.drop_duplicates("group")["group"].tolist()
    reach = float(rows.loc[rows["estimand"] != "kappa", "ci_high"].max()) * 1.15
    for estimand, sign, colour, hatch, label in SIDES:
        part = rows[rows["estimand"] == estimand]
        y = part["group"].map({n: len(names) - i for i, n in enumerate(names)}).to_numpy(dtype=float)
        ax.barh(y, sign * part["estimate"], height=0.5, color=colour, hatch=hatch, edgecolor="white", label=label)
        ax.hlines(y, sign * part["ci_low"], sign * part["ci_high"], color=INK, linewidth=1.1)
    for row in records(rows[rows["estimand"] == "kappa"]):
        words = f"κ {number(row['estimate'], 2, bounded=True)}"
        ax.text(reach * 1.05, len(names) - names.index(row["group"]), words, va="center", fontsize=8.2)
    ax.axvline(0, color=INK, linewidth=0.9)
    ax.set_yticks(range(len(names), 0, -1), [wrapped(first_upper(n), 18) for n in names], fontsize=8.5)
    ax.set(title="Who else tells of it?", xlabel="Sessions in which only one of them sees a rupture", xlim=(-reach, reach * 1.38))
    ax.set_ylim(0.4, len(names) + 0.6)
    ax.xaxis.set_major_formatter(lambda value, _: percent(abs(value)))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _legend_above(ax)


def _legend_above(ax: Axes) -> None:
    """Put the legend between the title and the panel."""
    ax.set_title(ax.get_title(loc="left"), pad=21)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.97), ncols=3, fontsize=8, handletextpad=0.3, columnspacing=0.9)


def _draw_codes(ax: Axes, codes: pd.DataFrame) -> None:
    order = {about: i for i, about in enumerate(FAMILIES)}
    rows = codes.assign(_at=codes["about"].map(order).fillna(len(order))).sort_values(["_at", "about"], kind="stable")
    y, gaps = [], 0.0
    for i, (_, new) in enumerate(zip(rows["code"], rows["about"].ne(rows["about"].shift()), strict=True)):
        gaps += 0.7 if new and i else 0.0
        y.append(-i - gaps)
    place = np.array(y)
    for about in rows["about"].unique():
        here = (rows["about"] == about).to_numpy()
        colour, _, hatch = FAMILIES.get(about, (SKY, "o", "xx"))
        ax.barh(place[here], rows.loc[here, "share"], height=0.68, color=colour, hatch=hatch, edgecolor="white")
        ax.text(0, place[here].max() + 0.55, first_upper(about), fontsize=8.5, fontweight="bold", va="bottom")
    ax.set_yticks(place, [f"{title}  {code}" for title, code in zip(rows["title"], rows["code"], strict=True)], fontsize=7.8)
    ax.set(title="What is seen?", xlabel="Coded sessions", ylim=(place.min() - 0.7, 1.9))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="y", length=0)


def _data(parts: dict[str, pd.DataFrame], codes: pd.DataFrame) -> pd.DataFrame:
    """Return what is plotted: estimates, and below them the codes."""
    columns = ["panel", "outcome", "group", "estimand", "what", "estimate", "ci_low", "ci_high", "n"]
    rows = [part.assign(panel=name)[columns] for name, part in parts.items()]
    if len(codes):
        seen = codes.rename(columns={"share": "estimate", "code": "what", "n_sessions": "n"})
        words = {"panel": "codes", "estimand": "share_of_coded_sessions", "group": ""}
        rows.append(seen.assign(**words, outcome=seen["about"], ci_low=np.nan, ci_high=np.nan)[columns].astype({"n": "float64"}))
    return pd.concat(rows, ignore_index=True)


def _caption(parts: dict[str, pd.DataFrame], codes: pd.DataFrame, settings: dict[str, Any], *, hidden: int) -> str:
    told = []
    if "coders" in parts:
        rated = parts["coders"][parts["coders"]["what"] != AGREEMENT["count a session"][1]]
        each = [f"{row['outcome']} {_kind(row)} {with_interval(row)}" for row in records(rated)]
        sessions = parts["coders"].loc[parts["coders"]["what"] != "seen in a segment (kappa)", "n"].max()
        told.append(f"Agreement of coders, {number(sessions, 0)} sessions coded twice: {'; '.join(each)}")
    if "course" in parts:
        ends = parts["course"][parts["course"]["group"].isin((THIRDS[0], THIRDS[2]))]
        each = [f"{row['outcome']} in the {row['group']} {with_interval(row)} of sessions" for row in records(ends)]
        told.append("; ".join(each))
    if "others" in parts:
        rows = parts["others"]
        each = [
            f"{row['group']}: {' '.join(str(row['estimand']).split('_'))} {with_interval(row)}"
            for row in records(rows[rows["estimand"] != "kappa"])
        ]
        told.append(f"Share of sessions in which one of two sees a rupture: {'; '.join(each)}")
    if len(codes):
        most = codes.sort_values("share", ascending=False).iloc[0]
        sessions = count(float(most["n_sessions"]))
        told.append(f"The code seen in most sessions is {most['code']} ({percent(float(most['share']))} of {sessions} sessions)")
    if hidden:
        told.append(f"Not drawn, since a count may not be shown: {hidden} of {hidden + len(codes)} codes")
    return sentence(*told, f"Intervals are of {level_text(settings)} and allow for clients with several sessions")


def _kind(row: dict[str, Any]) -> str:
    return "(kappa)" if row["estimand"] == "kappa" else "(ICC)"
