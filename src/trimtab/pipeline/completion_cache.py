"""Answers that were paid for are asked for once: each is kept on disk by its question, as soon as the engine gives it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from trimtab.core.interfaces import Engine, StreamingEngine
from trimtab.storage.artifacts import hash_json
from trimtab.storage.jsonl_cache import JsonlCache
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation

EngineResult = TypeVar("EngineResult", Generation, ChoiceScores)
# Answers by the places of their questions.
IndexedResults = Mapping[int, EngineResult]

# The folder of a run that holds them.
COMPLETIONS_DIR = "completions"
# Pairs whose questions go to an engine together: many, since those with the same beginning are read with one another.
PAIRS_PER_CHUNK = 512
# Questions put at a time to an engine that does not hand out its answers as they come: as many as vLLM answers at a time.
REQUESTS_PER_CALL = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedEngine:
    """An engine whose answers are looked up by what was asked of which model, and how.

    A killed run that goes on has all answers from disk but those of the batch in which it was killed, and arms that ask some of
    the same questions share theirs. What an answer cost when it was given stays with it, seconds as well. An answer that
    failed is not kept: a server that was down may be up again.
    """

    engine: Engine
    cache_key: str
    folder: Path
    requests_per_call: int = REQUESTS_PER_CALL
    caches: dict[str, JsonlCache] = field(default_factory=dict, repr=False, compare=False)

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        how: dict[str, Any] = {
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "stop": list(stop),
            "seed": seed,
        }

        def fresh(known: Container[int]) -> Iterator[IndexedResults[Generation]]:
            if isinstance(self.engine, StreamingEngine):
                return self.engine.iter_generate(requests, skip=known, **how)
            return self._call_in_slices(
                requests, known, lambda part: self.engine.generate(_select(requests, part), **how)
            )

        kept = self._open_cache({"generate": how})
        return _complete_from_cache([hash_json(asdict(each)) for each in requests], kept, fresh, _parse_generation)

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        how = {"first_token": first_token_only, "ended": include_end_of_turn}

        def fresh(known: Container[int]) -> Iterator[IndexedResults[ChoiceScores]]:
            if isinstance(self.engine, StreamingEngine):
                return self.engine.iter_score_choices(requests, candidates, skip=known, **how)
            return self._call_in_slices(
                requests,
                known,
                lambda part: self.engine.score_choices(_select(requests, part), _select(candidates, part), **how),
            )

        keys = [
            hash_json({**asdict(question), "candidates": list(among)})
            for question, among in zip(requests, candidates, strict=True)
        ]
        return _complete_from_cache(keys, self._open_cache({"score_choices": how}), fresh, _parse_choice_scores)

    def _open_cache(self, how: Mapping[str, Any]) -> JsonlCache:
        name = hash_json({"engine": self.cache_key, **how})
        return self.caches.setdefault(name, JsonlCache(self.folder / f"{name}.jsonl"))

    def _call_in_slices(
        self,
        questions: Sequence[EngineRequest],
        known: Container[int],
        ask: Callable[[Sequence[int]], Sequence[EngineResult]],
    ) -> Iterator[IndexedResults[EngineResult]]:
        places = [place for place in range(len(questions)) if place not in known]
        for start in range(0, len(places), self.requests_per_call):
            part = places[start : start + self.requests_per_call]
            yield dict(zip(part, ask(part), strict=True))


def _complete_from_cache(
    keys: Sequence[str],
    kept: JsonlCache,
    fresh: Callable[[Container[int]], Iterator[IndexedResults[EngineResult]]],
    read: Callable[[dict[str, Any]], EngineResult],
) -> list[EngineResult]:
    """The answers in the order of the keys. A question that stands there twice is asked once."""
    found = {key: read(told) for key, told in kept.get_many(keys).items()}
    first: dict[str, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    known = {place for place, key in enumerate(keys) if key in found or first[key] != place}
    if len(known) < len(keys):
        for came in fresh(known):
            kept.put_many({keys[place]: asdict(answer) for place, answer in came.items() if answer.status == "ok"})
            found.update({keys[place]: answer for place, answer in came.items()})
    return [found[key] for key in keys]


def _select(items: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [items[place] for place in places]


def _parse_generation(told: dict[str, Any]) -> Generation:
    return Generation(**{**told, "cost": Cost(**told["cost"])})


def _parse_choice_scores(told: dict[str, Any]) -> ChoiceScores:
    lists = {name: tuple(told[name]) for name in ("probabilities", "logprobs", "tokens") if told[name] is not None}
    return ChoiceScores(**{**told, **lists, "cost": Cost(**told["cost"])})
