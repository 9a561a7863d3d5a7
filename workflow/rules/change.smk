# REQUIRED INPUTS: scores, styles and who was treated by whom
# OUTPUTS: change per person, transitions, growth curves


rule change:
    """
    Estimate reliable and clinically significant change, transitions between styles, earned security and growth.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        people="<results>/{study}/steps/canonical/people.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
    output:
        people_change="<results>/{study}/steps/people_change.parquet",
        transitions="<results>/{study}/steps/transitions.parquet",
        growth="<results>/{study}/steps/growth.parquet",
        estimates="<results>/{study}/steps/estimates/change.parquet",
        flow="<results>/{study}/steps/flow/change.parquet",
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
