"""How far does a classification agree with itself, and which errors follow from that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from attachment_outcomes.errors import ConfigError, StatisticsError, problem
from attachment_outcomes.inference.agreement import Numbers, critical
from attachment_outcomes.inference.agreement import kappa as kappa_of
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.misclassification import (
    SINGULAR,
    as_errors,
    drawn_errors,
    errors_from_retest,
    margin_preserving_errors,
    retest_kappa_error,
    tells_apart,
)
from attachment_outcomes.inference.proportions import as_numbers

GIVEN = ("kappa", "table", "errors")
CODERS = "coders"
LEAST_PEOPLE = 2  # behind a kappa
PLACE = "transmission.misclassification"


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """What is known of a classification's errors: one of ``kappa``, ``table`` and ``errors``.

    Parameters
    ----------
    kappa : float, optional
        Kappa of two classifications of the same people. Errors are then taken to leave the shares of classes as they are, see
        :func:`~attachment_outcomes.inference.misclassification.margin_preserving_errors`.
    n : int, optional
        People behind ``kappa``; without it kappa is taken as known.
    table : (K, K) counts, optional
        First by second classification of the same people.
    errors : (K, K) array, optional
        Chance of each class given (columns) for each true class (rows), taken as known.
    of : {"test-retest", "coders"}
        What was compared.
    verified : bool
        Whether the numbers were checked in their source.
    """

    kappa: float | None = None
    n: int | None = None
    table: ArrayLike | None = None
    errors: ArrayLike | None = None
    of: str = "test-retest"
    verified: bool = True

    def matrices(self, margins: Numbers) -> Numbers:
        """Return the error matrix for each row of margins, (n, K) to (n, K, K).

        Raises
        ------
        StatisticsError
            If none or several of kappa, table and errors are given, or n is not a number of people; if they do not fit the classes,
            or tell no classes apart.
        """
        if sum(getattr(self, name) is not None for name in GIVEN) != 1:
            raise StatisticsError(problem("reliability", f"needs exactly one of {', '.join(GIVEN)}."))
        if self.n is not None and not (self.n >= LEAST_PEOPLE and self.n == round(self.n)):
            raise StatisticsError(problem("reliability", f"found n = {self.n:g}; allowed: a whole number from {LEAST_PEOPLE}."))
        size = margins.shape[-1]
        if self.kappa is not None:
            if 0 < self.kappa < SINGULAR**2:
                raise StatisticsError(problem("retest kappa", "is so near 0 that nothing can be corrected."))
            return margin_preserving_errors(np.full(len(margins), self.kappa), margins)
        if self.errors is not None:
            matrix = as_errors(self.errors, classes=size)
        else:
            matrix = errors_from_retest(as_numbers(self.table, place="retest table", what="counts"))
            if len(matrix) != size:
                raise StatisticsError(
                    problem("retest table", f"has {len(matrix)} classes; allowed: the {size} of the study's table.")
                )
        if not tells_apart(matrix):
            raise StatisticsError(problem("errors", "do not tell some classes apart, so nothing can be corrected."))
        return np.broadcast_to(matrix, (len(margins), size, size))

    def drawn(self, margins: Numbers, own: Numbers, *, rng: np.random.Generator) -> Numbers:
        """Return one error matrix for each row of margins, with the uncertainty of the reliability in it.

        ``own`` (K,) are the margins of the study itself, at which the error of a kappa is taken. Kappa is drawn on the logit
        scale, which keeps it between 0 and 1; of a table the people are drawn again. A draw that tells classes hardly apart has no
        matrix (NaN). Where the study has a single class, a kappa has no error and counts as known.
        """
        if self.table is not None:
            return drawn_errors(np.asarray(self.table), rng=rng, draws=len(margins))
        if self.kappa is None or self.n is None or self.kappa == 1:
            return self.matrices(margins)
        error = retest_kappa_error(self.kappa, own, self.n) / (self.kappa * (1 - self.kappa))
        if np.isnan(error):
            return self.matrices(margins)
        kappas = expit(logit(self.kappa) + error * rng.standard_normal(len(margins)))
        errors = margin_preserving_errors(np.maximum(kappas, SINGULAR**2), margins)
        errors[kappas <= SINGULAR**2] = np.nan
        return errors

    def at(self, errors: Numbers, margins: Numbers) -> Numbers:
        """Return error matrices (n, K, K) of this reliability as they would be with other shares of classes (n, K).

        Those behind a kappa change: who is misread gets any class by how common it is. Chances of error that were given stay.
        """
        if self.kappa is None:
            return errors
        share = (np.trace(errors, axis1=-2, axis2=-1) - 1)[..., None, None] / (margins.shape[-1] - 1)
        return np.asarray(share * np.eye(margins.shape[-1]) + (1 - share) * margins[..., None, :], dtype=float)

    def may_be_none(self, own: Numbers, *, ci_level: float = CI_LEVEL) -> bool:
        """Return whether a kappa from n people does not differ from 0, so that corrected values have no upper limit."""
        if self.kappa is None or self.n is None or self.kappa == 1:
            return False
        return bool(self.kappa <= critical(ci_level) * retest_kappa_error(self.kappa, own, self.n))

    @property
    def known(self) -> bool:
        """Whether the reliability is taken as known, so that its uncertainty is in no interval."""
        return self.errors is not None or (self.kappa is not None and self.n is None)

    @property
    def words(self) -> str:
        """What the reliability is, in a few words."""
        standing = "" if self.verified else ", not checked in its source"
        if self.errors is not None:
            return f"error matrix given ({self.of}){standing}"
        value = self.kappa if self.kappa is not None else kappa_of(np.asarray(self.table)).kappa
        return f"{self.of} kappa {value:.2f}{standing}"


def reliabilities(entries: Sequence[Mapping[str, Any]], *, side: str, classes: Mapping[str, int]) -> dict[str, Reliability]:
    """Return the reliability of each way that a study's settings name.

    Parameters
    ----------
    entries
        ``transmission.misclassification.parent`` or ``.child``.
    side
        ``parent`` or ``child``, for messages.
    classes
        Ways in which the side's system can be read, with the number of their classes.

    Raises
    ------
    ConfigError
        If a way is named twice or cannot be read in this system, none or several of kappa, table and errors are given, n stands
        without kappa, or a table or matrix does not fit the way's classes.
    """
    found: dict[str, Reliability] = {}
    for entry in entries:
        way = str(entry["way"])
        place = f"{PLACE}.{side}, {way}"
        given = [name for name in GIVEN if entry.get(name) is not None]
        if way in found:
            raise ConfigError(problem(place, "is there twice.", hint="give one entry a way."))
        if way not in classes:
            raise ConfigError(problem(place, f"is no way to read this system; allowed: {'; '.join(classes)}."))
        if len(given) != 1:
            what = f"found {', '.join(given) or 'nothing'}; allowed: exactly one of {', '.join(GIVEN)}."
            raise ConfigError(problem(place, what))
        if entry.get("n") is not None and given != ["kappa"]:
            raise ConfigError(problem(place, "n belongs to kappa; a table has its own and errors are taken as known."))
        value = entry[given[0]]
        if given != ["kappa"]:
            size = classes[way]
            if [len(row) for row in value] != [size] * size:
                raise ConfigError(problem(place, f"{given[0]} must have {size} rows of {size}, classes in the order of the way."))
            if given == ["errors"]:
                try:
                    as_errors(value, classes=size, place=place)
                except StatisticsError as error:
                    raise ConfigError(str(error)) from error
        found[way] = Reliability(
            **{given[0]: value}, n=entry.get("n"), of=str(entry["of"]), verified=bool(entry["verified"])
        )  # fmt: skip
    return found
