"""Each sample's agreement and kappa, and what pooling gives."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from attachment_outcomes.present.lookup import Row, records, rows_of
from attachment_outcomes.present.tabulate import Table, cells, estimand_name, make_table
from attachment_outcomes.present.words import (
    SUPPRESSED,
    count,
    first_upper,
    interval_text,
    level_text,
    number,
    p_value,
    percent,
)

NEEDS = ("sample_statistics", "estimates")
SECTIONS = (
    ("data_errors", "stated kappas against counts"),
    ("pooled_samples", "pooled"),
    ("pooled_table", "all tables summed"),
    ("sample_moderators", "what goes with differences"),
    ("sample_checks", "influence and small samples"),
)


def build(tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> Table:
    """Return one row a sample under its system, and the pooled values after them."""
    samples = sorted(records(tables["sample_statistics"]), key=lambda r: (str(r["system"]), _natural(_name(r))))
    interval = f"{level_text(settings)} CI"
    lines = []
    for row in samples:
        hidden = pd.isna(row["n"])
        lines.append(
            {
                "system": str(row["system"]),
                "sample": _name(row),
                "n": count(row["n"]),
                "agreement": SUPPRESSED if hidden else percent(row["agreement"], 1),
                "kappa": SUPPRESSED if hidden else number(row["kappa"], bounded=True),
                interval: interval_text(row["kappa_ci_low"], row["kappa_ci_high"], "kappa"),
                "stated kappa": number(row["stated_kappa"], bounded=True) if not pd.isna(row["stated_kappa"]) else "",
                "remark": "stated kappa differs" if row["differs"] is True or row["differs"] == 1 else "",
            }
        )
    for analysis, word in SECTIONS:
        for found in rows_of(tables["estimates"], analysis=analysis):
            if pd.isna(found["estimate"]) or (found["estimand"].endswith("_r2") and pd.isna(found["p_value"])):
                continue
            lines.append(_line(found, f"{found['outcome']}, {word}" if found["outcome"] else first_upper(word), settings))
    frame = pd.DataFrame(lines).rename(columns={"agreement": "agreement or other", "kappa": "kappa or phi"})
    empty = [c for c in ("stated kappa", "remark") if c in frame and (frame[c] == "").all()]
    return make_table(
        frame.drop(columns=empty),
        name="samples",
        title="Samples, and what pooling them gives",
        group="system" if lines else None,
        notes=[
            "Summing tables lets large samples dominate and hides differences between them; read the pooled values first",
            "A stated kappa that differs by more than .005 from that of the sample's own counts is marked",
            "What goes with differences between samples is an association: nobody allotted samples to their traits. "
            "The p value of a trait (share of variance) is by Holm over all traits",
            "Signs of small samples are not proof of publication bias",
        ],
        empty="There are no samples.",
    )


def _line(found: Row, heading: str, settings: dict[str, Any]) -> dict[str, str]:
    """Return an estimate as a row: what it is, for whom, by which definition, and its p value in the remark."""
    interval = f"{level_text(settings)} CI"
    cell = cells(found, settings)
    kappa = found["unit"] in ("kappa", "r", "phi")
    about = ", ".join(filter(None, [str(found["group"]), str(found["definition"])]))
    p: str = "" if pd.isna(found["p_value"]) else p_value(found["p_value"])
    return {
        "system": heading,
        "sample": first_upper(estimand_name(found)) + (f", {about}" if about else ""),
        "n": "" if found["analysis"] == "data_errors" else cell["n"],
        "agreement": "" if kappa else cell["estimate"],
        "kappa": cell["estimate"] if kappa else "",
        interval: "" if cell[interval] == "—" else cell[interval],
        "stated kappa": "",
        "remark": "; ".join(filter(None, [p, str(found["note"])])),
    }


def _name(row: Row) -> str:
    return str(row["label"] if isinstance(row["label"], str) and row["label"] else row["sample_id"])


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which "Sample 10" follows "Sample 9"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
