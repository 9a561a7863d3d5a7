"""Tables of classes, paths, own families and children not seen cannot be had back from what stands beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.release.disclosure import blank_like, suppress, suppress_estimates, suppress_flow
from attachment_outcomes.release.families import blank_beside, small_tables

TWO, FOUR = "2-way, forced", "4-way"
CHAIN = ["grandparent_class", "parent_class", "child_class"]


def row(analysis, estimand, value, n, **more):
    unit = more.pop("unit", "kappa")
    return Estimate(analysis=analysis, estimand=estimand, estimate=value, n=n, unit=unit, method="made up", study="x", **more)


def cells(way, counts, *, names=("secure", "insecure")):
    rows = [(way, a, b, counts[i][j]) for i, a in enumerate(names) for j, b in enumerate(names)]
    return pd.DataFrame(rows, columns=["way", "parent_class", "child_class", "n"]).assign(system="AAI-SSP")


def chains(way, counts):
    names = ("secure", "insecure")
    index = [(g, p, c) for g in names for p in names for c in names]
    return pd.DataFrame([(way, *key, n) for key, n in zip(index, counts, strict=True)], columns=["way", *CHAIN, "n"])


def transitions(counts):
    names = ("secure", "insecure")
    made = [(TWO, "grandparent to parent", a, b, counts[i][j]) for i, a in enumerate(names) for j, b in enumerate(names)]
    return pd.DataFrame(made, columns=["way", "step", "from_class", "to_class", "n"])


NONE = small_tables(cells(TWO, [[9, 9], [9, 9]]), transitions([[9, 9], [9, 9]]), chains(TWO, [9] * 8), threshold=5)


NO_CHAINS = (transitions([[9, 9], [9, 9]]), chains(TWO, [9] * 8))
THREE = "3-way"
MANY = [[12, 8, 2], [9, 30, 7], [3, 14, 20]]


def three(counts):
    return cells(THREE, counts, names=("Ds", "F", "E"))


def hidden_counts(table):
    return suppress(table, counts=["n"], threshold=5, within=["system", "way"], margins=["parent_class", "child_class"])


def test_of_a_small_cell_of_three_classes_kappa_is_shown_to_two_decimals_and_no_fit_or_margin():
    table = three(MANY)
    tables = small_tables(table, *NO_CHAINS, threshold=5, shown=hidden_counts(table))
    common = {"outcome": "AAI-SSP", "definition": THREE}
    rows = [
        row("concordance", "kappa", 0.36912, 105, std_error=0.0712, ci_low=0.2297, ci_high=0.5085, p_value=0.00004, **common),
        row("concordance", "cramers_v", 0.391209, 105, **common),
        row("concordance", "lack_of_fit", 3.21, 105, **common),
        row("transmission_corrected", "kappa", 0.51234, 105, group="corrected", **common),
        row("concordance", "cramers_v", 0.4, 105, outcome="AAI-SSP", definition=TWO),
    ]
    frame = estimates_frame(rows)
    out = suppress_estimates(frame, threshold=5, tables=tables).set_index(["analysis", "estimand", "definition"])
    kappa = out.loc["concordance", "kappa", THREE]
    assert kappa[["estimate", "ci_low", "ci_high", "p_value"]].tolist() == [0.37, 0.23, 0.51, 0.0]
    assert np.isnan(kappa["std_error"])  # with it two tables fit
    assert out.loc[("transmission_corrected", "kappa", THREE), "estimate"] == 0.51
    assert out["estimate"].isna().to_dict() == {key: key[2] == THREE and key[1] != "kappa" for key in out.index}
    claims = pd.DataFrame(
        [{"analysis": "concordance", "estimand": "kappa", "outcome": "AAI-SSP", "group": "", "definition": THREE}]
    )
    ledger = blank_like(claims.assign(estimate=0.36912, ci_low=0.2297, ci_high=0.5085), out.reset_index())
    assert ledger[["estimate", "ci_low", "ci_high"]].iloc[0].tolist() == [0.37, 0.23, 0.51]


def test_nothing_of_three_classes_is_shown_where_the_pairs_that_correspond_give_a_cell_back():
    # Hidden are the four cells of the first two classes: with the totals, their diagonal's sum decides which they are.
    table = three([[3, 9, 20], [9, 10, 20], [20, 20, 40]])
    shown = hidden_counts(table)
    assert shown["n"].isna().sum() == 4
    tables = small_tables(table, *NO_CHAINS, threshold=5, shown=shown)
    assert set(tables["of"]) == {"pairs"}
    table = three(MANY)
    assert set(small_tables(table, *NO_CHAINS, threshold=5, shown=hidden_counts(table))["of"]) == {"pairs of more classes"}


def test_a_cell_that_a_table_of_two_classes_shows_gives_others_back():
    # Two rows are hidden: totals and the diagonal's sum leave one cell free, and that is the 12 shown below.
    table = three([[12, 3, 4], [9, 8, 6], [20, 25, 40]])
    shown = table.assign(n=table["n"].astype(float).where(table["parent_class"].eq("E")))
    assert set(small_tables(table, *NO_CHAINS, threshold=5, shown=shown)["of"]) == {"pairs of more classes"}
    beside = cells(TWO, [[12, 43], [29, 115]])
    both = [pd.concat([t, beside], ignore_index=True) for t in (table, shown)]
    assert set(small_tables(both[0], *NO_CHAINS, threshold=5, shown=both[1])["of"]) == {"pairs"}


def _kappas(counts):
    """Return agreement, chance agreement, kappa and its standard error (Fleiss, Cohen & Everitt) of (T, 3, 3) tables."""
    p = counts / counts.sum(axis=(1, 2), keepdims=True)
    r, c, d = p.sum(axis=2), p.sum(axis=1), np.einsum("tii->ti", p)
    observed, chance = d.sum(axis=1), (r * c).sum(axis=1)
    kappa = (observed - chance) / (1 - chance)
    of_diagonal = (d * (1 - (r + c) * (1 - kappa[:, None])) ** 2).sum(axis=1)
    weighted = p * (c[:, :, None] + r[:, None, :]) ** 2
    apart = (weighted.sum(axis=(1, 2)) - np.einsum("tii->t", weighted)) * (1 - kappa) ** 2
    variance = of_diagonal + apart - (kappa - chance * (1 - kappa)) ** 2
    return kappa, np.sqrt(np.maximum(variance, 0)) / (1 - chance) / np.sqrt(counts[0].sum())


def test_many_tables_of_three_classes_fit_what_is_released_of_one():
    true = np.array(MANY)
    # The totals of rows are known from the shares within them: of each row one cell off the diagonal is free.
    rest = [true[0, 1:].sum(), true[1, [0, 2]].sum(), true[2, :2].sum()]
    a, b, c = (x.ravel() for x in np.meshgrid(*[np.arange(k + 1) for k in rest], indexing="ij"))
    fits = np.zeros((len(a), 3, 3))
    fits[:, [0, 1, 2], [0, 1, 2]] = np.diag(true)
    fits[:, 0, 1], fits[:, 0, 2] = a, rest[0] - a
    fits[:, 1, 0], fits[:, 1, 2] = b, rest[1] - b
    fits[:, 2, 0], fits[:, 2, 1] = c, rest[2] - c
    kappa, error = _kappas(fits)
    (own,) = np.flatnonzero((fits == true).all(axis=(1, 2)))
    exact = np.isclose(kappa, kappa[own]) & np.isclose(error, error[own], rtol=1e-9)
    told = np.column_stack([kappa, kappa - 1.96 * error, kappa + 1.96 * error]).round(2)
    r, c = fits.sum(axis=2), fits.sum(axis=1)
    e, n = r * c / true.sum(), true.sum()
    residuals = np.floor((np.einsum("tii->ti", fits) - e) / np.sqrt(e * (1 - r / n) * (1 - c / n)))
    left = fits[(told == told[own]).all(axis=1) & (residuals == residuals[own]).all(axis=1)]
    assert exact.sum() == 1
    assert len(left) >= 20
    assert len({(x[0, 2], x[2, 0]) for x in left}) >= 10


def test_what_stands_beside_a_hidden_table_in_other_tables_is_hidden():
    tables = small_tables(
        pd.concat([cells(TWO, [[20, 2], [8, 12]]), three(MANY), cells(FOUR, [[9, 9], [9, 9]])]), *NO_CHAINS, threshold=5
    )
    ways = pd.DataFrame({"system": "AAI-SSP", "way": [TWO, THREE, FOUR]})
    fits = blank_beside("loglinear", ways.assign(n=42, g2=12.1, x2=12.2, p_value=0.1, bic=3.4), tables)
    assert fits["x2"].isna().tolist() == fits["bic"].isna().tolist() == [True, True, False]
    grid = blank_beside("corrected_sensitivity", ways.assign(kappa=0.516129, agreement=0.761905), tables)
    assert grid["kappa"].fillna(-1).tolist() == [-1, 0.52, 0.516129]
    residuals = blank_beside("residuals", ways.assign(n=9.0, expected=6.3, residual=-3.9), tables)
    assert residuals["residual"].fillna(99).tolist() == [99, -4, -3.9]
    assert residuals["expected"].isna().tolist() == [True, True, False]
    corrected = blank_beside("corrected_tables", ways.assign(observed=0.2, corrected=0.3), tables)
    assert corrected["corrected"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize(("smallest", "hidden"), [(2, True), (4, True), (5, False), (None, False)])
def test_paths_between_classes_with_a_small_cell_are_hidden(smallest, hidden):
    paths = pd.DataFrame({"outcome": ["AAI and SSP", "published"], "estimate": 0.5, "ci_low": 0.1, "ci_high": 0.9})
    paths["smallest"] = pd.array([smallest, None], dtype="Int64")
    tables = small_tables(cells(TWO, [[9, 9], [9, 9]]), *NO_CHAINS, threshold=5, gap=paths)
    rows = [
        row("transmission_gap", e, 0.5, 42, outcome=o, definition="parallel") for o in paths["outcome"] for e in ("total", "gap")
    ]
    out = suppress_estimates(estimates_frame(rows), threshold=5, tables=tables)
    assert out.groupby("outcome")["estimate"].count().to_dict() == {"AAI and SSP": 0 if hidden else 2, "published": 2}
    assert blank_beside("gap_paths", paths, tables)["estimate"].isna().tolist() == [hidden, False]


@pytest.mark.parametrize(("smallest", "hidden"), [(1, True), (5, False)])
def test_own_families_with_a_small_cell_cannot_be_had_from_what_is_pooled(smallest, hidden):
    statistics = pd.DataFrame({"system": ["2-way", "2-way", "4-way"], "own": [False, True, False]})
    statistics["smallest"] = pd.array([None, smallest, None], dtype="Int64")
    tables = small_tables(cells(TWO, [[9, 9], [9, 9]]), *NO_CHAINS, threshold=5, samples=statistics)
    rows = [
        row("sample_kappa", "kappa", 0.657143, 12, outcome="2-way", group="This study (2-way, forced)"),
        row("sample_kappa", "kappa", 0.4, 60, outcome="2-way", group="Sample 1"),
        row("pooled_samples", "odds_ratio", 24.0, 381, outcome="2-way"),
        row("pooled_table", "agreement", 0.7375328, 381, outcome="2-way", unit="proportion"),
        row("sample_checks", "kappa_without_most_influential", 0.4, 369, outcome="2-way"),
        row("sample_moderators", "kappa", 0.4, 381, outcome="2-way", group="year"),
        row("pooled_table", "kappa", 0.3, 271, outcome="4-way"),
    ]
    out = suppress_estimates(estimates_frame(rows), threshold=5, tables=tables)
    shown_still = {(r.analysis, r.outcome, r.group) for r in out[out["estimate"].notna()].itertuples()}
    assert {("sample_kappa", "2-way", "Sample 1"), ("pooled_table", "4-way", "")} <= shown_still
    assert len(out) - len(shown_still) == (5 if hidden else 0)
    effects = pd.DataFrame({"system": ["2-way", "4-way"], "weight": [0.9, 0.5], "estimate": 0.4})
    weights = blank_beside("sample_effects", effects, tables)
    assert weights["weight"].isna().tolist() == [hidden, False]
    assert weights["estimate"].notna().all()
    left = blank_beside("sample_influence", effects, tables)
    assert left["system"].tolist() == (["4-way"] if hidden else ["2-way", "4-way"])


def _arms(unseen, secure=30):
    return pd.DataFrame(
        [(arm, before, "not known", "not known", n) for arm in ("treated", "comparison") for before, n in (("insecure", unseen),)]
        + [("treated", "secure", "secure", "secure", secure), ("treated", "insecure", "insecure", "secure", 40)],
        columns=["arm", "parent_before", "parent_after", "child_class", "n"],
    )


@pytest.mark.parametrize(("unseen", "hidden"), [(0, False), (3, True), (5, False)])
def test_children_not_seen_cannot_be_had_from_the_bounds(unseen, hidden):
    tables = small_tables(cells(TWO, [[9, 9], [9, 9]]), *NO_CHAINS, threshold=5, arms=_arms(unseen))
    common = {"definition": TWO, "unit": "proportion"}
    rows = [
        row("interruption", "child_not_seen", unseen / 60, 60, group="treated", **common),
        row("interruption", "child_secure_difference_lowest", 0.1, 80, group="parent insecure", **common),
        row("interruption", "child_secure_difference_highest", 0.3, 80, group="parent insecure", **common),
        row("interruption", "child_secure_difference", 0.2, 77, group="parent insecure", **common),
    ]
    for given in (tables, NONE):  # told by the cells, or seen in the share
        out = suppress_estimates(estimates_frame(rows), threshold=5, tables=given)
        for column in ("estimate", "n"):
            lost = set(out.loc[out[column].isna(), "estimand"])
            assert lost == ({row.estimand for row in rows[:3]} if hidden else set())


@pytest.mark.parametrize(("secure", "hidden"), [(1, True), (5, False)])
def test_the_share_of_few_secure_parents_cannot_be_had_from_what_error_does(secure, hidden):
    tables = small_tables(cells(TWO, [[9, 9], [9, 9]]), *NO_CHAINS, threshold=5, arms=_arms(9, secure))
    out = suppress_estimates(estimates_frame([row("interruption", "became_secure_by_error", 0.01, 30)]), threshold=5, tables=tables)
    assert out["estimate"].isna().tolist() == [hidden]


@pytest.mark.parametrize(("unit", "hidden"), [("pairs", True), ("relations", True), ("samples", False)])
def test_few_pairs_left_out_are_hidden(unit, hidden):
    flow = pd.DataFrame([("parent classified (AAI)", 40, 39, "r", unit)], columns=["step", "n_in", "n_out", "reason", "unit"])
    assert suppress_flow(flow, threshold=5)["n_out"].isna().tolist() == [hidden]
