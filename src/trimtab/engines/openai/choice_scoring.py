"""Candidate probabilities from server responses: echoed candidates, top first tokens, or counted samples. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.engines.openai.responses import TokenLogprob
from trimtab.types import ChoiceScores, Cost, Generation

# How tokenizers represent a leading space, on servers that return raw tokens.
SPACE_MARKERS = " \t\r\n▁Ġ"
# First tokens distinguish the candidates only if less than this fraction of their probability fits several of them.
MAX_AMBIGUOUS_MASS = 0.01
# Largest total probability of candidates outside the top tokens, taken at their upper bound. More would be a guess.
MAX_UNLISTED_MASS = 0.05


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """A scoring strategy gave no result; another may. `unsupported`: the server supports it for no request."""

    reason: str
    cost: Cost = field(default_factory=Cost)
    unsupported: bool = False


@dataclass(frozen=True, slots=True)
class StrategyRecord:
    """The scoring strategies that the server does not support, each with the reason, and those that have succeeded.

    Unsupported strategies are not tried again. A strategy that has succeeded before is not given up after one rejection.
    """

    unsupported: dict[str, str] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)

    def record(self, name: str, result: ChoiceScores | Inconclusive) -> None:
        if isinstance(result, Inconclusive) and result.unsupported and name not in self.succeeded:
            self.unsupported[name] = result.reason
        elif isinstance(result, ChoiceScores) and result.status == "ok":
            self.succeeded.add(name)


def split_common_words(candidates: Sequence[str]) -> tuple[str, list[str]]:
    """The whole words that all candidates start with, and the rest of each: `Response ` and `1`, `2`."""
    first, last = min(candidates), max(candidates)
    length = next((index for index, (x, y) in enumerate(zip(first, last, strict=False)) if x != y), len(first))
    common = first[: first.rfind(" ", 0, length) + 1]
    rest = [candidate[len(common) :] for candidate in candidates]
    if not common.strip() or not all(suffix.strip() for suffix in rest):
        return "", list(candidates)
    return common, rest


def score_by_first_token(
    candidates: Sequence[str], first: TokenLogprob, *, first_token_only: bool, include_end_of_turn: bool
) -> ChoiceScores | Inconclusive:
    """Gives each candidate the probability of the longest top token that starts it and no other candidate.

    Tokens that differ only in leading spaces are added up. A candidate that no top token starts is less likely than each
    top token and than the probability that they leave over: it gets that upper bound, if the bound is small, and
    log-probabilities are omitted. They are also omitted if a token is shorter than its candidate, unless
    `first_token_only` is set.
    """
    names = [candidate.lstrip(SPACE_MARKERS) for candidate in candidates]
    probabilities = _token_probabilities(first)
    matches = {token: [index for index, name in enumerate(names) if name.startswith(token)] for token in probabilities}
    tokens = [
        max((token for token in probabilities if matches[token] == [index]), key=len, default=None)
        for index in range(len(names))
    ]
    listed = sum(probabilities[token] for token in tokens if token is not None)
    ambiguous = sum(probabilities[token] for token in probabilities if len(matches[token]) > 1)
    if ambiguous > MAX_AMBIGUOUS_MASS * (ambiguous + listed):
        return Inconclusive("first tokens do not distinguish the candidates")
    if not listed > 0:
        examples = ", ".join(repr(token) for token, _ in first.top_logprobs[:3])
        return Inconclusive(f"no candidate starts with one of the top {len(first.top_logprobs)} tokens ({examples}, …)")
    bound = max(0.0, min(*probabilities.values(), 1 - sum(probabilities.values())))
    masses = [bound if token is None else probabilities[token] for token in tokens]
    unlisted = [repr(candidates[index]) for index, token in enumerate(tokens) if token is None]
    if bound * len(unlisted) > MAX_UNLISTED_MASS * sum(masses):
        return Inconclusive(
            f"not among the top {len(first.top_logprobs)} tokens, but possibly likely: {', '.join(unlisted)}"
        )
    is_whole = first_token_only or (tokens == names and not include_end_of_turn)
    has_logprobs = is_whole and not unlisted
    note = "scored by first token" + ("" if is_whole else " in place of the whole candidate")
    return ChoiceScores(
        probabilities=_normalize(masses),
        logprobs=tuple(map(_log_or_neg_inf, masses)) if has_logprobs else None,
        tokens=(1,) * len(masses) if has_logprobs else None,
        note=note + (f"; not among the top tokens: {', '.join(unlisted)}" if unlisted else ""),
    )


def _token_probabilities(first: TokenLogprob) -> dict[str, float]:
    """The top tokens without leading spaces, with the total probability of each."""
    probabilities: dict[str, float] = {}
    for token, logprob in first.top_logprobs:
        stripped = token.lstrip(SPACE_MARKERS)
        probabilities[stripped] = probabilities.get(stripped, 0.0) + math.exp(logprob)
    return probabilities


def score_by_echo(candidates: Sequence[str], echoed: Sequence[Sequence[TokenLogprob]]) -> ChoiceScores | Inconclusive:
    """Sums the log-probabilities of the candidates at the end of their echoed prompts, which are otherwise identical.

    If a token spans the boundary between prompt and candidate, all sums start at the first such token, so that the
    probabilities are still those of the texts.
    """
    starts = [_candidate_start(candidate, tokens) for candidate, tokens in zip(candidates, echoed, strict=True)]
    if None in starts:
        return Inconclusive("the echoed tokens do not spell the candidates")
    start = min(index for index in starts if index is not None)
    if len({tuple(token.token for token in tokens[:start]) for tokens in echoed}) > 1:
        return Inconclusive("the server tokenizes the same prompt in different ways")
    logprobs = [[token.logprob for token in tokens[start:]] for tokens in echoed]
    if any(logprob is None for candidate_logprobs in logprobs for logprob in candidate_logprobs):
        return Inconclusive("the server echoes the prompt without its log-probabilities")
    sums = [sum(logprob for logprob in candidate_logprobs if logprob is not None) for candidate_logprobs in logprobs]
    largest = max(sums)
    if largest == -math.inf:
        return Inconclusive("the server gives every candidate a probability of 0")
    return ChoiceScores(
        probabilities=_normalize([math.exp(total - largest) for total in sums]),
        logprobs=tuple(sums),
        tokens=tuple(map(len, logprobs)),
        note="scored by echo of whole candidates",
    )


def _candidate_start(candidate: str, tokens: Sequence[TokenLogprob]) -> int | None:
    """The index of the token in which the candidate starts; None if the tokens do not end with the candidate."""
    tail = ""
    for index in range(len(tokens) - 1, -1, -1):
        tail = tokens[index].token + tail
        if len(tail) >= len(candidate):
            return index if tail.endswith(candidate) else None
    return None


def score_by_samples(
    candidates: Sequence[str], samples: Sequence[Generation], *, include_end_of_turn: bool
) -> ChoiceScores | Inconclusive:
    """The fraction of samples that start with each candidate or, with `include_end_of_turn`, that equal it.

    Samples that match no candidate are not counted.
    """
    successful = [sample for sample in samples if sample.status == "ok"]
    cost = sum((sample.cost for sample in samples), Cost())
    if not successful:
        note = f"all samples failed: {samples[0].note}"
        return ChoiceScores(probabilities=(), status="failed", note=note, cost=cost)
    matches = [_matching_candidate(candidates, sample, include_end_of_turn) for sample in successful]
    counts = [matches.count(index) for index in range(len(candidates))]
    if not sum(counts):
        return Inconclusive(
            f"none of {len(successful)} samples matches a candidate ({successful[0].text[:40]!r}, …)", cost
        )
    note = f"scored by {sum(counts)} of {len(samples)} samples"
    return ChoiceScores(probabilities=_normalize(counts), samples=sum(counts), note=note, cost=cost)


def _matching_candidate(candidates: Sequence[str], sample: Generation, include_end_of_turn: bool) -> int | None:
    """The index of the longest candidate that the sample starts with, unless another letter or digit follows it."""
    text, finished = sample.text.strip(), sample.finish_reason == "end"
    matching = [
        index
        for index, candidate in enumerate(candidates)
        if (finished and text == candidate.strip() if include_end_of_turn else _starts_with(text, candidate.strip()))
    ]
    return max(matching, key=lambda index: len(candidates[index].strip()), default=None)


def _starts_with(text: str, candidate: str) -> bool:
    continues = text[len(candidate) : len(candidate) + 1].isalnum() and candidate[-1:].isalnum()
    return text.startswith(candidate) and not continues


def _normalize(masses: Sequence[float]) -> tuple[float, ...]:
    total = sum(masses)
    return tuple(mass / total for mass in masses)


def _log_or_neg_inf(mass: float) -> float:
    return math.log(mass) if mass else -math.inf
