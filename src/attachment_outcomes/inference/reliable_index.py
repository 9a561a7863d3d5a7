r"""Is a difference of two scores beyond measurement error, and does it cross a cutoff? The index of Jacobson and Truax.

Vocabulary
----------
clinical norm      mean and SD (M1, S1) of the treated kind of people; functional norm (M0, S0) of the others
cutoff a           M1 + 2 S1 towards better; b is M0 − 2 S0 towards worse; c = (S0 M1 + S1 M0)/(S0 + S1) lies between
recovered          clinical at the start, reliably improved, and functional at the end
harmed             functional at the start, reliably deteriorated, and clinical at the end

References
----------
Jacobson, N. S., & Truax, P. (1991). Journal of Consulting and Clinical Psychology, 59, 12-19.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.agreement import critical

Numbers = npt.NDArray[np.float64]

SDS = 2.0  # standard deviations between a mean and cutoffs a and b (Jacobson & Truax, 1991)
KINDS = ("a", "b", "c", "instrument", "auto", "none")
RECOVERED, IMPROVED, UNCHANGED, DETERIORATED, HARMED = "recovered", "improved", "unchanged", "deteriorated", "harmed"
CROSSED = "crossed without reliable change"


@dataclass(frozen=True, slots=True)
class Norm:
    """Mean and SD of a reference population, in score points."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A cutoff; a score equal to it is clinical if it is ``inclusive`` (caseness), and otherwise on neither side."""

    value: float
    kind: str
    inclusive: bool = False


def standard_error_of_difference(*, sd: float, reliability: float) -> float:
    r"""Return the standard error of the difference of two scores, :math:`S\sqrt{2(1 - r)}`.

    Raises
    ------
    StatisticsError
        If the SD is not above 0, or the reliability is not between 0 and 1.
    """
    if not (math.isfinite(sd) and sd > 0):
        raise StatisticsError(
            problem("reliable change", f"found an SD of {sd:g}; allowed: above 0.", hint="do all people score alike?")
        )
    if not 0 < reliability < 1:
        raise StatisticsError(problem("reliable change", f"found a reliability of {reliability:g}; allowed: between 0 and 1."))
    return sd * math.sqrt(2 * (1 - reliability))


def reliable_change_index(pre: npt.ArrayLike, post: npt.ArrayLike, *, sd: float, reliability: float) -> Numbers:
    r"""Return the reliable change index, :math:`(x_{post} - x_{pre}) / (S\sqrt{2(1 - r)})`.

    Parameters
    ----------
    pre, post : (n,) float arrays
        Score points; NaN in either gives NaN. Above 0 if the score rose, whatever rising means.
    sd : float
        SD of the scores before treatment, score points.
    reliability : float
        Reliability of the score in a population like this one.

    Raises
    ------
    StatisticsError
        If the SD or the reliability is out of range, or the lists differ in length.
    """
    before, after = np.asarray(pre, dtype=np.float64), np.asarray(post, dtype=np.float64)
    if before.shape != after.shape:
        raise StatisticsError(problem("reliable change", f"found {before.shape} and {after.shape}; allowed: pairs of scores."))
    index: Numbers = (after - before) / standard_error_of_difference(sd=sd, reliability=reliability)
    return index


def choose_cutoff(
    kind: str,
    *,
    clinical: Norm | None = None,
    functional: Norm | None = None,
    instrument: Cutoff | None = None,
    higher_is_better: bool,
) -> Cutoff | None:
    """Return the cutoff asked for, or None for ``none`` and where ``auto`` finds nothing to make one from.

    ``auto``: c if both norms are there and their distributions overlap (b is on the worse side of a), b if they do not;
    without both norms the instrument's own cutoff, and without that b or a.

    Raises
    ------
    StatisticsError
        If the kind is not known, or the norms it needs are not there.
    """
    if kind not in KINDS:
        raise StatisticsError(problem("cutoff", f"found {kind!r}; allowed: {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}"))
    better = 1.0 if higher_is_better else -1.0
    found: dict[str, Cutoff] = {}
    if clinical is not None:
        found["a"] = Cutoff(clinical.mean + better * SDS * clinical.sd, "a")
    if functional is not None:
        found["b"] = Cutoff(functional.mean - better * SDS * functional.sd, "b")
    if clinical is not None and functional is not None:
        weighted = functional.sd * clinical.mean + clinical.sd * functional.mean
        found["c"] = Cutoff(weighted / (functional.sd + clinical.sd), "c")
    if instrument is not None:
        found["instrument"] = instrument
    if kind == "none":
        return None
    if kind == "auto":
        if "c" in found:
            return found["c"] if better * found["b"].value <= better * found["a"].value else found["b"]
        return found.get("instrument") or found.get("b") or found.get("a")
    if kind not in found:
        needs = {
            "a": "the clinical norm",
            "b": "the functional norm",
            "c": "both norms",
            "instrument": "a cutoff of the instrument",
        }
        raise StatisticsError(
            problem(
                "cutoff", f"{kind!r} needs {needs[kind]}, which is not there.", hint="give it in the study's definition of change."
            )
        )
    return found[kind]


def is_clinical(score: npt.ArrayLike, cutoff: Cutoff, *, higher_is_better: bool) -> npt.NDArray[np.bool_]:
    """Return whether scores are on the clinical side of a cutoff; False for NaN."""
    better = 1.0 if higher_is_better else -1.0
    value = better * np.asarray(score, dtype=np.float64)
    out: npt.NDArray[np.bool_] = value <= better * cutoff.value if cutoff.inclusive else value < better * cutoff.value
    return out


def categories(
    pre: npt.ArrayLike,
    post: npt.ArrayLike,
    *,
    sd: float,
    reliability: float,
    cutoff: Cutoff | None,
    higher_is_better: bool,
    ci_level: float = 0.95,
) -> npt.NDArray[np.object_]:
    """Return the category of each change; None where a score is missing.

    A change counts if the index is beyond (not at) the two-sided normal quantile of ``ci_level``, 1.96 for 0.95. With a
    cutoff, ``recovered`` and ``harmed`` are told from ``improved`` and ``deteriorated``, and those who crossed from
    clinical to functional without reliable change from ``unchanged``.
    """
    before, after = np.asarray(pre, dtype=np.float64), np.asarray(post, dtype=np.float64)
    index = reliable_change_index(before, after, sd=sd, reliability=reliability) * (1.0 if higher_is_better else -1.0)
    z = critical(ci_level)
    out = np.full(index.shape, UNCHANGED, dtype=object)
    out[index > z] = IMPROVED
    out[index < -z] = DETERIORATED
    if cutoff is not None:
        better = 1.0 if higher_is_better else -1.0
        was, now = (is_clinical(x, cutoff, higher_is_better=higher_is_better) for x in (before, after))
        fine_before, fine_after = (better * x > better * cutoff.value for x in (before, after))
        out[(out == IMPROVED) & was & fine_after] = RECOVERED
        out[(out == DETERIORATED) & fine_before & now] = HARMED
        out[(out == UNCHANGED) & was & fine_after] = CROSSED
    out[np.isnan(index)] = None
    return out
