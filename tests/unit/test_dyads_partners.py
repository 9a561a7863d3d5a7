"""How alike partners are."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from attachment_outcomes.dyads.couples import couple_table
from attachment_outcomes.dyads.partners import partner_agreement, partner_correlations
from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.study.contracts import empty, typed


def couples(names):
    frame = pd.DataFrame(
        {"person_a": [f"m{n}" for n in names], "person_b": [f"v{n}" for n in names], "family_id": [str(n) for n in names]}
    )
    return couple_table(typed(frame.assign(kind="couple"), "relations"))


def classified(rows):
    frame = pd.DataFrame(rows, columns=["person_id", "primary"])
    return typed(frame.assign(system="AAI", wave=0), "classifications")


def test_partners_of_ismair_2025(shared_data):
    folder = shared_data / "ismair2025_couple_aai"
    raw = pd.read_csv(folder / "data-one-and-one.csv")
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    names = range(len(raw))
    words = {0: "insecure", 1: "secure"}
    table = classified([(f"{p.lower()}{i}", words[raw.loc[i, f"{p}_Bindung"]]) for i in names for p in "MV"])
    share, kappa = partner_agreement(couples(names), table, system="AAI", flow=Flow())
    # Mother by father 7, 2 / 6, 25; kappa and its error from R (vcd).
    assert (share.estimate, share.n) == (0.8, 40)
    assert kappa.estimate == pytest.approx(0.50464396285, abs=1e-10)
    assert kappa.std_error == pytest.approx(0.14814148901, abs=1e-10)
    assert [kappa.ci_low, kappa.ci_high] == pytest.approx([0.21429197978, 0.79499594592], abs=1e-10)

    r = reference["pearson"]
    values = [
        (f"{p.lower()}{i}", v, raw.loc[i, f"{p}_{v}"]) for i in names for p in "MV" for v in ("Sensitivity", "RF_PDI", "RF_AAI")
    ]
    long = typed(
        pd.DataFrame(values, columns=["person_id", "scale", "score"]).assign(instrument="i", wave=0, rater="self"), "scores"
    )
    for row in partner_correlations(couples(names), long, names=["i.Sensitivity", "i.RF_PDI", "i.RF_AAI"], flow=Flow()):
        name = row.outcome.removeprefix("i.")
        expected = r["r"][r["vars"].index(f"M_{name}")][r["vars"].index(f"V_{name}")]
        assert (row.estimate, row.n) == pytest.approx((expected, 40), abs=1e-9)


def test_couples_without_both_classes_are_counted():
    flow = Flow()
    table = classified([("m1", "F"), ("v1", "U/F"), ("m2", "Ds"), ("v2", "E"), ("m3", "F")])
    share, _ = partner_agreement(couples([1, 2, 3]), table, system="AAI", flow=flow)
    assert (share.estimate, share.n) == (0.5, 2)  # U/F counts insecure
    assert flow.frame()[["n_in", "n_out"]].to_numpy().tolist() == [[3, 2]]
    nobody = partner_agreement(couples([1]), empty("classifications"), system="AAI", flow=Flow())
    assert nobody[0].estimand == NOT_TESTABLE
    no_scores = partner_correlations(couples([1]), empty("scores"), names=["i.s"], flow=Flow())
    assert no_scores[0].estimand == NOT_TESTABLE


def test_two_first_classifications_are_refused():
    table = pd.concat([classified([("m1", "F")]), classified([("m1", "E")])])
    with pytest.raises(DataError, match="two first classifications"):
        partner_agreement(couples([1]), table, system="AAI", flow=Flow())


def test_couples_of_ferreira_2023(shared_data):
    folder = shared_data / "ferreira2023_parent_child"
    raw = pd.read_csv(folder / "main_data.csv")
    values = [(f"{p}{i}", 1, raw.loc[i, f"{who}_sec_t1"]) for i in range(len(raw)) for p, who in (("m", "m"), ("v", "f"))]
    values.append(("m0", 2, 3.0))
    long = typed(
        pd.DataFrame(values, columns=["person_id", "wave", "score"]).assign(instrument="i", scale="s", rater="self"), "scores"
    )
    row = partner_correlations(couples(range(len(raw))), long, names=["i.s"], flow=Flow())[0]
    expected = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["couple_r_t1"]
    assert (row.estimate, row.n) == pytest.approx((expected["r"], expected["n"]), abs=1e-7)
