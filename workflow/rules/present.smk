# REQUIRED INPUTS: the released tables
# OUTPUTS: figures (SVG, PNG, PDF and their data as CSV), tables (HTML and CSV), the audit page


rule figures:
    """
    Draw the figures that the study's data allow.
    """
    input:
        **PLAN.inputs(*FIGURES),
    output:
        figures=report(
            directory("<results>/{study}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure].category,
            labels=lambda wildcards: {"item": FIGURES[wildcards.figure].title, "kind": "figure"},
        ),
        captions=directory("<results>/{study}/steps/captions"),
    log:
        "<logs>/{study}/figures.log",
    benchmark:
        "<benchmarks>/{study}/figures.tsv"
    params:
        code=PLAN.code("scripts/figures.py", *PLAN.draw_functions()),
        figures=lambda wildcards: PLAN.figures(wildcards.study),
        settings=lambda wildcards: PLAN.presentation(wildcards.study),
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../../scripts/figures.py"


rule tables:
    """
    Set the tables of the report.
    """
    input:
        **PLAN.inputs(*TABLES),
    output:
        report(
            directory("<results>/{study}/tables"),
            patterns=["{table}.html"],
            caption="../report/table.rst",
            category=lambda wildcards: TABLES[wildcards.table].category,
            labels=lambda wildcards: {"item": TABLES[wildcards.table].title, "kind": "table"},
        ),
    log:
        "<logs>/{study}/tables.log",
    benchmark:
        "<benchmarks>/{study}/tables.tsv"
    params:
        code=PLAN.code("scripts/tables.py"),
        tables=lambda wildcards: PLAN.tables(wildcards.study),
        settings=lambda wildcards: PLAN.presentation(wildcards.study),
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../../scripts/tables.py"


rule audit_page:
    """
    Write the one-page audit.
    """
    input:
        **PLAN.inputs("audit_page"),
    output:
        report(
            "<results>/{study}/audit.html",
            caption="../report/audit.rst",
            category="Audit",
            labels={"item": "Audit on one page", "kind": "page"},
        ),
    log:
        "<logs>/{study}/audit_page.log",
    benchmark:
        "<benchmarks>/{study}/audit_page.tsv"
    params:
        code=PLAN.code("scripts/audit_page.py"),
        settings=lambda wildcards: PLAN.presentation(wildcards.study),
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../../scripts/audit_page.py"
