"""The split of a study with a training and a test source, and with a declared tokenizer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab.config.data_sources import TrainTestSources
from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.data.split import SPLIT_NAMES
from trimtab.errors import StudyError
from trimtab.pipeline.dry_run.split_sizes import predict_split
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.preflight import preflight_max_length
from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import load_split_pairs

STUDY = """
name: two-sources
data: {{train: {{kind: file, path: {folder}/train.jsonl}}, test: {{kind: file, path: {folder}/test.jsonl}}}}
split: {{labeled: 0.5}}
models: {{weak: {model}, student: {model}}}
"""


def write_rows(path: Path, prompts: list[str], long_response: int = 1) -> None:
    rows = [
        {"prompt": prompt, "chosen": f"{n} " + "yes " * long_response, "rejected": "no"}
        for prompt in prompts
        for n in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def study(tiny_model: Path, tmp_path: Path) -> str:
    write_rows(tmp_path / "train.jsonl", [f"Post {n}" for n in range(60)])
    write_rows(tmp_path / "test.jsonl", [*(f"New post {n}" for n in range(5)), " post  7", "POST 8"])
    return STUDY.format(folder=tmp_path, model=tiny_model)


def find_split(study: Study) -> Stage:
    (stage,) = (stage for stage in build_plan(study).stages if stage.kind == "split")
    return stage


def run_split(study: Study, folder: Path, runtime: Runtime) -> Artifact:
    stage = find_split(study)
    return Store(folder).get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, {}, runtime))


def read_ids(split: Artifact, name: str) -> set[str]:
    return {pair.id for pair in load_split_pairs(split, name)}


def test_test_pairs_with_a_training_prompt_are_excluded_and_counted(
    study: str, tmp_path: Path, runtime: Runtime
) -> None:
    parsed = Study.parse(study)
    assert isinstance(parsed.data, TrainTestSources)
    assert Study.parse(parsed.to_yaml()) == parsed
    split = run_split(parsed, tmp_path / "run", runtime)
    facts = split.record["facts"]
    assert facts["pairs"]["test"] == 30
    assert facts["pairs"]["labeled"] + facts["pairs"]["unlabeled"] == 360
    assert facts["reasons"] == {"prompt occurs in the training source": 12}
    assert facts["failures"] == 0, "excluded pairs are not unusable rows"
    predicted = predict_split(parsed)
    assert predicted.pairs == facts["pairs"]
    assert predicted.test_prompts == facts["prompts"]["test"] == 5


def test_one_key_changes_the_split_of_training_pairs_and_no_test_pair(
    study: str, tmp_path: Path, runtime: Runtime
) -> None:
    splits = [run_split(Study.parse(study, [f"split.seed={seed}"]), tmp_path / str(seed), runtime) for seed in (22, 1)]
    assert read_ids(splits[0], "test") == read_ids(splits[1], "test")
    assert read_ids(splits[0], "labeled") != read_ids(splits[1], "labeled")
    assert find_split(Study.parse(study, ["seed=1"])).recipe == find_split(Study.parse(study, ["split.seed=1"])).recipe
    assert find_split(Study.parse(study)).recipe == find_split(Study.parse(study, ["split.seed=22"])).recipe


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("split.test=0.2", r"split\.test: unused, since data has a test source"),
        ("data.labeled={kind: starter}", "labeled"),
        ("data={train: {kind: starter}}", "test"),
    ],
)
def test_settings_that_contradict_the_sources_are_errors(study: str, override: str, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        Study.parse(study, [override])


def save_model_with_fewer_tokens(tiny_model: Path, folder: Path) -> Path:
    """The tiny model with a tokenizer that needs fewer tokens: `yes` is one of them."""
    shutil.copytree(tiny_model, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    freed = [token for token in vocabulary if ord(token[0]) > 200][:2]
    for token, merged in zip(freed, ("ye", "yes"), strict=True):
        vocabulary[merged] = vocabulary.pop(token)
    tokenizer["model"]["merges"] = [["y", "e"], ["ye", "s"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_a_declared_tokenizer_gives_every_model_family_the_same_pairs(
    study: str, tiny_model: Path, tmp_path: Path, runtime: Runtime
) -> None:
    other = save_model_with_fewer_tokens(tiny_model, tmp_path / "other")
    write_rows(tmp_path / "train.jsonl", [f"Post {n}" for n in range(30)])
    with (tmp_path / "train.jsonl").open("a") as out:
        for n in range(30):
            out.write(json.dumps({"prompt": f"Long {n}", "chosen": "yes " * n, "rejected": "no"}) + "\n")
    students = [f"models={{weak: {base}, student: {base}}}" for base in (tiny_model, other)]

    def split(student: str, *declared: str) -> list[set[str]]:
        parsed = Study.parse(study, ["max_length=90", student, *declared])
        artifact = run_split(parsed, tmp_path / f"run{len(list(tmp_path.iterdir()))}", runtime)
        return [read_ids(artifact, name) for name in SPLIT_NAMES]

    assert split(students[0]) != split(students[1]), "by default, the models' own tokenizers count"
    declared = f"length_tokenizer={tiny_model}"
    assert split(students[0], declared) == split(students[1], declared) == split(students[0])
    recipes = [find_split(Study.parse(study, [student, declared])).recipe for student in students]
    assert recipes[0] == recipes[1], "the split is computed once"


def test_a_declared_tokenizer_does_not_lift_the_limit_of_a_model(
    study: str, tiny_model: Path, tmp_path: Path, runtime: Runtime
) -> None:
    short = Path(shutil.copytree(tiny_model, tmp_path / "short"))
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    parsed = Study.parse(study, [f"length_tokenizer={tiny_model}", f"models.student={short}", "max_length=65"])
    with pytest.raises(StudyError, match="max_length: 65 is more than the 64 tokens that the student model"):
        preflight_max_length(parsed, runtime)


def test_rows_that_are_left_out_are_reported_with_their_reasons(
    tiny_model: Path, tmp_path: Path, runtime: Runtime
) -> None:
    write_rows(tmp_path / "mine.jsonl", [f"Post {n}" for n in range(9)])
    rows = [
        {"prompt": "Post 1", "chosen": "0 yes ", "rejected": "no"},
        {"prompt": "Post", "chosen": "", "rejected": "no"},
        {"prompt": "Post", "chosen": "yes " * 300, "rejected": "no"},
    ]
    with (tmp_path / "mine.jsonl").open("a") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))
    study = (
        f"{{name: s, data: {{kind: file, path: {tmp_path}/mine.jsonl}}, split: {{labeled: 0.5, test: 0.3}}, "
        f"max_length: 200, models: {{weak: {tiny_model}, student: {tiny_model}}}}}"
    )
    notices: list[str] = []
    run_split(Study.parse(study), tmp_path / "run", replace(runtime, notify=notices.append))
    assert notices == [
        "1 row of mine.jsonl is not usable: 'chosen' is empty (mine.jsonl:56)",
        "1 row of mine.jsonl is equal to an earlier row",
        "1 row of mine.jsonl is longer than 200 tokens",
    ]
