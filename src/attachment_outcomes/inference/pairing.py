"""Are these numbers of the same people, in the same order? Series say so by their index; arrays and lists go by position."""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.errors import StatisticsError, problem


def same_people(place: str, **given: object) -> None:
    """Refuse Series that belong together but have different indexes; all else is taken by position.

    Parameters
    ----------
    place
        Who refuses, for the message.
    **given
        What belongs together, by name.

    Raises
    ------
    StatisticsError
        If two of them are Series and their indexes differ.
    """
    series = [(name, values) for name, values in given.items() if isinstance(values, pd.Series)]
    for name, values in series[1:]:
        first, other = series[0]
        if not other.index.equals(values.index):
            what = f"{first} and {name} have different indexes."
            raise StatisticsError(problem(place, what, hint="align them by person first, or give arrays in one order."))
