"""Exports an arm's labels or its student for other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.errors import StudyError
from trimtab.models.references import ModelRef
from trimtab.pipeline.run_index import RowIndex, RunIndex, load_run_index
from trimtab.storage.artifacts import open_artifact
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Message, Preference


def export_preferences(folder: Path, arm: str, path: Path) -> int:
    """Writes an arm's labels as JSON lines in TRL's conversational preference format and returns the number of rows.

    Besides `prompt`, `chosen` and `rejected` (messages), a row has `p_chosen` (the label's probability), `margin` (the raw
    score difference in favor of `chosen`, null if the annotator has none), `weight` and the pair's `id`.
    """
    index = load_run_index(folder)
    row = _find_arm(index, arm)
    if path.suffix != ".jsonl":
        raise StudyError(f"--out {path}: labels are written as JSON lines; use the suffix .jsonl")
    if row.labels is None:
        raise StudyError(f"--arm {arm}: the arm has no labels ({row.skipped or row.description})")
    labels = load_annotations(open_artifact(folder / "stages" / row.labels))
    lines = []
    for pair in load_split_pairs(open_artifact(folder / "stages" / index.split), "unlabeled"):
        label = labels[pair.id]
        preference = Preference.from_annotation(pair, label)
        if preference is not None:
            margin = None if label.margin is None else abs(label.margin)
            lines.append(json.dumps(build_trl_row(preference, margin), ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def export_model(folder: Path, arm: str, path: Path, notify: Callable[[str], None]) -> None:
    """Writes an arm's student as a full model, with its adapter merged into the base weights."""
    from trimtab.models.silence_transformers import silence_transformers  # noqa: PLC0415

    row = _find_arm(load_run_index(folder), arm)
    if row.training is None:
        raise StudyError(f"--arm {arm}: the arm has no trained model ({row.skipped or row.description})")
    trained = open_artifact(folder / "stages" / row.training).folder
    loaded = ModelRef(trained).load(notify, "cpu", merge=True)
    with silence_transformers():
        loaded.model.save_pretrained(path)
        loaded.chat.tokenizer.save_pretrained(path)


def build_trl_row(preference: Preference, margin: float | None) -> dict[str, Any]:
    """A row in TRL's conversational preference format. `margin` is the score difference in favor of `chosen`."""

    def response(text: str) -> list[dict[str, str]]:
        return [_to_message(Message(role="assistant", content=text))]

    return {
        "id": preference.pair_id,
        "prompt": [_to_message(message) for message in preference.prompt],
        "chosen": response(preference.chosen),
        "rejected": response(preference.rejected),
        "p_chosen": preference.p_chosen,
        "margin": margin,
        "weight": preference.weight,
    }


def _to_message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _find_arm(index: RunIndex, arm: str) -> RowIndex:
    row = index.find_row(arm)
    if row is None:
        raise StudyError(f"--arm {arm}: unknown arm (expected one of: {', '.join(row.name for row in index.rows)})")
    return row
