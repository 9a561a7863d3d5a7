# REQUIRED INPUTS: scores, styles and who was treated by whom
# OUTPUTS: change per person, its course over time, and how far the answer holds


rule change:
    """
    Estimate reliable and clinically significant change, how far its rules agree, transitions and earned security.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        people="<results>/{study}/steps/canonical/people.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        answers="<results>/{study}/steps/canonical/items.parquet",
    output:
        people_change="<results>/{study}/steps/people_change.parquet",
        rule_agreement="<results>/{study}/steps/rule_agreement.parquet",
        rule_patterns="<results>/{study}/steps/rule_patterns.parquet",
        rule_sensitivity="<results>/{study}/steps/rule_sensitivity.parquet",
        security_reliability="<results>/{study}/steps/security_reliability.parquet",
        transitions="<results>/{study}/steps/transitions.parquet",
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
        overrides=lambda wildcards: STUDIES[wildcards.study]["instruments"],
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=2000,
        runtime=60,
    script:
        "../../scripts/change.py"


rule course:
    """
    Estimate growth, sudden gains, time to improvement, dose and response, and latent change.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        people="<results>/{study}/steps/canonical/people.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        answers="<results>/{study}/steps/canonical/items.parquet",
    output:
        growth="<results>/{study}/steps/growth.parquet",
        therapists="<results>/{study}/steps/therapists.parquet",
        sudden_gains="<results>/{study}/steps/sudden_gains.parquet",
        sudden_gain_profile="<results>/{study}/steps/sudden_gain_profile.parquet",
        improvement_curves="<results>/{study}/steps/improvement_curves.parquet",
        dose_response="<results>/{study}/steps/dose_response.parquet",
        latent_change="<results>/{study}/steps/latent_change.parquet",
        estimates="<results>/{study}/steps/estimates/course.parquet",
        flow="<results>/{study}/steps/flow/course.parquet",
    log:
        "<logs>/{study}/course.log",
    benchmark:
        "<benchmarks>/{study}/course.tsv"
    params:
        code=PLAN.code("scripts/course.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("change"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        overrides=lambda wildcards: STUDIES[wildcards.study]["instruments"],
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=2000,
        runtime=60,
    script:
        "../../scripts/course.py"


rule robustness:
    """
    Estimate what missing data and other choices would change, and what is equivalent.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        people="<results>/{study}/steps/canonical/people.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        answers="<results>/{study}/steps/canonical/items.parquet",
    output:
        missingness="<results>/{study}/steps/missingness.parquet",
        tipping_point="<results>/{study}/steps/tipping_point.parquet",
        missing_balance="<results>/{study}/steps/missing_balance.parquet",
        equivalence="<results>/{study}/steps/equivalence.parquet",
        missing_estimates="<results>/{study}/steps/missing_estimates.parquet",
        specifications="<results>/{study}/steps/specifications.parquet",
        estimates="<results>/{study}/steps/estimates/robustness.parquet",
        flow="<results>/{study}/steps/flow/robustness.parquet",
    log:
        "<logs>/{study}/robustness.log",
    benchmark:
        "<benchmarks>/{study}/robustness.tsv"
    params:
        code=PLAN.code("scripts/robustness.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("change"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        overrides=lambda wildcards: STUDIES[wildcards.study]["instruments"],
        ci_level=PLAN.config["ci_level"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=2000,
        runtime=60,
    script:
        "../../scripts/robustness.py"
