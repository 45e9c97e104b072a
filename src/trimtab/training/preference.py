"""A preference model: a language model with a LoRA adapter that answers which of two responses is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.lm.adapters import add_adapter, is_narrow
from trimtab.lm.logprobs import ResponseLogprobs
from trimtab.protocols import Tick
from trimtab.training import losses
from trimtab.training.loop import Example, Job, Setup, train
from trimtab.training.settings import Preference


def preference(
    model: Any, examples: Sequence[Example], recipe: Preference, setup: Setup, folder: Path, tick: Tick
) -> tuple[Any, list[dict[str, float]]]:
    """The model with its trained adapter, and the log.

    Each example's row holds a question and its two answers; `reference` holds the answers' weights, which sum to 1.
    """
    narrow = is_narrow(model)
    policy = add_adapter(model, rank=recipe.lora_rank, alpha=recipe.lora_alpha, seed=setup.seed)
    job = Job(recipe=recipe, setup=setup, narrow=narrow, loss=_loss, items=_pairs)
    return policy, train(ResponseLogprobs(policy), examples, job, folder, tick)


def _loss(summed: Tensor, inputs: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    weights = inputs["reference"]
    leaning = (summed[:, 0] - summed[:, 1]) * (weights[:, 0] - weights[:, 1]).sign()
    return losses.answers(summed, weights).sum(), {"accuracy": float(losses.accuracy(leaning.detach()))}


def _pairs(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["reference"])
