"""What two verdicts on the same two answers, asked for in both orders, come to."""

from __future__ import annotations

from trimtab.types import Named, Outcome

_THERE: dict[Named, Outcome] = {"first": "win", "second": "loss", "tie": "tie"}
_BACK: dict[Named, Outcome] = {"first": "loss", "second": "win", "tie": "tie"}


def agreed(there: Named | None, back: Named | None, *, failed_as_tie: bool = False) -> Outcome:
    """The outcome for the answer that stood first when asked `there`, and second when asked `back` (Li et al. 2025, figure 4).

    Opposite verdicts, which is the same place named twice, are a tie; beside one tie the other verdict decides. What could
    not be read is a failure; SEAM's released code takes it for a tie (`failed_as_tie`).
    """
    if failed_as_tie:
        there, back = there or "tie", back or "tie"
    if there is None or back is None:
        return "failed"
    first, second = _THERE[there], _BACK[back]
    if second in (first, "tie"):
        return first
    return second if first == "tie" else "tie"
