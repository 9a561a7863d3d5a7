# REQUIRED INPUTS: couples and their scores
# OUTPUTS: couples


rule dyads:
    """
    Assess recovery of couples and how alike partners are.
    """
    input:
        scores="<results>/{study}/work/scores.parquet",
        styles="<results>/{study}/work/styles.parquet",
        relations="<results>/{study}/work/canonical/relations.parquet",
        classifications="<results>/{study}/work/canonical/classifications.parquet",
    output:
        couples="<results>/{study}/work/couples.parquet",
        estimates="<results>/{study}/work/estimates/dyads.parquet",
        flow="<results>/{study}/work/flow/dyads.parquet",
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
