r"""Did a person also leave the clinical range? Cutoffs between the clinical and the functional range, and categories.

Vocabulary
----------
cutoff a    two SDs beyond the clinical mean, towards the functional range
cutoff b    within two SDs of the functional mean (the *functional* SD)
cutoff c    the point where a score is equally many SDs from both means
caseness    a published cutoff whose value itself counts as clinical (``inclusive``)
recovered   clinical at baseline, reliably improved, functional at the end; never someone who was not clinical at baseline
harmed      functional at baseline, reliably deteriorated, clinical at the end
crossed     clinical at baseline and functional at the end, but unchanged: the change is no larger than error may be

At a cutoff that is not inclusive a score belongs to neither range (Jacobson and Truax' strict rule).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.methods import DETERIORATED, IMPROVED, UNCHANGED

RECOVERED, HARMED = "recovered", "harmed"
CATEGORIES = [RECOVERED, IMPROVED, UNCHANGED, DETERIORATED, HARMED]
CUTOFF_KINDS = ["auto", "a", "b", "c", "instrument", "none"]
SD_BEYOND = 2.0  # Jacobson & Truax (1991): beyond two SDs of the clinical mean, within two SDs of the functional one


@dataclass(frozen=True, slots=True)
class Norm:
    """Mean and SD of a population, score points."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise StatisticsError(problem("norm", f"found SD {self.sd:g}; allowed: above 0."))


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A cutoff in use. ``inclusive``: the value itself counts as clinical."""

    kind: str
    value: float
    inclusive: bool = False

    def clinical(self, scores: ArrayLike, *, higher_is_better: bool) -> np.ndarray:
        """Return who is in the clinical range (NaN: False)."""
        sign = 1.0 if higher_is_better else -1.0
        x = sign * np.asarray(scores, dtype=float)
        return x <= sign * self.value if self.inclusive else x < sign * self.value

    def functional(self, scores: ArrayLike, *, higher_is_better: bool) -> np.ndarray:
        """Return who is in the functional range (NaN: False)."""
        sign = 1.0 if higher_is_better else -1.0
        return sign * np.asarray(scores, dtype=float) > sign * self.value


def cutoffs(
    *,
    clinical: tuple[float, float] | Norm | None = None,
    functional: tuple[float, float] | Norm | None = None,
    higher_is_better: bool,
) -> dict[str, float]:
    r"""Return the cutoffs of Jacobson and Truax that the norms allow, in score points.

    .. math:: a = M_1 + 2dS_1, \quad b = M_0 - 2dS_0, \quad c = \frac{S_0 M_1 + S_1 M_0}{S_0 + S_1}

    with :math:`M_1, S_1` the clinical and :math:`M_0, S_0` the functional mean and SD, d = 1 if higher is better, else −1.

    Raises
    ------
    StatisticsError
        If an SD is not positive, or the functional mean is not on the better side of the clinical one.

    References
    ----------
    Jacobson, N. S., & Truax, P. (1991). JCCP, 59, 12-19.

    Examples
    --------
    >>> cutoffs(clinical=(40, 7.5), functional=(60, 7.5), higher_is_better=True)
    {'a': 55.0, 'b': 45.0, 'c': 50.0}
    """
    sign = 1.0 if higher_is_better else -1.0
    low, high = _norm(clinical), _norm(functional)
    found = {}
    if low:
        found["a"] = low.mean + sign * SD_BEYOND * low.sd
    if high:
        found["b"] = high.mean - sign * SD_BEYOND * high.sd
    if low and high:
        if not sign * high.mean > sign * low.mean:
            raise StatisticsError(
                problem("cutoffs", "the functional mean is not on the better side of the clinical one.",
                        hint="check the norms and the direction of the scale.")
            )  # fmt: skip
        found["c"] = (high.sd * low.mean + low.sd * high.mean) / (high.sd + low.sd)
    return found


def _norm(given: tuple[float, float] | Norm | None) -> Norm | None:
    return given if given is None or isinstance(given, Norm) else Norm(float(given[0]), float(given[1]))


def choose_cutoff(
    kind: str = "auto",
    *,
    clinical: tuple[float, float] | Norm | None = None,
    functional: tuple[float, float] | Norm | None = None,
    instrument: tuple[float, bool] | None = None,
    higher_is_better: bool,
) -> Cutoff | None:
    """Return the cutoff asked for, or for ``auto`` the one that Jacobson and Truax advise for the norms that are there.

    ``auto``: c if both norms are there and the ranges overlap (a lies beyond b), b if they do not; without a functional
    norm the instrument's own cutoff, and without that a; b if only a functional norm is there; none without any.

    Parameters
    ----------
    kind
        One of ``CUTOFF_KINDS``.
    clinical, functional
        Mean and SD of the populations.
    instrument
        The instrument's own cutoff and whether the value itself is clinical.
    higher_is_better
        Direction of the scale.

    Raises
    ------
    StatisticsError
        If the kind is unknown or its norms are missing.
    """
    if kind not in CUTOFF_KINDS:
        raise StatisticsError(
            problem("cutoff", f"found {kind!r}; allowed: {', '.join(CUTOFF_KINDS)}.{did_you_mean(kind, CUTOFF_KINDS)}")
        )
    if kind == "none":
        return None
    if kind == "instrument":
        if instrument is None:
            raise StatisticsError(problem("cutoff", "the instrument has no published cutoff.", hint="give norms, or choose none."))
        return Cutoff(kind, float(instrument[0]), bool(instrument[1]))
    found = cutoffs(clinical=clinical, functional=functional, higher_is_better=higher_is_better)
    if kind == "auto":
        if "c" in found:
            overlap = found["a"] >= found["b"] if higher_is_better else found["a"] <= found["b"]
            kind = "c" if overlap else "b"
        elif instrument is not None:
            return Cutoff("instrument", float(instrument[0]), bool(instrument[1]))
        elif not found:
            return None
        else:
            kind = next(iter(found))
    if kind not in found:
        needed = {"a": "a clinical norm", "b": "a functional norm", "c": "a clinical and a functional norm"}[kind]
        raise StatisticsError(
            problem(f"cutoff {kind}", f"needs {needed}.", hint="give it in the study's definition, or choose none.")
        )
    return Cutoff(kind, found[kind])


def categorise(
    pre: ArrayLike, post: ArrayLike, reliable: ArrayLike, *, cutoff: Cutoff | None, higher_is_better: bool
) -> pd.DataFrame:
    """Return each person's category from reliable change and the cutoff.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points.
    reliable : (n,) words
        ``improved``, ``unchanged``, ``deteriorated`` or missing, from ``reliable_change``.
    cutoff
        From :func:`choose_cutoff`; None leaves the three categories as they are.
    higher_is_better
        Direction of the scale.

    Returns
    -------
    DataFrame
        ``category`` (one of ``CATEGORIES``, missing where reliable change is), ``clinical_at_baseline`` (missing without a
        cutoff or a baseline score) and ``crossed``: whether the person is among the unchanged, but went from the clinical to
        the functional range (missing without a cutoff or a category).
    """
    before, after = np.asarray(pre, dtype=float), np.asarray(post, dtype=float)
    start = pd.Categorical(pd.Series(reliable), categories=CATEGORIES)
    code = start.codes.astype(np.int8)
    clinical, crossed = (pd.array([pd.NA] * len(before), dtype="boolean") for _ in range(2))
    if cutoff is not None:
        was_clinical = cutoff.clinical(before, higher_is_better=higher_is_better)
        was_functional = cutoff.functional(before, higher_is_better=higher_is_better)
        is_clinical = cutoff.clinical(after, higher_is_better=higher_is_better)
        is_functional = cutoff.functional(after, higher_is_better=higher_is_better)
        position = {name: CATEGORIES.index(name) for name in CATEGORIES}
        out = code.copy()
        out[(code == position[IMPROVED]) & was_clinical & is_functional] = position[RECOVERED]
        out[(code == position[DETERIORATED]) & was_functional & is_clinical] = position[HARMED]
        clinical = pd.array(was_clinical, dtype="boolean")
        clinical[np.isnan(before)] = pd.NA
        crossed = pd.array((code == position[UNCHANGED]) & was_clinical & is_functional, dtype="boolean")
        crossed[code < 0] = pd.NA
        code = out
    return pd.DataFrame(
        {
            "category": pd.Categorical.from_codes(code, dtype=pd.CategoricalDtype(CATEGORIES)),
            "clinical_at_baseline": clinical,
            "crossed": crossed,
        }
    )
