# REQUIRED INPUTS: classifications, relations, scores, published samples
# OUTPUTS: class tables, corrected tables, paths, chains, interruption; statistics of samples


rule transmission:
    """
    Compare the attachment of parents and children, over two and three generations.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        relations="<results>/{study}/steps/canonical/relations.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        samples="<results>/{study}/steps/canonical/samples.parquet",
        sample_traits="<results>/{study}/steps/canonical/sample_traits.parquet",
    output:
        concordance="<results>/{study}/steps/concordance.parquet",
        residuals="<results>/{study}/steps/residuals.parquet",
        loglinear="<results>/{study}/steps/loglinear.parquet",
        corrected_tables="<results>/{study}/steps/corrected_tables.parquet",
        corrected_sensitivity="<results>/{study}/steps/corrected_sensitivity.parquet",
        transmission_pairs="<results>/{study}/steps/transmission_pairs.parquet",
        gap_paths="<results>/{study}/steps/gap_paths.parquet",
        gap_sensitivity="<results>/{study}/steps/gap_sensitivity.parquet",
        generation_chains="<results>/{study}/steps/generation_chains.parquet",
        generation_transitions="<results>/{study}/steps/generation_transitions.parquet",
        generation_projection="<results>/{study}/steps/generation_projection.parquet",
        interruption_cells="<results>/{study}/steps/interruption_cells.parquet",
        estimates="<results>/{study}/steps/estimates/transmission.parquet",
        flow="<results>/{study}/steps/flow/transmission.parquet",
    log:
        "<logs>/{study}/transmission.log",
    benchmark:
        "<benchmarks>/{study}/transmission.tsv"
    params:
        code=PLAN.code("scripts/transmission.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("transmission"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        published=lambda wildcards: PLAN.published(wildcards.study, "transmission"),
        ci_level=PLAN.config["ci_level"],
        bootstrap=PLAN.config["bootstrap"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/transmission.py"


rule samples:
    """
    Pool class tables of several samples, and set them beside the literature.
    """
    input:
        scores="<results>/{study}/steps/scores.parquet",
        styles="<results>/{study}/steps/styles.parquet",
        classifications="<results>/{study}/steps/canonical/classifications.parquet",
        relations="<results>/{study}/steps/canonical/relations.parquet",
        treatments="<results>/{study}/steps/canonical/treatments.parquet",
        samples="<results>/{study}/steps/canonical/samples.parquet",
        sample_traits="<results>/{study}/steps/canonical/sample_traits.parquet",
    output:
        sample_statistics="<results>/{study}/steps/sample_statistics.parquet",
        sample_effects="<results>/{study}/steps/sample_effects.parquet",
        sample_influence="<results>/{study}/steps/sample_influence.parquet",
        transmission_literature="<results>/{study}/steps/transmission_literature.parquet",
        estimates="<results>/{study}/steps/estimates/samples.parquet",
        flow="<results>/{study}/steps/flow/samples.parquet",
    log:
        "<logs>/{study}/samples.log",
    benchmark:
        "<benchmarks>/{study}/samples.tsv"
    params:
        code=PLAN.code("scripts/samples.py"),
        settings=lambda wildcards: STUDIES[wildcards.study].get("transmission"),
        instruments=lambda wildcards: PLAN.instruments_of(wildcards.study),
        published=lambda wildcards: PLAN.published(wildcards.study, "transmission"),
        ci_level=PLAN.config["ci_level"],
        bootstrap=PLAN.config["bootstrap"],
        seed=PLAN.config["seed"],
    resources:
        mem_mb=1500,
        runtime=30,
    script:
        "../../scripts/samples.py"
