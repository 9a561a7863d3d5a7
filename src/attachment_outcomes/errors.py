"""Errors and warnings: one clear message each, naming the place, what is wrong and what to do.

Messages name files, columns and row numbers. They never contain a cell's content or a person's id, so that
personal data cannot reach a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

ROWS_SHOWN = 5  # enough to find the fault in a spreadsheet, short enough for one line


class AttachmentOutcomesError(Exception):
    """Base class: a problem the user can mend, told in one message without a traceback."""


class ConfigError(AttachmentOutcomesError):
    """A configuration file is missing, malformed or says something impossible."""


class DataError(AttachmentOutcomesError):
    """A data file breaks its contract."""


class StatisticsError(AttachmentOutcomesError, ValueError):
    """A quantity is not defined for the values given."""


class ConvergenceWarning(UserWarning):
    """An estimate did not converge or sits on the boundary of its space."""


class SmallSampleWarning(UserWarning):
    """An interval or test rests on fewer observations than its derivation assumes."""


def did_you_mean(word: object, allowed: Iterable[object]) -> str:
    """Return `` Did you mean 'x'?`` for the closest allowed word, or an empty string."""
    close = get_close_matches(str(word), [str(a) for a in allowed], n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def problem(place: str, what: str, *, hint: str = "") -> str:
    """Return one message: where, what is wrong, and a next step."""
    return f"{place}: {what}" + (f" Hint: {hint}" if hint else "")


def rows_text(rows: Sequence[int]) -> str:
    """Return ``rows 3, 7, 12 and 4 more`` (numbers as a spreadsheet shows them; never the content)."""
    shown = [str(int(r)) for r in rows[:ROWS_SHOWN]]
    more = len(rows) - len(shown)
    noun = "row" if len(rows) == 1 else "rows"
    return f"{noun} {', '.join(shown)}" + (f" and {more} more" if more else "")
