"""Models as a study's stages leave them: a whole model or an adapter on one, opened ready to read and write text."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.errors import ModelError
from trimtab.models.adapters import load_adapter, merge_adapter
from trimtab.models.chat import ChatTokenizer
from trimtab.models.config import Model, ResolvedWeights, resolve_weights
from trimtab.models.loading import load_model, load_tokenizer
from trimtab.models.silence_transformers import silence_transformers

CARD_FILE = "model.json"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with its tokenizer and chat template."""

    model: Any
    chat: ChatTokenizer

    @property
    def pad_id(self) -> int:
        return int(self.chat.tokenizer.pad_token_id)

    @property
    def max_positions(self) -> int | None:
        """How many tokens of one text the model was made for; None where its settings do not say."""
        return _config_max_positions(self.model.config)


def load_base_model(model: Model, notify: Callable[[str], None], device: str) -> LoadedModel:
    """A model as its settings name it, fetched and converted if need be."""
    return _load(model, resolve_weights(model, notify), device)


def load_chat_tokenizer(model: Model, notify: Callable[[str], None]) -> ChatTokenizer:
    """The tokenizer alone, for counting tokens."""
    return ChatTokenizer.from_tokenizer(load_tokenizer(model, resolve_weights(model, notify)), model.system)


def read_max_positions(model: Model, notify: Callable[[str], None]) -> int | None:
    """How many tokens of one text the model was made for; None where its settings do not say."""
    from transformers import AutoConfig

    with silence_transformers():
        config = AutoConfig.from_pretrained(
            resolve_weights(model, notify).folder, local_files_only=True, trust_remote_code=model.trust_remote_code
        )
    return _config_max_positions(config)


def _config_max_positions(config: Any) -> int | None:
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def load_trained_model(folder: Path, notify: Callable[[str], None], device: str, *, merge: bool = False) -> LoadedModel:
    """A model that `save_whole` or `save_adapter` wrote. An adapter's base is opened first, wherever it lies now.

    `merge` adds the adapter to the base's weights: faster to write text with, and what an exported model is; but the sum
    is rounded to the weights' precision, so log-probabilities are read without.
    """
    beneath = read_parent_model(folder)
    if beneath is None:
        weights = ResolvedWeights(folder=folder / "model", content_hash="", name=folder.name, license="")
        return _load(read_full_model_settings(folder), weights, device)
    under = (
        load_trained_model(beneath, notify, device)
        if isinstance(beneath, Path)
        else load_base_model(beneath, notify, device)
    )
    adapted = load_adapter(under.model, folder / "adapter")
    return LoadedModel(model=merge_adapter(adapted).eval() if merge else adapted, chat=under.chat)


def read_parent_model(folder: Path) -> Model | Path | None:
    """What the adapter in a trained model's folder goes on: a published model, or the folder of another stage; None where
    the folder holds a whole model."""
    card = _read_card(folder)
    if card["kind"] == "full":
        return None
    base = card["base"]
    return folder.parent / base["folder"] if "folder" in base else Model.model_validate(base["model"])


def read_full_model_settings(folder: Path) -> Model:
    """The whole model that a stage's folder holds, as settings that name it."""
    card = _read_card(folder)
    return Model(base=str(folder / "model"), dtype=card["dtype"], system=card["system"])


def save_full_model(loaded: LoadedModel, model: Any, folder: Path) -> None:
    """Writes the weights as safetensors with the tokenizer and its chat template, so that any tool can load them."""
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    with silence_transformers():
        model.save_pretrained(folder / "model")
        loaded.chat.tokenizer.save_pretrained(folder / "model")
    (folder / CARD_FILE).write_text(json.dumps({"kind": "full", "dtype": dtype, "system": loaded.chat.system}))


def save_adapter(adapted: Any, base: Model | Path, folder: Path) -> None:
    """Writes the adapter alone and says what it goes on: a model's settings, or the folder of another stage beside it."""
    with silence_transformers():
        adapted.save_pretrained(folder / "adapter")
    where = {"folder": base.name} if isinstance(base, Path) else {"model": base.model_dump(exclude_defaults=True)}
    (folder / CARD_FILE).write_text(json.dumps({"kind": "adapter", "base": where}))


def free_memory() -> None:
    """Gives memory of models that nothing refers to any more back."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _load(model: Model, weights: ResolvedWeights, device: str) -> LoadedModel:
    return LoadedModel(
        model=load_model(model, weights, device=device),
        chat=ChatTokenizer.from_tokenizer(load_tokenizer(model, weights), model.system),
    )


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelError(f"{folder} holds no trained model (no {CARD_FILE}); delete the folder and run again")
    return json.loads(path.read_text())  # type: ignore[no-any-return]
