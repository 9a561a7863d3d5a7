"""What a configuration's author reads when something is wrong: which file, which key, what was found, what is allowed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from attachment_outcomes import config
from attachment_outcomes.errors import ConfigError

STUDY = """\
name: mine
title: A study of mine
source: {citation: Me, licence: CC0}
folder: mine
sources:
  - file: people.csv
    tables:
      - table: people
        columns:
          person_id: id
          role: {value: client}
"""


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the real schemas and one study."""
    shutil.copytree(root / "workflow" / "schemas", tmp_path / "workflow" / "schemas")
    for folder in ("studies", "instruments", "criteria"):
        (tmp_path / "config" / folder).mkdir(parents=True)
    (tmp_path / "config" / "config.yaml").write_text("studies: [mine]\n", encoding="utf-8")
    (tmp_path / "config" / "studies" / "mine.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.setenv(config.ROOT_VARIABLE, str(tmp_path))
    return tmp_path


def message(project: Path, text: str | bytes) -> str:
    """Return what is said of a study file with this text."""
    content = text if isinstance(text, bytes) else text.encode()
    (project / "config" / "studies" / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load_study("mine")
    assert "config/studies/mine.yaml" in str(caught.value)
    assert str(project) not in str(caught.value)
    return str(caught.value)


def test_a_good_study_gets_its_defaults_at_every_depth(project: Path) -> None:
    study = config.load_study("mine")
    assert study["bundled"] is False
    assert study["measures"]["styles"] == []
    assert study["measures"]["invariance"] == {"baseline": "first", "end": "last", "rater": "self"}
    assert study["sources"][0]["encoding"] == "utf-8"
    assert study["sources"][0]["tables"][0]["distinct"] is False


def test_defaults_of_one_study_are_not_shared_with_another(project: Path) -> None:
    config.load_study("mine")["measures"]["styles"].append("spoilt")
    assert config.load_study("mine")["measures"]["styles"] == []


def test_an_unknown_key_is_named_with_the_nearest_known_one(project: Path) -> None:
    said = message(project, STUDY + "bundeld: true\n")
    assert "unknown key 'bundeld'" in said
    assert "Did you mean 'bundled'?" in said
    assert "allowed: about, audit, bundled" in said


def test_an_unknown_key_inside_a_list_is_placed(project: Path) -> None:
    said = message(project, STUDY.replace("    tables:", "    delimeter: ';'\n    tables:"))
    assert "key sources/0: unknown key 'delimeter'" in said
    assert "Did you mean 'delimiter'?" in said


def test_a_wrong_type_is_told_in_words(project: Path) -> None:
    assert "key bundled: found 'sure'; allowed: true or false." in message(project, STUDY + "bundled: sure\n")
    assert "key sources: found 'people.csv'; allowed: a list." in message(
        project, STUDY.split("sources:", maxsplit=1)[0] + "sources: people.csv\n"
    )


def test_a_word_outside_a_list_of_words_is_told_with_the_list(project: Path) -> None:
    said = message(project, STUDY.replace("table: people", "table: poeple"))
    assert "key sources/0/tables/0/table: found 'poeple'; allowed: people, treatments," in said
    assert "Did you mean 'people'?" in said


def test_a_value_of_several_possible_forms_is_told_with_all_of_them(project: Path) -> None:
    change = "change:\n  baseline: frist\n  outcomes: [{score: core10.total}]\n"
    said = message(project, STUDY + change)
    assert "key change/baseline: found 'frist'; allowed: a whole number or first, last. Did you mean 'first'?" in said


def test_a_fault_inside_one_of_several_forms_is_placed_there(project: Path) -> None:
    said = message(project, STUDY.replace("{value: client}", "{valeu: client}"))
    assert "key sources/0/tables/0/columns/role: unknown key 'valeu'" in said
    assert "Did you mean 'value'?" in said


def test_every_missing_key_is_named(project: Path) -> None:
    said = message(project, "name: mine\ntitle: A study of mine\n")
    assert "required keys 'source', 'folder', 'sources' are missing; found: name, title." in said
    assert len(said.splitlines()) == 1


def test_every_problem_gets_its_line(project: Path) -> None:
    said = message(project, STUDY.replace("title: A study of mine", "title: 5").replace("folder: mine\n", ""))
    assert len(said.splitlines()) == 2
    assert all(line.startswith("config/studies/mine.yaml, key ") for line in said.splitlines())


def test_a_number_out_of_range_is_told_with_the_bound(project: Path) -> None:
    said = message(project, STUDY + "disclosure: {threshold: -1, reason: public aggregate tables}\n")
    assert "key disclosure/threshold: found -1; it is less than the minimum of 0." in said


def test_a_long_wrong_value_is_cut(project: Path) -> None:
    assert len(message(project, STUDY + f"bundled: {'x' * 5000}\n")) < 200


def test_a_file_must_be_named_as_it_says(project: Path) -> None:
    assert "key name: found 'yours'; it must equal the file's name, 'mine'." in message(
        project, STUDY.replace("name: mine", "name: yours", 1)
    )


def test_an_empty_file_says_so(project: Path) -> None:
    assert "key (top level): found nothing; allowed: a mapping." in message(project, "# only a comment\n")


def test_a_key_given_twice_is_refused_with_its_line(project: Path) -> None:
    said = message(project, STUDY + "folder: other\n")
    assert "config/studies/mine.yaml, line 12: is not valid YAML: key 'folder' given twice." in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: mine\ntitle: [open\n", "line 3"),
        ("name: mine\n\ttitle: tab\n", "line 2"),
        ("name: mine\ntitle: a: b\n", "line 2"),
        ("name: 'mine\n", "line 2"),
        ("? [a, b]\n: 1\n", "line 1"),
        ("name: *nowhere\n", "line 1"),
        ("name: !!python/object:os.system x\n", "line 1"),
    ],
)
def test_malformed_yaml_is_told_with_its_line(project: Path, text: str, line: str) -> None:
    said = message(project, text)
    assert f", {line}: is not valid YAML: " in said
    assert "Hint: check indentation" in said


def test_control_characters_and_other_encodings_are_told(project: Path) -> None:
    assert "is not valid YAML" in message(project, b"name: mi\x00ne\n")
    assert "is not UTF-8 text. Hint: save it as UTF-8." in message(project, "title: Größe\n".encode("latin-1"))


def test_a_byte_order_mark_and_windows_line_ends_are_fine(project: Path) -> None:
    path = project / "config" / "studies" / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY.replace("\n", "\r\n").encode())
    assert config.load_study("mine")["name"] == "mine"


