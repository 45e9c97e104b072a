"""The `model.json` in a trained model's folder: whether the folder has full weights or an adapter, and on which model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.errors import ModelError
from trimtab.models.config import Model
from trimtab.models.sources.local_dir import read_json_object

CARD_FILE = "model.json"


def is_trained_model(folder: Path) -> bool:
    """Whether the folder contains a trained model."""
    return (folder / CARD_FILE).is_file()


def write_full_model_card(folder: Path, dtype: str, system: str | None, *, load_in_4bit: bool = False) -> None:
    """Record that the folder contains full weights of this dtype, used with this system prompt, perhaps quantized."""
    quantization = {"load_in_4bit": True} if load_in_4bit else {}
    _write_card(folder, {"kind": "full", "dtype": dtype, "system": system, **quantization})


def write_adapter_card(folder: Path, parent: Model | Path) -> None:
    """Record that the folder contains an adapter on `parent`: a published model, or a trained model's folder next to it."""
    base = {"folder": parent.name} if isinstance(parent, Path) else {"model": parent.model_dump(exclude_defaults=True)}
    _write_card(folder, {"kind": "adapter", "base": base})


def read_parent(folder: Path) -> Model | Path | None:
    """The model that the folder's adapter applies to. None if the folder contains full weights.

    Raises `ModelError` if the folder has no trained model.
    """
    card = _read_card(folder)
    if card["kind"] == "full":
        return None
    base = card["base"]
    return _find_parent_folder(folder, base["folder"]) if "folder" in base else Model.model_validate(base["model"])


def _find_parent_folder(folder: Path, name: str) -> Path:
    """The trained model next to this one. The run that made it may have given it another name with the same fingerprint."""
    fingerprint = name.rpartition("-")[2]
    named = folder.parent / name
    return named if named.exists() else next(iter(sorted(folder.parent.glob(f"*-{fingerprint}"))), named)


def read_full_model_settings(folder: Path) -> Model:
    """Model settings for the full weights in the folder. Raises `ModelError` if there are none."""
    card = _read_card(folder)
    if card["kind"] != "full":
        raise ModelError(f"{folder} contains an adapter, not full weights")
    quantized = bool(card.get("load_in_4bit", False))
    return Model(base=str(folder / "model"), dtype=card["dtype"], system=card["system"], load_in_4bit=quantized)


def _write_card(folder: Path, card: dict[str, Any]) -> None:
    (folder / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelError(f"{folder} does not contain a trained model (no {CARD_FILE}); delete the folder and run again")
    card = read_json_object(path)
    required = {"full": ("dtype", "system"), "adapter": ("base",)}.get(card.get("kind", ""))
    if required is None or any(key not in card for key in required):
        raise ModelError(f"{path} does not describe a trained model; delete the folder {folder} and run again")
    return card
