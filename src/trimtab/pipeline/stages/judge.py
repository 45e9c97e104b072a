"""Verdicts of one judge: on the responses of two rows, on test pairs with human labels, or on unlabeled pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core.component import Component, get_kind
from trimtab.core.interfaces import Engine, HasContentHash, Judge, LearningJudge
from trimtab.core.runtime import Runtime
from trimtab.data.subsample import subsample_ids
from trimtab.errors import DataError, StudyError
from trimtab.metrics.label_quality import get_choices, get_human_choices, split_by_match
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.pipeline.stages.generate import prompt_limit
from trimtab.storage.artifacts import Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import load_annotations, load_completions, load_split_pairs
from trimtab.storage.verdict_schema import VERDICT_SCHEMA, verdicts_to_rows
from trimtab.types import Comparison, Completion, Pair, Verdict

# Comparisons per engine call. If the run is killed, only calls without a response are repeated.
COMPARISONS_PER_CALL = 64
# With a larger fraction of failed verdicts, the others say little about the responses.
MAX_FAILED_VERDICT_FRACTION = 0.5
MAX_LISTED_IDS = 3


def judge_stage(
    name: str,
    judge: Component,
    engines: EngineResources,
    candidate: Stage,
    baseline: Stage,
    num_prompts: int | None = None,
    *,
    split: Stage,
) -> Stage:
    """Compares the responses of two stages to the same prompts. Outcomes are from the point of view of `candidate`.

    `num_prompts` is the number of prompts, which are sampled by their hashes; None for all. A judge that learns is fitted to
    the labeled pairs of `split`.
    """

    def load_comparisons(inputs: StageInputs) -> list[Comparison]:
        comparisons = match_completions(
            name, load_completions(inputs["candidate"]), load_completions(inputs["baseline"])
        )
        selected = set(subsample_ids([each.id for each in comparisons], num_prompts, shuffle=True))
        return [comparison for comparison in comparisons if comparison.id in selected]

    limits = [limit for limit in (prompt_limit(candidate), num_prompts) if limit is not None]
    return _build_stage(
        name,
        judge,
        engines,
        load_comparisons,
        input_stages={
            "candidate": candidate,
            "baseline": baseline,
            **({"split": split} if isinstance(judge, LearningJudge) else {}),
        },
        settings={} if num_prompts is None else {"num_prompts": num_prompts},
        limit=min(limits, default=None),
    )


def judge_human_pairs_stage(
    name: str, judge: Component, engines: EngineResources, split: Stage, count: int, *, shuffle: bool = False
) -> Stage:
    """Compares the two responses of `count` test pairs that have a human label. Outcomes are from the point of view of `a`.

    The first pairs are used. With `shuffle`, they are sampled by id; this is for test pairs in the order of a file.
    """

    def load_comparisons(inputs: StageInputs) -> list[Comparison]:
        pairs = {pair.id: pair for pair in load_split_pairs(inputs["split"], "test") if pair.human is not None}
        selected = [pairs[pair_id] for pair_id in subsample_ids(list(pairs), count, shuffle=shuffle)]
        return [_compare_responses(pair) for pair in selected]

    return _build_stage(
        name,
        judge,
        engines,
        load_comparisons,
        input_stages={"split": split},
        settings={"num_pairs": count, **({"shuffle": True} if shuffle else {})},
        limit=count,
    )


def judge_unlabeled_pairs_stage(
    name: str, judge: Component, engines: EngineResources, split: Stage, labels: Stage, count: int
) -> Stage:
    """Compares the two responses of unlabeled pairs: `count` on which the label matches the human label, and as many on which
    it does not (Tao & Li 2025, table 5), sampled by id. Outcomes are from the point of view of `a`.

    A subset with fewer pairs is used completely. Raises `DataError` if both are empty.
    """

    def load_comparisons(inputs: StageInputs) -> list[Comparison]:
        pairs = {pair.id: pair for pair in load_split_pairs(inputs["split"], "unlabeled")}
        human = get_human_choices(list(pairs.values()))
        subsets = split_by_match(get_choices(load_annotations(inputs["labels"])), human)
        selected = [pair_id for subset in subsets.values() for pair_id in subsample_ids(subset, count, shuffle=True)]
        if not selected:
            raise DataError(f"{name}: none of {len(pairs)} unlabeled pairs has a weak label and a human label")
        return [_compare_responses(pairs[pair_id]) for pair_id in selected]

    return _build_stage(
        name,
        judge,
        engines,
        load_comparisons,
        input_stages={"split": split, "labels": labels},
        settings={"pairs_per_subset": count},
        limit=2 * count,
    )


def _compare_responses(pair: Pair) -> Comparison:
    return Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b)


def match_completions(name: str, candidate: Sequence[Completion], baseline: Sequence[Completion]) -> list[Comparison]:
    """The two responses to each prompt, in the candidate's order.

    Raises `DataError` with the prompt ids that only one of the two responded to.
    """
    baseline_by_prompt = {completion.prompt_id: completion for completion in baseline}
    unmatched = sorted({completion.prompt_id for completion in candidate} ^ set(baseline_by_prompt))
    if unmatched:
        listed = ", ".join(unmatched[:MAX_LISTED_IDS]) + (", …" if len(unmatched) > MAX_LISTED_IDS else "")
        raise DataError(
            f"{name}: {len(unmatched)} prompts have a response from only one of the two ({listed}); both must respond to the "
            "same prompts"
        )
    return [
        Comparison(
            id=completion.prompt_id,
            prompt=completion.prompt,
            candidate=completion.text,
            baseline=baseline_by_prompt[completion.prompt_id].text,
        )
        for completion in candidate
    ]


def as_judge(component: Component) -> Judge | LearningJudge:
    if not isinstance(component, Judge | LearningJudge):
        raise StudyError(f"{type(component).__name__} is not a judge (it needs `requirements`, and `judge` or `fit`)")
    return component


def validate_verdicts(
    name: str, comparisons: Sequence[Comparison], verdicts: Sequence[Verdict], location: str
) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` if there is not one verdict per comparison in order, or if too many failed."""
    if [comparison.id for comparison in comparisons] != [verdict.id for verdict in verdicts]:
        raise DataError(f"{name}: the judge must return one verdict per comparison, in the order of the comparisons")
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    if outcomes["failed"] > MAX_FAILED_VERDICT_FRACTION * len(verdicts):
        notes = Counter(verdict.note for verdict in verdicts if verdict.outcome == "failed")
        raise DataError(
            f"{name}: {outcomes['failed']} of {len(verdicts)} verdicts failed (more than "
            f"{MAX_FAILED_VERDICT_FRACTION:.0%}), most often with “{notes.most_common(1)[0][0]}”; "
            f"the replies are in {location}"
        )
    tokens = sum(verdict.cost.prompt_tokens + verdict.cost.generated_tokens for verdict in verdicts)
    return {"comparisons": len(verdicts), "outcomes": dict(outcomes), "tokens": tokens}


