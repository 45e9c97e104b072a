"""SEAM: the strong model searches for the principles that matter and thinks on them; the weak model decides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trimtab.annotators.seam.pair_state import PairState, describe_empty_thought, to_annotation
from trimtab.annotators.seam.scoring import ANSWER_TOKENS, score_judgments, score_strong_picks
from trimtab.annotators.seam.search import SearchState, TreeSearch
from trimtab.annotators.seam.tree import Labeler, SearchLimits, select_labeler
from trimtab.annotators.seam.truncation import (
    MIN_KEPT_FRACTION,
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
from trimtab.core.annotator_inputs import AnnotatorInputs, TrainingTask
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.errors import StudyError
from trimtab.prompts.principles import Principle, load_principles
from trimtab.prompts.seam import (
    SEAM_TRAINING_TASK,
    OrderedPair,
    build_judgment_request,
    build_preference_request,
    build_ranking_request,
    build_thought_requests,
)
from trimtab.types import Annotation, Pair, text_hash

# Below this there is no use in asking: a conversation and two responses of a few words each.
_MIN_PAIR_TOKENS = 64


class Seam(Component):
    """Strong Empowered and Aligned Weak Mastered annotation (Li et al. 2025).

    For each pair the `strong` model grows a path of thoughts on principles, best first and with one step back a level; the
    `weak` model labels by the deepest thought that still told something new. `p_a` is the weak model's (or, where the
    strong one decides, its own pick's), `margin` its log-odds in nats; an exact tie abstains. `detail` holds the tree, and
    its `score`, which the filter `information` reads.

    `mode` sets every switch that is not set by itself; the paper and its released code differ in all of these:
    `edge_weights`: principles ranked anew after each choice (`conditional`, eq. 5), or `once`;
    `principle_scores`: by the `full_name` or its `first_token`, which two names may share;
    `answer_scores`: the share of each answer (`summed`), or the softmax of the mean log-probability a token, end of turn
    included (`mean_with_end`), which holds all shares near a half;
    `thoughts`: one explanation a node (`one_sided`), or one for each response (`two_sided`);
    `orders`: `both` orders of the responses averaged where a label or a node's information is asked for, or `one`;
    `orientation`: which response comes first, `drawn` from the texts, or the strong model's own pick (`strong_first`);
    `early_stop`: nothing below a node without gain, which changes no label; `reuse_rejected`: what was backtracked from may
    come again deeper down; `helpful_chains`: who labels where no principle of the chain is about being harmless. There the
    released code takes the strong model's own pick, though the paper has the weak model decide always.
    Of the released code the filter is `information` with `rule: median`. Not had of it: its prompts, its silent cut of long
    ones, that a tie goes to the second response, that the strong model's pick is read by a mean over 25 tokens (here over
    four: the same pick, not as near to a half), and that the student is trained on all tokens, packed into blocks of
    1024 (here on the answer alone).

    Ablations (table 3): `backtracking` off; `show_thoughts` off, where the weak model sees the chain alone; `tree` off, where
    the strong model explains once and without principles.
    """

    SYMMETRIC: ClassVar[bool] = True
    VERSION: ClassVar[int] = 4

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
    helpful_only_labeler: Labeler | None = None
    allow_reused_principles: bool | None = None
    max_depth: int = Field(3, ge=1, description="the released code's; the paper does not say")
    retries: int = Field(1, ge=0, description="paper: one step back a level")
    backtracking: bool = True
    include_thoughts: bool = True
    tree: bool = True
    principles: str | None = Field(None, description="a YAML file of principles; those that ship otherwise")
    max_thought_tokens: int = Field(512, ge=1, description="released code")
    max_prompt_tokens: int = Field(4096, ge=1, description="estimated from the text; with room for the thoughts")
    on_overlong: Literal["fail", "truncate"] = "fail"

    @model_validator(mode="after")
    def _validate_ablations(self) -> Self:
        if not self.tree and not self.include_thoughts:
            raise StudyError(
                "include_thoughts: without a tree there is only the thought to show; use `prompted` for neither"
            )
        return self

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return ()

    def engines(self) -> Mapping[str, Component]:
        return {"weak": self.weak, "strong": self.strong}

    def content_hash(self) -> str:
        """What labels depend on besides the settings: the principles' texts, and the figures that bear on those settings
        that are not the paper's. Raises `DataError` where they cannot be read and `StudyError` where they leave no room for a
        pair."""
        known = repr(self._load_principles())
        if self.resolve_variant().answer_scoring == "mean_with_eos":
            known += f" means over {ANSWER_TOKENS}"
        if self.on_overlong == "truncate":
            known += f" shortened to {MIN_KEPT_FRACTION} at least"
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def training_task(self) -> TrainingTask:
        """The question that a weak model is trained to answer: its judgment, without principles or a thought."""
        return SEAM_TRAINING_TASK

    def resolve_variant(self) -> VariantSettings:
        """The mode's switches, with those that are set by themselves."""
        own = {each.name: getattr(self, each.name) for each in fields(VariantSettings)}
        return replace(VARIANTS[self.variant], **{name: value for name, value in own.items() if value is not None})

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        principles = self._load_principles()
        room = self.max_prompt_tokens - self._estimate_overhead(principles)
        subjects = [self._build_state(pair, room) for pair in pairs]
        steps = (self._reorder_by_pick, self._search_trees, self._decide_labels)
        for step in steps if self.resolve_variant().first_response == "strong_pick" else steps[1:]:
            subjects = _apply_step(subjects, partial(step, principles=principles, given=given))
        return [to_annotation(each) for each in subjects]

    def _load_principles(self) -> tuple[Principle, ...]:
        principles = load_principles(self.principles)
        overhead = self._estimate_overhead(principles)
        if self.max_prompt_tokens - overhead < _MIN_PAIR_TOKENS:
            raise StudyError(
                f"max_prompt_tokens: {self.max_prompt_tokens} is too few; instructions, examples and thoughts alone take "
                f"about {overhead}, so it must be at least {overhead + _MIN_PAIR_TOKENS} (or give fewer principles)"
            )
        return principles

    def _estimate_overhead(self, principles: Sequence[Principle]) -> int:
        """About how many tokens the longest question takes besides a pair's texts."""
        empty = OrderedPair(conversation="", first="", second="")
        two_sided = self.resolve_variant().explanations == "per_response"
        by_length = sorted(
            principles,
            key=lambda each: estimate_request_tokens(build_thought_requests(empty, [each], per_response=False)[0]),
        )
        chain = by_length[-self.max_depth :][::-1] if self.tree else []
        said = self.max_thought_tokens * (1 + two_sided)
        asked = [
            *build_thought_requests(empty, chain, per_response=two_sided),
            build_preference_request(empty, principles),
        ]
        asked += [build_ranking_request(empty, principles, chain)] if self.tree else []
        return max(
            said + estimate_request_tokens(build_judgment_request(empty, chain, ())),
            *map(estimate_request_tokens, asked),
        )

    def _build_state(self, pair: Pair, room: int) -> PairState:
        """The pair as it will be read, or why it will not be. Its order is drawn from the texts, never from `a` and `b`."""
        low_first = int(text_hash("which response is read first", pair.id), 16) % 2 == 0
        a_first = (pair.a < pair.b) == low_first
        whole = OrderedPair.from_pair(pair, a_first)
        length = sum(map(estimate_tokens, (whole.conversation, whole.first, whole.second)))
        subject = PairState(pair=pair, ordered_pair=whole, a_first=a_first)
        if length <= room:
            return subject
        told = f"too long: the pair takes about {length} tokens and max_prompt_tokens leaves {room}"
        if self.on_overlong == "fail":
            return replace(subject, note=told, overlong="failed")
        cut = truncate_pair(whole, room)
        if cut.kept_fraction < MIN_KEPT_FRACTION:
            why = f"shortened, one of its texts would keep {cut.kept_fraction:.0%} of its words"
            return replace(subject, note=f"{told}; {why}", overlong="failed")
        if cut.ordered_pair.first == cut.ordered_pair.second:
            return replace(subject, note=f"{told}; shortened, its responses are the same", overlong="failed")
        return replace(subject, ordered_pair=cut.ordered_pair, overlong="truncated", words_removed=cut.words_removed)

    def _reorder_by_pick(
        self, subjects: Sequence[PairState], principles: Sequence[Principle], given: AnnotatorInputs
    ) -> list[PairState]:
        """Each with the strong model's own pick, which is read first."""
        return [each.reorder_by_pick() for each in self._add_picks(subjects, principles, given)]

    def _add_picks(
        self, subjects: Sequence[PairState], principles: Sequence[Principle], given: AnnotatorInputs
    ) -> list[PairState]:
        picks = score_strong_picks(
            given.engines["strong"], [each.ordered_pair for each in subjects], principles, self.resolve_variant()
        )
        return [
            replace(each, strong_pick=pick, note=pick.note, strong_p_a=each.to_p_a(pick.p_first))
            for each, pick in zip(subjects, picks, strict=True)
        ]

    def _search_trees(
        self, subjects: Sequence[PairState], principles: Sequence[Principle], given: AnnotatorInputs
    ) -> list[PairState]:
        rules = self.resolve_variant()
        search = TreeSearch(
            engine=given.engines["strong"],
            principles={each.name: each for each in principles} if self.tree else {},
            variant=rules,
            limits=SearchLimits(
                max_depth=self.max_depth,
                retries=self.retries if self.backtracking else 0,
                allow_reused_principles=rules.allow_reused_principles,
                early_stop=rules.early_stop,
            ),
            max_thought_tokens=self.max_thought_tokens,
        )
        found = search([SearchState(ordered_pair=each.ordered_pair) for each in subjects])
        return [
            replace(each, search=done, note=done.note or describe_empty_thought(done.tree))
            for each, done in zip(subjects, found, strict=True)
        ]

    def _decide_labels(
        self, subjects: Sequence[PairState], principles: Sequence[Principle], given: AnnotatorInputs
    ) -> list[PairState]:
        """The label of each: the weak model's by the deepest node that stays, or the strong model's pick, for which it is asked
        now where it was not before."""
        harmless = {each.name for each in principles if each.group == "harmless"}
        who = self.resolve_variant().helpful_only_labeler if self.tree else "weak"
        told = [replace(each, decided_by=select_labeler(each.deciding_node.chain, harmless, who)) for each in subjects]
        picks, labels = (
            partial(step, principles=principles, given=given) for step in (self._add_picks, self._label_with_weak)
        )
        told = _apply_step(told, picks, lambda each: each.decided_by == "strong" and each.strong_pick is None)
        return _apply_step(told, labels, lambda each: each.decided_by == "weak")

    def _label_with_weak(
        self, subjects: Sequence[PairState], principles: Sequence[Principle], given: AnnotatorInputs
    ) -> list[PairState]:
        named = {each.name: each for each in principles}
        asked = [
            (
                each.ordered_pair,
                [named[name] for name in each.deciding_node.chain],
                each.deciding_node.thought if self.include_thoughts else (),
            )
            for each in subjects
        ]
        opinions = score_judgments(given.engines["weak"], asked, self.resolve_variant())
        return [
            replace(each, weak_estimate=said, note=said.note) for each, said in zip(subjects, opinions, strict=True)
        ]


def _apply_step(
    subjects: Sequence[PairState],
    step: Callable[[Sequence[PairState]], list[PairState]],
    wanted: Callable[[PairState], bool] = lambda each: not each.note,
) -> list[PairState]:
    """The subjects after a step taken by those that want it, which is those that have not failed; the others as they are."""
    after = iter(step([each for each in subjects if wanted(each)]))
    return [next(after) if wanted(each) else each for each in subjects]
