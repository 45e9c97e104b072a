"""The `pairwise` judge: a language model compares two responses in both presentation orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import Requirements
from trimtab.core.component import ENGINE_FIELD, Component
from trimtab.core.interfaces import Engine
from trimtab.judges._shared.judge_prompting import (
    OrderedComparison,
    build_ordered_comparisons,
    generate_explanations,
    generate_verdicts,
    score_verdict_choices,
)
from trimtab.judges._shared.position_swap import combine_verdicts
from trimtab.prompts.judge import DEFAULT_CRITERION, JudgeOutputFormat, JudgePrompt, build_judge_prompt
from trimtab.prompts.pairwise_prompting import GenerationSettings
from trimtab.types import Comparison, Cost, JudgeChoice, SingleVerdict, Verdict

UNPARSED_VERDICT = "no verdict could be parsed"
IDENTICAL_RESPONSES = "the responses are identical: the judge was not queried"


class Pairwise(Component):
    """Asks a model which of two responses is better, once in each presentation order.

    Opposite verdicts in the two orders are a tie. If one order gives a tie, the other verdict decides. If a verdict cannot be
    parsed, the comparison counts as failed. In mode `logits` the verdict is the most likely candidate, scored in one forward
    pass; in mode `text` it is parsed from generated text. With `output_format: scores` the response with the higher score from
    1 to 10 wins, and in mode `logits` each score is the expected score. With `votes` above 1 each order is queried that many
    times and the majority counts.
    """

    VERSION: ClassVar[int] = 2

    engine: Annotated[Component, ENGINE_FIELD]
    mode: Literal["logits", "text"] = "logits"
    output_format: JudgeOutputFormat = "choice"
    allow_ties: bool = Field(False, description="lets the judge answer that neither is better; equal scores always tie")
    criterion: str = Field(DEFAULT_CRITERION, min_length=1, description="which response counts as better")
    max_reasoning_tokens: int = Field(0, ge=0, description="length limit of the reasoning before the verdict; 0: none")
    max_verdict_tokens: int = Field(24, gt=0, description="length limit of the verdict in mode text")
    temperature: float = Field(0.0, ge=0.0, description="temperature of the generated text; 0: greedy")
    votes: int = Field(1, ge=1, description="queries per order, each with its own seed")
    seed: int = 0

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        default_verdict_tokens = type(self).model_fields["max_verdict_tokens"].default
        if self.allow_ties and self.output_format == "scores":
            raise ValueError("allow_ties: not used with output_format: scores, where equal scores are a tie")
        if self.mode == "logits" and self.max_verdict_tokens != default_verdict_tokens:
            raise ValueError("max_verdict_tokens: not used in mode logits, which generates no verdict; set mode: text")
        if self.temperature and self.mode == "logits" and not self.max_reasoning_tokens:
            raise ValueError("temperature: not used in mode logits without max_reasoning_tokens")
        if self.votes > 1 and not self.temperature:
            raise ValueError(f"votes: at temperature 0, all {self.votes} votes are the same; set a temperature")
        return self

    def requirements(self) -> Requirements:
        return Requirements(engines={"judge": self.engine})

    def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        distinct = [comparison for comparison in comparisons if comparison.candidate != comparison.baseline]
        rounds = [self._query_both_orders(engines["judge"], distinct, self.seed + vote) for vote in range(self.votes)]
        states = zip(*rounds, strict=True)
        return [
            Verdict(id=comparison.id, outcome="tie", note=IDENTICAL_RESPONSES)
            if comparison.candidate == comparison.baseline
            else _build_verdict(comparison.id, states)
            for comparison in comparisons
        ]

    def _query_both_orders(
        self, engine: Engine, comparisons: Sequence[Comparison], seed: int
    ) -> list[OrderedComparison]:
        prompt, states = self._build_prompt(), build_ordered_comparisons(comparisons)
        if not states:
            return []
        if self.max_reasoning_tokens:
            settings = self._generation_settings(self.max_reasoning_tokens, seed)
            states = generate_explanations(engine, prompt, states, settings)
        if self.mode == "logits":
            return score_verdict_choices(engine, prompt, states)
        return generate_verdicts(engine, prompt, states, self._generation_settings(self.max_verdict_tokens, seed))

    def _build_prompt(self) -> JudgePrompt:
        return build_judge_prompt(
            criterion=self.criterion,
            output_format=self.output_format,
            allow_ties=self.allow_ties,
            with_reasoning=self.max_reasoning_tokens > 0,
        )

    def _generation_settings(self, max_new_tokens: int, seed: int) -> GenerationSettings:
        return GenerationSettings(max_new_tokens=max_new_tokens, temperature=self.temperature, seed=seed)


def _build_verdict(comparison_id: str, states: Iterator[tuple[OrderedComparison, ...]]) -> Verdict:
    """The verdict of the next two items of `states`: all votes in forward order, then all votes in reversed order."""
    forward, backward = next(states), next(states)
    verdicts = _majority_verdict(forward), _majority_verdict(backward)
    outcome = combine_verdicts(*(verdict.choice for verdict in verdicts))
    errors = dict.fromkeys(state.error for state in (*forward, *backward) if state.error)
    note = "; ".join(errors) or UNPARSED_VERDICT if outcome == "failed" else ""
    cost = sum((state.cost for state in (*forward, *backward)), Cost())
    return Verdict(id=comparison_id, outcome=outcome, forward=verdicts[0], reversed=verdicts[1], note=note, cost=cost)


def _majority_verdict(states: Sequence[OrderedComparison]) -> SingleVerdict:
    """One verdict from all votes in one order: their most frequent choice, or a tie between equally frequent ones.

    Votes that cannot be parsed do not count, unless they are more than half of all votes.
    """
    verdicts = [state.verdict or SingleVerdict(choice=None, text=state.reasoning) for state in states]
    if len(verdicts) == 1:
        return verdicts[0]
    votes = tuple(verdict.choice for verdict in verdicts)
    text = "\n\n".join(verdict.text for verdict in verdicts if verdict.choice is None and verdict.text)
    return SingleVerdict(choice=_plurality_choice(votes), text=text, votes=votes)


def _plurality_choice(votes: Sequence[JudgeChoice | None]) -> JudgeChoice | None:
    parsed = [vote for vote in votes if vote is not None]
    if 2 * len(parsed) < len(votes):
        return None
    counts = Counter(parsed).most_common()
    return "tie" if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]
