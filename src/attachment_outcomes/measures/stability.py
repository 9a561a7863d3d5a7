r"""Does a score stay where it is when nothing has changed? Test–retest agreement over an interval that the study calls stable.

Vocabulary
----------
stable interval   two occasions between which nobody is expected to change: before treatment, or in people who have none. Only
                  the study can say so, under ``measures.stability``. Change over a treatment is not retest error.
agreement         differences between occasions count as error, their mean too: ICC(A,1)
consistency       a shift that is the same for all does not count: ICC(C,1)
SEM               standard error of measurement, score points
SDC               smallest detectable change of one person, :math:`z\sqrt2\,SEM`; of a group's mean, that over :math:`\sqrt n`
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, f, norm

from attachment_outcomes.errors import ConfigError, StatisticsError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.correlation import Correlation, pearson
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.measures.instruments import Instrument, split_score
from attachment_outcomes.measures.occasions import SELF

ANALYSIS = "stability"
LEAST_PEOPLE = 4  # of which the correlation has an interval


@dataclass(frozen=True, slots=True)
class Icc:
    """An intraclass correlation with its interval, and the F test that it is 0."""

    icc: float
    ci_low: float
    ci_high: float
    f: float
    df1: float
    df2: float
    p_value: float


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of people × occasions: between people, within people, between occasions, and the rest."""

    people: float
    within: float
    occasions: float
    error: float
    n: int
    k: int


@dataclass(frozen=True)
class Retest:
    """Test–retest agreement of two occasions, complete pairs only; errors and changes in score points.

    ``icc``               by name, see :func:`intraclass_correlations`
    ``sem_agreement``     root of the variance of occasions and of the rest; ``sem_consistency`` root of the rest, with interval
    ``sem_icc``           SD of both occasions pooled times the root of 1 - ICC(A,1)
    ``sdc``, ``sdc_group``   smallest detectable change from ``sem_agreement``, of a person and of the mean of these n people
    ``mean_change``       second less first occasion
    """

    correlation: Correlation
    icc: Mapping[str, Icc]
    sem_agreement: float
    sem_consistency: float
    sem_low: float
    sem_high: float
    sem_icc: float
    sdc: float
    sdc_group: float
    mean_change: float
    n: int
    n_excluded: int


def mean_squares(ratings: np.ndarray | pd.DataFrame) -> MeanSquares:
    """Return the mean squares of a table (n people × k occasions); rows with a missing value are left out.

    Raises
    ------
    StatisticsError
        With fewer than two occasions or complete rows, or an infinite value.
    """
    values = np.asarray(ratings, dtype=float)
    if values.ndim != 2 or values.shape[1] < 2 or np.isinf(values).any():
        raise StatisticsError("an intraclass correlation needs finite scores, a row a person and two columns or more")
    values = values[~np.isnan(values).any(axis=1)]
    n, k = values.shape
    if n < 2:
        raise StatisticsError(f"an intraclass correlation needs two people or more with every score; found {n}")
    centred = values - values.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - rows[:, None] - columns
    within = float(((centred - rows[:, None]) ** 2).sum()) / (n * (k - 1))
    return MeanSquares(
        k * float(rows @ rows) / (n - 1),
        within,
        n * float(columns @ columns) / (k - 1),
        float((rest**2).sum()) / ((n - 1) * (k - 1)),
        n,
        k,
    )


