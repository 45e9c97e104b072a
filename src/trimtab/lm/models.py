"""Models as a study's stages leave them: a whole model or an adapter on one, opened ready to read and write text."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.errors import ModelError
from trimtab.lm.adapters import load_adapter, merged
from trimtab.lm.chat import Chat
from trimtab.lm.load import load_model, load_tokenizer
from trimtab.lm.quiet import quiet
from trimtab.lm.weights import Model, Weights, resolve

CARD = "model.json"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory with its tokenizer and chat template."""

    model: Any
    chat: Chat

    @property
    def pad_id(self) -> int:
        return int(self.chat.tokenizer.pad_token_id)

    @property
    def most(self) -> int | None:
        """How many tokens of one text the model was made for; None where its settings do not say."""
        return _positions(self.model.config)


def open_base(model: Model, notify: Callable[[str], None], device: str) -> Loaded:
    """A model as its settings name it, fetched and converted if need be."""
    return _open(model, resolve(model, notify), device)


def open_tokenizer(model: Model, notify: Callable[[str], None]) -> Chat:
    """The tokenizer alone, for counting tokens."""
    return Chat.of(load_tokenizer(model, resolve(model, notify)), model.system)


def max_positions(model: Model, notify: Callable[[str], None]) -> int | None:
    """How many tokens of one text the model was made for; None where its settings do not say."""
    from transformers import AutoConfig

    with quiet():
        config = AutoConfig.from_pretrained(
            resolve(model, notify).folder, local_files_only=True, trust_remote_code=model.trust_remote_code
        )
    return _positions(config)


def _positions(config: Any) -> int | None:
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def open_trained(folder: Path, notify: Callable[[str], None], device: str, *, merge: bool = False) -> Loaded:
    """A model that `save_whole` or `save_adapter` wrote. An adapter's base is opened first, wherever it lies now.

    `merge` adds the adapter to the base's weights: faster to write text with, and what an exported model is; but the sum
    is rounded to the weights' precision, so log-probabilities are read without.
    """
    beneath = base_beneath(folder)
    if beneath is None:
        weights = Weights(folder=folder / "model", identity="", name=folder.name, license="")
        return _open(whole_model(folder), weights, device)
    under = open_trained(beneath, notify, device) if isinstance(beneath, Path) else open_base(beneath, notify, device)
    adapted = load_adapter(under.model, folder / "adapter")
    return Loaded(model=merged(adapted).eval() if merge else adapted, chat=under.chat)


def base_beneath(folder: Path) -> Model | Path | None:
    """What the adapter in a trained model's folder goes on: a published model, or the folder of another stage; None where
    the folder holds a whole model."""
    card = _card(folder)
    if card["form"] == "whole":
        return None
    base = card["base"]
    return folder.parent / base["folder"] if "folder" in base else Model.model_validate(base["model"])


def whole_model(folder: Path) -> Model:
    """The whole model that a stage's folder holds, as settings that name it."""
    card = _card(folder)
    return Model(base=str(folder / "model"), dtype=card["dtype"], system=card["system"])


def save_whole(loaded: Loaded, model: Any, folder: Path) -> None:
    """Writes the weights as safetensors with the tokenizer and its chat template, so that any tool can load them."""
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    with quiet():
        model.save_pretrained(folder / "model")
        loaded.chat.tokenizer.save_pretrained(folder / "model")
    (folder / CARD).write_text(json.dumps({"form": "whole", "dtype": dtype, "system": loaded.chat.system}))


def save_adapter(adapted: Any, base: Model | Path, folder: Path) -> None:
    """Writes the adapter alone and says what it goes on: a model's settings, or the folder of another stage beside it."""
    with quiet():
        adapted.save_pretrained(folder / "adapter")
    where = {"folder": base.name} if isinstance(base, Path) else {"model": base.model_dump(exclude_defaults=True)}
    (folder / CARD).write_text(json.dumps({"form": "adapter", "base": where}))


def release() -> None:
    """Gives memory of models that nothing refers to any more back."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _open(model: Model, weights: Weights, device: str) -> Loaded:
    return Loaded(
        model=load_model(model, weights, device=device), chat=Chat.of(load_tokenizer(model, weights), model.system)
    )


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    if not path.is_file():
        raise ModelError(f"{folder} holds no trained model (no {CARD}); delete the folder and run again")
    return json.loads(path.read_text())  # type: ignore[no-any-return]
