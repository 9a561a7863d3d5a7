"""Where three generations say less: classes more reliable than was given, siblings, and everything passed on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.agreement import wilson
from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.generations import study
from attachment_outcomes.transmission.generations.projection import half_life
from attachment_outcomes.transmission.generations.rows import _verdict

TWO = "2-way, unresolved insecure"
CORRECTED = "corrected for error"


def data(chains: np.ndarray, *, children: int = 1, kappa: float = 0.63) -> TransmissionData:
    """Families with the classes (0 secure) of grandparent, parent and child; each child so many times."""
    relations, coded = [], []
    for f, (elder, parent, child) in enumerate(chains):
        relations.append((f"G{f}", f"P{f}"))
        coded += [(f"G{f}", "AAI", "Ds" if elder else "F"), (f"P{f}", "AAI", "Ds" if parent else "F")]
        for c in range(children):
            relations.append((f"P{f}", f"K{f}.{c}"))
            coded.append((f"K{f}.{c}", "SSP", "A" if child else "B"))
    rows = pd.DataFrame(relations, columns=["person_a", "person_b"]).assign(label="x", kind="parent_child", generation=1)
    rows["family_id"] = pd.Series([None] * len(rows), dtype="str")
    classes = pd.DataFrame(coded, columns=["person_id", "system", "primary"])
    for column in ("about_person_id", "secondary", "forced"):
        classes[column] = pd.Series([None] * len(classes), dtype="str")
    classes["wave"] = pd.Series([0] * len(classes), dtype="Int64")
    others = dict.fromkeys(("scores", "styles", "treatments", "samples", "sample_traits"), pd.DataFrame())
    retest = [{"way": TWO, "kappa": kappa, "of": "test-retest", "source": "made up", "verified": False}]
    settings = {
        "parent_system": "AAI", "child_system": "SSP", "labels": [],
        "generations": {"grandparent_system": "AAI", "ways": [TWO], "ahead": 2},
        "misclassification": {"parent": retest, "child": retest},
    }  # fmt: skip
    return TransmissionData({"relations": rows, "classifications": classes, **others}, settings, replicates=199, seed=5)


def first_order(n: int, same: float, *, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    elder = rng.random(n) < 0.5
    parent = np.where(rng.random(n) < same, elder, ~elder)
    child = np.where(rng.random(n) < same, parent, ~parent)
    return np.column_stack([elder, parent, child]).astype(int)


def notes(part) -> dict[str, str]:
    return {r.estimand: r.note for r in part.estimates if r.group == CORRECTED}


def test_agreement_clearly_above_its_ceiling_is_no_sign_of_grandparents() -> None:
    """A first-order chain read without error, with a retest kappa of .63 given."""
    found = notes(study.analyse(data(first_order(150, 0.95))))
    assert "markov_given_error" not in found
    assert "conditional_kappa_beyond_error" not in found
    assert "the agreement of grandparent and parent and of parent and child is clearly above" in found[NOT_TESTABLE]
    assert "more reliable here than was given" in found[NOT_TESTABLE]
    alike = np.repeat([[0, 0, 0], [1, 1, 1]], 20, axis=0)
    assert "clearly above" in notes(study.analyse(data(alike)))[NOT_TESTABLE]
    # With the reliability that the classes have, and below the ceiling, the test is there.
    for made in (data(first_order(150, 0.95), kappa=0.99), data(first_order(150, 0.7))):
        assert "at 5 %, error may explain what is seen" in notes(study.analyse(made))["markov_given_error"]


def test_what_is_rejected_is_the_chain_together_with_the_reliability() -> None:
    assert _verdict(0.5) == "at 5 %, error may explain what is seen"
    assert _verdict(0.01).endswith("either not first-order, or the classes are not as reliable as was given")
    assert _verdict(0.01, beyond=-0.2).endswith("or the classes are more reliable than was given")
    assert "grandparents" not in _verdict(0.01, beyond=-0.2)
    assert (
        _verdict(0.01, beyond=0.2)
        == "at 5 %, grandparents matter beyond error, unless the classes are less reliable than was given"
    )
    assert _verdict(float("nan")) == ""


def test_intervals_of_transitions_allow_for_children_of_one_parent() -> None:
    chains = first_order(60, 0.7)
    tables = [study.analyse(data(chains, children=c)).tables["generation_transitions"] for c in (1, 2)]
    older, younger = ([t[t["step"] == step] for t in tables] for step in ("grandparent to parent", "parent to child"))
    pd.testing.assert_frame_equal(*older)
    once, twice = (t.reset_index(drop=True) for t in younger)
    assert (twice["n"] == 2 * once["n"]).all()
    # Each child twice says no more than each child once.
    assert twice["share"].tolist() == pytest.approx(once["share"].tolist())
    assert (twice["ci_high"] - twice["ci_low"] >= once["ci_high"] - once["ci_low"]).all()
    n = once.groupby("from_class")["n"].transform("sum")
    plain = [wilson(k, of) for k, of in zip(once["n"], n, strict=True)]
    assert once["ci_low"].tolist() == pytest.approx([p.ci_low for p in plain])


def test_where_everything_is_passed_on_there_is_no_half_life() -> None:
    assert np.isnan(half_life([1 - 1e-7, 1 - 5e-5, 1.0, 0.0])).all()
    assert half_life([0.5, 0.99]).tolist() == pytest.approx([1.0, 68.97], abs=0.01)
    alike = np.repeat([[0, 0, 0], [1, 1, 1]], 10, axis=0)
    lives = [r.estimate for r in study.analyse(data(alike)).estimates if r.estimand == "half_life"]
    assert len(lives) == 2
    assert np.isnan(lives).all()
