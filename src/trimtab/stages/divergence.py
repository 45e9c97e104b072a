"""How far a policy has moved from what it began as, on its own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from trimtab.lm.rows import Row, encode
from trimtab.protocols import Runtime
from trimtab.stages.models import ModelSource, identities, needs, unopened
from trimtab.stages.stage import Inputs, Stage
from trimtab.stages.tables import completions_of
from trimtab.store import Artifact, Draft
from trimtab.types import Completion

if TYPE_CHECKING:
    from trimtab.lm.chat import Chat
    from trimtab.lm.unopened import Unopened

ROWS = pa.schema([("id", pa.string()), ("policy", pa.float64()), ("reference", pa.float64()), ("n_tokens", pa.int32())])


def divergence_stage(name: str, policy: ModelSource, reference: ModelSource, completions: Stage) -> Stage:
    """Log-probabilities of the policy's answers under the policy and under its reference, in nats an answer.

    The mean of their difference estimates KL(policy ‖ reference) where answers are sampled at temperature 1; at a lower one it
    is the same figure of the answers that were in fact given. An answer that the length limit cut off has no end of turn.
    """

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = completions_of(inputs["completions"])
        ours = unopened(policy, inputs, runtime, "policy")
        rows = [_row(ours.chat, each) for each in answers]
        mine = _read(f"{name}, policy", ours, rows, runtime)
        theirs = _read(f"{name}, reference", unopened(reference, inputs, runtime, "reference"), rows, runtime)
        table = [
            {"id": each.prompt_id, "policy": a, "reference": b, "n_tokens": len(row.first)}
            for each, a, b, row in zip(answers, mine, theirs, rows, strict=True)
        ]
        draft.write_rows("divergence", table, ROWS)
        return {"prompts": len(answers), "tokens": 2 * sum(map(len, rows))}

    return Stage(
        name=name,
        kind="divergence",
        make=make,
        needs={"completions": completions, **needs(policy, "policy"), **needs(reference, "reference")},
        identities={**identities(policy, "policy"), **identities(reference, "reference")},
    )


def divergences_of(artifact: Artifact) -> dict[str, float]:
    """The log-ratio of each answer, in nats, by prompt id."""
    return {row["id"]: row["policy"] - row["reference"] for row in artifact.rows("divergence")}


def _row(chat: Chat, answer: Completion) -> Row:
    row = encode(chat, answer.prompt, answer.text)
    written = row.first[: -len(chat.end_ids)]
    return replace(row, first=written) if answer.stop == "length" and written else row


def _read(name: str, model: Unopened, rows: Sequence[Row], runtime: Runtime) -> list[float]:
    from trimtab.lm.models import release
    from trimtab.lm.unopened import read_or_recall

    found: dict[int, float] = {}
    with runtime.progress(f"Reading answers: {name}", len(rows), "answers") as tick:
        for places, known, _ in read_or_recall(model, rows, runtime.token_budget, [True] * len(rows), runtime.notify):
            found.update({place: first for place, (first, _) in zip(places, known.sums, strict=True)})
            tick(len(places))
    release()
    return [found[place] for place in range(len(rows))]
