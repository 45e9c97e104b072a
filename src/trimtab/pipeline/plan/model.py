"""What a study unfolds into: its rows, and every stage in an order in which they can be made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from trimtab.pipeline.stage import Stage

# The fields of a row that hold one stage each.
ROW_STAGES = ("labels", "training", "policy_logprobs", "reference_logprobs", "completions", "predictions")


@dataclass(frozen=True, kw_only=True)
class RowStages:
    """The stages of one row of the results; None where a row has no such thing.

    `policy` and `reference` are tables over the test pairs: their difference is the implicit reward. `predictions` are what
    a model says of the test pairs when it is asked. `verdicts` are those of each judge on its answers.
    """

    name: str
    description: str
    labels: Stage | None = None
    annotator: str = ""
    training: Stage | None = None
    policy_logprobs: Stage | None = None
    reference_logprobs: Stage | None = None
    completions: Stage | None = None
    predictions: Stage | None = None
    scores: Mapping[str, Stage] = field(default_factory=dict)
    verdicts: Mapping[str, Stage] = field(default_factory=dict)
    skipped: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study's split, its rows, and every stage, each after those that it needs. `learning` are the arms for which something
    is learned from the labeled pairs besides the weak model: their annotator, their calibration or their filter. `rewards` are
    what scorers give to the responses of the test pairs, and `label_rewards` to those of the unlabeled ones. Rows were judged
    against the row `against`; `people` are the verdicts of each judge on pairs that people labeled. `vectors` are a sentence
    encoder's of each row's answers, and `divergences` how far each has moved from its reference on them. `elsewhere` are
    each row's choices on pairs of other domains: by row, domain and part."""

    split: Stage
    rows: tuple[RowStages, ...]
    supervised_arms: tuple[str, ...] = ()
    test_rewards: Mapping[str, Stage] = field(default_factory=dict)
    unlabeled_rewards: Mapping[str, Stage] = field(default_factory=dict)
    baseline: str = ""
    human_verdicts: Mapping[str, Stage] = field(default_factory=dict)
    embeddings: Mapping[str, Stage] = field(default_factory=dict)
    kl_to_reference: Mapping[str, Stage] = field(default_factory=dict)
    ood_eval: Mapping[str, Mapping[str, Mapping[str, Stage]]] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        return sort_stages(self._targets) or [self.split]

    @property
    def preference_models(self) -> list[Stage]:
        """The stages that train a model to choose. One that arms share stands there under the name that it has for each."""
        return list(_iter_preference_models(self._targets, set()))

    @property
    def _targets(self) -> list[Stage]:
        beside = (self.test_rewards, self.unlabeled_rewards, self.human_verdicts, self.embeddings, self.kl_to_reference)
        return [
            *(stage for arm in self.rows for stage in _stages_of_row(arm)),
            *(each for some in beside for each in some.values()),
            *(each for row in self.ood_eval.values() for parts in row.values() for each in parts.values()),
        ]


def _iter_preference_models(stages: Iterable[Stage], seen: set[tuple[str, str]]) -> Iterator[Stage]:
    """Those that train a model to choose, among the stages and all that these need, each once by each of its names."""
    for stage in stages:
        key = (stage.name, stage.recipe.fingerprint)
        if key not in seen:
            seen.add(key)
            if stage.kind == "preference_model":
                yield stage
            yield from _iter_preference_models(stage.input_stages.values(), seen)


def sort_stages(wanted: Iterable[Stage]) -> list[Stage]:
    """The stages with all that they need, each once, needs first; equal recipes are one stage."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        key = f"{stage.kind}-{stage.recipe.fingerprint}"
        if key not in found:
            for need in stage.input_stages.values():
                visit(need)
            found.setdefault(key, stage)

    for stage in wanted:
        visit(stage)
    return list(found.values())


def _stages_of_row(arm: RowStages) -> list[Stage]:
    """An arm's stages in the order in which they are best made: labels first, so that a bad label costs no training."""
    tables = (arm.policy_logprobs, arm.reference_logprobs, arm.completions, arm.predictions)
    parts = (arm.labels, arm.training, *tables, *arm.scores.values(), *arm.verdicts.values())
    return [stage for stage in parts if stage is not None]
