"""`python -m benchmarks.attention_roofline`: what a dense mask can cost on a GPU, computed from shapes. Nothing is measured.

A pass over pairs is compared with the same pass without a mask, in which attention computes visible keys only and pairs are not
padded. Times are those of a roofline: operations at the peak rate, and the traffic of the mask at the peak bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from trimtab.models.packing.pair_batch import TokenizedPair

# Operations in bfloat16 per byte of memory traffic: 989 TFLOP/s and 4.8 TB/s, NVIDIA's data sheet of the H200.
OPERATIONS_PER_BYTE = 206
# Per layer, torch reads a boolean mask, writes it as bfloat16, and reads that at least once for all heads.
MASK_BYTES = 1 + 2 + 2
# Tokens of a prompt with one response. Both have the same length.
LENGTHS = (512, 1024, 2048, 4096, 8192)
TOKENS_PER_PASS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model of Llama's architecture."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int

    @property
    def layer_weights(self) -> int:
        """Weights of the linear layers of one layer."""
        return self.hidden * (2 * self.heads + 2 * self.kv_heads) * self.head_dim + 3 * self.hidden * self.ffn


SHAPES = {
    "SmolLM2-135M": Shape(hidden=576, layers=30, heads=9, kv_heads=3, head_dim=64, ffn=1536, vocabulary=49_152),
    "SmolLM2-1.7B": Shape(hidden=2048, layers=24, heads=32, kv_heads=32, head_dim=64, ffn=8192, vocabulary=49_152),
    "Llama-3.1-8B": Shape(hidden=4096, layers=32, heads=32, kv_heads=8, head_dim=128, ffn=14_336, vocabulary=128_256),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCost:
    """Operations of one pass over a pair: all but attention, attention with a dense mask and of visible keys only, and the
    operations that take as long as the traffic of the mask."""

    rest: float
    dense: float
    visible: float
    mask: float

    @property
    def attention_share(self) -> float:
        """The share of attention in the operations of a pass with a dense mask."""
        return self.dense / (self.rest + self.dense)

    @property
    def max_speedup(self) -> float:
        """How many times as fast a pass can become without the mask."""
        return (self.rest + self.dense + self.mask) / (self.rest + self.visible)


def compute_cost(shape: Shape, pair: TokenizedPair) -> PassCost:
    tokens, response_tokens = len(pair), len(pair.first) + len(pair.second)
    per_key = 4 * shape.layers * shape.heads * shape.head_dim
    return PassCost(
        rest=2.0 * (shape.layers * shape.layer_weights * tokens + shape.hidden * shape.vocabulary * response_tokens),
        dense=float(per_key * tokens**2),
        visible=float(per_key * count_visible_keys(pair)),
        mask=float(shape.layers * MASK_BYTES * tokens**2 * OPERATIONS_PER_BYTE),
    )


def count_visible_keys(pair: TokenizedPair) -> int:
    """The number of pairs of a token and a token that it attends to."""
    prompt = len(pair.prompt)
    branches = (len(pair.first), len(pair.second))
    return prompt * (prompt + 1) // 2 + sum(prompt * length + length * (length + 1) // 2 for length in branches)


def build_pair(length: int) -> TokenizedPair:
    half = (0,) * (length // 2)
    return TokenizedPair(prompt=half, first=half, second=half)


def main() -> None:
    table = Table("model", "tokens", "attention, of all operations", "mask of a pass, MB", "speedup at most")
    for name, shape in SHAPES.items():
        for length in LENGTHS:
            pair = build_pair(length)
            cost = compute_cost(shape, pair)
            rows = max(1, TOKENS_PER_PASS // len(pair))
            table.add_row(
                name,
                f"{length:,}",
                f"{100 * cost.attention_share:.0f}%",
                f"{rows * len(pair) ** 2 / 1e6:.0f}",
                f"{cost.max_speedup:.2f}x",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
