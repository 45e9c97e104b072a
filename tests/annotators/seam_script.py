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
from trimtab.engines.scripted import ScriptedEngine
from trimtab.prompts.principles import load
from trimtab.protocols import Given
from trimtab.types import Annotation, Pair, Question, Reply, Weighing, user

NAMES = [each.name for each in load()]
PAIR = Pair.of(user("May I ask something?"), "a good answer", "a poor answer", "first")
# How sure the strong model is of the good answer, by chain length and try; what makes it go back once, twice, never.
CALM = {1: [0.6], 2: [0.7], 3: [0.8]}
BACK_2 = {1: [0.6], 2: [0.55, 0.7], 3: [0.8]}
BACK_3 = {1: [0.6], 2: [0.7], 3: [0.65, 0.8]}
BACK_BOTH = {1: [0.6], 2: [0.55, 0.7], 3: [0.65, 0.8]}
HARMLESS_FIRST = [*NAMES[5:], *NAMES[:5]]


def seam(**settings: Any) -> Seam:
    return Seam.model_validate({"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}, **settings})


def text(question: Question) -> str:
    return question.prompt[0].content


def last_case(question: Question) -> tuple[str, str]:
    """The two responses of the pair that is asked about, which stands last."""
    case = text(question).split("The case to ")[-1]
    found = [re.findall(rf"<response_{place}>\n(.*?)\n</response_{place}>", case, re.DOTALL)[0] for place in (1, 2)]
    return found[0], found[1]


def chain_of(question: Question) -> tuple[str, ...]:
    """The principles that a judgment goes by."""
    listed = re.findall(r"first:\n\n<principles>\n(.*?)\n</principles>", text(question), re.DOTALL)
    return tuple(line.split(":")[0] for line in listed[0].splitlines()) if listed else ()


def is_ranking(question: Question) -> bool:
    return "principle" in question.begins


def is_judgment(question: Question) -> bool:
    return not is_ranking(question) and text(question).startswith(
        "You will read a conversation and two responses to its last message. Weigh"
    )


def is_pick(question: Question) -> bool:
    return not is_ranking(question) and text(question).startswith(
        "You will read a conversation and two responses to its last message. Choose"
    )


def own_principles(folder: Path, *names: str) -> str:
    """A file of helpful principles with these names."""
    shown = {"prompt": "p", "better": "b", "worse": "w", "why_better": "yes", "why_worse": "no"}
    mine = [{"name": name, "group": "helpful", "text": f"{name}.", "demonstration": shown} for name in names]
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    return str(folder / "mine.yaml")


def for_good(question: Question, share: float) -> list[float]:
    return [share, 1 - share] if "good" in last_case(question)[0] else [1 - share, share]


def strong_engine(sure: dict[int, list[float]], order: Sequence[str] = NAMES, pick: float = 0.9) -> ScriptedEngine:
    """Ranks the principles in this order; which try at a level a chain is follows from how many chains came there before."""
    seen: dict[int, list[tuple[str, ...]]] = {}

    def weigh(question: Question, candidates: Sequence[str]) -> Sequence[float]:
        if is_ranking(question):
            return [2.0 ** -order.index(each.strip()) for each in candidates]
        if not is_judgment(question):
            return for_good(question, pick)
        chain = chain_of(question)
        tries = seen.setdefault(len(chain), [])
        if chain not in tries:
            tries.append(chain)
        return for_good(question, sure[len(chain)][tries.index(chain)])

    return ScriptedEngine(write=lambda _: "Response 1 is good, Response 2 is poor.", weigh=weigh)


def weak_engine(share: float = 0.8) -> ScriptedEngine:
    return ScriptedEngine(weigh=lambda question, _: for_good(question, share))


def drawn(question: Question, candidates: Sequence[str]) -> list[float]:
    """Figures that follow from the whole question, so that position, chain and thought all matter."""
    digest = hashlib.sha256(f"{text(question)}{candidates}".encode()).digest()
    return [1 + byte for byte in digest[: len(candidates)]]


def drawn_engine() -> ScriptedEngine:
    return ScriptedEngine(write=lambda question: f"Response 1 {hash_of(question)} Response 2", weigh=drawn)


def hash_of(question: Question) -> str:
    return hashlib.sha256(text(question).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class Watched:
    """An engine that also tells each call: what was called, with how many questions, and the candidates."""

    inner: ScriptedEngine
    calls: list[tuple[str, int]] = field(default_factory=list)
    candidates: list[Sequence[str]] = field(default_factory=list)
    how: set[tuple[bool, bool]] = field(default_factory=set)
    reply: Callable[[Reply], Reply] = lambda reply: reply
    weighing: Callable[[Weighing], Weighing] = lambda weighing: weighing

    def write(self, questions: Sequence[Question], **how: Any) -> list[Reply]:
        self.calls.append(("write", len(questions)))
        return [self.reply(each) for each in self.inner.write(questions, **how)]

    def weigh(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        first_token: bool = False,
        ended: bool = False,
    ) -> list[Weighing]:
        self.calls.append(("weigh", len(questions)))
        self.candidates.extend(candidates)
        self.how.add((first_token, ended))
        found = self.inner.weigh(questions, candidates, first_token=first_token, ended=ended)
        return [self.weighing(each) for each in found]


def label(annotator: Seam, strong: Any, weak: Any = None, pair: Pair = PAIR) -> Annotation:
    return annotator.annotate([pair], Given(engines={"strong": strong, "weak": weak or weak_engine()}))[0]


def pairs(count: int) -> list[Pair]:
    return [
        Pair.of(user(f"Question {place}?"), f"answer {place}", f"other {place * 7}", "first") for place in range(count)
    ]
