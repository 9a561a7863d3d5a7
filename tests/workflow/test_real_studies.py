"""The workflow on public data: numbers that are published or that R gives."""

from __future__ import annotations

import json
from itertools import pairwise

import pandas as pd
import pytest

from attachment_outcomes.config import project_root
from attachment_outcomes.inference.estimate import read_estimates, select

pytestmark = pytest.mark.slow

STUDIES = sorted(p.stem for p in (project_root() / "config" / "studies").glob("*.yaml") if p.stem != "example")


@pytest.fixture(scope="session")
def real(tmp_path_factory, shared_data):
    """All real studies, up to their tables."""
    from tests.workflow.conftest import make_copy

    copy = make_copy(tmp_path_factory.mktemp("real") / "project")
    targets = [f"results/{study}/{name}.csv" for study in STUDIES for name in ("estimates", "claims")]
    copy.run("--cores", "2", *targets, "--config", f"studies={json.dumps(STUDIES)}", f"data_dir={shared_data}")
    return copy.folder / "results"


def value(real, study: str, **wanted: object) -> float:
    """Return the one estimate that is picked."""
    rows = select(read_estimates(str(real / study / "estimates.csv")), **wanted)
    assert len(rows) == 1, rows
    return float(rows.iloc[0]["estimate"])


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_gives_all_24_claims_a_verdict(real, study):
    assert len(pd.read_csv(real / study / "claims.csv")) == 24


def counts(real, definition_part: str) -> dict[str, int]:
    """Return how many of the 30 couples are in each category of the DAS."""
    rows = select(
        read_estimates(str(real / "jacobson1989" / "estimates.csv")),
        analysis="reliable_change",
        estimand="share",
        outcome="das.total",
    )
    rows = rows[rows["definition"].str.contains(definition_part, regex=False)]
    return {g: round(e * n) for g, e, n in zip(rows["group"], rows["estimate"], rows["n"], strict=True) if e > 0}


def test_jacobson_and_truax_with_reliability_88_and_the_norm(real):
    assert counts(real, ".88") == {"recovered": 14, "improved": 5, "unchanged": 10, "deteriorated": 1}
    cutoff = value(real, "jacobson1989", analysis="reliable_change", estimand="cutoff_c", outcome="das.total", primary=True)
    assert cutoff == pytest.approx(94.8424, abs=5e-5)


def test_jacobson_and_truax_with_reliability_80(real):
    assert counts(real, ".80") == {"improved": 16, "unchanged": 13, "deteriorated": 1}


def test_ecr_alphas_of_51491_respondents(real):
    for scale, alpha in {"anxiety": 0.91553018683, "avoidance": 0.93797607267}.items():
        found = value(real, "ecr_openpsychometrics", analysis="reliability", estimand="cronbach_alpha", outcome=f"ecr.{scale}")
        assert found == pytest.approx(alpha, abs=1e-10)


def test_opie_pooled_tables_and_every_sample(real, shared_data):
    for estimand, expected in {"kappa": 0.18433068969, "agreement": 0.49348370927}.items():
        assert value(real, "opie2021", analysis="pooled_table", estimand=estimand, outcome="ABCD") == pytest.approx(
            expected, abs=1e-10
        )
    reference = pd.read_csv(shared_data / "opie2021_child_attachment_stability" / "reference_kappa_by_sample.csv")
    statistics = pd.read_parquet(real / "opie2021" / "steps" / "sample_statistics.parquet")
    statistics["row_id"] = statistics["sample_id"].astype(int)
    both = reference.merge(statistics, on=["row_id", "system"], how="left", suffixes=("_r", ""))
    assert both["kappa"].notna().all()
    assert (both["kappa"] - both["kappa_r"]).abs().max() < 1e-10
    named = " ".join(statistics.loc[statistics["differs"].astype(bool), "label"])
    for authors in ("Barnett et al. (2006)", "Stevenson-Hinde & Shouldice (1990)", "Xue (2010)"):
        assert authors in named


def test_opie_pooled_over_samples(real):
    for estimand, expected in {"stays_secure": 0.67174775361, "becomes_secure": 0.40543898725, "phi": 0.23333094237}.items():
        assert value(real, "opie2021", analysis="pooled_samples", estimand=estimand, primary=True) == pytest.approx(
            expected, abs=1e-6
        )


def test_ismair_partners(real):
    assert value(real, "ismair2025", analysis="couple_concordance", estimand="kappa") == pytest.approx(0.50464396285, abs=1e-10)


