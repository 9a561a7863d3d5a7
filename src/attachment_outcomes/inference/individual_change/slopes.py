r"""How fast did each person change, by all their occasions? Slopes from a growth model, for the HLM rules.

.. math:: y_{ij} = \beta_0 + b_{0i} + (\beta_1 + b_{1i})\, t_{ij} + e_{ij}

Vocabulary
----------
slope      a person's own, :math:`\hat\beta_1 + \hat b_{1i}`: per unit of time, shrunken towards the average
deviation  :math:`\hat b_{1i}`, the slope less the average one. It says who changed more than others. Where all improve alike,
           nobody deviates; where nobody improves on average, slope and deviation are the same
joint      a standard error that holds the uncertainty of the average slope and of the deviation, and what they share
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.methods import PersonSlopes
from attachment_outcomes.inference.individual_change.reading import numbers_of
from attachment_outcomes.inference.mixed.model import RESIDUAL, mixed_model

PLACE = "person slopes"
FEWEST = 3  # occasions: through two points every line fits, and its error cannot be told
ALIKE = 1e-6  # of the residual variance, times in SDs: slopes that vary no more are all one
FAR = 1e3  # times the spread of the times: there the error of a prediction is all slope
COLUMNS = ["person_id", "n", "slope", "std_error", "deviation", "deviation_std_error"]


def person_slopes(rows: pd.DataFrame, *, person: str = "person_id", time: str = "time", value: str = "value") -> pd.DataFrame:
    r"""Return each person's slope and its deviation from the average one, with standard errors.

    Parameters
    ----------
    rows
        A row a person and occasion: who, when (any unit) and the score. Rows without a time or a score are left out.
    person, time, value
        Their columns.

    Returns
    -------
    DataFrame
        ``person_id``, ``n`` (occasions), ``slope`` and ``deviation`` (score points per unit of time) with ``std_error`` (joint)
        and ``deviation_std_error`` (the model's conditional one, fixed effects and variances taken as known). People seen less
        than three times stay in the model, but have no slope of their own; and nobody has, where the data do not tell people's
        slopes apart: the fit is singular, or the slopes' variance (times in SDs) is at most a millionth of the residual one.

    Raises
    ------
    StatisticsError
        If a column is absent, a score or a time is not a number, somebody has two scores at one time, nobody has three
        occasions, or the model cannot be fitted.

    Warns
    -----
    ConvergenceWarning
        If the model's search did not end at an optimum, or at its boundary.

    Notes
    -----
    The joint variance is Henderson's, :math:`\operatorname{Var}(\hat\beta_1 + \hat b_{1i} - \beta_1 - b_{1i})`. The sum of the
    two variances, which ``fixed + random`` standard errors are often made of, leaves out that they are correlated, and is too
    large. Slopes are linear: somebody who improves early and then stays has less of a slope than somebody who improves steadily.

    References
    ----------
    Speer, D. C., & Greenbaum, P. E. (1995). JCCP, 63, 1044-1048. Henderson, C. R. (1975). Biometrics, 31, 423-447.
    """
    for column in (person, time, value):
        if column not in rows.columns:
            raise StatisticsError(problem(PLACE, f"no column {column!r}.{did_you_mean(column, rows.columns)}"))
    when, score = (numbers_of(rows[c].reset_index(drop=True), place=PLACE, what=c) for c in (time, value))
    seen = pd.DataFrame({"who": rows[person].to_numpy(), "when": when, "score": score}).dropna()
    twice = int(seen.duplicated(["who", "when"]).sum())
    if twice:
        raise StatisticsError(problem(PLACE, f"{twice} rows are a second score of a person at one time.", hint="one a time."))
    seen = seen.sort_values(["who", "when"], kind="stable", ignore_index=True)
    n = seen.groupby("who", sort=True).size()
    if not (n >= FEWEST).any():
        what = f"nobody of {len(n)} people has {FEWEST} occasions with a score."
        raise StatisticsError(problem(PLACE, what, hint="with two occasions use a rule for scores before and after, such as JT."))
    centre, spread = float(seen["when"].mean()), float(seen["when"].std())
    seen["when"] = (seen["when"] - centre) / spread
    fit = mixed_model("score ~ when", seen, groups="who", slopes=["when"])
    average = float(fit.estimates.set_index("term")["estimate"]["when"])
    modes = fit.modes()
    modes = modes[modes["term"] == "when"].set_index("who").reindex(n.index)
    variance = _slope_variance(fit.predict, n.index)
    alike = fit.singular or not fit.variances["when"] > ALIKE * fit.variances[RESIDUAL]
    unknown = ((n < FEWEST) | alike).to_numpy()
    found = {
        "slope": average + modes["estimate"].to_numpy(), "std_error": np.sqrt(variance),
        "deviation": modes["estimate"].to_numpy(), "deviation_std_error": modes["std_error"].to_numpy(),
    }  # fmt: skip
    table = {name: np.where(unknown, np.nan, x / spread) for name, x in found.items()}
    return pd.DataFrame({"person_id": n.index.to_numpy(), "n": n.to_numpy(dtype=np.int64), **table})[COLUMNS]


def _slope_variance(predict: Callable[..., pd.DataFrame], people: pd.Index) -> np.ndarray:
    """Return the joint variance of each person's slope, from that of predictions far to either side and in the middle.

    A prediction at t has the variance :math:`v_{00} + 2 t v_{01} + t^2 v_{11}`; the second difference leaves :math:`v_{11}`.
    """
    k = len(people)
    new = pd.DataFrame({"who": np.tile(people.to_numpy(), 3), "when": np.repeat([-FAR, 0.0, FAR], k)})
    square = predict(new, known=True)["std_error"].to_numpy().reshape(3, k) ** 2
    return np.asarray((square[0] + square[2] - 2 * square[1]) / (2 * FAR**2))


def slopes_for(people: pd.Index | pd.Series, table: pd.DataFrame) -> PersonSlopes:
    """Return the slopes of :func:`person_slopes` in the order of these people; who has none gets NaN.

    Raises
    ------
    StatisticsError
        If the table is not one of :func:`person_slopes`, or has a person twice.
    """
    absent = [c for c in COLUMNS if c != "n" and c not in table.columns]
    if absent:
        raise StatisticsError(problem("slopes", f"the table has no column {absent[0]!r}.", hint="give that of person_slopes."))
    if table["person_id"].duplicated().any():
        raise StatisticsError(problem(PLACE, "somebody has two slopes.", hint="give the table that person_slopes returns."))
    found = table.set_index("person_id").reindex(pd.Index(people))
    columns = {c: found[c].to_numpy(dtype=float) for c in COLUMNS[2:]}
    return PersonSlopes(**columns)


def joined_slopes(slopes: PersonSlopes | pd.DataFrame | None, pre: ArrayLike, post: ArrayLike) -> PersonSlopes | None:
    """Return the slopes in the order of the scores: a table is joined on the ids in the scores' index.

    Raises
    ------
    StatisticsError
        If a table cannot be joined, as the scores have no ids or nobody is in both, or there are not as many slopes as scores.
    """
    if slopes is None:
        return None
    if isinstance(slopes, pd.DataFrame):
        index = next((x.index for x in (pre, post) if isinstance(x, pd.Series)), None)
        # An unnamed index of whole numbers counts rows: joined on, it would give people each other's slopes.
        if index is None or (index.name is None and pd.api.types.is_integer_dtype(index.dtype)):
            what = "a table of slopes is joined on the person, but the scores' index holds no ids."
            hint = "give slopes_for(ids, table), ids in the order of the scores, or scores as Series with person_id as index."
            raise StatisticsError(problem("slopes", what, hint=hint))
        found = slopes_for(index, slopes)
        if len(index) and not index.isin(slopes["person_id"]).any():
            what = f"nobody of {len(index)} people with scores is in the table of slopes."
            raise StatisticsError(problem("slopes", what, hint="are the ids of one kind, numbers or text, in both?"))
        return found
    if not isinstance(slopes, PersonSlopes):
        what = f"found a {type(slopes).__name__}; allowed: the table of person_slopes, or what slopes_for returns."
        raise StatisticsError(problem("slopes", what))
    if len(slopes.slope) != np.size(pre):
        what = f"{len(slopes.slope)} slopes for {np.size(pre)} people."
        raise StatisticsError(problem("slopes", what, hint="one a person, in order: slopes_for(ids, person_slopes(...))."))
    return slopes
