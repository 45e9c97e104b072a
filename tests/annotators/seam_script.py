"""Scripted engines for SEAM, and helpers that parse their requests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trimtab.annotators.seam import Seam
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.engines.scripted import ScriptedEngine
from trimtab.prompts.principles import load_principles
from trimtab.types import Annotation, ChoiceScores, EngineRequest, Generation, Pair, build_user_prompt

NAMES = [each.name for each in load_principles()]
PAIR = Pair.from_responses(build_user_prompt("May I ask something?"), "a good answer", "a poor answer", "first")
# The strong model's probability of the good response, by chain length and try: never, once or twice backtracking.
CALM = {1: [0.6], 2: [0.7], 3: [0.8]}
BACK_2 = {1: [0.6], 2: [0.55, 0.7], 3: [0.8]}
BACK_3 = {1: [0.6], 2: [0.7], 3: [0.65, 0.8]}
BACK_BOTH = {1: [0.6], 2: [0.55, 0.7], 3: [0.65, 0.8]}
HARMLESS_FIRST = [*NAMES[5:], *NAMES[:5]]


def seam(**settings: Any) -> Seam:
    return Seam.model_validate({"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}, **settings})


def text(request: EngineRequest) -> str:
    return request.prompt[0].content


def last_case(request: EngineRequest) -> tuple[str, str]:
    """The two responses of the pair, which is the last part of the request."""
    case = text(request).split("The case to ")[-1]
    found = [re.findall(rf"<response_{index}>\n(.*?)\n</response_{index}>", case, re.DOTALL)[0] for index in (1, 2)]
    return found[0], found[1]


def chain_of(request: EngineRequest) -> tuple[str, ...]:
    """The principles in a judgment request."""
    listed = re.findall(r"first:\n\n<principles>\n(.*?)\n</principles>", text(request), re.DOTALL)
    return tuple(line.split(":")[0] for line in listed[0].splitlines()) if listed else ()


def is_ranking(request: EngineRequest) -> bool:
    return "principle" in request.prefill


def is_judgment(request: EngineRequest) -> bool:
    return not is_ranking(request) and text(request).startswith(
        "You will read a conversation and two responses to its last message. Weigh"
    )


def is_pick(request: EngineRequest) -> bool:
    return not is_ranking(request) and text(request).startswith(
        "You will read a conversation and two responses to its last message. Choose"
    )


def custom_principles(folder: Path, *names: str) -> str:
    """A file of helpful principles with these names."""
    shown = {"prompt": "p", "better": "b", "worse": "w", "why_better": "yes", "why_worse": "no"}
    mine = [{"name": name, "group": "helpful", "text": f"{name}.", "demonstration": shown} for name in names]
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    return str(folder / "mine.yaml")


def for_good(request: EngineRequest, share: float) -> list[float]:
    return [share, 1 - share] if "good" in last_case(request)[0] else [1 - share, share]


def strong_engine(
    confidence: dict[int, list[float]], order: Sequence[str] = NAMES, pick: float = 0.9
) -> ScriptedEngine:
    """Ranks the principles in this order; a chain's try is the number of different chains seen before at its level."""
    seen: dict[int, list[tuple[str, ...]]] = {}

    def score(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        if is_ranking(request):
            return [2.0 ** -order.index(each.strip()) for each in candidates]
        if not is_judgment(request):
            return for_good(request, pick)
        chain = chain_of(request)
        tries = seen.setdefault(len(chain), [])
        if chain not in tries:
            tries.append(chain)
        return for_good(request, confidence[len(chain)][tries.index(chain)])

    return ScriptedEngine(reply=lambda _: "Response 1 is good, Response 2 is poor.", choice_weights=score)


def weak_engine(share: float = 0.8) -> ScriptedEngine:
    return ScriptedEngine(choice_weights=lambda request, _: for_good(request, share))


def hashed_scores(request: EngineRequest, candidates: Sequence[str]) -> list[float]:
    """Scores that are a hash of the full request, so that position, chain and thought all matter."""
    digest = hashlib.sha256(f"{text(request)}{candidates}".encode()).digest()
    return [1 + byte for byte in digest[: len(candidates)]]


def hashing_engine() -> ScriptedEngine:
    return ScriptedEngine(
        reply=lambda request: f"Response 1 {hash_of(request)} Response 2", choice_weights=hashed_scores
    )


def hash_of(request: EngineRequest) -> str:
    return hashlib.sha256(text(request).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class RecordingEngine:
    """An engine that records its calls: the method, the number of requests, and the candidates."""

    inner: ScriptedEngine
    calls: list[tuple[str, int]] = field(default_factory=list)
    candidates: list[Sequence[str]] = field(default_factory=list)
    options: set[tuple[bool, bool]] = field(default_factory=set)
    reply: Callable[[Generation], Generation] = lambda reply: reply
    weighing: Callable[[ChoiceScores], ChoiceScores] = lambda weighing: weighing

    def generate(self, requests: Sequence[EngineRequest], **options: Any) -> list[Generation]:
        self.calls.append(("generate", len(requests)))
        return [self.reply(each) for each in self.inner.generate(requests, **options)]

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        self.calls.append(("score_choices", len(requests)))
        self.candidates.extend(candidates)
        self.options.add((first_token_only, include_end_of_turn))
        found = self.inner.score_choices(
            requests, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
        )
        return [self.weighing(each) for each in found]


def label(annotator: Seam, strong: Any, weak: Any = None, pair: Pair = PAIR) -> Annotation:
    return annotator.annotate([pair], AnnotatorInputs(engines={"strong": strong, "weak": weak or weak_engine()}))[0]


def pairs(count: int) -> list[Pair]:
    return [
        Pair.from_responses(build_user_prompt(f"Question {index}?"), f"answer {index}", f"other {index * 7}", "first")
        for index in range(count)
    ]
