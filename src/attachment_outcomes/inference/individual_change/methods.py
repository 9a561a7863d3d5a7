r"""By which rule is a change reliable? The registry of methods: formula, what each needs, and its error rate.

Vocabulary
----------
JT         reliable change index of Jacobson and Truax: change over the standard error of a difference
CM         Christensen–Mendoza: change over the SD of this sample's own differences, in which true change is too
GLN        Gulliksen–Lord–Novick: end score against the score expected from baseline by regression to the mean
HLL        Hsu–Linn–Nord: as GLN, with the mean that an untreated group reaches at the end
EN         Edwards–Nunnally: end score against the estimated true baseline score
NK         Nunnally–Kotsch: as EN, with the error of both scores
HA         Hageman–Arrindell: change weighted by the reliability of the difference, tested one-sided
SRB        McSweeney's regression-based rule: end score against what a control sample's regression predicts
two-SEM    change over the standard errors of measurement of both occasions, the end's from this sample's end SD or a control's
SDC        smallest detectable change: beyond what a retest sample's error would show, by its ICC or its error mean square
HLM        a person's own slope over its standard error, from a growth model; ``HLM deviation``: the slope's deviation from
           the average slope, which says who changed *more than others*, not who changed
MID        a minimal important difference, from an anchor; ``half SD`` and ``one SEM`` are the usual ones by distribution
criterion  a published number of score points
statistic  positive when the score went up, whether that is better or not

``criterion``, ``MID``, ``half SD`` and ``one SEM`` are in score points, and change *at* them counts. Every other rule is strict
(beyond z, not at it), as in Jacobson and Truax. :math:`x_1, x_2` are a person's scores, :math:`M_1, S_1` mean and SD before
treatment, :math:`M_2, S_2` at the end, r the reliability, :math:`r_{12}` the pre–post correlation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Numbers = NDArray[np.float64]
IMPROVED, UNCHANGED, DETERIORATED = "improved", "unchanged", "deteriorated"
CATEGORIES = [IMPROVED, UNCHANGED, DETERIORATED]
ALPHA = 0.05  # two-sided; gives the 1.96 of Jacobson and Truax (1991)
SAMPLE, GIVEN = "this sample at baseline", "given"
HALF = 0.5  # SD before treatment, the distribution-based MID of Norman, Sloan & Wyrwich (2003), Med. Care, 41, 582-592


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionNorm:
    """What a control sample's end scores are, given its scores before: ``intercept``, ``slope`` and ``see``, score points.

    ``see`` is the standard error of estimate (n − 2 degrees of freedom), ``n`` the people of the control sample.
    """

    intercept: float
    slope: float
    see: float
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSlopes:
    """A slope for each person, in the order of the scores; from :func:`.slopes.person_slopes`."""

    slope: Numbers
    std_error: Numbers
    deviation: Numbers
    deviation_std_error: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All that a method may use besides the scores, in score points; None (reliability, SD: NaN) where unknown."""

    reliability: float = np.nan
    sd: float = np.nan
    sd_source: str = GIVEN
    reliability_post: float | None = None
    mean_pre: float | None = None
    own_mean_pre: float | None = None  # this sample's, where mean_pre was given
    mean_post: float | None = None
    sd_pre: float | None = None
    sd_post: float | None = None
    r12: float | None = None
    control_post_mean: float | None = None
    control_post_sd: float | None = None
    regression: RegressionNorm | None = None
    icc: float | None = None
    retest_sd: float | None = None
    ms_error: float | None = None
    mid: float | None = None
    criterion: float | None = None
    slopes: PersonSlopes | None = field(default=None, compare=False, repr=False)
    alpha: float = ALPHA

    @property
    def se_measurement(self) -> float:
        r"""Standard error of measurement, :math:`S_1\sqrt{1-r}`."""
        return self.sd * float(np.sqrt(1 - self.reliability))

    @property
    def s_diff(self) -> float:
        r"""Standard error of a difference of two scores, :math:`\sqrt2\,SE`."""
        return float(np.sqrt(2)) * self.se_measurement

    @property
    def se_prediction(self) -> float:
        r"""Standard error of predicting the second score from the first without true change, :math:`S_1\sqrt{1-r^2}`."""
        return self.sd * float(np.sqrt(1 - self.reliability**2))

    def lacks(self, need: str) -> bool:
        """Tell whether something a method needs is unknown."""
        value = getattr(self, need)
        return value is None or (isinstance(value, float) and np.isnan(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One rule.

    ``statistic``  of the scores before and after
    ``spread``     SD of the statistic if nobody truly changed, by classical test theory (NaN: not known)
    ``needs``      fields of :class:`Setting` without which the rule cannot be applied
    ``points``     for a rule in score points, from which change on it counts; None for a rule that is beyond z
    ``one_sided``  whether z belongs to a one-sided test
    ``verified``   False for a formula that was recalled and not checked
    """

    statistic: Callable[[Numbers, Numbers, Setting], Numbers]
    spread: Callable[[Setting], float]
    needs: tuple[str, ...] = ()
    points: Callable[[Setting], float] | None = None
    one_sided: bool = False
    verified: bool = True
    citation: str = ""


def _value(number: float | None) -> float:
    return np.nan if number is None else number


def _over(numerator: Numbers, denominator: float) -> Numbers:
    """Divide; without a positive denominator nothing is defined."""
    return numerator / denominator if denominator > 0 else np.full_like(numerator, np.nan)


def _jt(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return (x2 - x1) / s.s_diff


def sd_of_differences(s: Setting) -> float:
    r"""SD of this sample's differences, :math:`\sqrt{S_1^2 + S_2^2 - 2 r_{12} S_1 S_2}`."""
    s1, s2 = _value(s.sd_pre), _value(s.sd_post)
    return float(np.sqrt(max(s1**2 + s2**2 - 2 * _value(s.r12) * s1 * s2, 0.0)))


def _cm(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    # A hundred-millionth of the SD: all differences are alike but for the last bits of the correlation.
    spread = sd_of_differences(s)
    return _over(x2 - x1, spread if spread > 1e-8 * _value(s.sd_pre) else 0.0)


def _gln(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    m1 = _value(s.mean_pre)
    return ((x2 - m1) - s.reliability * (x1 - m1)) / s.se_prediction


def _hll(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    expected = _value(s.control_post_mean) + s.reliability * (x1 - _value(s.mean_pre))
    return (x2 - expected) / s.se_prediction


def _true_pre(x1: Numbers, s: Setting) -> Numbers:
    return s.reliability * (x1 - _value(s.mean_pre)) + _value(s.mean_pre)


def _en(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return (x2 - _true_pre(x1, s)) / s.se_measurement


def _nk_error(s: Setting, sd_post: float) -> float:
    r1, r2 = s.reliability, _value(s.reliability_post)
    return float(np.sqrt(r1**2 * s.sd**2 * (1 - r1) + sd_post**2 * (1 - r2)))


def _nk_spread(s: Setting, sd_post: float) -> float:
    r1, r2 = s.reliability, _value(s.reliability_post)
    return float(np.sqrt(r1 * (1 - r1) * s.sd**2 + sd_post**2 * (1 - r2))) / _nk_error(s, sd_post)


def _nk(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return (x2 - _true_pre(x1, s)) / _nk_error(s, s.sd)


def _nk_post_sd(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return (x2 - _true_pre(x1, s)) / _nk_error(s, _value(s.sd_post))


def difference_reliability(s: Setting) -> float:
    r"""Reliability of the difference by Hageman and Arrindell, from the sample's SDs and :math:`r_{12}`.

    .. math:: r_{dd} = \frac{S_1^2 r_1 + S_2^2 r_2 - 2 S_1 S_2 r_{12}}{S_1^2 + S_2^2 - 2 S_1 S_2 r_{12}},
        \quad r_j = (S_j^2 - SE^2)/S_j^2
    """
    s1, s2 = _value(s.sd_pre), _value(s.sd_post)
    shared = 2 * s1 * s2 * _value(s.r12)
    error = s.se_measurement**2
    whole = s1**2 + s2**2 - shared
    return float((s1**2 - error + s2**2 - error - shared) / whole) if whole > 0 else np.nan


def mean_change(s: Setting) -> float:
    """Return this sample's mean change: from its own mean before, also where the regression methods use a given one."""
    return _value(s.mean_post) - _value(s.mean_pre if s.own_mean_pre is None else s.own_mean_pre)


def _ha(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    r_dd = difference_reliability(s)
    if not r_dd > 0:  # the observed differences vary less than error alone would make them
        return np.full_like(x1, np.nan)
    shift = mean_change(s)
    return ((x2 - x1) * r_dd + shift * (1 - r_dd)) / (float(np.sqrt(r_dd)) * s.s_diff)


def _srb(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    norm = s.regression or RegressionNorm(intercept=np.nan, slope=np.nan, see=np.nan)
    return (x2 - (norm.intercept + norm.slope * x1)) / norm.see


def _two_sem(x1: Numbers, x2: Numbers, s: Setting, sd_post: float | None) -> Numbers:
    end_error = _value(sd_post) ** 2 * (1 - _value(s.reliability_post))
    return _over(x2 - x1, float(np.sqrt(s.se_measurement**2 + end_error)))


def sem_of_icc(s: Setting) -> float:
    r"""Return the standard error of measurement in a retest sample, :math:`S_{pooled}\sqrt{1-ICC}`."""
    return _value(s.retest_sd) * float(np.sqrt(1 - _value(s.icc)))


def sem_of_ms(s: Setting) -> float:
    r"""Return the standard error of measurement in a retest sample, :math:`\sqrt{MS_{error}}`."""
    return float(np.sqrt(_value(s.ms_error)))


def _sdc(sem: Callable[[Setting], float]) -> Callable[[Numbers, Numbers, Setting], Numbers]:
    return lambda x1, x2, s: _over(x2 - x1, float(np.sqrt(2)) * sem(s))


def _hlm(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return np.full_like(x1, np.nan) if s.slopes is None else _ratio(s.slopes.slope, s.slopes.std_error)


def _hlm_deviation(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return np.full_like(x1, np.nan) if s.slopes is None else _ratio(s.slopes.deviation, s.slopes.deviation_std_error)


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    out: Numbers = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return out


def _change(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return x2 - x1


def _one(s: Setting) -> float:
    return 1.0


def _unknown(s: Setting) -> float:
    return np.nan


def _of_difference(s: Setting) -> float:
    return s.s_diff


# What needs a reliability and an SD before treatment says so: without them it is left out, and refused by name.
_ERROR = ("reliability", "sd")
_BOTH = ("mean_pre", "mean_post", "sd_pre", "sd_post", "r12")
METHODS: dict[str, Method] = {
    "JT": Method(statistic=_jt, spread=_one, needs=_ERROR, citation="Jacobson & Truax (1991), JCCP, 59, 12-19"),
    "GLN": Method(
        statistic=_gln, spread=_one, needs=(*_ERROR, "mean_pre"), citation="Hsu (1989), Behav. Assess., 11, 459-467"
    ),
    "HLL": Method(
        statistic=_hll, spread=_one, needs=(*_ERROR, "mean_pre", "control_post_mean"),
        citation="Hsu (1989), Behav. Assess., 11, 459-467",
    ),
    "EN": Method(
        statistic=_en, needs=(*_ERROR, "mean_pre"), spread=lambda s: float(np.sqrt(1 + s.reliability)),
        citation="Speer (1992), JCCP, 60, 402-408",
    ),
    "NK": Method(
        statistic=_nk, needs=(*_ERROR, "mean_pre", "reliability_post"), spread=lambda s: _nk_spread(s, s.sd),
        citation="Nunnally & Kotsch (1983), Br. J. Clin. Psychol., 22, 83-93, as the R package clinicalsignificance codes it",
    ),
    "NK post SD": Method(
        statistic=_nk_post_sd, needs=(*_ERROR, "mean_pre", "reliability_post", "sd_post"), verified=False,
        spread=lambda s: _nk_spread(s, _value(s.sd_post)),
        citation="Nunnally & Kotsch (1983), with the end SD in the second term, recalled and not checked",
    ),
    "HA": Method(
        statistic=_ha, needs=(*_ERROR, *_BOTH), spread=_unknown, one_sided=True,
        citation="Hageman & Arrindell (1999), Behav. Res. Ther., 37, 1169-1193",
    ),
    "CM": Method(
        statistic=_cm, needs=("sd_pre", "sd_post", "r12"),
        spread=lambda s: s.s_diff / sd_of_differences(s) if sd_of_differences(s) > 0 else np.nan,
        citation="Christensen & Mendoza (1986), Behav. Ther., 17, 305-308",
    ),
    "SRB": Method(
        statistic=_srb, spread=_one, needs=("regression",),
        citation="McSweeny, Naugle, Chelune & Luders (1993), Clin. Neuropsychol., 7, 300-312",
    ),
    "two-SEM": Method(
        statistic=lambda x1, x2, s: _two_sem(x1, x2, s, s.sd_post), spread=_one, needs=(*_ERROR, "reliability_post", "sd_post"),
        citation="Iverson (2001), Arch. Clin. Neuropsychol., 16, 183-191",
    ),
    "two-SEM control": Method(
        statistic=lambda x1, x2, s: _two_sem(x1, x2, s, s.control_post_sd), spread=_one,
        needs=(*_ERROR, "reliability_post", "control_post_sd"),
        citation="Iverson (2001), Arch. Clin. Neuropsychol., 16, 183-191",
    ),
    "SDC ICC": Method(
        statistic=_sdc(sem_of_icc), spread=_one, needs=("icc", "retest_sd"),
        citation="de Vet, Terwee, Knol & Bouter (2006), J. Clin. Epidemiol., 59, 1033-1039",
    ),
    "SDC MS": Method(
        statistic=_sdc(sem_of_ms), spread=_one, needs=("ms_error",),
        citation="de Vet, Terwee, Knol & Bouter (2006), J. Clin. Epidemiol., 59, 1033-1039",
    ),
    "HLM": Method(
        statistic=_hlm, spread=_unknown, needs=("slopes",),
        citation="Speer & Greenbaum (1995), JCCP, 63, 1044-1048; the person's own slope",
    ),
    "HLM deviation": Method(
        statistic=_hlm_deviation, spread=_unknown, needs=("slopes",),
        citation="the R package clinicalsignificance, HLM: the deviation from the average slope",
    ),
    "MID": Method(
        statistic=_change, needs=("mid",), spread=_of_difference, points=lambda s: _value(s.mid),
        citation="an anchor's minimal important difference",
    ),
    "half SD": Method(
        statistic=_change, needs=("sd",), spread=_of_difference, points=lambda s: HALF * s.sd,
        citation="Norman, Sloan & Wyrwich (2003), Med. Care, 41, 582-592",
    ),
    "one SEM": Method(
        statistic=_change, needs=_ERROR, spread=_of_difference, points=lambda s: s.se_measurement,
        citation="Wyrwich, Tierney & Wolinsky (1999), J. Clin. Epidemiol., 52, 861-873",
    ),
    "criterion": Method(
        statistic=_change, needs=("criterion",), spread=_of_difference, points=lambda s: _value(s.criterion),
        citation="the instrument's own",
    ),
}  # fmt: skip


def threshold(method: str, setting: Setting) -> float:
    """Return the absolute value of the statistic beyond which (for a rule in score points: from which) change counts."""
    rule = METHODS[method]
    if rule.points is not None:
        return float(rule.points(setting))
    return float(ndtri(1 - setting.alpha if rule.one_sided else 1 - setting.alpha / 2))


def expected_improved(method: str, setting: Setting, *, change: float = 0.0) -> float:
    r"""Return the share that would be called improved if everybody truly changed by ``change`` and errors were normal.

    .. math:: \Phi\big((k\,\delta - z)/s\big)

    with s the SD of the statistic under no change, k what a point of end score adds to it and :math:`\delta` the change in score
    points towards better. By default nobody truly changed: :math:`\alpha/2` for JT, GLN and HLL, more for EN, NK and the
    distribution-based MIDs, whose denominators are too small for that, less for CM where true change is in its denominator. NaN
    for HA, whose rule only promises at most alpha, for HLM, and where the reliability or SD behind it is not known.
    """
    rule = METHODS[method]
    spread = rule.spread(setting)
    if not spread > 0:
        return np.nan
    shift = 0.0
    if change:
        still, moved = rule.statistic(np.zeros(2), np.array([0.0, 1.0]), setting)
        shift = float(moved - still) * change
    return float(ndtr((shift - threshold(method, setting)) / spread))
