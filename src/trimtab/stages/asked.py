"""Answers that were paid for are asked for once: each is kept on disk by its question, as soon as the engine gives it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from trimtab.kept import Kept
from trimtab.protocols import Engine, Piecewise
from trimtab.store import key_of
from trimtab.types import Cost, Question, Reply, Weighing

Answer = TypeVar("Answer", Reply, Weighing)
# Answers by the places of their questions.
Placed = Mapping[int, Answer]

# The folder of a run that holds them.
FOLDER = "asked"
# Pairs whose questions go to an engine together: many, since those with the same beginning are read with one another.
CHUNK = 512
# Questions put at a time to an engine that does not hand out its answers as they come: as many as vLLM answers at a time.
SLICE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An engine whose answers are looked up by what was asked of which model, and how.

    A killed run that goes on has all answers from disk but those of the batch in which it was killed, and arms that ask some of
    the same questions share theirs. What an answer cost when it was given stays with it, seconds as well. An answer that
    failed is not kept: a server that was down may be up again.
    """

    engine: Engine
    identity: str
    folder: Path
    at_a_time: int = SLICE
    files: dict[str, Kept] = field(default_factory=dict, repr=False, compare=False)

    def write(
        self,
        questions: Sequence[Question],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Reply]:
        how: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "stop": list(stop), "seed": seed}

        def fresh(known: Container[int]) -> Iterator[Placed[Reply]]:
            if isinstance(self.engine, Piecewise):
                return self.engine.writing(questions, known=known, **how)
            return self._sliced(questions, known, lambda part: self.engine.write(_at(questions, part), **how))

        kept = self._kept({"write": how})
        return _answered([key_of(asdict(each)) for each in questions], kept, fresh, _reply)

    def weigh(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        first_token: bool = False,
        ended: bool = False,
    ) -> list[Weighing]:
        how = {"first_token": first_token, "ended": ended}

        def fresh(known: Container[int]) -> Iterator[Placed[Weighing]]:
            if isinstance(self.engine, Piecewise):
                return self.engine.weighing(questions, candidates, known=known, **how)
            return self._sliced(
                questions, known, lambda part: self.engine.weigh(_at(questions, part), _at(candidates, part), **how)
            )

        keys = [
            key_of({**asdict(question), "among": list(among)})
            for question, among in zip(questions, candidates, strict=True)
        ]
        return _answered(keys, self._kept({"weigh": how}), fresh, _weighing)

    def _kept(self, how: Mapping[str, Any]) -> Kept:
        name = key_of({"of": self.identity, **how})
        return self.files.setdefault(name, Kept(self.folder / f"{name}.jsonl"))

    def _sliced(
        self, questions: Sequence[Question], known: Container[int], ask: Callable[[Sequence[int]], Sequence[Answer]]
    ) -> Iterator[Placed[Answer]]:
        places = [place for place in range(len(questions)) if place not in known]
        for start in range(0, len(places), self.at_a_time):
            part = places[start : start + self.at_a_time]
            yield dict(zip(part, ask(part), strict=True))


def _answered(
    keys: Sequence[str],
    kept: Kept,
    fresh: Callable[[Container[int]], Iterator[Placed[Answer]]],
    read: Callable[[dict[str, Any]], Answer],
) -> list[Answer]:
    """The answers in the order of the keys. A question that stands there twice is asked once."""
    found = {key: read(told) for key, told in kept.find(keys).items()}
    first: dict[str, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    known = {place for place, key in enumerate(keys) if key in found or first[key] != place}
    if len(known) < len(keys):
        for came in fresh(known):
            kept.add({keys[place]: asdict(answer) for place, answer in came.items() if answer.status == "ok"})
            found.update({keys[place]: answer for place, answer in came.items()})
    return [found[key] for key in keys]


def _at(items: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [items[place] for place in places]


def _reply(told: dict[str, Any]) -> Reply:
    return Reply(**{**told, "cost": Cost(**told["cost"])})


def _weighing(told: dict[str, Any]) -> Weighing:
    lists = {name: tuple(told[name]) for name in ("shares", "logprobs", "tokens") if told[name] is not None}
    return Weighing(**{**told, **lists, "cost": Cost(**told["cost"])})
