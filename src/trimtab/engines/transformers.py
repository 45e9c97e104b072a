"""A local model, asked through transformers."""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from trimtab.components import Component
from trimtab.engines._in_order import in_order
from trimtab.engines._tokens import candidate_ids, question_ids, reply_of, shares_of, weighed_ids
from trimtab.errors import EngineError
from trimtab.lm.weights import Model
from trimtab.lm.weights import identity as weights_identity
from trimtab.protocols import Engine, Runtime
from trimtab.types import Cost, Question, Reply, Weighing

if TYPE_CHECKING:
    from trimtab.lm.asking import Sums, Written
    from trimtab.lm.models import Loaded
    from trimtab.lm.prefixes import Beginnings

T = TypeVar("T")

# So far back the text is looked at for a stop text.
TAIL = 24


class Transformers(Component):
    """A model by name, folder or hub id; in a study also `@weak` and `@student`, its models as they are when they label."""

    model: str

    def start(self, runtime: Runtime) -> Engine:
        """The model in memory. Raises `EngineError` for a study's model where there is no study."""
        from trimtab.lm.models import open_base  # noqa: PLC0415 - loads torch

        if self.model.startswith("@"):
            raise EngineError(f"{self.model} is a model of a study: make the annotator an arm of one, or name a model")
        return TransformersEngine(
            open_base(Model(base=self.model), runtime.notify, runtime.device), runtime.token_budget
        )

    def identity(self) -> str:
        return weights_identity(Model(base=self.model)) or self.model


@dataclass(frozen=True, slots=True)
class TransformersEngine:
    """A model in memory. Beginnings that questions share are read once; all candidates of a question in one pass."""

    loaded: Loaded
    token_budget: int
    beginnings: Beginnings = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from trimtab.lm.forms import choose_form, require_masks  # noqa: PLC0415 - loads torch
        from trimtab.lm.prefixes import Beginnings  # noqa: PLC0415 - loads torch

        choose_form(self.loaded.model)
        require_masks(self.loaded.model)
        object.__setattr__(self, "beginnings", Beginnings())

    def write(
        self,
        questions: Sequence[Question],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Reply]:
        return in_order(self.writing(questions, max_tokens=max_tokens, temperature=temperature, stop=stop, seed=seed))

    def writing(
        self,
        questions: Sequence[Question],
        *,
        known: Container[int] = (),
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[Mapping[int, Reply]]:
        """Draws come from the seed and the question's own tokens, so that neither order nor batching moves them. A question
        that leaves no room for its answer in what the model reads fails."""
        from trimtab.lm.asking import write  # noqa: PLC0415 - loads torch

        chat = self.loaded.chat
        texts = [self._ids(question) for question in questions]
        long = self._too_long([len(ids) for ids in texts], [max_tokens] * len(texts))
        if long:
            yield {place: Reply(text="", status="failed", note=note) for place, note in long.items()}
        came = write(
            self.loaded.model,
            texts,
            lambda ids: ids[-1] in chat.stop_ids or any(mark in chat.decode(ids[-TAIL:]) for mark in stop),
            [random.Random(f"{seed}:{ids}") for ids in texts],
            self.token_budget,
            max_new_tokens=max_tokens,
            temperature=temperature,
            beginnings=self.beginnings,
            known={place for place in range(len(texts)) if place in known or place in long},
        )
        for found, seconds in _timed(came):
            yield {place: self._reply(each.ids, stop, _cost_of(each, seconds)) for place, each in found.items()}

    def weigh(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        first_token: bool = False,
        ended: bool = False,
    ) -> list[Weighing]:
        return in_order(self.weighing(questions, candidates, first_token=first_token, ended=ended))

    def weighing(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        known: Container[int] = (),
        first_token: bool = False,
        ended: bool = False,
    ) -> Iterator[Mapping[int, Weighing]]:
        from trimtab.lm.asking import weigh  # noqa: PLC0415 - loads torch

        split = [self._split(question, among) for question, among in zip(questions, candidates, strict=True)]
        end = self.loaded.chat.end_ids if ended else ()
        rest = [weighed_ids(left, end, first_token=first_token) for _, left in split]
        # the last token of a candidate is predicted, never read
        long = self._too_long(
            [len(text) for text, _ in split], [max(len(each) - 1 for each in among) for among in rest]
        )
        if long:
            yield {place: Weighing(shares=(), status="failed", note=note) for place, note in long.items()}
        left_out = {place for place in range(len(split)) if place in known or place in long}
        came = weigh(self.loaded.model, [text for text, _ in split], rest, self.token_budget, self.beginnings, left_out)
        for found, seconds in _timed(came):
            yield {place: _weighing(sums, rest[place], seconds) for place, sums in found.items()}

    def _too_long(self, lengths: Sequence[int], room: Sequence[int]) -> dict[int, str]:
        """Why questions of so many tokens cannot be asked, where the model does not read them with so many more."""
        most = self.loaded.most
        return {
            place: f"the question has {length} tokens and its answer up to {more} more to read, and the model reads {most}"
            for place, (length, more) in enumerate(zip(lengths, room, strict=True))
            if most is not None and length + more > most
        }

    def _ids(self, question: Question) -> list[int]:
        return question_ids(self.loaded.chat, question)

    def _split(self, question: Question, among: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        return candidate_ids(self.loaded.chat, question, among)

    def _reply(self, ids: Sequence[int], stop: Sequence[str], cost: Cost) -> Reply:
        return reply_of(self.loaded.chat, ids, stop, cost)


def _timed(came: Iterator[dict[int, T]]) -> Iterator[tuple[dict[int, T], float]]:
    """What comes, a pass at a time, with the seconds that each of it took."""
    start = time.monotonic()
    for found in came:
        yield found, (time.monotonic() - start) / len(found)
        start = time.monotonic()


def _cost_of(written: Written, seconds: float) -> Cost:
    return Cost(
        prompt_tokens=written.computed,
        generated_tokens=len(written.ids),
        seconds=seconds,
        reused_tokens=written.reused,
        calls=1,
    )


def _weighing(sums: Sums, among: Sequence[Sequence[int]], seconds: float) -> Weighing:
    return Weighing(
        shares=shares_of(sums.logprobs),
        logprobs=sums.logprobs,
        tokens=tuple(map(len, among)),
        cost=Cost(prompt_tokens=sums.computed, reused_tokens=sums.reused, seconds=seconds, calls=1),
    )
