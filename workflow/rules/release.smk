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
        funnel="<results>/{study}/steps/funnel.parquet",
        completeness="<results>/{study}/steps/completeness.parquet",
        samples="<results>/{study}/steps/sample_statistics.parquet",
        flow=collect(
            "<results>/{{study}}/steps/flow/{step}.parquet",
            step=["ingest", "measure", "change", "rupture", "transmission", "dyads", "audit"],
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
        funnel="<results>/{study}/steps/released/funnel.parquet",
        completeness="<results>/{study}/steps/released/completeness.parquet",
        samples="<results>/{study}/steps/released/sample_statistics.parquet",
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
