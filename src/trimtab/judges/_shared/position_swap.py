"""Combines a judge's verdicts in both presentation orders into one outcome."""

from __future__ import annotations

from trimtab.types import JudgeChoice, Outcome

_FORWARD_OUTCOMES: dict[JudgeChoice, Outcome] = {"first": "win", "second": "loss", "tie": "tie"}
_REVERSED_OUTCOMES: dict[JudgeChoice, Outcome] = {"first": "loss", "second": "win", "tie": "tie"}


def combine_verdicts(
    forward_choice: JudgeChoice | None, reversed_choice: JudgeChoice | None, *, failed_as_tie: bool = False
) -> Outcome:
    """The outcome for the response that is first in forward order and second in reversed order (Li et al. 2025, figure 4).

    Opposite verdicts, which name the same position twice, are a tie. If one verdict is a tie, the other decides. A verdict
    that could not be parsed makes the outcome failed; SEAM's released code treats it as a tie (`failed_as_tie`).
    """
    if failed_as_tie:
        forward_choice, reversed_choice = forward_choice or "tie", reversed_choice or "tie"
    if forward_choice is None or reversed_choice is None:
        return "failed"
    first, second = _FORWARD_OUTCOMES[forward_choice], _REVERSED_OUTCOMES[reversed_choice]
    if second in (first, "tie"):
        return first
    return second if first == "tie" else "tie"
