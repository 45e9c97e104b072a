"""The JSON schema accepts the studies that Trimtab accepts, and rejects fifty wrong ones that Trimtab rejects too."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from trimtab.config.presets import load_preset
from trimtab.config.study import Study
from trimtab.config.study_files import load_study_documents
from trimtab.config.study_schema import build_study_schema
from trimtab.core.component_loading import list_kinds
from trimtab.core.settings_schema import COMPONENT_NAMES
from trimtab.errors import StudyError

ROOT = Path(__file__).parents[2]
SCHEMA_FILE = ROOT / "docs" / "schema" / "study.json"
SCHEMA = build_study_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
# The numbers of papers, which are not studies.
STUDY_FILES = sorted(path for path in (ROOT / "studies").rglob("*.yaml") if path.name != "published.yaml")

STUDY = """
name: complete
seed: 7
data: {kind: file, path: pairs.jsonl, columns: {prompt: question}, label_values: {1: a, 2: b}}
split: {labeled: 0.5, max_test: 100}
models:
  weak: {base: smollm2-135m-instruct, layers: 10}
  student: smollm2-135m-instruct
training:
  sft: {lora_r: 8}
  dpo: {beta: 0.1, loss_type: sigmoid, label_smoothing: 0.1}
  sft_data: {kind: file, path: instructions.jsonl}
arms:
  longer: {annotator: length}
  probed: {annotator: {kind: probe}, calibration: {method: platt}, filter: uncertainty}
  both: {annotator: {kind: ensemble, arms: [longer, probed]}, filter: {kind: margin, from_quantile: 0.5}}
  judged: {annotator: {kind: prompted, weak: gemma3-270m}, labels_only: true}
generation: {temperature: 0.7}
scorers: {checker: synthetic_checker}
response_similarity: all-minilm-l6-v2
judges:
  third: {kind: pairwise, engine: {kind: openai, model: m, base_url: "http://localhost"}, votes: 3, temperature: 1}
