"""What two verdicts on the same two answers, asked for in both orders, come to."""

from __future__ import annotations

from trimtab.types import JudgeChoice, Outcome

_FORWARD_OUTCOMES: dict[JudgeChoice, Outcome] = {"first": "win", "second": "loss", "tie": "tie"}
_REVERSED_OUTCOMES: dict[JudgeChoice, Outcome] = {"first": "loss", "second": "win", "tie": "tie"}


def combine_verdicts(
    forward_choice: JudgeChoice | None, reversed_choice: JudgeChoice | None, *, failed_as_tie: bool = False
) -> Outcome:
    """The outcome for the answer that stood first when asked `there`, and second when asked `back` (Li et al. 2025, figure 4).

    Opposite verdicts, which is the same place named twice, are a tie; beside one tie the other verdict decides. What could
    not be read is a failure; SEAM's released code takes it for a tie (`failed_as_tie`).
    """
    if failed_as_tie:
        forward_choice, reversed_choice = forward_choice or "tie", reversed_choice or "tie"
    if forward_choice is None or reversed_choice is None:
        return "failed"
    first, second = _FORWARD_OUTCOMES[forward_choice], _REVERSED_OUTCOMES[reversed_choice]
    if second in (first, "tie"):
        return first
    return second if first == "tie" else "tie"
