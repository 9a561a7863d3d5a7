# REQUIRED INPUTS: canonical items and scores
# OUTPUTS: scores, styles, reliability


rule measure:
    """
    Score the instruments, classify styles and estimate reliability.
    """
    input:
        answers="<results>/{study}/work/canonical/items.parquet",
        scores="<results>/{study}/work/canonical/scores.parquet",
    output:
        scores="<results>/{study}/work/scores.parquet",
        styles="<results>/{study}/work/styles.parquet",
        estimates="<results>/{study}/work/estimates/measure.parquet",
        flow="<results>/{study}/work/flow/measure.parquet",
    log:
        "<logs>/{study}/measure.log",
    benchmark:
        "<benchmarks>/{study}/measure.tsv"
    params:
        code=PLAN.code("scripts/measure.py"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        overrides=lambda wildcards: STUDIES[wildcards.study]["instruments"],
        settings=lambda wildcards: STUDIES[wildcards.study]["measures"],
        ci_level=PLAN.config["ci_level"],
        bootstrap=PLAN.config["bootstrap"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/measure.py"
