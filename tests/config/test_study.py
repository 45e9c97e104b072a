"""A study is a value: equal in YAML and in Python, and validated when it is parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.annotators.length import Length
from trimtab.config.data_sources import PredefinedSplits
from trimtab.config.names import NAME_RULE
from trimtab.config.presets import load_preset
from trimtab.config.study import Arm, Models, Study, Training
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
training: {{sft: {{num_train_epochs: 2}}, dpo: {{beta: 0.2}}}}
arms:
  longer: {{annotator: {{kind: length, tie_threshold: 3}}, dpo: {{beta: 0.3}}}}
scorers: {{checker: synthetic_checker}}
"""
PYTHON = Study(
    name="small",
    data=Starter(limit=40),
    split=SplitSettings(labeled=0.4),
    models=Models(weak=Model(base=BASE, layers=4), student=Model(base=BASE)),
    training=Training(sft=SftSettings(num_train_epochs=2), dpo=DpoSettings(beta=0.2)),
    arms={"longer": Arm(annotator=Length(tie_threshold=3), dpo=DpoSettings(beta=0.3))},
    scorers={"checker": SyntheticChecker()},
)
SPLITS = "data={labeled: {kind: starter, seed: 1}, unlabeled: {kind: starter, seed: 2}, test: {kind: starter, seed: 3}}"


def error_message(*overrides: str, text: str = YAML) -> str:
    with pytest.raises(StudyError) as caught:
        Study.parse(text, overrides)
    return str(caught.value)


def test_a_study_in_yaml_equals_the_same_study_in_python() -> None:
    assert Study.parse(YAML) == PYTHON


@pytest.mark.parametrize(
    "overrides",
    [(), ("training.sft=null",), ("training.weak_dpo={}",), ("arms={}",), (SPLITS,), ("description='ä: x # y'",)],
)
def test_a_study_survives_a_round_trip_through_yaml(overrides: tuple[str, ...]) -> None:
    study = Study.parse(YAML, overrides)
    assert Study.parse(study.to_yaml()) == study


def test_the_built_in_studies_are_valid() -> None:
    study = Study.parse(load_preset("quickstart"))
    assert study.name == "quickstart"
    assert Study.parse(study.to_yaml()) == study


def test_overrides_are_applied_in_order() -> None:
    overrides = [
        "training.dpo.beta=0.05",
        "training.dpo.num_train_epochs=3",
        "seed=7",
        "seed=8",
        "arms.longer.dpo.beta=1",
    ]
    study = Study.parse(YAML, overrides)
    assert study.training.dpo == DpoSettings(beta=0.05, num_train_epochs=3)
    assert study.training.sft == SftSettings(num_train_epochs=2)
    assert study.seed == 8
    assert study.arms["longer"].dpo == DpoSettings(beta=1)


def test_an_override_can_add_settings() -> None:
    study = Study.parse(YAML, ["arms.other.annotator=length", "training.weak_dpo.beta=0.5"])
    assert study.arms["other"] == Arm(annotator=Length())
    assert study.training.weak_dpo == DpoSettings(beta=0.5)


@pytest.mark.parametrize("written", ["5e-6", "5.0e-6", "0.000005"])
def test_a_small_number_can_be_written_in_any_notation(written: str) -> None:
    assert Study.parse(YAML, [f"training.dpo.learning_rate={written}"]).training.dpo.learning_rate == 0.000005


@pytest.mark.parametrize("override", ["seed", "=3", " =3"])
def test_a_malformed_override_is_an_error_that_shows_the_format(override: str) -> None:
    assert error_message(override) == f"{override!r}: write an override as key=value or key.sub=value"


