"""Built-in components are listed with their settings and defaults."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trimtab.cli.catalog import CATALOGS, describe_catalog_entry, extract_first_sentence, list_catalog
from trimtab.config.study import Study
from trimtab.config.training import LOSSES
from trimtab.core.component_loading import list_kinds
from trimtab.errors import StudyError
from trimtab.models.sources.registry import REGISTERED_MODELS


def listed(what: str) -> dict[str, tuple[str, str]]:
    return {name: (description, settings) for name, description, settings in list_catalog(what)}


@pytest.mark.parametrize("package", ["annotators", "sources", "scorers", "judges", "filters", "engines"])
def test_every_built_in_kind_is_listed(package: str) -> None:
    assert sorted(listed(package)) == list_kinds(package)


def test_an_engine_is_a_required_setting_of_the_pairwise_judge() -> None:
    assert "engine=…" in listed("judges")["pairwise"][1]


@pytest.mark.parametrize("what", CATALOGS)
def test_every_entry_has_a_description_on_one_line(what: str) -> None:
    for description, settings in listed(what).values():
        assert description and "\n" not in description + settings


def test_settings_are_listed_with_their_defaults() -> None:
    assert (
        listed("annotators")["implicit_reward"][1] == "policy=@weak reference=@weak.sft beta=0.1 average_log_prob=false"
    )
    assert listed("annotators")["human"][1] == ""
    assert listed("sources")["file"][1].startswith("path=… layout=auto limit=null")


def test_models_are_listed_with_license_and_size() -> None:
    assert set(listed("models")) == set(REGISTERED_MODELS)
    description, settings = listed("models")["smollm2-135m-instruct"]
    assert "Apache-2.0" in description and "0.5 GB" in description
    assert "layers=null" in settings and "revision" not in settings


def test_losses_are_listed_with_the_defaults_of_their_training() -> None:
    assert "beta=0.1 " in listed("losses")["dpo"][1]
    assert "warmup_ratio=0.1" in listed("losses")["sft"][1]


def test_every_dpo_loss_is_listed_with_the_settings_that_only_it_uses() -> None:
    dpo_losses = {
        name.removeprefix("dpo."): settings
        for name, (_, settings) in listed("losses").items()
        if name.startswith("dpo.")
    }
    assert list(dpo_losses) == list(LOSSES)
    assert dpo_losses["simpo"] == "loss_type=simpo simpo_gamma=0.5"
    assert dpo_losses["ipo"] == "loss_type=ipo"
    assert "simpo_gamma" not in listed("losses")["dpo"][1]
    assert set(listed("losses")) - {f"dpo.{name}" for name in LOSSES} == {
        "sft",
        "dpo",
        "reward_model",
        "preference_model",
        "preference_model.aux_confidence",
    }


def test_built_in_studies_are_listed_with_their_models() -> None:
    assert "smollm2-135m-instruct" in listed("studies")["quickstart"][1]


@pytest.mark.parametrize("what", CATALOGS)
def test_every_entry_is_described_with_the_settings_in_the_list(what: str) -> None:
    for name, _, settings in list_catalog(what):
        details = describe_catalog_entry(what, name)
        assert details.name == name and details.text
        if what not in ("studies", "losses"):
            assert " ".join(f"{each.name}={each.default}" for each in details.settings) == settings


def test_a_dpo_loss_is_described_with_the_settings_that_only_it_uses() -> None:
    assert [each.name for each in describe_catalog_entry("losses", "dpo.simpo").settings] == ["simpo_gamma"]
    assert "simpo_gamma" not in [each.name for each in describe_catalog_entry("losses", "dpo").settings]


def test_a_study_is_described_by_its_yaml() -> None:
    assert Study.parse(describe_catalog_entry("studies", "quickstart").text).name == "quickstart"


def test_an_unknown_name_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(StudyError, match=r"annotators: unknown name 'semm'; did you mean 'seam'\? \(expected one of: "):
        describe_catalog_entry("annotators", "semm")
    with pytest.raises(StudyError, match="losses: unknown name 'a:B'"):
        describe_catalog_entry("losses", "a:B")


def test_an_unknown_list_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(
        StudyError, match=r"unknown list 'anotators'; did you mean 'annotators'\? \(expected one of: annotators, "
    ):
        list_catalog("anotators")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One. Two.", "One."),
        ("As in\n    eq. 5 of it. Then more.", "As in eq. 5 of it."),
        ("No full stop\n\nAnother paragraph.", "No full stop"),
        ("Ends here. `code` follows.", "Ends here."),
        (None, ""),
    ],
)
def test_the_first_sentence_ends_before_the_next_one(text: str | None, sentence: str) -> None:
    assert extract_first_sentence(text) == sentence


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from trimtab.cli.catalog import CATALOGS, list_catalog; "
        "[list_catalog(name) for name in CATALOGS]; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
