"""From a judge's verdicts in one or both presentation orders to one outcome."""

from __future__ import annotations

from trimtab.types import JudgeChoice, Outcome, Verdict

IDENTICAL_RESPONSES = "the responses are identical: the judge was not queried"

_FORWARD_OUTCOMES: dict[JudgeChoice, Outcome] = {"first": "win", "second": "loss", "tie": "tie"}
_REVERSED_OUTCOMES: dict[JudgeChoice, Outcome] = {"first": "loss", "second": "win", "tie": "tie"}


def combine_verdicts(
    forward_choice: JudgeChoice | None, reversed_choice: JudgeChoice | None, *, failed_as_tie: bool = False
) -> Outcome:
    """The outcome for the response that is first in forward order and second in reversed order.

    The rule is that of SEAM's released code for figure 4 (Li et al. 2025); the paper does not state one. Opposite verdicts,
    which name the same position twice, are a tie. If one verdict is a tie, the other decides. A verdict that could not be
    parsed makes the outcome failed; that code treats it as a tie (`failed_as_tie`).
    """
    first = read_verdict(forward_choice, candidate_first=True, failed_as_tie=failed_as_tie)
    second = read_verdict(reversed_choice, candidate_first=False, failed_as_tie=failed_as_tie)
    if "failed" in (first, second):
        return "failed"
    if second in (first, "tie"):
        return first
    return second if first == "tie" else "tie"


def build_identical_verdict(comparison_id: str) -> Verdict:
    """A tie, for responses that are the same text."""
    return Verdict(id=comparison_id, outcome="tie", note=IDENTICAL_RESPONSES)


def read_verdict(choice: JudgeChoice | None, *, candidate_first: bool, failed_as_tie: bool = False) -> Outcome:
    """The candidate's outcome by the verdict in one order; failed, or with `failed_as_tie` a tie, if there is no verdict."""
    if choice is None:
        return "tie" if failed_as_tie else "failed"
    return (_FORWARD_OUTCOMES if candidate_first else _REVERSED_OUTCOMES)[choice]
