"""Which speeds are asked of the estimation core, and which of them were reached?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attachment_outcomes.simulate.bench.models import LME4, MILLION, OURS, PEERS, STATSMODELS, Row

Results = Mapping[str, Mapping[str, Any]]  # of one row, by package
Goal = tuple[str, float, str, float | None]  # in words, bound, sense, measured
AT_LEAST, AT_MOST = "at least", "at most"
DIGITS = 4  # significant
AGREED = {
    "gaussian": {"fixed": 1e-5, "std_errors": 1e-5, "variances": 1e-4, "loglik": 1e-6},
    # lme4's own numbers are good to about this: glmer fails with tolerances that would bring it nearer.
    "binomial": {"fixed": 1e-4, "std_errors": 1e-4, "variances": 1e-4, "loglik": 1e-6},
}
LEAST_CLIENTS, STEEPEST = 5_000, 1.05
FASTER = {
    LME4: {
        ("two_level", 50_000): 50, ("two_level", 200_000): 50, ("three_level", 5_000): 10, ("three_level", 50_000): 30,
        ("session", 5_000): 10, ("session", 50_000): 30, ("logistic", 5_000): 10,
    },
    STATSMODELS: {("three_level", 5_000): 500, ("session", 5_000): 1_000},
}  # fmt: skip
NO_LARGER_THAN_LME4 = {("two_level", 50_000), ("two_level", 200_000)}
MOST_SECONDS = {("three_level", MILLION): 12, ("many_fits", 200): 15, ("many_outcomes", 200): 15}
MOST_GB = {("three_level", MILLION): 2, ("from_file", MILLION): 2}
AGREES = "largest difference from lme4 with tiny tolerances, as a share of what is allowed"
AHEAD = "times as fast as the fastest package of the Python package index"
GROWTH = "log-log slope of seconds by clients, 5,000 to 1,000,000"


def goals(measured: Mapping[str, Results], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return every goal at every row that it is for, with what was measured.

    Parameters
    ----------
    measured
        By row key and package, from :func:`~attachment_outcomes.simulate.bench.record.result`; with ``differences``, if known.
    rows
        The rows.

    Returns
    -------
    list of dict
        ``goal`` in words, ``row``, ``measured``, ``bound``, ``sense`` (at least, at most), ``met`` (None if not measured).
    """
    found = [(row.key, goal) for row in rows for goal in _of_row(row, measured.get(row.key, {}))]
    for key, steepness in slopes(measured, rows).items():
        found.append((key, (GROWTH, STEEPEST, AT_MOST, steepness)))
    return [
        {
            "goal": text, "row": key, "bound": bound, "sense": sense, "measured": None if value is None else _rounded(value),
            "met": None if value is None else bool(value >= bound if sense == AT_LEAST else value <= bound),
        }
        for key, (text, bound, sense, value) in found
    ]  # fmt: skip


def _of_row(row: Row, found: Results) -> Iterator[Goal]:
    at, own = (row.name, row.clients), found.get(OURS, {})
    for package, asked in FASTER.items():
        if at in asked and package in row.packages:
            yield f"times as fast as {package}", asked[at], AT_LEAST, _ratio(found, package, "seconds")
    if at in NO_LARGER_THAN_LME4:
        larger = _ratio(found, LME4, "peak_mb")
        yield "peak memory, as a share of lme4's", 1, AT_MOST, None if larger is None else 1 / larger
    if at in MOST_SECONDS:
        yield "seconds", MOST_SECONDS[at], AT_MOST, _median(own, "seconds")
    if at in MOST_GB:
        peak = _median(own, "peak_mb")
        yield "peak memory in GB", MOST_GB[at], AT_MOST, None if peak is None else peak / 1000
    if "differences" in own and "tight" in found.get(LME4, {}):  # other references may have stopped short of the optimum
        yield AGREES, 1, AT_MOST, excess(own["differences"], row.model.family)
    if any(package in row.packages for package in PEERS):
        yield AHEAD, 1, AT_LEAST, _ratio(found, fastest_peer(found), "seconds")


def excess(difference: Mapping[str, float], family: str) -> float:
    """Return the largest of the differences, each as a share of what is allowed."""
    return max(difference[part] / most for part, most in AGREED[family].items())


def _median(result: Mapping[str, Any], what: str) -> float | None:
    return float(result[what]["median"]) if what in result else None


def _ratio(found: Results, package: str | None, what: str) -> float | None:
    """Return how many times ours a package has of something."""
    other, own = _median(found.get(package or "", {}), what), _median(found.get(OURS, {}), what)
    return None if other is None or own is None else other / own


def fastest_peer(found: Results) -> str | None:
    """Return the package of the index that fitted a row fastest."""
    there = {p: float(found[p]["seconds"]["median"]) for p in PEERS if "seconds" in found.get(p, {})}
    return min(there, key=lambda p: there[p]) if there else None


def slopes(measured: Mapping[str, Results], rows: Sequence[Row]) -> dict[str, float | None]:
    """Return by model and form how steeply our seconds grow: the log-log slope from 5,000 to a million clients."""
    points: dict[str, dict[int, float]] = {}
    for row in rows:
        own = _median(measured.get(row.key, {}).get(OURS, {}), "seconds")
        if max(row.model.sizes) == MILLION > min(row.model.sizes) and row.clients >= LEAST_CLIENTS:
            of_form = points.setdefault(f"{row.name}-{row.form}", {})
            if own is not None:
                of_form[row.clients] = own
    return {key: slope(own) if MILLION in own else None for key, own in points.items()}


def slope(points: Mapping[int, float]) -> float | None:
    """Return the slope of log seconds by log clients, by least squares; None for fewer than two sizes."""
    if len(points) < 2:
        return None
    x, y = [math.log(n) for n in points], [math.log(s) for s in points.values()]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return _rounded(sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