def test_an_override_below_a_plain_value_is_an_error() -> None:
    assert error_message("name.first=x") == "'name.first=x': name is 'small', not a mapping of settings"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.dpo.bta=1", "training.dpo.bta: unknown setting; did you mean 'beta'?"),
        ("training.dpo.beta=0", "training.dpo.beta: must be greater than 0, got 0"),
        (
            "arms.longer.annotator.tie_threshold=-1",
            "arms.longer.annotator.tie_threshold: must be greater than or equal to 0, got -1",
        ),
        ("arms.longer.dpo.bta=1", "arms.longer.dpo.bta: unknown setting; did you mean 'beta'?"),
        ("data.limt=3", "data.limt: unknown setting; did you mean 'limit'?"),
        ("data={labeled: starter, test: starter}", "data.unlabeled: required setting is missing"),
        ("scorers.checker=synthetic_cheker", "scorers.checker.kind: unknown kind 'synthetic_cheker' in scorers"),
        ("judges.x=synthetic_checker", "judges.x.kind: unknown kind 'synthetic_checker' in judges"),
    ],
)
def test_an_error_gives_its_location(override: str, message: str) -> None:
    assert error_message(override).startswith(message)


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- x"])
def test_invalid_yaml_gives_the_location(text: str) -> None:
    assert error_message(text=text).startswith("study: invalid YAML: ")


@pytest.mark.parametrize(("text", "found"), [("- 1", "list"), ("", "NoneType"), ("text", "str")])
def test_yaml_that_is_not_a_mapping_gives_what_was_found(text: str, found: str) -> None:
    assert error_message(text=text) == f"study: expected a mapping of settings, found {found}"


def test_a_missing_study_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.yaml: No such file or directory; expected a study as a YAML file"):
        Study.load(tmp_path / "nowhere.yaml")


def test_a_study_is_loaded_from_a_file_with_overrides(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(YAML, encoding="utf-8")
    assert Study.load(tmp_path / "small.yaml", ["seed=3"]) == PYTHON.model_copy(update={"seed": 3})
    assert Study.load(str(tmp_path / "small.yaml")) == PYTHON


@pytest.mark.parametrize("name", ["base", "sft", "weak_model"])
def test_an_arm_cannot_use_a_reserved_name(name: str) -> None:
    assert error_message(f"arms.{name}.annotator=length").startswith(f"arms.{name}: every study already has this row")


@pytest.mark.parametrize("name", ["a b", "a/b", ""])
def test_the_name_of_an_arm_has_no_special_characters(name: str) -> None:
    text = YAML + f"num_report_samples: 0\n# {name}\n"
    override = f"arms={{{name!r}: {{annotator: length}}}}"
    assert error_message(override, text=text) == f"arms: {name!r}: {NAME_RULE}"


@pytest.mark.parametrize("name", ["human", "weak", "flipped"])
def test_built_in_arms_can_be_overridden(name: str) -> None:
    assert Study.parse(YAML, [f"arms.{name}.annotator=length"]).arms[name].annotator == Length()


@pytest.mark.parametrize("name", ["Big", "two words", "-x", "a/b"])
def test_the_name_of_a_study_must_be_usable_as_a_folder_name(name: str) -> None:
    assert error_message(f"name={name!r}").startswith("name: ")


def test_sft_on_the_responses_that_an_arm_prefers_requires_sft() -> None:
    message = "training.sft_data: unused, since training.sft is null"
    assert error_message("training.sft_data=arm_chosen", "training.sft=null") == message
    assert Study.parse(YAML, ["training.sft_data=arm_chosen"]).training.sft_data == "arm_chosen"


def test_three_sources_are_the_three_splits() -> None:
    data = Study.parse(YAML, [SPLITS]).data
    assert data == PredefinedSplits(labeled=Starter(seed=1), unlabeled=Starter(seed=2), test=Starter(seed=3))


def test_an_arm_is_compared_with_other_rows_of_the_study() -> None:
    other = "arms.other={annotator: length, compare_with: [longer, weak_model, human]}"
    study = Study.parse(YAML, (other,))
    assert study.arms["other"].compare_with == ("longer", "weak_model", "human")
    assert Study.parse(study.to_yaml()) == study
    unknown = error_message("arms.longer.compare_with=[longre]")
    assert (
        "arms.longer.compare_with: unknown row 'longre' (expected one of: base, sft, weak_model, human, weak" in unknown
    )
    assert "an arm cannot be compared with itself" in error_message("arms.longer.compare_with=[longer]")
    untrained = "arms.other={annotator: length, labels_only: true}"
    message = "other has labels_only: true, so it has no student"
    assert message in error_message(untrained, "arms.longer.compare_with=[other]")
    assert message in error_message(untrained, "arms.other.compare_with=[longer]")
