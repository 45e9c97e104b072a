"""The pairs of a round: two responses of the round before's student to each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trimtab.config.rounds import MAX_ROUNDS, Rounds
from trimtab.core.component import Component
from trimtab.core.interfaces import Engine, HasContentHash, Scorer
from trimtab.core.runtime import Runtime
from trimtab.data.parsing.prompt_rows import PromptSource
from trimtab.data.split import normalized_prompt_hash
from trimtab.engines.transformers import Transformers
from trimtab.engines.vllm.student import open_vllm_student
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.models.inference.vllm_options import VllmOptions
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.pipeline.engine_resources import ENGINE_PREFIX, EngineResources, completions_dir
from trimtab.pipeline.response_sampling import (
    PairSampling,
    SampledPair,
    SampledPairs,
    format_counts,
    pair_responses,
    sample_responses,
)
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.pipeline.stage_models import resolve_model
from trimtab.pipeline.stages.split import as_source, drop_overlong, hash_tokenizers
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.recipe import canonical_json
from trimtab.storage.schemas import PAIR_SCHEMA, load_split_pairs, pairs_to_rows
from trimtab.types import Dataset, Pair, Prompt, prompt_hash, text_hash

SAMPLE_PAIRS_KIND = "sample_pairs"
_STUDENT = "student"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSampling:
    """How the pairs of round `number` are sampled. Pairs of more than `max_length` tokens of a tokenizer are left out.

    A response ends before the first of the texts `stop`. With `vllm`, the student is run by vLLM.
    """

    rounds: Rounds
    number: int
    seed: int
    max_new_tokens: int
    max_length: int
    tokenizer_models: Mapping[str, Model]
    stop: tuple[str, ...] = ()
    vllm: VllmOptions | None = None

    @property
    def pair_sampling(self) -> PairSampling:
        rounds = self.rounds
        return PairSampling(
            num_responses=rounds.num_responses,
            temperature=rounds.temperature,
            max_new_tokens=self.max_new_tokens,
            rule=rounds.selection,
            scorer=rounds.scorer if isinstance(rounds.scorer, Scorer) else None,
            seed=self.seed * (MAX_ROUNDS + 1) + self.number,  # a similar student must not repeat itself
            stop=self.stop,
        )

    def identity(self) -> dict[str, Any]:
        """The settings that change the pairs."""
        rounds = self.rounds
        return {
            "round": self.number,
            "seed": self.seed,
            "num_prompts": rounds.num_prompts,
            "num_responses": rounds.num_responses,
            "temperature": rounds.temperature,
            "max_new_tokens": self.max_new_tokens,
            "selection": rounds.selection,
            "max_length": self.max_length,
            **({} if rounds.prompts is None else {"prompts": identity_settings(rounds.prompts)}),
            **({} if rounds.scorer is None else {"scorer": identity_settings(rounds.scorer)}),
            **({"stop": list(self.stop)} if self.stop else {}),
            **({} if self.vllm is None else {"vllm": identity_settings(self.vllm)}),
        }

    def external_hashes(self) -> dict[str, str]:
        prompts, scorer = self.rounds.prompts, self.rounds.scorer
        return {
            **hash_tokenizers(self.tokenizer_models),
            **({} if prompts is None else {"source": as_source(prompts).content_hash()}),
            **({"scorer": scorer.content_hash()} if isinstance(scorer, HasContentHash) else {}),
        }


def sample_pairs_stage(name: str, student: Stage, split: Stage, sampling: RoundSampling) -> Stage:
    """A split with one new pair per prompt as `unlabeled`, and the labeled pairs of `split`.

    Raises `DataError` if no prompt has a pair.
    """
    engines = EngineResources(configs={_STUDENT: Transformers(model="@student")}, study_models={_STUDENT: student})
    rounds = sampling.rounds

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        labeled = load_split_pairs(inputs["split"], "labeled")
        prompts, num_unusable = _select_prompts(name, sampling, labeled, inputs["split"])
        with _open_student(engines, sampling.vllm, draft, inputs, runtime) as engine:
            responses = sample_responses(name, engine, prompts, sampling.pair_sampling, runtime)
        sampled = pair_responses(prompts, responses, sampling.pair_sampling, runtime)
        new = Dataset(pairs=tuple(map(_build_pair, sampled.pairs)))
        pairs = drop_overlong(name, new, sampling.max_length, sampling.tokenizer_models, runtime).pairs
        for split_name, rows in (("labeled", labeled), ("unlabeled", pairs), ("test", ())):
            draft.write_rows(split_name, pairs_to_rows(rows), PAIR_SCHEMA)
        if sampled.skipped:
            runtime.notify(f"{name}: prompts without a pair: {format_counts(sampled.skipped)}")
        return {
            "prompts": len(prompts),
            "pairs": {"labeled": len(labeled), "unlabeled": len(pairs), "test": 0},
            "unusable_prompts": num_unusable,
            "too_long": len(new.pairs) - len(pairs),
            **_summarize_sampling(sampled),
        }

    return Stage(
        name=name,
        kind=SAMPLE_PAIRS_KIND,
        execute=execute,
        settings=sampling.identity(),
        input_stages={"split": split, **engines.input_stages()},
        external_hashes=sampling.external_hashes(),
        work=Work(
            rate_key="generate" if sampling.vllm is None else "generate.vllm",
            unit="pairs",
            fact="prompts",
            splits=("unlabeled",) if rounds.prompts is None and rounds.num_prompts is None else (),
            limit=rounds.num_prompts,
            factor=sampling.max_new_tokens * rounds.num_responses,
            model_input=engines.main_input(),
        ),
    )


@contextmanager
def _open_student(
    engines: EngineResources, vllm: VllmOptions | None, draft: Draft, inputs: StageInputs, runtime: Runtime
) -> Iterator[Engine]:
    """The student, with the run's completion cache."""
    if vllm is None:
        with engines.open_engines(draft, inputs, runtime) as opened:
            yield opened[_STUDENT]
        return
    student = resolve_model(engines.study_models[_STUDENT], inputs, f"{ENGINE_PREFIX}{_STUDENT}")
    key = f"{engines.cache_key(_STUDENT, inputs)} vllm {canonical_json(identity_settings(vllm))}"
    with open_vllm_student(student, vllm, runtime) as engine:
        yield CachedEngine(engine=engine, cache_key=key, folder=completions_dir(draft), notify=runtime.notify)


