"""Did a person change by more than measurement error alone would show? For the words see :mod:`.methods`."""

from __future__ import annotations

from collections.abc import Sequence
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
    Setting,
    threshold,
)


def setting_from(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    reliability: float,
    sd: float | None = None,
    reliability_post: float | None = None,
    mean_pre: float | None = None,
    r12: float | None = None,
    control_post_mean: float | None = None,
    allow_treated_post_mean: bool = False,
    criterion: float | None = None,
    alpha: float = ALPHA,
) -> Setting:
    """Return what the methods need: what was given, else the statistics of the people with both scores (ddof 1).

    Raises
    ------
    StatisticsError
        As :func:`reliable_change`.
    """
    for name, value in (("reliability", reliability), ("reliability_post", reliability_post)):
        if value is not None and not 0 < value < 1:
            raise StatisticsError(problem(name, f"found {value}; allowed: between 0 and 1, both excluded."))
    if not 0 < alpha < 1:
        raise StatisticsError(problem("alpha", f"found {alpha}; allowed: between 0 and 1."))
    if criterion is not None and not criterion > 0:
        raise StatisticsError(problem("criterion", f"found {criterion}; allowed: a positive number of score points."))
    x1, x2 = _scores(pre, post)
    both = ~(np.isnan(x1) | np.isnan(x2))
    x1, x2 = x1[both], x2[both]
    enough = len(x1) >= 2
    if sd is None and not enough:
        raise StatisticsError(
            problem(
                "reliable change", f"{len(x1)} people with both scores; the SD needs two.", hint="give sd from a reference sample."
            )
        )
    used = float(x1.std(ddof=1)) if sd is None else float(sd)
    if not used > 0:
        raise StatisticsError(problem("sd", f"found {used:g}; allowed: above 0.", hint="did everybody score alike at baseline?"))
    treated = float(x2.mean()) if enough else None
    if control_post_mean is None and allow_treated_post_mean:
        control_post_mean = treated
    s1, s2 = (float(x1.std(ddof=1)), float(x2.std(ddof=1))) if enough else (None, None)
    if r12 is None and s1 and s2:
        r12 = float(np.corrcoef(x1, x2)[0, 1])
    return Setting(
        reliability=reliability, sd=used, sd_source=SAMPLE if sd is None else GIVEN, alpha=alpha, criterion=criterion,
        reliability_post=reliability if reliability_post is None else reliability_post,
        mean_pre=float(x1.mean()) if mean_pre is None and enough else mean_pre, mean_post=treated, sd_pre=s1, sd_post=s2,
        r12=r12, control_post_mean=control_post_mean,
    )  # fmt: skip


def _scores(pre: ArrayLike, post: ArrayLike) -> tuple[Numbers, Numbers]:
    if isinstance(pre, pd.Series) and isinstance(post, pd.Series) and not pre.index.equals(post.index):
        raise StatisticsError(
            problem("reliable change", "pre and post have different indexes.", hint="align them by person first.")
        )
    x1, x2 = (np.asarray(pd.Series(x).to_numpy(dtype=float, na_value=np.nan)) for x in (pre, post))
    if x1.shape != x2.shape:
        raise StatisticsError(problem("reliable change", f"{len(x1)} scores before but {len(x2)} after; allowed: pairs."))
    return x1, x2


def usable_methods(methods: str | Sequence[str], setting: Setting) -> list[str]:
    """Return the methods asked for; ``"all"`` means each checked one whose needs are met.

    Raises
    ------
    StatisticsError
        If a method is unknown, or one asked for by name lacks what it needs.
    """
    missing = {name: [n for n in m.needs if getattr(setting, n) is None] for name, m in METHODS.items()}
    if isinstance(methods, str) and methods == "all":
        return [name for name, m in METHODS.items() if m.verified and not missing[name]]
    names = [methods] if isinstance(methods, str) else list(dict.fromkeys(methods))
    for name in names:
        if name not in METHODS:
            raise StatisticsError(
                problem("methods", f"found {name!r}; allowed: all, {', '.join(METHODS)}.{did_you_mean(name, METHODS)}")
            )
        if missing[name]:
            hint = ""
            if "control_post_mean" in missing[name]:
                hint = (
                    "give the end mean of a control or retest group; the treated sample's own mean takes the treatment's effect "
                    "out of the change and is used only with allow_treated_post_mean=True."
                )
            raise StatisticsError(problem(f"method {name}", f"needs {', '.join(missing[name])}.", hint=hint))
    return names