def intraclass_correlations(ratings: np.ndarray | pd.DataFrame, *, ci_level: float = CI_LEVEL) -> dict[str, Icc]:
    r"""Intraclass correlations of McGraw and Wong, with their intervals.

    With the mean squares of people :math:`R`, within people :math:`W`, of occasions :math:`C` and of the rest :math:`E`:

    .. math::

       \mathrm{ICC}(1,1) = \frac{R-W}{R+(k-1)W}, \quad
       \mathrm{ICC}(A,1) = \frac{R-E}{R+(k-1)E+\frac kn(C-E)}, \quad
       \mathrm{ICC}(C,1) = \frac{R-E}{R+(k-1)E}

    and ``ICC(1,k)``, ``ICC(A,k)``, ``ICC(C,k)`` of the mean of the k columns.

    Parameters
    ----------
    ratings : (n, k) array or frame
        Scores; rows with any missing value are left out.
    ci_level : float
        Confidence level.

    Raises
    ------
    StatisticsError
        See :func:`mean_squares`; or if the scores of all people are equal, or no score varies within people.

    Notes
    -----
    pingouin's ``intraclass_corr`` gives the same coefficients, but only intervals of 95 %, rounded, and no mean squares.

    References
    ----------
    .. [1] McGraw, K. O., & Wong, S. P. (1996). Psychological Methods, 1, 30-46. doi:10.1037/1082-989X.1.1.30
    .. [2] Shrout, P. E., & Fleiss, J. L. (1979). Psychological Bulletin, 86, 420-428. doi:10.1037/0033-2909.86.2.420
    """
    ms = mean_squares(ratings)
    n, k = ms.n, ms.k
    if ms.people == 0 or ms.error == 0:
        raise StatisticsError("an intraclass correlation is not defined: people do not differ, or agree perfectly")
    tail = (1 - ci_level) / 2
    out = {}
    for name, rest, df2 in (("1", ms.within, n * (k - 1)), ("C", ms.error, (n - 1) * (k - 1))):
        ratio = ms.people / rest
        low, high = ratio / f.ppf(1 - tail, n - 1, df2), ratio * f.ppf(1 - tail, df2, n - 1)
        p = float(f.sf(ratio, n - 1, df2))
        at, start, end = ((float(v) - 1) / (float(v) + k - 1) for v in (ratio, low, high))
        out[f"ICC({name},1)"] = Icc(at, start, end, ratio, n - 1, df2, p)
        at, start, end = (1 - 1 / float(v) for v in (ratio, low, high))
        out[f"ICC({name},k)"] = Icc(at, start, end, ratio, n - 1, df2, p)
    single = (ms.people - ms.error) / (ms.people + (k - 1) * ms.error + k * (ms.occasions - ms.error) / n)
    ratio, df2 = ms.people / ms.error, (n - 1) * (k - 1)
    # Satterthwaite's degrees of freedom of the error that agreement counts.
    a, b = k * single / (n * (1 - single)), 1 + k * single * (n - 1) / (n * (1 - single))
    v = (a * ms.occasions + b * ms.error) ** 2 / ((a * ms.occasions) ** 2 / (k - 1) + (b * ms.error) ** 2 / df2)
    upper, lower = float(f.ppf(1 - tail, n - 1, v)), float(f.ppf(1 - tail, v, n - 1))
    spread = k * ms.occasions + (k * n - k - n) * ms.error
    low = n * (ms.people - upper * ms.error) / (upper * spread + n * ms.people)
    high = n * (lower * ms.people - ms.error) / (spread + n * lower * ms.people)
    p = float(f.sf(ratio, n - 1, df2))
    out["ICC(A,1)"] = Icc(single, low, high, ratio, n - 1, df2, p)
    at, start, end = (k * x / (1 + (k - 1) * x) for x in (single, low, high))
    out["ICC(A,k)"] = Icc(at, start, end, ratio, n - 1, df2, p)
    return {name: out[name] for name in ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)")}


