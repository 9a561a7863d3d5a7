"""Adjusted p values against R's p.adjust."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.multiplicity import METHODS, adjust_families, adjust_p_values

R_DIGITS = 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_p_values_agree_with_r(method):
    case = load_reference("inference_reference")["multiplicity"]
    case["adjusted"].check({method: adjust_p_values(np.array(case["p"], dtype=float), method=method)}, rel=R_DIGITS)


def test_holm_by_hand():
    # .01 * 3, then .02 * 2, then .04 * 1 which may not be smaller than the one before.
    assert adjust_p_values([0.04, 0.01, 0.02]).tolist() == pytest.approx([0.04, 0.03, 0.04])


def test_each_family_is_adjusted_by_itself():
    frame = pd.DataFrame(
        {"outcome": list("aaabb"), "p_value": [0.01, 0.02, np.nan, 0.01, 0.04], "kept": range(5)}, index=[7, 3, 9, 1, 0]
    )
    found = adjust_families(frame, family=["outcome"], method="bonferroni")
    np.testing.assert_allclose(found["p_adjusted"], [0.02, 0.04, np.nan, 0.02, 0.08])
    assert found["family_size"].tolist() == [2, 2, 2, 2, 2]
    assert found.index.tolist() == [7, 3, 9, 1, 0]
    assert found["kept"].tolist() == [0, 1, 2, 3, 4]
    assert "p_adjusted" not in frame.columns
    whole = adjust_families(frame, method="bonferroni", into="p_all", size="tests")
    np.testing.assert_allclose(whole["p_all"], [0.04, 0.08, np.nan, 0.04, 0.16])
    assert whole["tests"].tolist() == [4] * 5


def test_rows_without_a_family_are_one_together():
    frame = pd.DataFrame({"outcome": ["a", None, None], "p": [0.01, 0.02, 0.03]})
    found = adjust_families(frame, family=["outcome"], p_value="p", method="bonferroni")
    assert found["p_adjusted"].tolist() == pytest.approx([0.01, 0.04, 0.06])


def test_nothing_to_adjust_stays_nothing():
    assert np.isnan(adjust_p_values([np.nan, np.nan])).all()
    assert adjust_p_values([]).shape == (0,)
    empty = adjust_families(pd.DataFrame({"p_value": pd.Series([], dtype=float), "f": []}), family=["f"])
    assert list(empty.columns) == ["p_value", "f", "p_adjusted", "family_size"]


def test_bad_input_is_refused():
    frame = pd.DataFrame({"p_value": [0.1], "outcome": ["a"]})
    with pytest.raises(StatisticsError, match="Did you mean 'hochberg'"):
        adjust_p_values([0.1], method="hochber")
    with pytest.raises(StatisticsError, match="from 0 to 1"):
        adjust_p_values([1.2])
    with pytest.raises(StatisticsError, match="from 0 to 1"):
        adjust_p_values([[0.1]])
    with pytest.raises(StatisticsError, match="Did you mean 'outcome'"):
        adjust_families(frame, family=["outcom"])
    with pytest.raises(StatisticsError, match="there already"):
        adjust_families(frame, into="outcome")


def test_words_for_p_values_are_refused_without_telling_them():
    for call in (lambda p: adjust_p_values(p), lambda p: adjust_families(pd.DataFrame({"p_value": p}))):
        with pytest.raises(StatisticsError, match="p values are not numbers") as told:
            call(["0.1", "Anna Smith"])
        assert "Anna" not in str(told.value)
