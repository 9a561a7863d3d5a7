"""Reference values made by the R scripts in ``validation/``: one way to read them and one way to compare with them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parent / "reference"
HEAD = ("script", "call", "r_version", "packages")
MOST_TOLD = 12  # of the values that are off; the rest is counted


class Reference(dict[str, Any]):
    """A part of a reference file: a dict that knows where it stands and which R call made it."""

    def __init__(self, content: Mapping[str, Any], place: str, call: str, made: str) -> None:
        self.place, self.call, self.made = place, str(content.get("call", call)), made
        super().__init__({key: _part(value, f"{place}{key}", self.call, made) for key, value in content.items()})

    def frame(self, key: str) -> pd.DataFrame:
        """Return a table stored by column; missing values are NaN."""
        return pd.DataFrame(dict(self[key]))

    def check(self, ours: Mapping[str, Any] | pd.Series, *, rel: float = 0.0, abs: float = 0.0) -> None:
        """Compare values with those of the same names here: numbers, lists, or mappings by key. A Series is a mapping.

        A number agrees if it is off by no more than the larger of ``abs`` and ``rel`` times the reference. A missing value agrees
        with a missing value only. Lists must have equal lengths, mappings equal keys.
        """
        assert len(ours), "nothing to compare"
        off: list[str] = []
        for key, value in ours.items():
            name = str(key)
            if name not in self:
                pytest.fail(f"{self.place}{name}: the reference has no such value", pytrace=False)
            off += _differences(value, self[name], f"{self.place}{name}", rel, abs)
        if off:
            more = [f"... and {len(off) - MOST_TOLD} more"] if len(off) > MOST_TOLD else []
            pytest.fail("\n".join([*off[:MOST_TOLD], *more, f"  R: {self.call}", f"  made by {self.made}"]), pytrace=False)


def load_reference(name: str) -> Reference:
    """Return ``tests/reference/NAME.json``."""
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{package} {version}" for package, version in content["packages"].items())
    return Reference(content, f"{name}.json: ", content["call"], f"{content['script']} ({content['r_version']}; {versions})")


def _part(value: Any, place: str, call: str, made: str) -> Any:
    if isinstance(value, dict):
        return Reference(value, f"{place}.", call, made)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [Reference(v, f"{place}[{i}].", call, made) for i, v in enumerate(value)]
    return value


def _differences(ours: Any, theirs: Any, place: str, rel: float, absolute: float) -> Iterator[str]:
    if isinstance(theirs, Mapping):
        mine = dict(ours)
        if set(mine) != set(theirs):
            yield f"{place}: ours has {sorted(mine)}, the reference {sorted(theirs)}"
        for key in theirs:
            if key in mine:
                yield from _differences(mine[key], theirs[key], f"{place}[{key!r}]", rel, absolute)
        return
    # R writes a vector of one value as a number.
    one, two = (np.squeeze(np.asarray(v, dtype=float)) for v in (ours, theirs))
    if one.shape != two.shape:
        yield f"{place}: ours has shape {one.shape}, the reference {two.shape}"
        return
    for at in np.ndindex(two.shape):
        a, b = float(one[at]), float(two[at])
        allowed = max(absolute, rel * math.fabs(b))
        if not (math.fabs(a - b) <= allowed or a == b or (math.isnan(a) and math.isnan(b))):
            where = "".join(f"[{i}]" for i in at)
            share = f", relative {(a - b) / b:.2g}" if b else ""
            yield f"{place}{where}: ours {a:.12g}, reference {b:.12g}, difference {a - b:.3g}{share}, allowed {allowed:.2g}"
