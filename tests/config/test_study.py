"""A study is a value: the same in YAML and in Python, and refused at the door where something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimtab.annotators.longest import Longest

from trimtab.config.presets import load_preset
from trimtab.config.study import Arm, Models, PredefinedSplits, Study, Training
from trimtab.config.training import DpoSettings, SftSettings
from trimtab.data.split import SplitSettings
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.scorers.synthetic_checker import SyntheticChecker
from trimtab.sources.starter import Starter

BASE = "smollm2-135m-instruct"
YAML = f"""
name: small
data: {{kind: starter, limit: 40}}
split: {{labeled: 0.4}}
models:
  weak: {{base: {BASE}, layers: 4}}
  student: {BASE}
training: {{sft: {{epochs: 2}}, dpo: {{beta: 0.2}}}}
arms:
  length: {{annotator: {{kind: longest, gap: 3}}, dpo: {{beta: 0.3}}}}
evaluation: {{checker: checker}}
"""
PYTHON = Study(
    name="small",
    data=Starter(limit=40),
    split=SplitSettings(labeled=0.4),
    models=Models(weak=Model(base=BASE, layers=4), student=Model(base=BASE)),
    training=Training(sft=SftSettings(num_train_epochs=2), dpo=DpoSettings(beta=0.2)),
    arms={"length": Arm(annotator=Longest(gap=3), dpo=DpoSettings(beta=0.3))},
    scorers={"checker": SyntheticChecker()},
)
SIDES = "data={labeled: {kind: starter, seed: 1}, unlabeled: {kind: starter, seed: 2}, test: {kind: starter, seed: 3}}"


def complaint(*changes: str, text: str = YAML) -> str:
    with pytest.raises(StudyError) as caught:
        Study.parse(text, changes)
    return str(caught.value)


def test_a_study_in_yaml_equals_the_same_in_python() -> None:
    assert Study.parse(YAML) == PYTHON


@pytest.mark.parametrize(
    "changes",
    [(), ("training.sft=null",), ("training.weak_dpo={}",), ("arms={}",), (SIDES,), ("description='ä: x # y'",)],
)
def test_a_study_survives_yaml_and_back(changes: tuple[str, ...]) -> None:
    study = Study.parse(YAML, changes)
    assert Study.parse(study.to_yaml()) == study


def test_the_studies_that_ship_can_be_read() -> None:
    study = Study.parse(load_preset("quickstart"))
    assert study.name == "quickstart"
    assert Study.parse(study.to_yaml()) == study


def test_changes_are_put_over_the_file_one_after_another() -> None:
    study = Study.parse(
        YAML, ["training.dpo.beta=0.05", "training.dpo.epochs=3", "seed=7", "seed=8", "arms.length.dpo.beta=1"]
    )
    assert study.training.dpo == DpoSettings(beta=0.05, num_train_epochs=3)
    assert study.training.sft == SftSettings(num_train_epochs=2)
    assert study.seed == 8
    assert study.arms["length"].dpo == DpoSettings(beta=1)


def test_a_change_can_make_what_was_not_there() -> None:
    study = Study.parse(YAML, ["arms.other.annotator=longest", "training.weak_dpo.beta=0.5"])
    assert study.arms["other"] == Arm(annotator=Longest())
    assert study.training.weak_dpo == DpoSettings(beta=0.5)


@pytest.mark.parametrize("written", ["5e-6", "5.0e-6", "0.000005"])
def test_a_small_number_is_a_number_however_it_is_written(written: str) -> None:
    assert Study.parse(YAML, [f"training.dpo.learning_rate={written}"]).training.dpo.learning_rate == 0.000005


@pytest.mark.parametrize("change", ["seed", "=3", " =3"])
def test_a_change_that_is_no_change_says_how_one_is_written(change: str) -> None:
    assert complaint(change) == f"{change!r}: a change is written key=value or key.sub=value"


def test_a_change_below_a_plain_value_is_refused() -> None:
    assert complaint("name.first=x") == "'name.first=x': name is 'small', not a mapping of settings"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.dpo.bta=1", "training.dpo.bta: there is no such setting; did you mean 'beta'?"),
        ("training.dpo.beta=0", "training.dpo.beta: must be greater than 0, got 0"),
        ("arms.length.annotator.gap=-1", "arms.length.annotator.gap: must be greater than or equal to 0, got -1"),
        ("arms.length.dpo.bta=1", "arms.length.dpo.bta: there is no such setting; did you mean 'beta'?"),
        ("data.limt=3", "data.limt: there is no such setting; did you mean 'limit'?"),
        ("data={labeled: starter, test: starter}", "data.unlabeled: this setting is needed and was not given"),
        ("evaluation.checker=cheker", "evaluation.checker.kind: no 'cheker' among the scorers"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(change: str, said: str) -> None:
    assert complaint(change).startswith(said)


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- x"])
def test_text_that_is_not_yaml_names_the_place(text: str) -> None:
    assert complaint(text=text).startswith("study: not YAML: ")


@pytest.mark.parametrize(("text", "found"), [("- 1", "list"), ("", "NoneType"), ("text", "str")])
def test_yaml_that_is_not_a_mapping_says_what_was_found(text: str, found: str) -> None:
    assert complaint(text=text) == f"study: expected a mapping of settings, found {found}"


def test_a_study_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.yaml: No such file or directory; a study is a YAML file"):
        Study.load(tmp_path / "nowhere.yaml")


def test_a_study_is_loaded_from_a_file_with_changes(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(YAML, encoding="utf-8")
    assert Study.load(tmp_path / "small.yaml", ["seed=3"]) == PYTHON.model_copy(update={"seed": 3})


@pytest.mark.parametrize("name", ["base", "sft", "weak_model"])
def test_an_arm_cannot_take_the_name_of_a_row_that_every_study_has(name: str) -> None:
    assert complaint(f"arms.{name}.annotator=longest").startswith(f"arms.{name}: every study has this row already")


@pytest.mark.parametrize("name", ["a b", "a/b", ""])
def test_an_arm_has_a_plain_name(name: str) -> None:
    text = YAML + f"samples: 0\n# {name}\n"
    changed = f"arms={{{name!r}: {{annotator: longest}}}}"
    assert complaint(changed, text=text) == f"arms: {name!r}: a name is letters, digits, - and _"


@pytest.mark.parametrize("name", ["human", "weak", "flipped"])
def test_the_arms_that_every_study_has_can_be_given_other_settings(name: str) -> None:
    assert Study.parse(YAML, [f"arms.{name}.annotator=longest"]).arms[name].annotator == Longest()


@pytest.mark.parametrize("name", ["Big", "two words", "-x", "a/b"])
def test_the_name_of_a_study_can_be_a_folder(name: str) -> None:
    assert complaint(f"name={name!r}").startswith("name: ")


def test_targets_of_ones_own_need_an_sft() -> None:
    said = "training.sft_target: own needs training.sft, which is null"
    assert complaint("training.sft_target=own", "training.sft=null") == said
    assert Study.parse(YAML, ["training.sft_target=own"]).training.sft_data == "own"


def test_three_sources_are_three_sides() -> None:
    data = Study.parse(YAML, [SIDES]).data
    assert data == PredefinedSplits(labeled=Starter(seed=1), unlabeled=Starter(seed=2), test=Starter(seed=3))


def test_the_rows_that_an_arm_is_compared_with_survive_yaml_and_are_other_rows_of_the_study() -> None:
    other = "arms.other={annotator: longest, against: [length, weak_model, human]}"
    study = Study.parse(YAML, (other,))
    assert study.arms["other"].compare_with == ("length", "weak_model", "human")
    assert Study.parse(study.to_yaml()) == study
    assert "arms.length.against: there is no row 'lenght' (there are: base, sft, weak_model, human, weak" in complaint(
        "arms.length.against=[lenght]"
    )
    assert "an arm is not compared with itself" in complaint("arms.length.against=[length]")
    untrained = "arms.other={annotator: longest, train: false}"
    assert "other has train: false, so there is no student" in complaint(untrained, "arms.length.against=[other]")
