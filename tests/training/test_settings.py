"""What training is told: a setting that a loss does not read is an error, and one that is left out changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trimtab.config.training import LOSSES, DpoSettings, LossType, PreferenceModelSettings
from trimtab.core.component import validate_settings
from trimtab.errors import StudyError
from trimtab.pipeline.stage import identity_settings

# Each setting that not all losses read, with a value that is not its default.
TURNED = {"label_smoothing": 0.1, "gamma": 1.0, "length_penalty": 0.2, "dr_beta": 0.5}


def least(loss: LossType) -> dict[str, Any]:
    return {"loss": loss, **({"label_smoothing": 0.2} if loss == "robust" else {})}


def test_every_setting_of_a_loss_is_among_those_that_are_turned_here() -> None:
    assert {name for known in LOSSES.values() for name in known.used_settings} == set(TURNED)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", TURNED)
def test_a_setting_is_taken_by_the_losses_that_read_it_and_refused_by_the_others(loss: LossType, name: str) -> None:
    given = {**least(loss), name: TURNED[name]}
    if name in LOSSES[loss].used_settings:
        assert getattr(validate_settings(DpoSettings, given), name) == TURNED[name]
        return
    readers = " and ".join(each for each, known in LOSSES.items() if name in known.used_settings)
    line = f"arms.x.dpo.{name}: loss {loss} does not read it; {readers} would"
    with pytest.raises(StudyError, match=f"^{re.escape(line)}$"):
        validate_settings(DpoSettings, given, "arms.x.dpo")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"loss": "robust"}, "label_smoothing: loss robust needs a share above 0, or per_pair"),
        ({"loss": "robust", "label_smoothing": 0.1, "labels": "soft"}, "labels: loss robust corrects for doubt itself"),
        ({"label_smoothing": "per_pair"}, "label_smoothing: per_pair is for loss robust"),
        (
            {"labels": "soft", "label_smoothing": 0.1},
            "label_smoothing: labels: soft has each pair's own share of doubt",
        ),
        (
            {"label_smoothing": 0.5},
            "label_smoothing: must be a number of at least 0 and below 0.5, or per_pair, got 0.5",
        ),
        (
            {"label_smoothing": "each"},
            "label_smoothing: must be a number of at least 0 and below 0.5, or per_pair, got 'each'",
        ),
        ({"loss": "dpo"}, "loss: must be 'sigmoid', 'robust', 'ipo'"),
        ({"labels": "fuzzy"}, "labels: must be 'hard', 'soft' or 'weighted'"),
    ],
)
def test_doubt_in_a_label_is_told_once_and_in_numbers(given: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(line)}"):
        validate_settings(DpoSettings, given)


@pytest.mark.parametrize(
    "given",
    [
        {"loss": "robust", "label_smoothing": "per_pair"},
        {"loss": "robust", "label_smoothing": 0.1, "labels": "weighted"},
        {"label_smoothing": 0.1},
        {"loss": "simpo", "beta": 2.0, "gamma": 1.0},
        {"labels": "soft"},
    ],
)
def test_settings_survive_being_written_and_read(given: dict[str, Any]) -> None:
    recipe = validate_settings(DpoSettings, given)
    assert recipe.model_dump(mode="json", exclude_defaults=True) == given
    assert validate_settings(DpoSettings, recipe.model_dump(mode="json")) == recipe


def test_defaults_that_are_written_out_are_in_no_fingerprint() -> None:
    written = validate_settings(
        DpoSettings, {"loss": "sigmoid", "labels": "hard", "label_smoothing": 0, "gamma": 0.5, "dr_beta": 1.0}
    )
    assert identity_settings(written) == identity_settings(DpoSettings())
    assert identity_settings(validate_settings(PreferenceModelSettings, {"aux_confidence": None})) == identity_settings(
        PreferenceModelSettings()
    )


def test_an_auxiliary_loss_with_its_defaults_is_told_apart_from_none() -> None:
    given = validate_settings(PreferenceModelSettings, {"aux_confidence": {}})
    assert identity_settings(given) != identity_settings(PreferenceModelSettings())
    assert given == validate_settings(PreferenceModelSettings, {"aux_confidence": {"weight": 0.5, "warmup": 0.2}})


def test_an_auxiliary_loss_has_a_weight_above_zero() -> None:
    with pytest.raises(StudyError, match=r"^aux_confidence\.weight: must be greater than 0"):
        validate_settings(PreferenceModelSettings, {"aux_confidence": {"weight": 0}})
