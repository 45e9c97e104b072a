"""What a model said of a pair is read once by all runs; another model, however alike, is never taken for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from trimtab.errors import ModelError
from trimtab.models.adapters import add_adapter
from trimtab.models.checkpoint import save_adapter, save_full_model
from trimtab.models.config import Model
from trimtab.models.lazy_model import LazyModel, read_logprobs_cached
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.models.references import ModelRef
from trimtab.models.scoring.logprob_cache import CachedBatch, LogprobCache
from trimtab.types import build_user_prompt

TEXTS = [("Which color?", "Blue.", "A very dark red."), ("How many?", "Three", "Four, or five"), ("Why?", "So.", "")]


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "table"
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", str(folder))
    return folder


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Iterator[Model]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Model(base=str(shutil.copytree(tiny_model, tmp_path / "model")), dtype="float32")
    torch.set_num_threads(before)


def say(message: str) -> None:
    raise AssertionError(message)


def rows_of(model: LazyModel, count: int = 3) -> list[TokenizedPair]:
    return [tokenize_pair(model.chat, build_user_prompt(prompt), a, b) for prompt, a, b in TEXTS[:count]]


def read(model: LazyModel, count: int = 3, budget: int = 64) -> tuple[list[list[float]], int]:
    """The sums of the first texts, and how many of them came from the table."""
    rows = rows_of(model, count)
    found: dict[int, list[float]] = {}
    recalled = 0
    for places, made, known in read_logprobs_cached(model, rows, budget, [True] * len(rows), say):
        found.update(zip(places, made.sums, strict=True))
        recalled += len(places) if known else 0
    return [found[place] for place in range(len(rows))], recalled


def must_not_open() -> None:
    raise AssertionError("the weights were loaded")


def base(model: Model, device: str = "cpu") -> LazyModel:
    return ModelRef(model).lazy(say, device)


def test_what_is_in_the_table_is_the_same_to_the_last_bit_and_needs_no_weights(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, recalled = read(base(model))
    assert recalled == 0
    again = replace(base(model), load=must_not_open)  # type: ignore[arg-type]
    assert read(again) == (first, 3)
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", "off")
    assert read(base(model)) == (first, 0)


def test_a_table_whose_weights_changed_is_never_read(model: Model) -> None:
    before, _ = read(base(model))
    file = Path(model.base) / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] += 1
    save_file(weights, file, metadata={"format": "pt"})
    after, recalled = read(base(model))
    assert recalled == 0
    assert after != before


def test_a_table_is_one_models_alone(model: Model) -> None:
    read(base(model))
    for changes in ({"layers": 1}, {"dtype": "bfloat16"}, {"chat_template": "trimtab"}):
        assert read(base(model.model_copy(update=changes)))[1] == 0, changes
    assert read(base(model))[1] == 3
    assert base(model).content_hash != base(model, "cuda:1").content_hash == base(model, "cuda:0").content_hash


def test_other_company_in_a_pass_is_read_anew_since_it_may_change_the_last_bit(model: Model) -> None:
    read(base(model), budget=4096)
    assert read(base(model), count=2, budget=4096)[1] == 0
    assert read(base(model), budget=1)[1] == 0
    assert read(base(model), count=2, budget=1)[1] == 2  # each alone in its pass, as before


def test_a_trained_model_is_known_by_its_bytes_wherever_they_lie(model: Model, tmp_path: Path) -> None:
    loaded = ModelRef(model).load(say, "cpu")
    whole, adapter = tmp_path / "run" / "sft", tmp_path / "run" / "dpo"
    for folder in (whole, adapter):
        folder.mkdir(parents=True)
    save_full_model(loaded, loaded.model, whole)
    adapted = add_adapter(loaded.model, rank=2, alpha=None, seed=1)
    save_adapter(adapted, whole, adapter)
    sums, _ = read(ModelRef(adapter).lazy(say, "cpu"))
    shutil.copytree(tmp_path / "run", tmp_path / "elsewhere")
    assert read(ModelRef(tmp_path / "elsewhere" / "dpo").lazy(say, "cpu")) == (sums, 3)

    file = tmp_path / "elsewhere" / "dpo" / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    first = next(name for name in weights if "lora_B" in name)
    weights[first] += 1
    save_file(weights, file, metadata={"format": "pt"})
    assert read(ModelRef(tmp_path / "elsewhere" / "dpo").lazy(say, "cpu"))[1] == 0


def test_a_line_that_was_cut_short_is_read_anew_and_the_next_stands_on_its_own(model: Model, table: Path) -> None:
    whole, _ = read(base(model), budget=1)
    (file,) = table.glob("*.jsonl")
    kept = file.read_bytes()
    file.write_bytes(kept[: kept.rindex(b"sums")])
    assert read(base(model), budget=1) == (whole, 2)
    assert read(base(model), budget=1) == (whole, 3)


def test_two_writers_lose_nothing(table: Path) -> None:
    rows = [[TokenizedPair(prompt=(place,), first=(1,))] for place in range(64)]
    with ThreadPoolExecutor(4) as writers:
        for each in [
            writers.submit(LogprobCache.for_model("x").add, row, CachedBatch("packed", [[-0.1, 0.0]])) for row in rows
        ]:
            each.result()
    assert all(LogprobCache.for_model("x").get(row) == CachedBatch("packed", [[-0.1, 0.0]]) for row in rows)
    assert LogprobCache.for_model("y").get(rows[0]) is None


def test_a_table_that_cannot_be_written_says_how_to_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", str(blocked))
    with pytest.raises(ModelError, match="set TRIMTAB_LOGPROB_CACHE to a writable folder, or to off"):
        LogprobCache.for_model("x").add([TokenizedPair(prompt=(1,), first=(2,))], CachedBatch("packed", [[0.0, 0.0]]))
