"""What ships can be listed, and the list is the truth: what it names can be built."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trimtab.cli.catalog import CATALOGS, describe_catalog_entry, extract_first_sentence, list_catalog
from trimtab.config.study import Study
from trimtab.config.training import LOSSES
from trimtab.core.component import list_kinds
from trimtab.errors import StudyError
from trimtab.models.sources.registry import REGISTERED_MODELS


def listed(what: str) -> dict[str, tuple[str, str]]:
    return {name: (meaning, settings) for name, meaning, settings in list_catalog(what)}


@pytest.mark.parametrize(
    ("what", "package"),
    [
        ("annotators", "annotators"),
        ("sources", "data"),
        ("filters", "filters"),
        ("engines", "engines"),
    ],
)
def test_every_kind_that_ships_is_listed(what: str, package: str) -> None:
    assert sorted(listed(what)) == list_kinds(package)


def test_scorers_and_judges_are_told_apart() -> None:
    assert set(listed("scorers")) & set(listed("judges")) == set()
    assert sorted([*listed("scorers"), *listed("judges")]) == list_kinds("evaluation")
    assert "engine=…" in listed("judges")["pairwise"][1]


@pytest.mark.parametrize("what", CATALOGS)
def test_everything_has_a_meaning_on_one_line(what: str) -> None:
    for meaning, settings in listed(what).values():
        assert meaning and "\n" not in meaning + settings


def test_settings_stand_as_they_are_typed_with_their_defaults() -> None:
    assert listed("annotators")["implicit_reward"][1] == "policy=@weak reference=@weak.sft beta=0.1"
    assert listed("annotators")["human"][1] == ""
    assert listed("sources")["file"][1].startswith("path=… layout=auto limit=null")


def test_models_say_their_license_and_what_they_take() -> None:
    assert set(listed("models")) == set(REGISTERED_MODELS)
    meaning, settings = listed("models")["smollm2-135m-instruct"]
    assert "Apache-2.0" in meaning and "0.5 GB" in meaning
    assert "layers=null" in settings and "revision" not in settings


def test_losses_carry_the_defaults_of_their_training() -> None:
    assert "beta=0.1 " in listed("losses")["dpo"][1]
    assert "warmup=0.1" in listed("losses")["sft"][1]


def test_every_loss_of_dpo_is_listed_with_what_it_alone_reads() -> None:
    of_dpo = {
        name.removeprefix("dpo."): told for name, (_, told) in listed("losses").items() if name.startswith("dpo.")
    }
    assert list(of_dpo) == list(LOSSES)
    assert of_dpo["simpo"] == "loss=simpo gamma=0.5"
    assert of_dpo["ipo"] == "loss=ipo"
    assert "gamma" not in listed("losses")["dpo"][1]
    assert set(listed("losses")) - {f"dpo.{name}" for name in LOSSES} == {
        "sft",
        "dpo",
        "reward",
        "preference",
        "preference.aux_confidence",
    }


def test_the_studies_that_ship_name_their_models() -> None:
    assert "smollm2-135m-instruct" in listed("studies")["quickstart"][1]


@pytest.mark.parametrize("what", CATALOGS)
def test_everything_on_a_list_is_described_with_the_settings_that_the_list_shows(what: str) -> None:
    for name, _, settings in list_catalog(what):
        found = describe_catalog_entry(what, name)
        assert found.name == name and found.text
        if what not in ("studies", "losses"):
            assert " ".join(f"{each.name}={each.default}" for each in found.settings) == settings


def test_a_loss_of_dpo_is_described_by_what_it_alone_reads() -> None:
    assert [each.name for each in describe_catalog_entry("losses", "dpo.simpo").settings] == ["gamma"]
    assert "gamma" not in [each.name for each in describe_catalog_entry("losses", "dpo").settings]


def test_a_study_is_described_by_its_yaml() -> None:
    assert Study.parse(describe_catalog_entry("studies", "quickstart").text).name == "quickstart"


def test_what_is_on_no_list_is_refused_with_the_near_one() -> None:
    with pytest.raises(StudyError, match=r"annotators: there is no 'semm' \(there are: .*\); did you mean 'seam'\?"):
        describe_catalog_entry("annotators", "semm")
    with pytest.raises(StudyError, match="losses: there is no 'a:B'"):
        describe_catalog_entry("losses", "a:B")


def test_an_unknown_list_is_refused_with_the_near_one() -> None:
    with pytest.raises(StudyError, match=r"no list of 'anotators' \(there are: annotators, .*'annotators'\?"):
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
def test_a_sentence_ends_where_another_begins(text: str | None, sentence: str) -> None:
    assert extract_first_sentence(text) == sentence


def test_listing_loads_no_torch() -> None:
    code = "import sys; from trimtab.cli.catalog import LISTS, catalog; [catalog(w) for w in LISTS]; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
