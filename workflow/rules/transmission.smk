# REQUIRED INPUTS: classifications, relations, published samples
# OUTPUTS: class tables and sample statistics


rule transmission:
    """
    Compare the attachment of parents and children, and pool published samples.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        relations="<results>/{study}/steps/canonical/relations.parquet",
        samples="<results>/{study}/steps/canonical/samples.parquet",
    output:
        concordance="<results>/{study}/steps/concordance.parquet",
        residuals="<results>/{study}/steps/residuals.parquet",
        samples="<results>/{study}/steps/sample_statistics.parquet",
        pairs="<results>/{study}/steps/transmission_pairs.parquet",
        estimates="<results>/{study}/steps/estimates/transmission.parquet",
        flow="<results>/{study}/steps/flow/transmission.parquet",
    log:
        "<logs>/{study}/transmission.log",
    benchmark:
        "<benchmarks>/{study}/transmission.tsv"
    params:
        code=PLAN.code("scripts/transmission.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("transmission"),
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/transmission.py"
