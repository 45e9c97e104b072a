"""Study files that extend others, hold variants, or use variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.config.study import Study
from trimtab.config.study_files import load_study_documents, merge_settings
from trimtab.errors import StudyError

BASE = """
name: base
data: {kind: starter, limit: 40}
models: {weak: smollm2-135m-instruct, student: {base: smollm2-135m-instruct, layers: 10}}
training: {sft: {lora_r: 4, batch_size: 8}}
arms: {longer: {annotator: length}}
"""


def write(folder: Path, **files: str) -> Path:
    """Writes `NAME.yaml` for each text and returns the path of the last one."""
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
    return path


def load_settings(path: Path, *overrides: str, variant: str = "") -> Any:
    return load_study_documents(path, overrides)[variant].settings


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(StudyError) as caught:
        Study.load_variants(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("lower", "upper", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"m": "word"}, {"m": {"base": "x", "layers": 2}}, {"m": {"base": "x", "layers": 2}}),
        ({"m": {"kind": "hub", "id": "x"}}, {"m": {"kind": "file", "path": "y"}}, {"m": {"kind": "file", "path": "y"}}),
        ({"m": {"kind": "hub", "id": "x"}}, {"m": {"kind": "hub", "limit": 2}}, {"m": {"kind": "hub", "id": "x", "limit": 2}}),
        ({"m": {"base": "x", "layers": 2}}, {"m": {"base": "y"}}, {"m": {"base": "y"}}),
        ({"m": {"kind": "hub", "id": "x"}}, {"m": {"limit": 2}}, {"m": {"kind": "hub", "id": "x", "limit": 2}}),
    ],
)  # fmt: skip
def test_mappings_are_merged_and_other_values_replaced(lower: Any, upper: Any, merged: Any) -> None:
    assert merge_settings(lower, upper) == merged


def test_a_file_overrides_the_files_it_extends_and_the_command_line_overrides_all(tmp_path: Path) -> None:
    (tmp_path / "sizes").mkdir()
    write(tmp_path, base=BASE)
    write(tmp_path / "sizes", small="training: {sft: {lora_r: 2}}\nseed: 1", seeds="extends: small.yaml\nseed: 2")
    path = write(tmp_path, own="extends: [base.yaml, sizes/seeds.yaml]\nname: own\ntraining: {sft: {batch_size: 4}}")
    study = Study.load(path, ["training.sft.learning_rate=1.0e-3"])
    sft = study.training.sft
    assert sft is not None
    assert (study.name, study.seed, sft.lora_r, sft.batch_size, sft.learning_rate) == ("own", 2, 2, 4, 1e-3)
    assert Study.parse(study.to_yaml()) == study


def test_null_removes_the_scorers_of_an_extended_file(tmp_path: Path) -> None:
    write(tmp_path, base=BASE + "scorers: {gold: synthetic_checker}\n")
    merged, removed = (
        Study.load(write(tmp_path, own=f"extends: base.yaml\nname: own\nscorers: {scorers}"))
        for scorers in ("{}", "null")
    )
    assert set(merged.scorers) == {"gold"}
    assert removed.scorers == {}
    assert Study.parse(removed.to_yaml()) == removed


def test_a_file_that_is_extended_twice_counts_where_it_is_first(tmp_path: Path) -> None:
    write(tmp_path, base=BASE, small="extends: base.yaml\nseed: 1", other="extends: base.yaml\nmax_length: 64")
    settings = load_settings(write(tmp_path, own="extends: [small.yaml, other.yaml]\nname: own"))
    assert (settings["seed"], settings["max_length"]) == (1, 64)
    write(tmp_path, base=BASE + "seed: 7\n")
    assert load_settings(tmp_path / "own.yaml")["seed"] == 1


def test_variants_are_studies_that_differ_in_the_settings_they_name(tmp_path: Path) -> None:
    write(tmp_path, base=BASE, tall="models: {student: {layers: 20}}")
    path = write(tmp_path, own="extends: base.yaml\nvariants: {low: {seed: 1}, tall: {extends: tall.yaml}, same: }")
    studies = Study.load_variants(path, ["training.sft.lora_r=3"])
    assert {name: (study.name, study.seed, study.models.student.layers) for name, study in studies.items()} == {
        "low": ("base-low", 1, 10),
        "tall": ("base-tall", 22, 20),
        "same": ("base-same", 22, 10),
    }
    assert all(study.training.sft is not None and study.training.sft.lora_r == 3 for study in studies.values())
    assert Study.load(path, ["training.sft.lora_r=3"], variant="tall") == studies["tall"]


def test_an_override_applies_to_the_selected_variants_and_its_error_names_one(tmp_path: Path) -> None:
    write(tmp_path, base=BASE)
    path = write(tmp_path, own="extends: base.yaml\nvariants: {low: {}, odd: {arms: {x: {annotator: random}}}}")
    override = "arms.x.labels_only=true"
    assert list(Study.load_variants(path, [override], ["odd"])) == ["odd"]
    assert error_of(path, override) == "variants.low: arms.x.annotator: required setting is missing"


def test_variants_replace_those_of_the_file_that_is_extended(tmp_path: Path) -> None:
    write(tmp_path, base=BASE + "variants: {one: {seed: 1}, two: {seed: 2}}\n")
    assert list(Study.load_variants(write(tmp_path, inherits="extends: base.yaml"))) == ["one", "two"]
    assert list(Study.load_variants(write(tmp_path, own="extends: base.yaml\nvariants: {three: {seed: 3}}"))) == [
        "three"
    ]


def test_data_replace_those_of_the_file_that_is_extended(tmp_path: Path) -> None:
    data = "data: {labeled: starter, unlabeled: starter, test: {kind: starter, limit: 9}}"
    path = write(tmp_path, base=BASE, own=f"extends: base.yaml\n{data}")
    assert set(load_settings(path)["data"]) == {"labeled", "unlabeled", "test"}
    assert load_settings(path, "data.test.limit=5")["data"]["test"] == {"kind": "starter", "limit": 5}


def test_variables_replace_references_in_every_text(tmp_path: Path) -> None:
    text = """
    variables: {folder: pairs, count: 7}
    data: {kind: file, path: "${folder}/all-${count}.jsonl", limit: "${count}"}
    variants: {here: {}, there: {variables: {folder: other}}}
    name: variables
    """
    path = write(tmp_path, own=text)
    here, there = (load_settings(path, variant=name)["data"] for name in ("here", "there"))
    assert here == {"kind": "file", "path": "pairs/all-7.jsonl", "limit": 7}
    assert there["path"] == "other/all-7.jsonl"
    assert load_settings(path, "variables.folder=mine", variant="there")["data"]["path"] == "mine/all-7.jsonl"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: none.yaml", "{own}: extends: {folder}/none.yaml is not a file; expected a study file, relative to {folder}"),
        ("extends: {a: 1}", "{own}: extends: expected the path of a study file or a list of them, got {{'a': 1}}"),
        ("extends: own.yaml", "{own}: extends: the file extends itself: {own} → {own}"),
        ("extends: base.yaml\ntraining: {dpo: {betta: 1}}", "{own}: training.dpo.betta: unknown setting; did you mean 'beta'?"),
        ("extends: [base.yaml, wrong.yaml]", "{folder}/wrong.yaml: training.sft.lora_r: expected a whole number, got 'x'"),
        ("extends: base.yaml\nvariants: {v: {seed: x}}", "{own}: variants.v: seed: expected a whole number, got 'x'"),
        ("extends: base.yaml\nvariants: {V: {}}", "{own}: variants: 'V': a name has lowercase letters, digits and hyphens"),
        ("extends: base.yaml\nvariants: {v: 1}", "{own}: variants.v: expected a mapping of settings, got 1"),
        ("extends: base.yaml\nvariants: []", "{own}: variants: expected a mapping of names to settings, got []"),
        ("variants: {v: {variants: {w: {}}}}", "{own}: variants.v: variants: a variant has no variants of its own"),
        ("variants: {v: {seed: 1}}", "{own}: name: required setting is missing"),
        ("extends: base.yaml\ndescription: '${x}'", "{own}: description: unknown variable ${{x}} (variables: none)"),
        ("variables: {x: [1]}", "variables.x: expected text or a number, got [1]"),
        ("variables: 3", "variables: expected a mapping of names to values, got 3"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, base=BASE, wrong="training: {sft: {lora_r: x}}", own=text)
    assert message.format(own=path, folder=tmp_path) in error_of(path)


def test_errors_of_overrides_name_no_file(tmp_path: Path) -> None:
    path = write(tmp_path, base=BASE, own="extends: base.yaml\nname: own\nseed: 3")
    assert error_of(path, "seed=x").startswith("seed: expected a whole number")
    assert "can only be set in a file" in error_of(path, "variants.a.seed=1")


def test_one_study_of_several_must_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, own=BASE + "variants: {one: {}, two: {}}")
    with pytest.raises(StudyError, match="choose one of the variants: one, two"):
        Study.load(path)
    with pytest.raises(StudyError, match=r"unknown variant 'three' \(expected one of: one, two\)"):
        Study.load(path, variant="three")
    with pytest.raises(StudyError, match="the file has no variants"):
        Study.load(write(tmp_path, base=BASE), variant="one")


def test_a_stored_study_has_no_trace_of_its_files(tmp_path: Path) -> None:
    write(tmp_path, base=BASE)
    study = Study.load(write(tmp_path, own="extends: base.yaml\nvariables: {n: 5}\nseed: '${n}'"))
    assert set(yaml.safe_load(study.to_yaml())).isdisjoint({"extends", "variants", "variables"})
    assert study.seed == 5
