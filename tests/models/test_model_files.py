"""Damaged, incomplete or contradictory files of a model are errors of Trimtab's that name the file, before any work."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from trimtab.errors import ModelError
from trimtab.models.adapters import add_adapter
from trimtab.models.checkpoint import load_chat_tokenizer, load_checkpoint
from trimtab.models.config import Model, compute_model_hash
from trimtab.models.parameter_count import count_parameters
from trimtab.models.sources.gguf import read_gguf_header


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def load(folder: Path) -> None:
    load_checkpoint(Model(base=str(folder), dtype="float32"), lambda message: None, "cpu")


def change_config(folder: Path, **changed: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b"{}" * 2, b"[" * 100_000, b'{"model": 7}']
)
def test_a_damaged_file_is_an_error(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match="model"):
        load(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_weights_are_an_error_that_names_the_file(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    reason = r"model\.safetensors: not a readable safetensors file"
    with pytest.raises(ModelError, match=reason):
        load(folder)
    with pytest.raises(ModelError, match=reason):
        count_parameters(Model(base=str(folder)))


@pytest.mark.parametrize("weight_map", ["7", '{"a": 7}', '{"a": "../x.safetensors"}', '{"a": "x.bin"}', "[", "null"])
def test_a_damaged_index_is_an_error_that_names_the_file(folder: Path, weight_map: str) -> None:
    (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {weight_map}}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        compute_model_hash(Model(base=str(folder)))


def test_a_single_file_next_to_shards_is_an_error(folder: Path) -> None:
    weights, shard = folder / "model.safetensors", folder / "model-00001-of-00001.safetensors"
    weights.rename(shard)
    index = {"weight_map": {"x": shard.name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    compute_model_hash(Model(base=str(folder)))
    weights.write_bytes(shard.read_bytes())
    with pytest.raises(
        ModelError, match=r"contains both model\.safetensors and the shards that model\.safetensors\.index"
    ):
        compute_model_hash(Model(base=str(folder)))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"vocab_size": 10**9}, "1000000000 tokens .* has 259 rows"),
        ({"vocab_size": 300}, "300 tokens .* has 259 rows"),
        ({"num_hidden_layers": 10**6}, "1000000 layers .* the weights have 2"),
        ({"hidden_size": 32 * 10**6}, "the weights do not have the sizes in config.json"),
        ({"intermediate_size": 65}, "the weights do not have the sizes in config.json"),
        ({"num_attention_heads": 0}, "cannot"),
        ({"model_type": "no_such_type"}, "cannot read .*config.json"),
        ({"vocab_size": "many"}, "cannot"),
    ],
)
def test_sizes_that_differ_from_the_weights_are_an_error(folder: Path, changed: dict[str, Any], reason: str) -> None:
    change_config(folder, **changed)
    with pytest.raises(ModelError, match=reason):
        load(folder)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2", "gemma3_text"])
def test_a_folder_without_a_tokenizer_is_an_error(folder: Path, model_type: str) -> None:
    change_config(folder, model_type=model_type)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match=r"no tokenizer file such as tokenizer\.json .*it contains config\.json"):
        compute_model_hash(Model(base=str(folder)))


def add_tokens(folder: Path, *tokens: str, special: bool, template: str | None = None) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens(list(tokens), special_tokens=special)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


CHATML = "{% for m in messages %}<|start|>{{ m['role'] + '\n' + m['content'] }}<|end|>\n{% endfor %}"


def test_tokens_of_the_template_beyond_the_embedding_are_an_error(folder: Path) -> None:
    add_tokens(folder, "<|start|>", "<|end|>", special=True, template=CHATML)
    with pytest.raises(ModelError, match=r"261 tokens \(the highest id is 260, '<\|end\|>'\), .* 259 embedding rows"):
        load_chat_tokenizer(Model(base=str(folder)), print)


def test_ordinary_tokens_beyond_the_embedding_are_an_error(folder: Path) -> None:
    add_tokens(folder, "hello", special=False)
    with pytest.raises(ModelError, match="the highest id is 259, 'hello'"):
        load_chat_tokenizer(Model(base=str(folder)), print)


def test_a_special_token_that_cannot_occur_needs_no_embedding(folder: Path) -> None:
    add_tokens(folder, "<image>", special=True)
    assert 259 not in load_chat_tokenizer(Model(base=str(folder)), print).encode_text("an <image>")


def test_a_vocabulary_file_of_any_tokenizer_changes_the_hash(folder: Path) -> None:
    before = compute_model_hash(Model(base=str(folder)))
    for name in ("sentencepiece.bpe.model", "qwen.tiktoken", "vocab.txt", "tekken.json"):
        (folder / name).write_text("x", encoding="utf-8")
        after = compute_model_hash(Model(base=str(folder)))
        assert after != before
        before = after


def save_lora(base: Path, folder: Path, **config: Any) -> Path:
    """An adapter with random weights, as peft writes it."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    adapted = add_adapter(AutoModelForCausalLM.from_pretrained(base), rank=2, alpha=None, seed=0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    adapted.save_pretrained(folder)
    change_adapter(folder, base_model_name_or_path=str(base), **config)
    return folder


