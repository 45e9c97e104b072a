"""SEAM's search for all pairs at once: in each round every pair that is not finished makes one node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab.annotators._seam_asking import failure, judged, no_probability, regrouped, total
from trimtab.annotators._seam_rules import Rules
from trimtab.annotators._seam_tree import Growth, Node, Tree, grown, information, kept, next_name, open_names
from trimtab.prompts.answers import fewest_draws
from trimtab.prompts.principles import Principle
from trimtab.prompts.seam import OPENS, STOPS, Case, names, ranking, thoughts
from trimtab.protocols import Engine
from trimtab.types import Cost, Weighing


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One pair's search: its tree, the node in the making, what it took so far, and why it failed, if it did.

    `samples` are the fewest draws that an edge or a node was counted over, 0 where the model told all shares. `failed_below`:
    an answer failed where the tree was already known to be pruned, which bears on no label.
    """

    case: Case
    tree: Tree = field(default_factory=Tree)
    draft: Node | None = None
    cost: Cost = field(default_factory=Cost)
    calls: int = 0
    samples: int = 0
    failed_below: bool = False
    note: str = ""

    @property
    def live(self) -> bool:
        return not self.tree.done and not self.note


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher:
    """The strong model and the rules it searches by. Without `principles` a tree is one node of plain thought."""

    engine: Engine
    principles: Mapping[str, Principle]
    rules: Rules
    growth: Growth
    max_thought_tokens: int

    def __call__(self, searches: Sequence[Search]) -> list[Search]:
        """Best-first search with backtracking: a round is at most one `weigh` for edges, one `write`, one `weigh` for
        nodes, over all pairs that still search. What one pair's answers are does not change what another is asked. Where one
        principle alone is left there is nothing to rank, and its edge has the whole weight."""
        found = list(searches)
        while any(each.live for each in found):
            found = _stepped(found, self._lacks_edges, self._ranked)
            found = _stepped(found, _is_live, self._thought)
            found = _stepped(found, _has_draft, self._weighed)
        return [_settled(each) for each in found]

    def _lacks_edges(self, search: Search) -> bool:
        return search.live and not search.tree.weights and len(self._open(search)) > 1

    def _open(self, search: Search) -> list[str]:
        return open_names(search.tree, list(self.principles), self.growth)

    def _ranked(self, searches: Sequence[Search]) -> list[Search]:
        """The edges from the end of each path: shares of what may come next (Li et al. 2025, eq. 5)."""
        among = [self._open(each) for each in searches]
        answers = self.engine.weigh(
            [ranking(each.case, list(self.principles.values()), self._chain(each.tree.chain)) for each in searches],
            [names(self._chain(each)) for each in among],
            first_token=self.rules.principle_scores == "first_token",
        )
        return [
            replace(_with_edges(search, open_, answer), cost=search.cost + answer.cost, calls=search.calls + 1)
            for search, open_, answer in zip(searches, among, answers, strict=True)
        ]

    def _thought(self, searches: Sequence[Search]) -> list[Search]:
        """The next node of each search, before it is known what it tells."""
        chains = [self._next_chain(each.tree) for each in searches]
        two_sided = self.rules.thoughts == "two_sided"
        asked = [
            thoughts(each.case, self._chain(chain), two_sided=two_sided)
            for each, chain in zip(searches, chains, strict=True)
        ]
        replies = self.engine.write(
            [question for group in asked for question in group], max_tokens=self.max_thought_tokens, stop=STOPS
        )
        grouped = regrouped(replies, [len(group) for group in asked])
        found = []
        for search, chain, said in zip(searches, chains, grouped, strict=True):
            thought = tuple(f"{OPENS} {text}" if (text := each.text.strip()) else "" for each in said)
            draft = Node(
                chain=chain,
                thought=thought,
                information=0.0,
                weight=search.tree.weights.get(chain[-1], 1.0) if chain else 1.0,
                empty=not all(thought),
                cut=any(each.stop == "length" for each in said),
            )
            cost = search.cost + total([each.cost for each in said])
            note = failure(said)
            found.append(
                replace(search, draft=None if note else draft, cost=cost, calls=search.calls + len(said), note=note)
            )
        return found

    def _weighed(self, searches: Sequence[Search]) -> list[Search]:
        """Each tree with its new node, and what the node tells. An empty thought tells nothing and is not asked about."""
        drafts = [(search, search.draft) for search in searches if search.draft is not None]
        asked = [(search.case, self._chain(node.chain), node.thought) for search, node in drafts if not node.empty]
        opinions = iter(judged(self.engine, asked, self.rules))
        found = []
        for search, node in drafts:
            if node.empty:
                found.append(self._with(search, node))
                continue
            opinion = next(opinions)
            spent = replace(
                search,
                cost=search.cost + opinion.cost,
                calls=search.calls + opinion.calls,
                samples=fewest_draws((search.samples, opinion.samples)),
            )
            if opinion.p_first is None:
                found.append(replace(spent, draft=None, note=opinion.note))
            else:
                known = replace(node, p_first=opinion.p_first, information=information(opinion.p_first))
                found.append(self._with(spent, known))
        return found

    def _with(self, search: Search, node: Node) -> Search:
        tree = grown(search.tree, node, list(self.principles), self.growth)
        if self.rules.edge_weights == "conditional" and len(tree.path) > len(search.tree.path):
            tree = replace(tree, weights={})
        return replace(search, tree=tree, draft=None)

    def _next_chain(self, tree: Tree) -> tuple[str, ...]:
        name = next_name(tree, list(self.principles), self.growth)
        return tree.chain if name is None else (*tree.chain, name)

    def _chain(self, chain: Sequence[str]) -> list[Principle]:
        return [self.principles[name] for name in chain]


def _with_edges(search: Search, among: Sequence[str], answer: Weighing) -> Search:
    """The search with the shares of these names as edges, or why it has none."""
    if note := failure([answer]) or no_probability(answer.shares):
        return replace(search, note=note)
    tree = replace(search.tree, weights=dict(zip(among, answer.shares, strict=True)))
    return replace(search, tree=tree, samples=fewest_draws((search.samples, answer.samples)))


def _settled(search: Search) -> Search:
    """A search that failed below a node without gain is done: what comes there is pruned whatever it tells."""
    path = search.tree.path
    if not search.note or kept(path) == len(path):
        return search
    return replace(search, tree=replace(search.tree, done=True), note="", failed_below=True)


def _is_live(search: Search) -> bool:
    return search.live


def _has_draft(search: Search) -> bool:
    return search.draft is not None


def _stepped(
    searches: Sequence[Search], wanted: Callable[[Search], bool], step: Callable[[Sequence[Search]], list[Search]]
) -> list[Search]:
    """The searches with one step taken by those that want it; the others stay as they are."""
    chosen = [each for each in searches if wanted(each)]
    if not chosen:
        return list(searches)
    after = iter(step(chosen))
    return [next(after) if wanted(each) else each for each in searches]
