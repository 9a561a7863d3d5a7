"""What do the timings say? Medians over runs, and how far packages' estimates are apart.

Vocabulary
----------
seconds     of a package at a row: the median over runs of what a fit takes once the process has fitted the model before (a later
            call); of the first call, where that took so long that there was no second
process     whole seconds of a process that starts, reads the data and fits once (its later calls taken off)
difference  largest relative difference from the reference's fixed effects (of the standard error, where that is larger than the
            estimate), standard errors, variance parts (of the geometric mean of the variances, for a covariance), log likelihood
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from attachment_outcomes.simulate.bench.goals import AGREED, excess, goals, slopes
from attachment_outcomes.simulate.bench.models import LME4, OURS, PACKAGES, Row

Result = dict[str, Any]
DIGITS = 5  # significant, of seconds and megabytes
ESTIMATE_DIGITS, LOGLIK_DIGITS = 10, 15  # a log likelihood of 1e7 whose fourth decimal tells which of two fits is better
TIGHT = "lme4, tight"
REFERENCES = (LME4, "glmm", "mixedlm-rs", "mixedlm")  # fit the whole model by REML or Laplace's approximation


def rounded(value: float, digits: int = DIGITS) -> float:
    """Return a number with so many significant digits."""
    return float(f"{value:.{digits}g}")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": rounded(median(values)), "min": rounded(min(values)), "max": rounded(max(values))}


def result(runs: Sequence[Mapping[str, Any]], wanted_fits: int) -> Result:
    """Return what the runs of one package at one row say together.

    Parameters
    ----------
    runs
        What ``fit.py`` or ``fit.R`` wrote, with ``process_seconds``; or ``{"not": reason}``, which stands alone.
    wanted_fits
        Fits a call ought to make; seconds of packages that made fewer are scaled up.
    """
    done = [run for run in runs if "calls" in run]
    if not done:
        return {"not": runs[0]["not"] if runs else "not run"}
    scale = wanted_fits / done[0]["fits"]
    first = [scale * run["calls"][0]["seconds"] for run in done]
    later = [scale * median(c["seconds"] for c in run["calls"][1:]) for run in done if len(run["calls"]) > 1]
    cpu = [scale * median(c["cpu_seconds"] for c in (run["calls"][1:] or run["calls"])) for run in done]
    once = [run["process_seconds"] - sum(c["seconds"] for c in run["calls"][1:]) - run.get("tight_seconds", 0) for run in done]
    estimates = done[0]["estimates"]
    for part in ("fixed", "std_errors", "variances"):
        estimates = {**estimates, part: [rounded(v, ESTIMATE_DIGITS) for v in estimates[part]]}
    found: Result = {
        "runs": len(done), "seconds": spread(later or first), "first_call": spread(first), "cpu_seconds": spread(cpu),
        "process_seconds": spread(once),
        "peak_mb": spread([run["peak_mb"] for run in done]), "before_mb": spread([run["before_mb"] for run in done]),
        "estimates": {**estimates, "loglik": rounded(estimates["loglik"], LOGLIK_DIGITS)},
    }  # fmt: skip
    if "tight" in done[0]:
        found["tight"] = done[0]["tight"]
    if scale != 1:
        found["scaled_from_fits"] = done[0]["fits"]
    stopped = [run["not"] for run in runs if "not" in run]
    return {**found, "also": stopped[0]} if stopped else found


def reference_of(results: Mapping[str, Result]) -> tuple[str, Mapping[str, Any]] | None:
    """Return what a row's estimates are compared with: its name and estimates; None if no other package fitted the whole model.

    It is lme4 with tiny tolerances where that was run, else whoever came to the highest log likelihood: lme4's own search stops
    some digits early, and the difference that is left would be its own.
    """
    if "tight" in results.get(LME4, {}):
        return TIGHT, results[LME4]["tight"]
    there = {p: results[p]["estimates"] for p in REFERENCES if "estimates" in results.get(p, {})}
    return max(there.items(), key=lambda one: one[1]["loglik"]) if there else None


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Return the largest relative difference of each kind of number."""
    scales = {
        "fixed": [max(abs(v), s) for v, s in zip(other["fixed"], other["std_errors"], strict=True)],
        "std_errors": [abs(v) for v in other["std_errors"]],
        "variances": _variance_scales(other["variances"]),
    }
    found = {
        part: max(abs(a - b) / scale for a, b, scale in zip(one[part], other[part], by, strict=True)) for part, by in scales.items()
    }
    loglik = abs(one["loglik"] - other["loglik"]) / abs(other["loglik"])
    return {part: rounded(value, 3) for part, value in {**found, "loglik": loglik}.items()}


def _variance_scales(parts: Sequence[float]) -> list[float]:
    """Return what each part's difference is divided by: itself; for the covariance, the root of its variances' product."""
    scales = [abs(v) for v in parts]
    if len(parts) > 3:  # client, covariance, slope, ...: random slopes
        scales[1] = math.sqrt(parts[0] * parts[2])
    return scales


def record_of(
    rows: Sequence[Row],
    runs: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    observations: Mapping[str, int],
    head: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that is known: every row with its results and agreement, the growth of the cost, and the goals.

    Parameters
    ----------
    rows
        What was measured.
    runs
        By row key and package, what the fitting programs wrote.
    observations
        By row key.
    head
        Machine, versions and the like, which go in as they are.
    """
    measured = {
        row.key: {p: result(of, row.model.fits) for p, of in runs[row.key].items() if of} for row in rows
    }  # fmt: skip
    told = []
    for row in rows:
        found = measured[row.key]
        reference, theirs = reference_of(found) or (None, {})
        for package, one in found.items():
            if theirs and package != reference and "estimates" in one:
                difference, gain = differences(one["estimates"], theirs), one["estimates"]["loglik"] - theirs["loglik"]
                one |= {
                    "differences": difference,
                    "agrees": excess(difference, row.model.family) <= 1,
                    "loglik_gain": rounded(gain, 3),
                }
        reasons = {p: {"not": why} for p, why in row.left_out.items()}
        told.append(
            {
                "row": row.key, "model": row.name, "title": row.model.title, "form": row.form, "clients": row.clients,
                "observations": observations[row.key], "formula": row.model.mixed, "family": row.model.family,
                "fits": row.model.fits, "reference": reference,
                "results": {p: (found | reasons)[p] for p in PACKAGES if p in found | reasons},
            }
        )  # fmt: skip
    known = {"growth": slopes(measured, rows), "goals": goals(measured, rows), "agreement": AGREED, "own": OURS}
    return {**head, "rows": told, **known}