def change_adapter(folder: Path, **changed: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    return save_lora(tiny_model, tmp_path / "adapter")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft calls a deprecated function of transformers
def test_an_adapter_folder_loads_as_base_plus_adapter(tiny_model: Path, adapter: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        plain = base(ids).logits
        expected = PeftModel.from_pretrained(base, adapter)(ids).logits
        settings = Model(base=str(adapter), dtype="float32")
        assert count_parameters(settings) is None
        loaded = load_checkpoint(settings, lambda message: None, "cpu")
        actual = loaded.model(ids).logits
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(plain, expected, atol=1e-2)
    assert count_parameters(settings) == count_parameters(Model(base=str(tiny_model)))


def test_the_hash_of_an_adapter_covers_its_settings_its_weights_and_its_base(tiny_model: Path, adapter: Path) -> None:
    hashes = [compute_model_hash(Model(base=str(adapter))), compute_model_hash(Model(base=str(tiny_model)))]
    change_adapter(adapter, lora_alpha=99)
    hashes.append(compute_model_hash(Model(base=str(adapter))))
    path = adapter / "adapter_model.safetensors"
    save_file({name: weight + 1 for name, weight in load_file(path).items()}, path)
    hashes.append(compute_model_hash(Model(base=str(adapter))))
    moved = Path(shutil.copytree(tiny_model, adapter.parent / "moved"))
    change_adapter(adapter, base_model_name_or_path=str(moved))
    assert compute_model_hash(Model(base=str(adapter))) == hashes[-1]
    change_config(moved, rms_norm_eps=0.1)
    hashes.append(compute_model_hash(Model(base=str(adapter))))
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda adapter, base: shutil.copy(base / "model.safetensors", adapter), "both an adapter .* and full weights"),
        (lambda adapter, base: (adapter / "adapter_model.safetensors").unlink(), "not a complete adapter"),
        (lambda adapter, base: (adapter / "adapter_config.json").unlink(), "not a complete adapter"),
        (lambda adapter, base: change_adapter(adapter, task_type="SEQ_CLS"), "task_type is 'SEQ_CLS'"),
        (
            lambda adapter, base: change_adapter(adapter, base_model_name_or_path=None),
            "base_model_name_or_path is None",
        ),
        (
            lambda adapter, base: change_adapter(adapter, base_model_name_or_path="./gone"),
            "base_model_name_or_path: no model",
        ),
        (lambda adapter, base: change_adapter(adapter, base_model_name_or_path=str(adapter)), "is an adapter itself"),
        (lambda adapter, base: change_adapter(adapter, r=3), "cannot apply the adapter"),
        (
            lambda adapter, base: (adapter / "adapter_config.json").write_text("["),
            "adapter_config.json: not a readable",
        ),
        (lambda adapter, base: (adapter / "adapter_model.safetensors").write_text("x"), "cannot apply the adapter"),
    ],
)
def test_an_adapter_that_cannot_be_applied_is_an_error(
    tiny_model: Path, adapter: Path, change: Callable[[Path, Path], Any], reason: str
) -> None:
    change(adapter, tiny_model)
    with pytest.raises(ModelError, match=reason):
        load(adapter)


def test_an_adapter_that_lacks_layers_of_its_base_is_an_error(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    save_file({name: weight for name, weight in load_file(path).items() if "layers.1." not in name}, path)
    with pytest.raises(ModelError, match="missing adapter keys"):
        load(adapter)


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    import numpy

    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_string("general.license", "mit")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_tensor("token_embd.weight", numpy.zeros((3, 32), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_intact_gguf_file_is_read(gguf: Path) -> None:
    header = read_gguf_header(gguf)
    assert (header.num_parameters, header.license) == (96, "mit")


@pytest.mark.parametrize("position", [8, 16])
@pytest.mark.parametrize("count", [10**6, 2**40, 2**63, 2**64 - 1])
def test_a_gguf_file_that_announces_more_than_it_has_is_an_error(gguf: Path, position: int, count: int) -> None:
    data = bytearray(gguf.read_bytes())
    data[position : position + 8] = struct.pack("<Q", count)
    gguf.write_bytes(data)
    with pytest.raises(ModelError, match=r"m\.gguf: not a readable \.gguf file"):
        read_gguf_header(gguf)


def test_damaged_gguf_files_are_read_or_are_errors(gguf: Path) -> None:
    original, rng = gguf.read_bytes(), random.Random(0)
    for _ in range(400):
        data = bytearray(original)
        for _ in range(rng.choice((1, 1, 4))):
            data[rng.randrange(400)] = rng.choice((0, 255, rng.randrange(256)))
        gguf.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        try:
            read_gguf_header(gguf)
        except ModelError as error:
            assert "m.gguf" in str(error)
