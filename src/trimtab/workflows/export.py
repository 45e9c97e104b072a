"""Exports an arm's labels or its student for other tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.data.parsing.label_files import LABEL_PREFIX
from trimtab.errors import StudyError
from trimtab.models.chat_messages import ChatMessages, build_chat_messages
from trimtab.models.references import ModelRef
from trimtab.pipeline.run_index import RowIndex, RunIndex, load_run_index
from trimtab.storage.artifacts import STAGES_DIR, open_artifact
from trimtab.storage.atomic import WRITING_SUFFIX, apply_umask, write_output
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Preference
from trimtab.workflows.model_references import require_trusted_code

FORMATS = ("trl", "llama-factory", "model")
_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLabels:
    """The number of rows written, and of pairs left out because their label abstained or failed."""

    count: int
    left_out: int


def export_preferences(
    folder: Path, arm: str, path: Path, label_format: str = "trl", *, overwrite: bool = False
) -> ExportedLabels:
    """Writes an arm's labels as JSON lines for TRL or LLaMA-Factory.

    Raises `StudyError` if there are no labels, or if the file exists and `overwrite` is false.
    """
    index = load_run_index(folder)
    row = _find_arm(index, arm)
    labels_stage, split = index.find_labels(arm)
    if labels_stage is None:
        raise StudyError(f"--arm {arm}: the arm has no labels ({row.skipped or row.description})")
    if path.suffix != _SUFFIX:
        raise StudyError(f"--out {path}: the suffix must be {_SUFFIX}, got {path.suffix or 'none'}")
    _require_new(path, overwrite)
    build_row = {"trl": build_trl_row, "llama-factory": build_llama_factory_row}[label_format]
    labels = load_annotations(open_artifact(folder / STAGES_DIR / labels_stage))
    pairs = load_split_pairs(open_artifact(folder / STAGES_DIR / split), "unlabeled")
    lines = []
    for pair in pairs:
        label = labels[pair.id]
        preference = Preference.from_annotation(pair, label)
        if preference is not None:
            margin = None if label.margin is None else abs(label.margin)
            lines.append(json.dumps(build_row(preference, margin), ensure_ascii=False))
    write_output(path, "".join(line + "\n" for line in lines))
    return ExportedLabels(count=len(lines), left_out=len(pairs) - len(lines))


def export_model(folder: Path, arm: str, path: Path, notify: Callable[[str], None], *, overwrite: bool = False) -> None:
    """Writes an arm's student as a full model, with its adapter merged into the base weights, dequantized if they have 4 bits.

    Raises `StudyError` if there is no student, if the user has not allowed the model's code, or if the folder is not empty and
    `overwrite` is false.
    """
    from trimtab.models.checkpoint import restore_full_weights  # noqa: PLC0415
    from trimtab.models.silence_transformers import silence_transformers  # noqa: PLC0415

    row = _find_arm(load_run_index(folder), arm)
    if row.training is None:
        raise StudyError(f"--arm {arm}: the arm has no trained model ({row.skipped or row.description})")
    _require_new(path, overwrite)
    student = require_trusted_code(ModelRef(open_artifact(folder / STAGES_DIR / row.training).folder), str(folder))
    partial = path.with_name(path.name + WRITING_SUFFIX)
    with translate_os_errors(path.parent):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            loaded = student.load(notify, "cpu", merge=True)
            with silence_transformers():
                restore_full_weights(loaded.model).save_pretrained(partial)
                loaded.chat.tokenizer.save_pretrained(partial)
            _replace_files(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def describe_llama_factory_dataset(arm: str, path: Path) -> str:
    """The entry of `dataset_info.json` with which LLaMA-Factory reads an exported file."""
    tags = {"role_tag": "role", "content_tag": "content"}
    entry = {
        "file_name": path.name,
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
        "tags": {**tags, "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"},
    }
    return json.dumps({f"trimtab-{arm}": entry}, indent=2)


def build_trl_row(preference: Preference, margin: float | None) -> dict[str, Any]:
    """A row in TRL's conversational preference format. `margin` is the score difference in favor of `chosen`.

    TRL gives some extra columns a meaning (its reward loss subtracts `margin`), so the names of ours have a prefix.
    """
    prompt, chosen, rejected = _build_messages(preference)
    return {
        "prompt": prompt.messages,
        "chosen": [chosen],
        "rejected": [rejected],
        # as text: tables would otherwise give every tool the keys of all tools
        **({"tools": json.dumps(prompt.tools, ensure_ascii=False)} if prompt.tools is not None else {}),
        **_build_label_columns(preference, margin),
    }


def build_llama_factory_row(preference: Preference, margin: float | None) -> dict[str, Any]:
    """A row in LLaMA-Factory's preference format: like TRL's, but each response is one message instead of a list.

    Raises `StudyError` for a pair with tool calls.
    """
    prompt, chosen, rejected = _build_messages(preference)
    if prompt.has_tools or "tool_calls" in chosen or "tool_calls" in rejected:
        raise StudyError(
            f"--format llama-factory: pair {preference.pair_id} has tool calls, which this format does not support here; use "
            "--format trl"
        )
    return {
        "prompt": prompt.messages,
        "chosen": chosen,
        "rejected": rejected,
        **_build_label_columns(preference, margin),
    }


def _build_messages(preference: Preference) -> tuple[ChatMessages, dict[str, Any], dict[str, Any]]:
    """The prompt, the chosen response and the rejected response."""
    prompt = build_chat_messages([(message.role, message.content) for message in preference.prompt])
    responses = build_chat_messages([("assistant", preference.chosen), ("assistant", preference.rejected)])
    return prompt, responses.messages[0], responses.messages[1]


def _build_label_columns(preference: Preference, margin: float | None) -> dict[str, Any]:
    columns = {
        "id": preference.pair_id,
        "p_chosen": preference.p_chosen,
        "margin": margin,
        "weight": preference.weight,
    }
    return {f"{LABEL_PREFIX}{name}": value for name, value in columns.items()}


def _require_new(path: Path, overwrite: bool) -> None:
    is_empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not overwrite and not is_empty:
        raise StudyError(f"--out {path}: already exists; give another path, or add --overwrite to replace it")


def _replace_files(source: Path, target: Path) -> None:
    """Moves the files of a model. Weights that are already there are deleted: loading would read them as well."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.safetensors*"):
        old.unlink()
    for file in source.iterdir():
        apply_umask(file)
        file.replace(target / file.name)


def _find_arm(index: RunIndex, arm: str) -> RowIndex:
    row = index.find_row(arm)
    if row is None:
        raise StudyError(f"--arm {arm}: unknown arm (expected one of: {', '.join(row.name for row in index.rows)})")
    return row
