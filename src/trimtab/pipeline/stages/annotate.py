"""Labels for one side of the split, by one annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import Annotator, Engine, HasContentHash
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, EngineError, StudyError
from trimtab.pipeline.completion_cache import PAIRS_PER_CHUNK
from trimtab.pipeline.engine_resources import EngineResources, completions_dir
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.hidden_states import load_hidden_states
from trimtab.pipeline.stages.reward_table import load_rewards
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import (
    ANNOTATION_SCHEMA,
    annotations_to_rows,
    load_annotations,
    load_logprobs,
    load_split_pairs,
)
from trimtab.types import Annotation, Pair

# Past this share of labels that failed, as opposed to abstained, something is wrong with the annotator and not the pairs.
MAX_FAILED_LABEL_FRACTION = 0.2


LabelSplit = Literal["unlabeled", "test"]


@dataclass(frozen=True, kw_only=True)
class AnnotatorDependencies:
    """The stages that an annotator's labels are made from, besides the split: `tables` and `labels` under the names by which
    it asked for them, `asked` the study's models among those that it asks, `features` and `reward` where it learns."""

    logprob_tables: Mapping[str, Stage] = field(default_factory=dict)
    labels: Mapping[str, Stage] = field(default_factory=dict)
    engine_models: Mapping[str, ModelSource] = field(default_factory=dict)
    hidden_states: Stage | None = None
    reward_table: Stage | None = None

    def input_stages(self) -> dict[str, Stage]:
        return {
            **{f"logprobs.{model}": stage for model, stage in self.logprob_tables.items()},
            **{f"labels.{arm}": stage for arm, stage in self.labels.items()},
            **({"hidden_states": self.hidden_states} if self.hidden_states else {}),
            **({"reward_table": self.reward_table} if self.reward_table else {}),
        }

    def load_inputs(self, inputs: StageInputs, pairs: Sequence[Pair], engines: Mapping[str, Engine]) -> AnnotatorInputs:
        """What the annotator may read to label these pairs."""
        return AnnotatorInputs(
            logprobs={model: load_logprobs(inputs[f"logprobs.{model}"]) for model in self.logprob_tables},
            labels={arm: load_annotations(inputs[f"labels.{arm}"]) for arm in self.labels},
            human_labels={pair.id: pair.human for pair in pairs if pair.human is not None},
            engines=engines,
            pairs={pair.id: pair for pair in pairs},
            labeled_pairs=load_split_pairs(inputs["split"], "labeled") if self.hidden_states else (),
            features=load_hidden_states(inputs["hidden_states"]) if self.hidden_states else {},
            rewards=load_rewards(inputs["reward_table"]) if self.reward_table else {},
        )


def annotate_stage(
    name: str,
    annotator: Component,
    split: Stage,
    dependencies: AnnotatorDependencies,
    split_name: LabelSplit = "unlabeled",
    chunk_size: int = PAIRS_PER_CHUNK,
) -> Stage:
    """Labels the pairs of one side; those that cost questions, so many pairs at a time."""
    asked = as_annotator(annotator)
    engines = EngineResources(configs=list_engine_configs(annotator), study_models=dependencies.engine_models)

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = load_split_pairs(inputs["split"], split_name)
        given = dependencies.load_inputs(inputs, pairs, engines.open_engines(draft, inputs, runtime))
        annotations = (
            annotate_in_chunks(f"Asking: {name}", asked, pairs, given, runtime, completions_dir(draft), chunk_size)
            if given.engines
            else asked.annotate(pairs, given)
        )
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        facts = validate_annotations(name, pairs, annotations, str(draft.folder))
        if given.engines and (failed := facts["status"].get("failed")):
            runtime.notify(
                f"{name}: {failed} of {len(pairs)} labels failed; to have these asked again, delete {draft.folder} and give "
                "the same command again, which then also makes anew what was made from these labels"
            )
        return facts

    return Stage(
        name=name,
        kind="annotate",
        role="annotation",
        execute=make,
        settings={
            "annotator": identity_settings(annotator),
            **({"side": split_name} if split_name != "unlabeled" else {}),
        },
        input_stages={"split": split, **dependencies.input_stages(), **engines.input_stages()},
        external_hashes={
            **({"annotator": annotator.content_hash()} if isinstance(annotator, HasContentHash) else {}),
            **engines.external_hashes(),
        },
    )


def annotate_in_chunks(
    label: str,
    annotator: Annotator,
    pairs: Sequence[Pair],
    inputs: AnnotatorInputs,
    runtime: Runtime,
    cache_dir: Path,
    chunk_size: int = PAIRS_PER_CHUNK,
) -> list[Annotation]:
    """Labels that cost questions, so many pairs at a time: of all pairs, or of as many as it took to see that `checked` will
    refuse them, since the rest would be paid for in vain.

    The engines keep what they answered in the folder `kept` (`Asked`), and labels are made anew from that: the same command
    goes on after a kill, and asks again what failed. Raises `EngineError` where a model can be asked no longer.
    """
    labels: list[Annotation] = []
    with runtime.progress(label, len(pairs), "pairs") as tick:
        for start in range(0, len(pairs), chunk_size):
            these = pairs[start : start + chunk_size]
            try:
                labels += annotator.annotate(these, inputs)
            except EngineError as error:
                raise EngineError(
                    f"{error}; {len(labels)} of {len(pairs)} pairs were labeled, and what was answered until then is kept in "
                    f"{cache_dir}: the same command goes on from there"
                ) from error
            tick(len(these))
            if _too_many_failed(labels, len(pairs)):
                break
    return labels


def as_annotator(component: Component) -> Annotator:
    if not isinstance(component, Annotator):
        raise StudyError(f"{type(component).__name__} is not an annotator (it needs `models`, `arms` and `annotate`)")
    return component


def validate_annotations(name: str, pairs: list[Pair], annotations: list[Annotation], location: str) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` when labels are not one a pair in order, or too many failed."""
    if _too_many_failed(annotations, len(pairs)):
        raise DataError(f"{name}: {_describe_failures(annotations, len(pairs))}; the notes in {location} say why")
    if [pair.id for pair in pairs] != [each.pair_id for each in annotations]:
        raise DataError(f"{name}: the annotator must give one annotation a pair, in the order of the pairs")
    return {"pairs": len(pairs), "status": dict(Counter(each.status for each in annotations))}


def _too_many_failed(annotations: Sequence[Annotation], pairs: int) -> bool:
    """Whether too many of so many pairs failed already, or all that were tried first."""
    failed = sum(each.status == "failed" for each in annotations)
    return failed > MAX_FAILED_LABEL_FRACTION * pairs or 0 < failed == len(annotations) < pairs


def _describe_failures(annotations: Sequence[Annotation], pairs: int) -> str:
    """How many labels failed, of what, and that the others were not tried."""
    notes = Counter(each.note for each in annotations if each.status == "failed")
    ((note, _),) = notes.most_common(1)
    left = f", and the other {pairs - len(annotations)} pairs were not tried" if len(annotations) < pairs else ""
    return (
        f"{notes.total()} of {len(annotations)} labels failed (at most {MAX_FAILED_LABEL_FRACTION:.0%} of all may), most often with "
        f"“{note}”{left}"
    )