def retest(first: np.ndarray | pd.Series, second: np.ndarray | pd.Series, *, ci_level: float = CI_LEVEL) -> Retest:
    r"""Agreement of two occasions between which nobody was expected to change.

    .. math::

       SEM_{agreement} = \sqrt{\hat\sigma^2_{occasion} + MS_E}, \quad SEM_{consistency} = \sqrt{MS_E}, \quad
       SDC = z_{1-\alpha/2}\sqrt2\, SEM_{agreement}

    with :math:`\hat\sigma^2_{occasion} = \max(0, (MS_C - MS_E)/n)`.

    Parameters
    ----------
    first, second : (n,) arrays
        Scores; people without both are left out and counted.
    ci_level : float
        Confidence level, also of the smallest detectable change.

    Raises
    ------
    StatisticsError
        With fewer than 4 complete pairs, or scores that do not vary.

    References
    ----------
    .. [1] de Vet, H. C. W., Terwee, C. B., Knol, D. L., & Bouter, L. M. (2006). Journal of Clinical Epidemiology, 59, 1033-1039.
    """
    both = np.column_stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    used = ~np.isnan(both).any(axis=1)
    n = int(used.sum())
    if n < LEAST_PEOPLE:
        raise StatisticsError(f"test-retest: {n} people with both scores; at least {LEAST_PEOPLE} are needed")
    ms, icc = mean_squares(both), intraclass_correlations(both, ci_level=ci_level)
    kept = both[used]
    sem = math.sqrt(max(0.0, (ms.occasions - ms.error) / n) + ms.error)
    tail = (1 - ci_level) / 2
    low, high = (math.sqrt(ms.error * (n - 1) / float(chi2.ppf(p, n - 1))) for p in (1 - tail, tail))
    pooled = math.sqrt(float(kept.var(axis=0, ddof=1).mean()))
    sdc = float(norm.ppf(1 - tail)) * math.sqrt(2) * sem
    return Retest(
        correlation=pearson(both[:, 0], both[:, 1], ci_level=ci_level), icc=icc, sem_agreement=sem,
        sem_consistency=math.sqrt(ms.error), sem_low=low, sem_high=high,
        sem_icc=pooled * math.sqrt(max(0.0, 1 - icc["ICC(A,1)"].icc)), sdc=sdc, sdc_group=sdc / math.sqrt(n),
        mean_change=float((kept[:, 1] - kept[:, 0]).mean()), n=n, n_excluded=int((~used).sum()),
    )  # fmt: skip


