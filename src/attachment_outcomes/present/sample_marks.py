"""What the figures of samples share: which measure is shown, and how its values are placed and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.present.words import estimate_text, interval_text

AXES = {
    "kappa": "kappa (0 = chance, 1 = all agree)",
    "phi": "phi (0 = chance)",
    "agreement": "pairs that correspond (%)",
    "odds_ratio": "odds ratio of insecurity (1 = chance)",
    "stays_secure": "secure later, of those secure first (%)",
    "becomes_secure": "secure later, of those insecure first (%)",
    "secure_given_secure": "children secure, of secure parents (%)",
    "secure_given_insecure": "children secure, of insecure parents (%)",
}
SCALES = {"proportion": "log odds", "phi": "Fisher's z", "kappa": "kappa", "odds ratio": "log odds ratio"}


@dataclass(frozen=True)
class Shown:
    """The measure of one system that a figure shows."""

    system: str
    measure: str
    unit: str

    @property
    def logarithmic(self) -> bool:
        """Whether its axis is logarithmic."""
        return self.unit == "odds ratio"

    @property
    def nothing(self) -> float | None:
        """Return the value at which rows and columns have nothing to do with each other, if there is one."""
        return {"kappa": 0.0, "phi": 0.0, "odds ratio": 1.0}.get(self.unit)

    @property
    def scale(self) -> str:
        """Return the scale on which it is pooled."""
        return SCALES.get(self.unit, self.unit)


def chosen(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the primary measure."""
    return effects[effects["primary"].astype(bool)]


def flagged(effects: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """Return the effects with ``differs``: whether the sample's stated kappa is not that of its counts."""
    wrong = statistics.loc[statistics["differs"].fillna(False).astype(bool), ["system", "sample_id"]].astype(str)
    pairs = set(map(tuple, wrong.to_numpy()))
    keys = zip(effects["system"].astype(str), effects["sample_id"].astype(str), strict=True)
    return effects.assign(differs=[key in pairs for key in keys], own=effects["own"].astype(bool))


def on_axis(value: Any, shown: Shown) -> Any:
    """Return a value as it is placed: shares in per cent."""
    return np.asarray(value, dtype=float) * (100.0 if shown.unit == "proportion" else 1.0)


def axis_label(shown: Shown) -> str:
    """Return the label of the axis with its unit."""
    return AXES.get(shown.measure, shown.measure)


def value_words(value: float, shown: Shown) -> str:
    """Return a value as printed."""
    return estimate_text(value, shown.unit)


def interval_words(low: float, high: float, shown: Shown) -> str:
    """Return an interval as printed."""
    return interval_text(low, high, shown.unit)
