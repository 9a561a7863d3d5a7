"""Who recovered by which rule? Categories of many people by all rules at once, a byte each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.methods import Setting, expected_improved
from attachment_outcomes.inference.individual_change.reading import direction_of, scores_of
from attachment_outcomes.inference.individual_change.reliable import (
    PLACE,
    needs_sd,
    setting_from,
    statistic_and_code,
    usable_methods,
)
from attachment_outcomes.inference.individual_change.significance import (
    CATEGORIES,
    Cutoff,
    PersonCutoffs,
    masked,
    placed,
    ranges,
)
from attachment_outcomes.inference.individual_change.slopes import joined_slopes


@dataclass(frozen=True, slots=True, eq=False)
class ChangeCategories:
    """Categories by several rules.

    ``categories``            a row a person, a column a method: one of the five categories, missing without a score or cutoff
    ``crossed``               the same, true or false: unchanged, but from the clinical to the functional range (None without a
                              cutoff; False where there is no category)
    ``clinical_at_baseline``  a value a person, missing where unknown (None without a cutoff)
    ``setting``               what the rules used
    """

    categories: pd.DataFrame
    crossed: pd.DataFrame | None
    clinical_at_baseline: pd.Series | None
    setting: Setting

    def shares(self) -> pd.DataFrame:
        """Return a row a method: ``n`` with a category, ``n_missing``, the five shares, ``crossed`` and ``expected_improved``.

        The shares sum to 1. ``crossed`` is a part of the unchanged. ``expected_improved`` is the share, of recovered and improved
        together, that the rule would find if nobody had truly changed.
        """
        rows = []
        for name in self.categories:
            code = self.categories[name].cat.codes.to_numpy()
            counts = np.bincount(code[code >= 0], minlength=len(CATEGORIES))
            n = int(counts.sum())
            share = counts / n if n else np.full(len(CATEGORIES), np.nan)
            crossed = float(self.crossed[name].to_numpy().sum()) / n if self.crossed is not None and n else np.nan
            expected = expected_improved(str(name), self.setting)
            rows.append((name, n, len(code) - n, *share, crossed, expected))
        return pd.DataFrame(rows, columns=["method", "n", "n_missing", *CATEGORIES, "crossed", "expected_improved"])


def change_categories(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    cutoff: Cutoff | PersonCutoffs | None = None,
    higher_is_better: bool = False,
    methods: str | Sequence[str] = "all",
    setting: Setting | None = None,
    **known: Any,
) -> ChangeCategories:
    """Return each person's category by each rule.

    Parameters
    ----------
    pre, post : (n,) floats
        Score points; without both a person has no category. A Series' index becomes the rows' names.
    cutoff
        One for everybody (:func:`.significance.choose_cutoff`) or one a person (:func:`.norms.person_cutoffs`); None leaves
        improved, unchanged and deteriorated.
    higher_is_better
        Direction of the scale.
    methods
        As in :func:`.reliable.reliable_change`.
    setting
        What the rules use. By default it is made from these people and what is known.
    **known
        The further arguments of :func:`.reliable.setting_from` (``reliability``, ``sd``, ``regression``, …).

    Raises
    ------
    StatisticsError
        As :func:`.reliable.reliable_change`; and if an argument is unknown, is given beside a setting, or the cutoff is none.
    """
    better = direction_of(higher_is_better)
    _check(cutoff, setting, known)
    if setting is None:
        setting = setting_from(pre, post, sd_needed=needs_sd(methods), **known)
    else:
        setting = replace(setting, slopes=joined_slopes(setting.slopes, pre, post))
    names = usable_methods(methods, setting)
    x1, x2 = scores_of(pre, post, place=PLACE)
    index = next((x.index for x in (pre, post) if isinstance(x, pd.Series)), pd.RangeIndex(len(x1)))
    found = None if cutoff is None else ranges(x1, x2, cutoff, higher_is_better=better)
    words = pd.CategoricalDtype(CATEGORIES)
    columns, crossed = {}, {}
    for name in names:
        code, left = placed(statistic_and_code(x1, x2, name, setting, better)[1], found)
        columns[name] = pd.Categorical.from_codes(code, dtype=words, validate=False)
        crossed[name] = left
    categories = pd.DataFrame(columns, index=index, copy=False)
    if found is None:
        return ChangeCategories(categories, None, None, setting)
    clinical = pd.Series(masked(found.clinical_before, found.unknown_before), index=index)
    return ChangeCategories(categories, pd.DataFrame(crossed, index=index, copy=False), clinical, setting)


def _check(cutoff: object, setting: object, known: dict[str, Any]) -> None:
    """Refuse what is no cutoff, arguments that setting_from does not have, and arguments beside a setting."""
    if not (cutoff is None or isinstance(cutoff, Cutoff | PersonCutoffs)):
        what = f"found a cutoff of kind {type(cutoff).__name__}; allowed: a Cutoff, PersonCutoffs, or None."
        raise StatisticsError(
            problem(PLACE, what, hint="choose_cutoff('instrument', instrument=(value, inclusive), ...) makes one.")
        )
    allowed = [name for name in signature(setting_from).parameters if name not in ("pre", "post", "sd_needed")]
    for name in known:
        if name not in allowed:
            raise StatisticsError(problem(PLACE, f"no argument {name!r}.{did_you_mean(name, allowed)}"))
    if setting is not None and known:
        raise StatisticsError(
            problem(PLACE, f"found a setting and {', '.join(known)}; allowed: either.", hint="put it into the setting.")
        )
    if not (setting is None or isinstance(setting, Setting)):
        raise StatisticsError(problem(PLACE, f"found a setting of kind {type(setting).__name__}; allowed: that of setting_from."))
