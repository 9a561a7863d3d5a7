"""Small cells of tables of parents and children, of chains and of arms cannot be had back from estimates."""

from __future__ import annotations

import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.release.disclosure import suppress, suppress_estimates
from attachment_outcomes.release.families import small_tables

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


def shown(rows, tables=NONE):
    out = suppress_estimates(estimates_frame(rows), threshold=5, tables=tables)
    return {(r.analysis, r.definition, r.estimand, r.group): r.estimate == r.estimate for r in out.itertuples()}


def test_nothing_is_hidden_where_no_cell_is_small():
    assert NONE.empty
    assert all(shown([row("concordance", "kappa", 0.4, 36, outcome="AAI-SSP", definition=TWO)]).values())


@pytest.mark.parametrize(("count", "hidden"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_small_cell_of_two_classes_hides_everything_made_of_its_table_and_no_other(count, hidden):
    tables = small_tables(cells(TWO, [[30, count], [9, 20]]), transitions([[9, 9], [9, 9]]), chains(TWO, [9] * 8), threshold=5)
    rows = [
        row(analysis, "kappa", 0.4, 60, outcome="AAI-SSP", definition=way)
        for analysis in ("concordance", "transmission_corrected")
        for way in (TWO, FOUR)
    ]
    rows.append(row("concordance", "kappa", 0.3, 60, outcome="styles-SSP", definition=TWO))
    frame = suppress_estimates(estimates_frame(rows), threshold=5, tables=tables)
    gone = frame[frame["estimate"].isna()]
    lost = [(analysis, TWO, "AAI-SSP") for analysis in ("concordance", "transmission_corrected")] if hidden else []
    assert [(r.analysis, r.definition, r.outcome) for r in gone.itertuples()] == lost


def test_a_small_cell_of_a_chain_hides_what_three_generations_say_and_leaves_two():
    tables = small_tables(cells(TWO, [[9, 9], [9, 9]]), transitions([[9, 9], [9, 9]]), chains(TWO, [9, 4, *[9] * 6]), threshold=5)
    pair = {"group": "parent and child", "definition": TWO}
    rows = [row("three_generations", "kappa", 0.4, 58, **pair), row("three_generations", "markov", 2.0, 58, definition=TWO)]
    assert shown(rows, tables) == {
        ("three_generations", TWO, "kappa", "parent and child"): True,
        ("three_generations", TWO, "markov", ""): False,
    }
    of_pairs = small_tables(cells(TWO, [[9, 9], [9, 9]]), transitions([[9, 9], [2, 9]]), chains(TWO, [9] * 8), threshold=5)
    assert not any(shown(rows, of_pairs).values())


def test_a_hidden_share_of_an_arm_hides_its_other_part_and_the_difference():
    def share(group, value, n):
        return row("interruption", "child_secure", value, n, group=group, definition=TWO, unit="proportion")

    def other(estimand, value, **more):
        return row("interruption", estimand, value, 80, definition=TWO, unit="proportion", **more)

    rows = [
        share("treated, parent insecure", 22 / 41, 41),
        share("treated, parent stayed insecure", 15 / 31, 31),
        share("treated, parent became secure", 7 / 10, 10),  # three are not
        share("comparison, parent insecure", 14 / 40, 40),
        share("comparison, parent stayed insecure", 10 / 30, 30),
        share("treated, parent secure", 14 / 20, 20),
        other("child_secure_difference", 0.19, group="parent insecure"),
        other("child_secure_difference", 0.15, group="parent stayed insecure"),
        other("fraction_interrupted", 0.28),
    ]
    out = shown(rows)
    lost = {(e, g) for (_, _, e, g), there in out.items() if not there}
    assert lost == {
        ("child_secure", "treated, parent stayed insecure"),
        ("child_secure", "treated, parent became secure"),
        ("child_secure_difference", "parent stayed insecure"),
    }
    few = [*rows[:3], share("comparison, parent insecure", 4 / 40, 40), *rows[4:]]
    lost = {(e, g) for (_, _, e, g), there in shown(few).items() if not there}
    assert {("child_secure_difference", "parent insecure"), ("fraction_interrupted", "")} <= lost


@pytest.mark.parametrize("threshold", [0, 5])
def test_arms_of_which_nothing_is_hidden_are_shown_whole(threshold):
    groups = [f"{arm}, {of}" for arm in ("treated", "comparison") for of in ("parent insecure", "parent stayed insecure")]
    rows = [row("interruption", "child_secure", 0.5, 200, group=group, definition=TWO, unit="proportion") for group in groups]
    rows.append(row("interruption", "fraction_interrupted", 0.1, 400, definition=TWO, unit="proportion"))
    out = suppress_estimates(estimates_frame(rows), threshold=threshold, tables=NONE)
    assert out["estimate"].notna().all()


def test_cells_of_a_chain_cannot_be_had_from_the_tables_of_two_generations():
    table = chains(TWO, [20, 3, 8, 9, 7, 12, 11, 30])
    margins = [CHAIN[:2], CHAIN[1:], [CHAIN[0], CHAIN[2]]]
    out = suppress(table, counts=["n"], threshold=5, within=["way"], margins=margins)
    hidden = out["n"].isna()
    assert hidden[1]
    for by in margins:
        assert 1 not in set(hidden.groupby([out[c] for c in by]).sum())
