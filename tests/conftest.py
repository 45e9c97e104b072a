"""Shared fixtures: a tiny random model, and a complete study run with it once per session."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trimtab.core.runtime import ProgressTick, Runtime

if TYPE_CHECKING:
    from trimtab.config.study import Study

SPECIALS = ("<s>", "</s>", "<pad>")
STUDY = """
name: tiny
data: {{kind: starter, limit: 90}}
split: {{labeled: 0.5, test: 0.2, max_labeled: 12, max_unlabeled: 10, max_test: 6}}
models:
  weak: {{base: {model}, layers: 1, dtype: float32}}
  student: {{base: {model}, dtype: float32}}
training:
  sft: {{batch_size: 6, learning_rate: 1.0e-3}}
  dpo: {{batch_size: 6, learning_rate: 1.0e-3, lora_r: 2}}
generation: {{max_new_tokens: 4}}
scorers: {{checker: synthetic_checker}}
"""
JUDGES = """
judges:
  says-first: {kind: pairwise, engine: {kind: scripted, choice_weights: {".": [2, 1]}}}
judging: {human_agreement_pairs: 4, match_mismatch_pairs: 2}
"""


def pytest_collection_finish() -> None:
    """Keeps the collector from examining all tests and modules after every stage of every study."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_logprob_cache() -> Iterator[None]:
    """Tests do not share cached log-probabilities, except tests that set a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_LOGPROB_CACHE", "off")
        yield


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    def tick(done: int = 1) -> None:
        assert 0 <= done <= total, f"{label}: {done} of {total} {unit}"

    yield tick


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs small matrix products on one thread: distributing them takes longer, especially if the other core is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def notices() -> list[str]:
    """The messages passed to `runtime.notify` in this test."""
    return []


@pytest.fixture
def runtime(notices: list[str]) -> Iterator[Runtime]:
    with _one_thread():
        yield Runtime(progress=_bar, notify=notices.append)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama in float32 and a tokenizer whose tokens are bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIALS, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    bos, eos, pad = SPECIALS
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=bos, eos_token=eos, pad_token=pad)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,  # a token is a byte, and prompts with eleven principles are long
        bos_token_id=vocabulary[bos],
        eos_token_id=vocabulary[eos],
        pad_token_id=vocabulary[pad],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_study(tiny_model: Path) -> str:
    """The YAML of a study of a handful of pairs that trains for two steps."""
    return STUDY.format(model=tiny_model)


Ran = tuple["Study", Path]


@pytest.fixture(scope="session")
def run_whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Runs a study from its YAML, optionally on a copy of an existing run folder, and returns the study and its folder."""
    from trimtab.config.study import Study
    from trimtab.pipeline.executor import run_study

    def run_text(text: str, initial_folder: Path | None = None) -> Ran:
        study = Study.parse(text)
        folder = tmp_path_factory.mktemp("runs") / study.name
        if initial_folder is not None:
            shutil.copytree(initial_folder, folder)
        runtime = Runtime(progress=_bar, notify=lambda message: None)
        with _one_thread():
            run_study(study, folder, runtime, lambda index, total, name: None)
        return study, folder

    return run_text


@pytest.fixture(scope="session")
def finished_run(tiny_study: str, run_whole: Callable[[str], Ran]) -> Path:
    """The finished run folder of the tiny study. Tests only read it, except `export/`."""
    return run_whole(tiny_study)[1]


@pytest.fixture(scope="session")
def judged_run(finished_run: Path, tiny_study: str, run_whole: Callable[..., Ran]) -> Path:
    """The run folder of the tiny study with a judge that always prefers the first response; only its verdicts are new."""
    return run_whole(tiny_study + JUDGES, finished_run)[1]
