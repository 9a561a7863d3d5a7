"""Which random effects do the data allow? A growth model with as many as they do, and in words what was left out and why.

Vocabulary
----------
structure   which slopes differ: between people, between therapists
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.mixed.likelihood_ratio import LikelihoodRatio, compare
from attachment_outcomes.inference.mixed.model import MixedFit, mixed_model
from attachment_outcomes.inference.mixed.moments import Moments
from attachment_outcomes.inference.mixed.reading import moments_of

PERSON, THERAPIST = "person_id", "therapist_id"
# A slope whose estimate sits on the boundary is kept if the data speak for it at this level: Matuschek, H., et al. (2017), J. Mem.
# Lang., 94, 305-315, who find .20 the best balance of error rates and power.
KEEP_LEVEL = 0.20
# Of the deviance. A search that goes towards a variance of zero may end a few millionths short of the model without that variance.
SEARCH_ENDS = 1e-3
FEWEST_FOR_SLOPES = 5  # therapists: below, a variance of slopes and its covariance with the levels cannot be told


@dataclass(frozen=True, slots=True)
class Structure:
    """Random effects: whether people's slopes differ; whether there is a therapist level, and whether its slopes differ."""

    person_slope: bool
    therapists: bool = False
    therapist_slope: bool = False

    @property
    def told(self) -> str:
        """The random effects in words."""
        person = f"random intercept{' and slope' if self.person_slope else ''} by person"
        therapist = f" and {'intercept and slope' if self.therapist_slope else 'intercept'} by therapist"
        return person + therapist if self.therapists else person

    def smaller(self) -> Structure | None:
        """Return the structure with one slope less, therapists' first, or None if there is none to leave out."""
        if self.therapist_slope:
            return Structure(self.person_slope, self.therapists)
        return Structure(False, self.therapists) if self.person_slope else None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model, its random effects, what was left out of them and why, and the moments it was fitted to."""

    fit: MixedFit
    structure: Structure
    notes: list[str]
    moments: Moments = field(repr=False)

    def by_maximum_likelihood(self) -> MixedFit:
        """Return the same model by maximum likelihood, whose likelihoods compare fixed effects."""
        return _fit(self.moments, reml=False, ci_level=self.fit.ci_level)


def fit_course(
    rows: pd.DataFrame, columns: Sequence[str], *, slope: str, structure: Structure, ci_level: float = CI_LEVEL
) -> Fitted:
    """Fit a growth model, leaving out random slopes that the data do not allow.

    Parameters
    ----------
    rows
        ``person_id, value``, the columns, and ``therapist_id`` (never missing) if there is a therapist level.
    columns
        Fixed effects beside the level.
    slope
        The column with random slopes.
    structure
        The largest one. A slope is left out, therapists' before people's, if the model with it cannot be fitted, its search
        does not end, or it is singular and the model without it fits as well (likelihood ratio, p > .20).
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If not even random intercepts can be fitted.
    """
    notes: list[str] = []
    while True:
        less = structure.smaller()
        try:
            found = _fitted(rows, columns, slope, structure, ci_level)
        except StatisticsError as error:
            if less is None:
                raise
            notes.append(f"{_dropped(structure)} left out: {str(error).rstrip('.')}")
            structure = less
            continue
        if less is None or (found.fit.converged and not found.fit.singular):
            return Fitted(found.fit, structure, notes, found.moments)
        without = _fitted(rows, columns, slope, less, ci_level)
        p = _gain(without.fit, found.fit) if found.fit.converged else np.nan
        if p <= KEEP_LEVEL:
            return Fitted(found.fit, structure, notes, found.moments)
        told = f"singular fit, and the model without fits as well (p = {p:.2f})"
        notes.append(f"{_dropped(structure)} left out: {'the search did not end at an optimum' if np.isnan(p) else told}")
        structure = less
        if structure.smaller() is None or (without.fit.converged and not without.fit.singular):
            return Fitted(without.fit, structure, notes, without.moments)


def _gain(smaller: MixedFit, larger: MixedFit) -> float:
    """Return the p value of the larger model's gain; NaN if it fits worse, so that its search did not end at an optimum."""
    try:
        return likelihood_ratio(smaller, larger).p_boundary
    except StatisticsError:
        return np.nan


def likelihood_ratio(smaller: MixedFit, larger: MixedFit) -> LikelihoodRatio:
    """Return the test of a larger model, taking a likelihood that is short by no more than a search may be as no gain.

    Raises
    ------
    StatisticsError
        If the larger model fits worse by more than that.
    """
    short = 2 * (smaller.loglik - larger.loglik)
    if not 0 < short <= SEARCH_ENDS:
        return compare(smaller, larger)
    df = larger.df - smaller.df
    note = "no gain: a variance near zero"
    return LikelihoodRatio(statistic=0.0, df=df, p_value=1.0, p_boundary=1.0 if df > 1 else 0.5, note=note)


def _dropped(structure: Structure) -> str:
    return f"random slope by {'therapist' if structure.therapist_slope else 'person'}"


def _fitted(rows: pd.DataFrame, columns: Sequence[str], slope: str, structure: Structure, ci_level: float) -> Fitted:
    groups = (PERSON, THERAPIST) if structure.therapists else (PERSON,)
    slopes = {PERSON: [slope] if structure.person_slope else []}
    if structure.therapists:
        slopes[THERAPIST] = [slope] if structure.therapist_slope else []
    formula = " + ".join(["value ~ 1", *columns])
    moments = moments_of(formula, rows, groups=groups, slopes=slopes)
    return Fitted(_fit(moments, reml=True, ci_level=ci_level), structure, [], moments)


def _fit(moments: Moments, *, reml: bool, ci_level: float) -> MixedFit:
    recipe = moments.recipe
    slopes = dict(zip(recipe.groups, recipe.slopes, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its text is the fit's note, which every row carries
        return mixed_model(recipe.formula, moments, groups=recipe.groups, slopes=slopes, reml=reml, ci_level=ci_level)


def without_therapists(found: Fitted, rows: pd.DataFrame, columns: Sequence[str], *, slope: str) -> Fitted:
    """Return the model without the therapist level."""
    return _fitted(rows, columns, slope, Structure(found.structure.person_slope), found.fit.ci_level)


def with_therapist_intercepts(found: Fitted, rows: pd.DataFrame, columns: Sequence[str], *, slope: str) -> Fitted:
    """Return the model in which therapists differ in level only."""
    return _fitted(rows, columns, slope, Structure(found.structure.person_slope, therapists=True), found.fit.ci_level)


def label_therapists(people: pd.Series, therapists: pd.Series | None) -> tuple[pd.Series | None, int, int]:
    """Return each row's therapist, how many people's is unknown, and how many therapists are known.

    A person whose therapist is unknown is taken as the only client of another one. None where there is no therapist level: fewer
    than two known, or none of them with two clients.
    """
    if therapists is None:
        return None, 0, 0
    known = therapists.reindex(people.to_numpy()).reset_index(drop=True)
    frame = pd.DataFrame({"person": people.to_numpy(), "therapist": known.to_numpy()})
    first = frame.drop_duplicates("person")
    clients = first["therapist"].value_counts()
    unknown = int(first["therapist"].isna().sum())
    if len(clients) < 2 or clients.max() < 2:
        return None, unknown, len(clients)
    names = pd.Series(np.where(known.isna(), "unknown, client " + frame["person"].astype(str), "known " + known.astype(str)))
    return names.set_axis(people.index), unknown, len(clients)
