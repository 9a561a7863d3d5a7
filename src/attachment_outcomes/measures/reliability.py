"""How consistent are the items of a scale, and how far may a score lie from the true one?

pingouin's ``cronbach_alpha`` gives the same coefficient, but rounds its interval to three digits and, with unanswered items,
takes the degrees of freedom from the number of people before it drops the incomplete ones; tests compare with it on complete
answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import f

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.measures.instruments import Instrument
from attachment_outcomes.measures.occasions import group_name
from attachment_outcomes.measures.scoring import ItemMatrix, keyed_answers, score_keyed

ANALYSIS = "reliability"
METHOD = "Cronbach's alpha, complete answers, F interval of Feldt"
SEM_METHOD = "SD of complete scores times the square root of 1 - alpha"
MIN_PEOPLE = 3  # below it the F interval has fewer than two numerator degrees of freedom


@dataclass(frozen=True)
class Alpha:
    """Cronbach's alpha with its interval; ``n`` questionnaires with every one of the ``k`` items answered."""

    alpha: float
    ci_low: float
    ci_high: float
    n: int
    k: int


def cronbach_alpha(answers: np.ndarray | pd.DataFrame, *, ci_level: float = 0.95) -> Alpha:
    r"""Cronbach's alpha of keyed answers.

    .. math:: \alpha = \frac{k}{k-1} \left(1 - \frac{\sum_i s_i^2}{s_T^2}\right)

    with item variances :math:`s_i^2` and the variance :math:`s_T^2` of their sum. The interval is
    :math:`1 - (1 - \alpha) F`, with F the quantiles of the F distribution on n - 1 and (n - 1)(k - 1) degrees of freedom.

    Parameters
    ----------
    answers : (n, k) array or frame
        Answers after reversal; rows with any NaN are left out and ``n`` counts the others.
    ci_level : float
        Confidence level.

    Raises
    ------
    StatisticsError
        With fewer than two items or three complete rows, or if the sum does not vary.

    References
    ----------
    .. [1] Cronbach, L. J. (1951). Psychometrika, 16, 297-334.
    .. [2] Feldt, L. S., Woodruff, D. J., & Salih, F. A. (1987). Applied Psychological Measurement, 11, 93-103.
    """
    values = np.asarray(answers, dtype=float)
    complete = values[~np.isnan(values).any(axis=1)]
    n, k = complete.shape
    if k < 2:
        raise StatisticsError("Cronbach's alpha needs two items or more")
    if n < MIN_PEOPLE:
        raise StatisticsError(f"Cronbach's alpha: {n} complete questionnaires; at least {MIN_PEOPLE} are needed")
    total = complete.sum(axis=1).var(ddof=1)
    if total == 0:
        raise StatisticsError("Cronbach's alpha is not defined: the sum of the items does not vary")
    alpha = k / (k - 1) * (1 - complete.var(axis=0, ddof=1).sum() / total)
    tail = (1 - ci_level) / 2
    low, high = 1 - (1 - alpha) * f.ppf([1 - tail, tail], n - 1, (n - 1) * (k - 1))
    return Alpha(float(alpha), float(low), float(high), n, k)


def standard_error_of_measurement(sd: float, reliability: float) -> float:
    r"""Return :math:`SD \sqrt{1 - r}` in score points.

    Raises
    ------
    StatisticsError
        If the SD is negative or the reliability is not between 0 and 1.
    """
    if not sd >= 0 or not 0 <= reliability <= 1:
        raise StatisticsError("the standard error of measurement needs an SD of 0 or more and a reliability between 0 and 1")
    return sd * math.sqrt(1 - reliability)


def reliability_estimates(
    matrices: Mapping[str, ItemMatrix], instruments: Mapping[str, Instrument], *, ci_level: float = 0.95
) -> list[Estimate]:
    """Return alpha and the standard error of measurement of every scale made from two items or more.

    Where there are several occasions they are those of the first occasion of each rater, which ``group`` names: later ones
    rest on the same people. Weighted sums and imported scores have no alpha.

    Parameters
    ----------
    matrices : mapping
        Instrument key to its answers.
    instruments : mapping
        Instrument key to its form.
    ci_level : float
        Confidence level.
    """
    rows: list[Estimate] = []
    for part in keyed_scales(matrices, instruments, least_items=2):
        rows += _one_scale(part, ci_level)
    return rows or [not_testable(ANALYSIS, "no item answers: the scores were imported, so no reliability can be estimated")]


