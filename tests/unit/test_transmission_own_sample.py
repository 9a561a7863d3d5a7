"""The study's own families among samples: their kappa is that of the concordance, with its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attachment_outcomes.transmission.samples.tables import Sample, sample_results
from attachment_outcomes.transmission.table_estimates import table_estimates

FAMILIES = np.array([[[2, 0], [0, 1]], [[0, 1], [0, 1]], [[1, 0], [1, 0]], [[0, 0], [0, 2]]] * 4)
PAIRS = np.array([np.eye(4, dtype=int)[cell].reshape(2, 2) for cell in [0] * 9 + [1] * 2 + [2] * 3 + [3] * 8])


@pytest.mark.parametrize("tables", [FAMILIES, PAIRS, PAIRS[:9]], ids=["families", "pairs", "one class"])
def test_the_own_samples_kappa_is_that_of_the_concordance(tables):
    rows, _ = table_estimates(tables, outcome="AAI-SSP", way="2-way, forced")
    there = next(e for e in rows if e.estimand == "kappa")
    turned = tables[:, ::-1, ::-1]
    own = Sample("own", "This study", "own", "two", turned.sum(axis=0), families=turned)
    other = Sample("other", "Others", "other", "two", np.array([[20, 4], [5, 30]]))
    found, statistics = sample_results([own, other])
    here = next(e for e in found if e.analysis == "sample_kappa" and e.group == "This study")
    for name in ("estimate", "std_error", "ci_low", "ci_high", "p_value", "n", "n_clusters"):
        assert getattr(here, name) == pytest.approx(getattr(there, name), nan_ok=True), name
    assert (here.method, here.note) == (there.method, there.note)
    line = statistics[statistics["own"]].iloc[0]
    assert line[["kappa_ci_low", "kappa_ci_high"]].tolist() == pytest.approx([there.ci_low, there.ci_high], nan_ok=True)
    published = next(e for e in found if e.group == "Others")
    assert published.method == "Fleiss-Cohen-Everitt"
    assert math.isfinite(published.p_value)
