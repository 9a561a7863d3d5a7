"""The plan of a run: which studies, which files they need, which figures and tables their data allow.

The rule files ask this module and hold no logic of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any

from attachment_outcomes.config import (
    data_folder,
    load_claims,
    load_coding_system,
    load_config,
    load_criteria,
    load_instruments,
    load_published,
    load_study,
    project_root,
)
from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.files import sha256
from attachment_outcomes.fingerprint import fingerprint
from attachment_outcomes.measures.instruments import read_instruments, unverified
from attachment_outcomes.present.items import CSV_FILES, FIGURES, FILES, OTHERS, PAGES, RUPTURES, TABLES, Study
from attachment_outcomes.study.location import check_present

STAND_IN = (
    "**No alliance was rated in these data.** In its place: {}; a rupture is a sudden turn for the worse in that, "
    "a repair its undoing.\n\n"
)


@dataclass(frozen=True)
class Plan:
    """What the workflow runs: built once from the configuration, asked by the rule files."""

    config: dict[str, Any]
    studies: dict[str, Study]

    @cached_property
    def instruments(self) -> dict[str, dict[str, Any]]:
        """The instrument registry."""
        return load_instruments()

    @cached_property
    def claims(self) -> list[dict[str, Any]]:
        """The claims."""
        return load_claims()

    def raw(self, study: str) -> list[str]:
        """Return the paths of a study's raw files."""
        folder = data_folder(self.studies[study], self.config["data_dir"])
        paths = [folder / source["file"] for source in self.studies[study]["sources"]]
        base = project_root()
        return [p.relative_to(base).as_posix() if p.is_relative_to(base) else p.as_posix() for p in paths]

    def check_files(self) -> None:
        """Stop, naming what is missing and where it can be had, if a study's raw files are not all there."""
        for name, study in self.studies.items():
            check_present(study, self.raw(name))

    def instruments_of(self, study: str) -> dict[str, dict[str, Any]]:
        """Return the instruments a study names anywhere, with the study's own form of each merged in."""
        overrides = self.studies[study]["instruments"]
        return {k: _form(self.instruments[k], overrides.get(k, {})) for k in self._named[study]}

    @cached_property
    def _named(self) -> dict[str, list[str]]:
        """Keys of the instruments that each study names: as a key, a word or the first half of a score."""
        return {name: sorted(self.instruments.keys() & set(_heads(study))) for name, study in self.studies.items()}

    def ranges(self, study: str) -> dict[str, list[float]]:
        """Return the answer range of each instrument a study names."""
        return {k: list(v["range"]) for k, v in self.instruments_of(study).items()}

    def criteria(self, study: str) -> dict[str, dict[str, Any]]:
        """Return the rupture criteria a study names, primary first."""
        block = self.studies[study].get("rupture")
        if block is None:
            return {}
        known = load_criteria("rupture")
        for name in block["criteria"]:
            if name not in known:
                place = f"config/studies/{study}.yaml, key rupture/criteria"
                raise ConfigError(problem(place, f"no criterion {name!r}; allowed: {', '.join(known)}.{did_you_mean(name, known)}"))
        return {name: known[name] for name in block["criteria"]}

    def published(self, study: str, about: str = "rupture") -> list[dict[str, Any]]:
        """Return the published results that a study's own are set beside: of ``rupture`` or ``transmission``."""
        block = self.studies[study].get(about)
        return [] if block is None else list(load_published(block["published"])["results"])

    def coding(self, study: str) -> dict[str, Any] | None:
        """Return the system that a study's observers coded by."""
        block = self.studies[study].get("rupture")
        return None if block is None else load_coding_system(block["observer"]["system"])

    def rules_of_criteria(self, study: str) -> list[str]:
        """Return the functions that a study's rupture criteria name, for the fingerprint."""
        return sorted({criterion["rule"] for criterion in self.criteria(study).values()})

    def threshold(self, study: str) -> int:
        """Return the least count that a study's exported tables may show."""
        own = self.studies[study].get("disclosure", {})
        return int(own.get("threshold", self.config["disclosure"]["threshold"]))

    def figures(self, study: str) -> list[str]:
        """Return the names of the figures that a study's data allow."""
        return [name for name, item in FIGURES.items() if item.when(self.studies[study])]

    def tables(self, study: str) -> list[str]:
        """Return the names of the report tables that a study's data allow."""
        return [name for name, item in TABLES.items() if item.when(self.studies[study])]

    def words(self, study: str) -> dict[str, str]:
        """Return what the ``$`` words of the claims mean in a study; words it has nothing for are left out."""
        block = self.studies[study]
        change, dyads, rupture = (block.get(key) or {} for key in ("change", "dyads", "rupture"))
        styles = block["measures"]["styles"] or [{}]
        found = {
            "$outcome": change["outcomes"][0]["score"] if change else None,
            "$anxiety": styles[0].get("anxiety"),
            "$avoidance": styles[0].get("avoidance"),
            "$satisfaction": dyads.get("satisfaction"),
            # What stands in for the alliance is none: no claim about it rests on that.
            "$alliance": None if rupture.get("stand_in") else rupture.get("alliance"),
        }
        return {word: score for word, score in found.items() if score}

    def unverified(self, study: str) -> dict[str, list[str]]:
        """Return what of the instruments and criteria that a study uses was not checked against its source."""
        found = {name: unverified(instrument) for name, instrument in self.instruments_of(study).items()}
        found |= {name: [] if criterion["verified"] else ["settings"] for name, criterion in self.criteria(study).items()}
        return {name: parts for name, parts in found.items() if parts}

    def settings(self, study: str) -> dict[str, Any]:
        """Return the settings that a manifest records."""
        return {
            "threshold": self.threshold(study),
            **{key: self.config[key] for key in ("seed", "ci_level", "bootstrap", "release")},
        }

    def outputs(self, study: str) -> list[str]:
        """Return every result file of a study but the manifest, relative to its folder."""
        return [*(f"{name}.csv" for name in CSV_FILES), "figures", "tables", "audit.html"]

    def draw_functions(self) -> list[str]:
        """Return the functions that draw the figures, for the fingerprint."""
        return [f"attachment_outcomes.present.figures.{name}:draw" for name in FIGURES]

    def inputs(self, *items: str) -> dict[str, str]:
        """Return the files that figures, tables or pages are made from, by name, with the study left open."""
        known = {**FIGURES, **TABLES, **PAGES}
        needs = dict.fromkeys(need for item in items for need in known[item].needs)
        return {need: f"<results>/{{study}}/{FILES[need]}" for need in needs}

    def presentation(self, study: str) -> dict[str, Any]:
        """Return what figures, tables and pages are told of a study."""
        block = self.studies[study]
        forms = read_instruments({k: self.instruments[k] for k in self._named[study]}, block["instruments"])
        return {
            **{key: block[key] for key in ("name", "title", "about", "source", "measures")},
            **{key: block.get(key) for key in ("change", "rupture", "transmission", "dyads", "audit")},
            "threshold": self.threshold(study),
            "unverified": self.unverified(study),
            "ci_level": self.config["ci_level"],
            "scales": {
                f"{key}.{name}": {
                    "title": scale.title,
                    "instrument": form.title,
                    "direction": scale.direction,
                    "range": [] if isnan(scale.low) else [scale.low, scale.high],
                }
                for key, form in forms.items()
                for name, scale in form.scales.items()
            },
        }

    def code(self, *roots: str) -> str:
        """Return the fingerprint of a script and of what it reaches."""
        return fingerprint(*roots)

    def provenance(self) -> dict[str, str]:
        """Return the checksum of the lock file, which fixes every package version."""
        return {"requirements.lock": sha256(project_root() / "requirements.lock")}


