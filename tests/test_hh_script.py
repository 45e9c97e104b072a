"""The script that cuts HH-RLHF's single-turn pairs into files for studies, on a folder that stands for the hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.sources.file import File
from trimtab.types import Pair

SCRIPT = Path(__file__).parents[1] / "studies" / "hh_single_turn.py"
# A study reads them by these names.
NAMES = [f"hh1t_{objective}_{side}.jsonl.gz" for objective in ("harmless", "helpful") for side in ("gt", "test", "w2s")]


def spoken(*turns: str) -> str:
    return "".join(f"\n\n{'Assistant' if place % 2 else 'Human'}: {turn}" for place, turn in enumerate(turns))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hh")
    for objective in ("helpful", "harmless"):
        rows = [
            {"chosen": spoken(f"{objective} {n}?", f"good {n}"), "rejected": spoken(f"{objective} {n}?", f"bad {n}")}
            for n in range(40)
        ]
        rows.append({"chosen": spoken("Hi", "Hi!", "So?", "well"), "rejected": spoken("Hi", "Hi!", "So?", "no")})
        (folder / f"{objective}-base").mkdir()
        (folder / f"{objective}-base" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def cut(dataset: Path, to: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HF_HOME": str(dataset / "home"), "HF_HUB_OFFLINE": "1", "HOME": str(dataset / "home")}
    command = [sys.executable, str(SCRIPT), "--id", str(dataset), "--out", str(to), "--most", "9"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def pairs(path: Path) -> tuple[Pair, ...]:
    return File(path=str(path)).load().pairs


def test_single_turns_are_parted_by_prompt_with_their_labels(dataset: Path, tmp_path: Path) -> None:
    done = cut(dataset, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    found = {path.name: pairs(path) for path in (tmp_path / "data").iterdir()}
    assert sorted(found) == NAMES
    assert all(1 <= len(each) <= 9 for each in found.values())
    everything = [pair for each in found.values() for pair in each]
    assert all(len(pair.prompt) == 1 for pair in everything)
    assert len({pair.prompt_id for pair in everything}) == len(everything)
    assert {pair.response(pair.human)[:4] for pair in everything if pair.human} == {"good"}
    assert all(pair.prompt[0].content.startswith("helpful") for name in NAMES[3:] for pair in found[name])


def test_the_same_rows_give_the_same_bytes_and_no_file_is_overwritten(dataset: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert cut(dataset, first).returncode == cut(dataset, second).returncode == 0
    assert [(first / name).read_bytes() for name in NAMES] == [(second / name).read_bytes() for name in NAMES]
    again = cut(dataset, first)
    assert again.returncode == 1
    assert "hh1t_helpful_gt.jsonl.gz is there already" in again.stderr
