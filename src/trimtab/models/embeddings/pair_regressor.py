"""Learned similarity: a sequence-classification model with one output that scores a candidate text against a reference.

BLEURT (Sellam et al. 2020) has this form. Its TensorFlow checkpoints were converted for transformers as BERT with one output,
for example `Elron/bleurt-base-512`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.models.packing.pair_batch import batch_by_length
from trimtab.models.silence_transformers import silence_transformers
from trimtab.models.sources.local_dir import require_tokenizer_files

DEFAULT_MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class PairScores:
    """Scores, float32 on the CPU, shape (pairs,), in the model's own unit, and whether each pair was truncated."""

    values: Tensor
    truncated: tuple[bool, ...]


@dataclass(frozen=True)
class PairRegressor:
    """A regressor in memory. A pair longer than `max_length` tokens is truncated, the longer text first."""

    model: Any
    tokenizer: Any
    max_length: int

    def __call__(self, references: Sequence[str], candidates: Sequence[str], token_budget: int) -> PairScores:
        """The score of each candidate. Up to rounding, it depends on its own pair only."""
        encoded = [self._encode(*texts) for texts in zip(references, candidates, strict=True)]
        lengths = [len(pair["input_ids"]) for pair in encoded]
        values = torch.empty(len(encoded))
        for indices in batch_by_length([min(length, self.max_length) for length in lengths], token_budget):
            batch = [
                encoded[index]
                if lengths[index] <= self.max_length
                else self._encode(references[index], candidates[index], truncation="longest_first")
                for index in indices
            ]
            values[indices] = self._score_batch(batch)
        return PairScores(values, tuple(length > self.max_length for length in lengths))

    def _encode(self, reference: str, candidate: str, truncation: bool | str = False) -> Any:
        return self.tokenizer(reference, candidate, truncation=truncation, max_length=self.max_length, verbose=False)

    @torch.inference_mode()
    def _score_batch(self, encoded: Sequence[Any]) -> Tensor:
        batch = self.tokenizer.pad(encoded, return_tensors="pt").to(self.model.device)
        scores: Tensor = self.model(**batch).logits[:, 0].float().cpu()
        return scores


def require_one_output(folder: Path) -> None:
    """Raises `ModelError` unless the folder's configuration describes a model with one output. Reads no weights."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the libraries raise errors of many types
        raise ModelError(f"{folder}: cannot read the configuration of a regressor: {error}") from error
    if config.num_labels != 1:
        raise ModelError(f"{folder}: a model with {config.num_labels} outputs; a regressor such as BLEURT has one")


def load_pair_regressor(folder: Path, device: str) -> PairRegressor:
    """Load a regressor in float32. Raises `ModelError` if the folder has none, or not all of its weights."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    require_tokenizer_files(folder)
    require_one_output(folder)
    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # the libraries raise errors of many types
        raise ModelError(f"{folder}: cannot load a regressor: {error}") from error
    if loading["missing_keys"]:
        names = ", ".join(sorted(loading["missing_keys"])[:3])
        raise ModelError(f"{folder}: not a regressor: the weights do not contain {names}")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    limits = (getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length)
    return PairRegressor(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        max_length=min((int(limit) for limit in limits if limit), default=DEFAULT_MAX_LENGTH),
    )
