"""A dataset by its hub id: a folder stands for the hub, and a hub out of reach says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Told = dict[str, dict[str, Any]]

# One process for all facts: `datasets` reads the place of its cache once, and takes seconds to import.
SCRIPT = """
import json, sys
from trimtab.data.hub import Hub, UnreachableError
from trimtab.errors import DataError

def told(**settings):
    source = Hub(**settings)
    try:
        data = source.load()
    except DataError as error:
        return {"error": str(error), "unreachable": isinstance(error, UnreachableError)}
    return {
        "chosen": sorted(pair.response(pair.human) for pair in data.pairs),
        "failures": [[row.location, row.reason] for row in data.failures],
        "layout": data.layout,
        "same": source.identity() == source.identity(),
        "identity": source.identity(),
        "table": source._fetch()._fingerprint,
    }

folder = sys.argv[1]
cases = {
    "folder": {"id": folder, "subset": "plain"},
    "sample": {"id": folder, "subset": "plain", "limit": 1},
    "transcripts": {"id": folder, "subset": "talk"},
    "two splits": {"id": folder, "subset": "parted", "split": "train+test"},
    "last turns": {"id": folder, "subset": "context", "turns": "last"},
    "ratings": {"id": folder, "subset": "rated", "rating": "helpfulness"},
    "forced": {"id": folder, "subset": "both", "layout": "implicit"},
    "no split": {"id": folder, "subset": "plain", "split": "nope"},
    "no subset": {"id": folder, "subset": "nope"},
    "broken": {"id": folder, "subset": "broken"},
    "offline": {"id": "nobody/nothing", "subset": "some", "revision": "abc"},
}
print(json.dumps({name: told(**case) for name, case in cases.items()}))
"""
ROWS = [{"prompt": f"Say {n}", "chosen": f"{n}", "rejected": "no"} for n in range(3)]
TALK = [{"chosen": f"\n\nHuman: Hi\n\nAssistant: {n}", "rejected": "\n\nHuman: Hi\n\nAssistant: no"} for n in range(2)]
CONTEXT = [
    {
        "context": [
            {"role": "human", "text": "Hi"},
            {"role": "assistant", "text": "Hello!"},
            {"role": "human", "text": "Go"},
        ],
        "chosen": {"role": "assistant", "text": "Gone."},
        "rejected": {"role": "assistant", "text": "No."},
    }
]
RATED = [{"prompt": "Say it", "response": f"{n}", "helpfulness": n, "verbosity": 1} for n in range(3)]
SPOKEN = {
    name: [{"role": "user", "content": "Go"}, {"role": "assistant", "content": name}] for name in ("chosen", "rejected")
}
PRIVATE = "zebra crossing"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    contents: dict[str, list[dict[str, Any]]] = {
        "plain": [*ROWS, {"prompt": PRIVATE, "chosen": "", "rejected": "no"}],
        "talk": TALK,
        "parted": ROWS[:2],
        "context": CONTEXT,
        "rated": RATED,
        "both": [{"prompt": "Go, as asked", **SPOKEN}],
    }
    for name, rows in contents.items():
        (folder / name).mkdir()
        (folder / name / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "parted" / "test.jsonl").write_text(json.dumps(ROWS[2]))
    (folder / "broken").mkdir()
    (folder / "broken" / "train.jsonl").write_text(f'{{"prompt": "{PRIVATE}')
    return folder


@pytest.fixture(scope="module")
def told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    home = tmp_path_factory.mktemp("home")
    environment = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HOME": str(home)}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: Told = json.loads(done.stdout)
    return answers


def test_the_rows_of_a_dataset_become_pairs_as_those_of_a_file_do(told: Told) -> None:
    found = told["folder"]
    assert found["chosen"] == ["0", "1", "2"]
    assert found["layout"] == "preference, text, explicit prompt"
    ((where, reason),) = found["failures"]
    assert where.endswith(":plain:train:row 4")
    assert reason == "'chosen' is empty"


def test_a_subset_may_be_a_folder_of_transcripts(told: Told) -> None:
    assert told["transcripts"]["layout"] == "preference, transcript, implicit prompt"
    assert told["transcripts"]["chosen"] == ["0", "1"]


def test_a_limit_takes_that_many_pairs(told: Told) -> None:
    assert len(told["sample"]["chosen"]) == 1


def test_the_identity_stays_and_tells_subsets_apart(told: Told, folder: Path) -> None:
    assert told["folder"]["same"] is True
    assert told["folder"]["identity"] != told["transcripts"]["identity"]
    named = json.loads(str(told["folder"]["identity"]))
    assert named[:4] == [str(folder), None, "plain", "train"]
    assert len(named[4]) >= 16


def test_the_identity_is_told_before_the_files_are_read_and_is_that_of_the_table(told: Told) -> None:
    for case in ("folder", "two splits"):
        assert json.loads(str(told[case]["identity"]))[4] == told[case]["table"]


def test_two_splits_are_read_as_one(told: Told) -> None:
    assert told["two splits"]["chosen"] == ["0", "1", "2"]


def test_the_settings_of_a_file_are_those_of_the_hub(told: Told) -> None:
    assert told["last turns"]["layout"] == "preference, messages, explicit prompt, last turn alone"
    assert told["ratings"]["chosen"] == ["2"]
    assert told["forced"]["layout"] == "preference, messages, implicit prompt"
    assert told["forced"]["chosen"] == ["chosen"]


def test_only_a_hub_out_of_reach_counts_as_such(told: Told) -> None:
    assert {case: found["unreachable"] for case, found in told.items() if "error" in found} == {
        "no split": False,
        "no subset": False,
        "broken": False,
        "offline": True,
    }


def test_a_hub_out_of_reach_names_what_was_tried_and_the_way_round(told: Told) -> None:
    message = str(told["offline"]["error"])
    assert "the hub was not reached" in message
    assert "this machine may be offline" in message
    assert "(tried id: nobody/nothing, subset: some, split: train, revision: abc)" in message
    assert "`kind: file` with `path:`" in message


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("no split", "it has no such subset or split"),
        ("no subset", "there is no such dataset, revision or folder"),
        ("broken", "its files cannot be read as one table"),
    ],
)
def test_a_wrong_name_or_broken_file_is_told_apart(told: Told, case: str, cause: str) -> None:
    message = str(told[case]["error"])
    assert cause in message
    assert PRIVATE not in message


def test_importing_the_source_loads_neither_datasets_nor_torch() -> None:
    code = "import sys, trimtab.sources.hub, trimtab.sources.file; print({'datasets', 'torch', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
