"""A study: a frozen tree of settings, written in YAML or in Python, equal either way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.config.training import DpoSettings, PreferenceModelSettings, SftSettings
from trimtab.core.component import (
    Component,
    ComponentField,
    Settings,
    apply_override,
    build_component,
    dump_component,
    validate_settings,
)
from trimtab.data.split import SplitSettings
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.models.inference.sampling import Sampling
from trimtab.pipeline.engine_resources import list_engine_configs
from trimtab.pipeline.stages.calibrate import Calibration
from trimtab.pipeline.stages.judge import as_judge

SourceField = Annotated[Component, ComponentField("data")]
AnnotatorField = Annotated[Component, ComponentField("annotators")]
ScorerField = Annotated[Component, ComponentField("evaluation")]
JudgeField = Annotated[Component, ComponentField("evaluation")]
FilterField = Annotated[Component, ComponentField("filters")]

# Arms that every study has besides its own; `human`, `weak` and `flipped` can be given other settings, never left out.
BASELINE_ROWS = ("base", "sft")
RESERVED_ROWS = (*BASELINE_ROWS, "weak_model")
BUILT_IN_ARMS = ("human", "weak", "flipped")


class PredefinedSplits(Settings):
    """The three sides as three sources: nothing is drawn, and no prompt may stand on two of them."""

    labeled: SourceField = Field(description="pairs that people labeled; the weak model learns from them")
    unlabeled: SourceField = Field(description="pairs to be labeled; human labels among them are for diagnosis")
    test: SourceField = Field(description="pairs on which everything is measured")


def _parse_data(value: Any) -> Component | PredefinedSplits:
    """One source, which is split, or a mapping with the three sides."""
    if isinstance(value, PredefinedSplits):
        return value
    if isinstance(value, Mapping) and set(value) & set(PredefinedSplits.model_fields):
        return validate_settings(PredefinedSplits, value)
    return build_component("data", value)


def _dump_data(data: Component | PredefinedSplits) -> dict[str, Any]:
    return dump_component(data) if isinstance(data, Component) else data.model_dump(mode="json")


class Models(Settings):
    """`weak` labels, `student` is aligned on the labels."""

    weak: Model = Field(description="learns from the labeled pairs")
    student: Model = Field(description="is aligned on each arm's labels")


class Training(Settings):
    """How both models are trained; `weak` may have settings of its own (the paper gives both the same)."""

    sft: SftSettings | None = Field(default_factory=SftSettings, description="null: DPO starts from the model as it is")
    dpo: DpoSettings = Field(default_factory=DpoSettings, description="how students learn to answer")
    weak_sft: SftSettings | None = Field(None, description="the weak model's; null: as sft")
    weak_dpo: DpoSettings | None = Field(None, description="the weak model's; null: as dpo")
    objective: Literal["dpo", "preference"] = Field(
        "dpo", description="what students learn: to answer (Tao & Li), or to say which response is better (SEAM)"
    )
    preference_model: PreferenceModelSettings = Field(
        default_factory=PreferenceModelSettings, description="how students learn to choose"
    )
    weak_preference_model: PreferenceModelSettings | None = Field(
        None, description="the weak model's; null: as preference"
    )
    sft_data: Literal["shared", "own"] = Field(
        "shared",
        description="ours: shared is the human-chosen responses of the labeled pairs, one SFT for every arm, so that arms "
        "differ in feedback alone; own is the arm's chosen responses (paper)",
    )


class Arm(Settings):
    """A student that differs from the others in who labeled the unlabeled pairs, or in how it learns from them."""

    annotator: AnnotatorField = Field(description="who labels the unlabeled pairs")
    calibration: Calibration | None = Field(None, description="null: probabilities as the annotator gives them")
    filter: FilterField | None = Field(None, description="which of the labels are trained on; null: all")
    dpo: DpoSettings | None = Field(None, description="null: the study's")
    preference_model: PreferenceModelSettings | None = Field(None, description="null: the study's")
    train: bool = Field(True, description="false: labels alone, no student learns from them")
    description: str = Field("", description="shown in the report")
    compare_with: tuple[str, ...] = Field(
        (), description="rows that the report compares it with, besides sft, human and flipped"
    )


class Judging(Settings):
    """What the judges compare."""

    baseline: str | None = Field(None, description="the row that every other is judged against; null: sft, else base")
    human_agreement_pairs: int = Field(
        100, ge=0, description="test pairs on which each judge is held to people; 0: none"
    )


class Study(Settings):
    """The whole of it. `trimtab plan STUDY.yaml` shows what it unfolds into."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="small letters, digits and -")
    description: str = Field("", description="shown in the report")
    seed: int = Field(22, description="paper, for the split; here of everything that is drawn")
    data: Annotated[Component | PredefinedSplits, PlainValidator(_parse_data), PlainSerializer(_dump_data)] = Field(
        description="one source, which is split, or the three sides, a source each"
    )
    split: SplitSettings = Field(
        default_factory=SplitSettings, description="how one source is parted; three sides are taken as they are"
    )
    max_length: int = Field(512, ge=8, description="paper; prompt and longer response, by either model's tokenizer")
    models: Models = Field(description="who labels and who learns")
    training: Training = Field(default_factory=Training, description="of both models")
    arms: Mapping[str, Arm] = Field(
        default_factory=dict,
        description="by a name of yours, besides `human`, `weak` and `flipped`, which are always there",
    )
    generation: Sampling = Field(default_factory=Sampling, description="of the answers to the test prompts")
    num_test_prompts: int | None = Field(None, ge=1, description="test prompts to answer; null: all")
    scorers: Mapping[str, ScorerField] = Field(default_factory=dict, description="gold rewards, by a name of yours")
    score_unlabeled_pairs: bool = Field(
        False, description="gold rewards of the unlabeled pairs' responses too, for `trimtab agree` (table 2)"
    )
    response_similarity: ResponseSimilarity | None = Field(None, description="of answers in meaning; null: not told")
    kl_to_reference: bool = Field(
        True, description="how far each policy has moved from its reference, on its own answers"
    )
    judges: Mapping[str, JudgeField] = Field(default_factory=dict, description="of two answers, by a name of yours")
    judging: Judging = Field(default_factory=Judging, description="what judges compare")
    ood_eval: Mapping[str, SourceField] = Field(
        default_factory=dict,
        description="labeled pairs of other domains, by a name of yours: accuracy is told there, too",
    )
    num_report_samples: int = Field(4, ge=0, description="test prompts shown in the report with every arm's answer")

    @field_validator("judges")
    @classmethod
    def _validate_judges(cls, judges: Mapping[str, Component]) -> Mapping[str, Component]:
        for name, judge in judges.items():
            if not _is_valid_name(name):
                raise ValueError(f"{name!r}: a name is letters, digits, - and _")
            as_judge(judge)
        return judges

    @field_validator("arms")
    @classmethod
    def _validate_arm_names(cls, arms: Mapping[str, Arm]) -> Mapping[str, Arm]:
        taken = sorted(set(arms) & set(RESERVED_ROWS))
        if taken:
            raise ValueError(f"{taken[0]}: every study has this row already; choose another name")
        wrong = [name for name in arms if not _is_valid_name(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r}: a name is letters, digits, - and _")
        return arms

    @model_validator(mode="after")
    def _validate_comparisons(self) -> Self:
        rows = (*RESERVED_ROWS, *BUILT_IN_ARMS, *self.arms)
        for name, arm in self.arms.items():
            for other in arm.compare_with:
                if other not in rows:
                    known = ", ".join(dict.fromkeys(rows))
                    raise ValueError(f"arms.{name}.against: there is no row {other!r} (there are: {known})")
                if other == name:
                    raise ValueError(f"arms.{name}.against: an arm is not compared with itself")
                if not arm.train or (other in self.arms and not self.arms[other].train):
                    untrained = other if arm.train else name
                    raise ValueError(
                        f"arms.{name}.against: {untrained} has train: false, so there is no student to compare"
                    )
        return self

    @model_validator(mode="after")
    def _validate_sft_data(self) -> Self:
        if self.training.sft is None and self.training.sft_data == "own":
            raise ValueError("training.sft_target: own needs training.sft, which is null")
        return self

    @model_validator(mode="after")
    def _validate_judging(self) -> Self:
        if not self.judges and self.judging != Judging():
            raise ValueError("judging: the study has no judges that would read it")
        return self

    @model_validator(mode="after")
    def _validate_scorers(self) -> Self:
        if self.score_unlabeled_pairs and not self.scorers:
            raise ValueError("reward_unlabeled: there is no scorer under evaluation to give rewards")
        return self

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        if self.training.objective == "preference":
            if self.response_similarity:
                raise ValueError(
                    "similarity: training.student is preference, and such students write nothing to compare"
                )
            if self.scorers:
                raise ValueError("evaluation: training.student is preference, and such students write nothing to score")
            if self.judges:
                raise ValueError("judges: training.student is preference, and such students write nothing to judge")
            for name, arm in self.arms.items():
                if arm.dpo is not None:
                    raise ValueError(f"arms.{name}.dpo: training.student is preference, which does without DPO")
        asked = self._engine_model_names()
        for name, arm in self.arms.items():
            teaches = f"@{name}.preference" in asked
            if arm.preference_model is not None and self.training.objective != "preference" and not teaches:
                raise ValueError(
                    f"arms.{name}.preference: training.student is {self.training.objective}, which reads `dpo`, and nobody asks "
                    f"@{name}.preference"
                )
            if not arm.train and (arm.dpo or (arm.preference_model and not teaches)):
                raise ValueError(f"arms.{name}: train is false, so no student reads its settings for training")
        return self

    def _engine_model_names(self) -> set[str]:
        """The names of the models that annotators and judges ask."""
        askers = [*(arm.annotator for arm in self.arms.values()), *self.judges.values()]
        return {str(getattr(engine, "model", "")) for each in askers for engine in list_engine_configs(each).values()}

    @property
    def split_seed(self) -> int:
        """The seed of the split: its own where it has one."""
        return self.seed if self.split.seed is None else self.split.seed

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> Study:
        """The study in a YAML file, with `key.sub=value` changes put over it. Relative paths are from the working folder."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise StudyError(f"{path}: {error.strerror or error}; a study is a YAML file") from error
        return cls.parse(text, overrides, str(path))

    @classmethod
    def parse(cls, text: str, overrides: Sequence[str] = (), location: str = "study") -> Study:
        """The study that YAML text describes. Raises `StudyError` with a line for each thing that is wrong."""
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise StudyError(f"{location}: not YAML: {error}") from error
        if not isinstance(document, dict):
            raise StudyError(f"{location}: expected a mapping of settings, found {type(document).__name__}")
        for change in overrides:
            document = apply_override(document, change)
        return validate_settings(cls, document)

    def to_yaml(self) -> str:
        """The settings that differ from their defaults, as YAML that reads back to an equal study."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _is_valid_name(text: str) -> bool:
    return text.replace("_", "").replace("-", "").isalnum()
