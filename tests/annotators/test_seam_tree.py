"""SEAM's tree, against manual calculations: information, search order, valid nodes, and the labeler."""

from __future__ import annotations

import pytest

from trimtab.annotators.seam.scoring import compute_first_probability
from trimtab.annotators.seam.tree import (
    Node,
    NodeSelection,
    SearchLimits,
    Tree,
    add_node,
    compute_information,
    compute_tree_score,
    describe_drop_reason,
    select_labeler,
    select_next_principle,
)
from trimtab.annotators.seam.truncation import (
    TruncatedText,
    compute_length_limit,
    estimate_tokens,
    truncate_middle,
    truncate_pair,
)
from trimtab.annotators.seam.variants import VARIANTS
from trimtab.prompts.principles import load_principles
from trimtab.prompts.seam import OrderedPair, swap_response_numbers
from trimtab.types import ChoiceScores

NAMES = ["r0", "r1", "r2", "r3", "r4"]
WEIGHTS = {"r0": 0.4, "r1": 0.3, "r2": 0.15, "r3": 0.1, "r4": 0.05}
CODE = SearchLimits(max_depth=3, retries=1, allow_reused_principles=False, early_stop=False)
PAPER = SearchLimits(max_depth=3, retries=1, allow_reused_principles=True, early_stop=True)
HARMLESS = {each.name for each in load_principles() if each.group == "harmless"}


def tree_with_path(rule: NodeSelection, *informations: float) -> Tree:
    nodes = tuple(
        Node(chain=tuple(NAMES[: index + 1]), thought=("t",), information=each)
        for index, each in enumerate(informations)
    )
    return Tree(node_selection=rule, path=nodes, nodes=nodes)


def grow(
    informations: list[float],
    rules: SearchLimits,
    names: list[str] = NAMES,
    node_selection: NodeSelection = "deepest_gain",
) -> Tree:
    """The tree of a search whose nodes have this information, in order of creation."""
    tree, left = Tree(node_selection=node_selection, weights=WEIGHTS), list(informations)
    while not tree.done:
        name = select_next_principle(tree, names, rules)
        assert name is not None
        tree = add_node(tree, Node(chain=(*tree.chain, name), thought=("t",), information=left.pop(0)), names, rules)
    assert left == []
    return tree


@pytest.mark.parametrize(
    ("p", "bits"),
    [
        (0.5, 0.0),
        (0.0, 1.0),
        (1.0, 1.0),
        (0.25, 0.1887218755),
        (0.75, 0.1887218755),
        (1e-300, 1.0),
        (0.9, 0.5310044064),
    ],
)
def test_information_is_one_bit_less_the_entropy(p: float, bits: float) -> None:
    assert compute_information(p) == pytest.approx(bits, abs=1e-9)


def test_information_grows_with_the_distance_from_a_half() -> None:
    values = [compute_information(0.5 + step / 100) for step in range(51)]
    assert values == sorted(values)
    assert len(set(values)) == 51


@pytest.mark.parametrize(
    ("informations", "ranks"),
    [
        ([0.2, 0.3, 0.4], (0, 1, 2)),
        ([0.2, 0.1, 0.3, 0.4], (0, 2, 3)),
        ([0.2, 0.3, 0.1, 0.4], (0, 1, 3)),
        ([0.2, 0.1, 0.3, 0.1, 0.4], (0, 2, 4)),
        ([0.2, 0.1, 0.1, 0.3], (0, 2, 3)),
    ],
    ids=["none", "level 2", "level 3", "both", "level 2 twice"],
)
def test_the_released_code_never_returns_to_a_rejected_principle(
    informations: list[float], ranks: tuple[int, ...]
) -> None:
    tree = grow(informations, CODE)
    assert tree.chain == tuple(NAMES[rank] for rank in ranks)
    assert tree.backtracks == len(informations) - 3


@pytest.mark.parametrize(
    ("informations", "ranks"),
    [
        ([0.2, 0.3, 0.4], (0, 1, 2)),
        ([0.2, 0.1, 0.3, 0.4], (0, 2, 1)),
        ([0.2, 0.3, 0.1, 0.4], (0, 1, 3)),
        ([0.2, 0.1, 0.3, 0.1, 0.4], (0, 2, 3)),
        ([0.2, 0.1, 0.1], (0, 2)),
    ],
    ids=["none", "level 2", "level 3", "both", "a second failure stops"],
)
def test_in_the_paper_a_rejected_principle_may_return_at_deeper_levels(
    informations: list[float], ranks: tuple[int, ...]
) -> None:
    assert grow(informations, PAPER).chain == tuple(NAMES[rank] for rank in ranks)


