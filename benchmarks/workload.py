"""What every contender is given: the same pairs as the same tokens, and what reading them cannot do without."""

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
    """A model, and the pairs with their rows: prompt, the first response, the second."""

    loaded: LoadedModel
    pairs: list[Pair]
    token_pairs: list[TokenizedPair]


def load_model(name: str, device: str, layers: int | None = None) -> LoadedModel:
    """A model by its short name, or a folder with weights; bfloat16."""
    return ModelRef(Model(base=name, dtype="bfloat16", layers=layers)).load(print, device)


def load_pairs(path: str | None) -> tuple[Pair, ...]:
    """The pairs of a file, or of the starter set."""
    return (File(path=path) if path else Starter()).load().pairs


def load_workload(name: str, count: int, pairs_path: str | None, device: str, layers: int | None = None) -> Workload:
    """The first `count` pairs of the file, or of the starter set, that are not longer than MAX_TOKENS; again and again
    where there are fewer. Of a model that is a shape alone, as many rows of random tokens and no pairs."""
    if name in MODEL_SHAPES:
        return Workload(build_random_model(name, device), [], sample_token_pairs(name, count, MAX_LENGTH))
    loaded = load_model(name, device, layers)
    pairs, rows = [], []
    for pair in load_pairs(pairs_path):
        row = tokenize_pair(loaded.chat, pair.prompt, pair.a, pair.b)
        if row.max_text_length <= MAX_LENGTH:
            pairs.append(pair)
            rows.append(row)
        if len(pairs) == count:
            break
    again = -(-count // len(pairs))
    return Workload(loaded, (pairs * again)[:count], (rows * again)[:count])


def count_required_flops(model: Any, rows: Sequence[TokenizedPair], passes: int = 1) -> float:
    """Operations of reading the rows `passes` times that no way of computing avoids: each token once through every linear
    layer, each response token once through the output head. Attention and norms are left out. A step of training a LoRA
    adapter is two passes (forward, and the gradient of the activations), its reference is one."""
    head = model.get_output_embeddings()
    body = sum(
        each.weight.numel() for each in model.modules() if isinstance(each, torch.nn.Linear) and each is not head
    )
    tokens = sum(map(len, rows))
    answered = sum(len(row.first) + len(row.second) for row in rows)
    return float(2 * passes * (body * tokens + head.weight.numel() * answered))


def measure_peak_flops(device: str) -> float:
    """Operations a second of a bfloat16 product of 2048 x 2048 matrices (8192 on a graphics card): the best of several."""
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
    """Until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure_peak_memory_mb(device: str) -> float:
    """Peak memory so far: of the process, or what was taken of the graphics card."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