def test_a_missing_file_names_the_nearest_and_what_there_is(project: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"config/studies/mien\.yaml: no such file\. Did you mean 'mine'\? Hint: there are: mine\."
    ):
        config.load_study("mien")


def test_words_dates_and_numbers_with_zeros_stay_what_they_are(project: Path) -> None:
    path = project / "words.yaml"
    path.write_text(
        "a: No\nb: off\nc: 010\nd: 12:30\ne: 2024-02-30\nf: 1e-3\ng: -0.5\nh: 7\ni: true\nj: ~\nk:\nl: 1_000\nm: .5\nn: .nan\n",
        encoding="utf-8",
    )
    assert config.read_yaml(path) == {
        "a": "No", "b": "off", "c": "010", "d": "12:30", "e": "2024-02-30", "f": 0.001, "g": -0.5, "h": 7, "i": True, "j": None,
        "k": None, "l": "1_000", "m": 0.5, "n": ".nan",
    }  # fmt: skip


def test_anchors_and_merged_keys_work(project: Path) -> None:
    path = project / "anchors.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nnew:\n  <<: *base\n  b: 3\n", encoding="utf-8")
    assert config.read_yaml(path)["new"] == {"a": 1, "b": 3}


def test_settings_have_defaults_and_take_overrides(project: Path) -> None:
    assert config.load_config()["ci_level"] == 0.95
    assert config.load_config()["disclosure"] == {"threshold": 5}
    assert config.load_config({"seed": 3})["seed"] == 3


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"ci_level": 95}, "key ci_level: found 95; it is greater than or equal to the maximum of 1."),
        ({"seed": "many"}, "key seed: found 'many'; allowed: a whole number."),
        ({"studies": []}, r"key studies: found \[\]; it should be non-empty."),
        ({"studies": ["No Good"]}, "key studies/0: found 'No Good'; it does not match"),
        ({"sedd": 1}, "unknown key 'sedd'.*Did you mean 'seed'?"),
    ],
)
def test_overrides_are_checked_too(project: Path, overrides: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load_config(overrides)


def test_settings_that_are_no_mapping_are_told(project: Path) -> None:
    (project / "config" / "config.yaml").write_text("- example\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config/config\.yaml, key \(top level\): found \['example'\]; allowed: a mapping\."):
        config.load_config({"seed": 1})


def test_registries_follow_the_project_that_is_set(project: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load_instruments() == {}
    assert config.load_criteria("rupture") == {}
    monkeypatch.setenv(config.ROOT_VARIABLE, str(root))
    assert "within_person_drop" in config.load_criteria("rupture")


def test_bundled_data_lie_in_the_project_and_others_where_the_user_says(project: Path) -> None:
    assert config.data_folder({"bundled": True, "folder": "example"}, "elsewhere") == project / "data" / "example"
    assert config.data_folder({"bundled": False, "folder": "mine"}, "elsewhere") == Path("elsewhere/mine")


def test_paths_outside_the_project_are_shown_by_name_only(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert config.shown(tmp_path_factory.mktemp("outside") / "x.yaml") == "x.yaml"
    assert config.shown(project / "config" / "config.yaml") == "config/config.yaml"
