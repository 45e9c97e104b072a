"""Questions with one right answer, asked in three styles: the answer only, one full sentence, or freely."""

from __future__ import annotations

from random import Random

from trimtab.starter.checkers import (
    ContentScorer,
    answer_only_scorer,
    answer_scorer,
    build_checker,
    whole_sentence_scorer,
)
from trimtab.starter.corruptions import build_response_pool
from trimtab.starter.item import Checker, PromptDraft

STYLES = ("only", "sentence", "free")
STYLE_INSTRUCTIONS = {
    "only": ("Answer with the {} only.", "Just the {}, please.", "Reply with nothing but the {}."),
    "sentence": (
        "Answer in one full sentence.",
        "Please reply with a whole sentence.",
        "Give me one complete sentence.",
    ),
    "free": ("Keep it short.", "Please be brief.", "I only have a moment."),
}


def draft_closed_question(
    rng: Random,
    question: str,
    *,
    right: str,
    wrong: str,
    others: tuple[str, ...] = (),
    sentence: str,
    noun: str = "answer",
    style: str = "free",
    core: ContentScorer | None = None,
) -> PromptDraft:
    """A draft of a closed question. `sentence` has one `{}` for the answer; `others` are wrong answers to look for."""
    judged = core or answer_scorer((right,), tuple({wrong, *others} - {right}))
    return PromptDraft(
        prompt=f"{question} {rng.choice(STYLE_INSTRUCTIONS[style]).format(noun)}",
        checker=build_style_checker(judged, style, n_bare=len(right.split()) + 1),
        responses=build_response_pool(
            rng,
            (format_bare_answer(right), sentence.format(right)),
            (format_bare_answer(wrong), sentence.format(wrong)),
        ),
    )


def build_style_checker(core: ContentScorer, style: str, n_bare: int = 2) -> Checker:
    if style == "only":
        return build_checker(answer_only_scorer(core, n_bare))
    if style == "sentence":
        return build_checker(whole_sentence_scorer(core), short=11, fair=16)
    return build_checker(core)


def format_bare_answer(text: str) -> str:
    """An answer on its own as people write it: a capital first, a period last."""
    return f"{text[0].upper()}{text[1:]}" + ("" if text[-1] in ".!?" else ".")
