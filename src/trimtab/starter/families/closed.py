"""Questions with one right answer, asked in three styles: the answer only, one full sentence, or freely."""

from __future__ import annotations

from random import Random

from trimtab.starter.checkers import Core, answer, bare, graded, whole_sentence
from trimtab.starter.defects import pool
from trimtab.starter.item import Check, Draft

STYLES = ("only", "sentence", "free")
ASKS = {
    "only": ("Answer with the {} only.", "Just the {}, please.", "Reply with nothing but the {}."),
    "sentence": (
        "Answer in one full sentence.",
        "Please reply with a whole sentence.",
        "Give me one complete sentence.",
    ),
    "free": ("Keep it short.", "Please be brief.", "I only have a moment."),
}


def closed(
    rng: Random,
    question: str,
    *,
    right: str,
    wrong: str,
    others: tuple[str, ...] = (),
    sentence: str,
    noun: str = "answer",
    style: str = "free",
    core: Core | None = None,
) -> Draft:
    """A draft of a closed question. `sentence` has one `{}` for the answer; `others` are wrong answers to look for."""
    judged = core or answer((right,), tuple({wrong, *others} - {right}))
    return Draft(
        prompt=f"{question} {rng.choice(ASKS[style]).format(noun)}",
        check=styled(judged, style, n_bare=len(right.split()) + 1),
        responses=pool(rng, (dotted(right), sentence.format(right)), (dotted(wrong), sentence.format(wrong))),
    )


def styled(core: Core, style: str, n_bare: int = 2) -> Check:
    if style == "only":
        return graded(bare(core, n_bare))
    if style == "sentence":
        return graded(whole_sentence(core), short=11, fair=16)
    return graded(core)


def dotted(text: str) -> str:
    """An answer on its own as people write it: a capital first, a period last."""
    return f"{text[0].upper()}{text[1:]}" + ("" if text[-1] in ".!?" else ".")
