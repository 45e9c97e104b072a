"""How far a policy has moved from what it began as, on its own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, open_lazy_source
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.schemas import load_completions
from trimtab.types import Completion

if TYPE_CHECKING:
    from trimtab.models.chat import ChatTokenizer
    from trimtab.models.lazy_model import LazyModel

KL_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("policy_logprob", pa.float64()),
        ("reference_logprob", pa.float64()),
        ("n_tokens", pa.int32()),
    ]
)


def kl_stage(name: str, policy: ModelSource, reference: ModelSource, completions: Stage) -> Stage:
    """Log-probabilities of the policy's answers under the policy and under its reference, in nats an answer.

    The mean of their difference estimates KL(policy ‖ reference) where answers are sampled at temperature 1; at a lower one it
    is the same figure of the answers that were in fact given. An answer that the length limit cut off has no end of turn.
    """

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = load_completions(inputs["completions"])
        ours = open_lazy_source(policy, inputs, runtime, "policy")
        rows = [_tokenize_completion(ours.chat, each) for each in answers]
        mine = _compute_logprobs(f"{name}, policy", ours, rows, runtime)
        theirs = _compute_logprobs(
            f"{name}, reference", open_lazy_source(reference, inputs, runtime, "reference"), rows, runtime
        )
        table = [
            {"id": each.prompt_id, "policy_logprob": a, "reference_logprob": b, "n_tokens": len(row.first)}
            for each, a, b, row in zip(answers, mine, theirs, rows, strict=True)
        ]
        draft.write_rows("kl", table, KL_SCHEMA)
        return {"prompts": len(answers), "tokens": 2 * sum(map(len, rows))}

    return Stage(
        name=name,
        kind="kl",
        execute=make,
        input_stages={
            "completions": completions,
            **as_input_stages(policy, "policy"),
            **as_input_stages(reference, "reference"),
        },
        external_hashes={**as_external_hashes(policy, "policy"), **as_external_hashes(reference, "reference")},
    )


def load_log_ratios(artifact: Artifact) -> dict[str, float]:
    """The log-ratio of each answer, in nats, by prompt id."""
    return {row["id"]: row["policy_logprob"] - row["reference_logprob"] for row in artifact.read_rows("kl")}


def _tokenize_completion(chat: ChatTokenizer, answer: Completion) -> TokenizedPair:
    row = tokenize_pair(chat, answer.prompt, answer.text)
    written = row.first[: -len(chat.end_of_turn_ids)]
    return replace(row, first=written) if answer.finish_reason == "length" and written else row


def _compute_logprobs(name: str, model: LazyModel, rows: Sequence[TokenizedPair], runtime: Runtime) -> list[float]:
    from trimtab.models.checkpoint import free_memory
    from trimtab.models.lazy_model import read_logprobs_cached

    found: dict[int, float] = {}
    with runtime.progress(f"Reading answers: {name}", len(rows), "answers") as tick:
        for places, known, _ in read_logprobs_cached(
            model, rows, runtime.token_budget, [True] * len(rows), runtime.notify
        ):
            found.update({place: first for place, (first, _) in zip(places, known.sums, strict=True)})
            tick(len(places))
    free_memory()
    return [found[place] for place in range(len(rows))]
