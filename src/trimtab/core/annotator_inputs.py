"""Values that annotators and filters declare and receive: log-probabilities, hidden states, labels, reward models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from trimtab.types import Annotation, Choice, Pair

if TYPE_CHECKING:
    from trimtab.core.component import Component
    from trimtab.core.interfaces import Engine, PairwisePrompt


# What filters can rank labels by. confidence: probabilities other than 0 and 1; margin: a raw score; tree_score: the score of a
# search tree; order_consistency: whether the two presentation orders agree.
LabelField = Literal["confidence", "margin", "tree_score", "order_consistency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseScores:
    """Summed log-probabilities of a pair's two responses, in nats, and their token counts (end of turn included).

    If the model could not process the pair, both scores are NaN and `note` gives the reason.
    """

    a: float
    b: float
    n_a: int
    n_b: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """The model and the layers whose hidden states are read. Without layers: one slightly above half the model's depth."""

    model: str
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFeatures:
    """Hidden states of response `a` minus those of response `b`: a float32 array, and the number of tokens processed."""

    values: Any
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelSpec:
    """The base model of a reward model and its training settings (`config.training.RewardModelSettings`)."""

    model: str
    training: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """The prompt format that a preference model is fine-tuned on.

    `name` and `settings` distinguish it from other tasks: `name` for display, `settings` for identity. The default task
    has neither.
    """

    prompt: PairwisePrompt
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What an annotator, filter or judge needs besides the pairs. By default nothing.

    `logprob_models`: models whose log-probabilities of the pairs it reads (`@weak`, a path, a hub id). `arms`: arms whose
    labels it reads. `engines`: settings of the engines that it prompts, by name. `build_training_task`: returns the task that a
    preference model among its engines is trained on, if it is not the default task. `features`: hidden states that it is
    trained on, with the labeled pairs. `labeled_pairs`: whether it fits something to the labeled pairs without features.
    `reward_model`: a reward model to train on the labeled pairs. `human_labels`: whether it
    reads human labels of the pairs to label. `cross_fit_folds`: for filters, the number of folds of the out-of-fold labels
    that it reads; 0 for none. `label_fields`: for filters, what the labels must have. `uncalibrated`: for filters, whether it
    compares the labels with out-of-fold labels, which are not calibrated.
    """

    logprob_models: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    engines: Mapping[str, Component] = field(default_factory=dict)
    build_training_task: Callable[[], TrainingTask] | None = None
    features: FeatureSpec | None = None
    labeled_pairs: bool = False
    reward_model: RewardModelSpec | None = None
    human_labels: bool = False
    cross_fit_folds: int = 0
    label_fields: frozenset[LabelField] = frozenset()
    uncalibrated: bool = False

    @property
    def learns(self) -> bool:
        """Whether something is trained or fitted on the labeled pairs."""
        is_trained = self.features is not None or self.reward_model is not None
        return is_trained or self.labeled_pairs or self.cross_fit_folds > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorInputs:
    """Inputs an annotator or filter declared it needs, for the whole set of pairs, keyed by pair id.

    `logprobs`: one table per required model. `engines`: one open engine per required engine. `labels`: the annotations of
    each required arm. `human_labels`: human labels, if known. `pairs`: the pairs to label (for filters and for annotators
    that learn). `labeled_pairs`: pairs with human labels, to learn from. `features`: hidden states of both kinds of pairs.
    `rewards`: scores by the reward model trained for the annotator. `out_of_fold_labels`: for filters, labels of the
    labeled pairs by annotators that were not trained on them.
    """

    logprobs: Mapping[str, Mapping[str, ResponseScores]] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, Annotation]] = field(default_factory=dict)
    human_labels: Mapping[str, Choice] = field(default_factory=dict)
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    labeled_pairs: Sequence[Pair] = ()
    features: Mapping[str, PairFeatures] = field(default_factory=dict)
    rewards: Mapping[str, ResponseScores] = field(default_factory=dict)
    out_of_fold_labels: Mapping[str, Annotation] = field(default_factory=dict)
