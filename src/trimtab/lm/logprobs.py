"""Log-probabilities of responses: the one quantity that both papers need from a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trimtab.lm.models import Loaded
from trimtab.lm.rows import Batch, Row, attention_mask, batches, pad, plain_rows

# Rows of the vocabulary-sized tensor that exist at one time: 512 x 262,144 float32 values are half a gigabyte.
SLICE = 512


class ResponseLogprobs(nn.Module):
    """A causal language model that answers with the summed log-probability of each response of a batch.

    The output head runs on response positions only and its log-softmax in float32, slice by slice, so that the tensor
    of all logits never exists. It is a module of its own so that DDP, FSDP and DeepSpeed see one ordinary forward pass.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **tensors: Tensor) -> Tensor:
        """Summed log-probabilities, float32, shape (rows, 2); zero where a row has no second response."""
        batch = Batch(**tensors)
        states = last_states(self.model, batch)
        chosen = states.reshape(-1, states.shape[-1])[batch.sources]
        each = token_logprobs(chosen, batch.targets, head(unwrapped(self.model)))
        totals = torch.zeros(2 * len(batch.tokens), dtype=torch.float32, device=each.device)
        return totals.index_add(0, batch.owners, each).view(-1, 2)


def last_states(model: Any, batch: Batch) -> Tensor:
    """The model's last hidden states of every token of the batch, shape (rows, T, d)."""
    causal = unwrapped(model)
    return causal.base_model(  # type: ignore[no-any-return]
        input_ids=batch.tokens,
        position_ids=batch.positions,
        attention_mask=masks(causal.config, batch),
        use_cache=False,
    ).last_hidden_state


def unwrapped(model: Any) -> Any:
    """The causal model itself: an adapter lives inside its layers and stays in force."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def masks(config: Any, batch: Batch) -> Any:
    """The attention mask as the model wants it: one tensor, or one for each kind of layer where the kinds are mixed."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not kinds:
        kinds = {"sliding_attention" if window else "full_attention"}
    seen = {kind: attention_mask(batch, window if kind == "sliding_attention" else None) for kind in sorted(kinds)}
    # eager attention adds its mask to the scores, the other kinds read it as what may be seen
    made = {kind: _added(mask) for kind, mask in seen.items()} if config._attn_implementation == "eager" else seen
    return made if len(made) > 1 else next(iter(made.values()))


def _added(seen: Tensor) -> Tensor:
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.bfloat16).min)


def head(causal: Any) -> Callable[[Tensor], Tensor]:
    """From hidden states to logits, with the soft cap that some families put on them."""
    project = causal.get_output_embeddings()
    cap = getattr(causal.config, "final_logit_softcapping", None)
    if not cap:
        return project  # type: ignore[no-any-return]
    return lambda states: torch.tanh(project(states) / cap) * cap


def token_logprobs(states: Tensor, targets: Tensor, project: Callable[[Tensor], Tensor]) -> Tensor:
    """Log-probability of each target, float32, shape (N,), from hidden states of shape (N, d).

    A frozen output head, as under LoRA, takes the short way: its gradient is made with its value, so that neither the
    logits nor their softmax are kept or made twice.
    """
    if isinstance(project, nn.Linear) and project.bias is None and not project.weight.requires_grad:
        return _FrozenHead.apply(states, targets, project.weight)

    def piece(part: Tensor, wanted: Tensor) -> Tensor:
        logits = project(part).float()
        return logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)

    parts = []
    for start in range(0, len(targets), SLICE):
        part, wanted = states[start : start + SLICE], targets[start : start + SLICE]
        # in training the slice's logits are made again on the way back instead of being kept
        kept = part.requires_grad
        parts.append(checkpoint(piece, part, wanted, use_reentrant=False) if kept else piece(part, wanted))
    return torch.cat(parts)


class _FrozenHead(torch.autograd.Function):
    """log softmax(W h)[target] for a W that is not trained; d/dh of it is W[target] - softmax(W h) W."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        values = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        slopes = torch.empty_like(states, dtype=weight.dtype) if states.requires_grad else None
        for start in range(0, len(targets), SLICE):
            place = slice(start, start + SLICE)
            wanted = targets[place]
            logits = (states[place].to(weight.dtype) @ weight.T).float()
            chosen = logits.gather(1, wanted[:, None])[:, 0]
            top = logits.amax(1, keepdim=True)
            share = logits.sub_(top).exp_()
            total = share.sum(1, keepdim=True)
            values[place] = chosen - top[:, 0] - total[:, 0].log()
            if slopes is not None:
                slopes[place] = weight[wanted] - share.div_(total).to(weight.dtype) @ weight
        if slopes is not None:
            ctx.save_for_backward(slopes)
        ctx.dtype = states.dtype
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return (grads[0][:, None] * slopes).to(ctx.dtype), None, None


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads rows with a model, as pair rows where the model supports them (`plain` says that it does not)."""

    module: ResponseLogprobs
    pad_id: int
    plain: bool

    def __call__(self, rows: Sequence[Row]) -> Tensor:
        """Summed log-probabilities, float32 on the CPU, shape (rows, 2)."""
        device = next(self.module.parameters()).device
        if not self.plain:
            return self.module(**pad(rows, self.pad_id).to(device).tensors()).cpu()  # type: ignore[no-any-return]
        texts = [text for row in rows for text in plain_rows(row)]
        singles = iter(self.module(**pad(texts, self.pad_id).to(device).tensors()).cpu()[:, 0])
        return torch.stack(
            [torch.stack([next(singles), next(singles) if row.second else torch.zeros(())]) for row in rows]
        )


def reader(loaded: Loaded, notify: Callable[[str], None]) -> Reader:
    """Pair rows where the model reads them as it should, else one text a response, and says so."""
    module = ResponseLogprobs(loaded.model)
    plain = not pair_rows_agree(module, loaded.model.config.get_text_config().vocab_size)
    if plain:
        notify(
            f"{type(loaded.model).__name__} cannot read a pair as one row: each response is read alone, at half the speed"
        )
    return Reader(module, loaded.pad_id, plain)


@torch.inference_mode()
def read(
    reader: Reader, rows: Sequence[Row], token_budget: int, wanted: Sequence[bool]
) -> Iterator[tuple[list[int], list[list[float]]]]:
    """Batches of places and their two sums, longest rows first.

    Batches are formed from all rows, so that a resumed run forms the same ones; those in which no row is `wanted` are
    left out.
    """
    for places in batches([len(row) for row in rows], token_budget):
        if any(wanted[place] for place in places):
            yield places, reader([rows[place] for place in places]).tolist()


@torch.inference_mode()
def pair_rows_agree(module: ResponseLogprobs, vocabulary: int) -> bool:
    """Whether the model reads a pair row as it reads each response alone.

    Some families derive positions from the mask or add biases of their own; this asks the model itself, on one short row.
    """
    draw = torch.Generator().manual_seed(0)
    ids = tuple(int(i) for i in torch.randint(5, vocabulary, (24,), generator=draw))
    row = Row(prompt=ids[:8], first=ids[8:17], second=ids[17:])
    try:
        together = Reader(module, 0, plain=False)([row])
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return False
    apart = Reader(module, 0, plain=True)([row])
    narrow = next(module.parameters()).dtype != torch.float32
    return bool(torch.allclose(together, apart, rtol=0.02 if narrow else 1e-4, atol=0.0))