def test_the_search_of_figure_3_keeps_the_failing_node_and_is_labeled_by_the_one_before_it() -> None:
    # n2 (r0), n4 (r1), n5 (r2) with less information than n4, n6 (r3) with less as well: the search stops
    n2, n4, n5, n6 = 0.2, 0.4, 0.3, 0.1
    tree = grow([n2, n4, n5, n6], PAPER)
    assert [node.information for node in tree.path] == [n2, n4, n6]
    assert [node.information for node in tree.valid_nodes] == [n2, n4]
    assert (tree.deciding_node.chain, tree.backtracks) == (("r0", "r1"), 1)
    assert compute_tree_score(tree) == pytest.approx((n2 + n4) / 2)
    assert [describe_drop_reason(tree, node) for node in tree.nodes] == [
        "",
        "",
        "less information than its parent; retried",
        "no gain over its parent",
    ]


@pytest.mark.parametrize(
    ("informations", "paper_levels", "code_levels"),
    [
        ((0.5,), [1], [1]),
        ((0.5, 0.6, 0.7), [1, 2, 3], [1, 2, 3]),
        ((0.5, 0.6, 0.55), [1, 2], [1, 2]),
        ((0.5, 0.6, 0.6), [1, 2], [1, 2]),
        ((0.5, 0.5, 0.9), [1, 3], [1]),
        ((0.5, 0.4, 0.45), [1, 3], [1]),
        ((0.0, 0.3), [2], [1, 2]),
        ((0.0, 0.0, 0.0), [1], [1]),
    ],
)
def test_valid_nodes_have_a_gain_over_their_predecessor_in_the_paper_and_an_unbroken_one_in_the_code(
    informations: tuple[float, ...], paper_levels: list[int], code_levels: list[int]
) -> None:
    for rule, levels in (("deepest_gain", paper_levels), ("unbroken_gain", code_levels)):
        tree = tree_with_path(rule, *informations)  # type: ignore[arg-type]
        assert [len(node.chain) for node in tree.valid_nodes] == levels
        assert len(tree.deciding_node.chain) == levels[-1]


def test_a_gain_of_zero_neither_backtracks_nor_stops() -> None:
    tree = grow([0.5, 0.5, 0.9], PAPER)
    assert (tree.backtracks, tree.chain, tree.deciding_node.information) == (0, ("r0", "r1", "r2"), 0.9)
    assert compute_tree_score(tree) == pytest.approx(0.7)
    code = grow([0.5, 0.5, 0.9], CODE, node_selection="unbroken_gain")
    assert (code.backtracks, code.deciding_node.information, compute_tree_score(code)) == (0, 0.5, 0.5)


def test_without_early_stop_a_path_goes_on_below_a_node_with_less_information() -> None:
    endless = SearchLimits(max_depth=3, retries=0, allow_reused_principles=True, early_stop=False)
    tree = grow([0.5, 0.4, 0.45], endless)
    assert (tree.backtracks, tree.deciding_node.information) == (0, 0.45)
    assert compute_tree_score(tree) == pytest.approx(0.475)


def test_the_score_is_the_mean_over_the_valid_nodes() -> None:
    assert compute_tree_score(tree_with_path("unbroken_gain", 0.2, 0.4, 0.3)) == pytest.approx(0.3)
    assert compute_tree_score(tree_with_path("unbroken_gain", 0.2, 0.1, 0.9)) == pytest.approx(0.2)
    assert compute_tree_score(tree_with_path("deepest_gain", 0.2, 0.1, 0.9)) == pytest.approx(0.55)


def test_every_dropped_node_has_a_reason() -> None:
    tree = grow([0.5, 0.3, 0.4, 0.6], CODE, node_selection="unbroken_gain")
    assert [describe_drop_reason(tree, node) for node in tree.nodes] == [
        "",
        "less information than its parent; retried",
        "no gain over its parent",
        "below a node without gain",
    ]


def test_a_level_is_retried_at_most_retries_times() -> None:
    patient = SearchLimits(max_depth=2, retries=3, allow_reused_principles=False, early_stop=True)
    assert grow([0.5, 0.1, 0.2, 0.3, 0.4], patient).chain == ("r0", "r4")
    hasty = SearchLimits(max_depth=2, retries=0, allow_reused_principles=False, early_stop=True)
    assert grow([0.5, 0.1], hasty).chain == ("r0", "r1")


def test_a_search_ends_without_candidates() -> None:
    assert grow([0.5, 0.6], PAPER, NAMES[:2]).chain == ("r0", "r1")
    tree = grow([0.5, 0.4], CODE, NAMES[:2])
    assert (tree.chain, tree.backtracks) == (("r0", "r1"), 0)


