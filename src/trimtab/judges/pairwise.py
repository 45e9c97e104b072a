"""The `pairwise` judge: a language model compares two responses, by default in both presentation orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from trimtab.core.annotator_inputs import Requirements
from trimtab.core.component import ENGINE_FIELD, Component
from trimtab.core.interfaces import Engine
from trimtab.judges._shared.judge_prompting import (
    JudgePresentationOrder,
    OrderedComparison,
    build_ordered_comparisons,
    generate_explanations,
    generate_verdicts,
    sample_verdict,
    score_both_responses,
    score_verdict_choices,
)
from trimtab.judges._shared.position_swap import build_identical_verdict, combine_verdicts, read_verdict
from trimtab.prompts.judge import DEFAULT_CRITERION, JudgeOutputFormat, build_judge_prompt, list_verdict_candidates
from trimtab.prompts.judge_template import JudgeTemplate, TemplatePrompt, resolve_judge_template
from trimtab.prompts.pairwise_prompting import GenerationSettings
from trimtab.types import Comparison, Cost, JudgeChoice, SingleVerdict, Verdict

UNPARSED_VERDICT = "no verdict could be parsed"
UNPARSED_AS_TIE = "no verdict could be parsed: counted as a tie"

TemplateField = Annotated[JudgeTemplate, BeforeValidator(resolve_judge_template, JudgeTemplate | str)]


class Pairwise(Component):
    """Asks a model which of two responses is better, once in each presentation order.

    Opposite verdicts in the two orders are a tie. If one order gives a tie, the other verdict decides. With
    `presentation_order: random`, each comparison is made in one random order. If a verdict cannot be parsed, the comparison
    counts as failed. In mode `logits` the verdict is the most likely candidate, scored in one forward pass; in mode `text` it
    is parsed from generated text. With `output_format: scores` the response with the higher score from 1 to 10 wins, and in
    mode `logits` each score is the expected score. `prompt` replaces Trimtab's prompt. With `votes` above 1 each order is
    queried that many times and the majority counts; in mode `logits` without reasoning, votes are sampled from the
    probabilities of one forward pass.
    """

    VERSION: ClassVar[int] = 2

    engine: Annotated[Component, ENGINE_FIELD]
    mode: Literal["logits", "text"] = "logits"
    output_format: JudgeOutputFormat = "choice"
    allow_ties: bool = Field(False, description="lets the judge answer that neither is better; equal scores always tie")
    criterion: str = Field(DEFAULT_CRITERION, min_length=1, description="which response counts as better")
    prompt: TemplateField | None = Field(
        None,
        description="null: Trimtab's prompt; tao_li_2025: that of Tao & Li (2025) in our words; or a custom one with `user`, "
        "`system` and `reply`",
    )
    presentation_order: JudgePresentationOrder = Field(
        "both", description="our default, both; random: one call per comparison (Tao & Li)"
    )
    max_reasoning_tokens: int = Field(0, ge=0, description="length limit of the reasoning before the verdict; 0: none")
    max_verdict_tokens: int = Field(24, gt=0, description="length limit of the verdict in mode text")
    temperature: float = Field(
        0.0, ge=0.0, description="temperature of the generated text, or of verdicts in mode logits; 0: greedy"
    )
    votes: int = Field(1, ge=1, description="queries per order, each with its own seed")
    failed_as_tie: bool = Field(
        False,
        description="true: a reply that cannot be parsed counts as a tie, as in the released code of SEAM and of Khanov et "
        "al.; our default: the comparison fails",
    )
    seed: int = 0

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        default_verdict_tokens = type(self).model_fields["max_verdict_tokens"].default
        if self.allow_ties and self.output_format == "scores":
            raise ValueError("allow_ties: not used with output_format: scores, where equal scores are a tie")
        if self.mode == "logits" and self.max_verdict_tokens != default_verdict_tokens:
            raise ValueError("max_verdict_tokens: not used in mode logits, which generates no verdict; set mode: text")
        if self.mode == "logits" and self.failed_as_tie:
            raise ValueError(
                "failed_as_tie: not used in mode logits, which generates no reply to parse; set mode: text"
            )
        is_expected_score = self.mode == "logits" and self.output_format == "scores"
        if self.temperature and is_expected_score and not self.max_reasoning_tokens:
            raise ValueError("temperature: not used for expected scores without max_reasoning_tokens")
        if self.votes > 1 and not self.temperature:
            raise ValueError(f"votes: at temperature 0, all {self.votes} votes are the same; set a temperature")
        return self

    @model_validator(mode="after")
    def _reject_settings_of_other_prompts(self) -> Self:
        if self.prompt is None:
            return self
        for name in ("criterion", "output_format", "max_reasoning_tokens"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: not used with `prompt`, which replaces the text that it would change")
        if self.prompt.reply == "score_line" and self.mode == "logits":
            raise ValueError("mode: this prompt's reply is a line with two scores, which is generated; set mode: text")
        if self.prompt.reply == "score_line" and self.allow_ties:
            raise ValueError("allow_ties: not used with a prompt that requests scores, where equal scores are a tie")
        return self

    def requirements(self) -> Requirements:
        return Requirements(engines={"judge": self.engine})

    def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        distinct = [comparison for comparison in comparisons if comparison.candidate != comparison.baseline]
        states = zip(*self._query_rounds(engines["judge"], distinct), strict=True)
        return [
            build_identical_verdict(comparison.id)
            if comparison.candidate == comparison.baseline
            else self._build_verdict(comparison.id, states)
            for comparison in comparisons
        ]

    def _query_rounds(self, engine: Engine, comparisons: Sequence[Comparison]) -> list[list[OrderedComparison]]:
        """The states of all comparisons, once per vote. Votes from probabilities share one query, whose cost the first has."""
        seeds = [self.seed + vote for vote in range(self.votes)]
        if self.mode == "text" or self.max_reasoning_tokens or not self.temperature:
            return [self._query_orders(engine, comparisons, seed) for seed in seeds]
        scored = self._query_orders(engine, comparisons, self.seed)
        free = [replace(state, cost=Cost()) for state in scored]
        return [
            [sample_verdict(state, self.temperature, seed) for state in (free if index else scored)]
            for index, seed in enumerate(seeds)
        ]

    def _query_orders(self, engine: Engine, comparisons: Sequence[Comparison], seed: int) -> list[OrderedComparison]:
        states = build_ordered_comparisons(comparisons, self.presentation_order)
        if not states:
            return []
        verdict_settings = self._generation_settings(self.max_verdict_tokens, seed)
        if self.prompt is not None:
            candidates = list_verdict_candidates(allow_ties=self.allow_ties)
            template_prompt = TemplatePrompt(template=self.prompt, candidates=candidates)
            if self.mode == "logits":
                return score_verdict_choices(engine, template_prompt, states)
            return generate_verdicts(engine, template_prompt, states, verdict_settings)
        prompt = build_judge_prompt(
            criterion=self.criterion,
            output_format=self.output_format,
            allow_ties=self.allow_ties,
            with_reasoning=self.max_reasoning_tokens > 0,
        )
        if self.max_reasoning_tokens:
            settings = self._generation_settings(self.max_reasoning_tokens, seed)
            states = generate_explanations(engine, prompt, states, settings)
        if self.mode == "text":
            return generate_verdicts(engine, prompt, states, verdict_settings)
        score = score_verdict_choices if self.output_format == "choice" else score_both_responses
        return score(engine, prompt, states)

    def _generation_settings(self, max_new_tokens: int, seed: int) -> GenerationSettings:
        return GenerationSettings(max_new_tokens=max_new_tokens, temperature=self.temperature, seed=seed)

    def _build_verdict(self, comparison_id: str, states: Iterator[tuple[OrderedComparison, ...]]) -> Verdict:
        """The verdict of a comparison from the next items of `states`: all votes in one order, then those in the other."""
        votes_by_order = list(islice(states, 2 if self.presentation_order == "both" else 1))
        verdicts = {votes[0].candidate_first: _majority_verdict(votes) for votes in votes_by_order}
        errors = dict.fromkeys(state.error for votes in votes_by_order for state in votes if state.error)
        # a failed request is not a reply
        failed_as_tie = self.failed_as_tie and not errors
        if len(verdicts) == 2:
            outcome = combine_verdicts(verdicts[True].choice, verdicts[False].choice, failed_as_tie=failed_as_tie)
        else:
            ((candidate_first, verdict),) = verdicts.items()
            outcome = read_verdict(verdict.choice, candidate_first=candidate_first, failed_as_tie=failed_as_tie)
        is_unparsed = any(verdict.choice is None for verdict in verdicts.values())
        unparsed_note = UNPARSED_VERDICT if outcome == "failed" else UNPARSED_AS_TIE
        return Verdict(
            id=comparison_id,
            outcome=outcome,
            forward=verdicts.get(True),
            reversed=verdicts.get(False),
            note="; ".join(errors) or unparsed_note if is_unparsed else "",
            cost=sum((state.cost for votes in votes_by_order for state in votes), Cost()),
        )


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
