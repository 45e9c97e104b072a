"""Models that can tokenize and look up cached log-probabilities before their weights are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.models.chat import ChatTokenizer
from trimtab.models.packing.pair_batch import TokenizedPair, batch_by_length
from trimtab.models.scoring.logprob_cache import CachedBatch, LogprobCache

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel


@dataclass(frozen=True, slots=True)
class LazyModel:
    """A model whose weights are loaded on demand by `load`.

    `content_hash` covers everything besides the tokens that its log-probabilities depend on: the bytes of its weights and
    adapters, their precision, and the type of device. `max_positions` is the maximum number of tokens of a text, or None if
    the model's config does not say.
    """

    content_hash: str
    chat: ChatTokenizer
    max_positions: int | None
    load: Callable[[], LoadedModel]

    def fits(self, pair: TokenizedPair) -> bool:
        """Whether the pair is within the model's maximum length."""
        return self.max_positions is None or pair.max_text_length <= self.max_positions


def read_logprobs_cached(
    model: LazyModel,
    pairs: Sequence[TokenizedPair],
    token_budget: int,
    needed: Sequence[bool],
    notify: Callable[[str], None],
) -> Iterator[tuple[list[int], CachedBatch, bool]]:
    """Yield indices, their log-probabilities, and whether they come from the cache.

    Batches and their order are those of `read_logprobs`. The model is loaded for the first batch that is not in the cache,
    and not at all if every batch is.
    """
    from trimtab.models.scoring.logprobs import LogprobReader, build_logprob_reader, read_logprob_batch

    cache = LogprobCache.for_model(model.content_hash)
    reader: LogprobReader | None = None
    for indices in batch_by_length([len(pair) for pair in pairs], token_budget):
        if not any(needed[index] for index in indices):
            continue
        batch = [pairs[index] for index in indices]
        cached = cache.get(batch)
        if cached is not None:
            yield indices, cached, True
            continue
        reader = reader or build_logprob_reader(model.load(), notify)
        computed = CachedBatch(reader.layout, read_logprob_batch(reader, batch))
        cache.add(batch, computed)
        yield indices, computed, False
