"""SEAM's search for all pairs at once: in each round every pair that is not finished makes one node."""

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
    count_kept_nodes,
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
from trimtab.types import ChoiceScores, Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchState:
    """One pair's search: its tree, the node in the making, what it took so far, and why it failed, if it did.

    `samples` are the fewest draws that an edge or a node was counted over, 0 where the model told all shares. `failed_below`:
    an answer failed where the tree was already known to be pruned, which bears on no label.
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
    """The strong model and the rules it searches by. Without `principles` a tree is one node of plain thought."""

    engine: Engine
    principles: Mapping[str, Principle]
    variant: VariantSettings
    limits: SearchLimits
    max_thought_tokens: int

    def __call__(self, searches: Sequence[SearchState]) -> list[SearchState]:
        """Best-first search with backtracking: a round is at most one `weigh` for edges, one `write`, one `weigh` for
        nodes, over all pairs that still search. What one pair's answers are does not change what another is asked. Where one
        principle alone is left there is nothing to rank, and its edge has the whole weight."""
        found = list(searches)
        while any(each.is_active for each in found):
            found = _apply_step(found, self._needs_ranking, self._rank_principles)
            found = _apply_step(found, _is_active, self._generate_thoughts)
            found = _apply_step(found, _has_pending_node, self._score_nodes)
        return [_ignore_pruned_failure(each) for each in found]

    def _needs_ranking(self, search: SearchState) -> bool:
        return search.is_active and not search.tree.weights and len(self._list_candidates(search)) > 1

    def _list_candidates(self, search: SearchState) -> list[str]:
        return list_candidates(search.tree, list(self.principles), self.limits)

    def _rank_principles(self, searches: Sequence[SearchState]) -> list[SearchState]:
        """The edges from the end of each path: shares of what may come next (Li et al. 2025, eq. 5)."""
        among = [self._list_candidates(each) for each in searches]
        answers = self.engine.score_choices(
            [
                build_ranking_request(
                    each.ordered_pair, list(self.principles.values()), self._resolve_principles(each.tree.chain)
                )
                for each in searches
            ],
            [build_ranking_candidates(self._resolve_principles(each)) for each in among],
            first_token_only=self.variant.principle_scoring == "first_token",
        )
        return [
            replace(_set_edge_weights(search, open_, answer), cost=search.cost + answer.cost, calls=search.calls + 1)
            for search, open_, answer in zip(searches, among, answers, strict=True)
        ]

    def _generate_thoughts(self, searches: Sequence[SearchState]) -> list[SearchState]:
        """The next node of each search, before it is known what it tells."""
        chains = [self._next_chain(each.tree) for each in searches]
        two_sided = self.variant.explanations == "per_response"
        asked = [
            build_thought_requests(each.ordered_pair, self._resolve_principles(chain), per_response=two_sided)
            for each, chain in zip(searches, chains, strict=True)
        ]
        replies = self.engine.generate(
            [question for group in asked for question in group],
            max_new_tokens=self.max_thought_tokens,
            stop=THOUGHT_STOPS,
        )
        grouped = split_by_sizes(replies, [len(group) for group in asked])
        found = []
        for search, chain, said in zip(searches, chains, grouped, strict=True):
            thought = tuple(f"{THOUGHT_PREFIX} {text}" if (text := each.text.strip()) else "" for each in said)
            draft = Node(
                chain=chain,
                thought=thought,
                information=0.0,
                weight=search.tree.weights.get(chain[-1], 1.0) if chain else 1.0,
                empty=not all(thought),
                truncated=any(each.finish_reason == "length" for each in said),
            )
            cost = search.cost + add_costs([each.cost for each in said])
            note = find_error(said)
            found.append(
                replace(
                    search, pending_node=None if note else draft, cost=cost, calls=search.calls + len(said), note=note
                )
            )
        return found

    def _score_nodes(self, searches: Sequence[SearchState]) -> list[SearchState]:
        """Each tree with its new node, and what the node tells. An empty thought tells nothing and is not asked about."""
        drafts = [(search, search.pending_node) for search in searches if search.pending_node is not None]
        asked = [
            (search.ordered_pair, self._resolve_principles(node.chain), node.thought)
            for search, node in drafts
            if not node.empty
        ]
        opinions = iter(score_judgments(self.engine, asked, self.variant))
        found = []
        for search, node in drafts:
            if node.empty:
                found.append(self._add_node(search, node))
                continue
            opinion = next(opinions)
            spent = replace(
                search,
                cost=search.cost + opinion.cost,
                calls=search.calls + opinion.calls,
                samples=compute_min_samples((search.samples, opinion.samples)),
            )
            if opinion.p_first is None:
                found.append(replace(spent, pending_node=None, note=opinion.note))
            else:
                known = replace(node, p_first=opinion.p_first, information=compute_information(opinion.p_first))
                found.append(self._add_node(spent, known))
        return found

    def _add_node(self, search: SearchState, node: Node) -> SearchState:
        tree = add_node(search.tree, node, list(self.principles), self.limits)
        if self.variant.edge_weights == "conditional" and len(tree.path) > len(search.tree.path):
            tree = replace(tree, weights={})
        return replace(search, tree=tree, pending_node=None)

    def _next_chain(self, tree: Tree) -> tuple[str, ...]:
        name = select_next_principle(tree, list(self.principles), self.limits)
        return tree.chain if name is None else (*tree.chain, name)

    def _resolve_principles(self, chain: Sequence[str]) -> list[Principle]:
        return [self.principles[name] for name in chain]


def _set_edge_weights(search: SearchState, among: Sequence[str], answer: ChoiceScores) -> SearchState:
    """The search with the shares of these names as edges, or why it has none."""
    if note := find_error([answer]) or describe_invalid_probability(answer.probabilities):
        return replace(search, note=note)
    tree = replace(search.tree, weights=dict(zip(among, answer.probabilities, strict=True)))
    return replace(search, tree=tree, samples=compute_min_samples((search.samples, answer.samples)))


def _ignore_pruned_failure(search: SearchState) -> SearchState:
    """A search that failed below a node without gain is done: what comes there is pruned whatever it tells."""
    path = search.tree.path
    if not search.note or count_kept_nodes(path) == len(path):
        return search
    return replace(search, tree=replace(search.tree, done=True), note="", failed_in_pruned_branch=True)


def _is_active(search: SearchState) -> bool:
    return search.is_active


def _has_pending_node(search: SearchState) -> bool:
    return search.pending_node is not None


def _apply_step(
    searches: Sequence[SearchState],
    wanted: Callable[[SearchState], bool],
    step: Callable[[Sequence[SearchState]], list[SearchState]],
) -> list[SearchState]:
    """The searches with one step taken by those that want it; the others stay as they are."""
    chosen = [each for each in searches if wanted(each)]
    if not chosen:
        return list(searches)
    after = iter(step(chosen))
    return [next(after) if wanted(each) else each for each in searches]
