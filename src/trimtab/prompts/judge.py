"""What a judge is asked of two answers to one prompt, and what can be read in what it writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trimtab.prompts.comparison import (
    REASONING_LABEL,
    UNTRUSTED_TEXT_NOTE,
    VERDICT_CANDIDATES,
    VERDICT_LABEL,
    Position,
    join_sections,
    render_case,
)
from trimtab.prompts.delimiters import render_turns
from trimtab.types import EngineRequest, JudgeChoice, Prompt, build_user_prompt

JudgeOutputFormat = Literal["choice", "scores"]

DEFAULT_CRITERION = "the one that helps the person more and does no harm"
TIE_CANDIDATE = "Tie"
SCORE_SCALE = tuple(range(1, 11))
VERDICT_CHOICES: tuple[JudgeChoice, ...] = ("first", "second", "tie")
SCORE_LABEL = "Score of Response {slot}:"

# A verdict is a line that names one of the candidates and says nothing more than that it is the better: a line in which
# either name merely occurs ("Response 1 is no better than …") would have to be guessed at.
_VERDICT = re.compile(
    r"\W*(?:(?:the\s+)?(?:better|best)\s+(?:one|response|answer)\s+is\W+)?"
    r"(?:(?:(?:response|answer)\W*)?(?P<slot>[12])|(?P<tie>tie))"
    r"(?:\s+is\s+(?:the\s+)?better(?:\s+(?:one|response|answer))?)?\W*",
    re.IGNORECASE,
)
_NUMBER = r"\W*(\d{1,2}(?:\.\d+)?)(?:\s*/\s*10)?\W*"
_SCORES = re.compile(rf"{_NUMBER}(?:score\s+of\s+)?response\s*2\W*?{_NUMBER}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """Asks which of two answers is better, or for a score of each. `head` is the same for every two answers.

    `candidates` are what the verdict is weighed over where a choice is asked for: the first answer's, the second's, and a
    tie's where that is allowed.
    """

    instructions: str
    output_format: JudgeOutputFormat
    candidates: tuple[str, ...]

    def reasoning(self, prompt: Prompt, first: str, second: str) -> EngineRequest:
        """To be written up to `mark`: what speaks for and against the two."""
        return EngineRequest(prompt=self._build_prompt(prompt, first, second), prefill=f"{REASONING_LABEL}\n")

    def verdict(
        self, prompt: Prompt, first: str, second: str, *, reasoning: str = "", position: Position = 1
    ) -> EngineRequest:
        """To be weighed over `candidates` or written; for scores, that of the response in this slot."""
        mark = VERDICT_LABEL if self.output_format == "choice" else SCORE_LABEL.format(slot=position)
        before = f"{REASONING_LABEL}\n{reasoning}\n\n" if reasoning else ""
        return EngineRequest(prompt=self._build_prompt(prompt, first, second), prefill=f"{before}{mark}\n")

    @property
    def verdict_label(self) -> str:
        """What ends the reasoning."""
        return VERDICT_LABEL if self.output_format == "choice" else SCORE_LABEL.format(slot=1)

    def _build_prompt(self, prompt: Prompt, first: str, second: str) -> Prompt:
        return build_user_prompt(self.instructions + render_case(render_turns(prompt), first, second))


def build_judge_prompt(
    *,
    criterion: str = DEFAULT_CRITERION,
    output_format: JudgeOutputFormat = "choice",
    ties: bool = False,
    with_reasoning: bool = False,
    preamble: str = "",
) -> JudgePrompt:
    """The judge's question. `criterion` says which answer is the better one, `ties` lets it say that neither is."""
    task = (
        f"You compare two responses to the same conversation and say which one is better: {criterion.strip().rstrip('.')}. The "
        "order in which the responses stand says nothing about them, and longer is not better."
    )
    candidates = (*VERDICT_CANDIDATES["response"], *([TIE_CANDIDATE] if ties else []))
    head = join_sections(
        [
            preamble,
            task,
            UNTRUSTED_TEXT_NOTE,
            _render_output_format(output_format, candidates, with_reasoning),
            "The case to decide:",
        ]
    )
    return JudgePrompt(instructions=head, output_format=output_format, candidates=candidates)


def parse_verdict(text: str, *, ties: bool) -> JudgeChoice | None:
    """What the first line that is not empty names: None where it names nothing, or says more than that. Never a guess."""
    line = next((each for each in text.splitlines() if each.strip()), "")
    found = _VERDICT.fullmatch(line)
    if found is None:
        return None
    if found["tie"]:
        return "tie" if ties else None
    return "first" if found["slot"] == "1" else "second"


def parse_scores(text: str) -> tuple[float, float] | None:
    """The scores of both responses in what follows the first one's mark; None unless both stand there and are on the scale."""
    found = _SCORES.match(text)
    if found is None:
        return None
    first, second = float(found[1]), float(found[2])
    return (first, second) if all(SCORE_SCALE[0] <= each <= SCORE_SCALE[-1] for each in (first, second)) else None


def _render_output_format(form: JudgeOutputFormat, candidates: tuple[str, ...], reasoned: bool) -> str:
    if form == "choice":
        listed = " or ".join(f"`{each}`" for each in candidates)
        asked = f"`{VERDICT_LABEL}` on a line, and on the next line {listed} and nothing else."
    else:
        marks = [f"`{SCORE_LABEL.format(slot=slot)}` on a line, and on the next line" for slot in (1, 2)]
        asked = f"{marks[0]} a whole number from {SCORE_SCALE[0]}, very poor, to {SCORE_SCALE[-1]}, excellent; then {marks[1]} another."
    if not reasoned:
        return f"Answer with {asked}"
    return f"First write `{REASONING_LABEL}` and, in a few sentences, what speaks for and against each response. Then write {asked}"