def _build_stage(
    name: str,
    component: Component,
    engines: EngineResources,
    load_comparisons: Callable[[StageInputs], list[Comparison]],
    *,
    input_stages: Mapping[str, Stage],
    limit: int | None,
    settings: Mapping[str, Any] | None = None,
) -> Stage:
    settings_of_judge = as_judge(component)

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        comparisons = load_comparisons(inputs)
        with engines.open_engines(draft, inputs, runtime) as opened:
            judge = _fit_judge(settings_of_judge, inputs, opened)
            verdicts = _judge_in_chunks(name, judge, comparisons, opened, draft, runtime)
        draft.write_rows("verdicts", verdicts_to_rows(verdicts), VERDICT_SCHEMA)
        return validate_verdicts(name, comparisons, verdicts, f"{draft.folder}/verdicts.parquet")

    return Stage(
        name=name,
        kind="judge",
        role="evaluation",
        execute=execute,
        settings={"judge": identity_settings(component), **(settings or {})},
        input_stages={**input_stages, **engines.input_stages()},
        external_hashes={
            **({"judge": component.content_hash()} if isinstance(component, HasContentHash) else {}),
            **engines.external_hashes(),
        },
        work=Work(
            rate_key=f"judge.{get_kind(component)}" if isinstance(component, LearningJudge) else "judge",
            unit="prompts",
            fact="comparisons",
            limit=limit,
            model_input=engines.main_input(),
        ),
    )


def _fit_judge(judge: Judge | LearningJudge, inputs: StageInputs, engines: Mapping[str, Engine]) -> Judge:
    """The judge, fitted to the labeled pairs if it learns. No comparison is among these pairs."""
    return (
        judge.fit(load_split_pairs(inputs["split"], "labeled"), engines) if isinstance(judge, LearningJudge) else judge
    )


def _judge_in_chunks(
    name: str,
    judge: Judge,
    comparisons: Sequence[Comparison],
    engines: Mapping[str, Engine],
    draft: Draft,
    runtime: Runtime,
) -> list[Verdict]:
    """All verdicts. Engines cache their responses, so an interrupted run recomputes verdicts without new engine calls."""
    with runtime.progress(f"Judging: {name}", len(comparisons), "comparisons") as tick:

        def judge_chunk(part: slice) -> list[Verdict]:
            verdicts = judge.judge(comparisons[part], engines)
            tick(len(comparisons[part]))
            return verdicts

        chunking = Chunking(num_rows=len(comparisons), size=COMPARISONS_PER_CALL, conditions=runtime.rounding_options)
        return draft.compute_cached("verdicts", chunking, judge_chunk)
