"""The headline run: every piece can be planned without a network, and saved pieces are pooled into answers."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.config.data_sources import PredefinedSplits
from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.pipeline.stages.split import as_source
from trimtab.workflows.study_plan import StudyPlan

HEADLINE = Path(__file__).parents[1] / "studies" / "headline"
STUDY_FILES = ("harmless.yaml", "helpful.yaml", "tuning.yaml")
OBJECTIVES = ("harmless", "helpful")
# more than the 1,600 pairs for tuning, which the other parts of `gt` exclude
NUM_GT_PAIRS, NUM_OTHER_PAIRS = 1700, 40
NUM_TEST_PAIRS = 400


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for objective in OBJECTIVES:
        for split, count in (("gt", NUM_GT_PAIRS), ("w2s", NUM_OTHER_PAIRS), ("test", NUM_OTHER_PAIRS)):
            rows = [{"prompt": f"{split} {n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}."} for n in range(count)]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"hh1t_{objective}_{split}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def load_studies(name: str, pairs: Path) -> dict[str, Study]:
    return Study.load_variants(HEADLINE / name, [f"variables.pairs={pairs}"])


@pytest.mark.parametrize("name", STUDY_FILES)
def test_every_piece_can_be_planned_offline(
    name: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for variant, study in load_studies(name, pairs).items():
        if not variant.endswith("-2"):  # a second seed has the same stages
            plan = StudyPlan.of_study(study, tmp_path / variant)
            assert {stage.state for stage in plan.stages} <= {"to run", "skipped"}, variant


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_seed_changes_the_training_the_labeled_pairs_the_subsets_and_the_flips(objective: str, pairs: Path) -> None:
    studies = load_studies(f"{objective}.yaml", pairs)
    for piece in ("curve", "weak", "weighted", "annotators", "responses"):
        first, second = (studies[f"{piece}-{seed}"].to_yaml().splitlines() for seed in (1, 2))
        changed = {(a.strip(), b.strip()) for a, b in zip(first, second, strict=True) if a != b}
        assert changed == {(f"name: headline-{objective}-{piece}-1", f"name: headline-{objective}-{piece}-2"),
                           ("seed: 1", "seed: 2")}  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_labeled_pairs_share_no_prompt_with_the_pairs_for_tuning(objective: str, pairs: Path) -> None:
    tuning = next(study for name, study in load_studies("tuning.yaml", pairs).items() if name.startswith(objective))
    headline = load_studies(f"{objective}.yaml", pairs)["curve-1"]
    assert isinstance(headline.data, PredefinedSplits)
    assert isinstance(tuning.data, Component)
    used = {pair.prompt_id for pair in as_source(tuning.data).load().pairs}
    labeled = {pair.prompt_id for pair in as_source(headline.data.labeled).load().pairs}
    assert labeled
    assert used.isdisjoint(labeled)


def write_piece(folder: Path, seed: int, arms: dict[str, float], **changes: object) -> None:
    """A saved piece in which each arm is right on its share of the test pairs, the same ones for every arm and seed but one."""
    accuracy = {}
    for arm, share in arms.items():
        correct = [int(row < share * NUM_TEST_PAIRS) for row in range(NUM_TEST_PAIRS)]
        correct[-seed] = 1  # seeds differ a little
        accuracy[arm] = correct
    piece = {
        "study": f"headline-{folder.name}",
        "seed": seed,
        "settings": "same",
        "pairs": "same",
        "prompts": list(range(NUM_TEST_PAIRS)),
        "similar_length": [int(row % 4 == 0) for row in range(NUM_TEST_PAIRS)],
        "human_labels": {"human_500": 500, "human_2000": 2000, "human": 3700} if "human" in arms else {},
        "accuracy": accuracy,
        "rewards": {},
    } | changes
    folder.mkdir(parents=True)
    (folder / "values.json.gz").write_bytes(gzip.compress(json.dumps(piece).encode()))


def answer(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HEADLINE / "answers.py"), *map(str, sorted(folder.iterdir())), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pieces_of_two_seeds_are_pooled_into_answers(tmp_path: Path) -> None:
    for seed in (1, 2):
        curve = {"weak_model": 0.5, "human_500": 0.5, "human_2000": 0.6, "human": 0.8}
        write_piece(tmp_path / f"harmless-curve-{seed}", seed, curve)
        write_piece(tmp_path / f"harmless-weak-{seed}", seed, {"weak_model": 0.5, "weak": 0.7, "flipped": 0.8})
    text = answer(tmp_path, "--pictures", str(tmp_path)).stdout
    assert "2,720" not in text.split("weak_model")[1].split("\n")[0]  # the teacher has no label worth
    assert "<svg" in (tmp_path / "headline-harmless.svg").read_text()
    assert "## harmless: seeds 1, 2, 400 test pairs" in text
    # 0.7 is halfway, in log n, between 2,000 labels at 0.6 and 3,700 at 0.8: sqrt(2000 * 3700) = 2,720
    assert "| 1. weak labels are worth at least 1,500 human labels | 2,720 [" in text
    answers = {line.split("|")[1].strip()[:1]: line.split("|")[-2].strip() for line in text.splitlines() if "|" in line}
    assert answers["1"] == "yes"
    assert answers["2"] == "no"
    assert answers["3"] == "no"
    assert answers["4"] == "not run yet"
    assert answers["5"] == "yes"


def test_a_single_piece_is_useful_without_the_others(tmp_path: Path) -> None:
    write_piece(tmp_path / "helpful-weak-1", 1, {"weak_model": 0.5, "weak": 0.505, "flipped": 0.4})
    text = answer(tmp_path).stdout
    assert "| 3. above random flips at equal agreement | +0.105 [" in text
    assert "| one seed |" in text
    assert "One seed: the intervals are over test pairs only, and decide nothing." in text


@pytest.mark.parametrize("key", ["settings", "pairs"])
def test_pieces_with_other_settings_or_test_pairs_are_not_pooled(key: str, tmp_path: Path) -> None:
    write_piece(tmp_path / "helpful-weak-1", 1, {"weak": 0.6})
    write_piece(tmp_path / "helpful-weak-2", 2, {"weak": 0.6}, **{key: "other"})
    assert f"have different {key}" in answer(tmp_path).stderr


def test_a_finished_run_is_saved_without_its_texts(finished_run: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(HEADLINE / "save_results.py"), str(finished_run), "--out", str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True)
    (folder,) = tmp_path.iterdir()
    report = json.loads((folder / "report.json").read_text())
    piece = json.loads(gzip.decompress((folder / "values.json.gz").read_bytes()))
    for arm in ("human", "weak", "flipped", "weak_model"):
        values = piece["accuracy"][arm]
        assert sum(values) / len(values) == pytest.approx(report["arms"][arm]["accuracy"]["value"])
    assert piece["human_labels"]["human"] == report["labels"]["human"]["coverage"]["n"]
    assert piece.keys() == {"study", "seed", "settings", "pairs", "prompts", "similar_length", "human_labels", "accuracy",
                            "rewards"}  # fmt: skip
