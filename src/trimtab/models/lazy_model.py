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
    from trimtab.models.scoring.logprobs import LogprobReader


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


class CachedLogprobReader:
    """Reads log-probabilities through the cache on disk.

    The model is loaded for the first batch that is not in the cache, and not at all if every batch is. Not frozen: it keeps
    the loaded model.
    """

    def __init__(self, model: LazyModel, notify: Callable[[str], None]) -> None:
        self._model = model
        self._notify = notify
        self._cache = LogprobCache.for_model(model.content_hash)
        self._reader: LogprobReader | None = None

    def iter_batches(
        self, pairs: Sequence[TokenizedPair], token_budget: int
    ) -> Iterator[tuple[list[int], CachedBatch, bool]]:
        """Yield indices, their log-probabilities, and whether they come from the cache.

        Batches and their order are those of `read_logprobs`.
        """
        for indices in batch_by_length([len(pair) for pair in pairs], token_budget):
            batch = [pairs[index] for index in indices]
            cached = self._cache.get(batch)
            yield (indices, self._compute(batch), False) if cached is None else (indices, cached, True)

    def _compute(self, batch: Sequence[TokenizedPair]) -> CachedBatch:
        from trimtab.models.scoring.logprobs import build_logprob_reader, read_logprob_batch

        if self._reader is None:
            self._reader = build_logprob_reader(self._model.load(), self._notify)
        computed = CachedBatch(self._reader.layout, read_logprob_batch(self._reader, batch))
        self._cache.add(batch, computed)
        return computed
