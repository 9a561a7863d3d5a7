# REQUIRED INPUTS: the estimates of every analysis
# OUTPUTS: all estimates in one table, the ledger of claims


rule claims:
    """
    Give a verdict on each claim by the rule that was fixed beforehand.
    """
    input:
        estimates=collect(
            "<results>/{{study}}/steps/estimates/{analysis}.parquet",
            analysis=["measure", "change", "course", "robustness", "rupture", "repair", "transmission", "samples", "dyads", "audit"],
        ),
    output:
        estimates="<results>/{study}/steps/estimates.parquet",
        claims="<results>/{study}/steps/claims.parquet",
    log:
        "<logs>/{study}/claims.log",
    benchmark:
        "<benchmarks>/{study}/claims.tsv"
    params:
        code=PLAN.code("scripts/claims.py"),
        claims=PLAN.claims,
        words=lambda wildcards: PLAN.words(wildcards.study),
        ci_level=PLAN.config["ci_level"],
    resources:
        mem_mb=500,
        runtime=10,
    script:
        "../../scripts/claims.py"
