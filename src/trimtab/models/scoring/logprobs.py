"""Log-probabilities of responses: the one quantity that both papers need from a model."""

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

# Rows of the vocabulary-sized tensor that exist at one time: 512 x 262,144 float32 values are half a gigabyte.
LOGITS_CHUNK_ROWS = 512


class ResponseLogprobs(DropoutDisabled):
    """A causal language model that answers with the summed log-probability of each response of a batch.

    The output head runs on response positions only and its log-softmax in float32, slice by slice, so that the tensor
    of all logits never exists. It is a module of its own so that DDP, FSDP and DeepSpeed see one ordinary forward pass.
    """

    def forward(self, **tensors: Tensor) -> Tensor:
        """Summed log-probabilities, float32, shape (pairs, 2); zero where a pair has no second response."""
        batch = PairBatch(**tensors)
        chosen = compute_hidden_states(self.model, batch)[batch.source_indices]
        each = compute_token_logprobs(chosen, batch.targets, get_lm_head(unwrap_adapter(self.model)))
        totals = torch.zeros(2 * len(batch.lengths), dtype=torch.float32, device=each.device)
        return totals.index_add(0, batch.response_indices, each).view(-1, 2)


def compute_token_logprobs(states: Tensor, targets: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
    """Log-probability of each target, float32, shape (N,), from hidden states of shape (N, d).

    A frozen output head, as under LoRA, takes the short way: its gradient is made with its value, so that neither the
    logits nor their softmax are kept or made twice.
    """
    if isinstance(project, nn.Linear) and project.bias is None and not project.weight.requires_grad:
        return _FrozenHeadLogprobs.apply(states, targets, project.weight)

    def piece(part: Tensor, wanted: Tensor) -> Tensor:
        logits = project(part).float()
        return logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)

    parts = []
    for start in range(0, len(targets), LOGITS_CHUNK_ROWS):
        part, wanted = states[start : start + LOGITS_CHUNK_ROWS], targets[start : start + LOGITS_CHUNK_ROWS]
        # in training the slice's logits are made again on the way back instead of being kept
        kept = part.requires_grad
        parts.append(checkpoint(piece, part, wanted, use_reentrant=False) if kept else piece(part, wanted))
    return torch.cat(parts)


class _FrozenHeadLogprobs(torch.autograd.Function):
    """log softmax(W h)[target] for a W that is not trained; d/dh of it is W[target] - softmax(W h) W."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        values = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        slopes = torch.empty_like(states, dtype=weight.dtype) if states.requires_grad else None
        for start in range(0, len(targets), LOGITS_CHUNK_ROWS):
            place = slice(start, start + LOGITS_CHUNK_ROWS)
            wanted = targets[place]
            logits = (states[place].to(weight.dtype) @ weight.T).float()
            chosen = logits.gather(1, wanted[:, None])[:, 0]
            top = logits.amax(1, keepdim=True)
            share = logits.sub_(top).exp_()
            total = share.sum(1, keepdim=True)
            values[place] = chosen - top[:, 0] - total[:, 0].log()
            if slopes is not None:
                # divided after the product, where there are d columns and not the whole vocabulary
                slopes[place] = weight[wanted] - (share.to(weight.dtype) @ weight).div_(total.to(weight.dtype))
        if slopes is not None:
            ctx.save_for_backward(slopes)
        ctx.dtype = states.dtype
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return (grads[0][:, None] * slopes).to(ctx.dtype), None, None


@dataclass(frozen=True, slots=True)
class LogprobReader:
    """Reads pairs with a model, in the form that it takes."""

    module: ResponseLogprobs
    pad_id: int
    layout: BatchLayout

    @property
    def layout_description(self) -> str:
        """The form in words, for a record."""
        return LAYOUT_DESCRIPTIONS[self.layout]

    def __call__(self, rows: Sequence[TokenizedPair]) -> Tensor:
        """Summed log-probabilities, float32 on the CPU, shape (rows, 2)."""
        device = next(self.module.parameters()).device
        return self.module(**collate_pairs(rows, self.layout, self.pad_id).to(device).tensors()).cpu()  # type: ignore[no-any-return]


def build_logprob_reader(loaded: LoadedModel, notify: Callable[[str], None]) -> LogprobReader:
    """Pairs in the form that the model takes; says so where each response must be read alone."""
    form = select_layout(loaded.model)
    if form == "separate":
        notify(
            f"{type(loaded.model).__name__} cannot read a pair as one row: each response is read alone, at half the speed"
        )
    return LogprobReader(ResponseLogprobs(loaded.model), loaded.pad_id, form)


@torch.inference_mode()
def read_logprob_batch(reader: LogprobReader, rows: Sequence[TokenizedPair]) -> list[list[float]]:
    """The two sums of each row, in nats, all rows in one pass. Raises `ModelError` where a sum is not finite."""
    sums = reader(rows)
    if not sums.isfinite().all():
        model = unwrap_adapter(reader.module.model)
        raise ModelError(
            f"{type(model).__name__} gives a response of {len(rows[0])} tokens the log-probability "
            f"{float(sums[~sums.isfinite()][0])}, which no sound weights do; "
            f"look for nan in them, or set dtype: float32 (it is {model.dtype} now)"
        )
    return sums.tolist()


def read_logprobs(
    reader: LogprobReader, rows: Sequence[TokenizedPair], token_budget: int, needed: Sequence[bool]
) -> Iterator[tuple[list[int], list[list[float]]]]:
    """Batches of places and their two sums, longest rows first.

    Batches are formed from all rows, so that a resumed run forms the same ones; those in which no row is `wanted` are
    left out.
    """
    for places in batch_by_length([len(row) for row in rows], token_budget):
        if any(needed[place] for place in places):
            yield places, read_logprob_batch(reader, [rows[place] for place in places])
