r"""Did a person also leave the clinical range? Cutoffs between the clinical and the functional range, and categories.

Vocabulary
----------
cutoff a    two SDs beyond the clinical mean, towards the functional range
cutoff b    within two SDs of the functional mean (the *functional* SD)
cutoff c    the point where a score is equally many SDs from both means
a_true, b_true, c_true   the same of true scores (Hageman and Arrindell): with the SDs that scores would have without error
caseness    a published cutoff whose value itself counts as clinical (``inclusive``)
recovered   clinical at baseline, reliably improved, functional at the end; never someone who was not clinical at baseline
harmed      functional at baseline, reliably deteriorated, clinical at the end
crossed     clinical at baseline and functional at the end, but unchanged: the change is no larger than error may be

At a cutoff that is not inclusive a score belongs to neither range (Jacobson and Truax' strict rule).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.methods import (
    DETERIORATED,
    IMPROVED,
    UNCHANGED,
    Numbers,
    Setting,
)
from attachment_outcomes.inference.individual_change.reading import direction_of, numbers_of
from attachment_outcomes.inference.pairing import same_people

Flags = NDArray[np.bool_]
RECOVERED, HARMED = "recovered", "harmed"
CATEGORIES = [RECOVERED, IMPROVED, UNCHANGED, DETERIORATED, HARMED]
_PLAIN = [IMPROVED, UNCHANGED, DETERIORATED]
CUTOFF_KINDS = ["auto", "a", "b", "c", "a_true", "b_true", "c_true", "instrument", "none"]
TRUE = "_true"
SD_BEYOND = 2.0  # Jacobson & Truax (1991): beyond two SDs of the clinical mean, within two SDs of the functional one


@dataclass(frozen=True, slots=True)
class Norm:
    """Mean and SD of a population, score points."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("SD", self.sd)):
            if not isinstance(value, Real) or isinstance(value, bool):
                raise StatisticsError(problem("norm", f"found {name} of kind {type(value).__name__}; allowed: a number."))
        if not 0 < self.sd < np.inf:
            raise StatisticsError(problem("norm", f"found SD {self.sd:g}; allowed: above 0."))
        if not np.isfinite(self.mean):
            raise StatisticsError(problem("norm", f"found mean {self.mean:g}; allowed: a finite number."))

    def of_true_scores(self, se_measurement: float) -> Norm:
        r"""Return the norm without measurement error: SD :math:`\sqrt{S^2 - SE^2}`, which is :math:`S\sqrt r`.

        Raises
        ------
        StatisticsError
            If the error is not smaller than the SD.
        """
        if not 0 < se_measurement < self.sd:
            what = f"the standard error of measurement {se_measurement:g} is not between 0 and the norm's SD {self.sd:g}."
            raise StatisticsError(problem("cutoff on true scores", what, hint="check the reliability, and whose SD it goes with."))
        return Norm(self.mean, float(np.sqrt(self.sd**2 - se_measurement**2)))


