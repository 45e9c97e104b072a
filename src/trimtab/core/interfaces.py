"""What the parts of a study promise one another. A component is a frozen class whose fields are its settings."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from trimtab.core.component import Component
from trimtab.types import (
    Annotation,
    Choice,
    ChoiceScores,
    Comparison,
    Completion,
    Dataset,
    EngineRequest,
    Generation,
    Order,
    Pair,
    Score,
    Verdict,
)


class ProgressTick(Protocol):
    """One running progress bar: call it with the number of units done since the last call."""

    def __call__(self, done: int = 1) -> None: ...


class Progress(Protocol):
    """Startable progress bars. `unit` is the plural of what is counted: pairs, steps, prompts."""

    def __call__(self, label: str, total: int, unit: str) -> AbstractContextManager[ProgressTick]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where and how a study runs: never part of it, since it bears on rounding at most.

    `token_budget` is how many tokens one forward pass may hold; `arguments` go to `transformers.TrainingArguments`.
    Of `world` processes that share the training, as `torchrun` starts them, the one of `rank` 0 leads: it alone writes.
    """

    progress: Progress
    notify: Callable[[str], None]
    device: str = "cpu"
    token_budget: int = 1024
    trainer_arguments: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0


@runtime_checkable
class Source(Protocol):
    """Where pairs come from."""

    def load(self) -> Dataset: ...

    def content_hash(self) -> str:
        """What the pairs depend on besides the settings: the hash of the files' bytes, a generator's version, a revision."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseScores:
    """Summed log-probabilities of a pair's two responses, in nats, and their token counts (end of turn included).

    Where the model could not read the pair they are nan, and `note` says why.
    """

    a: float
    b: float
    n_a: int
    n_b: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """Of which model and which of its layers features are read; no layers stands for one a little above half of its depth."""

    model: str
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFeatures:
    """What the layers hold of a pair's response `a` less what they hold of `b`: a float32 array, and the tokens read for it."""

    values: Any
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelSpec:
    """Which model is trained to give rewards, and how (`training.settings.Reward`)."""

    model: str
    training: Any


class PairwisePrompt(Protocol):
    """A question about a pair with two answers to it."""

    @property
    def candidates(self) -> tuple[str, str]:
        """What may follow the question: that the first response is better, that the second one is."""
        ...

    def build_verdict_request(self, pair: Pair, order: Order) -> EngineRequest:
        """The question, with the responses in this order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """What a model learns to answer: a `form`, and how it is told from others, a `name` for people and `settings` for
    identity. The plain one has neither."""

    prompt: PairwisePrompt
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorInputs:
    """What an annotator may read besides the pairs: what it said it needs, of the whole set, keyed by pair id.

    `logprobs`: a table for each model that it named. `engines`: an open engine for each that it named. `labels`: the
    annotations of each arm that it named. `human`: the human labels, where they are known. `pairs`: those that are labeled,
    for filters and for annotators that learn. `labeled`: the pairs that people labeled, to learn from. `features`: those of the
    pairs of either kind. `rewards`: what the reward model that was trained for the annotator gives each response. `held_out`:
    for filters, labels of the labeled pairs by annotators that did not learn from them.
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


@runtime_checkable
class Engine(Protocol):
    """A language model that can be asked. Answers come in the order of the questions and do not depend on each other.

    A question that a server could not answer gives a failed reply, never an exception; what no question can mend (a wrong
    key, a model that is not there) raises `EngineError`.
    """

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        """What the model writes. Temperature 0 is greedy."""
        ...

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        """How likely each candidate is to come next; `candidates` holds those of each question.

        By whole candidate (summed log-probability), or by its first token alone; `ended` adds the end of the turn to
        each candidate.
        """
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that hands its answers out as they come, in any order, each by the place of its question.

    What it has handed out is kept at once, so that a kill loses no more than one batch. Questions whose places are in `known`
    are not asked; they are told so that the others come in the batches that they would be in without, and to the same bits.
    """

    def iter_generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        skip: Container[int] = (),
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[Mapping[int, Generation]]: ...

    def iter_score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        skip: Container[int] = (),
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> Iterator[Mapping[int, ChoiceScores]]: ...


@runtime_checkable
class EngineConfig(Protocol):
    """Settings of an engine. `identity` is what its answers depend on besides the settings, such as the weights' hash."""

    def start(self, runtime: Runtime) -> Engine: ...

    def content_hash(self) -> str: ...


@runtime_checkable
class Annotator(Protocol):
    """Which of two responses is the better? One annotation a pair, in order; no label depends on the other pairs."""

    def logprob_models(self) -> Sequence[str]:
        """The models whose log-probabilities of the pairs it reads: `@weak`, a path, a hub id."""
        ...

    def required_arms(self) -> Sequence[str]:
        """The arms whose labels it reads."""
        ...

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]: ...


@runtime_checkable
class UsesEngines(Protocol):
    """An annotator or a judge that puts questions to language models while it works."""

    def engines(self) -> Mapping[str, Component]:
        """The engines' settings by the name under which they are given: `weak`, `strong`."""
        ...


@runtime_checkable
class UsesFeatures(Protocol):
    """An annotator that learns from the labeled pairs by what a model's layers hold of the responses."""

    def features(self) -> FeatureSpec: ...


@runtime_checkable
class HasTrainingTask(Protocol):
    """An annotator that says on what question a model is trained that it asks as `@weak.preference`."""

    def training_task(self) -> TrainingTask: ...


@runtime_checkable
class UsesRewardModel(Protocol):
    """An annotator for which a reward model is trained on the labeled pairs."""

    def reward_model(self) -> RewardModelSpec: ...


@runtime_checkable
class HasContentHash(Protocol):
    """What depends on something besides its settings, such as the text of a file that they name."""

    def content_hash(self) -> str: ...


@runtime_checkable
class UsesOutOfFoldLabels(Protocol):
    """A filter that is told how the arm's annotator does on labeled pairs that it did not learn from, in so many folds."""

    folds: int


@runtime_checkable
class Filter(Protocol):
    """Which labels are good enough to train on?"""

    def required_arms(self) -> Sequence[str]:
        """The arms whose labels it reads besides those that it filters."""
        ...

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        """One answer an annotation, in order; those that abstained or failed are never kept. Raises `DataError` where
        nothing would be kept."""
        ...


@runtime_checkable
class HasPreflight(Protocol):
    """What can tell before any work whether its model will do, and raises `ModelError`, an engine `EngineError`, where not."""

    def preflight(self, runtime: Runtime) -> None: ...


@runtime_checkable
class Scorer(Protocol):
    """How good is each completion? One score a completion, in order."""

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]: ...

    def content_hash(self) -> str:
        """What scores depend on besides the settings: a model's weights, a checker's version."""
        ...


@runtime_checkable
class StreamingScorer(Protocol):
    """A scorer whose score of one completion does not depend on the others, so that scores are kept while it works."""

    def iter_scores(self, completions: Sequence[Completion], runtime: Runtime) -> Iterator[Score]:
        """One score a completion, in order, made when it is asked for."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Which of two answers is the better? One verdict a contest, in order; no verdict depends on the other contests."""

    def judge(self, contests: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        """`engines` holds an open engine for each that the judge said it asks (`Asks`)."""
        ...
