"""The flow of exclusions: every row and person that leaves the data, counted, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from attachment_outcomes.errors import DataError

COLUMNS = ["step", "n_in", "n_out", "reason", "unit"]


@dataclass
class Flow:
    """Collects one line a step. Steps that exclude nothing are kept too: a zero is a finding."""

    lines: list[tuple[str, int, int, str, str]] = field(default_factory=list)

    def add(self, step: str, n_in: int, n_out: int, reason: str, *, unit: str = "rows") -> None:
        """Record that ``n_in`` units entered a step and ``n_out`` left it, and why the others did not.

        Raises
        ------
        DataError
            If more units leave than entered.
        """
        if n_out > n_in:
            raise DataError(f"flow: step {step!r} lets out {n_out} {unit} but only {n_in} came in")
        self.lines.append((step, int(n_in), int(n_out), reason, unit))

    def frame(self) -> pd.DataFrame:
        """Return the lines in the order they were recorded."""
        return pd.DataFrame(self.lines, columns=COLUMNS)
