"""The benchmarks run end to end on models with random weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.attention_roofline import LENGTHS, SHAPES, build_pair, compute_cost, count_visible_keys
from benchmarks.packing import build_pairs
from benchmarks.run import main
from benchmarks.shapes import MEAN_LENGTHS, MODEL_SHAPES, build_random_model, sample_token_pairs
from benchmarks.workload import Workload, count_required_flops
from trimtab.models.packing.pair_batch import TokenizedPair, build_attention_mask, collate_pairs


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "src"]))
    monkeypatch.chdir(Path(__file__).parents[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["score_opt-tiny", "dpo_opt-tiny"])
def test_a_random_model_is_compared_with_the_baselines(name: str, tmp_path: Path) -> None:
    main(["--only", name, "--rounds", "1", "--results", str(tmp_path)])
    results = json.loads((tmp_path / "latest.json").read_text())
    result, about = results[name], results["about"][name]
    assert result["ratio"] == pytest.approx(result["per_second"] / result["other_per_second"], rel=0.05)
    assert min(result["memory_ratio"], result["peak_mb"], result["gflops"]) > 0
    assert (about["pairs"], about["device"], about["rounds"]) == ("random tokens", "cpu", 1)


def test_the_report_of_a_synthetic_run_is_measured(tmp_path: Path) -> None:
    main(["--only", "report", "--rounds", "1", "--share", "0.001", "--results", str(tmp_path)])
    results = json.loads((tmp_path / "latest.json").read_text())
    result = results["report"]
    assert results["about"]["report"]["pairs"] == "random words"
    for name in ("", "_many_prompts"):
        assert result[f"seconds{name}"] > 0
        assert 0.03 < result[f"page_mb{name}"] < 5


def test_an_unknown_result_is_reported_with_the_available_ones(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"unknown result 'dpo_opt' \(available: score_smollm2, .*dpo_opt-1.3b"):
        main(["--only", "dpo_opt", "--results", str(tmp_path)])


def test_random_pairs_have_the_lengths_of_human_dialogues_and_are_deterministic() -> None:
    pairs = sample_token_pairs("opt-125m", 2000, 4096)
    parts = list(zip(*((len(pair.prompt), len(pair.first), len(pair.second)) for pair in pairs), strict=True))
    for part, expected in zip(parts, MEAN_LENGTHS, strict=True):
        assert sum(part) / len(pairs) == pytest.approx(expected, rel=0.1)
    assert sample_token_pairs("opt-125m", 20, 4096) == pairs[:20]
    assert max(pair.max_text_length for pair in sample_token_pairs("opt-125m", 200, 256)) <= 256


def test_required_operations_match_the_number_computed_by_hand() -> None:
    config, model = MODEL_SHAPES["opt-tiny"], build_random_model("opt-tiny", "cpu").model
    # a layer: four products of width x width, two of width x 64; the head: width x vocabulary
    body = config.num_hidden_layers * (4 * 32 * 32 + 2 * 32 * 64)
    row = TokenizedPair(prompt=(1,) * 7, first=(2,) * 3, second=(3,) * 2)
    assert count_required_flops(model, [row], 3) == 3 * 2 * (12 * body + 5 * 32 * 512)


@pytest.mark.slow
def test_packed_pairs_are_compared_with_padded_ones(tmp_path: Path) -> None:
    main(["--only", "packing_opt-tiny", "--rounds", "1", "--share", "0.001", "--results", str(tmp_path)])
    result = json.loads((tmp_path / "latest.json").read_text())["packing_opt-tiny"]
    assert result.keys() == {
        f"{kind}_64_{key}" for kind in ("score", "dpo") for key in ("ratio", "memory_ratio", "per_second")
    }
    assert min(result.values()) > 0


@pytest.mark.parametrize("name", SHAPES)
def test_the_roofline_of_attention_counts_the_keys_of_the_mask(name: str) -> None:
    pair = TokenizedPair(prompt=(1,) * 7, first=(2,) * 3, second=(3,) * 2)
    visible = int(build_attention_mask(collate_pairs([pair], "padded", 0)).sum())
    assert count_visible_keys(pair) == visible
    cost = compute_cost(SHAPES[name], pair)
    assert cost.dense / cost.visible == pytest.approx(12**2 / visible)
    speedups = [compute_cost(SHAPES[name], build_pair(length)).max_speedup for length in LENGTHS]
    assert speedups == sorted(speedups)
    assert speedups[0] > 1


def test_long_pairs_have_the_given_length() -> None:
    pairs = build_pairs(
        Workload(build_random_model("opt-tiny", "cpu"), [], sample_token_pairs("opt-tiny", 4, 64)), 5, 64
    )
    assert [(pair.max_text_length, len(pair)) for pair in pairs] == [(64, 96)] * 5
    assert len({pair.prompt for pair in pairs}) > 1