def test_equal_edge_weights_select_the_first_principle() -> None:
    assert select_next_principle(Tree(weights=dict.fromkeys(reversed(NAMES), 0.2)), NAMES, PAPER) == "r0"


@pytest.mark.parametrize(
    ("chain", "who"),
    [
        (["Informative"], "strong"),
        (["Informative", "Logical", "Candor"], "strong"),
        (["Informative", "Objective"], "weak"),
        (["Fairness and Kindness"], "weak"),
        (["Engaging", "Clarifying", "No Risk Information"], "weak"),
    ],
)
def test_the_strong_model_decides_only_for_chains_without_harmless_principles(chain: list[str], who: str) -> None:
    assert select_labeler(chain, HARMLESS, "strong") == who
    assert select_labeler(chain, HARMLESS, "weak") == "weak"


@pytest.mark.parametrize(("gap", "share"), [(0.0, 0.5), (4.0, 0.7310585786), (-4.0, 0.2689414214), (8.0, 0.8807970780)])
def test_the_released_code_divides_the_logprob_difference_by_the_tokens(gap: float, share: float) -> None:
    # independent of how many tokens differ between the answers
    for count in (1, 2, 4):
        weighing = ChoiceScores(probabilities=(0.9, 0.1), logprobs=(-1.0, -1.0 - gap), tokens=(count, count))
        assert compute_first_probability(weighing, VARIANTS["released_code"]) == pytest.approx(share)
        assert compute_first_probability(weighing, VARIANTS["paper"]) == 0.9


def test_a_thought_is_renumbered_for_swapped_responses_and_back() -> None:
    thought = (
        "Response 1 helps, response 2's tone does not.",
        "The second response, Response #2, is kind; responses 1 and 2.",
    )
    assert swap_response_numbers(thought) == (
        "The first response, Response #1, is kind; responses 2 and 1.",
        "Response 2 helps, response 1's tone does not.",
    )
    assert swap_response_numbers(swap_response_numbers(thought)) == thought


@pytest.mark.parametrize(
    ("expected", "swapped"),
    [
        ("Both Response 1 and 2 refuse.", "Both Response 2 and 1 refuse."),
        ("Response 1/2, Response 2 or Response 1", "Response 2/1, Response 1 or Response 2"),
        ("**Response 1** is kind, Response **2** is not.", "**Response 2** is kind, Response **1** is not."),
        ("RESPONSE 1, response_2: The first one.", "RESPONSE 2, response_1: The second one."),
        ("SECOND response", "FIRST response"),
        ("Response 12 of 2 in 1 of the first days", "Response 12 of 2 in 1 of the first days"),
    ],
)
def test_only_references_to_responses_are_renumbered(expected: str, swapped: str) -> None:
    assert swap_response_numbers([expected]) == (swapped,)


def test_long_texts_are_truncated_to_the_same_length_and_short_ones_stay() -> None:
    assert compute_length_limit([10, 100, 100], 110) == 50
    assert compute_length_limit([10, 20, 300], 90) == 60
    assert compute_length_limit([10, 20, 30], 90) == 30


def test_a_truncated_text_has_both_ends_and_a_mark() -> None:
    text = " ".join(f"w{index}" for index in range(100))
    cut = truncate_middle(text, 60)
    assert cut.text.startswith("w0 w1 ")
    assert cut.text.endswith(" w99")
    assert f"[... {cut.words_removed} words left out ...]" in cut.text
    assert estimate_tokens(cut.text) <= 60
    assert len(cut.text.split()) - 6 == 100 - cut.words_removed
    assert cut.retained_fraction == (100 - cut.words_removed) / 100
    assert truncate_middle("a b c", 60) == TruncatedText(text="a b c")


@pytest.mark.parametrize("text", ["好的我来帮你解释这个问题" * 40, "x=1;" * 300, "QUJD" * 200 + "Zz=="])
def test_a_truncated_text_without_spaces_has_both_ends(text: str) -> None:
    cut = truncate_middle(text, 100)
    assert cut.text.startswith(text[:8])
    assert cut.text.endswith(text[-3:])
    assert 60 < estimate_tokens(cut.text) <= 100
    assert 0 < cut.retained_fraction < 1


def test_only_texts_that_do_not_fit_are_truncated() -> None:
    case = OrderedPair(conversation="User: short", first="word " * 200, second="brief")
    cut = truncate_pair(case, 100)
    assert (cut.ordered_pair.conversation, cut.ordered_pair.second) == (case.conversation, case.second)
    assert cut.words_removed > 0
    assert cut.retained_fraction == (200 - cut.words_removed) / 200
    assert (
        sum(map(estimate_tokens, (cut.ordered_pair.conversation, cut.ordered_pair.first, cut.ordered_pair.second)))
        <= 100
    )
