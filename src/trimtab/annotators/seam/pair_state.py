"""One pair on its way to a label by SEAM, and the label with the whole tree."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from trimtab.annotators.seam.scoring import PreferenceEstimate, add_costs
from trimtab.annotators.seam.search import SearchState
from trimtab.annotators.seam.tree import Labeler, Node, Tree, compute_tree_score, count_kept_nodes, describe_drop_reason
from trimtab.prompts.reply_checks import compute_min_samples, format_sample_note
from trimtab.prompts.seam import OrderedPair
from trimtab.types import Annotation, Cost, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """What is known of one pair so far. `case` is the pair as models read it, `a` first where `a_first`.

    `pick` is the strong model's own choice, with `pick_p_a` as its probability for `a`; `left_out` counts the words that
    were cut from a pair that was too long; a `note` says why the pair failed.
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
        """The strong model's pick first; as it is where there is no pick."""
        if self.strong_pick is None or self.strong_pick.p_first is None or self.strong_pick.p_first >= 0.5:
            return self
        return replace(self, ordered_pair=self.ordered_pair.swap(), a_first=not self.a_first)

    @property
    def weak_p_a(self) -> float | None:
        return None if self.weak_estimate is None else self.to_p_a(self.weak_estimate.p_first)

    @property
    def tree(self) -> Tree:
        return Tree() if self.search is None else self.search.tree

    @property
    def deciding_node(self) -> Node:
        """The deepest node that stays, n_h."""
        return self.tree.path[count_kept_nodes(self.tree.path) - 1]


def describe_empty_thought(tree: Tree) -> str:
    """Why a finished tree cannot decide; empty where it can."""
    return "the strong model wrote no thought" if tree.done and tree.path[count_kept_nodes(tree.path) - 1].empty else ""


def to_annotation(subject: PairState) -> Annotation:
    """The label. A failed pair keeps what is known of it; an exact tie abstains."""
    spent = [each.cost for each in (subject.strong_pick, subject.search, subject.weak_estimate) if each is not None]
    return _build_annotation(
        subject, subject.strong_p_a if subject.decided_by == "strong" else subject.weak_p_a, add_costs(spent)
    )


def _build_annotation(subject: PairState, p_a: float | None, cost: Cost) -> Annotation:
    key, told = subject.pair.id, build_detail(subject)
    if p_a is None or subject.note:
        return Annotation(pair_id=key, p_a=None, status="failed", note=subject.note, cost=cost, detail=told)
    if p_a == 0.5:
        note = f"tie of the {subject.decided_by} model"
        return Annotation(pair_id=key, p_a=None, status="abstained", note=note, cost=cost, detail=told)
    margin = math.log(p_a / (1.0 - p_a)) if 0.0 < p_a < 1.0 else None
    return Annotation(pair_id=key, p_a=p_a, margin=margin, note=_format_note(subject), cost=cost, detail=told)


def _format_note(subject: PairState) -> str:
    left_out = f"{subject.words_removed} words left out" if subject.overlong == "truncated" else ""
    return "; ".join(each for each in (left_out, format_sample_note(_compute_min_samples(subject))) if each)


def _compute_min_samples(subject: PairState) -> int:
    asked = (subject.strong_pick, subject.search, subject.weak_estimate)
    return compute_min_samples(each.samples for each in asked if each is not None)


def build_detail(subject: PairState) -> dict[str, Any]:
    """All of it, as JSON can hold it.

    `nodes` are in the order of their making. `calls_strong` and `calls_weak` count as the released code spends: one for a
    thought or a ranking, and one for each response that is weighed, though both are weighed by one question here. `samples`,
    where the engine knows no probabilities, are the fewest draws that any shares were counted over; `failed_below` stands
    where an answer failed that bears on no label, below a node that is pruned.
    """
    tree = subject.tree
    return {
        "decided_by": subject.decided_by,
        "first": "a" if subject.a_first else "b",
        "nodes": [_node_detail(tree, node) for node in tree.nodes],
        "depth": count_kept_nodes(tree.path),
        "score": compute_tree_score(tree.path) if tree.path else None,
        "backtracks": tree.backtracks,
        "strong_p_a": subject.strong_p_a,
        "weak_p_a": subject.weak_p_a,
        **_order_detail(subject),
        **({"samples": samples} if (samples := _compute_min_samples(subject)) else {}),
        **(
            {"failed_in_pruned_branch": True}
            if subject.search is not None and subject.search.failed_in_pruned_branch
            else {}
        ),
        "num_empty_thoughts": sum(node.empty for node in tree.nodes),
        "num_truncated_thoughts": sum(node.truncated for node in tree.nodes),
        "overlong": subject.overlong,
        "words_removed": subject.words_removed,
        "calls_strong": sum(each.calls for each in (subject.strong_pick, subject.search) if each is not None),
        "calls_weak": 0 if subject.weak_estimate is None else subject.weak_estimate.calls,
    }


def _order_detail(subject: PairState) -> dict[str, Any]:
    """The weak model's probability of `a` by the order in which the responses stood, and whether the orders contradict each
    other; nothing where it was not asked."""
    if subject.weak_estimate is None or not subject.weak_estimate.probabilities:
        return {}
    ways = ("a_first", "b_first") if subject.a_first else ("b_first", "a_first")
    p_a = {way: subject.to_p_a(share) for way, share in zip(ways, subject.weak_estimate.probabilities, strict=False)}
    leans = [each - 0.5 for each in p_a.values() if each is not None]
    return {
        "p_a_by_order": p_a,
        **({"order_inconsistent": min(leans) < 0 < max(leans)} if len(leans) == len(ways) else {}),
    }


def _node_detail(tree: Tree, node: Node) -> dict[str, Any]:
    left = describe_drop_reason(tree, node)
    return {
        "level": max(len(node.chain), 1),
        "chain": list(node.chain),
        "thought": list(node.thought),
        "information": node.information,
        "p_first": node.p_first,
        "weight": node.weight,
        "kept": not left,
        "drop_reason": left,
        "status": "empty" if node.empty else "truncated" if node.truncated else "ok",
    }
