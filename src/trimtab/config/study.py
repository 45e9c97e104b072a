"""The settings of a study: a frozen tree, written in YAML or in Python with equal results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, field_validator, model_validator

from trimtab.config.calibration import Calibration
from trimtab.config.data_sources import StudyData, TrainTestSources, dump_data, parse_data
from trimtab.config.judging import Judging
from trimtab.config.names import MAX_NAME_LENGTH, PREFERRED_RESPONSES, SFT_ROW, Name, validate_names
from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.config.rounds import Rounds, validate_round_arms
from trimtab.config.sft_data import SftData
from trimtab.config.study_files import StudyDocument, load_study_documents
from trimtab.config.training import DpoSettings, PreferenceModelSettings, SftSettings
from trimtab.core.component import Component, ComponentField, Settings, SourceField, apply_override, validate_settings
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import Judge, LearningJudge
from trimtab.core.yaml_text import parse_yaml
from trimtab.data.split import SplitSettings
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.models.inference.sampling import Sampling

AnnotatorField = Annotated[Component, ComponentField("annotators")]
ScorerField = Annotated[Component, ComponentField("scorers")]
Scorers = Mapping[Name, ScorerField]
ScorersField = Annotated[Scorers, BeforeValidator(lambda value: {} if value is None else value, Scorers | None)]
JudgeField = Annotated[Component, ComponentField("judges")]
FilterField = Annotated[Component, ComponentField("filters")]

# The name of `models.weak` among the weak models, as in `@weak`.
MAIN_WEAK_MODEL = "weak"

# Rows of the results without labels of their own, and arms that every study has. The settings of built-in arms can be
# changed, but the arms cannot be removed.
BASELINE_ROWS = ("base", SFT_ROW)
RESERVED_ROWS = (*BASELINE_ROWS, "weak_model")
BUILT_IN_ARMS = ("human", "weak", "flipped")


class Models(Settings):
    """The weak model, which labels pairs, and the student, which is aligned on the labels."""

    weak: Model = Field(description="learns from the labeled pairs")
    weak_models: Mapping[Name, Model] = Field(
        default_factory=dict,
        description="more weak models by name, trained like `weak`; annotators use them as `@NAME`, `@NAME.sft`, `@NAME.base` "
        "and `@NAME.preference_model`",
    )
    student: Model = Field(description="is aligned on each arm's labels")


class Training(Settings):
    """Training of both models. The weak model may have its own settings (Tao & Li use the same for both)."""

    sft: SftSettings | None = Field(default_factory=SftSettings, description="null: DPO starts from the base model")
    dpo: DpoSettings = Field(default_factory=DpoSettings, description="DPO of students")
    weak_sft: SftSettings | None = Field(None, description="paper, null: same as sft; SFT of the weak model")
    weak_dpo: DpoSettings | None = Field(None, description="paper, null: same as dpo; DPO of the weak model")
    objective: Literal["dpo", "preference_model"] = Field(
        "dpo",
        description="paper, dpo: students are policies; preference_model (SEAM): they choose the better of two responses",
    )
    preference_model: PreferenceModelSettings = Field(
        default_factory=PreferenceModelSettings, description="training of students as preference models"
    )
    weak_preference_model: PreferenceModelSettings | None = Field(
        None, description="our default, null: same as preference_model; preference model of the weak model"
    )
    sft_data: SftData = Field(
        "human_chosen",
        description="our default, human_chosen: the human-chosen responses of the labeled pairs, one SFT model for every "
        "arm, so that arms differ in their labels only; arm_chosen (paper, as we read it): the responses that the arm's labels "
        "prefer, one SFT model and one row `sft.ARM` per arm, which the report compares the arm with; a source: its prompts "
        "and responses (SEAM uses Alpaca)",
    )


class Arm(Settings):
    """A student that differs from the others in its labels, or in how it learns from them."""

    annotator: AnnotatorField = Field(description="labels the unlabeled pairs")
    calibration: Calibration | None = Field(
        None, description="paper, null: probabilities as the annotator returns them"
    )
    filter: FilterField | None = Field(None, description="paper, null: all labels; selects the labels to train on")
    dpo: DpoSettings | None = Field(None, description="our default, null: the study's")
    preference_model: PreferenceModelSettings | None = Field(None, description="our default, null: the study's")
    labels_only: bool = Field(
        False, description="our default; true: labels are computed, but no student is trained on them"
    )
    description: str = Field("", description="shown in the report")
    compare_with: tuple[str, ...] = Field(
        (), description="rows that the report compares this arm with, besides sft, human and flipped"
    )


class Study(Settings):
    """A complete study. `trimtab plan STUDY.yaml` shows its stages."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=MAX_NAME_LENGTH, description="lowercase letters, digits and hyphens"
    )
    description: str = Field("", description="shown in the report")
    seed: int = Field(22, description="paper for the split, our default for everything else that is random")
    data: Annotated[StudyData, PlainValidator(parse_data, StudyData), PlainSerializer(dump_data)] = Field(
        description="one source, which is split; a training source, which is split, and a test source; or one source for "
        "each of the three splits"
    )
    split: SplitSettings = Field(
        default_factory=SplitSettings, description="how one source is split; ignored with predefined splits"
    )
    max_length: int = Field(512, ge=8, le=2**20, description="paper; we count the prompt and the longer response")
    length_tokenizer: Model | None = Field(
        None,
        description="our default (the paper does not state it), null: those of all models of the study; model whose tokenizer "
        "and chat template count max_length, so that studies of different models have the same pairs",
    )
    models: Models = Field(description="the weak model and the student")
    training: Training = Field(default_factory=Training, description="training of both models")
    arms: Mapping[Name, Arm] = Field(
        default_factory=dict, description="arms by name, in addition to the built-in `human`, `weak` and `flipped`"
    )
    rounds: Rounds | None = Field(None, description="our default, null: one round; iterative alignment of some arms")
    generation: Sampling = Field(default_factory=Sampling, description="sampling of responses to the test prompts")
    num_test_prompts: int | None = Field(
        None, ge=1, description="paper, null: all; test prompts to generate responses to"
    )
    scorers: ScorersField = Field(
        default_factory=dict, description="gold rewards by name; null: none, even if an extended file has some"
    )
    score_unlabeled_pairs: bool = Field(
        False,
        description="our default; true: also score the unlabeled pairs' responses, for `trimtab compare-labels` (table 2)",
    )
    response_similarity: ResponseSimilarity | None = Field(
        None, description="our default, null: not computed; semantic similarity of responses"
    )
    kl_to_reference: bool = Field(
        True, description="our default; KL divergence of each policy from its reference, on its own responses"
    )
    judges: Mapping[Name, JudgeField] = Field(default_factory=dict, description="pairwise judges by name")
    judging: Judging = Field(default_factory=Judging, description="what the judges compare")
    ood_eval: Mapping[Name, SourceField] = Field(
        default_factory=dict, description="labeled pairs of other domains by name, for out-of-domain accuracy"
    )
    label_price: float | None = Field(None, gt=0, description="our default, null: none; price of a human label")
    num_report_samples: int = Field(
        4, ge=0, description="our default; test prompts shown in the report with every arm's response"
    )

    @field_validator("arms", "judges", "ood_eval", "scorers")
    @classmethod
    def _validate_names(cls, named: Mapping[str, Any]) -> Mapping[str, Any]:
        validate_names(named)
        return named

    @field_validator("judges")
    @classmethod
    def _validate_judges(cls, judges: Mapping[str, Component]) -> Mapping[str, Component]:
        for name, judge in judges.items():
            if not isinstance(judge, Judge | LearningJudge):
                raise ValueError(f"{name}: {type(judge).__name__} is not a judge (it needs `judge` or `fit`)")
        return judges

    @field_validator("arms")
    @classmethod
    def _validate_arm_names(cls, arms: Mapping[Name, Arm]) -> Mapping[Name, Arm]:
        if taken := sorted(set(arms) & {*RESERVED_ROWS, PREFERRED_RESPONSES}):
            raise ValueError(f"{taken[0]}: every study already has this row; choose another name")
        return arms

    @model_validator(mode="after")
    def _validate_comparisons(self) -> Self:
        rows = tuple(dict.fromkeys((*RESERVED_ROWS, *BUILT_IN_ARMS, *self.arms)))
        if self.training.sft_data == "arm_chosen":  # arms have an SFT row each, and are always compared with it
            rows = tuple(row for row in rows if row != SFT_ROW)
        for name, arm in self.arms.items():
            for other in arm.compare_with:
                if other not in rows:
                    raise ValueError(
                        f"arms.{name}.compare_with: unknown row {other!r} (expected one of: {', '.join(rows)})"
                    )
                if other == name:
                    raise ValueError(f"arms.{name}.compare_with: an arm cannot be compared with itself")
                untrained = [each for each in (name, other) if each in self.arms and self.arms[each].labels_only]
                if untrained:
                    raise ValueError(
                        f"arms.{name}.compare_with: {untrained[0]} has labels_only: true, so it has no student to compare"
                    )
        return self

    @model_validator(mode="after")
    def _validate_weak_models(self) -> Self:
        names = self.models.weak_models
        try:
            validate_names(names)
        except ValueError as error:
            raise ValueError(f"models.weak_models: {error}") from error
        if taken := sorted(set(names) & {MAIN_WEAK_MODEL, "student", *BUILT_IN_ARMS, *self.arms}):
            raise ValueError(
                f"models.weak_models.{taken[0]}: an arm or a model of the study has this name; choose another"
            )
        return self

    @model_validator(mode="after")
    def _validate_split(self) -> Self:
        if isinstance(self.data, TrainTestSources) and self.split.test != SplitSettings().test:
            raise ValueError("split.test: unused, since data has a test source; limit its pairs with split.max_test")
        return self

    @model_validator(mode="after")
    def _validate_sft_data(self) -> Self:
        if self.training.sft is None and self.training.sft_data != "human_chosen":
            raise ValueError("training.sft_data: unused, since training.sft is null")
        return self

    @model_validator(mode="after")
    def _validate_judging(self) -> Self:
        if not self.judges and self.judging != Judging():
            raise ValueError("judging: the study has no judges to which this applies")
        return self

    @model_validator(mode="after")
    def _validate_rounds(self) -> Self:
        if self.rounds is not None:
            arms = dict.fromkeys((*BUILT_IN_ARMS, *self.arms))
            validate_round_arms(self.rounds, arms, [name for name, arm in self.arms.items() if arm.labels_only])
        return self

    @model_validator(mode="after")
    def _validate_scorers(self) -> Self:
        if self.score_unlabeled_pairs and not self.scorers:
            raise ValueError("score_unlabeled_pairs: requires at least one scorer in scorers")
        return self

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        if self.training.objective == "preference_model":
            self._reject_generation_settings()
        engine_models = self._engine_model_names()
        for name, arm in self.arms.items():
            is_prompted = f"@{name}.preference_model" in engine_models
            if arm.preference_model and self.training.objective != "preference_model" and not is_prompted:
                raise ValueError(
                    f"arms.{name}.preference_model: unused, since training.objective is {self.training.objective}, which reads "
                    f"`dpo`, and no component prompts @{name}.preference_model"
                )
            if arm.labels_only and (arm.dpo or (arm.preference_model and not is_prompted)):
                raise ValueError(f"arms.{name}: labels_only is true, so its training settings are unused")
        return self

    def _reject_generation_settings(self) -> None:
        """Preference models generate no responses, so settings about responses are errors."""
        unused = {
            "response_similarity": (self.response_similarity, "compare"),
            "scorers": (self.scorers, "score"),
            "judges": (self.judges, "judge"),
            "rounds": (self.rounds, "label"),
        }
        for key, (value, verb) in unused.items():
            if value:
                raise ValueError(
                    f"{key}: training.objective is preference_model, and preference models generate no responses to {verb}"
                )
        for name, arm in self.arms.items():
            if arm.dpo is not None:
                raise ValueError(f"arms.{name}.dpo: unused, since training.objective is preference_model")

    def _engine_model_names(self) -> set[str]:
        """The names of the models that annotators and judges prompt."""
        components = [*(arm.annotator for arm in self.arms.values()), *self.judges.values()]
        engines = [engine for component in components for engine in list_engine_configs(component).values()]
        return {str(getattr(engine, "model", "")) for engine in engines}

    @property
    def split_seed(self) -> int:
        """The seed of the split: `split.seed` if set, otherwise `seed`."""
        return self.seed if self.split.seed is None else self.split.seed

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = (), variant: str | None = None) -> Study:
        """Loads a study from a YAML file and applies `key.sub=value` overrides.

        `variant` is one of the variants in the file. Relative paths in the study are relative to the working directory.
        """
        documents = load_study_documents(Path(path), overrides)
        names = ", ".join(documents)
        if variant is None and "" not in documents:
            raise StudyError(f"{path}: holds several studies; choose one of the variants: {names}")
        if variant is not None and variant not in documents:
            expected = f"expected one of: {names}" if names else "the file has no variants"
            raise StudyError(f"{path}: unknown variant {variant!r} ({expected})")
        return cls._validate_document(documents[variant or ""])

    @classmethod
    def load_variants(
        cls, path: str | Path, overrides: Sequence[str] = (), variants: Sequence[str] = ()
    ) -> dict[str, Study]:
        """Loads the studies of a YAML file, by variant: all of them, or only `variants`.

        The key is empty if the file has no variants. Raises `StudyError` for a variant that the file does not have.
        """
        documents = load_study_documents(Path(path), overrides)
        for variant in variants:
            if variant not in documents:
                names = ", ".join(name for name in documents if name)
                expected = f"expected one of: {names}" if names else f"{path} has no variants"
                raise StudyError(f"--variant {variant}: unknown variant ({expected})")
        return {
            name: cls._validate_document(document)
            for name, document in documents.items()
            if not variants or name in variants
        }

    @classmethod
    def _validate_document(cls, document: StudyDocument) -> Study:
        try:
            return validate_settings(cls, document.settings)
        except StudyError as error:
            raise document.name_places(error) from error

    @classmethod
    def parse(cls, text: str, overrides: Sequence[str] = (), location: str = "study") -> Study:
        """Parses a study from YAML text. Raises `StudyError` with one line per error."""
        document = parse_yaml(text, location)
        if not isinstance(document, dict):
            raise StudyError(f"{location}: expected a mapping of settings, found {type(document).__name__}")
        for override in overrides:
            document = apply_override(document, override)
        return validate_settings(cls, document)

    def to_yaml(self) -> str:
        """The settings that differ from their defaults, as YAML that parses to an equal study."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
