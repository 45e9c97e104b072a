"""Datasets by Hub id, tested with local folders and with a Hub that cannot be reached."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Results = dict[str, dict[str, Any]]

# One process for all cases: `datasets` reads its cache location once, and takes seconds to import.
SCRIPT = """
import json, sys
from trimtab.sources.hub import Hub, HubUnreachableError
from trimtab.errors import DataError

def load(**settings):
    source = Hub(**settings)
    try:
        data = source.load()
    except DataError as error:
        return {"error": str(error), "unreachable": isinstance(error, HubUnreachableError)}
    return {
        "chosen": sorted(pair.response(pair.human) for pair in data.pairs),
        "failures": [[row.location, row.reason] for row in data.failures],
        "layout": data.layout,
        "same": source.content_hash() == source.content_hash(),
        "content_hash": source.content_hash(),
        "table": source._load_rows()._fingerprint,
    }

folder = sys.argv[1]
cases = {
    "folder": {"id": folder, "subset": "plain"},
    "sample": {"id": folder, "subset": "plain", "limit": 1},
    "transcripts": {"id": folder, "subset": "talk"},
    "two splits": {"id": folder, "subset": "parted", "split": "train+test"},
    "last turns": {"id": folder, "subset": "context", "turns": "last"},
    "ratings": {"id": folder, "subset": "rated", "rating_column": "helpfulness"},
    "forced": {"id": folder, "subset": "both", "layout": "implicit"},
    "images": {"id": folder, "subset": "images"},
    "no split": {"id": folder, "subset": "plain", "split": "nope"},
    "no subset": {"id": folder, "subset": "nope"},
    "broken": {"id": folder, "subset": "broken"},
    "offline": {"id": "nobody/nothing", "subset": "some", "revision": "abc"},
}
print(json.dumps({name: load(**case) for name, case in cases.items()}))
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


def build_image_table() -> pa.Table:
    """Two pairs, one with an image that no library can decode, in the form in which `datasets` stores images."""
    images = [{"bytes": b"no image", "path": None}, None]
    rows = [row | {"image": image} for row, image in zip(ROWS, images, strict=False)]
    features = {name: {"dtype": "string", "_type": "Value"} for name in ROWS[0]} | {"image": {"_type": "Image"}}
    types = [pa.field(name, pa.string()) for name in ROWS[0]]
    image = pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.Table.from_pylist(rows, schema=pa.schema([*types, image], metadata=metadata))


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
    (folder / "images").mkdir()
    pq.write_table(build_image_table(), folder / "images" / "train.parquet")
    (folder / "broken").mkdir()
    (folder / "broken" / "train.jsonl").write_text(f'{{"prompt": "{PRIVATE}')
    return folder


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    home = tmp_path_factory.mktemp("home")
    environment = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HOME": str(home)}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded: Results = json.loads(done.stdout)
    return loaded


def test_the_rows_of_a_dataset_become_pairs_like_those_of_a_file(results: Results) -> None:
    result = results["folder"]
    assert result["chosen"] == ["0", "1", "2"]
    assert result["layout"] == "preference, text, explicit prompt"
    ((location, reason),) = result["failures"]
    assert location.endswith(":plain:train:row 4")
    assert reason == "'chosen' is empty"


def test_a_subset_may_be_a_folder_of_transcripts(results: Results) -> None:
    assert results["transcripts"]["layout"] == "preference, transcript, implicit prompt"
    assert results["transcripts"]["chosen"] == ["0", "1"]


def test_a_row_with_an_image_fails_alone_and_the_image_is_not_decoded(results: Results) -> None:
    result = results["images"]
    assert result["chosen"] == ["1"]
    assert [reason for _, reason in result["failures"]] == ["'image' is not empty: Trimtab reads only text"]


def test_a_limit_takes_that_many_pairs(results: Results) -> None:
    assert len(results["sample"]["chosen"]) == 1


def test_the_content_hash_is_stable_and_differs_between_subsets(results: Results, folder: Path) -> None:
    assert results["folder"]["same"] is True
    assert results["folder"]["content_hash"] != results["transcripts"]["content_hash"]
    parts = json.loads(str(results["folder"]["content_hash"]))
    assert parts[:4] == [str(folder), None, "plain", "train"]
    assert len(parts[4]) >= 16


def test_the_content_hash_needs_no_rows_and_has_the_fingerprint_of_the_table(results: Results) -> None:
    for case in ("folder", "two splits"):
        assert json.loads(str(results[case]["content_hash"]))[4] == results[case]["table"]


def test_two_splits_are_combined(results: Results) -> None:
    assert results["two splits"]["chosen"] == ["0", "1", "2"]


def test_hub_has_the_parsing_settings_of_file(results: Results) -> None:
    assert results["last turns"]["layout"] == "preference, messages, explicit prompt, last turn only"
    assert results["ratings"]["chosen"] == ["2"]
    assert results["forced"]["layout"] == "preference, messages, implicit prompt"
    assert results["forced"]["chosen"] == ["chosen"]


def test_only_a_connection_error_counts_as_unreachable(results: Results) -> None:
    assert {case: result["unreachable"] for case, result in results.items() if "error" in result} == {
        "no split": False,
        "no subset": False,
        "broken": False,
        "offline": True,
    }


def test_an_unreachable_hub_reports_the_settings_and_a_workaround(results: Results) -> None:
    message = str(results["offline"]["error"])
    assert "the Hub could not be reached" in message
    assert "this machine may be offline" in message
    assert "(tried id: nobody/nothing, subset: some, split: train, revision: abc)" in message
    assert "`kind: file` with `path:`" in message


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("no split", "the dataset has no such subset or split"),
        ("no subset", "no such dataset, revision or folder"),
        ("broken", "its files cannot be read as one table"),
    ],
)
def test_wrong_names_and_broken_files_have_different_errors(results: Results, case: str, cause: str) -> None:
    message = str(results[case]["error"])
    assert cause in message
    assert PRIVATE not in message


def test_importing_the_source_imports_neither_datasets_nor_torch() -> None:
    code = "import sys, trimtab.sources.hub, trimtab.sources.file; print({'datasets', 'torch', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
