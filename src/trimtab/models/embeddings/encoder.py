"""Sentences as vectors of unit length, whose products are cosine similarities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.models.packing.pair_batch import batch_by_length
from trimtab.models.silence_transformers import silence_transformers

Pooling = Literal["mean", "cls"]
POOLING_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class SentenceEncoder:
    """An encoder in memory. `longest` is how many tokens of a text it reads; the rest is cut off."""

    model: Any
    tokenizer: Any
    pooling: Pooling
    max_length: int

    def __call__(self, texts: Sequence[str], token_budget: int) -> Tensor:
        """Vectors, float32 on the CPU, shape (texts, d), each of length 1; they do not depend on the other texts but for
        rounding."""
        ids = [self.tokenizer(text, truncation=True, max_length=self.max_length)["input_ids"] for text in texts]
        found = torch.empty(len(ids), self.model.config.hidden_size)
        for places in batch_by_length([len(each) for each in ids], token_budget):
            found[places] = self._encode_batch([ids[place] for place in places])
        return found

    @torch.inference_mode()
    def _encode_batch(self, ids: Sequence[Sequence[int]]) -> Tensor:
        batch = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        states = self.model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None].float()
        pooled = states[:, 0] if self.pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1).cpu()


def load_encoder(folder: Path, device: str) -> SentenceEncoder:
    """The encoder in a folder as sentence-transformers lays it out, or any encoder, whose states are averaged.

    Raises `ModelError` where the folder holds no encoder, and where it is to be pooled in a way that is not known.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
    except (ValueError, KeyError, OSError) as error:
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
    told = _load_json(folder / "1_Pooling" / "config.json")
    asked = [name for name, value in told.items() if name.startswith("pooling_mode") and value is True]
    if not asked:
        return "mean"
    if len(asked) > 1 or asked[0] not in POOLING_MODES:
        raise ModelError(f"{folder}: pools by {', '.join(asked)}; {' or '.join(POOLING_MODES)} alone are known")
    return "mean" if POOLING_MODES[asked[0]] == "mean" else "cls"


def _read_max_length(folder: Path, model: Any) -> int:
    told = _load_json(folder / "sentence_bert_config.json").get("max_seq_length")
    return int(told or getattr(model.config, "max_position_embeddings", None) or 512)


def _load_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
