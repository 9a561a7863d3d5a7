"""Scores and reliabilities of published data sets, against values that R made from the same files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import DataError
from attachment_outcomes.flow import Flow
from attachment_outcomes.measures import score
from attachment_outcomes.measures.assembly import all_scores, item_matrices
from attachment_outcomes.measures.instruments import read_instruments
from attachment_outcomes.measures.reliability import cronbach_alpha, reliability_estimates
from attachment_outcomes.measures.scoring import keyed_answers
from attachment_outcomes.measures.styles import attachment_styles, find_split
from attachment_outcomes.study.contracts import empty, typed

R_DIGITS = 1e-8  # the reference files hold ten digits

FIVE_POINT = read_instruments({"ecr": load_instrument("ecr")}, {"ecr": {"range": [1, 5], "reason": "web form"}})


@pytest.fixture(scope="module")
def ecr(shared_data: Path) -> pd.DataFrame:
    answers = pd.read_csv(shared_data / "ecr_openpsychometrics" / "data.csv", usecols=[f"Q{i}" for i in range(1, 37)])
    return answers.replace(0, np.nan)


def test_ecr_long_answers_give_the_alphas_of_psych(ecr: pd.DataFrame) -> None:
    wide = ecr.set_axis([str(i) for i in range(1, 37)], axis=1).rename_axis("person_id").reset_index()
    items = wide.melt("person_id", var_name="item").assign(instrument="ecr", rater="self", wave=0)
    items["person_id"] = items["person_id"].astype("str")
    matrices = item_matrices(typed(items, "items"), FIVE_POINT)
    found = {(r.outcome, r.estimand): r for r in reliability_estimates(matrices, FIVE_POINT)}
    for scale, n, alpha, sem in [
        ("anxiety", 48774, 0.91553018683, 0.23313999213),
        ("avoidance", 48757, 0.93797607267, 0.20903138903),
    ]:
        row = found[(f"ecr.{scale}", "cronbach_alpha")]
        assert (row.n, row.estimate) == (n, pytest.approx(alpha, abs=R_DIGITS))
        assert found[(f"ecr.{scale}", "standard_error_of_measurement")].estimate == pytest.approx(sem, abs=R_DIGITS)
    flow = Flow()
    scores = all_scores(matrices, empty("scores"), FIVE_POINT, flow=flow)
    made = scores[scores["score"].notna()].groupby("scale")["score"].agg(["mean", "std", "size"])
    assert made.loc["anxiety"].tolist() == pytest.approx([3.0989657818, 0.80242288286, 51347], abs=R_DIGITS)
    assert made.loc["avoidance"].tolist() == pytest.approx([2.5672791397, 0.83910255353, 51348], abs=R_DIGITS)
    assert ("ecr.anxiety: prorated", 51347, 51347, "2573 of them made from fewer than all items", "questionnaires") in flow.lines


def test_ecr_complete_answers_only(ecr: pd.DataFrame) -> None:
    form = read_instruments(
        {"ecr": load_instrument("ecr")}, {"ecr": {"range": [1, 5], "complete_only": True, "reason": "web form"}}
    )["ecr"]
    found = score(ecr, instrument=form)
    assert found["anxiety"].describe()[["count", "mean", "std"]].tolist() == pytest.approx(
        [48774, 3.0963673724, 0.80216925141], abs=R_DIGITS
    )
    assert found["avoidance"].describe()[["count", "mean", "std"]].tolist() == pytest.approx(
        [48757, 2.5681201332, 0.83932831696], abs=R_DIGITS
    )


def test_ecr_midpoint_styles_agree_once_ties_are_put_on_the_low_side(ecr: pd.DataFrame) -> None:
    form = FIVE_POINT["ecr"]
    found = score(ecr, instrument=form)
    split = find_split("midpoint", anxiety=(form, form.scales["anxiety"]), avoidance=(form, form.scales["avoidance"]))
    style = pd.Series(attachment_styles(found["anxiety"], found["avoidance"], split=split))
    low = pd.Series(attachment_styles(found["anxiety"].replace(3, 2.99), found["avoidance"].replace(3, 2.99), split=split))
    # R called a score at the midpoint low; here it is called boundary, which takes 2,324 people out of the four styles.
    assert low.value_counts().to_dict() == {"dismissing": 7271, "fearful": 7572, "preoccupied": 20433, "secure": 16063}
    assert style.value_counts()["boundary"] == 2324


@pytest.fixture(scope="module")
def ferreira(shared_data: Path) -> Path:
    return shared_data / "ferreira2023_parent_child"


PARENTS = {"father": 1, "mother": 2}
# The item files hold imputed answers with decimals; one of them (PRQ item 26, wave 2, a mother) passes the end of the range.
PRQ_WITH_IMPUTED = {"range": [1, 4.1], "reason": "the reference values include the imputed answer of 4.095"}


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("wave", [1, 2, 3])
def test_erep_and_prq_give_the_reference_means_and_alphas(ferreira: Path, parent: str, wave: int) -> None:
    reference = json.loads((ferreira / "reference.json").read_text(encoding="utf-8"))
    for key, prefix, file, scales in [
        ("erep", "EREP", "SEC_DF.csv", {"anxiety": "anx", "avoidance": "avo"}),
        ("prq", "PRQ", "ATT_DF.csv", {"attachment": "prq"}),
    ]:
        data = pd.read_csv(ferreira / file)
        own = {"complete_only": True, **PRQ_WITH_IMPUTED} if key == "prq" else {"complete_only": True}
        form = read_instruments({key: load_instrument(key)}, {key: own})[key]
        columns = {i: f"{prefix}_{i}.{wave}.{PARENTS[parent]}" for i in form.items}
        found = score(data[list(columns.values())], instrument=form, columns=columns)
        for name, label in scales.items():
            wanted = reference[f"{label}_{parent}_t{wave}"]
            assert found[name].describe()[["count", "mean", "std"]].tolist() == pytest.approx(
                [wanted["n"], wanted["mean"], wanted["sd"]], abs=1e-7
            )
            items = form.scales[name].items
            keyed = pd.DataFrame(keyed_answers(data[[columns[i] for i in items]].to_numpy(dtype=float), form.scales[name], form))
            # psych's default is the covariance of pairs of items, where ours drops incomplete people; the key is what is tested.
            pairs = keyed.cov().to_numpy()
            k = len(pairs)
            assert k / (k - 1) * (1 - np.trace(pairs) / pairs.sum()) == pytest.approx(wanted["alpha"], abs=1e-7)
            if keyed.dropna(how="all").notna().all(axis=None):
                assert cronbach_alpha(keyed.dropna()).alpha == pytest.approx(wanted["alpha"], abs=1e-7)


def test_prq_equals_the_studys_own_score(ferreira: Path) -> None:
    data, own = pd.read_csv(ferreira / "ATT_DF.csv"), pd.read_csv(ferreira / "main_data.csv")["mc_att_t1"]
    columns = {i: f"PRQ_{i}.1.2" for i in load_instrument("prq")["scales"]["attachment"]["items"]}
    found = score(data[list(columns.values())], instrument="prq", columns=columns)["attachment"]
    assert (found - own).abs().max() < 1e-12
    assert found.notna().sum() == own.notna().sum() == 206


def test_an_imputed_answer_beyond_the_range_is_refused(ferreira: Path) -> None:
    data = pd.read_csv(ferreira / "ATT_DF.csv")
    columns = {i: f"PRQ_{i}.2.2" for i in load_instrument("prq")["scales"]["attachment"]["items"]}
    with pytest.raises(DataError, match=r"prq, column 'PRQ_26.2.2': answers outside 1 to 4 in row 113"):
        score(data[list(columns.values())], instrument="prq", columns=columns)


def test_nine_symptoms_by_session(shared_data: Path) -> None:
    folder = shared_data / "schramm2017_sessions"
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    data = pd.read_csv(folder / "data.csv", sep=";")
    names = [
        "mood",
        "concentration",
        "self_worth",
        "suicidal_ideation",
        "tiredness",
        "sleep",
        "pleasure",
        "psychomotor",
        "appetite",
    ]
    found = score(data[names], instrument="dep9", columns=dict(enumerate(names, start=1)))
    by_session = found["total"].groupby(data["sessionN"]).agg(["mean", "count"])
    for row in reference["mean_by_session"]:
        assert by_session.loc[row["session"]].tolist() == pytest.approx([row["mean"], row["n"]], abs=R_DIGITS)
    assert cronbach_alpha(data.loc[data["sessionN"] == 0, names]).alpha == pytest.approx(reference["KR20"], abs=R_DIGITS)