def reliable_change(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    reliability: float,
    sd: float | None = None,
    higher_is_better: bool = False,
    methods: str | Sequence[str] = "all",
    reliability_post: float | None = None,
    mean_pre: float | None = None,
    r12: float | None = None,
    control_post_mean: float | None = None,
    allow_treated_post_mean: bool = False,
    criterion: float | None = None,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    r"""Return each person's reliable-change statistic and category, by one or several methods.

    ========= ======================================================================================================
    JT        :math:`(x_2 - x_1) / (\sqrt2\,SE)`, :math:`SE = S_1\sqrt{1-r}`
    GLN       :math:`[(x_2 - M_1) - r(x_1 - M_1)] / (S_1\sqrt{1-r^2})`
    HLL       :math:`[(x_2 - M_c) - r(x_1 - M_1)] / (S_1\sqrt{1-r^2})`, :math:`M_c` a control group's mean at the end
    EN        :math:`[x_2 - (r(x_1 - M_1) + M_1)] / SE`
    NK        :math:`[x_2 - (r_1(x_1 - M_1) + M_1)] / \sqrt{r_1^2 S_1^2 (1-r_1) + S_1^2(1-r_2)}`; ``NK post SD`` has
              :math:`S_2^2` in the second term
    HA        :math:`[(x_2 - x_1) r_{dd} + (M_2 - M_1)(1 - r_{dd})] / (\sqrt{r_{dd}}\,\sqrt2\,SE)`
    criterion :math:`x_2 - x_1` against a published number of score points
    ========= ======================================================================================================

    Parameters
    ----------
    pre, post : (n,) floats
        Score points. NaN in either gives NaN and a missing category. A Series' index becomes ``person_id``.
    reliability : float
        Of the score in a population like this one (never the pre–post correlation).
    sd : float, optional
        SD before treatment, score points. By default that of the people with both scores (ddof 1); ``sd_source`` says so.
    higher_is_better
        Direction of the scale: False for symptoms, anxiety and avoidance.
    methods
        ``"all"`` (every checked method whose needs are met), one name, or several, from ``METHODS``.
    reliability_post, mean_pre, r12
        For NK (default: ``reliability``), for the regression methods, and for HA (default: this sample's).
    control_post_mean
        For HLL. Without it HLL is left out of ``"all"`` and refused by name.
    allow_treated_post_mean
        Let HLL use the treated sample's own end mean, as some software does. It then measures change relative to the
        average patient, not improvement.
    criterion
        For ``criterion``: least change that counts, score points.
    alpha
        Error rate that gives z: two-sided, except HA's, which is one-sided.

    Returns
    -------
    DataFrame
        A row a person and method: ``person_id, method, pre, post, change, statistic, category, sd, sd_source``.

    Raises
    ------
    StatisticsError
        If a reliability is not in (0, 1), the SD is not positive, fewer than two people have both scores where the SD is
        taken from them, the scores are not pairs, or a method named lacks what it needs.

    References
    ----------
    Jacobson, N. S., & Truax, P. (1991). JCCP, 59(1), 12-19. doi:10.1037/0022-006X.59.1.12. The others: see ``METHODS``.

    Examples
    --------
    >>> r = reliable_change([32.5], [47.5], reliability=0.80, sd=7.5, higher_is_better=True, methods="JT")
    >>> round(r["statistic"].item(), 3), r["category"].item()
    (3.162, 'improved')
    """
    setting = setting_from(
        pre, post, reliability=reliability, sd=sd, reliability_post=reliability_post, mean_pre=mean_pre, r12=r12,
        control_post_mean=control_post_mean, allow_treated_post_mean=allow_treated_post_mean, criterion=criterion, alpha=alpha,
    )  # fmt: skip
    names = usable_methods(methods, setting)
    x1, x2 = _scores(pre, post)
    person = next((x.index for x in (pre, post) if isinstance(x, pd.Series)), pd.RangeIndex(len(x1)))
    statistics, codes = zip(*(statistic_and_code(x1, x2, name, setting, higher_is_better) for name in names), strict=True)
    n, k = len(x1), len(names)
    return pd.DataFrame(
        {
            "person_id": np.tile(person.to_numpy(), k),
            "method": _categorical(np.repeat(np.arange(k), n), names),
            "pre": np.tile(x1, k),
            "post": np.tile(x2, k),
            "change": np.tile(x2 - x1, k),
            "statistic": np.concatenate(statistics),
            "category": _categorical(np.concatenate(codes), CATEGORIES),
            "sd": setting.sd,
            "sd_source": _categorical(np.zeros(n * k, dtype=np.int8), [setting.sd_source]),
        }
    )


def _categorical(codes: NDArray[np.integer[Any]], words: list[str]) -> Any:
    """Return words by number without making a million strings."""
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(words))


def statistic_and_code(
    x1: Numbers, x2: Numbers, method: str, setting: Setting, higher_is_better: bool
) -> tuple[Numbers, NDArray[np.int8]]:
    """Return the statistic and the position of each person's category in ``CATEGORIES`` (-1 = missing)."""
    statistic = METHODS[method].statistic(x1, x2, setting)
    toward_better = statistic if higher_is_better else -statistic
    limit = threshold(method, setting)
    code = np.ones(len(x1), dtype=np.int8)
    if method == "criterion":
        better, worse = toward_better >= limit, toward_better <= -limit
    else:
        better, worse = toward_better > limit, toward_better < -limit
    code[better] = 0
    code[worse] = 2
    code[np.isnan(statistic)] = -1
    return statistic, code
