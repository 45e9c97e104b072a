"""Old names of settings, kinds and values. A study that uses one gets an error that states the new name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from trimtab.core.validation_errors import settings_class_at

# Old key to new key, by the name of the settings class or of one of its base classes.
KEYS: Mapping[str, Mapping[str, str]] = {
    "Study": {
        "max_tokens": "max_length",
        "prompts": "num_test_prompts",
        "evaluation": "scorers",
        "reward_unlabeled": "score_unlabeled_pairs",
        "similarity": "response_similarity",
        "divergence": "kl_to_reference",
        "elsewhere": "ood_eval",
        "samples": "num_report_samples",
    },
    "Training": {
        "student": "objective",
        "preference": "preference_model",
        "weak_preference": "weak_preference_model",
        "sft_target": "sft_data",
    },
    "Arm": {"preference": "preference_model", "against": "compare_with", "train": "labels_only"},
    "Judging": {"against": "baseline", "pairs": "human_agreement_pairs"},
    "_CommonSettings": {
        "epochs": "num_train_epochs",
        "schedule": "lr_scheduler_type",
        "warmup": "warmup_ratio",
        "lora_rank": "lora_r",
    },
    "DpoSettings": {"loss": "loss_type", "labels": "label_mode", "gamma": "simpo_gamma", "dr_beta": "dr_dpo_beta"},
    "PreferenceModelSettings": {"orders": "presentation_order", "soft": "soft_labels"},
    "AuxConfidenceSettings": {"warmup": "warmup_ratio"},
    "File": {"rating": "rating_column"},
    "Hub": {"rating": "rating_column"},
    "Concat": {"of": "sources"},
    "Exclude": {"of": "source", "prompts_of": "exclude_prompts_from"},
    "Openai": {
        "weights": "model_revision",
        "samples": "num_choice_samples",
        "length": "max_tokens_field",
        "extra": "extra_body",
        "retries": "max_retries",
    },
    "Vllm": {"extra": "engine_args"},
    "Scripted": {"writes": "replies", "weighs": "choice_weights", "otherwise": "default_reply"},
    "Pairwise": {
        "answer": "output_format",
        "ties": "allow_ties",
        "explanation_tokens": "max_reasoning_tokens",
        "answer_tokens": "max_verdict_tokens",
    },
    "Length": {"gap": "tie_threshold"},
    "NoisyHuman": {"rate": "noise_rate", "like": "arm"},
    "Ensemble": {"of": "arms"},
    "Vote": {"of": "arms"},
    "RewardModel": {"recipe": "training"},
    "StudyRewardModel": {"recipe": "training"},
    "Probe": {"rounds": "self_training_rounds", "fraction": "self_training_fraction"},
    "PrincipleSettings": {"orders": "presentation_order"},
    "PromptedSettings": {"answer": "answer_format", "reasoning_tokens": "max_reasoning_tokens"},
    "DebateSettings": {"max_tokens": "max_argument_tokens"},
    "Consultancy": {"side": "argue_for"},
    "Seam": {
        "mode": "variant",
        "principle_scores": "principle_scoring",
        "answer_scores": "answer_scoring",
        "thoughts": "explanations",
        "orders": "presentation_order",
        "orientation": "first_response",
        "helpful_chains": "helpful_only_labeler",
        "reuse_rejected": "allow_reused_principles",
        "depth": "max_depth",
        "show_thoughts": "include_thoughts",
        "too_long": "on_overlong",
    },
    "Agreement": {"with": "arm"},
    "Complement": {"of": "arm"},
    "Information": {"rule": "select_by"},
    "Subset": {"like": "arm", "number": "num_labels"},
    "WeakStrongConsistency": {"agrees_with": "arm"},
}

# Old value to new value, by class and new key. `train` is inverted, so its values change as well.
VALUES: Mapping[tuple[str, str], Mapping[Any, Any]] = {
    ("Training", "objective"): {"preference": "preference_model"},
    ("Training", "sft_data"): {"shared": "human_chosen", "own": "arm_chosen"},
    ("Arm", "labels_only"): {False: True, True: False},
    ("PreferenceModelSettings", "presentation_order"): {"drawn": "random"},
    ("PrincipleSettings", "presentation_order"): {"one": "random", "surer": "most_confident"},
    ("Consultancy", "argue_for"): {"own": "preferred", "drawn": "random"},
    ("Seam", "variant"): {"published_code": "released_code"},
    ("Seam", "edge_weights"): {"once": "static"},
    ("Seam", "answer_scoring"): {"summed": "sum", "mean_with_end": "mean_with_eos"},
    ("Seam", "explanations"): {"one_sided": "single", "two_sided": "per_response"},
    ("Seam", "presentation_order"): {"one": "single"},
    ("Seam", "first_response"): {"drawn": "random", "strong_first": "strong_pick"},
    ("Seam", "on_overlong"): {"shorten": "truncate"},
    ("Information", "select_by"): {"count": "fraction"},
    ("Openai", "prefill"): {
        "flag": "continue_flag",
        "bare": "assistant_message",
        "prefix": "prefix_flag",
        "none": "unsupported",
    },
}

# Old kind to new kind and the settings that it implies, by package.
KINDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "annotators": {
        "longest": ("length", ""),
        "shortest": ("length", "prefer: shorter"),
        "coin": ("random", ""),
        "flip": ("noisy_human", ""),
    },
    "filters": {"budget": ("optimal_fraction", ""), "rest": ("complement", "")},
    "sources": {"union": ("concat", ""), "without": ("exclude", "")},
    "scorers": {"checker": ("synthetic_checker", ""), "trained_reward": ("study_reward_model", "")},
}

_MISSING = object()


def reject_old_model_reference(name: str) -> str:
    """Returns the name of a model. Raises `ValueError` for `@ARM.preference`, which is now `@ARM.preference_model`."""
    if name.startswith("@") and name.endswith(".preference"):
        raise ValueError(f"{name} was renamed to {name}_model")
    return name


def rename_kind(package: str, kind: str) -> tuple[str, str] | None:
    """The new kind and a message, or None if the kind was not renamed."""
    if kind not in KINDS.get(package, {}):
        return None
    new_kind, settings = KINDS[package][kind]
    return new_kind, f"kind: {kind} was renamed to {new_kind}{f' with {settings}' if settings else ''}"


def rename_settings(
    cls: type[BaseModel], settings: Any, errors: Sequence[ErrorDetails], location: str
) -> tuple[list[str], Any]:
    """Replaces the old keys and values among `errors`. Returns one message per replacement and the new settings.

    `errors` are the validation errors of `settings` as a `cls`. Without old names both results are unchanged.
    """
    messages = []
    for details in errors:
        *path, key = details["loc"] or ("",)
        settings_class = settings_class_at(cls, [*map(str, path)])
        classes = [base.__name__ for base in getattr(settings_class, "__mro__", ())]
        new_key = _find_new_key(settings_class, str(key)) if details["type"] == "extra_forbidden" else str(key)
        old_value = _get(settings, details["loc"])
        if new_key is None or old_value is _MISSING:
            continue
        new_value = _new_value(classes, new_key, old_value)
        if new_value is _MISSING and new_key == str(key):
            continue
        value = old_value if new_value is _MISSING else new_value
        settings = _replace(settings, path, key, new_key, value)
        where = ".".join(map(str, [*([location] if location else []), *path, key]))
        messages.append(_message(where, str(key), new_key, old_value, new_value))
    return messages, settings


def _find_new_key(settings_class: Any, old_key: str) -> str | None:
    """The new name of a setting of the class. Classes of different packages can have the same name."""
    names = {info.alias or name for name, info in getattr(settings_class, "model_fields", {}).items()}
    new_keys = (KEYS.get(base.__name__, {}).get(old_key) for base in getattr(settings_class, "__mro__", ()))
    return next((key for key in new_keys if key in names), None)


def _message(where: str, key: str, new_key: str, old_value: Any, new_value: Any) -> str:
    if new_value is _MISSING:
        return f"{where}: renamed to {new_key}"
    if new_key == key:
        return f"{where}: {_yaml(old_value)} was renamed to {_yaml(new_value)}"
    return f"{where}: `{key}: {_yaml(old_value)}` is now `{new_key}: {_yaml(new_value)}`"


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _new_value(classes: Sequence[str], key: str, value: Any) -> Any:
    if not isinstance(value, str | bool):
        return _MISSING
    return next((VALUES[name, key][value] for name in classes if value in VALUES.get((name, key), {})), _MISSING)


def _get(settings: Any, path: Sequence[int | str]) -> Any:
    for key in path:
        if not isinstance(settings, Mapping) or key not in settings:
            return _MISSING
        settings = settings[key]
    return settings


def _replace(settings: Any, path: Sequence[int | str], key: int | str, new_key: str, value: Any) -> Any:
    if path:
        return {**settings, path[0]: _replace(settings[path[0]], path[1:], key, new_key, value)}
    return {**{name: setting for name, setting in settings.items() if name != key}, new_key: value}
