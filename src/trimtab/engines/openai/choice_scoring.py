"""Shares of candidates from what a server tells: whole echoed candidates, likeliest first tokens, counted draws. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.engines.openai.responses import TokenLogprob
from trimtab.types import ChoiceScores, Cost, Generation

# How tokenizers spell a space in front of a word, where a server shows tokens raw.
SPACE_MARKERS = " \t\r\n▁Ġ"
# Candidates that begin alike are told apart by their first token where less than this share of it fits several.
MAX_AMBIGUOUS_MASS = 0.01
# Candidates that are not among the likeliest tokens may take this share at their bound; more would be a guess.
MAX_UNLISTED_MASS = 0.05


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """A way of weighing that cannot tell, and why: another may. `never`: the server does not go it for any question."""

    reason: str
    cost: Cost = field(default_factory=Cost)
    unsupported: bool = False


def split_common_words(among: Sequence[str]) -> tuple[str, list[str]]:
    """The whole words that all candidates begin with, and what is left of each: `Response ` and `1`, `2`."""
    first, last = min(among), max(among)
    same = next((place for place, (x, y) in enumerate(zip(first, last, strict=False)) if x != y), len(first))
    shared = first[: first.rfind(" ", 0, same) + 1]
    rest = [each[len(shared) :] for each in among]
    if not shared.strip() or not all(each.strip() for each in rest):
        return "", list(among)
    return shared, rest


def score_by_first_token(
    among: Sequence[str], first: TokenLogprob, *, first_token: bool, ended: bool
) -> ChoiceScores | Inconclusive:
    """A candidate has the probability of the longest of the likeliest tokens that begins it and no other.

    Spellings that differ in leading space alone are added up. A candidate that none of the likeliest tokens begins is
    less likely than each of these and than what they leave over: its share is taken at that bound, if it is small, and no
    log-probabilities are given. They are also left out where a token begins a longer candidate and first tokens are not
    what was asked for.
    """
    names = [each.lstrip(SPACE_MARKERS) for each in among]
    pieces = _token_probabilities(first)
    fits = {piece: [place for place, name in enumerate(names) if name.startswith(piece)] for piece in pieces}
    own = [
        max((piece for piece in pieces if fits[piece] == [place]), key=len, default=None) for place in range(len(names))
    ]
    known = [pieces[piece] for piece in own if piece is not None]
    several = sum(pieces[piece] for piece in pieces if len(fits[piece]) > 1)
    if several > MAX_AMBIGUOUS_MASS * (several + sum(known)):
        return Inconclusive("first tokens do not tell the candidates apart")
    if not sum(known) > 0:
        seen = ", ".join(repr(token) for token, _ in first.top_logprobs[:3])
        return Inconclusive(
            f"no candidate begins with one of the {len(first.top_logprobs)} likeliest tokens ({seen}, …)"
        )
    bound = max(0.0, min(*pieces.values(), 1 - sum(pieces.values())))
    masses = [bound if piece is None else pieces[piece] for piece in own]
    missing = [repr(among[place]) for place, piece in enumerate(own) if piece is None]
    if bound * len(missing) > MAX_UNLISTED_MASS * sum(masses):
        return Inconclusive(
            f"not among the {len(first.top_logprobs)} likeliest tokens, and perhaps not much rarer: {', '.join(missing)}"
        )
    whole = first_token or (own == names and not ended)
    told = whole and not missing
    note = "by the first token" + ("" if whole else ", which stands for the whole candidate")
    return ChoiceScores(
        probabilities=_normalize(masses),
        logprobs=tuple(map(_log_or_neg_inf, masses)) if told else None,
        tokens=(1,) * len(masses) if told else None,
        note=note + (f"; not among the likeliest: {', '.join(missing)}" if missing else ""),
    )


def _token_probabilities(first: TokenLogprob) -> dict[str, float]:
    """The likeliest tokens without leading space, with the probability of all their spellings."""
    found: dict[str, float] = {}
    for token, logprob in first.top_logprobs:
        piece = token.lstrip(SPACE_MARKERS)
        found[piece] = found.get(piece, 0.0) + math.exp(logprob)
    return found


def score_by_echo(among: Sequence[str], echoed: Sequence[Sequence[TokenLogprob]]) -> ChoiceScores | Inconclusive:
    """Summed log-probabilities of the candidates at the end of the echoed prompts, which are the same before them.

    Where a token reaches from the prompt into a candidate, all are summed from where the first such token begins, so
    that the shares are still those of the texts.
    """
    starts = [_candidate_start(each, tokens) for each, tokens in zip(among, echoed, strict=True)]
    if None in starts:
        return Inconclusive("the echoed tokens do not spell the candidates")
    start = min(place for place in starts if place is not None)
    if len({tuple(each.token for each in tokens[:start]) for tokens in echoed}) > 1:
        return Inconclusive("the server cuts the same prompt into different tokens")
    read = [[each.logprob for each in tokens[start:]] for tokens in echoed]
    if any(logprob is None for each in read for logprob in each):
        return Inconclusive("the server echoes the prompt without its log-probabilities")
    sums = [sum(logprob for logprob in each if logprob is not None) for each in read]
    top = max(sums)
    return ChoiceScores(
        probabilities=_normalize([math.exp(each - top) for each in sums]),
        logprobs=tuple(sums),
        tokens=tuple(map(len, read)),
        note="by whole candidates, echoed",
    )


def _candidate_start(candidate: str, tokens: Sequence[TokenLogprob]) -> int | None:
    """The place of the token in which the candidate begins; None where the tokens do not end in it."""
    tail = ""
    for place in range(len(tokens) - 1, -1, -1):
        tail = tokens[place].token + tail
        if len(tail) >= len(candidate):
            return place if tail.endswith(candidate) else None
    return None


def score_by_samples(among: Sequence[str], drawn: Sequence[Generation], *, ended: bool) -> ChoiceScores | Inconclusive:
    """The share of the draws that begin with each candidate, or that are one, where `ended`; others are not counted."""
    came = [reply for reply in drawn if reply.status == "ok"]
    cost = sum((reply.cost for reply in drawn), Cost())
    if not came:
        return ChoiceScores(probabilities=(), status="failed", note=f"no draw came: {drawn[0].note}", cost=cost)
    places = [_matching_candidate(among, reply, ended) for reply in came]
    counts = [places.count(place) for place in range(len(among))]
    if not sum(counts):
        return Inconclusive(f"none of {len(came)} draws is a candidate ({came[0].text[:40]!r}, …)", cost)
    note = f"by {sum(counts)} draws of {len(drawn)}"
    return ChoiceScores(probabilities=_normalize(counts), samples=sum(counts), note=note, cost=cost)


def _matching_candidate(among: Sequence[str], reply: Generation, ended: bool) -> int | None:
    """The place of the longest candidate that the draw begins with and that no letter or digit goes on from."""
    text = reply.text.strip()
    fitting = [
        place
        for place, each in enumerate(among)
        if _matches(text, each.strip(), reply.finish_reason == "end" and ended, ended)
    ]
    return max(fitting, key=lambda place: len(among[place].strip()), default=None)


def _matches(text: str, candidate: str, over: bool, ended: bool) -> bool:
    if ended:
        return over and text == candidate
    goes_on = text[len(candidate) : len(candidate) + 1].isalnum() and candidate[-1:].isalnum()
    return text.startswith(candidate) and not goes_on


def _normalize(masses: Sequence[float]) -> tuple[float, ...]:
    total = sum(masses)
    return tuple(mass / total for mass in masses)


def _log_or_neg_inf(mass: float) -> float:
    return math.log(mass) if mass else -math.inf
