"""SEAM: the strong model searches over principles and generates thoughts; the weak model labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trimtab.annotators.seam.pair_state import PairState, describe_empty_thought, to_annotation
from trimtab.annotators.seam.scoring import ANSWER_TOKENS, score_judgments, score_strong_picks
from trimtab.annotators.seam.search import SearchState, TreeSearch
from trimtab.annotators.seam.tree import Labeler, NodeSelection, SearchLimits, Tree, select_labeler
from trimtab.annotators.seam.truncation import (
    MIN_RETAINED_FRACTION,
    estimate_request_tokens,
    estimate_tokens,
    truncate_pair,
)
from trimtab.annotators.seam.variants import (
    VARIANTS,
    AnswerScoring,
    EdgeWeights,
    Explanations,
    FirstResponse,
    PrincipleScoring,
    SeamPresentationOrder,
    Variant,
    VariantSettings,
)
from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements, TrainingTask
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.errors import StudyError
from trimtab.prompts.comparison import pick_random_order
from trimtab.prompts.principles import Principle, load_principles
from trimtab.prompts.seam import (
    SEAM_TRAINING_TASK,
    OrderedPair,
    build_judgment_request,
    build_preference_request,
    build_ranking_request,
    build_thought_requests,
)
from trimtab.types import Annotation, Pair

# Minimum budget for a pair: a conversation and two responses of a few words each.
_MIN_PAIR_TOKENS = 64


class Seam(Component):
    """Strong Empowered and Aligned Weak Mastered annotation (Li et al. 2025).

    For each pair, the `strong` model grows a path of thoughts about principles, best first, with one retry per level. The
    `weak` model labels given the deepest thought with information gain over its predecessor. `p_a` is the weak model's
    probability (or the strong model's own, for labels it decides), `margin` its log-odds in nats; exact ties abstain.
    `detail` has the tree and its `score`, which the filter `information` reads.

    `variant` sets the defaults of the following settings. `paper` follows the text, `released_code` the authors' code:
    `edge_weights`: `conditional` (paper, eq. 5) ranks the principles again after each choice, with those of the chain left
    out of the prompt; `static` (code) ranks all of them once;
    `principle_scoring`: by the `first_token` of each name (paper and code), which two names may share, or by the
    `full_name` (our addition). Equal weights: the first in the list of principles;
    `answer_scoring`: the probability of each answer (`sum` of log-probabilities; paper), or the softmax of the mean
    log-probability per token, end of turn included (`mean_with_eos`; code), which keeps all probabilities near 1/2;
    `explanations`: a `single` one per node (paper), or one `per_response` (code);
    `presentation_order`: a `single` one (paper and code), or the average over `both`, for labels and for node information
    (our addition: it cancels position bias, but a model that follows the position then has nodes of almost 0 bits);
    `first_response`: which response is first in a single order: `random` (determined by the texts, the same one as for the
    baselines with `presentation_order: random`; the paper does not state it), or the `strong_pick` (code);
    `node_selection`: what n_h is: the deepest node of the path with gain over its predecessor (`deepest_gain`; paper), or
    the last one before the first node without gain (`unbroken_gain`; code). They differ after a gain of 0, and without
    backtracking;
    `early_stop`: true (paper, rule 3) ends the search at the second node of a level with less information than its parent;
    false (code) always builds `max_depth` levels. With `unbroken_gain` this changes no label;
    `allow_reused_principles`: true (paper: they are not in the chain): a principle that was backtracked from may be used at
    deeper levels; false (code);
    `helpful_only_labeler`: which model labels pairs whose chain has no harmlessness principle: always the `weak` one
    (paper), or the `strong` one, by its own preference (code).
    Not reproduced of the released code: its prompts, its 8-bit weights, its silent truncation of long prompts, ties decided
    for the second response, the mean over 25 tokens for the strong model's own preference (here over 4: the same preference,
    but farther from 1/2), and training the student on all tokens, packed into blocks of 1024 (here on the answer only). Its
    filter is `information` with `select_by: median`.

    Ablations (table 3), each with the ones before it: `backtracking: false`, without rules 2 and 3, so every path has
    `max_depth` levels; `include_thoughts: false`: the weak model sees only the chain, and examples without explanations;
    `tree: false`: the strong model explains once, without principles.
    """

    SYMMETRIC: ClassVar[bool] = True
    VERSION: ClassVar[int] = 6

    weak: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@weak"})
    )
    strong: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@student"})
    )
    variant: Variant = "paper"
    edge_weights: EdgeWeights | None = None
    principle_scoring: PrincipleScoring | None = None
    answer_scoring: AnswerScoring | None = None
    explanations: Explanations | None = None
    presentation_order: SeamPresentationOrder | None = None
    first_response: FirstResponse | None = None
    early_stop: bool | None = None
    node_selection: NodeSelection | None = None
    helpful_only_labeler: Labeler | None = None
    allow_reused_principles: bool | None = None
    max_depth: int = Field(3, ge=1, description="released code; not stated in the paper")
    retries: int = Field(1, ge=0, description="paper (rule 3): one retry per level")
    backtracking: bool = True
    include_thoughts: bool = True
    tree: bool = True
    principles: str | None = Field(None, description="a YAML file of principles; null: the built-in ones")
    max_thought_tokens: int = Field(512, ge=1, description="released code; not stated in the paper")
    max_prompt_tokens: int = Field(4096, ge=1, description="our default; estimated from the text, thoughts included")
    on_overlong: Literal["fail", "truncate"] = "fail"

    @model_validator(mode="after")
    def _validate_ablations(self) -> Self:
        if not self.tree and not self.include_thoughts:
            raise StudyError(
                "include_thoughts: without a tree the thought is all there is to include; use `prompted` instead"
            )
        return self

    def requirements(self) -> Requirements:
        engines = {"weak": self.weak, "strong": self.strong}
        return Requirements(engines=engines, build_training_task=self.training_task)

    def label_fields(self) -> frozenset[LabelField]:
        declared: set[LabelField] = {"confidence", "margin"}
        if self.tree:
            declared.add("tree_score")
        if self.resolve_variant().presentation_order == "both":
            declared.add("order_consistency")
        return frozenset(declared)

    def content_hash(self) -> str:
        """Hash of the principles' texts, and of constants that some settings depend on.

        Raises `DataError` if the principles cannot be read, and `StudyError` if they leave no room for a pair.
        """
        content = repr(self._load_principles())
        if self.resolve_variant().answer_scoring == "mean_with_eos":
            content += f" means over {ANSWER_TOKENS}"
        if self.on_overlong == "truncate":
            content += f" truncated to {MIN_RETAINED_FRACTION} at least"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def training_task(self) -> TrainingTask:
        """The task a weak model is trained on: the judgment, without principles or a thought."""
        return SEAM_TRAINING_TASK

    def resolve_variant(self) -> VariantSettings:
        """The variant's settings, overridden by those set explicitly."""
        explicit = {field.name: getattr(self, field.name) for field in fields(VariantSettings)}
        return replace(VARIANTS[self.variant], **{key: value for key, value in explicit.items() if value is not None})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        principles = self._load_principles()
        budget = self.max_prompt_tokens - self._estimate_overhead(principles)
        states = [self._build_state(pair, budget) for pair in pairs]
        steps = (self._reorder_by_pick, self._search_trees, self._decide_labels)
        for step in steps if self.resolve_variant().first_response == "strong_pick" else steps[1:]:
            states = _apply_step(states, partial(step, principles=principles, inputs=inputs))
        return [to_annotation(state) for state in states]

    def _load_principles(self) -> tuple[Principle, ...]:
        principles = load_principles(self.principles)
        overhead = self._estimate_overhead(principles)
        if self.max_prompt_tokens - overhead < _MIN_PAIR_TOKENS:
            raise StudyError(
                f"max_prompt_tokens: {self.max_prompt_tokens} is too small: instructions, examples and thoughts take about "
                f"{overhead} tokens, so it must be at least {overhead + _MIN_PAIR_TOKENS} (or use fewer principles)"
            )
        return principles

    def _estimate_overhead(self, principles: Sequence[Principle]) -> int:
        """The estimated tokens of the longest request, without the pair's texts."""
        empty = OrderedPair(conversation="", first="", second="")
        per_response = self.resolve_variant().explanations == "per_response"
        by_length = sorted(
            principles,
            key=lambda item: estimate_request_tokens(build_thought_requests(empty, [item], per_response=False)[0]),
        )
        chain = by_length[-self.max_depth :][::-1] if self.tree else []
        thought_tokens = self.max_thought_tokens * (1 + per_response)
        requests = [
            *build_thought_requests(empty, chain, per_response=per_response),
            build_preference_request(empty, principles),
        ]
        requests += [build_ranking_request(empty, principles)] if self.tree else []
        return max(
            thought_tokens + estimate_request_tokens(build_judgment_request(empty, chain, ("",))),
            *map(estimate_request_tokens, requests),
        )

    def _build_state(self, pair: Pair, budget: int) -> PairState:
        """The initial state, possibly truncated or failed. The order is that of other annotators that use a random one."""
        a_first = pick_random_order(pair) == "a_first"
        ordered = OrderedPair.from_pair(pair, a_first)
        length = sum(map(estimate_tokens, (ordered.conversation, ordered.first, ordered.second)))
        state = PairState(pair=pair, ordered_pair=ordered, a_first=a_first)
        if length <= budget:
            return state
        note = f"too long: the pair has about {length} tokens and max_prompt_tokens leaves {budget}"
        if self.on_overlong == "fail":
            return replace(state, note=note, overlong="failed")
        truncated = truncate_pair(ordered, budget)
        if truncated.retained_fraction < MIN_RETAINED_FRACTION:
            reason = f"after truncation, one of its texts would keep {truncated.retained_fraction:.0%} of its words"
            return replace(state, note=f"{note}; {reason}", overlong="failed")
        if truncated.ordered_pair.first == truncated.ordered_pair.second:
            return replace(state, note=f"{note}; after truncation, its responses are identical", overlong="failed")
        return replace(
            state,
            ordered_pair=truncated.ordered_pair,
            overlong="truncated",
            words_removed=truncated.words_removed,
        )

    def _reorder_by_pick(
        self, states: Sequence[PairState], principles: Sequence[Principle], inputs: AnnotatorInputs
    ) -> list[PairState]:
        """Puts the strong model's pick first."""
        return [state.reorder_by_pick() for state in self._add_picks(states, principles, inputs)]

    def _add_picks(
        self, states: Sequence[PairState], principles: Sequence[Principle], inputs: AnnotatorInputs
    ) -> list[PairState]:
        pairs = [state.ordered_pair for state in states]
        picks = score_strong_picks(inputs.engines["strong"], pairs, principles, self.resolve_variant())
        return [
            replace(state, strong_pick=pick, note=pick.note, strong_p_a=state.to_p_a(pick.p_first))
            for state, pick in zip(states, picks, strict=True)
        ]

    def _search_trees(
        self, states: Sequence[PairState], principles: Sequence[Principle], inputs: AnnotatorInputs
    ) -> list[PairState]:
        variant = self.resolve_variant()
        search = TreeSearch(
            engine=inputs.engines["strong"],
            principles={principle.name: principle for principle in principles} if self.tree else {},
            variant=variant,
            limits=SearchLimits(
                max_depth=self.max_depth,
                retries=self.retries if self.backtracking else 0,
                allow_reused_principles=variant.allow_reused_principles,
                early_stop=variant.early_stop and self.backtracking,
            ),
            max_thought_tokens=self.max_thought_tokens,
        )
        empty_tree = Tree(node_selection=variant.node_selection)
        results = search([SearchState(ordered_pair=state.ordered_pair, tree=empty_tree) for state in states])
        return [
            replace(state, search=result, note=result.note or describe_empty_thought(result.tree))
            for state, result in zip(states, results, strict=True)
        ]

    def _decide_labels(
        self, states: Sequence[PairState], principles: Sequence[Principle], inputs: AnnotatorInputs
    ) -> list[PairState]:
        """Labels each pair by the weak model, given the deciding node, or by the strong model's own preference.

        Prompts the strong model for its preference, unless that was already done.
        """
        harmless = {principle.name for principle in principles if principle.group == "harmless"}
        helpful_only_labeler = self.resolve_variant().helpful_only_labeler if self.tree else "weak"
        states = [
            replace(state, decided_by=select_labeler(state.tree.deciding_node.chain, harmless, helpful_only_labeler))
            for state in states
        ]
        add_picks, label_with_weak = (
            partial(step, principles=principles, inputs=inputs) for step in (self._add_picks, self._label_with_weak)
        )
        states = _apply_step(states, add_picks, lambda state: state.decided_by == "strong" and not state.strong_pick)
        return _apply_step(states, label_with_weak, lambda state: state.decided_by == "weak")

    def _label_with_weak(
        self, states: Sequence[PairState], principles: Sequence[Principle], inputs: AnnotatorInputs
    ) -> list[PairState]:
        by_name = {principle.name: principle for principle in principles}
        judgments = [
            (
                state.ordered_pair,
                [by_name[name] for name in state.tree.deciding_node.chain],
                state.tree.deciding_node.thought if self.include_thoughts else (),
            )
            for state in states
        ]
        estimates = score_judgments(inputs.engines["weak"], judgments, self.resolve_variant())
        return [
            replace(state, weak_estimate=estimate, note=estimate.note)
            for state, estimate in zip(states, estimates, strict=True)
        ]


def _apply_step(
    states: Sequence[PairState],
    step: Callable[[Sequence[PairState]], list[PairState]],
    condition: Callable[[PairState], bool] = lambda state: not state.note,
) -> list[PairState]:
    """Applies a step to the states that meet the condition (by default: not failed); the others are unchanged."""
    updated = iter(step([state for state in states if condition(state)]))
    return [next(updated) if condition(state) else state for state in states]
