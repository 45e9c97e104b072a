"""Closed questions in three answer styles: the answer only, one full sentence, or free form."""

from __future__ import annotations

from random import Random

from trimtab.starter.checkers import (
    ContentScorer,
    answer_only_scorer,
    answer_scorer,
    build_checker,
    full_sentence_scorer,
)
from trimtab.starter.corruptions import build_response_pool
from trimtab.starter.item import Checker, PromptDraft
from trimtab.starter.texts import Texts

_TEXTS = Texts("closed")

STYLES = ("only", "sentence", "free")


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
    scorer: ContentScorer | None = None,
) -> PromptDraft:
    """A draft of a closed question. `sentence` has one `{}` for the answer; `others` are further wrong answers to check for."""
    scorer = scorer or answer_scorer((right,), tuple({wrong, *others} - {right}))
    return PromptDraft(
        prompt=f"{question} {rng.choice(_TEXTS.groups('style_instructions')[style]).format(noun)}",
        checker=build_style_checker(scorer, style, n_bare=len(right.split()) + 1),
        responses=build_response_pool(
            rng,
            (format_bare_answer(right), sentence.format(right)),
            (format_bare_answer(wrong), sentence.format(wrong)),
        ),
    )


def build_style_checker(scorer: ContentScorer, style: str, n_bare: int = 2) -> Checker:
    if style == "only":
        return build_checker(answer_only_scorer(scorer, n_bare))
    if style == "sentence":
        return build_checker(full_sentence_scorer(scorer), short=11, fair=16)
    return build_checker(scorer)


def format_bare_answer(text: str) -> str:
    """The answer as a sentence: first letter capitalized, period at the end."""
    return f"{text[0].upper()}{text[1:]}" + ("" if text[-1] in ".!?" else ".")