def test_families(real):
    for study, expected in {
        "ferreira2023": {"mother-child": -0.2024708, "father-child": -0.26821021},
        "cook2000": {
            "mother-older": 0.34301773,
            "mother-younger": 0.24239651,
            "father-older": 0.20203346,
            "father-younger": 0.13202278,
        },
    }.items():
        for label, r in expected.items():
            found = value(real, study, analysis="transmission_correlation", estimand="correlation", group=label)
            assert found == pytest.approx(r, abs=1e-7)


def test_nhs_recovery_rate_is_the_published_one(real):
    rate = value(real, "nhs_talking_therapies", analysis="audit", estimand="recovery", group="2024-25")
    assert rate == pytest.approx(0.5054606138369137, abs=1e-10)


def test_sudden_gains_are_those_of_the_r_package(real):
    share = value(real, "suddengains", analysis="sudden_gains", estimand="share_with_gain", outcome="bdi.total")
    assert share == pytest.approx(15 / 39)  # 4 of the 43 have no interval that can be judged
    gains = pd.read_parquet(real / "suddengains" / "steps" / "sudden_gains.parquet")
    assert gains["n_gains"].tolist() == [3, 8, 1, 3, 1, 2, 5, 1, 0]
    assert gains["n_available"].sum() == 298


def test_schramm_growth_is_that_of_lme4(real, shared_data):
    reference = json.loads((shared_data / "schramm2017_sessions" / "reference.json").read_text(encoding="utf-8"))
    assert reference["growth_lmer_REML"]["fixed"]["sessionN"] < 0
    assert value(real, "schramm2017", analysis="growth", estimand="slope", outcome="dep9.total") < 0


def chart_by_hand(sessions: pd.DataFrame, multiplier: float = 2.66) -> dict[int, list[int]]:
    """Return by patient (8 scored sessions or more) the sessions at which a run below the lower natural limit begins."""
    found = {}
    for patient, own in sessions.sort_values("sessionN").groupby("PatID.x"):
        number, score = own["sessionN"].tolist(), (9 - own["total"]).tolist()  # turned round: higher = better
        if len(score) < 8:
            continue
        ranges = [abs(b - a) for (m, a), (n, b) in pairwise(zip(number, score, strict=True)) if n - m == 1]
        limit = sum(score) / len(score) - multiplier * sum(ranges) / len(ranges)
        found[int(patient)] = [n for i, n in enumerate(number) if i and score[i] < limit <= score[i - 1] and sum(ranges)]
    return found


def test_schramm_ruptures_of_the_stand_in_are_those_of_a_plain_loop(real, shared_data):
    sessions = pd.read_csv(shared_data / "schramm2017_sessions" / "data.csv", sep=";")
    sessions["total"] = (
        sessions.filter(regex="^(?!.*_lag)").drop(columns=["PatID.x", "Group.x", "sessionN"]).sum(axis=1, skipna=False)
    )
    by_hand = chart_by_hand(sessions.dropna(subset="total"))
    clients = pd.read_parquet(real / "schramm2017" / "steps" / "rupture_clients.parquet")
    chart = clients[(clients["criterion"] == "control_chart") & clients["n_ruptures"].notna()]
    assert len(chart) == len(by_hand)
    # A run that begins before the run before it was repaired belongs to the same rupture, so there can be fewer.
    assert (chart["n_ruptures"] > 0).sum() == sum(bool(onsets) for onsets in by_hand.values())
    assert chart["n_ruptures"].sum() <= sum(len(onsets) for onsets in by_hand.values())
    share = value(real, "schramm2017", analysis="rupture_prevalence", estimand="share_with_rupture", definition="control_chart")
    assert share == pytest.approx(sum(bool(onsets) for onsets in by_hand.values()) / len(by_hand))


def test_schramm_says_everywhere_that_no_alliance_was_rated(real):
    estimates = read_estimates(str(real / "schramm2017" / "estimates.csv"))
    rows = estimates[estimates["analysis"].str.startswith(("rupture_", "repair_"))]
    assert len(rows) > 100
    assert rows["note"].str.startswith("no rating of the alliance; in its place: the number of depressive symptoms").all()
    outcome = rows.loc[rows["analysis"] == "rupture_outcome", "note"]
    assert len(outcome)
    assert outcome.str.contains("no outcome score is named").all()
