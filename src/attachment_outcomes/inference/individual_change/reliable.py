"""Did a person change by more than measurement error alone would show? For the words see :mod:`.methods`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.methods import (
    ALPHA,
    CATEGORIES,
    GIVEN,
    METHODS,
    SAMPLE,
    Numbers,
    PersonSlopes,
    RegressionNorm,
    Setting,
    threshold,
)
from attachment_outcomes.inference.individual_change.reading import direction_of, scores_of
from attachment_outcomes.inference.individual_change.slopes import joined_slopes

PLACE = "reliable change"
_SHARES = ("reliability", "reliability_post", "icc")
_POSITIVE = ("sd", "control_post_sd", "retest_sd", "ms_error", "mid", "criterion")
_ANY = ("mean_pre", "control_post_mean")
_HINTS = {
    "reliability": "give that of the score in a population like this one, never the pre-post correlation.",
    "sd": "give the SD of a reference sample, or more than one person with both scores.",
    "control_post_mean": (
        "give the end mean of a control or retest group; the treated sample's own mean takes the treatment's effect out of the "
        "change and is used only with allow_treated_post_mean=True."
    ),
    "control_post_sd": "give the end SD of a control or retest group, or use two-SEM with this sample's own.",
    "regression": "give regression_norm(control_pre, control_post), from people who were not treated in between.",
    "icc": "give icc and retest_sd, from people who did not change in between (retest_norm).",
    "retest_sd": "give icc and retest_sd, from people who did not change in between (retest_norm).",
    "ms_error": "give the error mean square of people who did not change in between (retest_norm).",
    "mid": "give the anchor's minimal important difference in score points.",
    "slopes": "give slopes_for(ids, person_slopes(...)), of all occasions; a slope needs at least three.",
    "r12": "two people or more with both scores, who differ at both occasions, are needed.",
}


def setting_from(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    reliability: float | None = None,
    sd: float | None = None,
    reliability_post: float | None = None,
    mean_pre: float | None = None,
    r12: float | None = None,
    control_post_mean: float | None = None,
    control_post_sd: float | None = None,
    allow_treated_post_mean: bool = False,
    regression: RegressionNorm | None = None,
    icc: float | None = None,
    retest_sd: float | None = None,
    ms_error: float | None = None,
    mid: float | None = None,
    criterion: float | None = None,
    slopes: PersonSlopes | pd.DataFrame | None = None,
    alpha: float = ALPHA,
    sd_needed: bool = True,
) -> Setting:
    """Return what the methods need: what was given, else the statistics of the people with both scores (ddof 1).

    ``sd_needed`` False lets the SD be unknown, for rules that do without it. The others are those of :func:`reliable_change`.

    Raises
    ------
    StatisticsError
        As :func:`reliable_change`.
    """
    given: dict[str, Any] = {
        "reliability": reliability, "reliability_post": reliability_post, "icc": icc, "sd": sd, "control_post_sd": control_post_sd,
        "retest_sd": retest_sd, "ms_error": ms_error, "mid": mid, "criterion": criterion, "mean_pre": mean_pre,
        "control_post_mean": control_post_mean,
    }  # fmt: skip
    _check_numbers({**given, "alpha": alpha, "r12": r12}, regression)
    x1, x2 = scores_of(pre, post, place=PLACE)
    slopes = joined_slopes(slopes, pre, post)
    both = ~(np.isnan(x1) | np.isnan(x2))
    if not both.any() and slopes is None:
        what = f"none of {len(x1)} people has a score before and after; one wave alone shows no change."
        raise StatisticsError(problem(PLACE, what, hint="check which occasions are baseline and end."))
    if not both.all():
        x1, x2 = x1[both], x2[both]
    enough = len(x1) >= 2
    if sd is None and sd_needed and not enough:
        what = f"{len(x1)} people with both scores; the SD needs two."
        raise StatisticsError(problem(PLACE, what, hint="give sd from a reference sample."))
    s1, s2 = (float(x1.std(ddof=1)), float(x2.std(ddof=1))) if enough else (None, None)
    if sd is None and sd_needed and not _above_rounding(s1, x1):
        raise StatisticsError(problem("sd", "everybody scored alike at baseline.", hint="give sd from a reference sample."))
    if sd is None and s1 is not None and _above_rounding(s1, x1):
        sd, source = s1, SAMPLE
    else:
        source = GIVEN
    if r12 is None and s1 is not None and s2 is not None and _above_rounding(s1, x1) and _above_rounding(s2, x2):
        r12 = float(np.clip((x1 - x1.mean()) @ (x2 - x2.mean()) / ((len(x1) - 1) * s1 * s2), -1.0, 1.0))
    treated = float(x2.mean()) if enough else None
    return Setting(
        reliability=np.nan if reliability is None else float(reliability), sd=np.nan if sd is None else float(sd),
        sd_source=source, alpha=alpha, criterion=criterion, mid=mid, icc=icc, retest_sd=retest_sd, ms_error=ms_error,
        reliability_post=reliability if reliability_post is None else reliability_post,
        mean_pre=float(x1.mean()) if mean_pre is None and enough else mean_pre,
        own_mean_pre=float(x1.mean()) if mean_pre is not None and enough else None, mean_post=treated, sd_pre=s1, sd_post=s2,
        r12=r12, regression=regression, control_post_sd=control_post_sd, slopes=slopes,
        control_post_mean=treated if control_post_mean is None and allow_treated_post_mean else control_post_mean,
    )  # fmt: skip


def _above_rounding(sd: float | None, x: Numbers) -> bool:
    # Equal numbers such as 0.1 have a mean that is off by the last bit, and so an SD of 1e-17, not of zero.
    return sd is not None and sd > 1e-12 * float(np.abs(x).max())


def _check_numbers(given: dict[str, Any], regression: RegressionNorm | None) -> None:
    named = dict(given)
    if regression is not None:
        named |= {f"regression {k}": getattr(regression, k) for k in ("intercept", "slope", "see")}
    for name, value in named.items():
        if value is None:
            continue
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
            raise StatisticsError(problem(name, f"found {value!r}; allowed: a number."))
        number = float(value)
        if name in _SHARES and not 0 < number < 1:
            raise StatisticsError(problem(name, f"found {value}; allowed: between 0 and 1, both excluded."))
        if name == "alpha" and not 0 < number < 1:
            raise StatisticsError(problem(name, f"found {value}; allowed: between 0 and 1."))
        if name == "r12" and not -1 <= number <= 1:
            raise StatisticsError(problem(name, f"found {value}; allowed: a correlation, between -1 and 1."))
        if name in (*_POSITIVE, "regression see") and not 0 < number < np.inf:
            raise StatisticsError(problem(name, f"found {number:g}; allowed: above 0 and finite."))
        if not np.isfinite(number):
            raise StatisticsError(problem(name, f"found {number:g}; allowed: a finite number."))


def usable_methods(methods: str | Sequence[str], setting: Setting) -> list[str]:
    """Return the methods asked for; ``"all"`` means each checked one whose needs are met.

    Raises
    ------
    StatisticsError
        If a method is unknown, or one asked for by name lacks what it needs, or none can be used.
    """
    if isinstance(methods, str) and methods == "all":
        names = [name for name, m in METHODS.items() if m.verified and not any(setting.lacks(n) for n in m.needs)]
        if not names:
            raise StatisticsError(problem(PLACE, "no method has what it needs.", hint=_HINTS["reliability"]))
        return names
    names = [methods] if isinstance(methods, str) else list(dict.fromkeys(methods))
    if not names:
        raise StatisticsError(problem("methods", f"found none; allowed: all, {', '.join(METHODS)}."))
    for name in names:
        if name not in METHODS:
            raise StatisticsError(
                problem("methods", f"found {name!r}; allowed: all, {', '.join(METHODS)}.{did_you_mean(name, METHODS)}")
            )
        missing = [n for n in METHODS[name].needs if setting.lacks(n)]
        if missing:
            hint = next((_HINTS[n] for n in missing if n in _HINTS), "")
            raise StatisticsError(problem(f"method {name}", f"needs {', '.join(missing)}.", hint=hint))
    return names


def needs_sd(methods: str | Sequence[str]) -> bool:
    """Tell whether any of the methods rests on the SD before treatment (all of them together do)."""
    if isinstance(methods, str) and methods == "all":
        return True
    names = [methods] if isinstance(methods, str) else methods
    return any("sd" in METHODS[name].needs for name in names if name in METHODS)


def reliable_change(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    reliability: float | None = None,
    sd: float | None = None,
    higher_is_better: bool = False,
    methods: str | Sequence[str] = "all",
    reliability_post: float | None = None,
    mean_pre: float | None = None,
    r12: float | None = None,
    control_post_mean: float | None = None,
    control_post_sd: float | None = None,
    allow_treated_post_mean: bool = False,
    regression: RegressionNorm | None = None,
    icc: float | None = None,
    retest_sd: float | None = None,
    ms_error: float | None = None,
    mid: float | None = None,
    criterion: float | None = None,
    slopes: PersonSlopes | pd.DataFrame | None = None,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    r"""Return each person's reliable-change statistic and category, by one or several methods.

    =============== ================================================================================================
    JT              :math:`(x_2 - x_1) / (\sqrt2\,SE)`, :math:`SE = S_1\sqrt{1-r}`
    GLN             :math:`[(x_2 - M_1) - r(x_1 - M_1)] / (S_1\sqrt{1-r^2})`
    HLL             :math:`[(x_2 - M_c) - r(x_1 - M_1)] / (S_1\sqrt{1-r^2})`, :math:`M_c` a control group's mean at the end
    EN              :math:`[x_2 - (r(x_1 - M_1) + M_1)] / SE`
    NK              :math:`[x_2 - (r_1(x_1 - M_1) + M_1)] / \sqrt{r_1^2 S_1^2 (1-r_1) + S_1^2(1-r_2)}`; ``NK post SD`` has
                    :math:`S_2^2` in the second term
    HA              :math:`[(x_2 - x_1) r_{dd} + (M_2 - M_1)(1 - r_{dd})] / (\sqrt{r_{dd}}\,\sqrt2\,SE)`
    CM              :math:`(x_2 - x_1) / \sqrt{S_1^2 + S_2^2 - 2 r_{12} S_1 S_2}`
    SRB             :math:`[x_2 - (a + b x_1)] / SEE`, from a control sample's regression
    two-SEM         :math:`(x_2 - x_1) / \sqrt{S_1^2(1 - r_1) + S_2^2(1 - r_2)}`; ``two-SEM control`` has a control group's
                    :math:`S_2`
    SDC ICC, SDC MS :math:`(x_2 - x_1) / (\sqrt2\,SEM)` with :math:`SEM = S\sqrt{1-ICC}` or :math:`\sqrt{MS_{error}}` of a
                    retest sample
    HLM             a person's slope over its standard error; ``HLM deviation``: the slope's deviation from the average one
    MID, criterion  :math:`x_2 - x_1` against an anchor's or a published number of score points
    half SD         :math:`x_2 - x_1` against :math:`S_1/2`
    one SEM         :math:`x_2 - x_1` against SE
    =============== ================================================================================================

    Parameters
    ----------
    pre, post : (n,) floats
        Score points. NaN in either gives NaN and a missing category. A Series' index becomes ``person_id``.
    reliability : float
        Of the score in a population like this one (never the pre–post correlation). Only some methods do without it.
    sd : float, optional
        SD before treatment, score points. By default that of the people with both scores (ddof 1); ``sd_source`` says so.
    higher_is_better
        Direction of the scale: False for symptoms, anxiety and avoidance.
    methods
        ``"all"`` (every checked method whose needs are met), one name, or several, from ``METHODS``.
    reliability_post, mean_pre, r12
        For NK and two-SEM (default: ``reliability``), for the regression methods, and for HA and CM (default: this sample's).
    control_post_mean, control_post_sd
        For HLL and two-SEM control. Without them these are left out of ``"all"`` and refused by name.
    allow_treated_post_mean
        Let HLL use the treated sample's own end mean, as some software does. It then measures change relative to the
        average patient, not improvement.
    regression : RegressionNorm
        For SRB, from :func:`.controls.regression_norm`.
    icc, retest_sd, ms_error
        For SDC, of people who did not change in between; from :func:`.controls.retest_norm`.
    mid, criterion
        For ``MID`` and ``criterion``: least change that counts, score points.
    slopes : PersonSlopes or DataFrame
        For HLM: from :func:`.slopes.slopes_for`, in the order of the scores; or the table of :func:`.slopes.person_slopes`, joined
        on the ids in the scores' index (an unnamed index of whole numbers is not taken for ids).
    alpha
        Error rate that gives z: two-sided, except HA's, which is one-sided.

    Returns
    -------
    DataFrame
        A row a person and method: ``person_id, method, pre, post, change, statistic, category, sd, sd_source``.

    Raises
    ------
    StatisticsError
        If a reliability is not in (0, 1), the SD is not positive, nobody has both scores, fewer than two people have where the
        SD is taken from them, the scores are not pairs of finite numbers of one person each, the direction is neither True nor
        False, or a method named lacks what it needs.

    See Also
    --------
    change_categories : categories only, by all methods, for large samples.

    References
    ----------
    Jacobson, N. S., & Truax, P. (1991). JCCP, 59(1), 12-19. doi:10.1037/0022-006X.59.1.12. The others: see ``METHODS``.

    Examples
    --------
    >>> r = reliable_change([32.5], [47.5], reliability=0.80, sd=7.5, higher_is_better=True, methods="JT")
    >>> round(r["statistic"].item(), 3), r["category"].item()
    (3.162, 'improved')
    """
    direction_of(higher_is_better)
    setting = setting_from(
        pre, post, reliability=reliability, sd=sd, reliability_post=reliability_post, mean_pre=mean_pre, r12=r12,
        control_post_mean=control_post_mean, control_post_sd=control_post_sd, allow_treated_post_mean=allow_treated_post_mean,
        regression=regression, icc=icc, retest_sd=retest_sd, ms_error=ms_error, mid=mid, criterion=criterion, slopes=slopes,
        alpha=alpha, sd_needed=needs_sd(methods),
    )  # fmt: skip
    names = usable_methods(methods, setting)
    x1, x2 = scores_of(pre, post, place=PLACE)
    person = next((x.index for x in (pre, post) if isinstance(x, pd.Series)), pd.RangeIndex(len(x1)))
    n, k = len(x1), len(names)
    statistic, code = np.empty(n * k), np.empty(n * k, dtype=np.int8)
    for i, name in enumerate(names):
        part = slice(i * n, (i + 1) * n)
        statistic[part], code[part] = statistic_and_code(x1, x2, name, setting, higher_is_better)
    return pd.DataFrame(
        {
            "person_id": np.tile(person.to_numpy(), k),
            "method": _categorical(np.repeat(np.arange(k, dtype=np.int8), n), names),
            "pre": np.tile(x1, k),
            "post": np.tile(x2, k),
            "change": np.tile(x2 - x1, k),
            "statistic": statistic,
            "category": _categorical(code, CATEGORIES),
            "sd": setting.sd,
            "sd_source": _categorical(np.zeros(n * k, dtype=np.int8), [setting.sd_source]),
        },
        copy=False,
    )


def _categorical(codes: NDArray[np.integer[Any]], words: list[str]) -> Any:
    """Return words by number without making a million strings."""
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(words))


def statistic_and_code(
    x1: Numbers, x2: Numbers, method: str, setting: Setting, higher_is_better: bool
) -> tuple[Numbers, NDArray[np.int8]]:
    """Return the statistic and the position of each person's category in ``CATEGORIES`` (-1 = missing)."""
    statistic = METHODS[method].statistic(x1, x2, setting)
    limit = threshold(method, setting)
    if METHODS[method].points is None:
        up, down = statistic > limit, statistic < -limit
    else:
        up, down = statistic >= limit, statistic <= -limit
    better, worse = (up, down) if higher_is_better else (down, up)
    code = np.ones(len(x1), dtype=np.int8)
    code[better] = 0
    code[worse] = 2
    code[np.isnan(statistic)] = -1
    return statistic, code