def _toward(scores: ArrayLike, higher_is_better: bool) -> Numbers:
    x = np.asarray(scores, dtype=float)
    return x if higher_is_better else -x


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A cutoff in use. ``inclusive``: the value itself counts as clinical.

    ``end_clinical`` and ``end_functional`` are given by rules that ask more of an end score than to be beyond the cutoff, so that
    scores near it are in neither range.
    """

    kind: str
    value: float
    inclusive: bool = False
    end_clinical: float | None = None
    end_functional: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, Real) or isinstance(self.value, bool) or not np.isfinite(float(self.value)):
            raise StatisticsError(problem("cutoff", f"found {self.value}; allowed: a finite number of score points."))

    def clinical(self, scores: ArrayLike, *, higher_is_better: bool) -> Flags:
        """Return who is in the clinical range (NaN: False)."""
        x, value = _toward(scores, higher_is_better), _toward(self.value, higher_is_better)
        return np.asarray(x <= value if self.inclusive else x < value)

    def functional(self, scores: ArrayLike, *, higher_is_better: bool) -> Flags:
        """Return who is in the functional range (NaN: False)."""
        return np.asarray(_toward(scores, higher_is_better) > _toward(self.value, higher_is_better))

    def clinical_at_end(self, scores: ArrayLike, *, higher_is_better: bool) -> Flags:
        """Return whose end score is in the clinical range (NaN: False)."""
        if self.end_clinical is None:
            return self.clinical(scores, higher_is_better=higher_is_better)
        return np.asarray(_toward(scores, higher_is_better) < _toward(self.end_clinical, higher_is_better))

    def functional_at_end(self, scores: ArrayLike, *, higher_is_better: bool) -> Flags:
        """Return whose end score is in the functional range (NaN: False)."""
        if self.end_functional is None:
            return self.functional(scores, higher_is_better=higher_is_better)
        return np.asarray(_toward(scores, higher_is_better) > _toward(self.end_functional, higher_is_better))


@dataclass(frozen=True, slots=True, eq=False)
class PersonCutoffs:
    """A cutoff for each person, from norms of their own stratum: ``values`` (n,), NaN where the stratum is not known.

    ``kind`` names the rule; where ``auto`` led to several, they are joined. The value itself belongs to neither range.
    """

    kind: str
    values: Numbers

    def clinical(self, scores: ArrayLike, *, higher_is_better: bool) -> Flags:
        """Return who is in the clinical range (NaN: False)."""
        return np.asarray(_toward(scores, higher_is_better) < _toward(self.values, higher_is_better))

    def functional(self, scores: ArrayLike, *, higher_is_better: bool) -> Flags:
        """Return who is in the functional range (NaN: False)."""
        return np.asarray(_toward(scores, higher_is_better) > _toward(self.values, higher_is_better))

    clinical_at_end = clinical
    functional_at_end = functional


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
    sign = 1.0 if direction_of(higher_is_better) else -1.0
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
    se_measurement: float | None = None,
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
    se_measurement
        Standard error of measurement, for the cutoffs on true scores.
    higher_is_better
        Direction of the scale.

    Raises
    ------
    StatisticsError
        If the kind is unknown, its norms or the standard error are missing, or norms and direction contradict one another: the
        functional mean on the worse side of the clinical one, or in the clinical range of the instrument's cutoff.
    """
    direction_of(higher_is_better)
    if kind not in CUTOFF_KINDS:
        raise StatisticsError(
            problem("cutoff", f"found {kind!r}; allowed: {', '.join(CUTOFF_KINDS)}.{did_you_mean(kind, CUTOFF_KINDS)}")
        )
    if kind == "none":
        return None
    if kind == "instrument":
        if instrument is None:
            raise StatisticsError(problem("cutoff", "the instrument has no published cutoff.", hint="give norms, or choose none."))
        return _published(instrument, functional, higher_is_better)
    if kind.endswith(TRUE):
        if se_measurement is None:
            what = "needs the standard error of measurement."
            raise StatisticsError(problem(f"cutoff {kind}", what, hint="give it, from the SD and the reliability."))
        low, high = (None if n is None else n.of_true_scores(se_measurement) for n in (_norm(clinical), _norm(functional)))
        plain = choose_cutoff(kind.removesuffix(TRUE), clinical=low, functional=high, higher_is_better=higher_is_better)
        return None if plain is None else replace(plain, kind=kind)
    found = cutoffs(clinical=clinical, functional=functional, higher_is_better=higher_is_better)
    if kind == "auto":
        if "c" in found:
            overlap = found["a"] >= found["b"] if higher_is_better else found["a"] <= found["b"]
            kind = "c" if overlap else "b"
        elif instrument is not None:
            return _published(instrument, None, higher_is_better)
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


def _published(instrument: tuple[float, bool], functional: tuple[float, float] | Norm | None, higher_is_better: bool) -> Cutoff:
    cutoff, norm = Cutoff("instrument", float(instrument[0]), bool(instrument[1])), _norm(functional)
    if norm is not None and cutoff.clinical(norm.mean, higher_is_better=higher_is_better):
        what = f"the functional mean {norm.mean:g} lies in the clinical range of the instrument's cutoff {cutoff.value:g}."
        raise StatisticsError(problem("cutoffs", what, hint="check the norm, the cutoff and the direction of the scale."))
    return cutoff


