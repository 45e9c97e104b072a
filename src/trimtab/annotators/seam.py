"""SEAM: the strong model searches for the principles that matter and thinks on them; the weak model decides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trimtab.annotators._seam_asking import ANSWER_TOKENS, judged, picked
from trimtab.annotators._seam_label import Subject, annotation, unthinking
from trimtab.annotators._seam_length import LEAST_KEPT, asked_tokens, fitted, tokens
from trimtab.annotators._seam_rules import (
    RULES,
    AnswerScores,
    EdgeWeights,
    Mode,
    Orders,
    Orientation,
    PrincipleScores,
    Rules,
    Thoughts,
)
from trimtab.annotators._seam_search import Search, Searcher
from trimtab.annotators._seam_tree import Decider, Growth, decider
from trimtab.components import ENGINE, Component, build
from trimtab.errors import StudyError
from trimtab.prompts.principles import Principle, load
from trimtab.prompts.seam import EXAM, Case, judgment, preference, ranking, thoughts
from trimtab.protocols import Exam, Given
from trimtab.types import Annotation, Pair, text_hash

# Below this there is no use in asking: a conversation and two responses of a few words each.
_LEAST_ROOM = 64


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

    weak: Annotated[Component, ENGINE] = Field(
        default_factory=lambda: build("engines", {"kind": "transformers", "model": "@weak"})
    )
    strong: Annotated[Component, ENGINE] = Field(
        default_factory=lambda: build("engines", {"kind": "transformers", "model": "@student"})
    )
    mode: Mode = "paper"
    edge_weights: EdgeWeights | None = None
    principle_scores: PrincipleScores | None = None
    answer_scores: AnswerScores | None = None
    thoughts: Thoughts | None = None
    orders: Orders | None = None
    orientation: Orientation | None = None
    early_stop: bool | None = None
    helpful_chains: Decider | None = None
    reuse_rejected: bool | None = None
    depth: int = Field(3, ge=1, description="the released code's; the paper does not say")
    retries: int = Field(1, ge=0, description="paper: one step back a level")
    backtracking: bool = True
    show_thoughts: bool = True
    tree: bool = True
    principles: str | None = Field(None, description="a YAML file of principles; those that ship otherwise")
    max_thought_tokens: int = Field(512, ge=1, description="released code")
    max_prompt_tokens: int = Field(4096, ge=1, description="estimated from the text; with room for the thoughts")
    too_long: Literal["fail", "shorten"] = "fail"

    @model_validator(mode="after")
    def _workable(self) -> Self:
        if not self.tree and not self.show_thoughts:
            raise StudyError(
                "show_thoughts: without a tree there is only the thought to show; use `prompted` for neither"
            )
        return self

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return ()

    def asks(self) -> Mapping[str, Component]:
        return {"weak": self.weak, "strong": self.strong}

    def identity(self) -> str:
        """What labels depend on besides the settings: the principles' texts, and the figures that bear on those settings
        that are not the paper's. Raises `DataError` where they cannot be read and `StudyError` where they leave no room for a
        pair."""
        known = repr(self._principles())
        if self.rules().answer_scores == "mean_with_end":
            known += f" means over {ANSWER_TOKENS}"
        if self.too_long == "shorten":
            known += f" shortened to {LEAST_KEPT} at least"
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def exam(self) -> Exam:
        """The question that a weak model is trained to answer: its judgment, without principles or a thought."""
        return EXAM

    def rules(self) -> Rules:
        """The mode's switches, with those that are set by themselves."""
        own = {each.name: getattr(self, each.name) for each in fields(Rules)}
        return replace(RULES[self.mode], **{name: value for name, value in own.items() if value is not None})

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        principles = self._principles()
        room = self.max_prompt_tokens - self._overhead(principles)
        subjects = [self._subject(pair, room) for pair in pairs]
        steps = (self._turned, self._searched, self._decided)
        for step in steps if self.rules().orientation == "strong_first" else steps[1:]:
            subjects = _stepped(subjects, partial(step, principles=principles, given=given))
        return [annotation(each) for each in subjects]

    def _principles(self) -> tuple[Principle, ...]:
        principles = load(self.principles)
        overhead = self._overhead(principles)
        if self.max_prompt_tokens - overhead < _LEAST_ROOM:
            raise StudyError(
                f"max_prompt_tokens: {self.max_prompt_tokens} is too few; instructions, examples and thoughts alone take "
                f"about {overhead}, so it must be at least {overhead + _LEAST_ROOM} (or give fewer principles)"
            )
        return principles

    def _overhead(self, principles: Sequence[Principle]) -> int:
        """About how many tokens the longest question takes besides a pair's texts."""
        empty = Case(conversation="", first="", second="")
        two_sided = self.rules().thoughts == "two_sided"
        by_length = sorted(principles, key=lambda each: asked_tokens(thoughts(empty, [each], two_sided=False)[0]))
        chain = by_length[-self.depth :][::-1] if self.tree else []
        said = self.max_thought_tokens * (1 + two_sided)
        asked = [*thoughts(empty, chain, two_sided=two_sided), preference(empty, principles)]
        asked += [ranking(empty, principles, chain)] if self.tree else []
        return max(said + asked_tokens(judgment(empty, chain, ())), *map(asked_tokens, asked))

    def _subject(self, pair: Pair, room: int) -> Subject:
        """The pair as it will be read, or why it will not be. Its order is drawn from the texts, never from `a` and `b`."""
        low_first = int(text_hash("which response is read first", pair.id), 16) % 2 == 0
        a_first = (pair.a < pair.b) == low_first
        whole = Case.of(pair, a_first)
        length = sum(map(tokens, (whole.conversation, whole.first, whole.second)))
        subject = Subject(pair=pair, case=whole, a_first=a_first)
        if length <= room:
            return subject
        told = f"too long: the pair takes about {length} tokens and max_prompt_tokens leaves {room}"
        if self.too_long == "fail":
            return replace(subject, note=told, too_long="failed")
        cut = fitted(whole, room)
        if cut.kept < LEAST_KEPT:
            why = f"shortened, one of its texts would keep {cut.kept:.0%} of its words"
            return replace(subject, note=f"{told}; {why}", too_long="failed")
        if cut.case.first == cut.case.second:
            return replace(subject, note=f"{told}; shortened, its responses are the same", too_long="failed")
        return replace(subject, case=cut.case, too_long="shortened", left_out=cut.left_out)

    def _turned(self, subjects: Sequence[Subject], principles: Sequence[Principle], given: Given) -> list[Subject]:
        """Each with the strong model's own pick, which is read first."""
        return [each.turned() for each in self._with_picks(subjects, principles, given)]

    def _with_picks(self, subjects: Sequence[Subject], principles: Sequence[Principle], given: Given) -> list[Subject]:
        picks = picked(given.engines["strong"], [each.case for each in subjects], principles, self.rules())
        return [
            replace(each, pick=pick, note=pick.note, pick_p_a=each.p_a(pick.p_first))
            for each, pick in zip(subjects, picks, strict=True)
        ]

    def _searched(self, subjects: Sequence[Subject], principles: Sequence[Principle], given: Given) -> list[Subject]:
        rules = self.rules()
        search = Searcher(
            engine=given.engines["strong"],
            principles={each.name: each for each in principles} if self.tree else {},
            rules=rules,
            growth=Growth(
                depth=self.depth,
                retries=self.retries if self.backtracking else 0,
                reuse_rejected=rules.reuse_rejected,
                early_stop=rules.early_stop,
            ),
            max_thought_tokens=self.max_thought_tokens,
        )
        found = search([Search(case=each.case) for each in subjects])
        return [
            replace(each, search=done, note=done.note or unthinking(done.tree))
            for each, done in zip(subjects, found, strict=True)
        ]

    def _decided(self, subjects: Sequence[Subject], principles: Sequence[Principle], given: Given) -> list[Subject]:
        """The label of each: the weak model's by the deepest node that stays, or the strong model's pick, for which it is asked
        now where it was not before."""
        harmless = {each.name for each in principles if each.group == "harmless"}
        who = self.rules().helpful_chains if self.tree else "weak"
        told = [replace(each, by=decider(each.node.chain, harmless, who)) for each in subjects]
        picks, labels = (partial(step, principles=principles, given=given) for step in (self._with_picks, self._weakly))
        told = _stepped(told, picks, lambda each: each.by == "strong" and each.pick is None)
        return _stepped(told, labels, lambda each: each.by == "weak")

    def _weakly(self, subjects: Sequence[Subject], principles: Sequence[Principle], given: Given) -> list[Subject]:
        named = {each.name: each for each in principles}
        asked = [
            (each.case, [named[name] for name in each.node.chain], each.node.thought if self.show_thoughts else ())
            for each in subjects
        ]
        opinions = judged(given.engines["weak"], asked, self.rules())
        return [replace(each, weak=said, note=said.note) for each, said in zip(subjects, opinions, strict=True)]


def _stepped(
    subjects: Sequence[Subject],
    step: Callable[[Sequence[Subject]], list[Subject]],
    wanted: Callable[[Subject], bool] = lambda each: not each.note,
) -> list[Subject]:
    """The subjects after a step taken by those that want it, which is those that have not failed; the others as they are."""
    after = iter(step([each for each in subjects if wanted(each)]))
    return [next(after) if wanted(each) else each for each in subjects]
