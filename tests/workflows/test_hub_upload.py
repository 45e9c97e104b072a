"""Labels and students are uploaded to a Hub on loopback, with a card; errors come before any work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import ACCOUNT, TOKEN, HubState, serve_hub
from typer.testing import CliRunner, Result

from trimtab.cli import app
from trimtab.errors import HubError, StoreError, StudyError

LABELS, STUDENT = f"{ACCOUNT}/tiny-labels", f"{ACCOUNT}/tiny-student"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubState]:
    """A Hub that the client uses, and a token in the environment."""
    from huggingface_hub import constants

    with serve_hub() as state:
        monkeypatch.setattr(constants, "ENDPOINT", state.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage server is another protocol
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield state


def export(run: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", str(run), *arguments])


def read_metadata(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert isinstance(metadata, dict)
    return metadata


def list_files(run: Path) -> set[Path]:
    return {path for path in run.rglob("*") if "export" not in path.parts}


def test_labels_become_a_private_dataset_with_a_card(finished_run: Path, hub: HubState) -> None:
    before = list_files(finished_run)
    result = export(finished_run, "--push-to-hub", LABELS)
    assert result.exception is None
    assert result.output.endswith(f"{hub.url}/datasets/{LABELS}\n")
    assert hub.private == {f"datasets/{LABELS}": True}
    assert len(hub.commits) == 1
    files = hub.files[f"datasets/{LABELS}"]
    assert set(files) == {"README.md", "train.jsonl"}
    rows = [json.loads(line) for line in files["train.jsonl"].splitlines()]
    assert {"prompt", "chosen", "rejected", "trimtab_p_chosen"} < set(rows[0])
    assert list_files(finished_run) == before


def test_the_card_of_labels_has_source_agreement_cost_license_and_study(finished_run: Path, hub: HubState) -> None:
    result = export(finished_run, "--push-to-hub", LABELS, "--dry-run")
    card = result.output
    metadata = read_metadata(card)
    assert metadata["license"] == "apache-2.0"  # of the built-in pairs
    assert metadata["annotations_creators"] == ["machine-generated"]
    assert metadata["source_datasets"] == ["original"]
    assert {"trimtab", "synthetic"} <= set(metadata["tags"])
    assert metadata["configs"][0]["data_files"] == [{"split": "train", "path": "train.jsonl"}]
    assert "- Annotator: `implicit_reward`" in card
    assert "| Agreement | 0." in card
    assert "## Cost\n\n" in card
    assert "name: tiny\n" in card.partition("```yaml\n")[2]


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of the Hub's client
def test_a_student_becomes_a_private_model_whose_weights_are_stored_as_a_large_file(
    finished_run: Path, hub: HubState, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    result = export(finished_run, "--format", "model", "--push-to-hub", "tiny-student", "--license", "mit")
    assert result.exception is None
    assert hub.private == {f"models/{STUDENT}": True}  # an ID without an account is in that of the token
    files = hub.files[f"models/{STUDENT}"]
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert list(hub.blobs.values()) == [files["model.safetensors"]]
    metadata = read_metadata(files["README.md"].decode())
    assert (metadata["license"], metadata["library_name"]) == ("mit", "transformers")
    assert "base_model" not in metadata  # a folder on this disk
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).num_parameters() > 0


def test_the_card_of_a_student_has_results_labels_and_cost_but_no_path_of_this_disk(
    finished_run: Path, hub: HubState, tiny_model: Path
) -> None:
    card = export(finished_run, "--format", "model", "--push-to-hub", STUDENT, "--dry-run").output
    assert "| Arm | " in card
    assert "\n| weak | 0." in card
    assert "## Labels\n\n- Annotator: `implicit_reward`" in card
    assert "- Training: " in card
    assert str(tiny_model) not in card
    assert f"base: …/{tiny_model.name}\n" in card


def test_a_dry_run_needs_no_token_and_sends_nothing(
    finished_run: Path, hub: HubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    before = list_files(finished_run)
    result = export(finished_run, "--push-to-hub", LABELS, "--dry-run", "--public")
    assert result.exception is None
    *_, last = result.output.partition(f"dataset {LABELS}, public, 2 files\n")
    listed = [line.split() for line in last.splitlines()]
    assert [line[2:] for line in listed[:2]] == [["README.md"], ["train.jsonl"]]
    assert all(int(line[0].replace(",", "")) > 0 for line in listed[:2])
    assert last.endswith("nothing was uploaded\n")
    assert hub.requests == []
    assert list_files(finished_run) == before


def test_a_missing_token_is_an_error_before_any_work(
    finished_run: Path, hub: HubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    error = export(finished_run, "--arm", "nobody", "--push-to-hub", LABELS).exception
    assert isinstance(error, HubError)
    assert "no token; log in with `hf auth login`, or set HF_TOKEN" in str(error)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/whoami", 401, r"checking the token failed: the Hub answered 401; the token is invalid or expired"),
        (
            "/api/repos/create",
            403,
            r"creating the repository failed: the Hub answered 403 .*; the token needs write access",
        ),
        (f"/api/datasets/{LABELS}/commit", 409, r"uploading the files failed: the Hub answered 409 \(not today\)"),
    ],
)
def test_a_refused_request_is_one_message_without_the_token(
    path: str, status: int, message: str, finished_run: Path, hub: HubState
) -> None:
    hub.refusals[path] = status
    result = export(finished_run, "--push-to-hub", LABELS)
    assert isinstance(result.exception, HubError)
    with pytest.raises(HubError, match=f"--push-to-hub {LABELS}: {message}"):
        raise result.exception
    assert "\n" not in str(result.exception)
    assert TOKEN not in result.output + str(result.exception)


def test_a_hub_that_does_not_answer_is_an_error(
    finished_run: Path, hub: HubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    error = export(finished_run, "--push-to-hub", LABELS).exception
    assert isinstance(error, HubError)
    assert "checking the token failed: ConnectError" in str(error)


def test_nothing_is_added_to_a_public_repository_unless_that_is_wanted(finished_run: Path, hub: HubState) -> None:
    assert export(finished_run, "--push-to-hub", LABELS, "--public").exception is None
    assert hub.private == {f"datasets/{LABELS}": False}
    error = export(finished_run, "--push-to-hub", LABELS).exception
    assert isinstance(error, HubError)
    assert "this dataset is public; add --public" in str(error)
    assert export(finished_run, "--push-to-hub", LABELS, "--public").exception is None
    assert len(hub.commits) == 2


def test_the_token_is_in_no_file_of_the_run(finished_run: Path, hub: HubState) -> None:
    assert export(finished_run, "--push-to-hub", LABELS).exception is None
    assert [path for path in finished_run.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []
    assert all(TOKEN.encode() not in data for data in hub.files[f"datasets/{LABELS}"].values())


@pytest.mark.parametrize("folder", ["empty", "gone"])
def test_a_folder_without_a_run_is_an_error_before_the_hub_is_asked(folder: str, hub: HubState, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = export(tmp_path / folder, "--push-to-hub", LABELS).exception
    assert isinstance(error, StoreError)
    assert "holds no finished run" in str(error)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push-to-hub", "a/b/c"], "not the ID of a repository"),
        (["--push-to-hub", LABELS, "--out", "x.jsonl"], "--out: not with --push-to-hub"),
        (["--public"], "--public: only with --push-to-hub ID"),
        (["--license", "mit"], "--license: only with --push-to-hub ID"),
        (["--dry-run"], "--dry-run: only with --push-to-hub ID"),
    ],
)
def test_options_that_do_not_fit_are_errors(finished_run: Path, arguments: list[str], message: str) -> None:
    error = export(finished_run, *arguments).exception
    assert isinstance(error, StudyError)
    assert message in str(error)
