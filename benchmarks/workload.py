"""The shared workload: the same pairs as the same tokens, and the number of operations that it requires."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.shapes import MODEL_SHAPES, build_random_model, sample_token_pairs
from trimtab.models.checkpoint import LoadedModel
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.models.references import ModelRef
from trimtab.sources.file import File
from trimtab.sources.starter import Starter
from trimtab.types import Pair

MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, its pairs, and the tokenized pairs."""

    loaded: LoadedModel
    pairs: list[Pair]
    token_pairs: list[TokenizedPair]


def load_model(name: str, device: str, layers: int | None = None) -> LoadedModel:
    """Loads a model by its short name or from a folder, in bfloat16."""
    return ModelRef(Model(base=name, dtype="bfloat16", layers=layers)).load(print, device)


def load_pairs(path: str | None) -> tuple[Pair, ...]:
    """The pairs of a file, or of the starter set if `path` is None."""
    return tuple((File(path=path) if path else Starter()).load().pairs)


def load_workload(name: str, count: int, pairs_path: str | None, device: str, layers: int | None = None) -> Workload:
    """The first `count` pairs of the file, or of the starter set, with at most MAX_LENGTH tokens, repeated if there are fewer.
    Models with random weights get random token pairs."""
    if name in MODEL_SHAPES:
        return Workload(build_random_model(name, device), [], sample_token_pairs(name, count, MAX_LENGTH))
    loaded = load_model(name, device, layers)
    pairs, token_pairs = [], []
    for pair in load_pairs(pairs_path):
        tokenized = tokenize_pair(loaded.chat, pair.prompt, pair.a, pair.b)
        if tokenized.max_text_length <= MAX_LENGTH:
            pairs.append(pair)
            token_pairs.append(tokenized)
        if len(pairs) == count:
            break
    copies = -(-count // len(pairs))
    return Workload(loaded, (pairs * copies)[:count], (token_pairs * copies)[:count])


def count_required_flops(model: Any, pairs: Sequence[TokenizedPair], passes: int = 1) -> float:
    """Minimum number of floating-point operations for `passes` passes: each token once through all linear layers, and each
    response token once through the output head. Excludes attention and normalization. A LoRA training step is two passes
    (forward, and the gradient of the activations), its reference is one."""
    head = model.get_output_embeddings()
    body = sum(
        layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer is not head
    )
    tokens = sum(map(len, pairs))
    response_tokens = sum(len(pair.first) + len(pair.second) for pair in pairs)
    return float(2 * passes * (body * tokens + head.weight.numel() * response_tokens))


def measure_peak_flops(device: str) -> float:
    """Operations per second of a bfloat16 product of 2048 x 2048 matrices (8192 x 8192 on a GPU): the best of twelve."""
    size = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def synchronize(device: str) -> None:
    """Waits until the device has finished all queued work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure_peak_memory_mb(device: str) -> float:
    """Peak memory so far, in MiB: of the process plus its largest ended child, or allocated on the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage) / 2**10
