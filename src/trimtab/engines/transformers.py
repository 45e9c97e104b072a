"""The `transformers` engine: a local model in this process."""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator

from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.renamed_settings import reject_old_model_reference
from trimtab.core.runtime import Runtime
from trimtab.engines._shared.in_order import collect_in_order
from trimtab.engines._shared.tokenization import (
    decode_generation,
    encode_candidates,
    encode_request,
    format_too_long,
    select_scored_tokens,
    softmax,
)
from trimtab.errors import EngineError
from trimtab.models.config import Model, compute_model_hash
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.models.inference.batched_inference import ChoiceLogprobs, GeneratedTokens
    from trimtab.models.inference.prefix_cache import PrefixCache

T = TypeVar("T")

# Number of trailing tokens that are searched for a stop text after each step.
STOP_TEXT_WINDOW = 24


class Transformers(Component):
    """A model by short name, folder or hub id; `NAME[:10]` keeps its first 10 layers. In a study also `@weak` and `@student`,
    the study's models as they are when labeling starts."""

    model: Annotated[str, AfterValidator(reject_old_model_reference)]

    def start(self, runtime: Runtime) -> Engine:
        """Loads the model. Raises `EngineError` for a study's model outside a study."""
        from trimtab.models.references import ModelRef  # noqa: PLC0415

        if self.model.startswith("@"):
            raise EngineError(
                f"{self.model} is a model of a study: use the annotator in an arm of a study, or name a published model"
            )
        loaded_model = ModelRef(Model.model_validate(self.model)).load(runtime.notify, runtime.device)
        return TransformersEngine(loaded_model, runtime.token_budget)

    def content_hash(self) -> str:
        return compute_model_hash(Model.model_validate(self.model)) or self.model


@dataclass(frozen=True, slots=True)
class TransformersEngine:
    """A loaded model. Prefixes that requests share are computed once, and all candidates of a request in one pass."""

    loaded_model: LoadedModel
    token_budget: int
    prefix_cache: PrefixCache = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from trimtab.models.inference.prefix_cache import PrefixCache  # noqa: PLC0415 - loads torch
        from trimtab.models.packing.layout_probe import require_mask_support, select_layout  # noqa: PLC0415 - loads torch

        select_layout(self.loaded_model.model)
        require_mask_support(self.loaded_model.model)
        object.__setattr__(self, "prefix_cache", PrefixCache())

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
        """Samples from a generator seeded by `seed` and the request's own tokens.

        The result does not depend on the order of the requests or on batching. A request that leaves no room for its response
        in the model's context fails.
        """
        from trimtab.models.inference.batched_inference import generate_tokens  # noqa: PLC0415 - loads torch

        chat = self.loaded_model.chat
        prompts = [encode_request(chat, request) for request in requests]
        too_long = self._too_long_notes([len(ids) for ids in prompts], [max_new_tokens] * len(prompts))
        if too_long:
            yield {index: Generation(text="", status="failed", note=note) for index, note in too_long.items()}
        batches = generate_tokens(
            self.loaded_model.model,
            prompts,
            lambda ids: (
                ids[-1] in chat.stop_token_ids
                or any(stop_text in chat.decode(ids[-STOP_TEXT_WINDOW:]) for stop_text in stop)
            ),
            [random.Random(f"{seed}:{ids}") for ids in prompts],
            self.token_budget,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            prefix_cache=self.prefix_cache,
            completed={index for index in range(len(prompts)) if index in skip or index in too_long},
        )
        for batch, seconds in _time_batches(batches):
            yield {
                index: decode_generation(chat, tokens.token_ids, stop, _generation_cost(tokens, seconds))
                for index, tokens in batch.items()
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

        chat = self.loaded_model.chat
        encoded = [encode_candidates(chat, *pair) for pair in zip(requests, candidates, strict=True)]
        prefixes = [prefix for prefix, _ in encoded]
        end_ids = chat.end_of_turn_ids if include_end_of_turn else ()
        scored = [select_scored_tokens(suffixes, end_ids, first_token_only=first_token_only) for _, suffixes in encoded]
        # The last token of a candidate is predicted but never fed to the model.
        read_tokens = [max(len(ids) - 1 for ids in choices) for choices in scored]
        too_long = self._too_long_notes([len(prefix) for prefix in prefixes], read_tokens)
        if too_long:
            yield {
                index: ChoiceScores(probabilities=(), status="failed", note=note) for index, note in too_long.items()
            }
        completed = {index for index in range(len(prefixes)) if index in skip or index in too_long}
        batches = score_choices(
            self.loaded_model.model, prefixes, scored, self.token_budget, self.prefix_cache, completed
        )
        for batch, seconds in _time_batches(batches):
            yield {index: _to_choice_scores(sums, scored[index], seconds) for index, sums in batch.items()}

    def _too_long_notes(self, lengths: Sequence[int], extra_tokens: Sequence[int]) -> dict[int, str]:
        """Notes, by index, on the prompts that exceed the model's maximum length together with their extra tokens."""
        max_length = self.loaded_model.max_positions
        return {
            index: format_too_long(length, extra, max_length)
            for index, (length, extra) in enumerate(zip(lengths, extra_tokens, strict=True))
            if max_length is not None and length + extra > max_length
        }


def _time_batches(batches: Iterator[dict[int, T]]) -> Iterator[tuple[dict[int, T], float]]:
    """The batches with the seconds that each item took."""
    start = time.monotonic()
    for batch in batches:
        yield batch, (time.monotonic() - start) / len(batch)
        start = time.monotonic()


def _generation_cost(tokens: GeneratedTokens, seconds: float) -> Cost:
    return Cost(
        prompt_tokens=tokens.computed_tokens,
        generated_tokens=len(tokens.token_ids),
        seconds=seconds,
        cached_tokens=tokens.cached_tokens,
        calls=1,
    )


def _to_choice_scores(sums: ChoiceLogprobs, scored: Sequence[Sequence[int]], seconds: float) -> ChoiceScores:
    return ChoiceScores(
        probabilities=softmax(sums.logprobs),
        logprobs=sums.logprobs,
        tokens=tuple(map(len, scored)),
        cost=Cost(prompt_tokens=sums.computed_tokens, cached_tokens=sums.cached_tokens, seconds=seconds, calls=1),
    )
