"""The script that prepares single-turn HH-RLHF pairs for the studies, on a local folder in place of the hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.sources.file import File
from trimtab.types import Pair

SCRIPT = Path(__file__).parents[1] / "studies" / "hh_single_turn.py"
# The file names that the studies use.
NAMES = [
    f"hh1t_{objective}_{split}.jsonl.gz" for objective in ("harmless", "helpful") for split in ("gt", "test", "w2s")
]


def format_dialogue(*turns: str) -> str:
    return "".join(f"\n\n{'Assistant' if index % 2 else 'Human'}: {turn}" for index, turn in enumerate(turns))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hh")
    for objective in ("helpful", "harmless"):
        rows = [
            {
                "chosen": format_dialogue(f"{objective} {n}?", f"good {n}"),
                "rejected": format_dialogue(f"{objective} {n}?", f"bad {n}"),
            }
            for n in range(40)
        ]
        rows.append(
            {
                "chosen": format_dialogue("Hi", "Hi!", "So?", "well"),
                "rejected": format_dialogue("Hi", "Hi!", "So?", "no"),
            }
        )
        (folder / f"{objective}-base").mkdir()
        (folder / f"{objective}-base" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def run_script(dataset: Path, output: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HF_HOME": str(dataset / "home"), "HF_HUB_OFFLINE": "1", "HOME": str(dataset / "home")}
    command = [sys.executable, str(SCRIPT), "--id", str(dataset), "--out", str(output), "--max-pairs", "9"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def load(path: Path) -> tuple[Pair, ...]:
    return tuple(File(path=str(path)).load().pairs)


def test_single_turn_pairs_are_split_by_prompt_and_keep_their_labels(dataset: Path, tmp_path: Path) -> None:
    process = run_script(dataset, tmp_path / "data")
    assert process.returncode == 0, process.stderr
    files = {path.name: load(path) for path in (tmp_path / "data").iterdir()}
    assert sorted(files) == NAMES
    assert all(1 <= len(pairs) <= 9 for pairs in files.values())
    all_pairs = [pair for pairs in files.values() for pair in pairs]
    assert all(len(pair.prompt) == 1 for pair in all_pairs)
    assert len({pair.prompt_id for pair in all_pairs}) == len(all_pairs)
    assert {pair.response(pair.human)[:4] for pair in all_pairs if pair.human} == {"good"}
    assert all(pair.prompt[0].content.startswith("helpful") for name in NAMES[3:] for pair in files[name])


def test_the_output_is_deterministic_and_no_file_is_overwritten(dataset: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run_script(dataset, first).returncode == run_script(dataset, second).returncode == 0
    assert [(first / name).read_bytes() for name in NAMES] == [(second / name).read_bytes() for name in NAMES]
    repeated = run_script(dataset, first)
    assert repeated.returncode == 1
    assert "hh1t_helpful_gt.jsonl.gz already exists" in repeated.stderr
