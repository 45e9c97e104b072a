"""Weights that exist only as .bin files are converted to safetensors once, and files that are anything else are refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BertConfig, BertModel, OPTConfig, OPTForCausalLM

from trimtab.errors import ModelError
from trimtab.models.checkpoint import load_checkpoint
from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.parameter_count import count_parameters
from trimtab.models.sources.bin_converter import convert_files
from trimtab.models.sources.bin_weights import BinWeights, require_safe_torch
from trimtab.models.sources.local_dir import list_bin_files

Tensors = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A folder with a random two-layer OPT as `pytorch_model.bin`, whose output head is its embedding."""
    folder = tmp_path / "tiny-opt"
    config = OPTConfig(
        vocab_size=259,
        hidden_size=32,
        ffn_dim=64,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        architectures=["OPTForCausalLM"],
    )
    config.save_pretrained(folder)
    for path in tiny_model.glob("tokenizer*"):
        shutil.copy(path, folder / path.name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(OPTForCausalLM(config).half().state_dict(), folder / "pytorch_model.bin")
    return folder


def convert(folder: Path) -> Path:
    """Converts in this process, which takes no time to start."""
    target = folder.parent / f"converted-{len(list(folder.parent.iterdir()))}"
    target.mkdir()
    convert_files(folder, list_bin_files(folder), target)
    return target


def resolve(folder: Path, notices: list[str]) -> Path:
    return resolve_weights(Model(base=str(folder)), notices.append).folder


def change(folder: Path, edit: Callable[[Tensors], object]) -> None:
    tensors = dict(torch.load(folder / "pytorch_model.bin"))
    edit(tensors)
    torch.save(tensors, folder / "pytorch_model.bin")


def shard(folder: Path, second: Callable[[str], bool]) -> None:
    tensors = torch.load(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").unlink()
    names = [f"pytorch_model-{number:05d}-of-00002.bin" for number in (1, 2)]
    for index, name in enumerate(names):
        torch.save({key: value for key, value in tensors.items() if second(key) is bool(index)}, folder / name)
    weight_map = {key: names[second(key)] for key in tensors}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_weights_are_converted_once_and_their_hash_is_that_of_the_safetensors(folder: Path) -> None:
    notices: list[str] = []
    model = Model(base=str(folder), dtype="float32")
    for name in ("LICENSE.md", "1_Pooling/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    assert compute_model_hash(model) is None, "not known before the conversion"
    assert count_parameters(model) is None
    converted = resolve(folder, notices)
    assert [notice.split(" to safetensors")[0] for notice in notices] == [
        "tiny-opt: converting pytorch_model.bin",
        "tiny-opt: converted pytorch_model.bin",
    ]
    assert "their names and shapes are those of OPTForCausalLM" in notices[1]
    assert not list(converted.glob("*.bin"))
    assert (converted / "LICENSE.md").is_file()
    assert (converted / "1_Pooling" / "config.json").is_file(), "how a sentence encoder pools"
    original = torch.load(folder / "pytorch_model.bin")
    stored = load_file(converted / "model.safetensors")
    assert set(original) - set(stored) == {"lm_head.weight"}, "tied weights are stored once"
    assert all(torch.equal(value, original[name]) and value.dtype == torch.float16 for name, value in stored.items())
    assert count_parameters(model) == sum(value.numel() for value in stored.values())
    copied = Path(shutil.copytree(converted, folder.parent / "copy"))
    assert compute_model_hash(model) == compute_model_hash(Model(base=str(copied), dtype="float32"))
    loaded = load_checkpoint(model, notices.append, "cpu")
    assert len(notices) == 2, "converted once"
    expected = OPTForCausalLM(OPTConfig.from_pretrained(folder)).eval()
    expected.load_state_dict(original)
    ids = torch.arange(3, 60)[None]
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(ids).logits, expected.float()(ids).logits)
    (converted / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"is damaged .* delete the folder"):
        resolve(folder, notices)


def test_names_without_the_prefix_of_the_architecture_are_the_same_model(folder: Path) -> None:
    expected = load_file(convert(folder) / "model.safetensors")
    change(folder, lambda tensors: [tensors.update({n.removeprefix("model."): tensors.pop(n)}) for n in list(tensors)])
    stored = load_file(convert(folder) / "model.safetensors")
    assert {f"model.{name}" for name in stored} - {"model.lm_head.weight"} <= set(expected)


def test_tensors_that_share_memory_in_the_file_only_are_stored_as_copies(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=False)
    stored = load_file(convert(folder) / "model.safetensors")
    assert torch.equal(stored["lm_head.weight"], stored["model.decoder.embed_tokens.weight"])


def change_config(folder: Path, **changed: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_sharded_weights_become_shards_of_safetensors(folder: Path) -> None:
    expected = load_file(convert(folder) / "model.safetensors")
    shard(folder, lambda name: "layers.1" in name or name == "lm_head.weight")
    converted = convert(folder)
    shards = [load_file(converted / f"model-0000{number}-of-00002.safetensors") for number in (1, 2)]
    assert not set(shards[0]) & set(shards[1])
    torch.testing.assert_close({**shards[0], **shards[1]}, {**expected, "lm_head.weight": shards[1]["lm_head.weight"]})
    shutil.copy(folder / "config.json", converted)
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert torch.equal(model.model.decoder.layers[1].fc1.bias, shards[1]["model.decoder.layers.1.fc1.bias"])
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelError, match=r"no pytorch_model-00002-of-00002\.bin, which the index of the weights lists"):
        compute_model_hash(Model(base=str(folder)))


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    shard(folder, lambda name: "layers.1" in name)
    shutil.copy(folder / "pytorch_model-00001-of-00002.bin", folder / "pytorch_model-00002-of-00002.bin")
    with pytest.raises(
        ModelError, match=r"00002\.bin: it contains 'model.decoder.embed_tokens.weight', as pytorch_model-00001"
    ):
        convert(folder)


class RunsCode:
    """A pickle of this object creates a file when it is loaded without restrictions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("place", ["value", "name", "whole"])
def test_a_file_that_would_run_code_is_refused_and_the_code_does_not_run(
    folder: Path, tmp_path: Path, place: str
) -> None:
    proof = tmp_path / "the-code-ran"
    harmful = RunsCode(proof)
    file = folder / "pytorch_model.bin"
    if place == "whole":
        torch.save(harmful, file)
    else:
        entry: dict[Any, Any] = {"x": harmful} if place == "value" else {harmful: torch.ones(1)}
        change(folder, lambda tensors: tensors.update(entry))
    refusal = r"pytorch_model\.bin: it would call \w+\.mkdir when loaded.* nothing was run"
    with pytest.raises(ModelError, match=refusal):
        convert(folder)
    if place == "value":
        with pytest.raises(ModelError, match=rf"tiny-opt: its weights cannot be converted to safetensors: {refusal}"):
            resolve(folder, [])
        assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.suffix != ".lock"]
    assert not proof.exists()
    torch.load(file, weights_only=False)
    assert proof.exists(), "the file does run code where nothing restricts it"


def add(**values: Any) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update(values)


BIAS = "model.decoder.layers.0.fc1.bias"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda tensors: tensors.pop(BIAS), f"it lacks {BIAS}, compared with OPTForCausalLM"),
        (add(extra=torch.ones(2)), "it also has extra, compared with OPTForCausalLM"),
        (add(**{BIAS: torch.ones(63)}), rf"it has wrong shapes: {BIAS} \(63,\) instead of \(64,\)"),
        (add(**{BIAS: torch.ones(1).expand(10**6, 10**6)}), "for which the file has too little data"),
        (add(step=7), "'step' is a int; expected a name and a dense tensor"),
        (add(nested={"a": torch.ones(2)}), "'nested' is a dict"),
        (lambda tensors: tensors.update({7: torch.ones(2)}), "'7' is a int, not a name"),
        (add(**{BIAS: torch.ones(64).to_sparse()}), "a sparse, quantized, complex"),
        (add(**{BIAS: torch.ones(64, dtype=torch.complex64)}), "a sparse, quantized, complex"),
        (lambda tensors: tensors.clear(), "it contains dict, expected a dictionary of tensors"),
    ],
)
def test_anything_but_the_tensors_of_the_architecture_is_refused(
    folder: Path, edit: Callable[[Tensors], object], reason: str
) -> None:
    change(folder, edit)
    with pytest.raises(ModelError, match=reason):
        convert(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda data: data[: len(data) // 2], "it is not a complete zip archive"),
        (lambda data: data[:1000], "it is not a complete zip archive"),
        (lambda data: b"", "it is not a complete zip archive"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "a pointer to the real file"),
        (lambda data: pickle.dumps({"a": 1}), "it is not a complete zip archive"),
    ],
)
def test_a_damaged_file_is_refused(folder: Path, content: Callable[[bytes], bytes], reason: str) -> None:
    file = folder / "pytorch_model.bin"
    file.write_bytes(content(file.read_bytes()))
    with pytest.raises(ModelError, match=reason):
        convert(folder)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"num_hidden_layers": 10**9}, "1000000000 layers .* the weights have 2"),
        ({"num_hidden_layers": 1}, "it also has model.decoder.layers.1"),
        ({"hidden_size": 10**9}, "wrong shapes"),
        ({"architectures": None}, "architectures: found None, expected the name of a model in transformers"),
        ({"architectures": ["AutoConfig"]}, r"architectures: found \['AutoConfig'\]"),
    ],
)
def test_a_config_that_does_not_describe_the_weights_is_an_error(
    folder: Path, changed: dict[str, Any], reason: str
) -> None:
    change_config(folder, **changed)
    with pytest.raises(ModelError, match=reason):
        convert(folder)


def test_safetensors_next_to_bin_files_are_used_and_the_bin_files_are_not_read(folder: Path) -> None:
    shutil.copy(convert(folder) / "model.safetensors", folder)
    (folder / "pytorch_model.bin").write_bytes(b"not read")
    assert resolve(folder, []) == folder.resolve()


def test_other_weights_another_config_and_another_pooling_are_another_conversion(folder: Path) -> None:
    def place() -> Path:
        return BinWeights(path=folder, name="tiny-opt").find_folder()

    folders = [place()]
    change(folder, lambda tensors: tensors[BIAS].add_(1))
    folders.append(place())
    change_config(folder, activation_function="gelu")
    folders.append(place())
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    folders.append(place())
    (folder / "training_args.bin").write_bytes(b"not read")
    assert len({*folders, place()}) == 4


def test_stored_position_numbers_that_the_architecture_computes_are_no_extra_tensor(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = BertConfig(vocab_size=259, architectures=["BertModel"], **sizes)
    config.save_pretrained(folder)
    tensors = {**BertModel(config).state_dict(), "embeddings.position_ids": torch.arange(512)[None]}
    torch.save(tensors, folder / "pytorch_model.bin")
    assert "pooler.dense.bias" in load_file(convert(folder) / "model.safetensors")


@pytest.mark.parametrize(
    ("version", "is_safe"), [("2.9.1+cpu", False), ("2.6.0", False), ("2.10.0", True), ("3.0", True)]
)
def test_a_torch_whose_unpickler_has_known_flaws_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str, is_safe: bool
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    with nullcontext() if is_safe else pytest.raises(ModelError, match="cannot read untrusted"):
        require_safe_torch()


COMMIT = "c" * 40


@contextmanager
def serve_hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A Hub with one repository, `org/name`, and the names of the files that were requested from it."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET(has_body=False)

        def do_GET(self, has_body: bool = True) -> None:
            name = self.path.partition(f"/org/name/resolve/{COMMIT}/")[2]
            if self.path.startswith("/api/"):
                files = [path for path in folder.iterdir() if path.is_file()]
                tree = [
                    {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": file.name} for file in files
                ]
                document = tree if "/tree/" in self.path else {"id": "org/name", "sha": COMMIT, "siblings": []}
                self.respond(json.dumps(document).encode(), "application/json", has_body)
            elif name and (folder / name).is_file():
                requested.append(name)
                self.respond((folder / name).read_bytes(), "application/octet-stream", has_body)
            else:
                self.send_error(404)

        def respond(self, body: bytes, kind: str, has_body: bool) -> None:
            self.send_response(200)
            for key, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "ETag": f'"{hash(body) & 0xFFFFFFFF:08x}"',
                "X-Repo-Commit": COMMIT,
            }.items():
                self.send_header(key, value)
            self.end_headers()
            if has_body:
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_hub_client_requests_bin_files_only_if_there_are_no_safetensors(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = {"training_args.bin", "tf_model.h5", "optimizer.pt"}
    for name in never:
        (folder / name).write_bytes(b"never read")
    model, notices = Model(base="org/name"), list[str]()
    with serve_hub(folder) as (endpoint, requested):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        weights = resolve_weights(model, notices.append)
        assert set(requested) == {path.name for path in folder.iterdir()} - never
        assert "org/name: has no safetensors file; downloading its .bin files, which will be converted" in notices
        requested.clear()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert resolve_weights(model, notices.append) == weights
        assert compute_model_hash(model) == weights.content_hash
        assert not requested, "converted weights need no Hub"
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        shutil.copy(weights.folder / "model.safetensors", folder)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "second-hub"))
        resolve_weights(model, notices.append)
        assert {name for name in requested if name.endswith(("safetensors", "bin"))} == {"model.safetensors"}
