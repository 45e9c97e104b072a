"""Models that answer SEAM's questions by a script, and how to read what they were asked."""

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
# How sure the strong model is of the good answer, by chain length and try; what makes it go back once, twice, never.
CALM = {1: [0.6], 2: [0.7], 3: [0.8]}
BACK_2 = {1: [0.6], 2: [0.55, 0.7], 3: [0.8]}
BACK_3 = {1: [0.6], 2: [0.7], 3: [0.65, 0.8]}
BACK_BOTH = {1: [0.6], 2: [0.55, 0.7], 3: [0.65, 0.8]}
HARMLESS_FIRST = [*NAMES[5:], *NAMES[:5]]


def seam(**settings: Any) -> Seam:
    return Seam.model_validate({"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}, **settings})


def text(question: EngineRequest) -> str:
    return question.prompt[0].content


def last_case(question: EngineRequest) -> tuple[str, str]:
    """The two responses of the pair that is asked about, which stands last."""
    case = text(question).split("The case to ")[-1]
    found = [re.findall(rf"<response_{place}>\n(.*?)\n</response_{place}>", case, re.DOTALL)[0] for place in (1, 2)]
    return found[0], found[1]


def chain_of(question: EngineRequest) -> tuple[str, ...]:
    """The principles that a judgment goes by."""
    listed = re.findall(r"first:\n\n<principles>\n(.*?)\n</principles>", text(question), re.DOTALL)
    return tuple(line.split(":")[0] for line in listed[0].splitlines()) if listed else ()


def is_ranking(question: EngineRequest) -> bool:
    return "principle" in question.prefill


def is_judgment(question: EngineRequest) -> bool:
    return not is_ranking(question) and text(question).startswith(
        "You will read a conversation and two responses to its last message. Weigh"
    )


def is_pick(question: EngineRequest) -> bool:
    return not is_ranking(question) and text(question).startswith(
        "You will read a conversation and two responses to its last message. Choose"
    )


def own_principles(folder: Path, *names: str) -> str:
    """A file of helpful principles with these names."""
    shown = {"prompt": "p", "better": "b", "worse": "w", "why_better": "yes", "why_worse": "no"}
    mine = [{"name": name, "group": "helpful", "text": f"{name}.", "demonstration": shown} for name in names]
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    return str(folder / "mine.yaml")


def for_good(question: EngineRequest, share: float) -> list[float]:
    return [share, 1 - share] if "good" in last_case(question)[0] else [1 - share, share]


def strong_engine(sure: dict[int, list[float]], order: Sequence[str] = NAMES, pick: float = 0.9) -> ScriptedEngine:
    """Ranks the principles in this order; which try at a level a chain is follows from how many chains came there before."""
    seen: dict[int, list[tuple[str, ...]]] = {}

    def weigh(question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        if is_ranking(question):
            return [2.0 ** -order.index(each.strip()) for each in candidates]
        if not is_judgment(question):
            return for_good(question, pick)
        chain = chain_of(question)
        tries = seen.setdefault(len(chain), [])
        if chain not in tries:
            tries.append(chain)
        return for_good(question, sure[len(chain)][tries.index(chain)])

    return ScriptedEngine(reply=lambda _: "Response 1 is good, Response 2 is poor.", choice_weights=weigh)


def weak_engine(share: float = 0.8) -> ScriptedEngine:
    return ScriptedEngine(choice_weights=lambda question, _: for_good(question, share))


def drawn(question: EngineRequest, candidates: Sequence[str]) -> list[float]:
    """Figures that follow from the whole question, so that position, chain and thought all matter."""
    digest = hashlib.sha256(f"{text(question)}{candidates}".encode()).digest()
    return [1 + byte for byte in digest[: len(candidates)]]


def drawn_engine() -> ScriptedEngine:
    return ScriptedEngine(reply=lambda question: f"Response 1 {hash_of(question)} Response 2", choice_weights=drawn)


def hash_of(question: EngineRequest) -> str:
    return hashlib.sha256(text(question).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class Watched:
    """An engine that also tells each call: what was called, with how many questions, and the candidates."""

    inner: ScriptedEngine
    calls: list[tuple[str, int]] = field(default_factory=list)
    candidates: list[Sequence[str]] = field(default_factory=list)
    how: set[tuple[bool, bool]] = field(default_factory=set)
    reply: Callable[[Generation], Generation] = lambda reply: reply
    weighing: Callable[[ChoiceScores], ChoiceScores] = lambda weighing: weighing

    def generate(self, questions: Sequence[EngineRequest], **how: Any) -> list[Generation]:
        self.calls.append(("write", len(questions)))
        return [self.reply(each) for each in self.inner.generate(questions, **how)]

    def score_choices(
        self,
        questions: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        self.calls.append(("weigh", len(questions)))
        self.candidates.extend(candidates)
        self.how.add((first_token_only, include_end_of_turn))
        found = self.inner.score_choices(
            questions, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
        )
        return [self.weighing(each) for each in found]


def label(annotator: Seam, strong: Any, weak: Any = None, pair: Pair = PAIR) -> Annotation:
    return annotator.annotate([pair], AnnotatorInputs(engines={"strong": strong, "weak": weak or weak_engine()}))[0]


def pairs(count: int) -> list[Pair]:
    return [
        Pair.from_responses(build_user_prompt(f"Question {place}?"), f"answer {place}", f"other {place * 7}", "first")
        for place in range(count)
    ]
