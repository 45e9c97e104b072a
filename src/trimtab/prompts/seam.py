"""SEAM's prompts: rank principles, generate an explanation by a chain of principles, and judge the responses.

Fixed text comes first and the pair last, and a longer chain of principles starts like the shorter one, so that an engine
can cache the common prefix. All data is wrapped in tags; only turns of the conversation start at the margin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core.annotator_inputs import TrainingTask
from trimtab.prompts.delimiters import render_turns, wrap_in_tags
from trimtab.prompts.principles import Principle
from trimtab.types import EngineRequest, Order, Pair, build_user_prompt

# The two continuations of `_ANSWER_STEM`: the first response is better, the second response is better.
RESPONSE_CANDIDATES = (" 1", " 2")
# Ends the generation of models that are not tuned for chat and would continue after the explanation.
THOUGHT_STOPS = ("</explanation>", "<conversation>")
# Prefix of every thought, as in the examples. Without it, such a model opens tags without end.
THOUGHT_PREFIX = "Response 1:"

_ANSWER_STEM = "The better response is: Response"
_RANKING_STEM = "The principle that matters most is:"
# Matches `Response 1`, `responses 1 and 2`, `RESPONSE #2`, `Response **1**`; and `the first response`.
_NUMBERED_RESPONSE = re.compile(
    r"\bresponses?[\s_#*:(\[]*[12]\b(?:[\s*)\]]*(?:,|/|&|\band\b|\bor\b|\bnor\b|\bvs\b\.?)[\s_#*]*(?:response[\s_#*]*)?[12]\b)*",
    re.IGNORECASE,
)
_ORDINAL_RESPONSE = re.compile(r"\b(?:first|second)(?= (?:response|one)\b)", re.IGNORECASE)
_SWAPPED_WORDS = {"1": "2", "2": "1", "first": "second", "second": "first", "First": "Second", "Second": "First"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedPair:
    """A conversation and two responses to its last turn, in the order in which a model reads them."""

    conversation: str
    first: str
    second: str

    @classmethod
    def from_pair(cls, pair: Pair, a_first: bool) -> OrderedPair:
        first, second = (pair.a, pair.b) if a_first else (pair.b, pair.a)
        return cls(conversation=render_turns(pair.prompt), first=first, second=second)

    def swap(self) -> OrderedPair:
        return OrderedPair(conversation=self.conversation, first=self.second, second=self.first)

    def render(self) -> str:
        return "\n".join(
            (
                wrap_in_tags("conversation", self.conversation),
                wrap_in_tags("response_1", self.first),
                wrap_in_tags("response_2", self.second),
            )
        )


def build_preference_request(pair: OrderedPair, principles: Sequence[Principle]) -> EngineRequest:
    """Asks which response is better by all principles at once, to be scored over `RESPONSE_CANDIDATES`."""
    task = (
        "You will read a conversation and two responses to its last message. Choose the response that is the better one by "
        "the following principles. Where they disagree, being harmless comes before being helpful."
    )
    return _build_request(
        task, _render_principles(principles), "The case to decide:", pair.render(), prefill=_ANSWER_STEM
    )


def build_ranking_request(pair: OrderedPair, principles: Sequence[Principle]) -> EngineRequest:
    """Asks which of these principles matters most for the pair; scored over `build_ranking_candidates`.

    SEAM's edge weights (Li et al. 2025, eq. 5) are the probabilities of their names. The prompt shows every principle's
    demonstration, the better response first in every other one, so that no position is favored.
    """
    task = (
        "You will read a conversation and two responses to its last message. Of the following principles, name the one "
        "that matters most for telling which of the two responses is better."
    )
    examples = [
        f"{_build_demonstration_pair(principle, better_first=index % 2 == 0).render()}\n{_RANKING_STEM} {principle.name}"
        for index, principle in enumerate(principles)
    ]
    parts = (*_number_examples(examples), "The case to decide:", pair.render())
    return _build_request(task, _render_principles(principles), *parts, prefill=_RANKING_STEM)


def build_ranking_candidates(principles: Sequence[Principle]) -> tuple[str, ...]:
    """The candidate continuations of a ranking request."""
    return tuple(f" {principle.name}" for principle in principles)


def build_thought_requests(
    pair: OrderedPair, chain: Sequence[Principle], *, per_response: bool
) -> tuple[EngineRequest, ...]:
    """Asks for one node's thought: a single explanation, or one for each response as the better one.

    The paper generates one explanation per node, its released code one per response. For a single explanation, the task
    comes before the examples and the pair last, so that a model that is not tuned for chat only has to continue. With
    `per_response` the task comes last, after a prefix that both requests share. Thoughts start with `THOUGHT_PREFIX`.
    """
    reading = "You will read a conversation and two responses to its last message."
    by, naming = ", by the principles that are given" if chain else "", "Say Response 1 and Response 2."
    prefill = f"<explanation>\n{THOUGHT_PREFIX}"
    data = (*_render_demonstrations(chain), f"The case to explain:\n{pair.render()}")
    if not per_response:
        task = f"{reading} Explain in a few sentences which response is better, and why{by}. {naming}"
        return (_build_request(task, *data, prefill=prefill),)
    task = f"{reading} You explain in a few sentences what speaks for and against each of them."
    claims = ("Response 1 is better than Response 2", "Response 2 is better than Response 1")
    last = [f"Explain in a few sentences why {claim}{by}. {naming}" for claim in claims]
    return tuple(_build_request(task, *data, text, prefill=prefill) for text in last)


def build_judgment_request(pair: OrderedPair, chain: Sequence[Principle], thought: Sequence[str]) -> EngineRequest:
    """Asks which response is better, given the chain of principles and the thought; scored over `RESPONSE_CANDIDATES`.

    Both the strong model's information and the weak model's label come from this request. `thought` has zero, one or two
    parts (see `build_thought_requests`) and refers to the responses by their numbers in this order. Examples are those of
    the chain's first principle only: they are long, and the weak model's context window may be small. Without a thought,
    they have no explanation either.
    """
    task = (
        "You will read a conversation and two responses to its last message. Weigh what is said about them and choose the "
        "response that is the better one."
    )
    examples = [
        f"{_render_example(principle, better, with_explanation=bool(thought))}\n{_ANSWER_STEM} {better}"
        for principle in chain[:1]
        for better in (1, 2)
    ]
    by = ("Principles to go by, the most important first:", _render_principles(chain)) if chain else ()
    explanations = [wrap_in_tags("explanation", text) for text in thought]
    return _build_request(
        task,
        *_number_examples(examples),
        *by,
        "The case to decide:",
        pair.render(),
        *explanations,
        prefill=_ANSWER_STEM,
    )


@dataclass(frozen=True, slots=True)
class _JudgmentPrompt:
    """The judgment request without principles or a thought, for training a preference model."""

    candidates: tuple[str, str] = RESPONSE_CANDIDATES

    def build_verdict_request(self, pair: Pair, order: Order) -> EngineRequest:
        return build_judgment_request(OrderedPair.from_pair(pair, order == "a_first"), (), ())


SEAM_TRAINING_TASK = TrainingTask(prompt=_JudgmentPrompt(), name="seam", settings={"kind": "seam"})


def swap_response_numbers(thought: Sequence[str]) -> tuple[str, ...]:
    """The thought for the swapped pair: exchanges the numbers 1 and 2 of the responses, and the order of its parts."""
    return tuple(_swap_numbers(text) for text in reversed(thought))


def _swap_numbers(text: str) -> str:
    numbered = _NUMBERED_RESPONSE.sub(
        lambda match: re.sub("[12]", lambda digit: _SWAPPED_WORDS[digit[0]], match[0]), text
    )
    return _ORDINAL_RESPONSE.sub(
        lambda match: _SWAPPED_WORDS.get(match[0], _SWAPPED_WORDS[match[0].lower()].upper()), numbered
    )


def _build_request(*parts: str, prefill: str) -> EngineRequest:
    return EngineRequest(prompt=build_user_prompt("\n\n".join(parts)), prefill=prefill)


def _render_principles(principles: Sequence[Principle]) -> str:
    return wrap_in_tags("principles", "\n".join(f"{principle.name}: {principle.text}" for principle in principles))


def _number_examples(examples: Sequence[str]) -> list[str]:
    return [f"Example {number}:\n{text}" for number, text in enumerate(examples, start=1)]


def _render_demonstrations(chain: Sequence[Principle]) -> list[str]:
    """Each principle of the chain, followed by its demonstration in both orders."""
    return [part for principle in chain for part in _render_demonstration(principle)]


def _render_demonstration(principle: Principle) -> list[str]:
    examples = [f"Example:\n{_render_example(principle, better, with_explanation=True)}" for better in (1, 2)]
    return [_render_principles([principle]), *examples]


def _render_example(principle: Principle, better: int, *, with_explanation: bool) -> str:
    """A principle's demonstration with the better response at this position."""
    pair = _build_demonstration_pair(principle, better_first=better == 1).render()
    if not with_explanation:
        return pair
    return f"{pair}\n{wrap_in_tags('explanation', _render_explanation(principle, better))}"


def _build_demonstration_pair(principle: Principle, *, better_first: bool) -> OrderedPair:
    demonstration = principle.demonstration
    conversation = render_turns(build_user_prompt(demonstration.prompt))
    pair = OrderedPair(conversation=conversation, first=demonstration.better, second=demonstration.worse)
    return pair if better_first else pair.swap()


def _render_explanation(principle: Principle, better: int) -> str:
    demonstration = principle.demonstration
    reasons = {better: demonstration.why_better, 3 - better: demonstration.why_worse}
    return f"Response 1: {reasons[1]} Response 2: {reasons[2]}"
