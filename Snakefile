import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.15")

# Jobs do the parallel work: one thread a numeric library. The library is found without being installed.
SOURCE = (Path(workflow.current_basedir) / "src").as_posix()
sys.path.insert(0, SOURCE)
os.environ["PYTHONPATH"] = os.pathsep.join([SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

from attachment_outcomes.plan import FIGURES, TABLES, caption_text, make_plan

PLAN = make_plan(config)
STUDIES = PLAN.studies
config["live"] = caption_text


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
        collect("<results>/{study}/manifest.json", study=STUDIES),
    localrule: True
