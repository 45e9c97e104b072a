"""Merges a published adapter with the model that it was trained on, and verifies what the sum computes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from peft.utils.save_and_load import load_peft_weights
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.models.adapters import load_adapter, merge_adapter
from trimtab.models.sources.local_dir import ADAPTER_CONFIG, read_json_object
from trimtab.models.weight_headers import read_shapes

# Largest difference between the logits of the merged model and those of base plus adapter, relative to the largest logit, in
# float32. Rounding gives 1e-5; a weight that is lost or added twice gives a hundredth or more.
MAX_RELATIVE_DIFFERENCE = 1e-3
_PROBE_LENGTH = 16
# A complete matrix of a layer, which peft saves next to the matrices of the adapter.
_FULL_MATRIX = re.compile(r"(?:\.(?:modules_to_save|original_module|token_adapter|base_layer))*\.weight$")


def apply_and_merge_adapter(base: Any, folder: Path) -> Any:
    """The base with the adapter in `folder` merged into its weights. The sum is float32 and is rounded once.

    If the adapter's training added tokens, the embeddings get their rows. If it changed one of two tied matrices, they are
    separated first. Raises `ModelError` if the base has no place for one of the adapter's weights, which is so if it is not
    the model that the adapter was trained on, or if the merged model computes something else than base plus adapter.
    """
    shapes, dtype = read_shapes(folder), base.dtype
    _add_embedding_rows(base, shapes)
    _separate_tied_matrices(
        base, shapes, is_tied=read_json_object(folder / ADAPTER_CONFIG).get("ensure_weight_tying") is True
    )
    adapted = load_adapter(base.float(), folder)
    _require_place_for_weights(adapted, folder)
    expected = _compute_logits(adapted)
    merged = merge_adapter(adapted)
    difference = float((_compute_logits(merged) - expected).abs().max() / expected.abs().max().clamp(min=1.0))
    if not difference <= MAX_RELATIVE_DIFFERENCE:
        raise ModelError(
            f"the merged model does not compute what base plus adapter does (the logits differ by {difference:.1%}); merge "
            "the two in peft, and give the folder of the merged model"
        )
    return merged.to(dtype)


def _add_embedding_rows(base: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Adds rows for the tokens that the adapter's tokenizer has and the base lacks. The adapter's file has their weights."""
    rows = max((shape[0] for name, shape in shapes.items() if _find_embedding(base, name, _FULL_MATRIX)), default=0)
    if rows > base.get_input_embeddings().weight.shape[0]:
        base.resize_token_embeddings(rows, mean_resizing=False)


def _separate_tied_matrices(base: Any, shapes: dict[str, tuple[int, ...]], *, is_tied: bool) -> None:
    """Gives the output head its own weights if the adapter changes the head or the embedding and does not keep them equal."""
    head, embedding = base.get_output_embeddings(), base.get_input_embeddings()
    if head is None or head.weight is not embedding.weight or is_tied:
        return
    if any(_find_embedding(base, name, re.compile(r"\..*lora_")) for name in shapes):
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        base.config.get_text_config().tie_word_embeddings = base.config.tie_word_embeddings = False


def _find_embedding(base: Any, name: str, rest: re.Pattern[str]) -> bool:
    """Whether a tensor of an adapter belongs to the embedding or the output head, and `rest` matches what follows its name."""
    layers = (base.get_input_embeddings(), base.get_output_embeddings())
    names = [module_name for module_name, module in base.named_modules() if any(module is each for each in layers)]
    prefix = next((each for each in names if name.startswith(f"base_model.model.{each}.")), None)
    return prefix is not None and rest.match(name.removeprefix(f"base_model.model.{prefix}")) is not None


def _require_place_for_weights(adapted: Any, folder: Path) -> None:
    weights = load_peft_weights(str(folder), device="cpu")
    unexpected = set_peft_model_state_dict(adapted, weights).unexpected_keys
    placed = [weights[name] for name in weights.keys() - set(unexpected)]
    # peft stores some matrices of the embedding and the output head twice, under two names.
    unplaced = sorted(name for name in unexpected if not any(torch.equal(weights[name], each) for each in placed))
    if unplaced:
        raise ModelError(
            f"the adapter has {len(unplaced)} weights for which the base has no place ({unplaced[0]}); it was trained on "
            "another model"
        )


@torch.inference_mode()
def _compute_logits(model: Any) -> Tensor:
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = torch.linspace(0, rows - 1, _PROBE_LENGTH).long().unsqueeze(0)
    logits: Tensor = model(tokens).logits.float()
    return logits
