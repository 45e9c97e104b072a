"""KL divergence of a policy from its reference, on the policy's own responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.pipeline.stage import Stage, StageInputs, Work
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, resolve_model
from trimtab.pipeline.stages.generate import prompt_limit
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import SAMPLED_TOKENS_SCHEMA, load_completions

if TYPE_CHECKING:
    from trimtab.models.lazy_model import LazyModel

# Number of responses whose log-probabilities are saved together. A constant: batches are formed inside a chunk.
KL_CHUNK = 128
KL_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("policy_logprob", pa.float64()),
        ("reference_logprob", pa.float64()),
        ("n_tokens", pa.int32()),
    ]
)


def kl_stage(name: str, reference: ModelSource, completions: Stage) -> Stage:
    """Log-probabilities of the policy's responses under the policy and under its reference, in nats per response.

    The policy's were computed when it generated the responses, and the reference reads the same tokens. The mean of their
    difference estimates KL(policy ‖ reference) if responses were sampled at temperature 1 and top_p 1. Otherwise it is the
    same quantity on the responses that were actually given. A response that was cut off by the length limit has no end of turn.
    """

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        artifact = inputs["completions"]
        prompts = {completion.prompt_id: completion.prompt for completion in load_completions(artifact)}
        sampled = artifact.read_rows("sampled_tokens", SAMPLED_TOKENS_SCHEMA)
        model = resolve_model(reference, inputs, "reference").lazy(runtime.notify, runtime.device)
        with artifact.translate_row_errors("sampled_tokens"):
            rows = [
                TokenizedPair(tuple(model.chat.encode_prompt(prompts[row["id"]])), tuple(row["token_ids"]), ())
                for row in sampled
            ]
        logprobs = _compute_logprobs(draft, name, model, rows, runtime)
        table = [
            {
                "id": row["id"],
                "policy_logprob": row["logprob"],
                "reference_logprob": logprob,
                "n_tokens": len(row["token_ids"]),
            }
            for row, logprob in zip(sampled, logprobs, strict=True)
        ]
        draft.write_rows("kl", table, KL_SCHEMA)
        return {"prompts": len(rows), "tokens": sum(map(len, rows))}

    return Stage(
        name=name,
        kind="kl",
        role="evaluation",
        version=3,  # batches are formed inside a chunk
        execute=execute,
        input_stages={"completions": completions, **as_input_stages(reference, "reference")},
        external_hashes=as_external_hashes(reference, "reference"),
        work=Work(
            rate_key="kl", unit="prompts", fact="prompts", limit=prompt_limit(completions), model_input="reference"
        ),
    )


def load_log_ratios(artifact: Artifact) -> dict[str, float]:
    """The log-ratio of each response, in nats, by prompt id."""
    return {row["id"]: row["policy_logprob"] - row["reference_logprob"] for row in artifact.read_rows("kl", KL_SCHEMA)}


def _compute_logprobs(
    draft: Draft, name: str, model: LazyModel, rows: Sequence[TokenizedPair], runtime: Runtime
) -> list[float]:
    from trimtab.models.lazy_model import CachedLogprobReader

    reader = CachedLogprobReader(model, runtime.notify)
    with runtime.progress(f"Computing log-probabilities: {name}", len(rows), "responses") as tick:

        def compute(part: slice) -> list[dict[str, Any]]:
            logprobs: dict[int, float] = {}
            for indices, batch, _ in reader.iter_batches(rows[part], runtime.token_budget):
                logprobs |= {index: first for index, (first, _) in zip(indices, batch.sums, strict=True)}
                tick(len(indices))
            return [{"logprob": logprobs[index]} for index in range(len(logprobs))]

        chunking = Chunking(num_rows=len(rows), size=KL_CHUNK, conditions=runtime.rounding_options, on_load=tick)
        return [row["logprob"] for row in draft.compute_rows("kl", chunking, compute)]
