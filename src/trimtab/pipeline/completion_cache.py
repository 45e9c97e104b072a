"""Caches engine responses on disk, one entry per request, as soon as the engine returns them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core.interfaces import Engine, StreamingEngine
from trimtab.pipeline.engine_results import (
    EngineResult,
    parse_cached_generation,
    parse_cached_scores,
    reject_unreadable,
    to_entry,
)
from trimtab.storage.jsonl_cache import JsonlCache
from trimtab.storage.recipe import hash_json
from trimtab.types import ChoiceScores, EngineRequest, Generation

# Results by the index of their request.
IndexedResults = Mapping[int, EngineResult]

# The folder of a run that holds the cache.
COMPLETIONS_DIR = "completions"
# Pairs whose requests go to an engine together. A large chunk lets requests with a common prefix share its computation.
PAIRS_PER_CHUNK = 512
# Requests per call to an engine that does not stream; vLLM processes this many at a time.
REQUESTS_PER_CALL = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedEngine:
    """An engine with a cache on disk, keyed by model, request and generation settings.

    A killed run resumes with all results except those of the interrupted batch. Arms that send equal requests share
    results, and so do processes: of two results for one request, all use the one that was cached first. A cached result keeps
    its original cost, including seconds. Failed results are not cached, so they are retried. A result that could not be read
    again is a failed one, and an entry that cannot be read is requested again: `notify` says how many there are.
    """

    engine: Engine
    cache_key: str
    folder: Path
    requests_per_call: int = REQUESTS_PER_CALL
    notify: Callable[[str], None] = field(default=lambda message: None, repr=False, compare=False)
    caches: dict[str, JsonlCache[Any]] = field(default_factory=dict, repr=False, compare=False)

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "stop": list(stop),
            "seed": seed,
        }

        def compute(skip: Container[int]) -> Iterator[IndexedResults[Generation]]:
            if isinstance(self.engine, StreamingEngine):
                return self.engine.iter_generate(requests, skip=skip, **options)
            return self._call_in_slices(
                requests, skip, lambda indices: self.engine.generate(_select(requests, indices), **options)
            )

        keys = [hash_json(asdict(request)) for request in requests]
        return _complete_from_cache(keys, self._open_cache({"generate": options}, parse_cached_generation), compute)

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        options = {"first_token_only": first_token_only, "include_end_of_turn": include_end_of_turn}

        def compute(skip: Container[int]) -> Iterator[IndexedResults[ChoiceScores]]:
            if isinstance(self.engine, StreamingEngine):
                return self.engine.iter_score_choices(requests, candidates, skip=skip, **options)
            return self._call_in_slices(
                requests,
                skip,
                lambda indices: self.engine.score_choices(
                    _select(requests, indices), _select(candidates, indices), **options
                ),
            )

        keys = [
            hash_json({**asdict(request), "candidates": list(choices)})
            for request, choices in zip(requests, candidates, strict=True)
        ]
        cache = self._open_cache({"score_choices": options}, parse_cached_scores)
        return _complete_from_cache(keys, cache, compute)

    def _open_cache(
        self, options: Mapping[str, Any], parse: Callable[[dict[str, Any]], EngineResult]
    ) -> JsonlCache[EngineResult]:
        name = hash_json({"engine": self.cache_key, **options})
        path = self.folder / f"{name}.jsonl"

        def report_skipped(count: int) -> None:
            self.notify(
                f"{path}: skipped {count} unreadable line{'s' * (count > 1)}; missing results are requested again"
            )

        return self.caches.setdefault(name, JsonlCache(path, parse, report_skipped))

    def _call_in_slices(
        self,
        requests: Sequence[EngineRequest],
        skip: Container[int],
        call: Callable[[Sequence[int]], Sequence[EngineResult]],
    ) -> Iterator[IndexedResults[EngineResult]]:
        missing = [index for index in range(len(requests)) if index not in skip]
        for start in range(0, len(missing), self.requests_per_call):
            indices = missing[start : start + self.requests_per_call]
            yield dict(zip(indices, call(indices), strict=True))


def _complete_from_cache(
    keys: Sequence[str],
    cache: JsonlCache[EngineResult],
    compute: Callable[[Container[int]], Iterator[IndexedResults[EngineResult]]],
) -> list[EngineResult]:
    """The results in the order of the keys, from the cache or computed. Equal requests are computed once."""
    results = cache.get_many(keys)
    first_index: dict[str, int] = {}
    for index, key in enumerate(keys):
        first_index.setdefault(key, index)
    skip = {index for index, key in enumerate(keys) if key in results or first_index[key] != index}
    if len(skip) < len(keys):
        for batch in compute(skip):
            new = {keys[index]: reject_unreadable(result) for index, result in batch.items()}
            cached_first = cache.put_many(
                {key: to_entry(result) for key, result in new.items() if result.status == "ok"}
            )
            results.update({**new, **cached_first})
    return [results[key] for key in keys]


def _select(items: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    return [items[index] for index in indices]