def end_tested(cutoff: Cutoff, setting: Setting, *, higher_is_better: bool) -> Cutoff:
    r"""Return the cutoff with the end score tested against it, as Hageman and Arrindell do it: beyond it by more than error.

    .. math:: CS = \frac{M_2 + (x_2 - M_2) r_2 - cut}{\sqrt{r_2}\,SE} > z_{1-\alpha}, \quad r_2 = (S_2^2 - SE^2)/S_2^2

    Parameters
    ----------
    cutoff
        On true scores (``a_true``, ``b_true``, ``c_true``).
    setting
        With mean and SD at the end; its alpha is one-sided here.
    higher_is_better
        Direction of the scale.

    Returns
    -------
    Cutoff
        Somebody recovered if reliably improved, clinical at baseline, and significantly beyond the cutoff at the end. End scores
        that are on neither side significantly are in neither range.

    Raises
    ------
    StatisticsError
        If mean or SD at the end are unknown, or end scores vary no more than error.

    References
    ----------
    Hageman, W. J. J. M., & Arrindell, W. A. (1999). Behav. Res. Ther., 37, 1169-1193; as the R package clinicalsignificance has it.
    """
    mean, sd, error = setting.mean_post, setting.sd_post, setting.se_measurement
    if mean is None or sd is None or not np.isfinite(error):
        raise StatisticsError(problem("test of the end score", "needs mean and SD at the end, and the reliability."))
    if not sd > error:
        what = f"the SD at the end, {sd:g}, is no larger than the standard error of measurement, {error:g}."
        raise StatisticsError(problem("test of the end score", what, hint="nothing can be said of true scores at the end."))
    reliability = (sd**2 - error**2) / sd**2
    margin = float(ndtri(1 - setting.alpha)) * float(np.sqrt(reliability)) * error * (1 if direction_of(higher_is_better) else -1)
    functional, clinical = (mean + (cutoff.value - mean + m) / reliability for m in (margin, -margin))
    return replace(cutoff, end_functional=functional, end_clinical=clinical)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Who was and is in which range; ``unknown``: without a score or a cutoff."""

    clinical_before: Flags
    functional_before: Flags
    clinical_after: Flags
    functional_after: Flags
    unknown: Flags
    unknown_before: Flags


def ranges(pre: Numbers, post: Numbers, cutoff: Cutoff | PersonCutoffs, *, higher_is_better: bool) -> Ranges:
    """Return who is in which range before and after.

    Raises
    ------
    StatisticsError
        If there are as many cutoffs as people, but of other people: their numbers differ.
    """
    unknown_before = np.isnan(pre)
    if isinstance(cutoff, PersonCutoffs):
        if cutoff.values.shape != pre.shape:
            raise StatisticsError(problem("cutoffs", f"{len(cutoff.values)} cutoffs for {len(pre)} people.", hint="one a person."))
        unknown_before = unknown_before | np.isnan(cutoff.values)
    return Ranges(
        cutoff.clinical(pre, higher_is_better=higher_is_better),
        cutoff.functional(pre, higher_is_better=higher_is_better),
        cutoff.clinical_at_end(post, higher_is_better=higher_is_better),
        cutoff.functional_at_end(post, higher_is_better=higher_is_better),
        unknown_before | np.isnan(post),
        unknown_before,
    )


def placed(code: NDArray[np.int8], found: Ranges | None) -> tuple[NDArray[np.int8], Flags]:
    """Return positions in ``CATEGORIES`` from those of improved, unchanged, deteriorated (0, 1, 2), and who crossed.

    Who has no reliable change (-1), or whose range is unknown, has no category.
    """
    out = code + np.int8(1)
    out[code < 0] = -1
    if found is None:
        return out, np.zeros(len(code), dtype=bool)
    left = found.clinical_before & found.functional_after
    out[(code == 0) & left] = 0
    out[(code == 2) & found.functional_before & found.clinical_after] = len(CATEGORIES) - 1
    out[found.unknown] = -1
    return out, (out == CATEGORIES.index(UNCHANGED)) & left


def categorise(
    pre: ArrayLike, post: ArrayLike, reliable: ArrayLike, *, cutoff: Cutoff | PersonCutoffs | None, higher_is_better: bool
) -> pd.DataFrame:
    """Return each person's category from reliable change and the cutoff.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points.
    reliable : (n,) words
        ``improved``, ``unchanged``, ``deteriorated`` or missing, from ``reliable_change``.
    cutoff
        From :func:`choose_cutoff`, or one a person from :func:`.norms.person_cutoffs`; None leaves the three categories.
    higher_is_better
        Direction of the scale.

    Returns
    -------
    DataFrame
        ``category`` (one of ``CATEGORIES``, missing where reliable change is), ``clinical_at_baseline`` (missing without a
        cutoff or a baseline score) and ``crossed``: whether the person is among the unchanged, but went from the clinical to
        the functional range (missing without a cutoff or a category). With a cutoff, somebody without a score or whose cutoff is
        not known has no category.

    Raises
    ------
    StatisticsError
        If the three do not have equal lengths, or reliable change has other words.
    """
    direction_of(higher_is_better)
    same_people("categories", pre=pre, post=post)
    if isinstance(reliable, pd.Series) and not isinstance(reliable.index, pd.RangeIndex):  # reliable_change numbers its rows
        same_people("categories", pre=pre, reliable=reliable)
    before, after = (numbers_of(x, place="categories", what=w) for x, w in ((pre, "pre"), (post, "post")))
    words = pd.Series(reliable)
    unknown = set(words.dropna().unique()) - set(_PLAIN)
    if unknown:
        raise StatisticsError(problem("categories", f"found {len(unknown)} other words; allowed: {', '.join(_PLAIN)}."))
    if not len(before) == len(after) == len(words):
        raise StatisticsError(problem("categories", f"{len(before)} scores, {len(after)} end scores, {len(words)} categories."))
    start = pd.Categorical(words, categories=_PLAIN).codes.astype(np.int8)
    found = None if cutoff is None else ranges(before, after, cutoff, higher_is_better=higher_is_better)
    code, left = placed(start, found)
    clinical, crossed = (pd.array([pd.NA] * len(before), dtype="boolean") for _ in range(2))
    if found is not None:
        clinical = masked(found.clinical_before, found.unknown_before)
        crossed = masked(left, code < 0)
    return pd.DataFrame(
        {
            "category": pd.Categorical.from_codes(code, dtype=pd.CategoricalDtype(CATEGORIES)),
            "clinical_at_baseline": clinical,
            "crossed": crossed,
        }
    )


def masked(values: Flags, missing: Flags) -> Any:
    """Return truth values that are missing where the mask says so."""
    return pd.arrays.BooleanArray(values, missing)
