"""A local model, asked through transformers."""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.engines._shared.in_order import collect_in_order
from trimtab.engines._shared.tokenization import (
    decode_generation,
    encode_candidates,
    encode_request,
    select_scored_tokens,
    softmax,
)
from trimtab.errors import EngineError
from trimtab.models.config import Model
from trimtab.models.config import compute_model_hash as weights_identity
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.models.inference.batched_inference import ChoiceLogprobs, GeneratedTokens
    from trimtab.models.inference.prefix_cache import PrefixCache

T = TypeVar("T")

# So far back the text is looked at for a stop text.
STOP_TEXT_WINDOW = 24


class Transformers(Component):
    """A model by name, folder or hub id; in a study also `@weak` and `@student`, its models as they are when they label."""

    model: str

    def start(self, runtime: Runtime) -> Engine:
        """The model in memory. Raises `EngineError` for a study's model where there is no study."""
        from trimtab.models.checkpoint import load_base_model  # noqa: PLC0415 - loads torch

        if self.model.startswith("@"):
            raise EngineError(f"{self.model} is a model of a study: make the annotator an arm of one, or name a model")
        return TransformersEngine(
            load_base_model(Model(base=self.model), runtime.notify, runtime.device), runtime.token_budget
        )

    def content_hash(self) -> str:
        return weights_identity(Model(base=self.model)) or self.model


@dataclass(frozen=True, slots=True)
class TransformersEngine:
    """A model in memory. Beginnings that questions share are read once; all candidates of a question in one pass."""

    loaded_model: LoadedModel
    token_budget: int
    prefix_cache: PrefixCache = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from trimtab.models.inference.prefix_cache import PrefixCache  # noqa: PLC0415 - loads torch
        from trimtab.models.packing.layout_probe import require_mask_support, select_layout  # noqa: PLC0415 - loads torch

        select_layout(self.loaded_model.model)
        require_mask_support(self.loaded_model.model)
        object.__setattr__(self, "beginnings", PrefixCache())

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        return collect_in_order(
            self.iter_generate(requests, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, seed=seed)
        )

    def iter_generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        skip: Container[int] = (),
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[Mapping[int, Generation]]:
        """Draws come from the seed and the question's own tokens, so that neither order nor batching moves them. A question
        that leaves no room for its answer in what the model reads fails."""
        from trimtab.models.inference.batched_inference import generate_tokens  # noqa: PLC0415 - loads torch

        chat = self.loaded_model.chat
        texts = [self._encode(question) for question in requests]
        long = self._too_long_notes([len(ids) for ids in texts], [max_new_tokens] * len(texts))
        if long:
            yield {place: Generation(text="", status="failed", note=note) for place, note in long.items()}
        came = generate_tokens(
            self.loaded_model.model,
            texts,
            lambda ids: (
                ids[-1] in chat.stop_token_ids or any(mark in chat.decode(ids[-STOP_TEXT_WINDOW:]) for mark in stop)
            ),
            [random.Random(f"{seed}:{ids}") for ids in texts],
            self.token_budget,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            prefix_cache=self.prefix_cache,
            completed={place for place in range(len(texts)) if place in skip or place in long},
        )
        for found, seconds in _time_batches(came):
            yield {
                place: self._to_generation(each.token_ids, stop, _generation_cost(each, seconds))
                for place, each in found.items()
            }

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        return collect_in_order(
            self.iter_score_choices(
                requests, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
            )
        )

    def iter_score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        skip: Container[int] = (),
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> Iterator[Mapping[int, ChoiceScores]]:
        from trimtab.models.inference.batched_inference import score_choices  # noqa: PLC0415 - loads torch

        split = [self._encode_candidates(question, among) for question, among in zip(requests, candidates, strict=True)]
        end = self.loaded_model.chat.end_of_turn_ids if include_end_of_turn else ()
        rest = [select_scored_tokens(left, end, first_token=first_token_only) for _, left in split]
        # the last token of a candidate is predicted, never read
        long = self._too_long_notes(
            [len(text) for text, _ in split], [max(len(each) - 1 for each in among) for among in rest]
        )
        if long:
            yield {place: ChoiceScores(probabilities=(), status="failed", note=note) for place, note in long.items()}
        left_out = {place for place in range(len(split)) if place in skip or place in long}
        came = score_choices(
            self.loaded_model.model, [text for text, _ in split], rest, self.token_budget, self.prefix_cache, left_out
        )
        for found, seconds in _time_batches(came):
            yield {place: _to_choice_scores(sums, rest[place], seconds) for place, sums in found.items()}

    def _too_long_notes(self, lengths: Sequence[int], room: Sequence[int]) -> dict[int, str]:
        """Why questions of so many tokens cannot be asked, where the model does not read them with so many more."""
        most = self.loaded_model.max_positions
        return {
            place: f"the question has {length} tokens and its answer up to {more} more to read, and the model reads {most}"
            for place, (length, more) in enumerate(zip(lengths, room, strict=True))
            if most is not None and length + more > most
        }

    def _encode(self, question: EngineRequest) -> list[int]:
        return encode_request(self.loaded_model.chat, question)

    def _encode_candidates(self, question: EngineRequest, among: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        return encode_candidates(self.loaded_model.chat, question, among)

    def _to_generation(self, ids: Sequence[int], stop: Sequence[str], cost: Cost) -> Generation:
        return decode_generation(self.loaded_model.chat, ids, stop, cost)


def _time_batches(came: Iterator[dict[int, T]]) -> Iterator[tuple[dict[int, T], float]]:
    """What comes, a pass at a time, with the seconds that each of it took."""
    start = time.monotonic()
    for found in came:
        yield found, (time.monotonic() - start) / len(found)
        start = time.monotonic()


def _generation_cost(written: GeneratedTokens, seconds: float) -> Cost:
    return Cost(
        prompt_tokens=written.computed_tokens,
        generated_tokens=len(written.token_ids),
        seconds=seconds,
        cached_tokens=written.cached_tokens,
        calls=1,
    )


def _to_choice_scores(sums: ChoiceLogprobs, among: Sequence[Sequence[int]], seconds: float) -> ChoiceScores:
    return ChoiceScores(
        probabilities=softmax(sums.logprobs),
        logprobs=sums.logprobs,
        tokens=tuple(map(len, among)),
        cost=Cost(prompt_tokens=sums.computed_tokens, cached_tokens=sums.cached_tokens, seconds=seconds, calls=1),
    )
