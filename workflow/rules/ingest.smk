# REQUIRED INPUTS: the study's raw files
# OUTPUTS: the canonical tables in steps/canonical/, the flow of exclusions


rule ingest:
    """
    Read the raw files, stop at anything identifying, and write the canonical tables.
    """
    input:
        raw=lambda wildcards: PLAN.raw(wildcards.study),
    output:
        people="<results>/{study}/steps/canonical/people.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        answers="<results>/{study}/steps/canonical/items.parquet",
        scores="<results>/{study}/steps/canonical/scores.parquet",
        waves="<results>/{study}/steps/canonical/waves.parquet",
        sessions="<results>/{study}/steps/canonical/sessions.parquet",
        observations="<results>/{study}/steps/canonical/observations.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        relations="<results>/{study}/steps/canonical/relations.parquet",
        samples="<results>/{study}/steps/canonical/samples.parquet",
        sample_traits="<results>/{study}/steps/canonical/sample_traits.parquet",
        flow="<results>/{study}/steps/flow/ingest.parquet",
    log:
        "<logs>/{study}/ingest.log",
    benchmark:
        "<benchmarks>/{study}/ingest.tsv"
    params:
        code=PLAN.code("scripts/ingest.py"),
        study=lambda wildcards: {
            key: STUDIES[wildcards.study][key] for key in ("name", "title", "source", "folder", "open_data", "sources")
        },
        ranges=lambda wildcards: PLAN.ranges(wildcards.study),
        id_key_file=PLAN.config["id_key_file"],
    resources:
        mem_mb=2000,
        runtime=30,
    script:
        "../../scripts/ingest.py"
