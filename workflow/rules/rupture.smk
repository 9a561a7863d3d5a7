# REQUIRED INPUTS: session ratings
# OUTPUTS: episodes, client summaries, series for figures


rule rupture:
    """
    Find alliance ruptures and repairs and compare outcomes between clients with none, repaired and unrepaired ruptures.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
    output:
        episodes="<results>/{study}/steps/episodes.parquet",
        clients="<results>/{study}/steps/rupture_clients.parquet",
        series="<results>/{study}/steps/rupture_series.parquet",
        outcomes="<results>/{study}/steps/rupture_outcomes.parquet",
        estimates="<results>/{study}/steps/estimates/rupture.parquet",
        flow="<results>/{study}/steps/flow/rupture.parquet",
    log:
        "<logs>/{study}/rupture.log",
    benchmark:
        "<benchmarks>/{study}/rupture.tsv"
    params:
        code=lambda wildcards: PLAN.code("scripts/rupture.py", *PLAN.rules_of_criteria(wildcards.study)),
        settings=lambda wildcards: STUDIES[wildcards.study].get("rupture"),
        criteria=lambda wildcards: PLAN.criteria(wildcards.study),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/rupture.py"
