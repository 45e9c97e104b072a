"""The bench runs from end to end, on shapes that need no weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.run import main
from benchmarks.shapes import MEAN_LENGTHS, MODEL_SHAPES, build_random_model, sample_token_pairs
from benchmarks.workload import count_required_flops
from trimtab.models.packing.pair_batch import TokenizedPair


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "src"]))
    monkeypatch.chdir(Path(__file__).parents[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["score_opt-tiny", "dpo_opt-tiny"])
def test_a_shape_is_raced_against_the_others(name: str, tmp_path: Path) -> None:
    main(["--only", name, "--rounds", "1", "--results", str(tmp_path)])
    found = json.loads((tmp_path / "latest.json").read_text())
    made, about = found[name], found["about"][name]
    assert made["ratio"] == pytest.approx(made["per_second"] / made["other_per_second"], rel=0.05)
    assert min(made["memory_ratio"], made["peak_mb"], made["gflops"]) > 0
    assert (about["pairs"], about["device"], about["rounds"]) == ("random tokens", "cpu", 1)


def test_the_report_of_a_made_up_run_is_timed_and_weighed(tmp_path: Path) -> None:
    main(["--only", "report", "--rounds", "1", "--share", "0.001", "--results", str(tmp_path)])
    found = json.loads((tmp_path / "latest.json").read_text())
    made = found["report"]
    assert found["about"]["report"]["pairs"] == "random words"
    for name in ("", "_many_prompts"):
        assert made[f"seconds{name}"] > 0
        assert 0.03 < made[f"page_mb{name}"] < 5


def test_a_result_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is no result 'dpo_opt' \(there are: score_smollm2, .*dpo_opt-1.3b"):
        main(["--only", "dpo_opt", "--results", str(tmp_path)])


def test_drawn_rows_are_as_long_as_peoples_pairs_and_the_same_each_time() -> None:
    rows = sample_token_pairs("opt-125m", 2000, 4096)
    parts = list(zip(*((len(row.prompt), len(row.first), len(row.second)) for row in rows), strict=True))
    for part, wanted in zip(parts, MEAN_LENGTHS, strict=True):
        assert sum(part) / len(rows) == pytest.approx(wanted, rel=0.1)
    assert sample_token_pairs("opt-125m", 20, 4096) == rows[:20]
    assert max(row.max_text_length for row in sample_token_pairs("opt-125m", 200, 256)) <= 256


def test_what_cannot_be_avoided_is_counted_by_hand() -> None:
    config, model = MODEL_SHAPES["opt-tiny"], build_random_model("opt-tiny", "cpu").model
    # a layer: four products of width x width, two of width x 64; the head: width x vocabulary
    body = config.num_hidden_layers * (4 * 32 * 32 + 2 * 32 * 64)
    row = TokenizedPair(prompt=(1,) * 7, first=(2,) * 3, second=(3,) * 2)
    assert count_required_flops(model, [row], 3) == 3 * 2 * (12 * body + 5 * 32 * 512)
