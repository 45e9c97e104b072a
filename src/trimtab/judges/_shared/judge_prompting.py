"""Collects a judge's verdict on comparisons, one presentation order at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import Position
from trimtab.prompts.judge import SCORE_SCALE, VERDICT_CHOICES, JudgePrompt, parse_scores, parse_verdict
from trimtab.prompts.pairwise_prompting import GenerationSettings, PromptState, generate_for_each, score_for_each
from trimtab.types import ChoiceScores, Comparison, EngineRequest, Generation, JudgeChoice, SingleVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedComparison(PromptState):
    """State of a comparison in one presentation order."""

    comparison: Comparison
    candidate_first: bool
    verdict: SingleVerdict | None = None

    @property
    def responses(self) -> tuple[str, str]:
        """Both responses in presentation order."""
        candidate, baseline = self.comparison.candidate, self.comparison.baseline
        return (candidate, baseline) if self.candidate_first else (baseline, candidate)

    def with_verdict(self, verdict: SingleVerdict) -> OrderedComparison:
        """The state with a verdict whose text includes the reasoning."""
        text = "\n\n".join(filter(None, [self.reasoning, verdict.text]))
        return replace(self, verdict=replace(verdict, text=text))


def build_ordered_comparisons(comparisons: Sequence[Comparison]) -> list[OrderedComparison]:
    """Both orders of each comparison, one after the other, candidate first."""
    return [
        OrderedComparison(comparison=comparison, candidate_first=candidate_first)
        for comparison in comparisons
        for candidate_first in (True, False)
    ]


def generate_explanations(
    engine: Engine, prompt: JudgePrompt, states: Sequence[OrderedComparison], settings: GenerationSettings
) -> list[OrderedComparison]:
    """Generates the judge's reasoning, in one call."""

    def build_request(state: OrderedComparison) -> EngineRequest:
        return prompt.build_reasoning_request(state.comparison.prompt, *state.responses)

    def update(state: OrderedComparison, generation: Generation) -> OrderedComparison:
        return replace(state, reasoning=generation.text.strip())

    return generate_for_each(engine, states, build_request, update, replace(settings, stop=(prompt.verdict_label,)))


def generate_verdicts(
    engine: Engine, prompt: JudgePrompt, states: Sequence[OrderedComparison], settings: GenerationSettings
) -> list[OrderedComparison]:
    """Generates the verdicts as text and parses them, in one call."""

    def update(state: OrderedComparison, generation: Generation) -> OrderedComparison:
        return state.with_verdict(_parse_verdict(prompt, generation.text))

    return generate_for_each(engine, states, lambda state: _build_request(prompt, state), update, settings)


def score_verdict_choices(
    engine: Engine, prompt: JudgePrompt, states: Sequence[OrderedComparison]
) -> list[OrderedComparison]:
    """Reads the verdicts from probabilities: one call for a choice, two for the scores of both responses."""
    if prompt.output_format == "choice":
        return score_for_each(
            engine,
            states,
            lambda state: _build_request(prompt, state),
            prompt.candidates,
            lambda state, scores: state.with_verdict(_most_likely_verdict(scores)),
        )
    states = _score_response(engine, prompt, states, 1)
    states = _score_response(engine, prompt, states, 2)
    return [replace(state, verdict=None) if state.error else state for state in states]


def _score_response(
    engine: Engine, prompt: JudgePrompt, states: Sequence[OrderedComparison], position: Position
) -> list[OrderedComparison]:
    """Adds the expected score of the response at this position. The verdict is complete after position 2."""

    def update(state: OrderedComparison, scores: ChoiceScores) -> OrderedComparison:
        score = _expected_score(scores)
        if position == 1:
            return replace(state, verdict=SingleVerdict(choice=None, scores=(score, score)))
        return state.with_verdict(_add_second_score(state, score))

    return score_for_each(
        engine,
        states,
        lambda state: _build_request(prompt, state, position),
        tuple(str(score) for score in SCORE_SCALE),
        update,
        # the end-of-turn token distinguishes a score of 1 from the start of 10
        include_end_of_turn=True,
    )


def _build_request(prompt: JudgePrompt, state: OrderedComparison, position: Position = 1) -> EngineRequest:
    return prompt.build_verdict_request(
        state.comparison.prompt, *state.responses, reasoning=state.reasoning, position=position
    )


def _parse_verdict(prompt: JudgePrompt, text: str) -> SingleVerdict:
    if prompt.output_format == "choice":
        return SingleVerdict(choice=parse_verdict(text, allow_ties=len(prompt.candidates) > 2), text=text)
    scores = parse_scores(text)
    return SingleVerdict(choice=None if scores is None else _compare_scores(*scores), scores=scores, text=text)


def _most_likely_verdict(scores: ChoiceScores) -> SingleVerdict:
    """The most likely candidate; a tie if several candidates share the highest probability."""
    highest = max(scores.probabilities)
    most_likely = [
        choice
        for choice, probability in zip(VERDICT_CHOICES, scores.probabilities, strict=False)
        if probability == highest
    ]
    choice = most_likely[0] if len(most_likely) == 1 else "tie"
    return SingleVerdict(choice=choice, probability_first=scores.probabilities[0])


def _expected_score(scores: ChoiceScores) -> float:
    return sum(score * p for score, p in zip(SCORE_SCALE, scores.probabilities, strict=True))


def _add_second_score(state: OrderedComparison, second: float) -> SingleVerdict:
    if state.verdict is None or state.verdict.scores is None:
        raise ValueError("the first response must be scored before the second")
    first = state.verdict.scores[0]
    return SingleVerdict(choice=_compare_scores(first, second), scores=(first, second))


def _compare_scores(first: float, second: float) -> JudgeChoice:
    return "tie" if first == second else "first" if first > second else "second"
