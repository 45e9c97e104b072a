"""One pair on its way to a label by SEAM, and the label with the whole tree."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from trimtab.annotators._seam_asking import Opinion, total
from trimtab.annotators._seam_search import Search
from trimtab.annotators._seam_tree import Decider, Node, Tree, kept, score, why_left
from trimtab.prompts.answers import fewest_draws, remark_on
from trimtab.prompts.seam import Case
from trimtab.types import Annotation, Cost, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of one pair so far. `case` is the pair as models read it, `a` first where `a_first`.

    `pick` is the strong model's own choice, with `pick_p_a` as its probability for `a`; `left_out` counts the words that
    were cut from a pair that was too long; a `note` says why the pair failed.
    """

    pair: Pair
    case: Case
    a_first: bool
    pick: Opinion | None = None
    pick_p_a: float | None = None
    search: Search | None = None
    weak: Opinion | None = None
    by: Decider | None = None
    too_long: Literal["", "failed", "shortened"] = ""
    left_out: int = 0
    note: str = ""

    def p_a(self, p_first: float | None) -> float | None:
        return p_first if p_first is None or self.a_first else 1.0 - p_first

    def turned(self) -> Subject:
        """The strong model's pick first; as it is where there is no pick."""
        if self.pick is None or self.pick.p_first is None or self.pick.p_first >= 0.5:
            return self
        return replace(self, case=self.case.swapped(), a_first=not self.a_first)

    @property
    def weak_p_a(self) -> float | None:
        return None if self.weak is None else self.p_a(self.weak.p_first)

    @property
    def tree(self) -> Tree:
        return Tree() if self.search is None else self.search.tree

    @property
    def node(self) -> Node:
        """The deepest node that stays, n_h."""
        return self.tree.path[kept(self.tree.path) - 1]


def unthinking(tree: Tree) -> str:
    """Why a finished tree cannot decide; empty where it can."""
    return "the strong model wrote no thought" if tree.done and tree.path[kept(tree.path) - 1].empty else ""


def annotation(subject: Subject) -> Annotation:
    """The label. A failed pair keeps what is known of it; an exact tie abstains."""
    spent = [each.cost for each in (subject.pick, subject.search, subject.weak) if each is not None]
    return _labeled(subject, subject.pick_p_a if subject.by == "strong" else subject.weak_p_a, total(spent))


def _labeled(subject: Subject, p_a: float | None, cost: Cost) -> Annotation:
    key, told = subject.pair.id, detail(subject)
    if p_a is None or subject.note:
        return Annotation(pair_id=key, p_a=None, status="failed", note=subject.note, cost=cost, detail=told)
    if p_a == 0.5:
        note = f"tie of the {subject.by} model"
        return Annotation(pair_id=key, p_a=None, status="abstained", note=note, cost=cost, detail=told)
    margin = math.log(p_a / (1.0 - p_a)) if 0.0 < p_a < 1.0 else None
    return Annotation(pair_id=key, p_a=p_a, margin=margin, note=_remark(subject), cost=cost, detail=told)


def _remark(subject: Subject) -> str:
    left_out = f"{subject.left_out} words left out" if subject.too_long == "shortened" else ""
    return "; ".join(each for each in (left_out, remark_on(_samples(subject))) if each)


def _samples(subject: Subject) -> int:
    asked = (subject.pick, subject.search, subject.weak)
    return fewest_draws(each.samples for each in asked if each is not None)


def detail(subject: Subject) -> dict[str, Any]:
    """All of it, as JSON can hold it.

    `nodes` are in the order of their making. `calls_strong` and `calls_weak` count as the released code spends: one for a
    thought or a ranking, and one for each response that is weighed, though both are weighed by one question here. `samples`,
    where the engine knows no probabilities, are the fewest draws that any shares were counted over; `failed_below` stands
    where an answer failed that bears on no label, below a node that is pruned.
    """
    tree = subject.tree
    return {
        "decided_by": subject.by,
        "first": "a" if subject.a_first else "b",
        "nodes": [_node(tree, node) for node in tree.made],
        "depth": kept(tree.path),
        "score": score(tree.path) if tree.path else None,
        "backtracks": tree.backtracks,
        "strong_p_a": subject.pick_p_a,
        "weak_p_a": subject.weak_p_a,
        **_orders(subject),
        **({"samples": samples} if (samples := _samples(subject)) else {}),
        **({"failed_below": True} if subject.search is not None and subject.search.failed_below else {}),
        "empty_thoughts": sum(node.empty for node in tree.made),
        "cut_thoughts": sum(node.cut for node in tree.made),
        "too_long": subject.too_long,
        "words_left_out": subject.left_out,
        "calls_strong": sum(each.calls for each in (subject.pick, subject.search) if each is not None),
        "calls_weak": 0 if subject.weak is None else subject.weak.calls,
    }


def _orders(subject: Subject) -> dict[str, Any]:
    """The weak model's probability of `a` by the order in which the responses stood, and whether the orders contradict each
    other; nothing where it was not asked."""
    if subject.weak is None or not subject.weak.shares:
        return {}
    ways = ("a_first", "b_first") if subject.a_first else ("b_first", "a_first")
    p_a = {way: subject.p_a(share) for way, share in zip(ways, subject.weak.shares, strict=False)}
    leans = [each - 0.5 for each in p_a.values() if each is not None]
    return {"orders": p_a, **({"flipped": min(leans) < 0 < max(leans)} if len(leans) == len(ways) else {})}


def _node(tree: Tree, node: Node) -> dict[str, Any]:
    left = why_left(tree, node)
    return {
        "level": max(len(node.chain), 1),
        "chain": list(node.chain),
        "thought": list(node.thought),
        "information": node.information,
        "p_first": node.p_first,
        "weight": node.weight,
        "kept": not left,
        "left": left,
        "status": "empty" if node.empty else "cut" if node.cut else "ok",
    }
