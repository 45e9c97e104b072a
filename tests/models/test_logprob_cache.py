"""Log-probabilities are computed once and shared by all runs; different models never share entries."""

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
from trimtab.models.lazy_model import CachedLogprobReader, LazyModel
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.models.references import ModelRef
from trimtab.models.scoring.logprob_cache import CachedBatch, LogprobCache
from trimtab.storage.record import write_record
from trimtab.types import build_user_prompt

TEXTS = [("Which color?", "Blue.", "A very dark red."), ("How many?", "Three", "Four, or five"), ("Why?", "So.", "")]


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", str(folder))
    return folder


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Iterator[Model]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Model(base=str(shutil.copytree(tiny_model, tmp_path / "model")), dtype="float32")
    torch.set_num_threads(before)


def fail_on_notice(message: str) -> None:
    raise AssertionError(message)


def tokenize_texts(model: LazyModel, count: int = 3) -> list[TokenizedPair]:
    return [tokenize_pair(model.chat, build_user_prompt(prompt), a, b) for prompt, a, b in TEXTS[:count]]


def read(model: LazyModel, count: int = 3, budget: int = 64) -> tuple[list[list[float]], int]:
    """The sums of the first texts, and how many of them came from the cache."""
    pairs = tokenize_texts(model, count)
    sums: dict[int, list[float]] = {}
    num_cached = 0
    for indices, batch, is_cached in CachedLogprobReader(model, fail_on_notice).iter_batches(pairs, budget):
        sums.update(zip(indices, batch.sums, strict=True))
        num_cached += len(indices) if is_cached else 0
    return [sums[index] for index in range(len(pairs))], num_cached


def fail_on_load() -> None:
    raise AssertionError("the weights were loaded")


def lazy(model: Model, device: str = "cpu") -> LazyModel:
    return ModelRef(model).lazy(fail_on_notice, device)


def test_cached_values_are_identical_to_the_last_bit_and_need_no_weights(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, num_cached = read(lazy(model))
    assert num_cached == 0
    unloadable = replace(lazy(model), load=fail_on_load)  # type: ignore[arg-type]
    assert read(unloadable) == (first, 3)
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", "off")
    assert read(lazy(model)) == (first, 0)


def test_a_cache_of_changed_weights_is_never_used(model: Model) -> None:
    before, _ = read(lazy(model))
    file = Path(model.base) / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] += 1
    save_file(weights, file, metadata={"format": "pt"})
    after, num_cached = read(lazy(model))
    assert num_cached == 0
    assert after != before


def test_a_cache_belongs_to_one_model(model: Model) -> None:
    read(lazy(model))
    for changes in ({"layers": 1}, {"dtype": "bfloat16"}, {"chat_template": "trimtab"}):
        assert read(lazy(model.model_copy(update=changes)))[1] == 0, changes
    assert read(lazy(model))[1] == 3
    assert lazy(model).content_hash != lazy(model, "cuda:1").content_hash == lazy(model, "cuda:0").content_hash


def test_other_pairs_in_a_batch_are_a_cache_miss_because_they_may_change_the_last_bit(model: Model) -> None:
    read(lazy(model), budget=4096)
    assert read(lazy(model), count=2, budget=4096)[1] == 0
    assert read(lazy(model), budget=1)[1] == 0
    assert read(lazy(model), count=2, budget=1)[1] == 2  # each in its own batch, as before


RECORD = {
    **{"stage": "dpo", "version": 1, "fingerprint": "", "finished_at": "", "seconds": 1.0},
    **{"settings": {}, "inputs": {}, "facts": {}},
}


def test_a_trained_model_is_identified_by_its_bytes_in_any_folder(model: Model, tmp_path: Path) -> None:
    loaded = ModelRef(model).load(fail_on_notice, "cpu")
    full, adapter = tmp_path / "run" / "sft", tmp_path / "run" / "dpo"
    for folder in (full, adapter):
        folder.mkdir(parents=True)
    save_full_model(loaded, loaded.model, full)
    adapted = add_adapter(loaded.model, rank=2, alpha=None, seed=1)
    save_adapter(adapted, full, adapter)
    for folder in (full, adapter):
        write_record(folder, {**RECORD, "name": folder.name})
    sums, _ = read(ModelRef(adapter).lazy(fail_on_notice, "cpu"))
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert read(ModelRef(tmp_path / "copy" / "dpo").lazy(fail_on_notice, "cpu")) == (sums, 3)

    file = tmp_path / "copy" / "dpo" / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    first = next(name for name in weights if "lora_B" in name)
    weights[first] += 1
    save_file(weights, file, metadata={"format": "pt"})
    write_record(tmp_path / "copy" / "dpo", {**RECORD, "name": "dpo"})
    assert read(ModelRef(tmp_path / "copy" / "dpo").lazy(fail_on_notice, "cpu"))[1] == 0


def test_a_truncated_line_is_recomputed_and_does_not_affect_the_next(model: Model, cache_dir: Path) -> None:
    sums, _ = read(lazy(model), budget=1)
    (file,) = cache_dir.glob("*.jsonl")
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"sums")])
    assert read(lazy(model), budget=1) == (sums, 2)
    assert read(lazy(model), budget=1) == (sums, 3)


def test_a_damaged_line_is_recomputed(model: Model, cache_dir: Path) -> None:
    sums, _ = read(lazy(model), budget=1)
    (file,) = cache_dir.glob("*.jsonl")
    before, sign, after = file.read_bytes().partition(b"[[-")
    file.write_bytes(before + b"[[ " + after)
    assert sign
    assert read(lazy(model), budget=1) == (sums, 2)


def test_lines_of_another_model_are_not_used() -> None:
    batch, cached = [TokenizedPair(prompt=(1,), first=(2,))], CachedBatch("packed", [[-0.1, 0.0]])
    one, two = LogprobCache.for_model("x"), LogprobCache.for_model("y")
    one.add(batch, cached)
    assert one.path is not None
    assert two.path is not None
    two.path.write_bytes(one.path.read_bytes())
    assert LogprobCache.for_model("x").get(batch) == cached
    assert LogprobCache.for_model("y").get(batch) is None


def test_concurrent_writers_lose_nothing() -> None:
    batches = [[TokenizedPair(prompt=(index,), first=(1,))] for index in range(64)]
    cached = CachedBatch("packed", [[-0.1, 0.0]])
    with ThreadPoolExecutor(4) as executor:
        for future in [executor.submit(LogprobCache.for_model("x").add, batch, cached) for batch in batches]:
            future.result()
    assert all(LogprobCache.for_model("x").get(batch) == cached for batch in batches)
    assert LogprobCache.for_model("y").get(batches[0]) is None


def test_a_cache_that_cannot_be_written_is_an_error_that_says_how_to_disable_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", str(blocked))
    with pytest.raises(ModelError, match="set TRIMTAB_LOGPROB_CACHE to a writable folder, or to off"):
        LogprobCache.for_model("x").add([TokenizedPair(prompt=(1,), first=(2,))], CachedBatch("packed", [[0.0, 0.0]]))
