"""Collects a judge's verdict on comparisons, one presentation order at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, Protocol

from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import Position
from trimtab.prompts.judge import SCORE_SCALE, VERDICT_CHOICES, JudgePrompt, compare_scores
from trimtab.prompts.pairwise_prompting import GenerationSettings, PromptState, generate_for_each, score_for_each
from trimtab.types import ChoiceScores, Comparison, EngineRequest, Generation, Prompt, SingleVerdict, text_hash

JudgePresentationOrder = Literal["both", "random"]


class VerdictPrompt(Protocol):
    """A prompt for a verdict, whose candidates can be scored or whose reply can be parsed."""

    @property
    def candidates(self) -> tuple[str, ...]: ...

    def build_verdict_request(
        self, prompt: Prompt, first: str, second: str, *, reasoning: str = ""
    ) -> EngineRequest: ...

    def parse_reply(self, text: str) -> SingleVerdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedComparison(PromptState):
    """State of a comparison in one presentation order. `probabilities` are those of the prompt's candidates, if they were
    scored."""

    comparison: Comparison
    candidate_first: bool
    verdict: SingleVerdict | None = None
    probabilities: tuple[float, ...] = ()

    @property
    def responses(self) -> tuple[str, str]:
        """Both responses in presentation order."""
        candidate, baseline = self.comparison.candidate, self.comparison.baseline
        return (candidate, baseline) if self.candidate_first else (baseline, candidate)

    def with_verdict(self, verdict: SingleVerdict) -> OrderedComparison:
        """The state with a verdict whose text includes the reasoning."""
        text = "\n\n".join(filter(None, [self.reasoning, verdict.text]))
        return replace(self, verdict=replace(verdict, text=text))


def build_ordered_comparisons(
    comparisons: Sequence[Comparison], presentation_order: JudgePresentationOrder
) -> list[OrderedComparison]:
    """Each comparison in both orders, candidate first, or in one order, which is random but a function of the texts."""
    return [
        OrderedComparison(comparison=comparison, candidate_first=candidate_first)
        for comparison in comparisons
        for candidate_first in ((True, False) if presentation_order == "both" else (_is_candidate_first(comparison),))
    ]


def _is_candidate_first(comparison: Comparison) -> bool:
    """True with probability 1/2. If the responses are swapped, the same text is first."""
    candidate, baseline = (
        text_hash("first of a judge", comparison.id, text) for text in (comparison.candidate, comparison.baseline)
    )
    return candidate < baseline


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
    engine: Engine, prompt: VerdictPrompt, states: Sequence[OrderedComparison], settings: GenerationSettings
) -> list[OrderedComparison]:
    """Generates the verdicts as text and parses them, in one call."""

    def update(state: OrderedComparison, generation: Generation) -> OrderedComparison:
        return state.with_verdict(prompt.parse_reply(generation.text))

    return generate_for_each(engine, states, lambda state: _build_request(prompt, state), update, settings)


def score_verdict_choices(
    engine: Engine, prompt: VerdictPrompt, states: Sequence[OrderedComparison]
) -> list[OrderedComparison]:
    """Reads the verdicts from the probabilities of the prompt's candidates, in one call."""

    def update(state: OrderedComparison, scores: ChoiceScores) -> OrderedComparison:
        return replace(state.with_verdict(_most_likely_verdict(scores)), probabilities=scores.probabilities)

    return score_for_each(engine, states, lambda state: _build_request(prompt, state), prompt.candidates, update)


def sample_verdict(state: OrderedComparison, temperature: float, seed: int) -> OrderedComparison:
    """The state with a verdict sampled from the candidates' probabilities, p^(1/T) / Σ p^(1/T).

    The sample depends on the seed, the comparison and its order only. A state without probabilities is returned unchanged.
    """
    if not state.probabilities:
        return state
    highest = max(state.probabilities)
    cumulative = list(accumulate((probability / highest) ** (1 / temperature) for probability in state.probabilities))
    digest = text_hash("vote of a judge", str(seed), state.comparison.id, *state.responses)
    index = bisect_right(cumulative, int(digest, 16) / 16 ** len(digest) * cumulative[-1])
    choice = VERDICT_CHOICES[min(index, len(cumulative) - 1)]
    return state.with_verdict(SingleVerdict(choice=choice, probability_first=state.probabilities[0]))


def score_both_responses(
    engine: Engine, prompt: JudgePrompt, states: Sequence[OrderedComparison]
) -> list[OrderedComparison]:
    """Reads the expected scores of both responses from probabilities, in two calls."""
    states = _score_response(engine, prompt, states, 1)
    states = _score_response(engine, prompt, states, 2)
    return [replace(state, verdict=None) if state.error else state for state in states]


def _score_response(
    engine: Engine, prompt: JudgePrompt, states: Sequence[OrderedComparison], position: Position
) -> list[OrderedComparison]:
    """Adds the expected score of the response at this position. The verdict is complete after position 2."""

    def build_request(state: OrderedComparison) -> EngineRequest:
        return prompt.build_verdict_request(
            state.comparison.prompt, *state.responses, reasoning=state.reasoning, position=position
        )

    def update(state: OrderedComparison, scores: ChoiceScores) -> OrderedComparison:
        score = _expected_score(scores)
        if position == 1:
            return replace(state, verdict=SingleVerdict(choice=None, scores=(score, score)))
        return state.with_verdict(_add_second_score(state, score))

    return score_for_each(
        engine,
        states,
        build_request,
        tuple(str(score) for score in SCORE_SCALE),
        update,
        # the end-of-turn token distinguishes a score of 1 from the start of 10
        include_end_of_turn=True,
    )


def _build_request(prompt: VerdictPrompt, state: OrderedComparison) -> EngineRequest:
    return prompt.build_verdict_request(state.comparison.prompt, *state.responses, reasoning=state.reasoning)


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
    return SingleVerdict(choice=compare_scores(first, second), scores=(first, second))
