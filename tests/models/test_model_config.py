"""Model settings resolve to a folder of safetensors; the content hash covers the weights and how they are loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from trimtab.errors import ModelError
from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.default_chat_template import build_default_template, template_hash
from trimtab.models.sources import download_cache
from trimtab.models.sources.registry import REGISTERED_MODELS, SMOLLM2

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_HASH = "0" * 64
# Changing the template changes the content hash of every model, so results with the old template are not reused.
TEMPLATE_HASH = "f4805be80a7c"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def notes() -> list[str]:
    return []


def model_folder(folder: Path, value: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    save_file({"weight": np.full((4, 4), value, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_a_plain_string_in_a_study_is_the_base() -> None:
    assert Model.model_validate("smollm2-135m-instruct") == Model(base="smollm2-135m-instruct")


@pytest.mark.parametrize(
    ("name", "base", "layers"),
    [
        ("org/name[:12]", "org/name", 12),
        ("./a[1]/b[:3]", "./a[1]/b", 3),
        ("a[:0]", "a[:0]", None),
        ("[:3]", "[:3]", None),
    ],
)
def test_a_name_may_select_the_first_layers(name: str, base: str, layers: int | None) -> None:
    assert Model.model_validate(name) == Model(base=base, layers=layers)


@pytest.mark.parametrize(
    "settings",
    [
        {"base": ""},
        {"base": "org/name", "layers": 0},
        {"base": "org/name", "dtype": "int8"},
        {"base": "org/name", "sha256": "abc"},
        {"base": "org/name", "device": "cuda"},
        {"base": "org/name@main", "revision": "main"},
        {"base": "smollm2-135m-instruct", "revision": "main"},
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate(settings)


def test_importing_model_settings_loads_no_torch() -> None:
    code = "import sys; import trimtab.models.config; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_suggests_similar_names() -> None:
    with pytest.raises(ModelError, match="did you mean 'smollm2-135m-instruct'"):
        compute_model_hash(Model(base="SmolLM2-135M"))


def test_a_registered_name_is_hashed_without_a_download(tmp_path: Path) -> None:
    content_hash = compute_model_hash(Model(base=SMOLLM2.name))
    assert content_hash is not None
    assert content_hash.startswith(SMOLLM2.sha256 + "+gguf1")
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_registered_name_rejects_another_hash() -> None:
    with pytest.raises(ModelError, match=f"pinned to {SMOLLM2.sha256}"):
        compute_model_hash(Model(base=SMOLLM2.name, sha256=OTHER_HASH))


def test_every_registered_model_pins_its_wheels() -> None:
    for model in REGISTERED_MODELS.values():
        hashes = [model.sha256, *(str(wheel.sha256) for wheel in model.wheels)]
        assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in hashes)
        assert len(set(hashes)) == len(hashes)


def test_one_changed_byte_changes_the_content_hash_and_moving_the_folder_does_not(tmp_path: Path) -> None:
    here = model_folder(tmp_path / "here")
    before = compute_model_hash(Model(base=str(here)))
    there = Path(shutil.move(here, tmp_path / "there"))
    assert compute_model_hash(Model(base=str(there))) == before
    data = bytearray((there / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (there / "model.safetensors").write_bytes(data)
    assert compute_model_hash(Model(base=str(there))) != before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_the_content_hash_covers_configuration_tokenizer_and_template(tmp_path: Path, name: str) -> None:
    folder = model_folder(tmp_path / "m")
    before = compute_model_hash(Model(base=str(folder)))
    (folder / name).write_text('{"changed": true}')
    assert compute_model_hash(Model(base=str(folder))) != before


def test_the_content_hash_ignores_readme_and_optimizer_state(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    before = compute_model_hash(Model(base=str(folder)))
    (folder / "README.md").write_text("new words")
    (folder / "trainer_state.json").write_text("{}")
    assert compute_model_hash(Model(base=str(folder))) == before


def test_python_files_count_only_if_they_may_run(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    trusted, plain = Model(base=str(folder), trust_remote_code=True), Model(base=str(folder))
    before = compute_model_hash(trusted), compute_model_hash(plain)
    (folder / "modeling.py").write_text("LAYERS = 3\n")
    assert compute_model_hash(trusted) != before[0]
    assert compute_model_hash(plain) == before[1]


def test_each_way_of_loading_has_its_own_content_hash(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "m"))
    jinja = tmp_path / "t.jinja"
    jinja.write_text("{{ messages }}")
    ways = [
        Model(base=folder),
        Model(base=folder, layers=1),
        Model(base=folder, layers=2),
        Model(base=folder, dtype="float32"),
        Model(base=folder, chat_template="trimtab"),
        Model(base=folder, chat_template=str(jinja)),
    ]
    assert len({compute_model_hash(way) for way in ways}) == len(ways)


def test_a_template_is_hashed_by_its_text_and_not_its_path(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "m"))
    first, second = tmp_path / "first.jinja", tmp_path / "second.jinja"
    first.write_text("{{ messages }}")
    second.write_text("{{ messages }}")
    assert compute_model_hash(Model(base=folder, chat_template=str(first))) == compute_model_hash(
        Model(base=folder, chat_template=str(second))
    )


def test_the_default_template_is_unchanged() -> None:
    assert template_hash(build_default_template(add_bos=False)) == TEMPLATE_HASH


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    folder = str(model_folder(tmp_path / "m"))
    with pytest.raises(ModelError, match=r"chat_template: cannot read no\.jinja"):
        compute_model_hash(Model(base=folder, chat_template="no.jinja"))


def test_resolved_weights_have_the_content_hash_of_their_settings(tmp_path: Path, notes: list[str]) -> None:
    model = Model(base=str(model_folder(tmp_path / "m")), layers=2)
    weights = resolve_weights(model, notes.append)
    assert weights.content_hash == compute_model_hash(model)
    assert (weights.folder, weights.name, weights.license) == (tmp_path / "m", "m", "not stated")
    assert notes == []


def test_a_folder_of_pickles_is_rejected_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"no \.safetensors file and no pytorch_model\.bin .*other pickle files .* not read"
    ):
        compute_model_hash(Model(base=str(tmp_path)))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    index = {"weight_map": {"weight": "model.safetensors", "bias": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"no model-2\.safetensors, which"):
        compute_model_hash(Model(base=str(folder)))


@pytest.mark.parametrize(("setting", "value"), [("revision", "main"), ("sha256", OTHER_HASH)])
def test_a_local_folder_rejects_revision_and_hash(tmp_path: Path, setting: str, value: str) -> None:
    folder = model_folder(tmp_path / "m")
    with pytest.raises(ModelError, match=f"^{setting}: "):
        compute_model_hash(Model.model_validate({"base": str(folder), setting: value}))


def test_a_large_file_is_hashed_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "large.safetensors"
    file.write_bytes(bytes(download_cache.MIN_CACHED_FILE_BYTES))
    os.utime(file, ns=(10**18, 10**18))
    first = download_cache.compute_sha256_cached(file)
    file.write_bytes(b"\1" * download_cache.MIN_CACHED_FILE_BYTES)
    os.utime(file, ns=(10**18, 10**18))
    assert download_cache.compute_sha256_cached(file) == first, "same path, size and time: not hashed again"
    hashes = download_cache.get_cache_dir() / "hashes.json"
    hashes.write_text(hashes.read_text().replace(first[:8], "0" * 8))
    assert download_cache.compute_sha256_cached(file) != first, "a damaged hash is not used"
    os.utime(file, ns=(10**18, 10**18 + 1))
    assert download_cache.compute_sha256_cached(file) == download_cache.compute_sha256(file) != first


def test_the_hash_of_a_newly_written_file_is_not_cached(tmp_path: Path) -> None:
    file = tmp_path / "large.safetensors"
    file.write_bytes(bytes(download_cache.MIN_CACHED_FILE_BYTES))
    download_cache.compute_sha256_cached(file)
    assert not (download_cache.get_cache_dir() / "hashes.json").exists()


def test_too_little_disk_space_is_an_error_with_the_folder_and_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{tmp_path} needs 1,000,000,000,000,000,000 bytes free and has [\d,]+;"):
        download_cache.require_disk_space(tmp_path, 10**18, "a model")


def hub_offline(home: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run in a subprocess, because the Hub client reads these variables only once, when it is imported."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    start = "from trimtab.models.config import Model, compute_model_hash, resolve_weights\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", start + code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_offline_a_missing_hub_model_is_an_error_that_says_what_was_tried(tmp_path: Path) -> None:
    completed = hub_offline(
        tmp_path,
        "assert compute_model_hash(Model(base='org/name')) is None; resolve_weights(Model(base='org/name'), print)",
    )
    assert completed.stdout == "org/name: not in the local Hub cache; downloading\n"
    last = completed.stderr.splitlines()[-1]
    assert last.startswith("trimtab.errors.ModelError: 'org/name' is not a local folder, is not in the local Hub cache")
    assert "HF_HUB_OFFLINE" in last
    assert "pypi:DIST==VERSION/FILE.gguf" in last


def test_offline_a_cached_hub_model_is_found_under_every_name_of_its_revision(tmp_path: Path) -> None:
    repository = tmp_path / "home" / "hub" / "models--org--name"
    folder = model_folder(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    code = f"""
for model in Model(base='org/name'), Model(base='org/name@{COMMIT}'), Model(base='org/name', revision='main'):
    weights = resolve_weights(model, print)
    assert weights.content_hash == compute_model_hash(model)
    print(weights.folder, weights.content_hash)
"""
    completed = hub_offline(tmp_path / "home", code)
    assert completed.stdout.splitlines() == 3 * [f"{folder} {compute_model_hash(Model(base=str(folder)))}"], (
        completed.stderr
    )


def test_offline_an_incomplete_snapshot_is_not_a_model(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--name"
    folder = model_folder(repository / "snapshots" / COMMIT)
    (folder / "model.safetensors").unlink()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    completed = hub_offline(tmp_path, "print(compute_model_hash(Model(base='org/name')))")
    assert completed.stdout == "None\n", completed.stderr
