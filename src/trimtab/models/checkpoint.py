"""Models in memory: load them with their tokenizer, and save trained ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.models.adapters import load_adapter, merge_adapter
from trimtab.models.chat import ChatTokenizer
from trimtab.models.config import Model, ResolvedWeights, resolve_weights
from trimtab.models.loading import load_config, load_model, load_tokenizer
from trimtab.models.model_card import read_full_model_settings, read_parent, write_adapter_card, write_full_model_card
from trimtab.models.packing.layout_probe import unwrap_adapter
from trimtab.models.quantization import dequantize_model, is_quantized
from trimtab.models.silence_transformers import silence_transformers


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
        """The maximum number of tokens of a text, or None if the model's config does not say."""
        return _config_max_positions(self.model.config)


def load_checkpoint(
    source: Model | Path, notify: Callable[[str], None], device: str, *, merge: bool = False, num_shards: int = 1
) -> LoadedModel:
    """Load a published model by its settings, or a trained model from its folder. `ModelRef.load` documents the options."""
    if isinstance(source, Model):
        return _load(source, resolve_weights(source, notify), device, notify, num_shards)
    parent = read_parent(source)
    if parent is None:
        weights = ResolvedWeights(folder=source / "model", content_hash="", name=source.name, license="")
        return _load(read_full_model_settings(source), weights, device, notify, num_shards)
    base = load_checkpoint(parent, notify, device)
    adapted = load_adapter(base.model, source / "adapter")
    merge = merge and not is_quantized(base.model)  # the sum would be a model of full size
    return LoadedModel(model=merge_adapter(adapted).eval() if merge else adapted, chat=base.chat)


def restore_full_weights(model: Any) -> Any:
    """A quantized model as an ordinary one in main memory, its adapter merged; other models are unchanged."""
    if not is_quantized(model):
        return model
    return dequantize_model(model) if unwrap_adapter(model) is model else merge_adapter(model)


def load_chat_tokenizer(model: Model, notify: Callable[[str], None]) -> ChatTokenizer:
    """Load the tokenizer alone, for counting tokens."""
    return ChatTokenizer.from_tokenizer(load_tokenizer(model, resolve_weights(model, notify)), model.system)


def read_max_positions(model: Model, notify: Callable[[str], None]) -> int | None:
    """The maximum number of tokens of a text, or None if the model's config does not say. Loads no weights."""
    return _config_max_positions(load_config(model, resolve_weights(model, notify)))


def _config_max_positions(config: Any) -> int | None:
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def save_full_model(loaded: LoadedModel, model: Any, folder: Path, *, load_in_4bit: bool = False) -> None:
    """Save the weights as safetensors with the tokenizer and its chat template, so that any tool can load them.

    With `load_in_4bit`, later stages quantize them.
    """
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    with silence_transformers():
        model.save_pretrained(folder / "model")
        loaded.chat.tokenizer.save_pretrained(folder / "model")
    write_full_model_card(folder, dtype, loaded.chat.system, load_in_4bit=load_in_4bit)


def save_adapter(adapted: Any, base: Model | Path, folder: Path) -> None:
    """Saves the adapter alone, and the model that it applies to.

    That is a published model, or the folder of a trained model, relative to this one.
    """
    config = adapted.peft_config["default"]
    # peft has a set, which it would write in an order that differs between processes
    config.target_modules = sorted(config.target_modules)
    with silence_transformers():
        adapted.save_pretrained(folder / "adapter")
    write_adapter_card(folder, base)


def _load(
    model: Model, weights: ResolvedWeights, device: str, notify: Callable[[str], None], num_shards: int
) -> LoadedModel:
    chat = ChatTokenizer.from_tokenizer(load_tokenizer(model, weights), model.system)
    if chat.note is not None:
        notify(chat.note)
    return LoadedModel(model=load_model(model, weights, device=device, num_shards=num_shards), chat=chat)
