"""SEAM on tiny real models: two tokenizers, both variants, and the benchmark's plain engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from seam_script import custom_principles, pairs, seam

from benchmarks.seam_labels import PlainEngine
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import TransformersEngine
from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.prompts.principles import load_principles
from trimtab.prompts.seam import RESPONSE_CANDIDATES, OrderedPair, build_judgment_request
from trimtab.types import Annotation, EngineRequest, build_user_prompt

PAIRS = pairs(3)
SPECIALS = ("<s>", "</s>", "<pad>")
NAMES = ("Brief", "Calm", "Kind")


@pytest.fixture(scope="session")
def wordy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a word-level tokenizer, which splits no text like that of `tiny_model`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "wordy"
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator([each.text for each in load_principles()], trainer)
    bos, eos, pad = SPECIALS
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=bos, eos_token=eos, pad_token=pad)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=raw.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def engines(tiny_model: Path, wordy_model: Path, runtime: Runtime) -> Iterator[dict[str, TransformersEngine]]:
    yield {
        name: TransformersEngine(ModelRef(Model(base=str(folder), dtype="float32")).load(runtime.notify, "cpu"), 1024)
        for name, folder in (("weak", tiny_model), ("strong", wordy_model))
    }


def labels(engines: dict[str, Any], principles: str, **settings: Any) -> list[Annotation]:
    annotator = seam(
        principles=principles,
        helpful_only_labeler="weak",
        max_depth=2,
        max_thought_tokens=6,
        max_prompt_tokens=2000,
        **settings,
    )
    inputs: dict[str, Engine] = dict(engines)
    return annotator.annotate(PAIRS, AnnotatorInputs(engines=inputs))


@pytest.mark.parametrize("mode", ["paper", "released_code"])
def test_models_with_different_tokenizers_label_together(
    engines: dict[str, TransformersEngine], mode: str, tmp_path: Path
) -> None:
    weak, strong = (engines[name].loaded_model.chat.encode_text("The better response") for name in ("weak", "strong"))
    assert len(strong) < len(weak)
    for found in labels(engines, custom_principles(tmp_path, *NAMES), variant=mode):
        assert (found.status, found.note) == ("ok", "")
        assert found.p_a is not None
        assert 0 < found.p_a < 1
        nodes = found.detail["nodes"]
        assert len(nodes) >= 2
        assert all(set(node["chain"]) <= set(NAMES) and 0 < node["weight"] <= 1 for node in nodes)
        assert all(0 <= node["information"] <= 1 for node in nodes)


def test_mean_with_eos_on_a_real_model_is_a_quarter_of_the_difference(
    engines: dict[str, TransformersEngine], tmp_path: Path
) -> None:
    path = custom_principles(tmp_path, *NAMES)
    found = labels(engines, path, variant="released_code")[0]
    case, named = (
        OrderedPair.from_pair(PAIRS[0], found.detail["first"] == "a"),
        {each.name: each for each in load_principles(path)},
    )
    message = [node for node in found.detail["nodes"] if node["status"] != "empty"]
    assert message
    for node in message:
        asked = build_judgment_request(case, [named[name] for name in node["chain"]], node["thought"])
        (weighing,) = engines["strong"].score_choices([asked], [RESPONSE_CANDIDATES], include_end_of_turn=True)
        assert weighing.logprobs is not None
        first, second = weighing.logprobs
        assert node["p_first"] == pytest.approx(1 / (1 + math.exp((second - first) / 4)), abs=1e-5)


def test_the_benchmarks_plain_engine_gives_the_same_labels_in_float32(
    engines: dict[str, TransformersEngine], tmp_path: Path
) -> None:
    path = custom_principles(tmp_path, *NAMES)
    plain = {name: PlainEngine(engine.loaded_model, 1024) for name, engine in engines.items()}
    ours, others = (labels(each, path, variant="released_code") for each in (engines, plain))
    for one, other in zip(ours, others, strict=True):
        assert (one.choice, one.status) == (other.choice, other.status)
        assert one.p_a == pytest.approx(other.p_a, abs=1e-4)
        for name in ("chain", "thought", "kept"):
            assert [node[name] for node in one.detail["nodes"]] == [node[name] for node in other.detail["nodes"]]


def test_a_request_beyond_the_weak_models_context_window_fails_its_pair(
    engines: dict[str, TransformersEngine], tmp_path: Path
) -> None:
    engines["weak"].loaded_model.model.config.max_position_embeddings = 200
    for found in labels(engines, custom_principles(tmp_path, *NAMES)):
        assert found.status == "failed"
        assert found.note.endswith("the model's maximum length is 200")
    assert (
        engines["weak"].generate([EngineRequest(prompt=build_user_prompt("Yes?"))], max_new_tokens=2)[0].status == "ok"
    )
