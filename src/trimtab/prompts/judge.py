"""Judge prompts for two responses to one prompt, and parsers of the judge's text."""

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
from trimtab.prompts.delimiters import indent_label_lines, render_turns
from trimtab.prompts.reasoning_tags import separate_thought
from trimtab.types import EngineRequest, JudgeChoice, Prompt, SingleVerdict, build_user_prompt

JudgeOutputFormat = Literal["choice", "scores"]

DEFAULT_CRITERION = "the one that helps the person more and does no harm"
TIE_CANDIDATE = "Tie"
SCORE_SCALE = tuple(range(1, 11))
VERDICT_CHOICES: tuple[JudgeChoice, ...] = ("first", "second", "tie")
SCORE_LABEL = "Score of Response {slot}:"

# A verdict is a line that names one candidate and states nothing more than that it is better. A line that merely contains a
# name ("Response 1 is no better than …") would be ambiguous, so it is not parsed.
_VERDICT = re.compile(
    r"\W*(?:(?:the\s+)?(?:better|best)\s+(?:one|response|answer)\s+is\W+)?"
    r"(?:(?:(?:response|answer)\W*)?(?P<position>[12])|(?P<tie>tie))"
    r"(?:\s+is\s+(?:the\s+)?better(?:\s+(?:one|response|answer))?)?\W*",
    re.IGNORECASE,
)
_SCORE = r"(\d{1,2}(?:\.\d+)?)(?:\s*/\s*10)?"
_SCORES = re.compile(rf"\W*{_SCORE}\W*(?:score\s+of\s+)?response\s*2\W*{_SCORE}\W*", re.IGNORECASE)
# Two scores and nothing else, with a space or a comma between them.
_SCORE_LINE = re.compile(rf"[\s*`]*{_SCORE}(?:\s*,\s*|\s+){_SCORE}[\s*`.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """Asks which of two responses is better, or for a score of each.

    `instructions` are the same for all comparisons. With output format `choice`, the verdict is scored over `candidates`:
    the first response, the second response and, if ties are allowed, a tie.
    """

    instructions: str
    output_format: JudgeOutputFormat
    candidates: tuple[str, ...]

    def build_reasoning_request(self, prompt: Prompt, first: str, second: str) -> EngineRequest:
        """Asks for the reasoning, to be generated up to `verdict_label`."""
        return EngineRequest(prompt=self._build_prompt(prompt, first, second), prefill=f"{REASONING_LABEL}\n")

    def build_verdict_request(
        self, prompt: Prompt, first: str, second: str, *, reasoning: str = "", position: Position = 1
    ) -> EngineRequest:
        """Asks for the verdict, to be scored over `candidates` or generated; for scores, that of the response at `position`."""
        label = VERDICT_LABEL if self.output_format == "choice" else SCORE_LABEL.format(slot=position)
        before = f"{REASONING_LABEL}\n{indent_label_lines(reasoning, self.verdict_label)}\n\n" if reasoning else ""
        return EngineRequest(prompt=self._build_prompt(prompt, first, second), prefill=f"{before}{label}\n")

    @property
    def verdict_label(self) -> str:
        """The label that ends the reasoning."""
        return VERDICT_LABEL if self.output_format == "choice" else SCORE_LABEL.format(slot=1)

    def parse_reply(self, text: str) -> SingleVerdict:
        """The verdict in a generated reply; `choice` is None if there is none."""
        if self.output_format == "choice":
            return SingleVerdict(choice=parse_verdict(text, allow_ties=len(self.candidates) > 2), text=text)
        scores = parse_scores(text)
        return SingleVerdict(choice=None if scores is None else compare_scores(*scores), scores=scores, text=text)

    def _build_prompt(self, prompt: Prompt, first: str, second: str) -> Prompt:
        return build_user_prompt(self.instructions + render_case(render_turns(prompt), first, second))


def build_judge_prompt(
    *,
    criterion: str = DEFAULT_CRITERION,
    output_format: JudgeOutputFormat = "choice",
    allow_ties: bool = False,
    with_reasoning: bool = False,
    preamble: str = "",
) -> JudgePrompt:
    """Builds a judge prompt. `criterion` defines the better response; `allow_ties` adds a third answer, a tie."""
    task = (
        f"You compare two responses to the same conversation and say which one is better: {criterion.strip().rstrip('.')}. The "
        "order in which the responses stand says nothing about them, and longer is not better."
    )
    candidates = list_verdict_candidates(allow_ties=allow_ties)
    instructions = join_sections(
        [
            preamble,
            task,
            UNTRUSTED_TEXT_NOTE,
            _render_output_format(output_format, candidates, with_reasoning),
            "The case to decide:",
        ]
    )
    return JudgePrompt(instructions=instructions, output_format=output_format, candidates=candidates)


def list_verdict_candidates(*, allow_ties: bool) -> tuple[str, ...]:
    """The possible answers: the first response, the second response, and a tie if it is allowed."""
    return (*VERDICT_CANDIDATES["response"], *([TIE_CANDIDATE] if allow_ties else []))


def parse_verdict(text: str, *, allow_ties: bool) -> JudgeChoice | None:
    """Parses the first non-empty line after a thought. None if it is not exactly a verdict; never a guess."""
    match = _VERDICT.fullmatch(_find_first_line(text))
    if match is None:
        return None
    if match["tie"]:
        return "tie" if allow_ties else None
    return "first" if match["position"] == "1" else "second"


def parse_scores(text: str) -> tuple[float, float] | None:
    """Parses both scores from the text after the first score's label. None unless both are present and on the scale."""
    return _read_scores(_SCORES.match(separate_thought(text).answer))


def parse_score_line(text: str) -> tuple[float, float] | None:
    """Parses the first non-empty line after a thought: two scores, as in `8 7`. None unless both are on the scale."""
    return _read_scores(_SCORE_LINE.fullmatch(_find_first_line(text)))


def compare_scores(first: float, second: float) -> JudgeChoice:
    return "tie" if first == second else "first" if first > second else "second"


def _find_first_line(text: str) -> str:
    return next((line for line in separate_thought(text).answer.splitlines() if line.strip()), "")


def _read_scores(match: re.Match[str] | None) -> tuple[float, float] | None:
    if match is None:
        return None
    first, second = float(match[1]), float(match[2])
    return (first, second) if all(SCORE_SCALE[0] <= score <= SCORE_SCALE[-1] for score in (first, second)) else None


def _render_output_format(output_format: JudgeOutputFormat, candidates: tuple[str, ...], with_reasoning: bool) -> str:
    if output_format == "choice":
        listed = " or ".join(f"`{candidate}`" for candidate in candidates)
        verdict = f"`{VERDICT_LABEL}` on a line, and on the next line {listed} and nothing else."
    else:
        labels = [f"`{SCORE_LABEL.format(slot=position)}` on a line, and on the next line" for position in (1, 2)]
        scale = f"a whole number from {SCORE_SCALE[0]}, very poor, to {SCORE_SCALE[-1]}, excellent"
        verdict = f"{labels[0]} {scale}; then {labels[1]} another."
    if not with_reasoning:
        return f"Answer with {verdict}"
    reasons = "in a few sentences, what speaks for and against each response"
    return f"First write `{REASONING_LABEL}` and, {reasons}. Then write {verdict}"
