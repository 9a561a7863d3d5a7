# REQUIRED INPUTS: scores, styles and who was treated by whom
# OUTPUTS: change per person, transitions, growth curves


rule change:
    """
    Estimate reliable and clinically significant change, transitions between styles, earned security and growth.
    """
    input:
        scores="<results>/{study}/work/scores.parquet",
        styles="<results>/{study}/work/styles.parquet",
        waves="<results>/{study}/work/canonical/waves.parquet",
        people="<results>/{study}/work/canonical/people.parquet",
        treatments="<results>/{study}/work/canonical/treatments.parquet",
        classifications="<results>/{study}/work/canonical/classifications.parquet",
    output:
        people_change="<results>/{study}/work/people_change.parquet",
        transitions="<results>/{study}/work/transitions.parquet",
        growth="<results>/{study}/work/growth.parquet",
        estimates="<results>/{study}/work/estimates/change.parquet",
        flow="<results>/{study}/work/flow/change.parquet",
    log:
        "<logs>/{study}/change.log",
    benchmark:
        "<benchmarks>/{study}/change.tsv"
    params:
        code=PLAN.code("scripts/change.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("change"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        ci_level=PLAN.config["ci_level"],
        bootstrap=PLAN.config["bootstrap"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/change.py"
