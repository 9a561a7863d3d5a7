"""Which models are timed, at which sizes, in which packages?

Vocabulary
----------
form        balanced: everyone has the same weeks and no row is missing, so that people with equal designs can be pooled;
            unbalanced: a fifth of the rows is missing at random and weeks are not whole, so that nobody is like another
row         one model in one form at one number of clients: what is measured together, in alternation
package     what fits: ours, lme4 (R), statsmodels, and packages of the Python package index
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

OURS, LME4, STATSMODELS = "attachment-outcomes", "lme4", "statsmodels"
PEERS = ("glmm", "mixedlm", "mixedlm-rs", "gpboost")
PACKAGES = (OURS, LME4, STATSMODELS, *PEERS)
BALANCED, UNBALANCED = "balanced", "unbalanced"
CLIENTS_EACH = 25  # of a therapist
MILLION = 1_000_000
ONE_LEVEL = "takes one grouping factor only"


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model.

    ``rows_each``  of a client, before any are lost
    ``sizes``      numbers of clients
    ``up_to``      by package, the largest size it is given; packages that are not named get all
    ``one_form``   packages that are given the balanced form only, as they take minutes
    ``cannot``     by package, why it does not fit this model
    ``one_design`` the data sets differ in the outcome only, and are fitted by what a package has for that (ours, lme4's ``refit``)
    ``fits``       data sets a call fits, one after the other; ``fits_others`` those that other packages fit, whose seconds are
                   then scaled to ``fits``
    """

    title: str
    fixed: str
    groups: tuple[str, ...]
    slopes: tuple[str, ...] = ()
    family: str = "gaussian"
    rows_each: int = 8
    sizes: tuple[int, ...] = ()
    forms: tuple[str, ...] = (BALANCED, UNBALANCED)
    up_to: Mapping[str, int] = field(default_factory=dict)
    one_form: tuple[str, ...] = ()
    cannot: Mapping[str, str] = field(default_factory=dict)
    fits: int = 1
    fits_others: int = 1
    one_design: bool = False
    from_file: bool = False

    @property
    def mixed(self) -> str:
        """The formula with its random effects, as lme4 and its followers write it."""
        first, *others = self.groups
        inner = " + ".join(self.slopes) or "1"
        return " + ".join([self.fixed, f"({inner} | {first})", *(f"(1 | {group})" for group in others)])


NO_CORRELATION = "random slopes are not correlated with intercepts"
NO_REML = "maximum likelihood only, no REML"
MODELS: dict[str, Model] = {
    "two_level": Model(
        title="two-level growth", fixed="y ~ week", groups=("client",), slopes=("week",),
        sizes=(200, 5_000, 50_000, 200_000, MILLION),
        up_to={LME4: 200_000, STATSMODELS: 5_000, "mixedlm": 50_000}, one_form=(STATSMODELS,),
        cannot={"gpboost": NO_CORRELATION},
    ),
    "three_level": Model(
        title="three-level growth", fixed="y ~ week", groups=("client", "therapist"), slopes=("week",),
        sizes=(200, 5_000, 50_000, MILLION), up_to={LME4: 50_000, STATSMODELS: 5_000, "mixedlm": 50_000}, one_form=(STATSMODELS,),
        cannot={"gpboost": NO_CORRELATION, "mixedlm-rs": ONE_LEVEL},
    ),
    "session": Model(
        title="within/between lagged session model",
        fixed="symptoms ~ symptoms_before + alliance_within + alliance_between + session",
        groups=("client", "therapist"), rows_each=12, sizes=(5_000, 50_000), forms=(BALANCED,), up_to={STATSMODELS: 5_000},
        cannot={"gpboost": NO_REML, "mixedlm-rs": ONE_LEVEL},
    ),
    "logistic": Model(
        title="logistic model", fixed="repaired ~ week + alliance", groups=("client", "therapist"), family="binomial",
        sizes=(5_000,), forms=(BALANCED,), cannot={STATSMODELS: "variational Bayes only", "mixedlm-rs": "Gaussian outcomes only"},
    ),
    "many_fits": Model(
        title="1,000 three-level fits", fixed="y ~ week", groups=("client", "therapist"), slopes=("week",), sizes=(200,),
        fits=1_000, fits_others=50, up_to={STATSMODELS: 0}, cannot={"gpboost": NO_CORRELATION, "mixedlm-rs": ONE_LEVEL},
    ),
    "many_outcomes": Model(
        title="1,000 three-level fits of one design", fixed="y ~ week", groups=("client", "therapist"), slopes=("week",),
        sizes=(200,), fits=1_000, fits_others=50, one_design=True, up_to={STATSMODELS: 0},
        cannot={"gpboost": NO_CORRELATION, "mixedlm-rs": ONE_LEVEL},
    ),
    "from_file": Model(
        title="three-level growth from a Parquet file", fixed="y ~ week", groups=("client", "therapist"), slopes=("week",),
        sizes=(MILLION,), from_file=True, up_to=dict.fromkeys(PACKAGES[1:], 0),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One model in one form at one size."""

    name: str
    form: str
    clients: int

    @property
    def model(self) -> Model:
        """What is fitted."""
        return MODELS[self.name]

    @property
    def key(self) -> str:
        """The row's name in files and on the command line, e.g. ``two_level-balanced-5000``."""
        return f"{self.name}-{self.form}-{self.clients}"

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that are given this row."""
        return tuple(p for p in PACKAGES if p not in self.left_out)

    @property
    def left_out(self) -> dict[str, str]:
        """The packages that are not given this row, and why."""
        model, why = self.model, dict(self.model.cannot)
        for package, most in model.up_to.items():
            if self.clients > most:
                why.setdefault(package, f"given up to {most:,} clients" if most else "not given this")
        if self.form != BALANCED:
            why = {**dict.fromkeys(model.one_form, "given the balanced form only"), **why}
        return why


def rows() -> Iterator[Row]:
    """Yield all rows, the small ones of a model first."""
    for name, model in MODELS.items():
        for form in model.forms:
            for clients in model.sizes:
                yield Row(name, form, clients)
