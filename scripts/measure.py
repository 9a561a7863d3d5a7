"""Scores, styles, reliability, invariance and descriptives of one study."""

from attachment_outcomes.files import write_table
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.job import Job, run
from attachment_outcomes.measures.assembly import all_scores, item_matrices
from attachment_outcomes.measures.descriptives import describe_scores
from attachment_outcomes.measures.instruments import read_instruments
from attachment_outcomes.measures.invariance import invariance_estimates
from attachment_outcomes.measures.omega import omega_estimates
from attachment_outcomes.measures.reliability import reliability_estimates
from attachment_outcomes.measures.stability import stability_estimates
from attachment_outcomes.measures.styles import classify, style_estimates
from attachment_outcomes.study import contracts


def main(job: Job) -> None:
    registry, level = job.params.instruments, job.params.ci_level
    settings = job.params.settings or {}
    chosen = settings.get("styles", [])
    forms = read_instruments(registry, job.params.overrides)
    flow = Flow()

    matrices = item_matrices(contracts.read(job.input.answers, "items"), forms)
    scores = all_scores(matrices, contracts.read(job.input.scores, "scores"), forms, flow=flow)
    styles = classify(scores, chosen, forms, flow=flow, registry=registry)
    reliability = reliability_estimates(matrices, forms, ci_level=level)
    people, waves, treatments = (contracts.read(getattr(job.input, t), t) for t in ("people", "waves", "treatments"))
    found, tables = invariance_estimates(matrices, forms, settings.get("invariance"), people=people, ci_level=level)
    stable = settings.get("stability", [])
    rows = [
        *reliability,
        *omega_estimates(matrices, forms, ci_level=level),
        *stability_estimates(scores, stable, forms, flow=flow, waves=waves, treatments=treatments, ci_level=level),
        *found,
        *describe_scores(scores, forms, ci_level=level),
        *style_estimates(styles, chosen, forms, reliability, registry=registry),
    ]

    contracts.write(scores, "scores", job.output.scores)
    write_table(styles, job.output.styles)
    write_table(tables["invariance"], job.output.invariance)
    write_table(estimates_frame(rows, study=job.study), job.output.estimates)
    write_table(flow.frame(), job.output.flow)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)
