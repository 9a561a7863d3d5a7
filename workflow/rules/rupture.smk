# REQUIRED INPUTS: session ratings
# OUTPUTS: episodes, client summaries, series for figures; outcomes by rupture and repair


rule rupture:
    """
    Find alliance ruptures and repairs by every criterion, and how often noise alone would show one.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        observations="<results>/{study}/steps/canonical/observations.parquet",
    output:
        episodes="<results>/{study}/steps/episodes.parquet",
        rupture_clients="<results>/{study}/steps/rupture_clients.parquet",
        rupture_series="<results>/{study}/steps/rupture_series.parquet",
        rupture_agreement="<results>/{study}/steps/rupture_agreement.parquet",
        rupture_raters="<results>/{study}/steps/rupture_raters.parquet",
        rupture_shapes="<results>/{study}/steps/rupture_shapes.parquet",
        observer_codes="<results>/{study}/steps/observer_codes.parquet",
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
        published=lambda wildcards: PLAN.published(wildcards.study),
        coding=lambda wildcards: PLAN.coding(wildcards.study),
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/rupture.py"


rule repair:
    """
    Relate ruptures and repairs to the outcome of clients.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        observations="<results>/{study}/steps/canonical/observations.parquet",
    output:
        rupture_outcomes="<results>/{study}/steps/rupture_outcomes.parquet",
        rupture_states="<results>/{study}/steps/rupture_states.parquet",
        repair_literature="<results>/{study}/steps/repair_literature.parquet",
        alliance_within_bins="<results>/{study}/steps/alliance_within_bins.parquet",
        session_breaks="<results>/{study}/steps/session_breaks.parquet",
        therapist_repair="<results>/{study}/steps/therapist_repair.parquet",
        repair_specifications="<results>/{study}/steps/repair_specifications.parquet",
        estimates="<results>/{study}/steps/estimates/repair.parquet",
        flow="<results>/{study}/steps/flow/repair.parquet",
    log:
        "<logs>/{study}/repair.log",
    benchmark:
        "<benchmarks>/{study}/repair.tsv"
    params:
        code=lambda wildcards: PLAN.code("scripts/repair.py", *PLAN.rules_of_criteria(wildcards.study)),
        settings=lambda wildcards: STUDIES[wildcards.study].get("rupture"),
        criteria=lambda wildcards: PLAN.criteria(wildcards.study),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        published=lambda wildcards: PLAN.published(wildcards.study),
        coding=lambda wildcards: PLAN.coding(wildcards.study),
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/repair.py"