def _form(instrument: dict[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return the instrument as a study used it: published norms and criteria hold on the published answer range only."""
    answers = override.get("range", instrument["range"])
    if answers == instrument["range"]:
        return instrument
    points = ("norms", "cutoffs", "reliable_change")
    scales = {name: {**scale, **{key: [] for key in points}} for name, scale in instrument["scales"].items()}
    return {**instrument, "range": answers, "scales": scales}


def _heads(part: Any) -> Iterator[str]:
    """Yield every key and word of a configuration, of a dotted one the first half."""
    if isinstance(part, str):
        yield part.partition(".")[0]
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from _heads(key)
            yield from _heads(value)
    elif isinstance(part, list):
        for value in part:
            yield from _heads(value)


def make_plan(overrides: Mapping[str, Any] | None = None) -> Plan:
    """Read and check the configuration of a run.

    Raises
    ------
    ConfigError
        With one line a problem: file, key, what was found, what is allowed.
    """
    config = load_config(overrides)
    plan = Plan(config, {name: load_study(name) for name in config["studies"]})
    for name in plan.studies:
        _check_scores(plan, name)
        plan.criteria(name)
        if config["release"] and plan.unverified(name):
            parts = "; ".join(f"{key} ({', '.join(what)})" for key, what in plan.unverified(name).items())
            hint = "check them in their sources and set 'verified: true' there, or run with 'release: false'."
            raise ConfigError(
                problem(f"config/studies/{name}.yaml", f"a release may not rest on what is not verified: {parts}.", hint=hint)
            )
    return plan


def _check_scores(plan: Plan, study: str) -> None:
    """Refuse a score whose instrument or scale the registry does not have."""
    block = plan.studies[study]
    for score in sorted(
        set(_scores({k: block.get(k) for k in ("measures", "change", "rupture", "transmission", "dyads", "audit")}))
    ):
        instrument, scale = score.split(".", 1)
        place = f"config/studies/{study}.yaml, score {score!r}"
        if instrument not in plan.instruments:
            known = ", ".join(plan.instruments)
            raise ConfigError(
                problem(place, f"no instrument {instrument!r}; there are: {known}.{did_you_mean(instrument, plan.instruments)}")
            )
        scales = plan.instruments[instrument]["scales"]
        if scale not in scales:
            raise ConfigError(
                problem(place, f"{instrument} has no scale {scale!r}; it has {', '.join(scales)}.{did_you_mean(scale, scales)}")
            )


_SCORE_KEYS = {
    "score", "anxiety", "avoidance", "satisfaction", "outcome", "scores", "scales", "covariates", "outcomes", "series", "alliance",
    "therapist_alliance", "symptoms",
}  # fmt: skip


def _scores(part: Any, key: str = "") -> list[str]:
    if isinstance(part, Mapping):
        return [s for k, v in part.items() for s in _scores(v, str(k))]
    if isinstance(part, list):
        return [s for p in part for s in _scores(p, key)]
    return [part] if isinstance(part, str) and "." in part and key in _SCORE_KEYS else []


def figure_caption(captions: str, figure: str, settings: Mapping[str, Any]) -> str:
    """Return a figure's caption for the report: what it shows and how to read it, with the numbers its job wrote.

    The words are ``workflow/report/figures/<figure>.rst``; there ``live`` is the numbers and ``told`` the study's settings.
    """
    from jinja2 import Environment, StrictUndefined

    words = project_root() / "workflow" / "report" / "figures" / f"{figure}.rst"
    live = (Path(captions) / f"{figure}.txt").read_text(encoding="utf-8").strip()
    # The caption is reStructuredText, not HTML, so its own marks are escaped and not HTML's.
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(words.read_text(encoding="utf-8"))  # noqa: S701
    stand_in = (settings.get("rupture") or {}).get("stand_in")
    warning = STAND_IN.format(stand_in) if stand_in and FIGURES[figure].category == RUPTURES and figure not in OTHERS else ""
    return warning + template.render(live=re.sub(r"([*_`|])", r"\\\1", live), told=settings)


def prepare_jobs(source: str) -> None:
    """Let the jobs find the library without its being installed, with one thread a numeric library: jobs run in parallel."""
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    if shlex.quote(sys.executable) != sys.executable:
        # Snakemake writes this path into shell commands unquoted. Where it holds a space, the bare name is found on PATH.
        python = Path(sys.executable)
        os.environ["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
        sys.executable = python.name
