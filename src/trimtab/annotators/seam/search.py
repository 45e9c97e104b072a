"""SEAM's tree search for all pairs in parallel: in each round, every unfinished pair adds one node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab.annotators.seam.scoring import (
    add_costs,
    describe_invalid_probability,
    find_error,
    score_judgments,
    split_by_sizes,
)
from trimtab.annotators.seam.tree import (
    Node,
    SearchLimits,
    Tree,
    add_node,
    compute_information,
    list_candidates,
    select_next_principle,
)
from trimtab.annotators.seam.variants import VariantSettings
from trimtab.core.interfaces import Engine
from trimtab.prompts.principles import Principle
from trimtab.prompts.reply_checks import compute_min_samples
from trimtab.prompts.seam import (
    THOUGHT_PREFIX,
    THOUGHT_STOPS,
    OrderedPair,
    build_ranking_candidates,
    build_ranking_request,
    build_thought_requests,
)
from trimtab.types import ChoiceScores, Cost, Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchState:
    """State of one pair's search: its tree, the node being created, the cost so far, and the reason if it failed.

    `samples`: the smallest number of samples that an edge or a node was estimated from, 0 if the engine returned
    probabilities. `failed_in_pruned_branch`: a request failed in a branch that was already pruned, so no label is affected.
    """

    ordered_pair: OrderedPair
    tree: Tree = field(default_factory=Tree)
    pending_node: Node | None = None
    cost: Cost = field(default_factory=Cost)
    calls: int = 0
    samples: int = 0
    failed_in_pruned_branch: bool = False
    note: str = ""

    @property
    def is_active(self) -> bool:
        return not self.tree.done and not self.note


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch:
    """Best-first search by the strong model. Without `principles`, a tree is a single node with a thought."""

    engine: Engine
    principles: Mapping[str, Principle]
    variant: VariantSettings
    limits: SearchLimits
    max_thought_tokens: int

    def __call__(self, states: Sequence[SearchState]) -> list[SearchState]:
        """Best-first search with backtracking.

        A round makes at most three engine calls for all active pairs: it scores edges, generates thoughts, and scores nodes.
        The requests of a pair do not depend on other pairs. A single candidate principle is not ranked; its edge weight is 1.
        """
        states = list(states)
        while any(state.is_active for state in states):
            states = _apply_step(states, self._needs_ranking, self._rank_principles)
            states = _apply_step(states, _is_active, self._generate_thoughts)
            states = _apply_step(states, _has_pending_node, self._score_nodes)
        return [_ignore_pruned_failure(state) for state in states]

    def _needs_ranking(self, state: SearchState) -> bool:
        return state.is_active and not state.tree.weights and len(self._list_candidates(state)) > 1

    def _list_candidates(self, state: SearchState) -> list[str]:
        return list_candidates(state.tree, list(self.principles), self.limits)

    def _rank_principles(self, states: Sequence[SearchState]) -> list[SearchState]:
        """Sets the edge weights from the end of each path: probabilities of the next principle (Li et al. 2025, eq. 5).

        Only the candidates are in the prompt, so the principles of the chain are not.
        """
        candidates = [self._list_candidates(state) for state in states]
        principles = [self._resolve_principles(names) for names in candidates]
        scores = self.engine.score_choices(
            [build_ranking_request(state.ordered_pair, group) for state, group in zip(states, principles, strict=True)],
            [build_ranking_candidates(group) for group in principles],
            first_token_only=self.variant.principle_scoring == "first_token",
        )
        return [
            replace(_set_edge_weights(state, names, item), cost=state.cost + item.cost, calls=state.calls + 1)
            for state, names, item in zip(states, candidates, scores, strict=True)
        ]

    def _generate_thoughts(self, states: Sequence[SearchState]) -> list[SearchState]:
        """Creates the next node of each search, before its information is known."""
        chains = [self._next_chain(state.tree) for state in states]
        per_response = self.variant.explanations == "per_response"
        requests = [
            build_thought_requests(state.ordered_pair, self._resolve_principles(chain), per_response=per_response)
            for state, chain in zip(states, chains, strict=True)
        ]
        generations = self.engine.generate(
            [request for group in requests for request in group],
            max_new_tokens=self.max_thought_tokens,
            stop=THOUGHT_STOPS,
        )
        groups = split_by_sizes(generations, [len(group) for group in requests])
        return [_add_thought(state, chain, group) for state, chain, group in zip(states, chains, groups, strict=True)]

    def _score_nodes(self, states: Sequence[SearchState]) -> list[SearchState]:
        """Adds the pending node to each tree, with its information. Empty thoughts have none and are not scored."""
        pending = [(state, state.pending_node) for state in states if state.pending_node is not None]
        judgments = [
            (state.ordered_pair, self._resolve_principles(node.chain), node.thought)
            for state, node in pending
            if not node.empty
        ]
        estimates = iter(score_judgments(self.engine, judgments, self.variant))
        updated = []
        for state, node in pending:
            if node.empty:
                updated.append(self._add_node(state, node))
                continue
            estimate = next(estimates)
            scored = replace(
                state,
                cost=state.cost + estimate.cost,
                calls=state.calls + estimate.calls,
                samples=compute_min_samples((state.samples, estimate.samples)),
            )
            if estimate.p_first is None:
                updated.append(replace(scored, pending_node=None, note=estimate.note))
            else:
                information = compute_information(estimate.p_first)
                updated.append(self._add_node(scored, replace(node, p_first=estimate.p_first, information=information)))
        return updated

    def _add_node(self, state: SearchState, node: Node) -> SearchState:
        tree = add_node(state.tree, node, list(self.principles), self.limits)
        if self.variant.edge_weights == "conditional" and len(tree.path) > len(state.tree.path):
            tree = replace(tree, weights={})
        return replace(state, tree=tree, pending_node=None)

    def _next_chain(self, tree: Tree) -> tuple[str, ...]:
        name = select_next_principle(tree, list(self.principles), self.limits)
        return tree.chain if name is None else (*tree.chain, name)

    def _resolve_principles(self, names: Sequence[str]) -> list[Principle]:
        return [self.principles[name] for name in names]


def _add_thought(state: SearchState, chain: tuple[str, ...], generations: Sequence[Generation]) -> SearchState:
    """The state with a pending node for this thought, or with an error."""
    texts = [generation.text.strip() for generation in generations]
    thought = tuple(f"{THOUGHT_PREFIX} {text}" if text else "" for text in texts)
    node = Node(
        chain=chain,
        thought=thought,
        information=0.0,
        weight=state.tree.weights.get(chain[-1], 1.0) if chain else 1.0,
        empty=not all(thought),
        truncated=any(generation.finish_reason == "length" for generation in generations),
    )
    error = find_error(generations)
    return replace(
        state,
        pending_node=None if error else node,
        cost=state.cost + add_costs([generation.cost for generation in generations]),
        calls=state.calls + len(generations),
        note=error,
    )


def _set_edge_weights(state: SearchState, names: Sequence[str], scores: ChoiceScores) -> SearchState:
    """The state with edge weights for these names, or with an error."""
    if error := find_error([scores]) or describe_invalid_probability(scores.probabilities):
        return replace(state, note=error)
    tree = replace(state.tree, weights=dict(zip(names, scores.probabilities, strict=True)))
    return replace(state, tree=tree, samples=compute_min_samples((state.samples, scores.samples)))


def _ignore_pruned_failure(state: SearchState) -> SearchState:
    """Marks a search that failed below a node without gain as done if everything below such a node is pruned."""
    if not state.note or not state.tree.is_settled:
        return state
    return replace(state, tree=replace(state.tree, done=True), note="", failed_in_pruned_branch=True)


def _is_active(state: SearchState) -> bool:
    return state.is_active


def _has_pending_node(state: SearchState) -> bool:
    return state.pending_node is not None


def _apply_step(
    states: Sequence[SearchState],
    condition: Callable[[SearchState], bool],
    step: Callable[[Sequence[SearchState]], list[SearchState]],
) -> list[SearchState]:
    """Applies a step to the states that meet the condition; the others are unchanged."""
    selected = [state for state in states if condition(state)]
    if not selected:
        return list(states)
    updated = iter(step(selected))
    return [next(updated) if condition(state) else state for state in states]