@dataclass(frozen=True)
class KeyedScale:
    """The keyed answers (n × k) to one scale at one occasion, and whose they are."""

    form: Instrument
    name: str
    group: str
    keyed: np.ndarray
    people: pd.Series

    @property
    def outcome(self) -> str:
        """The score's name."""
        return f"{self.form.key}.{self.name}"


def keyed_scales(
    matrices: Mapping[str, ItemMatrix], instruments: Mapping[str, Instrument], *, least_items: int
) -> Iterator[KeyedScale]:
    """Yield the keyed answers of every unweighted scale with enough items, at the first occasion of each rater."""
    for key, matrix in matrices.items():
        form = instruments[key]
        for name, scale in form.scales.items():
            items = form.items_of(name)
            if len(items) < least_items or scale.weights or not set(items) <= set(matrix.items):
                continue
            parts = [form.scales[p] for p in scale.parts] or [scale]
            for group, chosen in _first_occasions(matrix.respondents):
                keyed = np.hstack([keyed_answers(matrix.columns(p.items)[chosen], p, form) for p in parts])
                yield KeyedScale(form, name, group, keyed, matrix.respondents.loc[chosen, "person_id"].reset_index(drop=True))


def _first_occasions(respondents: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Return the name and the rows of the first occasion of each rater."""
    found = []
    for rater, frame in respondents.groupby("rater", sort=True):
        first = frame.sort_values(["wave", "session_number"], na_position="last", kind="stable").iloc[0]
        wave, session = first["wave"], first["session_number"]
        chosen = (respondents["rater"] == rater).to_numpy()
        for column, value in (("wave", wave), ("session_number", session)):
            same = respondents[column].isna() if pd.isna(value) else respondents[column].eq(value).fillna(False)
            chosen = chosen & same.to_numpy(dtype=bool)
        found.append((group_name(wave, session, str(rater)), chosen))
    return found


def _one_scale(part: KeyedScale, ci_level: float) -> list[Estimate]:
    keyed, group, outcome = part.keyed, part.group, part.outcome
    try:
        found = cronbach_alpha(keyed, ci_level=ci_level)
    except StatisticsError as error:
        return [not_testable(ANALYSIS, f"{group}: {error}" if group else str(error), outcome=outcome)]
    complete = ~np.isnan(keyed).any(axis=1)
    people = part.people[complete].nunique()
    note = f"{found.k} items" + (f"; {found.n} questionnaires of {people} people, taken as independent" if people < found.n else "")
    rows = [
        Estimate(
            analysis=ANALYSIS, estimand="cronbach_alpha", estimate=found.alpha, method=METHOD, outcome=outcome, group=group,
            ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level, n=found.n, n_clusters=people, unit="alpha",
            direction="higher is better", note=note,
        )
    ]  # fmt: skip
    if found.alpha >= 0:
        # Complete rows of parts are those of the whole, so the score of a part is made by its own rule and then added.
        points = _complete_scores(keyed[complete], part.form, part.name)
        sem = standard_error_of_measurement(float(points.std(ddof=1)), found.alpha)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand="standard_error_of_measurement", estimate=sem, method=SEM_METHOD, outcome=outcome,
                group=group, ci_level=ci_level, n=found.n, n_clusters=people, unit="score points", direction="lower is better",
                note=note,
            )
        )  # fmt: skip
    return rows


def _complete_scores(keyed: np.ndarray, form: Instrument, name: str) -> np.ndarray:
    scale = form.scales[name]
    if not scale.parts:
        return score_keyed(keyed, scale).score
    points, start = np.zeros(len(keyed)), 0
    for part in scale.parts:
        width = len(form.scales[part].items)
        points += score_keyed(keyed[:, start : start + width], form.scales[part]).score
        start += width
    return points * scale.multiply
