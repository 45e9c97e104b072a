"""Sentence embeddings: vectors of unit length, whose dot products are cosine similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.models.packing.pair_batch import batch_by_length
from trimtab.models.silence_transformers import silence_transformers
from trimtab.models.sources.local_dir import read_json_object, require_tokenizer_files

Pooling = Literal["mean", "cls"]
POOLING_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence encoder in memory. It truncates texts to `max_length` tokens."""

    model: Any
    tokenizer: Any
    pooling: Pooling
    max_length: int

    def __call__(self, texts: Sequence[str], token_budget: int) -> Tensor:
        """Unit-length embeddings, float32 on the CPU, shape (texts, d). Up to rounding, each depends on its own text only."""
        ids = [self.tokenizer(text, truncation=True, max_length=self.max_length)["input_ids"] for text in texts]
        vectors = torch.empty(len(ids), self.model.config.hidden_size)
        for indices in batch_by_length([len(text_ids) for text_ids in ids], token_budget):
            vectors[indices] = self._embed_batch([ids[index] for index in indices])
        return vectors

    @torch.inference_mode()
    def _embed_batch(self, ids: Sequence[Sequence[int]]) -> Tensor:
        batch = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        states = self.model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None].float()
        pooled = states[:, 0] if self.pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1).cpu()


def load_encoder(folder: Path, device: str) -> SentenceEncoder:
    """Load an encoder from a sentence-transformers folder, or from any encoder's folder with mean pooling.

    Raises `ModelError` if the folder has no encoder, or specifies an unsupported pooling mode.
    """
    from transformers import AutoModel, AutoTokenizer

    require_tokenizer_files(folder)
    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the libraries raise errors of many types
        raise ModelError(f"{folder}: cannot load a sentence encoder: {error}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return SentenceEncoder(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        pooling=_read_pooling_mode(folder),
        max_length=_read_max_length(folder, model),
    )


def _read_pooling_mode(folder: Path) -> Pooling:
    config = _load_json(folder / "1_Pooling" / "config.json")
    modes = [name for name, value in config.items() if name.startswith("pooling_mode") and value is True]
    if not modes:
        return "mean"
    if len(modes) > 1 or modes[0] not in POOLING_MODES:
        raise ModelError(
            f"{folder}: unsupported pooling {', '.join(modes)}; supported are {' and '.join(POOLING_MODES)}"
        )
    return "mean" if POOLING_MODES[modes[0]] == "mean" else "cls"


def _read_max_length(folder: Path, model: Any) -> int:
    length = _load_json(folder / "sentence_bert_config.json").get("max_seq_length")
    return int(length or getattr(model.config, "max_position_embeddings", None) or 512)


def _load_json(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}