def stability_estimates(
    scores: pd.DataFrame,
    settings: Sequence[Mapping[str, Any]],
    instruments: Mapping[str, Instrument],
    *,
    flow: Flow,
    waves: pd.DataFrame | None = None,
    treatments: pd.DataFrame | None = None,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    """Return test–retest correlation, ICC, SEM and SDC over each interval that the study calls stable.

    Parameters
    ----------
    scores : DataFrame
        Canonical scores.
    settings : sequence of mappings
        ``score``; ``first`` and ``second``, numbers of waves; ``reason`` why nobody is expected to change between them; optional
        ``rater`` (``self``).
    instruments : mapping
        Instrument key to its form.
    flow : Flow
        Takes the count of people who were in treatment.
    waves, treatments : DataFrame, optional
        Canonical tables. A person whose treatment starts before the second occasion, or at a time that is not known, is left
        out and counted: what changes then is not error of measurement.
    ci_level : float
        Confidence level.

    Raises
    ------
    ConfigError
        If the second occasion does not come after the first, or no reason is given.
    """
    if not settings:
        reason = "the study marks no stable interval (measures.stability): change over treatment is not error of measurement"
        return [not_testable(ANALYSIS, reason)]
    rows: list[Estimate] = []
    for setting in settings:
        name, one, two = str(setting["score"]), int(setting["first"]), int(setting["second"])
        if two <= one or not str(setting.get("reason", "")).strip():
            raise ConfigError(
                problem(
                    f"measures.stability, {name}",
                    f"found waves {one} and {two}, reason {str(setting.get('reason', ''))!r}; the second wave comes "
                    "after the first, and a reason says why nobody is expected to change between them.",
                )
            )
        direction = split_score(name, instruments)[1].estimate_direction
        pairs, treated = _pairs(scores, name, str(setting.get("rater", SELF)), one, two, waves, treatments)
        flow.add(
            f"stability, {name}: stable from wave {one} to {two}",
            len(pairs) + treated,
            len(pairs),
            "treated in between",
            unit="people",
        )
        try:
            found = retest(pairs[one].to_numpy(dtype=float), pairs[two].to_numpy(dtype=float), ci_level=ci_level)
        except StatisticsError as error:
            why = f"{error}; {treated} people were in treatment in between" if treated else str(error)
            rows.append(not_testable(ANALYSIS, f"wave {one} to wave {two}: {why}", outcome=name))
            continue
        note = f"stable by the study's word: {setting['reason']}" + ("" if treatments is not None else "; treatment not checked")
        rows += _rows(found, name, f"wave {one} to wave {two}", direction, note, ci_level)
    return rows


def _pairs(
    scores: pd.DataFrame,
    name: str,
    rater: str,
    one: int,
    two: int,
    waves: pd.DataFrame | None,
    treatments: pd.DataFrame | None,
) -> tuple[pd.DataFrame, int]:
    """Return both scores of each person who was not in treatment in between, and how many were."""
    instrument, _, scale = name.partition(".")
    mine = (scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == rater)
    rows = scores[(mine & scores["wave"].isin([one, two]) & scores["score"].notna()).fillna(False).to_numpy(dtype=bool)]
    if rows.duplicated(["person_id", "wave"]).any():
        raise StatisticsError(f"{name}: people have several scores at one wave, so retest has no single pair")
    wide = rows.pivot(index="person_id", columns="wave", values="score").reindex(columns=[one, two]).sort_index()
    if treatments is None or treatments.empty:
        return wide, 0
    start = treatments.groupby("person_id")["start_week"].agg(lambda s: -math.inf if s.isna().any() else s.min())
    end = pd.Series(math.inf, index=wide.index)
    if waves is not None:
        known = waves[(waves["wave"] == two).fillna(False).to_numpy(dtype=bool)].set_index("person_id")["weeks"]
        end = known.reindex(wide.index).astype(float).fillna(math.inf)
    treated = (start.reindex(wide.index).astype(float) < end).to_numpy(dtype=bool)
    return wide[~treated], int(treated.sum())


def _rows(found: Retest, outcome: str, group: str, direction: str, note: str, ci_level: float) -> list[Estimate]:
    base: dict[str, Any] = {
        "analysis": ANALYSIS,
        "outcome": outcome,
        "group": group,
        "ci_level": ci_level,
        "n": found.n,
        "note": note,
    }
    r = found.correlation
    rows = [
        Estimate(
            **base, estimand="test_retest", estimate=r.r, ci_low=r.ci_low, ci_high=r.ci_high, p_value=r.p_value, unit="r",
            direction="higher is better", method=r.method,
        )
    ]  # fmt: skip
    for definition, name in (("agreement", "ICC(A,1)"), ("consistency", "ICC(C,1)")):
        one = found.icc[name]
        rows.append(
            Estimate(
                **base, estimand="icc", definition=definition, primary=definition == "agreement", estimate=one.icc,
                ci_low=one.ci_low, ci_high=one.ci_high, p_value=one.p_value, unit="reliability", direction="higher is better",
                method=f"{name}, two-way, F interval",
            )
        )  # fmt: skip
    points: dict[str, Any] = {"unit": "score points"}
    rows += [
        Estimate(
            **base, **points, estimand="standard_error_of_measurement", definition="agreement", estimate=found.sem_agreement,
            direction="lower is better", method="root of occasion and error variance",
        ),
        Estimate(
            **base, **points, estimand="standard_error_of_measurement", definition="consistency", primary=False,
            estimate=found.sem_consistency, ci_low=found.sem_low, ci_high=found.sem_high, direction="lower is better",
            method="root of the error mean square, chi-square interval",
        ),
        Estimate(
            **base, **points, estimand="standard_error_of_measurement", definition="ICC", primary=False, estimate=found.sem_icc,
            direction="lower is better", method="pooled SD times the root of 1 - ICC(A,1)",
        ),
        Estimate(
            **base, **points, estimand="smallest_detectable_change", estimate=found.sdc, direction="lower is better",
            method=f"{float(norm.ppf((1 + ci_level) / 2)):.3f} times root 2 times SEM (agreement)",
        ),
        Estimate(
            **base, **points, estimand="smallest_detectable_change_of_the_mean", estimate=found.sdc_group,
            direction="lower is better", method="smallest detectable change over the root of n",
        ),
        Estimate(
            **base, **points, estimand="mean_retest_difference", estimate=found.mean_change, direction=direction,
            method="mean of differences",
        ),
    ]  # fmt: skip
    return rows
