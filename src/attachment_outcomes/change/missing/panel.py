"""One outcome as a matrix of people by occasions, with what else is known of everybody.

Vocabulary
----------
began        seen at the first occasion; the people whom every way of handling missing data is about
end          the last planned occasion, the same for everybody (not a person's own last score)
ended early  the treatment ended before its plan; without reasons, not seen at the last two occasions or longer
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST = 10  # people that a category, a group or a study needs to be looked at
BY_REASON = "ended early by the reason recorded"
BY_SCORES = "ended early: not seen at the last two occasions or longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """People who began, sorted by id: ``scores`` (n, t) at ``occasions``, ``covariates`` (n, k) by ``names``, therapists.

    ``ended_early`` (n,) says so of anybody, ``how_ended`` by what; ``notes`` tells what was joined or left out.
    """

    scores: Numbers
    occasions: tuple[int, ...]
    covariates: Numbers
    names: tuple[str, ...]
    clusters: pd.Series | None
    ended_early: Flags
    how_ended: str = BY_SCORES
    notes: tuple[str, ...] = ()

    @property
    def pre(self) -> Numbers:
        """Scores at the first occasion."""
        return self.scores[:, 0]

    @property
    def post(self) -> Numbers:
        """Scores at the end, NaN where missing."""
        return self.scores[:, -1]

    @property
    def missing_end(self) -> Flags:
        """Who was not seen at the end."""
        return np.isnan(self.post)