judging: {human_agreement_pairs: 10}
ood_eval: {starter: {kind: starter}}
"""

# A place in the study, and a wrong value there.
WRONG_SETTINGS: list[tuple[str, Any]] = [
    # unknown keys
    ("modles", {}),
    ("training.dpo.betta", 0.1),
    ("training.sft.loss_type", "sigmoid"),
    ("training.rlhf", {}),
    ("split.validation", 0.1),
    ("models.teacher", "gemma3-270m"),
    ("models.weak.quantization", 4),
    ("arms.longer.filters", "margin"),
    ("arms.probed.calibration.bins", 10),
    ("generation.top_k", 50),
    ("judging.votes", 3),
    ("data.columns.question", "prompt"),
    # wrong types
    ("name", 5),
    ("seed", "seven"),
    ("seed", 1.5),
    ("seed", True),
    ("max_length", None),
    ("models", "gemma3-270m"),
    ("models.weak", 5),
    ("models.weak.layers", "all"),
    ("models.weak.trust_remote_code", "sometimes"),
    ("training.dpo", 0.1),
    ("training.dpo.beta", [0.1]),
    ("training.dpo.beta", True),
    ("training.sft.lora_target_modules", 3),
    ("arms", ["longer"]),
    ("arms.longer", "length"),
    ("arms.longer.labels_only", 1),
    ("kl_to_reference", "maybe"),
    ("scorers", "synthetic_checker"),
    ("generation.stop", 3),
    ("data.label_values", {"1": "c"}),
    # values out of range
    ("name", "Upper Case"),
    ("name", "a" * 60),
    ("seed", -1),
    ("seed", 2**33),
    ("max_length", 4),
    ("split.labeled", 1.0),
    ("split.max_test", 0),
    ("models.weak.layers", 0),
    ("models.weak.sha256", "abc"),
    ("models.weak.dtype", "int8"),
    ("training.dpo.beta", 0),
    ("training.dpo.beta", 1e13),
    ("training.dpo.label_smoothing", 0.5),
    ("training.dpo.loss_type", "kto"),
    ("training.dpo.lora_r", 0),
    ("training.sft.learning_rate", -0.1),
    ("arms.probed.calibration.method", "beta"),
    ("arms.both.filter.from_quantile", 1.5),
    ("generation.top_p", 0),
    ("judges.third.votes", 0),
    ("label_price", 0),
    # unknown kinds, and keys and kinds of others
    ("data.kind", "files"),
    ("data.families", ["privacy"]),
    ("arms.longer.annotator", "longest"),
    ("arms.longer.annotator", "margin"),
    ("arms.longer.annotator", "ensemble"),
    ("arms.longer.annotator", {"kind": "length", "beta": 0.1}),
    ("arms.probed.annotator.kind", "prob"),
    ("arms.probed.annotator.arms", ["longer"]),
    ("arms.both.filter", {"kind": "length"}),
    ("arms.both.filter.fraction", 0.5),
    ("arms.both.annotator", {"arms": ["longer", "probed"]}),
    ("arms.judged.annotator.weak", {"kind": "transformer", "model": "gemma3-270m"}),
    ("arms.judged.annotator.weak", {"kind": "transformers", "base_url": "http://localhost"}),
    ("judges.third.engine", {"kind": "pairwise"}),
    ("scorers.checker", "pairwise"),
    ("ood_eval.starter", {"kind": "length"}),
    ("training.sft_data", "weak_chosen"),
    # names
    ("arms.a b", {"annotator": "length"}),
    ("scorers.-x", "synthetic_checker"),
]
REQUIRED = ["data", "models", "models.weak", "models.weak.base", "data.kind", "data.path", "judges.third.engine"]
REQUIRED += ["arms.longer.annotator", "arms.both.annotator.arms", "judges.third.engine.model"]


def parse(text: str) -> Any:
    """The document as JSON: all keys are text."""
    return json.loads(json.dumps(yaml.safe_load(text)))


def set_value(path: str, value: Any) -> dict[str, Any]:
    document = parse(STUDY)
    *parents, key = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    inner[key] = value
    return document  # type: ignore[no-any-return]


def remove(path: str) -> dict[str, Any]:
    document = set_value(path, None)
    *parents, key = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    del inner[key]
    return document


def is_valid(document: Any) -> bool:
    return bool(VALIDATOR.is_valid(document))


def is_study(document: Any) -> bool:
    try:
        Study.parse(yaml.safe_dump(document))
    except StudyError:
        return False
    return True


def test_the_schema_is_one_of_the_dialect_that_it_names() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_the_command_prints_the_schema() -> None:
    done = subprocess.run([sys.executable, "-m", "trimtab", "schema"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == SCHEMA


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_study_file_is_valid_and_names_the_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    errors = [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(parse(text))]
    assert errors == []
    comment, equals, reference = text.splitlines()[0].partition("$schema=")
    assert (comment, equals) == ("# yaml-language-server: ", "$schema=")
    assert (path.parent / reference).resolve() == SCHEMA_FILE


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_merged_settings_of_a_study_file_are_a_valid_study(path: Path) -> None:
    documents = load_study_documents(path, ["variables.pairs=pairs"]) if path.parent.name != "headline" else {}
    for document in documents.values():
        assert "name" not in document.settings or is_valid(json.loads(json.dumps(document.settings)))


def test_the_built_in_study_and_the_example_are_valid() -> None:
    for text in (load_preset("quickstart"), STUDY):
        assert is_valid(parse(text))
        assert is_study(parse(text))


def test_there_are_at_least_fifty_wrong_studies() -> None:
    assert len({(path, json.dumps(value)) for path, value in WRONG_SETTINGS}) >= 50


@pytest.mark.parametrize(("path", "value"), WRONG_SETTINGS, ids=lambda value: json.dumps(value)[:40])
def test_a_wrong_setting_is_rejected_by_the_schema_and_by_trimtab(path: str, value: Any) -> None:
    document = set_value(path, value)
    assert not is_valid(document)
    assert not is_study(document)


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_setting_is_rejected_by_the_schema_and_by_trimtab(path: str) -> None:
    assert not is_valid(remove(path))
    assert not is_study(remove(path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scorers", None),
        ("training.sft_data", "arm_chosen"),
        ("training.dpo.label_smoothing", 0),
        ("data", "starter"),
        ("data", {"train": {"kind": "starter"}, "test": {"kind": "starter", "limit": 9}}),
        ("data", {split: {"kind": "starter"} for split in ("labeled", "unlabeled", "test")}),
        ("arms.judged.annotator.weak", "@weak"),
        ("judges.third", {"kind": "pairwise", "engine": "gemma3-270m", "prompt": "tao_li_2025", "mode": "text"}),
        ("seed", 2**32 - 1),
    ],
)
def test_other_forms_of_a_setting_are_accepted_by_both(path: str, value: Any) -> None:
    assert is_valid(set_value(path, value))
    document = set_value(path, value)
    document.pop("split")  # belongs to a single source
    assert is_study(document)


def test_every_built_in_kind_is_an_alternative() -> None:
    for package in COMPONENT_NAMES:
        alternatives = SCHEMA["$defs"][package]["anyOf"][-1]["allOf"]
        found = {each["if"]["properties"]["kind"]["const"]: each["then"]["$ref"] for each in alternatives}
        assert found == {kind: f"#/$defs/{package}.{kind}" for kind in list_kinds(package)}


def test_a_custom_component_has_any_settings() -> None:
    assert is_valid(set_value("arms.longer.annotator", {"kind": "my_module:Mine", "prior": 0.5}))
    assert is_valid(set_value("arms.longer.annotator", "my_module:Mine"))
    assert not is_valid(set_value("arms.longer.annotator", {"kind": "my_module", "prior": 0.5}))


@pytest.mark.parametrize(
    "path", ["seed", "training.dpo.beta", "models.weak.layers", "data.path", "arms.longer.annotator"]
)
def test_every_value_can_be_a_variable(path: str) -> None:
    assert is_valid({**set_value(path, "${x}"), "variables": {"x": 1}})
    assert not is_valid({**set_value("seed", "$x"), "variables": {"x": 1}})


LAYER = {
    "extends": ["paper.yaml", "data.yaml"],
    "name": "betas",
    "arms": {"weak": {"filter": {"fraction": 0.5}}, "mine": {"annotator": {"kind": "file"}}},
    "variants": {"low": {"training": {"dpo": {"beta": 0.05}}}, "high": {"extends": "high.yaml"}, "same": None},
}


def test_a_file_that_extends_others_or_has_no_name_can_omit_required_settings() -> None:
    layer = copy.deepcopy(LAYER)
    layer["arms"] = {"weak": {"filter": {"fraction": 0.5}}}
    assert is_valid(layer)
    assert not is_valid({key: value for key, value in layer.items() if key not in ("extends", "variants")})
    assert is_valid({"arms": layer["arms"]})


@pytest.mark.parametrize(
    "change",
    [
        {"arms": {"mine": {"annotator": {"kind": "file"}}}},
        {"arms": {"mine": {"annotator": {"kind": "length", "beta": 0.1}}}},
        {"arms": {"mine": {"filter": {"no_setting": 0.1}}}},
        {"training": {"dpo": {"betta": 0.1}}},
        {"data": {"path": "pairs.jsonl"}},
        {"extends": 5},
        {"variants": {}},
        {"variants": {"Low": {}}},
        {"variants": {"low": {"variants": {"a": {}}}}},
        {"variants": {"low": {"seed": "x"}}},
        {"variables": {"pairs": ["a"]}},
        {"variables": "a"},
    ],
)
def test_a_wrong_layer_is_rejected(change: dict[str, Any]) -> None:
    layer = {**copy.deepcopy(LAYER), "arms": {}}
    assert is_valid(layer)
    assert not is_valid({**layer, **change})
