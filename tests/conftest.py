"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "ATTACHMENT_OUTCOMES_DATA"

# Deadlines fail on a busy machine and say nothing about the code; derandomised runs repeat anywhere.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")


def data_directory() -> Path | None:
    """Return the folder of public data sets: the one the user names, else one beside the checkout."""
    named = os.environ.get(DATA_VARIABLE)
    candidates = [Path(named)] if named else [ROOT.parent / "shared" / "data"]
    return next((c for c in candidates if c.is_dir()), None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets, or a skip that says how to give it."""
    folder = data_directory()
    if folder is None:
        pytest.skip(f"public data sets are not here; set {DATA_VARIABLE} to the folder that holds them")
    return folder
