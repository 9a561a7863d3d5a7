"""The nine public studies: what is read from the raw files has the numbers that their sources give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_study
from attachment_outcomes.study.intake import read_study

STUDIES = (
    "jacobson1989", "schramm2017", "suddengains", "ecr_openpsychometrics", "opie2021", "ferreira2023", "cook2000", "ismair2025",
    "nhs_talking_therapies",
)  # fmt: skip
Tables = dict[str, pd.DataFrame]


def counts(tables: Tables) -> dict[str, int]:
    return {name: len(frame) for name, frame in tables.items() if len(frame)}


def score(tables: Tables, instrument: str, scale: str, **where: object) -> pd.DataFrame:
    frame = tables["scores"]
    keep = (frame["instrument"] == instrument) & (frame["scale"] == scale)
    for column, value in where.items():
        keep &= frame[column] == value
    return frame[keep.fillna(False).to_numpy(dtype=bool)]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_pins_its_files_and_says_where_they_are_from(name: str) -> None:
    study = load_study(name)
    assert study["open_data"] is True
    assert study["disclosure"]["threshold"] == 0
    assert all(len(source["sha256"]) == 64 for source in study["sources"])
    assert {"citation", "licence", "repository", "paths", "commit"} <= set(study["source"])


def test_jacobson1989(shared_data: Path) -> None:
    tables, _ = read_study("jacobson1989", shared_data)
    assert counts(tables) == {"people": 30, "scores": 120}
    das = score(tables, "das", "total").pivot(index="person_id", columns="wave", values="score")
    # Golden values of Jacobson & Truax (1991), table 2: mean and SD before, mean after.
    assert das[0].mean() == pytest.approx(81.583, abs=5e-4)
    assert das[0].std() == pytest.approx(11.826, abs=5e-4)
    assert das[1].mean() == pytest.approx(98.05, abs=5e-3)
    assert score(tables, "gds", "total", wave=1)["score"].isna().sum() == 4


def test_schramm2017(shared_data: Path) -> None:
    tables, flow = read_study("schramm2017", shared_data)
    assert counts(tables) == {"people": 256, "treatments": 256, "items": 9 * 5517, "sessions": 5517}
    assert tables["treatments"]["arm"].value_counts().to_dict() == {"group 1": 135, "group 2": 121}
    assert tables["items"]["value"].isna().sum() == 55
    assert (tables["sessions"]["session_number"].min(), tables["sessions"]["session_number"].max()) == (0, 27)
    cells = flow[flow["step"].str.endswith("cells") & (flow["unit"] == "cells")].iloc[0]
    assert cells["n_in"] - cells["n_out"] == 55


def test_suddengains(shared_data: Path) -> None:
    tables, _ = read_study("suddengains", shared_data)
    assert counts(tables) == {"people": 43, "scores": 43 * 2 * 15}
    sessions = score(tables, "bdi", "total")["session_number"].dropna()
    assert sorted(sessions.unique()) == list(range(13))
    assert sorted(score(tables, "rumination", "total")["wave"].dropna().unique()) == [1, 2]


@pytest.mark.slow
def test_ecr_openpsychometrics(shared_data: Path) -> None:
    tables, flow = read_study("ecr_openpsychometrics", shared_data)
    assert counts(tables) == {"people": 51491, "items": 51491 * 36}
    assert tables["items"]["value"].isna().sum() == 9534
    assert tables["people"]["gender"].value_counts(dropna=False).tolist() == [34895, 15923, 479, 194]
    line = flow[flow["step"] == "data.csv → items ecr: cells"].iloc[0]
    assert line["n_in"] - line["n_out"] == 9534


def test_opie2021(shared_data: Path) -> None:
    tables, _ = read_study("opie2021", shared_data)
    samples = tables["samples"]
    found = samples[samples["measure"] == "count"]
    reference = pd.read_csv(shared_data / "opie2021_child_attachment_stability" / "transitions_long.csv", dtype={"row_id": str})
    keys = ["sample_id", "system", "row_class", "col_class"]
    wanted = reference.rename(columns={"row_id": "sample_id", "from_class": "row_class", "to_class": "col_class"}).set_index(keys)[
        "n"
    ]
    ours = found.set_index(keys)["value"]
    assert len(ours) == len(wanted) == 1090
    assert (ours.reindex(wanted.index) == wanted).all()
    tables_of = found.groupby("system")["sample_id"].nunique().to_dict()
    assert tables_of == {"secure/insecure": 55, "ABC": 14, "ABCD": 37, "organized/disorganized": 38}
    assert found.groupby("system")["value"].sum().to_dict() == {
        "secure/insecure": 5029, "ABC": 743, "ABCD": 3990, "organized/disorganized": 3871,
    }  # fmt: skip
    stated = samples[samples["measure"] == "kappa"]
    assert stated.groupby("system").size().to_dict() == {"secure/insecure": 15, "ABC": 4, "ABCD": 24, "organized/disorganized": 2}
    assert stated.set_index(["sample_id", "system"])["value"]["2", "ABC"] == 0.48


def test_ferreira2023(shared_data: Path) -> None:
    tables, _ = read_study("ferreira2023", shared_data)
    assert counts(tables) == {"people": 645, "items": 2 * 215 * 3 * 10, "scores": 460 + 447 + 465 + 453 + 459, "relations": 645}
    own = score(tables, "erep", "insecurity", wave=1)[["person_id", "score"]]
    for parent, n, r in (("mother", 204, -0.202), ("father", 202, -0.268)):
        child = score(tables, "prq", "attachment", wave=1, rater=parent)[["about_person_id", "score"]]
        both = own.merge(child, left_on="person_id", right_on="about_person_id")
        assert len(both) == n
        assert np.corrcoef(both["score_x"], both["score_y"])[0, 1] == pytest.approx(r, abs=5e-4)  # told to three decimals
    relations = tables["relations"]
    assert relations["family_id"].nunique() == 215
    assert relations["label"].value_counts().to_dict() == {"father-mother": 215, "mother-child": 215, "father-child": 215}


def test_ferreira2023_items_give_the_imported_score(shared_data: Path) -> None:
    tables, _ = read_study("ferreira2023", shared_data)
    items = tables["items"].pivot(index=["person_id", "wave"], columns="item", values="value")
    items[["9", "12"]] = 8 - items[["9", "12"]]
    imported = score(tables, "erep", "insecurity").set_index(["person_id", "wave"])["score"]
    complete = items.dropna().mean(axis=1)
    both = complete.index.intersection(imported.index)
    assert len(both) > 800
    # The authors filled in 26 answers that are no whole numbers; their scores differ by up to .25 there and nowhere else.
    assert ((complete[both] - imported[both]).abs() < 1e-6).mean() > 0.98


def test_cook2000(shared_data: Path) -> None:
    tables, _ = read_study("cook2000", shared_data)
    assert counts(tables) == {"people": 832, "scores": 2496, "relations": 5 * 208}
    mean = tables["scores"].groupby("person_id")["score"].mean()
    relations = tables["relations"]
    for label, r in (("mother-older", 0.343), ("mother-younger", 0.242), ("father-older", 0.202), ("father-younger", 0.132)):
        pairs = relations[relations["label"] == label]
        found = np.corrcoef(mean[pairs["person_a"]], mean[pairs["person_b"]])[0, 1]
        assert found == pytest.approx(r, abs=5e-4)  # told to three decimals


def test_ismair2025(shared_data: Path) -> None:
    tables, _ = read_study("ismair2025", shared_data)
    assert counts(tables) == {"people": 80, "scores": 240, "classifications": 80, "relations": 40}
    primary = tables["classifications"].set_index("person_id")["primary"]
    pairs = tables["relations"]
    table = pd.crosstab(primary[pairs["person_a"]].to_numpy(), primary[pairs["person_b"]].to_numpy())
    assert [table.loc[a, b] for a in ("insecure", "F") for b in ("insecure", "F")] == [7, 6, 2, 25]
    assert score(tables, "eas", "sensitivity")["score"].mean() == pytest.approx((4.95 + 5.6625) / 2, abs=1e-12)


def test_nhs_talking_therapies(shared_data: Path) -> None:
    tables, flow = read_study("nhs_talking_therapies", shared_data)
    samples = tables["samples"]
    lines = flow.set_index("step")
    assert lines.loc["provider_totals_by_year.csv: read", "n_out"] == 1309
    assert lines.loc["provider_totals_by_year.csv → samples: where", "n_out"] == 1308
    codes = lines.loc["provider_totals_by_year.csv: missing codes"]
    assert codes["n_in"] - codes["n_out"] == 579
    year = samples[(samples["sample_id"] == "England") & (samples["system"] == "2024-25")].set_index("measure")["value"]
    recovery = year["recovery_count"] / (year["finished_course_treatment_count"] - year["not_at_caseness_count"])
    assert round(100 * recovery, 3) == 50.546
    assert year["recovery_percentage"] == 50.5
    assert len(samples[samples["sample_id"] == "England"]) == 8 * 14
