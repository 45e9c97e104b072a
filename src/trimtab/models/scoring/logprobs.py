"""Log-probabilities of responses given their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trimtab.errors import ModelError
from trimtab.models.checkpoint import LoadedModel
from trimtab.models.lm_head import get_lm_head
from trimtab.models.packing.layout_probe import (
    LAYOUT_DESCRIPTIONS,
    DropoutDisabled,
    compute_hidden_states,
    select_layout,
    unwrap_adapter,
)
from trimtab.models.packing.pair_batch import BatchLayout, PairBatch, TokenizedPair, batch_by_length, collate_pairs
from trimtab.models.sharding import run_in_root

# Rows of the vocabulary-sized logits tensor that exist at one time: 512 x 262,144 float32 values are half a gigabyte.
LOGITS_CHUNK_ROWS = 512


class ResponseLogprobs(DropoutDisabled):
    """A causal language model that returns the summed log-probability of each response of a batch.

    The output head runs only on positions that predict response tokens, with a float32 log-softmax, chunk by chunk, so the
    full logits tensor never exists. This is a separate module so that DDP, FSDP and DeepSpeed see one ordinary forward pass.
    """

    def forward(self, **tensors: Tensor) -> Tensor:
        """Summed log-probabilities, float32, shape (pairs, 2); zero if a pair has no second response."""
        batch, causal = PairBatch(**tensors), unwrap_adapter(self.model)

        def compute_logprobs() -> Tensor:
            states = compute_hidden_states(self.model, batch)[batch.source_indices]
            return compute_token_logprobs(states, batch.targets, get_lm_head(causal))

        logprobs = run_in_root(causal, compute_logprobs)
        totals = torch.zeros(2 * len(batch.lengths), dtype=torch.float32, device=logprobs.device)
        return totals.index_add(0, batch.response_indices, logprobs).view(-1, 2)


def compute_token_logprobs(states: Tensor, targets: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
    """Log-probability of each target, float32, shape (N,), from hidden states of shape (N, d).

    A frozen output head, as in LoRA training, computes the gradient together with the value. This way the logits and their
    softmax are not stored or computed twice.
    """
    if isinstance(project, nn.Linear) and project.bias is None and not project.weight.requires_grad:
        return _FrozenHeadLogprobs.apply(states, targets, project.weight)

    def compute_chunk(chunk: Tensor, chunk_targets: Tensor) -> Tensor:
        logits = project(chunk).float()
        return logits.gather(1, chunk_targets[:, None])[:, 0] - logits.logsumexp(1)

    logprobs = []
    for start in range(0, len(targets), LOGITS_CHUNK_ROWS):
        rows = slice(start, start + LOGITS_CHUNK_ROWS)
        chunk, chunk_targets = states[rows], targets[rows]
        # In training the chunk's logits are recomputed in the backward pass instead of being stored.
        logprobs.append(
            checkpoint(compute_chunk, chunk, chunk_targets, use_reentrant=False)
            if chunk.requires_grad
            else compute_chunk(chunk, chunk_targets)
        )
    return torch.cat(logprobs)


class _FrozenHeadLogprobs(torch.autograd.Function):
    """log softmax(W h)[target] for a W that is not trained. Its gradient in h is W[target] - softmax(W h) W."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        logprobs = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        gradient = torch.empty_like(states, dtype=weight.dtype) if states.requires_grad else None
        for start in range(0, len(targets), LOGITS_CHUNK_ROWS):
            rows = slice(start, start + LOGITS_CHUNK_ROWS)
            chunk_targets = targets[rows]
            logits = (states[rows].to(weight.dtype) @ weight.T).float()
            target_logits = logits.gather(1, chunk_targets[:, None])[:, 0]
            max_logits = logits.amax(1, keepdim=True)
            exp_logits = logits.sub_(max_logits).exp_()
            total = exp_logits.sum(1, keepdim=True)
            logprobs[rows] = target_logits - max_logits[:, 0] - total[:, 0].log()
            if gradient is not None:
                # dividing after the product takes d columns instead of the whole vocabulary
                expected_weight = (exp_logits.to(weight.dtype) @ weight).div_(total.to(weight.dtype))
                gradient[rows] = weight[chunk_targets] - expected_weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.dtype = states.dtype
        return logprobs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (grads[0][:, None] * gradient).to(ctx.dtype), None, None


@dataclass(frozen=True, slots=True)
class LogprobReader:
    """Computes log-probabilities of pairs with a model in the layout that it supports."""

    module: ResponseLogprobs
    pad_id: int
    layout: BatchLayout

    @property
    def layout_description(self) -> str:
        """The layout in words, for a record."""
        return LAYOUT_DESCRIPTIONS[self.layout]

    def __call__(self, pairs: Sequence[TokenizedPair]) -> Tensor:
        """Summed log-probabilities, float32 on the CPU, shape (pairs, 2)."""
        device = next(self.module.parameters()).device
        return self.module(**collate_pairs(pairs, self.layout, self.pad_id).to(device).tensors()).cpu()  # type: ignore[no-any-return]


def build_logprob_reader(loaded: LoadedModel, notify: Callable[[str], None]) -> LogprobReader:
    """Select the model's batch layout. Notifies the user if each response needs a separate sequence."""
    layout = select_layout(loaded.model)
    if layout == "separate":
        notify(
            f"{type(loaded.model).__name__} does not support pairs in one sequence: each response is computed separately, "
            "at half the speed"
        )
    return LogprobReader(ResponseLogprobs(loaded.model), loaded.pad_id, layout)


@torch.inference_mode()
def read_logprob_batch(reader: LogprobReader, pairs: Sequence[TokenizedPair]) -> list[list[float]]:
    """The two sums of each pair, in nats, in one forward pass. Raises `ModelError` if a sum is not finite."""
    sums = reader(pairs)
    if not sums.isfinite().all():
        model = unwrap_adapter(reader.module.model)
        raise ModelError(
            f"{type(model).__name__}: the log-probability of a response is {float(sums[~sums.isfinite()][0])} "
            f"(in a batch of pairs of at most {len(pairs[0])} tokens); check the weights for NaN, or set dtype: float32 "
            f"(currently {model.dtype})"
        )
    return sums.tolist()


def read_logprobs(
    reader: LogprobReader, pairs: Sequence[TokenizedPair], token_budget: int, needed: Sequence[bool]
) -> Iterator[tuple[list[int], list[list[float]]]]:
    """Batches of indices and the two sums of each pair, longest pairs first.

    Batches are formed from all pairs, so that a resumed run forms the same batches. Batches without a `needed` pair are
    skipped.
    """
    for indices in batch_by_length([len(pair) for pair in pairs], token_budget):
        if any(needed[index] for index in indices):
            yield indices, read_logprob_batch(reader, [pairs[index] for index in indices])
