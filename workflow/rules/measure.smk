# REQUIRED INPUTS: canonical items and scores
# OUTPUTS: scores, styles, reliability


rule measure:
    """
    Score the instruments, classify styles, and estimate reliability and longitudinal invariance.
    """
    input:
        answers="<results>/{study}/steps/canonical/items.parquet",
        scores="<results>/{study}/steps/canonical/scores.parquet",
        people="<results>/{study}/steps/canonical/people.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
    output:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        invariance="<results>/{study}/steps/invariance.parquet",
        estimates="<results>/{study}/steps/estimates/measure.parquet",
        flow="<results>/{study}/steps/flow/measure.parquet",
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
