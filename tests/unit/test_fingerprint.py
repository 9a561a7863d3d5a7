"""A fingerprint changes with the code a step reaches, and with nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from attachment_outcomes import fingerprint as module
from attachment_outcomes.fingerprint import fingerprint

FILES = {
    "__init__.py": "",
    "registry.py": "def entry_points(room, names):\n    return names, names\n",
    "room/__init__.py": '''
        """A room."""
        from attachment_outcomes.registry import entry_points

        __getattr__, __dir__ = entry_points(__name__, {"gain": "change", "other": "unused"})
        ''',
    "room/change.py": '''
        """Gains."""
        from attachment_outcomes.room import limits
        from attachment_outcomes.room.limits import SMALLEST as LEAST, Rule

        FACTOR = 2
        UNUSED = 3


        def gain(pre, post):
            """Return the gain."""
            return helper(post - pre) * FACTOR


        def helper(x):
            # shared
            return max(x, LEAST) + limits.offset(x)


        def strict(x):
            return Rule().apply(x)


        def alone(x):
            return x
        ''',
    "room/limits.py": '''
        """Limits."""
        SMALLEST = 0
        TABLE = {}
        TABLE["a"] = 1
        print("set up")


        def offset(x):
            return TABLE[x]


        def unused(x):
            return 2


        class Rule:
            """A rule."""

            def apply(self, x):
                """Apply it."""
                return x
        ''',
    "far/__init__.py": '''
        """A door to another room."""
        from attachment_outcomes.registry import entry_points

        __getattr__, __dir__ = entry_points(__name__, {"gain": "attachment_outcomes.room.change"})
        ''',
    "room/unused.py": "def other(x):\n    return 5\n",
    "other/__init__.py": "",
    "other/change.py": "print('on import')\n\n\ndef gain(x):\n    return 7\n",
}

SCRIPTS = {
    "direct": "from attachment_outcomes.room.change import gain\n\n\ndef main(job):\n    gain(1, 2)\n",
    "strict": "from attachment_outcomes.room.change import strict\n\n\ndef main(job):\n    strict(1)\n",
    "alone": "from attachment_outcomes.room.change import alone\n\n\ndef main(job):\n    alone(1)\n",
    "alias": "import attachment_outcomes.room.change as c\n\n\ndef main(job):\n    c.gain(1, 2)\n",
    "dotted": "import attachment_outcomes.other.change\nimport attachment_outcomes.room.change\n\n\n"
    "def main(job):\n    attachment_outcomes.room.change.gain(1, 2)\n    attachment_outcomes.other.change.gain(1)\n",
    "entry": "from attachment_outcomes.room import gain\n\n\ndef main(job):\n    gain(1, 2)\n",
    "far": "from attachment_outcomes.far import gain\n\n\ndef main(job):\n    gain(1, 2)\n",
    "string": "RULE = 'attachment_outcomes.room.change:gain'\n",
    "inner": "def main(job):\n    from attachment_outcomes.room.change import gain\n    gain(1, 2)\n\n\n"
    "def second(job):\n    from attachment_outcomes.other.change import gain\n    gain(1)\n",
    "module": "from attachment_outcomes.room import change\n\n\ndef main(job):\n    return vars(change)\n",
}
ALL = set(SCRIPTS)
USE_GAIN = {"direct", "alias", "dotted", "entry", "far", "string", "inner", "module"}

Edit = Callable[[str, str, str], None]
Changed = Callable[[], set[str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = tmp_path / "src" / "attachment_outcomes"
    for name, text in FILES.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name, text in SCRIPTS.items():
        (scripts / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(module, "SOURCE", source)
    return tmp_path


def prints(project: Path) -> dict[str, str]:
    module._read.cache_clear()
    module._file.cache_clear()
    return {name: fingerprint(project / "scripts" / f"{name}.py") for name in SCRIPTS}


def changed_by(project: Path, file: str, old: str, new: str) -> set[str]:
    """Return the scripts whose fingerprint an edit changes."""
    before = prints(project)
    path = project / "src" / "attachment_outcomes" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    after = prints(project)
    return {name for name in SCRIPTS if before[name] != after[name]}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("room/change.py", '"""Return the gain."""', '"""Return the gain, in score points.\n\n    Longer.\n    """'),
        ("room/change.py", '"""Gains."""', '"""Other words."""'),
        ("room/change.py", "# shared", "# used by gain only"),
        (
            "room/change.py",
            "return max(x, LEAST) + limits.offset(x)",
            "return (\n        max( x,LEAST )  + limits.offset( x )\n    )",
        ),
        ("room/limits.py", '"""Apply it."""', '"""Apply the rule."""'),
        ("room/limits.py", '"""Limits."""', ""),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(project: Path, file: str, old: str, new: str) -> None:
    assert changed_by(project, file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "users"),
    [
        ("room/change.py", "post - pre", "pre - post", USE_GAIN),
        ("room/change.py", "max(x, LEAST)", "min(x, LEAST)", USE_GAIN),
        ("room/change.py", "FACTOR = 2", "FACTOR = 4", USE_GAIN),
        ("room/change.py", "UNUSED = 3", "UNUSED = 4", {"module"}),
        ("room/change.py", "def alone(x):\n    return x", "def alone(x):\n    return -x", {"alone", "module"}),
        ("room/limits.py", "SMALLEST = 0", "SMALLEST = 1", USE_GAIN),
        ("room/limits.py", "return TABLE[x]", "return TABLE[-x]", USE_GAIN),
        ("room/limits.py", "return 2", "return 3", set()),
        ("room/limits.py", "        return x", "        return x + 1", {"strict", "module"}),
        ("room/limits.py", 'TABLE["a"] = 1', 'TABLE["a"] = 2', USE_GAIN),
        ("room/limits.py", 'print("set up")', 'print("other set-up")', USE_GAIN | {"strict"}),
        ("room/unused.py", "return 5", "return 6", set()),
        ("other/change.py", "return 7", "return 8", {"dotted", "inner"}),
        ("other/change.py", "'on import'", "'at import'", {"dotted", "inner"}),
    ],
)
def test_an_edit_changes_exactly_its_users(project: Path, file: str, old: str, new: str, users: set[str]) -> None:
    assert changed_by(project, file, old, new) == users


def test_new_functions_and_new_modules_change_nothing(project: Path) -> None:
    before = prints(project)
    source = project / "src" / "attachment_outcomes"
    with (source / "room" / "limits.py").open("a", encoding="utf-8") as handle:
        handle.write("\n\ndef newcomer(x):\n    return x\n")
    (source / "room" / "newest.py").write_text("X = 1\n", encoding="utf-8")
    after = prints(project)
    assert before == after


def test_the_script_itself_counts(project: Path) -> None:
    before = prints(project)
    path = project / "scripts" / "direct.py"
    path.write_text(path.read_text(encoding="utf-8").replace("gain(1, 2)", "gain(2, 1)"), encoding="utf-8")
    after = prints(project)
    assert {name for name in SCRIPTS if before[name] != after[name]} == {"direct"}


def test_roots_may_be_references_and_their_order_is_of_no_account(project: Path) -> None:
    script = project / "scripts" / "alone.py"
    reference = "attachment_outcomes.room.change:gain"
    assert fingerprint(script, reference) == fingerprint(reference, script)
    assert fingerprint(script, reference) != fingerprint(script)


def test_a_reference_reaches_the_same_code_as_its_import(project: Path) -> None:
    edits = [("room/change.py", "post - pre", "pre + post"), ("room/unused.py", "return 5", "return 9")]
    reference = "attachment_outcomes.room.change:gain"
    seen = []
    for edit in edits:
        before = fingerprint(reference)
        changed_by(project, *edit)
        seen.append(before != fingerprint(reference))
    assert seen == [True, False]


def test_a_missing_script_is_an_error(project: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint(project / "scripts" / "nowhere.py")


def test_outlines_are_kept_beside_the_compiled_code_and_a_spoilt_one_is_made_again(project: Path) -> None:
    before = prints(project)
    kept = sorted(project.rglob("*.outline.json"))
    assert project / "scripts" / "__pycache__" / "direct.outline.json" in kept
    for path in kept:
        path.write_text("{", encoding="utf-8")
    assert prints(project) == before


def test_the_same_code_elsewhere_has_the_same_fingerprint(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prints(project)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "project"
    project.rename(elsewhere)
    monkeypatch.setattr(module, "SOURCE", elsewhere / "src" / "attachment_outcomes")
    assert prints(elsewhere) == before


def test_every_script_of_the_project_has_a_fingerprint(root: Path) -> None:
    for path in sorted((root / "scripts").glob("*.py")):
        assert len(fingerprint(path)) == 16
