"""What a judge is asked of two answers to one prompt, and what can be read in what it writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trimtab.prompts.fence import turns
from trimtab.prompts.preference import CANDIDATES, DATA, REASONING, VERDICT, Slot, case, joined
from trimtab.types import Named, Prompt, Question, user

Form = Literal["choice", "scores"]

CRITERION = "the one that helps the person more and does no harm"
TIE = "Tie"
SCALE = tuple(range(1, 11))
NAMES: tuple[Named, ...] = ("first", "second", "tie")
SCORE = "Score of Response {slot}:"

# A verdict is a line that names one of the candidates and says nothing more than that it is the better: a line in which
# either name merely occurs ("Response 1 is no better than …") would have to be guessed at.
_VERDICT = re.compile(
    r"\W*(?:(?:the\s+)?(?:better|best)\s+(?:one|response|answer)\s+is\W+)?"
    r"(?:(?:(?:response|answer)\W*)?(?P<slot>[12])|(?P<tie>tie))"
    r"(?:\s+is\s+(?:the\s+)?better(?:\s+(?:one|response|answer))?)?\W*",
    re.IGNORECASE,
)
_FIGURE = r"\W*(\d{1,2}(?:\.\d+)?)(?:\s*/\s*10)?\W*"
_SCORES = re.compile(rf"{_FIGURE}(?:score\s+of\s+)?response\s*2\W*?{_FIGURE}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """Asks which of two answers is better, or for a score of each. `head` is the same for every two answers.

    `candidates` are what the verdict is weighed over where a choice is asked for: the first answer's, the second's, and a
    tie's where that is allowed.
    """

    head: str
    form: Form
    candidates: tuple[str, ...]

    def reasoning(self, prompt: Prompt, first: str, second: str) -> Question:
        """To be written up to `mark`: what speaks for and against the two."""
        return Question(prompt=self._asked(prompt, first, second), begins=f"{REASONING}\n")

    def verdict(self, prompt: Prompt, first: str, second: str, *, thought: str = "", slot: Slot = 1) -> Question:
        """To be weighed over `candidates` or written; for scores, that of the response in this slot."""
        mark = VERDICT if self.form == "choice" else SCORE.format(slot=slot)
        before = f"{REASONING}\n{thought}\n\n" if thought else ""
        return Question(prompt=self._asked(prompt, first, second), begins=f"{before}{mark}\n")

    @property
    def mark(self) -> str:
        """What ends the reasoning."""
        return VERDICT if self.form == "choice" else SCORE.format(slot=1)

    def _asked(self, prompt: Prompt, first: str, second: str) -> Prompt:
        return user(self.head + case(turns(prompt), first, second))


def judging(
    *, criterion: str = CRITERION, form: Form = "choice", ties: bool = False, reasoned: bool = False, preamble: str = ""
) -> Judging:
    """The judge's question. `criterion` says which answer is the better one, `ties` lets it say that neither is."""
    task = (
        f"You compare two responses to the same conversation and say which one is better: {criterion.strip().rstrip('.')}. The "
        "order in which the responses stand says nothing about them, and longer is not better."
    )
    candidates = (*CANDIDATES["response"], *([TIE] if ties else []))
    head = joined([preamble, task, DATA, _form(form, candidates, reasoned), "The case to decide:"])
    return Judging(head=head, form=form, candidates=candidates)


def read_choice(text: str, *, ties: bool) -> Named | None:
    """What the first line that is not empty names: None where it names nothing, or says more than that. Never a guess."""
    line = next((each for each in text.splitlines() if each.strip()), "")
    found = _VERDICT.fullmatch(line)
    if found is None:
        return None
    if found["tie"]:
        return "tie" if ties else None
    return "first" if found["slot"] == "1" else "second"


def read_scores(text: str) -> tuple[float, float] | None:
    """The scores of both responses in what follows the first one's mark; None unless both stand there and are on the scale."""
    found = _SCORES.match(text)
    if found is None:
        return None
    first, second = float(found[1]), float(found[2])
    return (first, second) if all(SCALE[0] <= each <= SCALE[-1] for each in (first, second)) else None


def _form(form: Form, candidates: tuple[str, ...], reasoned: bool) -> str:
    if form == "choice":
        listed = " or ".join(f"`{each}`" for each in candidates)
        asked = f"`{VERDICT}` on a line, and on the next line {listed} and nothing else."
    else:
        marks = [f"`{SCORE.format(slot=slot)}` on a line, and on the next line" for slot in (1, 2)]
        asked = (
            f"{marks[0]} a whole number from {SCALE[0]}, very poor, to {SCALE[-1]}, excellent; then {marks[1]} another."
        )
    if not reasoned:
        return f"Answer with {asked}"
    return f"First write `{REASONING}` and, in a few sentences, what speaks for and against each response. Then write {asked}"
