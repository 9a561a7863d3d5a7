"""Agreement of coders against psych, lme4 and vcd, by hand, and where it cannot be told."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.rupture.observer import coder_icc, coder_kappa

R = load_reference("observer")
CLIENT = np.array(R["client"]) - 1
K = 3


def long(table, keep=None):
    """Return a table (targets x coders) as values, targets, coders and clients."""
    rows, columns = np.nonzero(np.ones_like(table, dtype=bool) if keep is None else keep)
    return table[rows, columns], rows, columns, CLIENT[rows]


@pytest.mark.parametrize("what", ["counts", "ratings"])
def test_icc_of_crossed_coders_is_that_of_psych(what):
    found = coder_icc(*long(np.array(R[what], dtype=float)))
    assert set(found) == {"agreement", "consistency"}
    for name, icc in found.items():
        R["icc"][what].check({f"{name}_single": icc.single.estimate, f"{name}_average": icc.average.estimate}, rel=1e-10)
        ours = {"std_error": icc.single.std_error, "ci_low": icc.single.ci_low, "ci_high": icc.single.ci_high}
        R["interval"][what][name].check(ours, rel=1e-9)
        assert (icc.k, icc.n_targets, icc.n_coders, icc.n_clusters) == (3, 48, 3, 16)
        # The mean of three coders, Spearman-Brown, limits too.
        for end in ("ci_low", "ci_high"):
            single = getattr(icc.single, end)
            assert getattr(icc.average, end) == pytest.approx(3 * single / (1 + 2 * single))


def test_icc_of_coders_who_differ_from_session_to_session_is_one_way():
    ratings, coded = np.array(R["ratings"], dtype=float), np.array(R["coded"])
    assert set(coded.sum(axis=1)) == {2, 3}
    found = coder_icc(*long(ratings, coded))
    assert set(found) == {"one-way"}
    one = found["one-way"]
    ours = {"icc": one.single.estimate, "k0": one.k, "std_error": one.single.std_error}
    R["one_way"].check({**ours, "ci_low": one.single.ci_low, "ci_high": one.single.ci_high}, rel=1e-9)


def test_one_way_icc_is_the_reml_estimate_and_psychs_where_everybody_coded_everything():
    # Coders under other numbers in each session: nobody can tell their means apart.
    ratings = np.array(R["ratings"], dtype=float)
    values, targets, coders, clients = long(ratings)
    found = coder_icc(values, targets, coders + 3 * targets, clients)["one-way"]
    assert found.single.estimate == pytest.approx(R["reml"]["icc"], rel=1e-6)
    assert found.single.estimate == pytest.approx(R["icc"]["ratings"]["one_single"], rel=1e-10)
    assert found.average.estimate == pytest.approx(R["icc"]["ratings"]["one_average"], rel=1e-10)


def test_columns_of_a_table_do_as_arrays_do():
    table = pd.DataFrame(dict(zip(("value", "target", "coder", "client"), long(np.array(R["ratings"], dtype=float)), strict=True)))
    table.index += 1000
    columns = [table[c] for c in table]
    assert coder_icc(*columns) == coder_icc(*(c.to_numpy() for c in columns))
    seen = [table["value"] > table["value"].median(), *columns[1:]]
    assert coder_kappa(*seen) == coder_kappa(*(c.to_numpy() for c in seen))


def test_intervals_are_of_the_level_asked_for():
    values, targets, coders, clients = long(np.array(R["ratings"], dtype=float))
    wide, narrow = (coder_icc(values, targets, coders, clients, ci_level=level)["agreement"].single for level in (0.99, 0.8))
    assert wide.ci_low < narrow.ci_low < narrow.estimate < narrow.ci_high < wide.ci_high
    wide, narrow = (coder_kappa(values > 2, targets, coders, clients, ci_level=level) for level in (0.99, 0.8))
    assert wide.kappa.ci_low < narrow.kappa.ci_low < narrow.kappa.ci_high < wide.kappa.ci_high
    assert wide.agreement.ci_low < narrow.agreement.ci_low


def test_icc_by_hand():
    # Five sessions of five clients, coders (1,3) (2,2) (3,5) (4,4) (5,7). Row means 2 2 4 4 6, grand mean 3.6; column means 3, 4.2.
    # SS targets = 2 x (2.56 + 2.56 + .16 + .16 + 5.76) = 22.4, R = 5.6; SS coders = 5 x (.36 + .36) = 3.6 = C;
    # SS within = 2 + 0 + 2 + 0 + 2 = 6, SS rest = 2.4, E = .6.
    # ICC(C,1) = 5 / 6.2; ICC(A,1) = 5 / (5.6 + .6 + 2/5 x 3.0) = 5 / 7.4.
    table = np.array([[1, 3], [2, 2], [3, 5], [4, 4], [5, 7]], dtype=float)
    rows, columns = np.indices(table.shape).reshape(2, -1)
    found = coder_icc(table.ravel(), rows, columns, rows)
    assert found["consistency"].single.estimate == pytest.approx(5 / 6.2)
    assert found["agreement"].single.estimate == pytest.approx(5 / 7.4)
    assert found["agreement"].average.estimate == pytest.approx(2 * (5 / 7.4) / (1 + 5 / 7.4))


def test_sessions_with_one_coder_change_nothing():
    values, targets, coders, clients = long(np.array(R["ratings"], dtype=float))
    more = (np.append(values, [5, 1]), np.append(targets, [48, 49]), np.append(coders, [0, 1]), np.append(clients, [2, 3]))
    assert coder_icc(*more) == coder_icc(values, targets, coders, clients)


def test_perfect_agreement_has_no_interval_and_says_so():
    table = np.repeat(np.arange(6.0)[:, None], 2, axis=1)
    rows, columns = np.indices(table.shape).reshape(2, -1)
    for icc in coder_icc(table.ravel(), rows, columns, rows).values():
        assert icc.single.estimate == icc.average.estimate == 1
        assert math.isnan(icc.single.ci_low)
        assert "agree in everything" in icc.note


def test_one_client_has_an_estimate_and_no_interval():
    values, targets, coders, _ = long(np.array(R["ratings"], dtype=float))
    icc = coder_icc(values, targets, coders, np.zeros_like(targets))["agreement"]
    assert icc.single.estimate == pytest.approx(R["icc"]["ratings"]["agreement_single"])
    assert math.isnan(icc.single.ci_low)
    assert "fewer than 2 clusters" in icc.note


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (np.arange(8.0).reshape(4, 2), "4 targets coded by two coders or more; at least 5"),
        (np.zeros((9, 2)), "targets do not differ"),
        (np.tile([1.0, 3.0], (9, 1)), "targets do not differ"),
    ],
)
def test_icc_says_why_there_is_none(table, says):
    rows, columns = np.indices(table.shape).reshape(2, -1)
    with pytest.raises(StatisticsError, match=says):
        coder_icc(table.ravel(), rows, columns, rows)


def test_kappa_of_two_coders_is_that_of_vcd():
    seen = np.array(R["counts"])[:, :2] > 0
    values, targets, coders, clients = long(seen)
    found = coder_kappa(values, targets, coders, clients)
    ours = {"kappa": found.kappa.estimate, "clustered": found.kappa.std_error, "agreement": found.agreement.estimate}
    R["kappa"].check(ours, rel=1e-10)
    # Every session a client of its own: Fleiss, Cohen and Everitt's error times root n / (n - 1).
    alone = coder_kappa(values, targets, coders, targets)
    assert alone.kappa.std_error == pytest.approx(R["kappa"]["ase"] * math.sqrt(48 / 47), rel=1e-8)
    assert found.pabak.estimate == pytest.approx(2 * R["kappa"]["agreement"] - 1)
    assert found.share == pytest.approx(seen.mean())


def test_kappa_of_three_coders_is_the_mean_of_their_pairs():
    found = coder_kappa(*long(np.array(R["counts"]) > 0))
    R["light"].check({"kappa": found.kappa.estimate, "clustered": found.kappa.std_error}, rel=1e-10)
    assert (found.n_targets, found.n_pairs, found.kappa.n) == (48, 3, 144)
    assert found.kappa.method.startswith("Light's kappa")


def test_kappa_by_hand():
    # 10 segments: both saw it in 3, the first alone in 1, the second alone in 2, neither in 4.
    # Agreement .7, chance .4 x .5 + .6 x .5 = .5, kappa .4; PABAK .4.
    first = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    second = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0], dtype=bool)
    table = np.column_stack([first, second])
    rows, columns = np.indices(table.shape).reshape(2, -1)
    found = coder_kappa(table.ravel(), rows, columns, rows)
    assert found.kappa.estimate == pytest.approx(0.4)
    assert found.pabak.estimate == pytest.approx(0.4)
    assert found.agreement.estimate == pytest.approx(0.7)
    assert found.share == pytest.approx(0.45)


def test_a_coder_who_always_says_the_same_has_no_kappa_and_agreement_remains():
    table = np.column_stack([np.arange(8) % 2 == 0, np.zeros(8, dtype=bool)])
    rows, columns = np.indices(table.shape).reshape(2, -1)
    found = coder_kappa(table.ravel(), rows, columns, rows)
    assert found.kappa is None
    assert math.isnan(found.value)
    assert found.agreement.estimate == 0.5
    assert "always says the same" in found.note


def test_kappa_needs_targets_that_two_have_coded():
    with pytest.raises(StatisticsError, match="0 targets coded by two"):
        coder_kappa(np.ones(4, dtype=bool), np.arange(4), np.arange(4) % 2, np.arange(4))
    with pytest.raises(StatisticsError, match="0 targets coded by two"):
        coder_kappa(np.zeros(0, dtype=bool), *(np.zeros(0, dtype=int),) * 3)
