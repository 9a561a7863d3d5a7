# REQUIRED INPUTS: the released tables
# OUTPUTS: figures (SVG, PNG, PDF and their data as CSV), tables (HTML and CSV), the audit page


for figure, item in FIGURES.items():

    rule:
        name:
            f"figure_{figure}"
        input:
            **PLAN.inputs(figure),
        output:
            svg=report(
                f"<results>/{{study}}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category=item.category,
                labels={"item": item.title, "kind": "figure"},
            ),
            png=f"<results>/{{study}}/figures/{figure}.png",
            pdf=f"<results>/{{study}}/figures/{figure}.pdf",
            csv=f"<results>/{{study}}/figures/{figure}.csv",
            caption=f"<results>/{{study}}/work/captions/{figure}.txt",
        log:
            f"<logs>/{{study}}/figure_{figure}.log",
        benchmark:
            f"<benchmarks>/{{study}}/figure_{figure}.tsv"
        params:
            code=PLAN.code("scripts/figure.py", f"attachment_outcomes.present.figures.{figure}:draw"),
            figure=figure,
            settings=lambda wildcards: PLAN.presentation(wildcards.study),
        resources:
            mem_mb=1000,
            runtime=10,
        script:
            "../../scripts/figure.py"


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