def _build_pair(sampled: SampledPair) -> Pair:
    return Pair.from_responses(sampled.prompt, sampled.first.generation.text, sampled.second.generation.text)


def _select_prompts(
    name: str, sampling: RoundSampling, labeled: Sequence[Pair], split: Artifact
) -> tuple[list[Prompt], int]:
    """The prompts of the round, and the number of rows without a prompt. Raises `DataError` if no prompt is left."""
    candidates, num_unusable = _load_prompts(sampling.rounds.prompts, split)
    excluded = {normalized_prompt_hash(pair.prompt) for pair in (*labeled, *load_split_pairs(split, "test"))}
    prompts = [prompt for prompt in candidates if normalized_prompt_hash(prompt) not in excluded]
    if not prompts:
        raise DataError(
            f"{name}: all {len(candidates)} prompts are those of labeled or test pairs; set rounds.prompts to other ones"
        )
    key = f"{sampling.seed} round {sampling.number}"
    ordered = sorted(prompts, key=lambda prompt: text_hash(key, prompt_hash(prompt)))
    return ordered[: sampling.rounds.num_prompts], num_unusable


def _load_prompts(source: Component | None, split: Artifact) -> tuple[list[Prompt], int]:
    """The prompts of the source, or else of the unlabeled pairs, and the number of rows without one."""
    if isinstance(source, PromptSource):
        dataset = source.load_prompts()
        return list(dataset.prompts), len(dataset.failures)
    pairs = load_split_pairs(split, "unlabeled") if source is None else as_source(source).load().pairs
    return list({pair.prompt_id: pair.prompt for pair in pairs}.values()), 0


def _summarize_sampling(sampled: SampledPairs) -> dict[str, Any]:
    generations = [each.generation for group in sampled.responses for each in group]
    return {
        "skipped": dict(sampled.skipped),
        "responses": len(generations),
        "failed_responses": sum(each.status != "ok" for each in generations),
        "failed_scores": sampled.failed_scores.total(),
        "cut_off": sum(each.status == "ok" and each.finish_reason == "length" for each in generations),
        "tokens": sum(each.cost.generated_tokens for each in generations),
    }
