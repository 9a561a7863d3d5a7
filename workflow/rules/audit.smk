# REQUIRED INPUTS: change per person, treatments, published counts
# OUTPUTS: funnel and completeness tables


rule audit:
    """
    Estimate the service's rates, compare its units and count what is missing.
    """
    input:
        people_change="<results>/{study}/steps/people_change.parquet",
        scores="<results>/{study}/steps/scores.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        people="<results>/{study}/steps/canonical/people.parquet",
        samples="<results>/{study}/steps/canonical/samples.parquet",
    output:
        funnel="<results>/{study}/steps/funnel.parquet",
        completeness="<results>/{study}/steps/completeness.parquet",
        estimates="<results>/{study}/steps/estimates/audit.parquet",
        flow="<results>/{study}/steps/flow/audit.parquet",
    log:
        "<logs>/{study}/audit.log",
    benchmark:
        "<benchmarks>/{study}/audit.tsv"
    params:
        code=PLAN.code("scripts/audit.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("audit"),
        change=lambda wildcards: STUDIES[wildcards.study].get("change"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        ci_level=PLAN.config["ci_level"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/audit.py"
