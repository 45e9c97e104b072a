"""Regressors score a candidate against a reference, as BLEURT does. Models without such a head are rejected."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bert import create_encoder, create_regressor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError
from trimtab.models.embeddings.pair_regressor import load_pair_regressor, require_one_output
from trimtab.models.embeddings.registry import fetch_regressor

REFERENCES = ["Tea is hot.", "Tea.", "A longer text about tea and cake, with milk."]
CANDIDATES = ["Tea is warm.", "", "Tea."]


@pytest.fixture(scope="module")
def regressor(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_regressor(tmp_path_factory.mktemp("regressors") / "tiny", tiny_model)


def score_with_transformers(folder: Path, reference: str, candidate: str) -> float:
    """The score computed as in the model card of BLEURT's conversion, one pair at a time."""
    inputs = AutoTokenizer.from_pretrained(folder)(
        reference, candidate, return_tensors="pt", truncation="longest_first", max_length=40
    )
    with torch.no_grad():
        return float(AutoModelForSequenceClassification.from_pretrained(folder).eval()(**inputs)[0].squeeze())


def test_a_score_is_that_of_transformers_and_does_not_depend_on_other_pairs(regressor: Path) -> None:
    score = load_pair_regressor(regressor, "cpu")
    expected = [score_with_transformers(regressor, *texts) for texts in zip(REFERENCES, CANDIDATES, strict=True)]
    assert max(expected) - min(expected) > 0.1
    for token_budget in (1, 1000):
        assert score(REFERENCES, CANDIDATES, token_budget).values.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_reference_comes_first(regressor: Path) -> None:
    score = load_pair_regressor(regressor, "cpu")
    forward, backward = score(["Tea.", "Milk"], ["Milk", "Tea."], 1000).values.tolist()
    assert forward == pytest.approx(score_with_transformers(regressor, "Tea.", "Milk"), abs=1e-5)
    assert abs(forward - backward) > 0.01


def test_pairs_longer_than_the_maximum_are_truncated_and_counted(regressor: Path) -> None:
    score = load_pair_regressor(regressor, "cpu")
    assert score.max_length == 40
    assert score(REFERENCES, CANDIDATES, 1000).truncated == (False, False, True)


def test_a_model_with_several_outputs_or_without_a_head_is_rejected(tiny_model: Path, tmp_path: Path) -> None:
    two = create_regressor(tmp_path / "two", tiny_model, num_labels=2)
    with pytest.raises(ModelError, match="two: a model with 2 outputs; a regressor such as BLEURT has one"):
        require_one_output(two)
    headless = create_regressor(tmp_path / "headless", tiny_model)
    weights = load_file(headless / "model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if not name.startswith("classifier")},
        headless / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelError, match=r"not a regressor: the weights do not contain classifier\.bias"):
        load_pair_regressor(headless, "cpu")


def test_weights_in_the_format_of_the_published_conversions_are_converted(
    regressor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conversions of BLEURT have only `pytorch_model.bin`, with a buffer that newer classes do not have."""
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    published = shutil.copytree(regressor, tmp_path / "published")
    weights = load_file(published / "model.safetensors")
    torch.save({**weights, "bert.embeddings.position_ids": torch.arange(40)[None]}, published / "pytorch_model.bin")
    (published / "model.safetensors").unlink()
    folder = fetch_regressor(str(published), lambda message: None)
    converted, original = (
        load_pair_regressor(each, "cpu")(REFERENCES, CANDIDATES, 1000).values.tolist() for each in (folder, regressor)
    )
    assert converted == pytest.approx(original, abs=1e-6)


def test_a_regressor_is_checked_before_any_work(tiny_model: Path, tmp_path: Path, runtime: Runtime) -> None:
    encoder = create_encoder(tmp_path / "encoder", tiny_model)
    regressor = create_regressor(tmp_path / "regressor", tiny_model)
    ResponseSimilarity(encoder=None, regressor=str(regressor)).preflight(runtime)
    with pytest.raises(ModelError, match="a model with 2 outputs"):
        ResponseSimilarity(encoder=None, regressor=str(encoder)).preflight(runtime)
    with pytest.raises(ModelError, match=r"the regressor '.*nowhere' is not available"):
        ResponseSimilarity(encoder=None, regressor=str(tmp_path / "nowhere")).preflight(runtime)
