"""A model's responses to the test prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.core.runtime import Runtime
from trimtab.data.subsample import subsample_ids
from trimtab.pipeline.completion_sampler import open_completion_sampler
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, resolve_model
from trimtab.storage.artifacts import Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import COMPLETION_SCHEMA, SAMPLED_TOKENS_SCHEMA, completion_to_row, load_split_pairs

if TYPE_CHECKING:
    from trimtab.models.inference.generate import SampledCompletion
    from trimtab.models.inference.sampling import Sampling

GENERATE_KIND = "generate"
# Number of prompts whose responses are saved together. A constant: batches are formed inside a chunk.
PROMPTS_PER_CHUNK = 128


def generate_stage(
    name: str, model: ModelSource, split: Stage, sampling: Sampling, num_prompts: int | None, *, shuffle: bool = False
) -> Stage:
    """Responds to the first `num_prompts` distinct test prompts, or to all of them if it is None.

    With `shuffle`, the prompts are sampled by their hashes. This is for test pairs that are in the order of a file.
    """
    shuffled = shuffle and num_prompts is not None

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        test_prompts = {pair.prompt_id: pair.prompt for pair in load_split_pairs(inputs["split"], "test")}
        prompt_ids = subsample_ids(list(test_prompts), num_prompts, shuffle=shuffled)
        prompts = [(prompt_id, test_prompts[prompt_id]) for prompt_id in prompt_ids]
        with (
            open_completion_sampler(resolve_model(model, inputs), sampling, runtime) as sample,
            runtime.progress(f"Generating: {name}", len(prompts), "prompts") as tick,
        ):

            def respond(part: slice) -> list[dict[str, Any]]:
                rows: dict[str, dict[str, Any]] = {}
                for batch in sample(prompts[part]):
                    rows |= {sampled.completion.prompt_id: _sampled_to_row(sampled) for sampled in batch}
                    tick(len(batch))
                return [rows[prompt_id] for prompt_id, _ in prompts[part]]

            chunking = Chunking(
                num_rows=len(prompts), size=PROMPTS_PER_CHUNK, conditions=runtime.rounding_options, on_load=tick
            )
            generated = draft.compute_rows("completions", chunking, respond)
        for table, schema in (("completions", COMPLETION_SCHEMA), ("sampled_tokens", SAMPLED_TOKENS_SCHEMA)):
            draft.write_rows(table, [{column: row[column] for column in schema.names} for row in generated], schema)
        return {"prompts": len(generated), "tokens": sum(row["n_tokens"] for row in generated)}

    return Stage(
        name=name,
        kind=GENERATE_KIND,
        role="evaluation",
        version=4,  # batches are formed inside a chunk
        execute=execute,
        settings={
            "sampling": identity_settings(sampling),
            "num_prompts": num_prompts,
            **({"shuffle": True} if shuffled else {}),
        },
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
        work=Work(
            rate_key="generate" if sampling.vllm is None else "generate.vllm",
            unit="prompts",
            fact="prompts",
            limit=num_prompts,
            factor=sampling.max_new_tokens,
        ),
    )


def _sampled_to_row(sampled: SampledCompletion) -> dict[str, Any]:
    return {
        **completion_to_row(sampled.completion),
        "token_ids": list(sampled.token_ids),
        "logprob": sampled.logprob,
    }


def prompt_limit(completions: Stage) -> int | None:
    """The maximum number of prompts that a stage responds to; None if there is no limit."""
    return completions.work.limit if completions.work else None
