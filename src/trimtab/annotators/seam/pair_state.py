"""State of one pair during SEAM annotation, and its conversion to an annotation with the whole tree."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from trimtab.annotators.seam.scoring import PreferenceEstimate, add_costs
from trimtab.annotators.seam.search import SearchState
from trimtab.annotators.seam.tree import (
    Labeler,
    Node,
    Tree,
    compute_tree_score,
    describe_drop_reason,
)
from trimtab.prompts.reply_checks import compute_min_samples, format_sample_note
from trimtab.prompts.seam import OrderedPair
from trimtab.types import Annotation, Cost, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """State of one pair. `ordered_pair` is the pair as the models read it, with `a` first if `a_first`.

    `strong_pick` is the strong model's own preference and `strong_p_a` its probability of `a`; `words_removed` counts the
    words truncated from a pair that was too long; `note` is the reason if the pair failed.
    """

    pair: Pair
    ordered_pair: OrderedPair
    a_first: bool
    strong_pick: PreferenceEstimate | None = None
    strong_p_a: float | None = None
    search: SearchState | None = None
    weak_estimate: PreferenceEstimate | None = None
    decided_by: Labeler | None = None
    overlong: Literal["", "failed", "truncated"] = ""
    words_removed: int = 0
    note: str = ""

    def to_p_a(self, p_first: float | None) -> float | None:
        return p_first if p_first is None or self.a_first else 1.0 - p_first

    def reorder_by_pick(self) -> PairState:
        """The state with the strong model's pick first; unchanged without a pick."""
        if self.strong_pick is None or self.strong_pick.p_first is None or self.strong_pick.p_first >= 0.5:
            return self
        return replace(self, ordered_pair=self.ordered_pair.swap(), a_first=not self.a_first)

    @property
    def weak_p_a(self) -> float | None:
        return None if self.weak_estimate is None else self.to_p_a(self.weak_estimate.p_first)

    @property
    def tree(self) -> Tree:
        return Tree() if self.search is None else self.search.tree


def describe_empty_thought(tree: Tree) -> str:
    """An error if the deciding node of a finished tree has no thought; empty otherwise."""
    return "the strong model generated no thought" if tree.done and tree.deciding_node.empty else ""


def to_annotation(state: PairState) -> Annotation:
    """The label. A failed pair keeps all details collected so far; exact ties abstain."""
    parts = (state.strong_pick, state.search, state.weak_estimate)
    cost = add_costs([part.cost for part in parts if part is not None])
    return _build_annotation(state, state.strong_p_a if state.decided_by == "strong" else state.weak_p_a, cost)


def _build_annotation(state: PairState, p_a: float | None, cost: Cost) -> Annotation:
    pair_id, detail = state.pair.id, build_detail(state)
    if p_a is None or state.note:
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=state.note, cost=cost, detail=detail)
    if p_a == 0.5:
        note = f"tie of the {state.decided_by} model"
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note=note, cost=cost, detail=detail)
    margin = math.log(p_a / (1.0 - p_a)) if 0.0 < p_a < 1.0 else None
    return Annotation(pair_id=pair_id, p_a=p_a, margin=margin, note=_format_note(state), cost=cost, detail=detail)


def _format_note(state: PairState) -> str:
    truncation = f"{state.words_removed} words removed" if state.overlong == "truncated" else ""
    return "; ".join(note for note in (truncation, format_sample_note(_compute_min_samples(state))) if note)


def _compute_min_samples(state: PairState) -> int:
    parts = (state.strong_pick, state.search, state.weak_estimate)
    return compute_min_samples(part.samples for part in parts if part is not None)


def build_detail(state: PairState) -> dict[str, Any]:
    """The tree and all other details of the label, as JSON values.

    `nodes` are in order of creation, and `depth` is the level of the deciding node. `calls_strong` and `calls_weak` count
    like the released code: one per thought or ranking and one per scored response, although both responses are scored by a
    single request here. `samples`, for engines without log-probabilities, is the smallest number of samples that a
    probability was estimated from.
    `failed_in_pruned_branch` is set if a request failed below a pruned node, which affects no label.
    """
    tree = state.tree
    samples = _compute_min_samples(state)
    failed_in_pruned_branch = state.search is not None and state.search.failed_in_pruned_branch
    return {
        "decided_by": state.decided_by,
        "first": "a" if state.a_first else "b",
        "nodes": [_node_detail(tree, node) for node in tree.nodes],
        "depth": _compute_level(tree.deciding_node) if tree.path else 0,
        "score": compute_tree_score(tree) if tree.path else None,
        "backtracks": tree.backtracks,
        "strong_p_a": state.strong_p_a,
        "weak_p_a": state.weak_p_a,
        **_order_detail(state),
        **({"samples": samples} if samples else {}),
        **({"failed_in_pruned_branch": True} if failed_in_pruned_branch else {}),
        "num_empty_thoughts": sum(node.empty for node in tree.nodes),
        "num_truncated_thoughts": sum(node.truncated for node in tree.nodes),
        "overlong": state.overlong,
        "words_removed": state.words_removed,
        "calls_strong": sum(part.calls for part in (state.strong_pick, state.search) if part is not None),
        "calls_weak": 0 if state.weak_estimate is None else state.weak_estimate.calls,
    }


def _order_detail(state: PairState) -> dict[str, Any]:
    """The weak model's probability of `a` by presentation order, and whether the orders contradict each other.

    Empty if the weak model was not prompted.
    """
    if state.weak_estimate is None or not state.weak_estimate.probabilities:
        return {}
    orders = ("a_first", "b_first") if state.a_first else ("b_first", "a_first")
    p_a = {
        order: state.to_p_a(probability)
        for order, probability in zip(orders, state.weak_estimate.probabilities, strict=False)
    }
    detail: dict[str, Any] = {"p_a_by_order": p_a}
    preferences = [probability - 0.5 for probability in p_a.values() if probability is not None]
    if len(preferences) == len(orders):
        detail["order_inconsistent"] = min(preferences) < 0 < max(preferences)
    return detail


def _compute_level(node: Node) -> int:
    return max(len(node.chain), 1)


def _node_detail(tree: Tree, node: Node) -> dict[str, Any]:
    drop_reason = describe_drop_reason(tree, node)
    return {
        "level": _compute_level(node),
        "chain": list(node.chain),
        "thought": list(node.thought),
        "information": node.information,
        "p_first": node.p_first,
        "weight": node.weight,
        "kept": not drop_reason,
        "drop_reason": drop_reason,
        "status": "empty" if node.empty else "truncated" if node.truncated else "ok",
    }
