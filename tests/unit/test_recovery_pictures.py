"""What the picture of a recovery study shows where there are many methods."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError
from attachment_outcomes.present.validation.recovery import METHOD_MARKS, draw


def results(methods: list[str]) -> pd.DataFrame:
    cells = [{"size": size, "method": method} for size in (10, 20) for method in methods]
    made = {"target": "mean", "measure": "bias", "value": 0.01, "mc_error": 0.001, "n": 100, "truth": 0.0}
    return pd.DataFrame([{**c, **made} for c in cells])[["size", "target", "method", *list(made)[1:]]]


def settings(methods: list[str]) -> dict[str, Any]:
    return {"x": "size", "title": "T", "methods": methods, "repetitions": 100, "columns": ["bias"]}


def drawn(count: int) -> Any:
    methods = [f"method {i}" for i in range(count)]
    table = pd.concat([results(methods), results(methods).assign(measure="converged", value=1.0)], ignore_index=True)
    return draw(table, settings(methods)).figure


def test_every_method_has_a_mark_of_its_own() -> None:
    assert len({marker for _, marker, _ in METHOD_MARKS}) == len(METHOD_MARKS)
    figure = drawn(len(METHOD_MARKS))
    assert len(figure.axes[0].containers) == len(METHOD_MARKS) >= 7
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [f"method {i}" for i in range(len(METHOD_MARKS))]


def test_a_method_without_a_mark_is_refused_and_not_left_out() -> None:
    with pytest.raises(ConfigError, match=f"at most {len(METHOD_MARKS)}"):
        drawn(len(METHOD_MARKS) + 1)
