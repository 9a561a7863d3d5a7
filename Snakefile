import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.15")

SOURCE = (Path(workflow.current_basedir) / "src").as_posix()
sys.path.insert(0, SOURCE)

from attachment_outcomes.plan import FIGURES, TABLES, figure_caption, make_plan, prepare_jobs

prepare_jobs(SOURCE)
PLAN = make_plan(config)
PLAN.check_files()
STUDIES = PLAN.studies
config.update(PLAN.config, figure_caption=figure_caption)


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/change.smk"
include: "workflow/rules/rupture.smk"
include: "workflow/rules/transmission.smk"
include: "workflow/rules/dyads.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/release.smk"
include: "workflow/rules/present.smk"


for path in PLAN.config["custom_rules"]:

    include: path


rule all:
    input:
        [f"<results>/{study}/{path}" for study in STUDIES for path in (*PLAN.outputs(study), "manifest.json")],
    localrule: True
