r"""By which rule is a change reliable? The registry of methods: formula, what each needs, and its error rate.

Vocabulary
----------
JT         reliable change index of Jacobson and Truax: change over the standard error of a difference
GLN        Gulliksen–Lord–Novick: end score against the score expected from baseline by regression to the mean
HLL        Hsu–Linn–Nord: as GLN, with the mean that an untreated group reaches at the end
EN         Edwards–Nunnally: end score against the estimated true baseline score
NK         Nunnally–Kotsch: as EN, with the error of both scores
HA         Hageman–Arrindell: change weighted by the reliability of the difference, tested one-sided
criterion  a published number of score points; the only method where change *at* the criterion counts
statistic  positive when the score went up, whether that is better or not

Every other rule is strict (beyond z, not at it), as in Jacobson and Truax. :math:`x_1, x_2` are a person's scores, :math:`M_1,
S_1` mean and SD before treatment, :math:`M_2, S_2` at the end, r the reliability, :math:`r_{12}` the pre–post correlation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Numbers = NDArray[np.float64]
IMPROVED, UNCHANGED, DETERIORATED = "improved", "unchanged", "deteriorated"
CATEGORIES = [IMPROVED, UNCHANGED, DETERIORATED]
ALPHA = 0.05  # two-sided; gives the 1.96 of Jacobson and Truax (1991)
SAMPLE, GIVEN = "this sample at baseline", "given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All that a method may use besides the scores, in score points; None where it is not known."""

    reliability: float
    sd: float
    sd_source: str = GIVEN
    reliability_post: float | None = None
    mean_pre: float | None = None
    mean_post: float | None = None
    sd_pre: float | None = None
    sd_post: float | None = None
    r12: float | None = None
    control_post_mean: float | None = None
    criterion: float | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One rule. ``spread`` is the SD of the statistic if nobody truly changed, by classical test theory (NaN: not known)."""

    statistic: Callable[[Numbers, Numbers, Setting], Numbers]
    spread: Callable[[Setting], float]
    needs: tuple[str, ...] = ()
    one_sided: bool = False
    verified: bool = True
    citation: str = ""


def _value(number: float | None) -> float:
    return np.nan if number is None else number


def _jt(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return (x2 - x1) / s.s_diff


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


def _ha(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    r_dd = difference_reliability(s)
    if not r_dd > 0:  # the observed differences vary less than error alone would make them
        return np.full_like(x1, np.nan)
    shift = _value(s.mean_post) - _value(s.mean_pre)
    return ((x2 - x1) * r_dd + shift * (1 - r_dd)) / (float(np.sqrt(r_dd)) * s.s_diff)


def _change(x1: Numbers, x2: Numbers, s: Setting) -> Numbers:
    return x2 - x1


def _one(s: Setting) -> float:
    return 1.0


METHODS: dict[str, Method] = {
    "JT": Method(statistic=_jt, spread=_one, citation="Jacobson & Truax (1991), JCCP, 59, 12-19"),
    "GLN": Method(statistic=_gln, spread=_one, needs=("mean_pre",), citation="Hsu (1989), Behav. Assess., 11, 459-467"),
    "HLL": Method(
        statistic=_hll, spread=_one, needs=("mean_pre", "control_post_mean"), citation="Hsu (1989), Behav. Assess., 11, 459-467"
    ),
    "EN": Method(
        statistic=_en, needs=("mean_pre",), spread=lambda s: float(np.sqrt(1 + s.reliability)),
        citation="Speer (1992), JCCP, 60, 402-408",
    ),
    "NK": Method(
        statistic=_nk, needs=("mean_pre", "reliability_post"), spread=lambda s: _nk_spread(s, s.sd),
        citation="Nunnally & Kotsch (1983), Br. J. Clin. Psychol., 22, 83-93, as the R package clinicalsignificance codes it",
    ),
    "NK post SD": Method(
        statistic=_nk_post_sd, needs=("mean_pre", "reliability_post", "sd_post"), verified=False,
        spread=lambda s: _nk_spread(s, _value(s.sd_post)),
        citation="Nunnally & Kotsch (1983), with the end SD in the second term, recalled and not checked",
    ),
    "HA": Method(
        statistic=_ha, needs=("mean_pre", "mean_post", "sd_pre", "sd_post", "r12"), spread=lambda s: np.nan, one_sided=True,
        citation="Hageman & Arrindell (1999), Behav. Res. Ther., 37, 1169-1193",
    ),
    "criterion": Method(statistic=_change, needs=("criterion",), spread=lambda s: s.s_diff, citation="the instrument's own"),
}  # fmt: skip


def threshold(method: str, setting: Setting) -> float:
    """Return the absolute value of the statistic beyond which (for ``criterion``: from which) change counts."""
    if method == "criterion":
        return _value(setting.criterion)
    alpha = setting.alpha
    return float(norm.ppf(1 - alpha if METHODS[method].one_sided else 1 - alpha / 2))


def expected_improved(method: str, setting: Setting) -> float:
    r"""Return the share that would be called improved if nobody truly changed and errors were normal.

    :math:`\Phi(-z/s)` with s the SD of the statistic under no change: :math:`\alpha/2` for JT, GLN and HLL, more for EN and NK,
    whose denominators are too small for that. NaN for HA, whose rule only promises at most alpha.
    """
    return float(norm.cdf(-threshold(method, setting) / METHODS[method].spread(setting)))
