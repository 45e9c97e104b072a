"""SEAM on one tree that is worked by hand: edge weights, information, the path, the deciding node, score and labeler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from seam_script import PAIR, chain_of, custom_principles, for_good, is_judgment, is_ranking, label, seam, weak_engine

from trimtab.engines.scripted import ScriptedEngine
from trimtab.types import EngineRequest

# Edge weights from the end of a chain, by the candidates that are left, as in equation 5
WEIGHTS = {
    ("Apt", "Brief", "Calm", "Deep"): (0.4, 0.3, 0.2, 0.1),
    ("Brief", "Calm", "Deep"): (0.2, 0.5, 0.3),
    ("Brief", "Calm"): (0.45, 0.55),
}
# The strong model's probability of the good response given the thought of a chain
PROBABILITIES = {
    ("Apt",): 0.8,
    ("Apt", "Brief"): 0.6,
    ("Apt", "Calm"): 0.7,
    ("Apt", "Deep"): 0.9,
    ("Apt", "Deep", "Calm"): 0.95,
    ("Apt", "Calm", "Deep"): 0.9,
}


def strong_engine() -> ScriptedEngine:
    def score(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        if is_ranking(request):
            return WEIGHTS[tuple(name.strip() for name in candidates)]
        return for_good(request, PROBABILITIES[chain_of(request)] if is_judgment(request) else 0.9)

    return ScriptedEngine(reply=lambda _: "Response 1 is good.", choice_weights=score)


def work(tmp_path: Path, weak: ScriptedEngine, **settings: Any) -> Mapping[str, Any]:
    principles = custom_principles(tmp_path, "Apt", "Brief", "Calm", "Deep")
    return label(seam(principles=principles, **settings), strong_engine(), weak).detail


def test_the_paper_ranks_again_after_each_choice_and_a_rejected_principle_returns(tmp_path: Path) -> None:
    weak = weak_engine()
    tree = work(tmp_path, weak)
    # 1 - H(.8) = .2781; Calm, with the highest weight of the three left: 1 - H(.7) = .1187 is less, so backtrack; Deep is
    # next: 1 - H(.9) = .5310. P without {Apt, Deep} is {Brief, Calm}, where Calm is first: 1 - H(.95) = .7136, level 3
    assert [(node["chain"], node["kept"]) for node in tree["nodes"]] == [
        (["Apt"], True),
        (["Apt", "Calm"], False),
        (["Apt", "Deep"], True),
        (["Apt", "Deep", "Calm"], True),
    ]
    assert [node["weight"] for node in tree["nodes"]] == pytest.approx([0.4, 0.5, 0.3, 0.55])
    assert [node["information"] for node in tree["nodes"]] == pytest.approx([0.2781, 0.1187, 0.5310, 0.7136], abs=5e-5)
    assert tree["score"] == pytest.approx((0.2781 + 0.5310 + 0.7136) / 3, abs=5e-5)
    assert (tree["depth"], tree["decided_by"]) == (3, "weak")
    assert tree["weak_p_a"] == pytest.approx(0.8 if PAIR.human == "a" else 0.2)
    assert chain_of(weak.requests[0]) == ("Apt", "Deep", "Calm")


def test_the_released_code_walks_the_first_ranking_and_prunes_at_the_first_level_without_gain(tmp_path: Path) -> None:
    weak = weak_engine()
    tree = work(tmp_path, weak, variant="released_code")
    # Brief is second in the ranking and has less information than Apt; so has Calm, the third, which stays; Deep is next
    assert [(node["chain"], node["kept"]) for node in tree["nodes"]] == [
        (["Apt"], True),
        (["Apt", "Brief"], False),
        (["Apt", "Calm"], False),
        (["Apt", "Calm", "Deep"], False),
    ]
    assert [node["weight"] for node in tree["nodes"]] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    # log-odds of ln 4 over 4 tokens: sigmoid(ln(4) / 4) = sqrt(2) / (1 + sqrt(2)) = .5858, and 1 - H(.5858) = .02134
    assert tree["nodes"][0]["p_first"] == pytest.approx(2**0.5 / (1 + 2**0.5))
    assert tree["score"] == pytest.approx(0.02134, abs=5e-6)
    # Apt is a principle of helpfulness: the strong model decides, by 3^(1/2) / (1 + 3^(1/2)), and the weak one is not asked
    p_good = 3**0.5 / (1 + 3**0.5)
    assert (tree["depth"], tree["decided_by"], weak.requests) == (1, "strong", [])
    assert tree["strong_p_a"] == pytest.approx(p_good if PAIR.human == "a" else 1 - p_good)
