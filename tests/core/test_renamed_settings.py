"""A study that uses old names gets one error that lists every old name with its new name."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import trimtab
from trimtab.config.study import Study
from trimtab.core.component import Settings, find_component_class
from trimtab.core.renamed_settings import KEYS, KINDS, VALUES
from trimtab.errors import StudyError

OLD = """
name: hh-helpful
description: >-
  HH-RLHF helpful, single turn. SmolLM2-135M learns from 512 human labels and labels 448 pairs; Gemma-3-270M is aligned on them.
data:
  labeled: {kind: file, path: ../shared/data/hh1t_helpful_gt.jsonl.gz, limit: 512}
  unlabeled: {kind: file, path: ../shared/data/hh1t_helpful_w2s.jsonl.gz, limit: 448}
  test: {kind: file, path: ../shared/data/hh1t_helpful_test.jsonl.gz, limit: 320}
max_tokens: 512
models:
  weak: smollm2-135m-instruct
  student: gemma3-270m
training:
  sft: {lora_rank: 16, learning_rate: 3.0e-4, batch_size: 16} # LoRA where the paper trains every weight: two cores
  dpo: {learning_rate: 5.0e-4}
  weak_dpo: {learning_rate: 5.0e-4}
prompts: 112
generation: {max_new_tokens: 80}
evaluation:
  proxy:
    kind: trained_reward
    model: smollm2-135m-instruct
    data: {kind: file, path: ../shared/data/hh1t_helpful_gt.jsonl.gz, limit: 800, seed: 1}
    training: {learning_rate: 5.0e-4}
samples: 0 # HH-RLHF holds slurs and crimes: no row of it on a page
"""


def error_lines(*overrides: str, text: str = OLD) -> list[str]:
    with pytest.raises(StudyError) as caught:
        Study.parse(text, overrides)
    return str(caught.value).splitlines()


def test_one_error_lists_every_old_name_of_a_study() -> None:
    assert sorted(error_lines()) == [
        "evaluation: renamed to scorers",
        "max_tokens: renamed to max_length",
        "prompts: renamed to num_test_prompts",
        "samples: renamed to num_report_samples",
        "scorers.proxy.kind: trained_reward was renamed to study_reward_model",
        "training.sft.lora_rank: renamed to lora_r",
    ]


@pytest.mark.parametrize(
    ("override", "lines"),
    [
        (
            "training={student: preference, preference: {epochs: 2, orders: drawn}, weak_preference: null, sft_target: own}",
            [
                "training.student: `student: preference` is now `objective: preference_model`",
                "training.preference: renamed to preference_model",
                "training.weak_preference: renamed to weak_preference_model",
                "training.sft_target: `sft_target: own` is now `sft_data: arm_chosen`",
                "training.preference_model.epochs: renamed to num_train_epochs",
                "training.preference_model.orders: `orders: drawn` is now `presentation_order: random`",
            ],
        ),
        (
            "arms.x={annotator: longest, train: false, against: [weak]}",
            [
                "arms.x.annotator.kind: longest was renamed to length",
                "arms.x.train: `train: false` is now `labels_only: true`",
                "arms.x.against: renamed to compare_with",
            ],
        ),
        ("arms.x.annotator=shortest", ["arms.x.annotator.kind: shortest was renamed to length with prefer: shorter"]),
        (
            "arms.x.annotator={kind: flip, rate: 0.1, sed: 3}",
            [
                "arms.x.annotator.kind: flip was renamed to noisy_human",
                "arms.x.annotator.rate: renamed to noise_rate",
                "arms.x.annotator.sed: unknown setting; did you mean 'seed'? (expected one of: arm, noise_rate, seed)",
            ],
        ),
        (
            "arms.x.annotator={kind: seam, weak: '@weak', strong: m, mode: published_code, edge_weights: once}",
            [
                "arms.x.annotator.mode: `mode: published_code` is now `variant: released_code`",
                "arms.x.annotator.edge_weights: once was renamed to static",
            ],
        ),
        ("arms.x={annotator: human, filter: {kind: rest, of: weak}}", ["arms.x.filter.of: renamed to arm"]),
        ("data={kind: union, of: [starter, starter]}", ["data.of: renamed to sources"]),
        ("judging={against: base, pairs: 3}", ["judging.against: renamed to baseline"]),
        (
            "arms.x.annotator={kind: prompted, weak: '@weak.preference'}",
            ["arms.x.annotator.weak.model: @weak.preference was renamed to @weak.preference_model"],
        ),
        (
            "judges.x={kind: pairwise, engine: '@weak', explanation_tokens: 9}",
            ["judges.x.explanation_tokens: renamed to max_reasoning_tokens"],
        ),
        ("elsewhere={}", ["elsewhere: renamed to ood_eval"]),
    ],
)
def test_an_old_key_kind_or_value_is_reported_with_the_new_one(override: str, lines: list[str]) -> None:
    assert set(lines) <= set(error_lines(override))


def test_a_misspelled_setting_is_reported_together_with_old_names() -> None:
    assert any(line.startswith("sed: unknown setting; did you mean 'seed'?") for line in error_lines("sed=1"))


def test_a_new_name_is_only_offered_where_it_is_a_setting() -> None:
    lines = error_lines(
        "scorers.a={kind: reward_model, model: x, recipe: {}}",
        "scorers.b={kind: study_reward_model, model: x, data: starter, recipe: {}}",
        text="name: new\nmodels: {weak: x, student: x}\ndata: starter",
    )
    assert lines[0] == "scorers.a.recipe: unknown setting (expected one of: input_format, model, truncation)"
    assert "scorers.b.recipe: renamed to training" in lines


def test_every_new_name_exists() -> None:
    modules = [
        importlib.import_module(info.name)
        for package in ("annotators", "filters", "sources", "scorers", "judges", "engines", "config")
        for info in pkgutil.walk_packages(
            importlib.import_module(f"{trimtab.__name__}.{package}").__path__, f"{trimtab.__name__}.{package}."
        )
        if not info.name.startswith(("trimtab.engines.openai.", "trimtab.engines.vllm."))
    ]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Settings)
    }
    for name, keys in KEYS.items():
        named = tuple(cls for cls in classes if cls.__name__ == name)
        own = {field.alias or key for cls in named for key, field in cls.model_fields.items()}
        subclasses = {key for cls in classes if issubclass(cls, named) for key in cls.model_fields}
        assert set(keys.values()) <= own | subclasses, name
        assert not set(keys) & own, name
    for name, key in VALUES:
        assert any(key in cls.model_fields for cls in classes if cls.__name__ == name), (name, key)
    for package, kinds in KINDS.items():
        assert all(find_component_class(package, new) for new, _ in kinds.values())
