# REQUIRED INPUTS: classifications, relations, published samples
# OUTPUTS: class tables and sample statistics


rule transmission:
    """
    Compare the attachment of parents and children, and pool published samples.
    """
    input:
        scores="<results>/{study}/work/scores.parquet",
        classifications="<results>/{study}/work/canonical/classifications.parquet",
        relations="<results>/{study}/work/canonical/relations.parquet",
        samples="<results>/{study}/work/canonical/samples.parquet",
    output:
        concordance="<results>/{study}/work/concordance.parquet",
        residuals="<results>/{study}/work/residuals.parquet",
        samples="<results>/{study}/work/sample_statistics.parquet",
        pairs="<results>/{study}/work/transmission_pairs.parquet",
        estimates="<results>/{study}/work/estimates/transmission.parquet",
        flow="<results>/{study}/work/flow/transmission.parquet",
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
