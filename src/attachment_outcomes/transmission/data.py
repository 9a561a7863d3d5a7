"""What every analysis between generations reads: a study's tables with the choices they share.

Vocabulary
----------
pair     one parent and one child
family   all pairs linked through a shared person or family id, grandparents included: what is drawn as a whole by the bootstrap
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.resampling import REPLICATES, Replicates, cluster_bootstrap, few_clusters
from attachment_outcomes.transmission.classified import all_classifications
from attachment_outcomes.transmission.relations import pairs

Numbers = npt.NDArray[np.float64]
LEAST_FAMILIES = 2  # one says nothing of how families differ
READS = ("relations", "classifications", "scores", "styles", "treatments", "samples", "sample_traits")


@dataclass(frozen=True)
class TransmissionData:
    """A study's tables and the choices that all analyses between generations share.

    Parameters
    ----------
    tables
        Those of ``READS`` by name (docs/data-dictionary.md): canonical tables, and the ``styles`` that scoring gives.
    settings
        The study's ``transmission`` block, defaults filled in.
    instruments
        Instruments by key, for a score's direction and range.
    published
        Published results that this study's own are set beside.
    ci_level
        Confidence level of every interval.
    replicates
        Draws of the bootstrap of families.
    seed
        What is random derives from it, see :meth:`rng`.
    flow
        Takes the count of everything that could not be counted. Each step is counted once, however often it is asked for.
    """

    tables: Mapping[str, pd.DataFrame]
    settings: Mapping[str, Any]
    instruments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: Sequence[Mapping[str, Any]] = ()
    ci_level: float = CI_LEVEL
    replicates: int = REPLICATES
    seed: int = 0
    flow: Flow = field(default_factory=Flow)
    _counted: set[str] = field(default_factory=set, repr=False, compare=False)

    @cached_property
    def relations(self) -> pd.DataFrame:
        """Every parent–child pair with its family (``cluster``, numbered from 0): ``COLUMNS`` of ``.relations``.

        Raises
        ------
        DataError
            If somebody is their own parent, a pair is given twice, or generations run in a loop.
        """
        return pairs(self.tables["relations"], flow=self.flow)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The pairs whose classes are compared: those with the settings' ``labels``, all of them where none are named."""
        return self.labelled(self.settings.get("labels") or ())

    @cached_property
    def classifications(self) -> pd.DataFrame:
        """Every class there is, in the systems' own codes: coders', those made from scores, and self-reported styles.

        Raises
        ------
        ConfigError, DataError
            If which class holds is not told; see :func:`.classified.all_classifications`.
        """
        return all_classifications(
            self.tables["classifications"],
            self.tables["scores"],
            self.tables["styles"],
            cutoffs=self.settings.get("security_cutoffs") or (),
            style=self.settings.get("style"),
        )

    @cached_property
    def unchecked_cutoffs(self) -> str:
        """What is said of systems whose classes are made at a point of a score that is not checked in its source."""
        used = (self.settings.get("parent_system"), self.settings.get("child_system"))
        given = self.settings.get("security_cutoffs") or ()
        doubtful = [str(c["system"]) for c in given if c["system"] in used and not c.get("verified", True)]
        return f"the cutoff of {' and '.join(doubtful)} is not checked in its source" if doubtful else ""

    def labelled(self, labels: Sequence[str], *, step: str = "pairs compared") -> pd.DataFrame:
        """Return the pairs with these labels, all where there are none; the others are counted.

        Raises
        ------
        ConfigError
            If no relation has one of the labels.
        """
        if not labels:
            return self.relations
        there = sorted(self.relations["label"].dropna().unique())
        for label in labels if len(self.relations) else ():
            if label not in there:
                known = ", ".join(map(str, there)) or "none, for no relation has a label"
                what = f"names the label {label!r}, which no relation has; allowed: {known}.{did_you_mean(label, there)}"
                raise ConfigError(problem("transmission, labels", what))
        kept = self.relations[self.relations["label"].isin(list(labels))].reset_index(drop=True)
        self.count(step, len(self.relations), len(kept), f"a relation other than {', '.join(labels)}", unit="pairs")
        return kept

    def resampled(
        self, statistic: Callable[[Numbers], npt.ArrayLike], values: npt.ArrayLike, *, families: npt.ArrayLike
    ) -> Replicates:
        """Bootstrap whole families for statistics that are functions of sums; every analysis draws the same families.

        Parameters
        ----------
        statistic
            Takes sums (replicates, p) and returns (replicates,) or (replicates, k); NaN where something is not defined.
        values : (n, p)
            What is summed, a row a unit; none missing.
        families : (n,) whole numbers
            The family (``cluster``) of each row.

        Returns
        -------
        Replicates
            All families of the study are drawn, also those without rows, which add nothing: how many families with rows are in a
            draw varies therefore, as it does between samples of families. ``n_clusters`` and ``note`` are of those with rows.

        Raises
        ------
        StatisticsError
            If fewer than two families have rows, or a value is missing.
        """
        count = 1 + int(self.relations["cluster"].max())
        table = np.asarray(values, dtype=np.float64).reshape(len(np.asarray(families)), -1)
        cells = np.zeros((count, table.shape[1]))
        np.add.at(cells, np.asarray(families, dtype=np.int64), table)
        present = len(np.unique(np.asarray(families)))
        if present < LEAST_FAMILIES:
            raise StatisticsError(problem("bootstrap", "fewer than 2 families have data; at least two are needed."))
        found = cluster_bootstrap(statistic, cells, clusters=np.arange(count), rng=self.rng("families"), replicates=self.replicates)
        return replace(found, n_clusters=present, note=few_clusters(present))

    def rng(self, *words: str) -> np.random.Generator:
        """Return a generator that depends on the seed and on these words only."""
        return np.random.default_rng([self.seed, *sha256("\n".join(words).encode()).digest()])

    def count(self, step: str, n_in: int, n_out: int, reason: str, *, unit: str) -> None:
        """Record an exclusion in the flow, once a step and reason."""
        if (key := f"{step}\n{reason}") not in self._counted:
            self._counted.add(key)
            self.flow.add(step, n_in, n_out, reason, unit=unit)
