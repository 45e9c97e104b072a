"""Protocols between the parts of a study. A component is a frozen class whose fields are its settings."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.runtime import Runtime
from trimtab.types import (
    Annotation,
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


@runtime_checkable
class Source(Protocol):
    """A source of pairs."""

    def load(self) -> Dataset: ...

    def content_hash(self) -> str:
        """Identifies what the pairs depend on besides the settings: file contents, a generator version, a revision."""
        ...


class PairwisePrompt(Protocol):
    """A prompt that asks which response of a pair is better."""

    @property
    def candidates(self) -> tuple[str, str]:
        """The two possible answers: the first response is better, the second response is better."""
        ...

    def build_verdict_request(self, pair: Pair, order: Order) -> EngineRequest:
        """Builds the request with the responses in this order."""
        ...


@runtime_checkable
class Engine(Protocol):
    """A language model that can be prompted. Results come in request order and do not depend on each other.

    If a server cannot answer one request, the result has status `failed`; there is no exception. Errors that affect every
    request (a wrong key, an unknown model) raise `EngineError`.
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
        """Continues each request. Temperature 0 is greedy."""
        ...

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        """Returns the probability of each candidate continuation; `candidates` has one sequence per request.

        Scores whole candidates (summed log-probability), or only their first token. `include_end_of_turn` appends the
        end-of-turn token to each candidate.
        """
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that yields results as they complete, in any order, keyed by request index.

    Callers cache each batch immediately, so a killed process loses at most one batch. Requests whose index is in `skip` are
    not run. They are still passed so that the remaining requests form the same batches and give bit-identical results.
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
    """Settings of an engine. `content_hash` identifies what results depend on besides the settings, such as the weights."""

    def start(self, runtime: Runtime) -> Engine: ...

    def content_hash(self) -> str: ...


@runtime_checkable
class Annotator(Protocol):
    """Chooses the better of two responses. Returns one annotation per pair, in order; labels are independent of each other."""

    def requirements(self) -> Requirements: ...

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]: ...


@runtime_checkable
class HasLabelFields(Protocol):
    """An annotator that declares what its labels have besides the choice, so that unsuitable filters are found early."""

    def label_fields(self) -> frozenset[LabelField]: ...


@runtime_checkable
class HasRequirements(Protocol):
    """An annotator, filter or judge, which declares what it needs besides the pairs."""

    def requirements(self) -> Requirements: ...


@runtime_checkable
class HasContentHash(Protocol):
    """A component that depends on something besides its settings, such as the contents of a file."""

    def content_hash(self) -> str: ...


@runtime_checkable
class Filter(Protocol):
    """Selects the labels that are good enough to train on."""

    def requirements(self) -> Requirements: ...

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        """Returns one flag per annotation, in order; annotations that abstained or failed are never kept.

        Raises `DataError` if nothing would be kept.
        """
        ...


@runtime_checkable
class HasFacts(Protocol):
    """A filter that records more than how many labels it kept, such as a guarantee."""

    def collect_facts(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> Mapping[str, Any]:
        """Values for the record of the stage, as plain JSON values. The labels and inputs are those of `keep`."""
        ...


@runtime_checkable
class HasPreflight(Protocol):
    """A component that can check before any work whether its model is usable.

    Raises `ModelError` if it is not; engines raise `EngineError`.
    """

    def preflight(self, runtime: Runtime) -> None: ...


@runtime_checkable
class Scorer(Protocol):
    """Scores completions. Returns one score per completion, in order.

    `score` gets all completions at once. A class whose scores do not depend on which completions are scored together can set
    `INDEPENDENT: ClassVar[bool] = True`; then it gets chunks of them, in several processes if a run has several, and each
    chunk is saved.
    """

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]: ...

    def content_hash(self) -> str:
        """Identifies what scores depend on besides the settings: a model's weights, a checker's version."""
        ...


@runtime_checkable
class StreamingScorer(Protocol):
    """A scorer that scores one completion at a time, so that chunks of scores can be saved, each by another process."""

    def load_score_function(self, runtime: Runtime) -> Callable[[Completion], Score]:
        """Loads what scoring needs, such as a model, and returns the function that scores one completion."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Chooses the better of two responses. Returns one verdict per comparison, in order; verdicts are independent."""

    def requirements(self) -> Requirements: ...

    def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        """`engines` holds one open engine for each that the judge requires."""
        ...


@runtime_checkable
class LearningJudge(Protocol):
    """The settings of a judge that learns from human labels before it judges."""

    def requirements(self) -> Requirements: ...

    def fit(self, labeled_pairs: Sequence[Pair], engines: Mapping[str, Engine]) -> Judge:
        """Returns the judge. It judges none of these pairs. Raises `DataError` if there are too few human labels."""
        ...
