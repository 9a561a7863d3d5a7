# REQUIRED INPUTS: change per person, treatments, published counts
# OUTPUTS: funnel and completeness tables


rule audit:
    """
    Estimate the service's rates, compare its units and count what is missing.
    """
    input:
        people_change="<results>/{study}/work/people_change.parquet",
        scores="<results>/{study}/work/scores.parquet",
        treatments="<results>/{study}/work/canonical/treatments.parquet",
        waves="<results>/{study}/work/canonical/waves.parquet",
        people="<results>/{study}/work/canonical/people.parquet",
        samples="<results>/{study}/work/canonical/samples.parquet",
    output:
        funnel="<results>/{study}/work/funnel.parquet",
        completeness="<results>/{study}/work/completeness.parquet",
        estimates="<results>/{study}/work/estimates/audit.parquet",
        flow="<results>/{study}/work/flow/audit.parquet",
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
