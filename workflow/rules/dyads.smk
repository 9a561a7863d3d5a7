# REQUIRED INPUTS: couples and their scores
# OUTPUTS: couples


rule dyads:
    """
    Assess recovery of couples and how alike partners are.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        relations="<results>/{study}/steps/canonical/relations.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
    output:
        couples="<results>/{study}/steps/couples.parquet",
        estimates="<results>/{study}/steps/estimates/dyads.parquet",
        flow="<results>/{study}/steps/flow/dyads.parquet",
    log:
        "<logs>/{study}/dyads.log",
    benchmark:
        "<benchmarks>/{study}/dyads.tsv"
    params:
        code=PLAN.code("scripts/dyads.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("dyads"),
        change=lambda wildcards: STUDIES[wildcards.study].get("change"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        ci_level=PLAN.config["ci_level"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/dyads.py"
