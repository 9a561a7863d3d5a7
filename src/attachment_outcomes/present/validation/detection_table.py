"""The table of docs/methods/rupture-detection.md, from validation/recovery/rupture_detection.csv: no number there is typed."""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.present.words import number, percent

MARKER = "<!-- {} by `python3 run.py validate rupture_detection` and `python3 run.py docs` -->"
BEGIN, END = MARKER.format("made"), MARKER.format("end of what is made")
SESSIONS, SHALLOW, DEEP = 16, "rupture of 1 SD", "rupture of 3 SD"
HEAD = (
    "criterion", "found, 1 SD deep", "found, 3 SD deep", "repaired, told so", "unrepaired, told so", "false per 100 sessions",
    "clients with a false one", "sessions in a false one",
)  # fmt: skip


def with_table(page: str, results: pd.DataFrame) -> str:
    """Return the page with what stands between its markers made anew.

    Raises
    ------
    ValueError
        If the page has no markers.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}")
    before, _, rest = page.partition(BEGIN)
    tables = "\n\n".join(
        f"{title}\n\n{table(results, rho)}" for rho, title in ((0.0, "Independent noise:"), (0.3, "Autocorrelation .3:"))
    )
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


def table(results: pd.DataFrame, rho: float) -> str:
    """Return the Markdown table of one autocorrelation, 16 sessions, a row a criterion, those with fewest false ruptures first.

    All targets are errors; what is told here is one less the error where that reads better.
    """
    rows = results[(results["measure"] == "bias") & (results["rho"] == rho) & (results["sessions"] == SESSIONS)]
    error = {(t, m): float(v) for t, m, v in zip(rows["target"], rows["method"], rows["value"], strict=True)}
    criteria = sorted({t.split(": ")[0] for t, _ in error}, key=lambda c: (error[f"{c}: false per 100 sessions", DEEP], c))
    lines = [HEAD, ("---",) * len(HEAD)]
    for c in criteria:
        right = [
            error[f"{c}: missed", SHALLOW], error[f"{c}: missed", DEEP], error[f"{c}: repaired, told otherwise", DEEP],
            error[f"{c}: unrepaired, told otherwise", DEEP],
        ]  # fmt: skip
        wrong = [error[f"{c}: falsely ruptured", DEEP], error[f"{c}: time in false ruptures", DEEP]]
        rate = number(error[f"{c}: false per 100 sessions", DEEP], 1)
        lines.append((f"`{c}`", *(percent(1 - e) for e in right), rate, *(percent(e) for e in wrong)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
