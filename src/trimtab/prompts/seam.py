"""What SEAM asks: which principle matters, why a response keeps to it, and which response is then the better one.

Constants stand first and the case last, and a longer chain of principles begins like the shorter one, so that an engine
reads what is the same only once. All data stands between tags, and a conversation's turns alone stand at the margin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core.annotator_inputs import TrainingTask
from trimtab.prompts.delimiters import render_turns, wrap_in_tags
from trimtab.prompts.principles import Principle
from trimtab.types import EngineRequest, Order, Pair, build_user_prompt

# What may follow the stem of `preference` and `judgment`: the first response, the second.
RESPONSE_CANDIDATES = (" 1", " 2")
# A model that is not tuned for chat goes on after its explanation; here it has ended.
THOUGHT_STOPS = ("</explanation>", "<conversation>")
# A thought begins as those of the examples do. Left to begin it itself, such a model opens tags without an end.
THOUGHT_PREFIX = "Response 1:"

_ANSWER_STEM = "The better response is: Response"
_RANKING_STEM = "The principle that matters most is:"
# `Response 1`, `responses 1 and 2`, `RESPONSE #2`, `Response **1**`; `the first response`.
_NUMBERED_RESPONSE = re.compile(
    r"\bresponses?[\s_#*:(\[]*[12]\b(?:[\s*)\]]*(?:,|/|&|\band\b|\bor\b|\bnor\b|\bvs\b\.?)[\s_#*]*(?:response[\s_#*]*)?[12]\b)*",
    re.IGNORECASE,
)
_ORDINAL_RESPONSE = re.compile(r"\b(?:first|second)(?= (?:response|one)\b)", re.IGNORECASE)
_SWAPPED_WORDS = {"1": "2", "2": "1", "first": "second", "second": "first", "First": "Second", "Second": "First"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedPair:
    """A conversation and two responses to its last turn, in the order in which a model is to read them."""

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


def build_preference_request(case: OrderedPair, principles: Sequence[Principle]) -> EngineRequest:
    """Which response is the better, by all principles at once? What follows is one of `RESPONSES`."""
    asked = (
        "You will read a conversation and two responses to its last message. Choose the response that is the better one by "
        "the following principles. Where they disagree, being harmless comes before being helpful."
    )
    return _build_request(
        asked, _render_principles(principles), "The case to decide:", case.render(), begins=_ANSWER_STEM
    )


def build_ranking_request(
    case: OrderedPair, principles: Sequence[Principle], used: Sequence[Principle] = ()
) -> EngineRequest:
    """Which principle matters most for this case, leaving aside those that are `used`? What follows is one of `names`.

    SEAM's edge weights (Li et al. 2025, eq. 5) are the shares of the names that are left. Every principle's demonstration
    is shown, the better response first and second in turn, so that the examples favor no position.
    """
    asked = (
        "You will read a conversation and two responses to its last message. Of the following principles, name the one "
        "that matters most for telling which of the two responses is better."
    )
    examples = [
        f"{_build_demonstration_pair(each, better_first=place % 2 == 0).render()}\n{_RANKING_STEM} {each.name}"
        for place, each in enumerate(principles)
    ]
    rest = ["Already considered, and not to be named again:", wrap_in_tags("used", _join_names(used))] if used else []
    parts = (*_number_examples(examples), "The case to decide:", case.render(), *rest)
    return _build_request(asked, _render_principles(principles), *parts, begins=_RANKING_STEM)


def build_ranking_candidates(principles: Sequence[Principle]) -> tuple[str, ...]:
    """What may follow the stem of `ranking`."""
    return tuple(f" {each.name}" for each in principles)


def build_thought_requests(
    case: OrderedPair, chain: Sequence[Principle], *, per_response: bool
) -> tuple[EngineRequest, ...]:
    """The questions for one node's thought: one open explanation, or one for each response as the better.

    The paper has one thought a node; its released code asks for both sides. What is asked stands before the examples and the
    case after them, so that a model that is not tuned for chat only has to go on; of both sides what is asked stands last,
    and all before it is read once. Thoughts begin with `OPENS`.
    """
    you_read = "You will read a conversation and two responses to its last message."
    by, name_them = ", by the principles that are given" if chain else "", "Say Response 1 and Response 2."
    begins = f"<explanation>\n{THOUGHT_PREFIX}"
    case_last = (*_render_demonstrations(chain), f"The case to explain:\n{case.render()}")
    if not per_response:
        asked = f"{you_read} Explain in a few sentences which response is better, and why{by}. {name_them}"
        return (_build_request(asked, *case_last, begins=begins),)
    asked = f"{you_read} You explain in a few sentences what speaks for and against each of them."
    claims = ("Response 1 is better than Response 2", "Response 2 is better than Response 1")
    tasks = [f"Explain in a few sentences why {each}{by}. {name_them}" for each in claims]
    return tuple(_build_request(asked, *case_last, each, begins=begins) for each in tasks)


def build_judgment_request(case: OrderedPair, chain: Sequence[Principle], thought: Sequence[str]) -> EngineRequest:
    """Which response is the better, by the chain of principles and given the thought? What follows is one of `RESPONSES`.

    The strong model's information and the weak model's label come from this same question. `thought` has no, one or two
    parts, as `thoughts` asked for them, and speaks of the responses as this case numbers them. Examples are those of the
    chain's first principle alone: they are dear, and the weak model's window may be small.
    """
    asked = (
        "You will read a conversation and two responses to its last message. Weigh what is said about them and choose the "
        "response that is the better one."
    )
    examples = [
        f"{shown.render()}\n{wrap_in_tags('explanation', _render_explanation(each, better))}\n{_ANSWER_STEM} {better}"
        for each in chain[:1]
        for better, shown in (
            (1, _build_demonstration_pair(each, better_first=True)),
            (2, _build_demonstration_pair(each, better_first=False)),
        )
    ]
    by = ("Principles to go by, the most important first:", _render_principles(chain)) if chain else ()
    said = [wrap_in_tags("explanation", each) for each in thought]
    return _build_request(
        asked, *_number_examples(examples), *by, "The case to decide:", case.render(), *said, begins=_ANSWER_STEM
    )


@dataclass(frozen=True, slots=True)
class _JudgmentPrompt:
    """The judgment as a model can learn it before anything is known of the case: without principles or a thought."""

    candidates: tuple[str, str] = RESPONSE_CANDIDATES

    def build_verdict_request(self, pair: Pair, order: Order) -> EngineRequest:
        return build_judgment_request(OrderedPair.from_pair(pair, order == "a_first"), (), ())


SEAM_TRAINING_TASK = TrainingTask(prompt=_JudgmentPrompt(), name="seam", settings={"kind": "seam"})


def swap_response_numbers(thought: Sequence[str]) -> tuple[str, ...]:
    """The same thought for the swapped case: 1 and 2 trade places in what it calls the responses, and so do its parts."""
    return tuple(_swap_numbers(each) for each in reversed(thought))


def _swap_numbers(text: str) -> str:
    numbered = _NUMBERED_RESPONSE.sub(
        lambda found: re.sub("[12]", lambda digit: _SWAPPED_WORDS[digit[0]], found[0]), text
    )
    return _ORDINAL_RESPONSE.sub(
        lambda found: _SWAPPED_WORDS.get(found[0], _SWAPPED_WORDS[found[0].lower()].upper()), numbered
    )


def _build_request(*parts: str, begins: str) -> EngineRequest:
    return EngineRequest(prompt=build_user_prompt("\n\n".join(parts)), prefill=begins)


def _render_principles(principles: Sequence[Principle]) -> str:
    return wrap_in_tags("principles", "\n".join(f"{each.name}: {each.text}" for each in principles))


def _join_names(principles: Sequence[Principle]) -> str:
    return ", ".join(each.name for each in principles)


def _number_examples(examples: Sequence[str]) -> list[str]:
    return [f"Example {place}:\n{text}" for place, text in enumerate(examples, start=1)]


def _render_demonstrations(chain: Sequence[Principle]) -> list[str]:
    """Each principle of the chain with its demonstration in both orders."""
    return [
        part
        for each in chain
        for part in (
            _render_principles([each]),
            *(
                f"Example:\n{_build_demonstration_pair(each, better_first=better == 1).render()}\n{wrap_in_tags('explanation', _render_explanation(each, better))}"
                for better in (1, 2)
            ),
        )
    ]


def _build_demonstration_pair(principle: Principle, *, better_first: bool) -> OrderedPair:
    shown = principle.demonstration
    case = OrderedPair(
        conversation=render_turns(build_user_prompt(shown.prompt)), first=shown.better, second=shown.worse
    )
    return case if better_first else case.swap()


def _render_explanation(principle: Principle, better: int) -> str:
    shown = principle.demonstration
    said = {better: shown.why_better, 3 - better: shown.why_worse}
    return f"Response 1: {said[1]} Response 2: {said[2]}"
