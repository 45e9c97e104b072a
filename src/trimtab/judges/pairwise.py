"""A language model judges which of two answers is better, always in both orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

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

UNPARSED_VERDICT = "no verdict could be read"
IDENTICAL_RESPONSES = "the answers are the same text: nothing was asked"


class Pairwise(Component):
    """Asks a model which of two answers is better, once in each order.

    Opposite verdicts in the two orders are a tie, beside one tie the other verdict decides, and what cannot be read is failed
    (`evaluation._agreed`). In mode `logits` the verdict is the likeliest of the candidates, read in one forward pass; in mode
    `text` it is parsed from what the model writes. With `answer: scores` the answer with the higher score of 1 to 10 is the
    better, and in mode `logits` a score is the expected one. With `votes` each order is asked so often, and most count.
    """

    VERSION: ClassVar[int] = 2

    engine: Annotated[Component, ENGINE_FIELD]
    mode: Literal["logits", "text"] = "logits"
    output_format: JudgeOutputFormat = "choice"
    allow_ties: bool = Field(False, description="whether it may say that neither is better; with scores equal ones tie")
    criterion: str = Field(DEFAULT_CRITERION, min_length=1, description="which answer is the better one")
    explanation_tokens: int = Field(0, ge=0, description="of reasoning before the verdict; 0: none")
    answer_tokens: int = Field(24, gt=0, description="of the verdict in mode text")
    temperature: float = Field(0.0, ge=0.0, description="of what is written; 0: greedy")
    votes: int = Field(1, ge=1, description="how often each order is asked, each time with a seed of its own")
    seed: int = 0

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        if self.allow_ties and self.output_format == "scores":
            raise ValueError("ties: with answer: scores equal scores are a tie already")
        if self.mode == "logits" and self.answer_tokens != type(self).model_fields["answer_tokens"].default:
            raise ValueError("answer_tokens: mode logits writes no verdict; choose mode: text")
        if self.temperature and self.mode == "logits" and not self.explanation_tokens:
            raise ValueError("temperature: nothing is written in mode logits without explanation_tokens")
        if self.votes > 1 and not self.temperature:
            raise ValueError(f"votes: at temperature 0 all {self.votes} votes are the same; give a temperature")
        return self

    def engines(self) -> Mapping[str, Component]:
        return {"judge": self.engine}

    def judge(self, contests: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        differing = [each for each in contests if each.candidate != each.baseline]
        rounds = [self._query_both_orders(engines["judge"], differing, self.seed + vote) for vote in range(self.votes)]
        said = zip(*rounds, strict=True)
        return [
            Verdict(id=each.id, outcome="tie", note=IDENTICAL_RESPONSES)
            if each.candidate == each.baseline
            else _build_verdict(each.id, said)
            for each in contests
        ]

    def _query_both_orders(self, engine: Engine, contests: Sequence[Comparison], seed: int) -> list[OrderedComparison]:
        question, cases = self._build_prompt(), build_ordered_comparisons(contests)
        if not cases:
            return []
        if self.explanation_tokens:
            cases = generate_explanations(
                engine, question, cases, self._generation_settings(self.explanation_tokens, seed)
            )
        if self.mode == "logits":
            return score_verdict_choices(engine, question, cases)
        return generate_verdicts(engine, question, cases, self._generation_settings(self.answer_tokens, seed))

    def _build_prompt(self) -> JudgePrompt:
        return build_judge_prompt(
            criterion=self.criterion,
            output_format=self.output_format,
            allow_ties=self.allow_ties,
            with_reasoning=self.explanation_tokens > 0,
        )

    def _generation_settings(self, max_tokens: int, seed: int) -> GenerationSettings:
        return GenerationSettings(max_new_tokens=max_tokens, temperature=self.temperature, seed=seed)


def _build_verdict(key: str, said: Iterator[tuple[OrderedComparison, ...]]) -> Verdict:
    """What the next two cases come to, each of them asked as often as there are votes."""
    there, back = next(said), next(said)
    read = _majority_verdict(there), _majority_verdict(back)
    outcome = combine_verdicts(*(each.choice for each in read))
    failures = dict.fromkeys(case.error for case in (*there, *back) if case.error)
    note = "; ".join(failures) or UNPARSED_VERDICT if outcome == "failed" else ""
    cost = sum((case.cost for case in (*there, *back)), Cost())
    return Verdict(id=key, outcome=outcome, forward=read[0], reversed=read[1], note=note, cost=cost)


def _majority_verdict(cases: Sequence[OrderedComparison]) -> SingleVerdict:
    """One reading of the votes on one order: what most of them name. Votes that cannot be read do not count, unless they are
    more than half; two that lead alike are a tie."""
    readings = [case.verdict or SingleVerdict(choice=None, text=case.reasoning) for case in cases]
    if len(readings) == 1:
        return readings[0]
    votes = tuple(each.choice for each in readings)
    text = "\n\n".join(each.text for each in readings if each.choice is None and each.text)
    return SingleVerdict(choice=_plurality_choice(votes), text=text, votes=votes)


def _plurality_choice(votes: Sequence[JudgeChoice | None]) -> JudgeChoice | None:
    known = [vote for vote in votes if vote is not None]
    if 2 * len(known) < len(votes):
        return None
    counts = Counter(known).most_common()
    return "tie" if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]
