"""Fit one model with one package in a process of its own, and write what it took: ``fit.py PACKAGE FOLDER OUT``.

The folder holds ``about.json`` (formula, groups, columns) and a binary file a column. Written for whichever Python has the
package: it needs NumPy, pandas and that package only. ``fit.py --versions`` prints the versions of the packages that this Python
has. ``fit.R`` does the same for lme4.
"""

import itertools
import json
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path

STARTED = time.perf_counter()
SHORT, LONG, CALLS = 3.0, 10.0, 5  # seconds: no more calls after SHORT altogether, no second one after a first of LONG
PACKAGES = ("attachment-outcomes", "statsmodels", "glmm", "mixedlm", "mixedlm-rs", "gpboost", "numpy", "scipy", "pandas")


def peak_mb():
    """Return the most memory this process has held; Linux tells that of this program alone, others that of the process."""
    try:
        line = next(x for x in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        try:
            import resource
        except ImportError:
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def found(fixed, std_errors, variances, loglik, converged, **more):
    """Return the estimates in plain numbers; variances client first, then covariance and slope, therapist, residual."""
    numbers = {"fixed": fixed, "std_errors": std_errors, "variances": variances}
    plain = {key: [float(v) for v in values] for key, values in numbers.items()}
    return {**plain, "loglik": float(loglik), "converged": None if converged is None else bool(converged), **more}


def ours(about):
    """Fit with this library."""
    names = list(about["groups"])
    if about["family"] == "binomial":
        from attachment_outcomes.inference.logistic_mixed import logistic_mixed_model

        def fit(data):
            return logistic_mixed_model(about["fixed"], data, groups=names)
    else:
        from attachment_outcomes.inference import mixed_model

        def fit(data):
            return mixed_model(about["fixed"], data, groups=names, slopes=about["slopes"])

    def call(data):
        got = fit(data)
        work = {key: getattr(got, key) for key in ("n_evaluations", "n_passes") if hasattr(got, key)}
        v = got.variances
        parts = [v["intercept"]]
        for slope in about["slopes"]:
            parts += [v[f"intercept:{slope}"], v[slope]]
        parts += [v[f"{name}: intercept"] for name in names[1:]] + ([v["residual"]] if "residual" in v else [])
        return found(got.estimates["estimate"], got.estimates["std_error"], parts, got.loglik, got.converged, **work)

    return call


def ours_together(about):
    """Fit one design to all outcomes with this library."""
    import numpy as np

    from attachment_outcomes.inference.mixed import repeated_fits

    outcome, names = about["fixed"].partition(" ~ ")[0], list(about["groups"])
    parts = ["intercept", *(f(s) for s in about["slopes"] for f in ("intercept:{}".format, str))]
    parts += [*(f"{name}: intercept" for name in names[1:]), "residual"]

    def call(sets):
        outcomes = np.column_stack([data[outcome] for data in sets])
        got = repeated_fits(about["fixed"], sets[0], outcomes, groups=names, slopes=about["slopes"])
        shape = (len(sets), -1)
        fixed, std_errors = (got.estimates[c].to_numpy().reshape(shape) for c in ("estimate", "std_error"))
        numbers = zip(fixed, std_errors, got.variances[parts].to_numpy(), got.loglik, got.converged, strict=True)
        return [found(*each, n_alone=got.n_alone) for each in numbers]

    return call


def statsmodels(about):
    """Fit with MixedLM; two levels above the rows by variance components, which cannot be correlated."""
    import statsmodels.formula.api as smf

    first, *others = about["groups"]
    if others:
        terms = {first: f"0 + C({first})", **{s: f"0 + C({first}):{s}" for s in about["slopes"]}}
        more = {"groups": others[0], "re_formula": "1", "vc_formula": terms}
    else:
        more = {"groups": first, "re_formula": "~" + " + ".join(about["slopes"] or ["1"])}

    def call(data):
        model = smf.mixedlm(about["fixed"], data, **more)
        got = model.fit()
        over = got.cov_re.to_numpy()
        if others:
            by_name = dict(zip(model.exog_vc.names, got.vcomp, strict=True))
            slopes = [x for s in about["slopes"] for x in (0.0, by_name[s])]
            parts = [by_name[first], *slopes, over[0, 0], got.scale]
        else:
            parts = [*(over[i, j] for j in range(len(over)) for i in range(j + 1)), got.scale]
        return found(got.fe_params, got.bse_fe, parts, got.llf, got.converged)

    return call


def glmm(about):
    """Fit with glmm."""
    import glmm

    def call(data):
        got = glmm.fit(data, about["mixed"], about["family"])
        parts = [
            v for (group, _), pieces in zip(got.re_groups, got.varcorr, strict=True) if group in about["groups"] for v in pieces
        ]
        rest = [got.dispersion] if about["family"] == "gaussian" else []
        return found(got.beta, got.se, [*parts, *rest], got.loglik, got.converged, n_evaluations=got.n_eval)

    return call


def mixedlm(about):
    """Fit with mixedlm."""
    import mixedlm
    import numpy as np

    mixedlm.lmer, mixedlm.glmer  # noqa: B018 (loaded on demand)
    binomial = mixedlm.families.Binomial()

    def call(data):
        if about["family"] == "binomial":
            got = mixedlm.glmer(about["mixed"], data, family=binomial)
        else:
            got = mixedlm.lmer(about["mixed"], data)
        by_group = got.VarCorr().groups
        parts = []
        for name in about["groups"]:
            over = by_group[name].cov
            parts += [over[i, j] for j in range(len(over)) for i in range(j + 1)]
        rest = [got.sigma**2] if about["family"] == "gaussian" else []
        return found(got.fixef().values(), np.sqrt(np.diag(got.vcov())), [*parts, *rest], got.logLik().value, got.converged)

    return call


def mixedlm_rs(about):
    """Fit with mixedlm-rs."""
    import mixedlm_rs

    re_formula = "~" + " + ".join(about["slopes"] or ["1"])

    def call(data):
        got = mixedlm_rs.mixedlm(about["fixed"], data, groups=about["groups"][0], re_formula=re_formula).fit()
        over = got.cov_re.to_numpy() if hasattr(got.cov_re, "to_numpy") else got.cov_re
        parts = [over[i, j] for j in range(len(over)) for i in range(j + 1)]
        return found(got.fe_params, got.bse_fe, [*parts, got.scale], got.llf, got.converged)

    return call


def gpboost(about):
    """Fit with gpboost, whose design is built here; it takes no formula."""
    import gpboost
    import numpy as np

    outcome, _, rest = about["fixed"].partition(" ~ ")

    def call(data):
        x = np.column_stack([np.ones(len(data)), data[rest.split(" + ")]])
        model = gpboost.GPModel(group_data=data[list(about["groups"])], likelihood="bernoulli_logit")
        model.fit(y=data[outcome].to_numpy(), X=x)
        coefficients = model.get_coef(std_err=True, format_pandas=False)
        loglik = -model.get_current_neg_log_likelihood()
        return found(coefficients[0], coefficients[1], model.get_cov_pars(format_pandas=False), loglik, None)

    return call


FITTERS = {
    "attachment-outcomes": ours, "statsmodels": statsmodels, "glmm": glmm, "mixedlm": mixedlm, "mixedlm-rs": mixedlm_rs,
    "gpboost": gpboost,
}  # fmt: skip


def read(folder, about):
    """Return the data sets: a list of frames, or of the path of the one file."""
    if about["file"]:
        return [str(folder / about["file"])]
    import numpy as np
    import pandas as pd

    columns = {name: np.fromfile(folder / f"{name}.bin", dtype=kind) for name, kind in about["columns"].items()}
    starts = about["starts"]
    return [pd.DataFrame({k: v[a:b] for k, v in columns.items()}) for a, b in itertools.pairwise(starts)]


def mean_of(all_found):
    """Return the means over several fits."""
    first = all_found[0]
    mean = {
        key: [sum(v) / len(v) for v in zip(*(f[key] for f in all_found), strict=True)]
        for key in ("fixed", "std_errors", "variances")
    }
    converged = None if first["converged"] is None else all(f["converged"] for f in all_found)
    loglik = sum(f["loglik"] for f in all_found) / len(all_found)
    return {**first, **mean, "loglik": loglik, "converged": converged}


def main(package, folder, out):
    """Time the fits, and write seconds, memory and estimates."""
    warnings.simplefilter("ignore")
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    if about["one_design"] and package == "attachment-outcomes":
        call_all = ours_together(about)
    else:
        call = FITTERS[package](about)

        def call_all(sets):
            return [call(data) for data in sets]

    imported = time.perf_counter()
    sets = read(folder, about)[: about["fits"] if package == "attachment-outcomes" else about["fits_others"]]
    read_at, before = time.perf_counter(), peak_mb()
    calls = []
    while True:
        started, cpu = time.perf_counter(), time.process_time()
        got = call_all(sets)
        calls.append({"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu})
        spent = time.perf_counter() - read_at
        if len(calls) == CALLS or calls[0]["seconds"] > LONG or (len(calls) > 1 and spent > SHORT) or len(sets) > 1:
            break
    content = {
        "import_seconds": imported - STARTED, "read_seconds": read_at - imported, "calls": calls, "fits": len(sets),
        "before_mb": before, "peak_mb": peak_mb(), "estimates": mean_of(got[: about["fits_others"]]),
    }  # fmt: skip
    out.write_text(json.dumps(content), encoding="utf-8")


def versions():
    """Return the versions of the packages that this Python has."""
    there = {}
    for name in PACKAGES:
        try:
            there[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {**there, "python": sys.version.split()[0]}


if __name__ == "__main__":
    if sys.argv[1:] == ["--versions"]:
        sys.stdout.write(json.dumps(versions()))
    else:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
