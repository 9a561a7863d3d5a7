"""Provenance: what a result was made from, so that anyone can make it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

# Packages whose version can change a number or a picture.
PACKAGES = (
    "duckdb", "great-tables", "jinja2", "matplotlib", "numpy", "pandas", "pandera", "pingouin", "pyarrow", "scipy", "seaborn",
    "snakemake", "statsmodels",
)  # fmt: skip


def manifest(
    *,
    study: Mapping[str, Any],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    lock: Mapping[str, str],
    settings: Mapping[str, Any],
    unverified: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the manifest of one study's results.

    Parameters
    ----------
    study : mapping
        The study's configuration (name, title, source).
    inputs, outputs, lock : mapping of str to str
        File name (relative, no machine's folders) to SHA-256.
    settings : mapping
        The workflow's settings: seed, level, threshold.
    unverified : mapping of str to sequence of str
        Instrument or criterion to what of it was not checked against its source.

    Returns
    -------
    dict
        No time, host or user enters, so that the same run gives the same bytes.
    """
    return {
        "study": {key: study[key] for key in ("name", "title", "source")},
        "inputs": dict(inputs),
        "outputs": dict(outputs),
        "lock": dict(lock),
        "settings": dict(settings),
        "software": {"python": ".".join(platform.python_version_tuple()[:2]), **{name: version(name) for name in PACKAGES}},
        "unverified": {name: list(parts) for name, parts in unverified.items()},
    }
