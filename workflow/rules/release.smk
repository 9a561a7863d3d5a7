# REQUIRED INPUTS: every analysis' tables
# OUTPUTS: the tables that people open, small counts suppressed, and the manifest


rule release:
    """
    Suppress counts below {params.threshold} and write the tables that people open.
    """
    input:
        estimates="<results>/{study}/steps/estimates.parquet",
        claims="<results>/{study}/steps/claims.parquet",
        people_change="<results>/{study}/steps/people_change.parquet",
        episodes="<results>/{study}/steps/episodes.parquet",
        concordance="<results>/{study}/steps/concordance.parquet",
        residuals="<results>/{study}/steps/residuals.parquet",
        transitions="<results>/{study}/steps/transitions.parquet",
        growth="<results>/{study}/steps/growth.parquet",
        rule_agreement="<results>/{study}/steps/rule_agreement.parquet",
        rule_patterns="<results>/{study}/steps/rule_patterns.parquet",
        rule_sensitivity="<results>/{study}/steps/rule_sensitivity.parquet",
        security_reliability="<results>/{study}/steps/security_reliability.parquet",
        therapists="<results>/{study}/steps/therapists.parquet",
        sudden_gains="<results>/{study}/steps/sudden_gains.parquet",
        sudden_gain_profile="<results>/{study}/steps/sudden_gain_profile.parquet",
        improvement_curves="<results>/{study}/steps/improvement_curves.parquet",
        dose_response="<results>/{study}/steps/dose_response.parquet",
        latent_change="<results>/{study}/steps/latent_change.parquet",
        invariance="<results>/{study}/steps/invariance.parquet",
        missingness="<results>/{study}/steps/missingness.parquet",
        missing_estimates="<results>/{study}/steps/missing_estimates.parquet",
        tipping_point="<results>/{study}/steps/tipping_point.parquet",
        missing_balance="<results>/{study}/steps/missing_balance.parquet",
        equivalence="<results>/{study}/steps/equivalence.parquet",
        specifications="<results>/{study}/steps/specifications.parquet",
        rupture_agreement="<results>/{study}/steps/rupture_agreement.parquet",
        rupture_raters="<results>/{study}/steps/rupture_raters.parquet",
        rupture_shapes="<results>/{study}/steps/rupture_shapes.parquet",
        observer_codes="<results>/{study}/steps/observer_codes.parquet",
        rupture_states="<results>/{study}/steps/rupture_states.parquet",
        repair_literature="<results>/{study}/steps/repair_literature.parquet",
        alliance_within_bins="<results>/{study}/steps/alliance_within_bins.parquet",
        session_breaks="<results>/{study}/steps/session_breaks.parquet",
        therapist_repair="<results>/{study}/steps/therapist_repair.parquet",
        repair_specifications="<results>/{study}/steps/repair_specifications.parquet",
        funnel="<results>/{study}/steps/funnel.parquet",
        completeness="<results>/{study}/steps/completeness.parquet",
        loglinear="<results>/{study}/steps/loglinear.parquet",
        corrected_tables="<results>/{study}/steps/corrected_tables.parquet",
        corrected_sensitivity="<results>/{study}/steps/corrected_sensitivity.parquet",
        gap_paths="<results>/{study}/steps/gap_paths.parquet",
        gap_sensitivity="<results>/{study}/steps/gap_sensitivity.parquet",
        generation_chains="<results>/{study}/steps/generation_chains.parquet",
        generation_transitions="<results>/{study}/steps/generation_transitions.parquet",
        generation_projection="<results>/{study}/steps/generation_projection.parquet",
        interruption_cells="<results>/{study}/steps/interruption_cells.parquet",
        sample_effects="<results>/{study}/steps/sample_effects.parquet",
        sample_influence="<results>/{study}/steps/sample_influence.parquet",
        transmission_literature="<results>/{study}/steps/transmission_literature.parquet",
        sample_statistics="<results>/{study}/steps/sample_statistics.parquet",
        flow=collect(
            "<results>/{{study}}/steps/flow/{step}.parquet",
            step=["ingest", "measure", "change", "course", "robustness", "rupture", "repair", "transmission", "samples", "dyads", "audit"],
        ),
    output:
        estimates=report(
            "<results>/{study}/estimates.csv",
            caption="../report/estimates.rst",
            category="Data",
            labels={"item": "All estimates", "kind": "CSV"},
        ),
        claims="<results>/{study}/claims.csv",
        people_change="<results>/{study}/people_change.csv",
        episodes="<results>/{study}/episodes.csv",
        concordance="<results>/{study}/concordance.csv",
        flow="<results>/{study}/flow.csv",
        residuals="<results>/{study}/steps/released/residuals.parquet",
        transitions="<results>/{study}/steps/released/transitions.parquet",
        growth="<results>/{study}/steps/released/growth.parquet",
        rule_agreement="<results>/{study}/steps/released/rule_agreement.parquet",
        rule_patterns="<results>/{study}/steps/released/rule_patterns.parquet",
        rule_sensitivity="<results>/{study}/steps/released/rule_sensitivity.parquet",
        security_reliability="<results>/{study}/steps/released/security_reliability.parquet",
        therapists="<results>/{study}/steps/released/therapists.parquet",
        sudden_gains="<results>/{study}/steps/released/sudden_gains.parquet",
        sudden_gain_profile="<results>/{study}/steps/released/sudden_gain_profile.parquet",
        improvement_curves="<results>/{study}/steps/released/improvement_curves.parquet",
        dose_response="<results>/{study}/steps/released/dose_response.parquet",
        latent_change="<results>/{study}/steps/released/latent_change.parquet",
        invariance="<results>/{study}/steps/released/invariance.parquet",
        missingness="<results>/{study}/steps/released/missingness.parquet",
        missing_estimates="<results>/{study}/steps/released/missing_estimates.parquet",
        tipping_point="<results>/{study}/steps/released/tipping_point.parquet",
        missing_balance="<results>/{study}/steps/released/missing_balance.parquet",
        equivalence="<results>/{study}/steps/released/equivalence.parquet",
        specifications="<results>/{study}/steps/released/specifications.parquet",
        rupture_agreement="<results>/{study}/steps/released/rupture_agreement.parquet",
        rupture_raters="<results>/{study}/steps/released/rupture_raters.parquet",
        rupture_shapes="<results>/{study}/steps/released/rupture_shapes.parquet",
        observer_codes="<results>/{study}/steps/released/observer_codes.parquet",
        rupture_states="<results>/{study}/steps/released/rupture_states.parquet",
        repair_literature="<results>/{study}/steps/released/repair_literature.parquet",
        alliance_within_bins="<results>/{study}/steps/released/alliance_within_bins.parquet",
        session_breaks="<results>/{study}/steps/released/session_breaks.parquet",
        therapist_repair="<results>/{study}/steps/released/therapist_repair.parquet",
        repair_specifications="<results>/{study}/steps/released/repair_specifications.parquet",
        funnel="<results>/{study}/steps/released/funnel.parquet",
        completeness="<results>/{study}/steps/released/completeness.parquet",
        loglinear="<results>/{study}/steps/released/loglinear.parquet",
        corrected_tables="<results>/{study}/steps/released/corrected_tables.parquet",
        corrected_sensitivity="<results>/{study}/steps/released/corrected_sensitivity.parquet",
        gap_paths="<results>/{study}/steps/released/gap_paths.parquet",
        gap_sensitivity="<results>/{study}/steps/released/gap_sensitivity.parquet",
        generation_chains="<results>/{study}/steps/released/generation_chains.parquet",
        generation_transitions="<results>/{study}/steps/released/generation_transitions.parquet",
        generation_projection="<results>/{study}/steps/released/generation_projection.parquet",
        interruption_cells="<results>/{study}/steps/released/interruption_cells.parquet",
        sample_effects="<results>/{study}/steps/released/sample_effects.parquet",
        sample_influence="<results>/{study}/steps/released/sample_influence.parquet",
        transmission_literature="<results>/{study}/steps/released/transmission_literature.parquet",
        sample_statistics="<results>/{study}/steps/released/sample_statistics.parquet",
    log:
        "<logs>/{study}/release.log",
    benchmark:
        "<benchmarks>/{study}/release.tsv"
    params:
        code=PLAN.code("scripts/release.py"),
        threshold=lambda wildcards: PLAN.threshold(wildcards.study),
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../../scripts/release.py"


rule manifest:
    """
    Write what the results were made from: checksums, versions, seed and lock.
    """
    input:
        raw=lambda wildcards: PLAN.raw(wildcards.study),
        results=lambda wildcards: [f"<results>/{wildcards.study}/{path}" for path in PLAN.outputs(wildcards.study)],
    output:
        report(
            "<results>/{study}/manifest.json",
            caption="../report/manifest.rst",
            category="Data",
            labels={"item": "Manifest", "kind": "JSON"},
        ),
    log:
        "<logs>/{study}/manifest.log",
    benchmark:
        "<benchmarks>/{study}/manifest.tsv"
    params:
        code=PLAN.code("scripts/manifest.py"),
        study=lambda wildcards: STUDIES[wildcards.study],
        lock=PLAN.provenance(),
        settings=lambda wildcards: PLAN.settings(wildcards.study),
        unverified=lambda wildcards: PLAN.unverified(wildcards.study),
    resources:
        mem_mb=500,
        runtime=10,
    script:
        "../../scripts/manifest.py"
