"""Weights on disk become a model that predicts, whole or cut, and a tokenizer that can hold a conversation."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from trimtab.errors import ModelError
from trimtab.models.config import Model, ResolvedWeights, resolve_weights
from trimtab.models.loading import load_model, load_tokenizer, resolve_dtype_name
from trimtab.models.sources.download_cache import compute_sha256
from trimtab.models.sources.registry import SMOLLM2

VOCABULARY, WIDTH, LAYERS = 64, 32, 4
SAME: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_attention_heads": 4}
DEEP: dict[str, Any] = {"num_hidden_layers": LAYERS, "max_position_embeddings": 64}
GEMMA: dict[str, Any] = {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 8, "pad_token_id": 0}
TINY: dict[str, tuple[type[PreTrainedModel], Any]] = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SAME, **DEEP, intermediate_size=64, num_key_value_heads=2)),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(**SAME, **DEEP, **GEMMA, intermediate_size=64)),
    "gpt2": (GPT2LMHeadModel, GPT2Config(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=4, n_layer=LAYERS)),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig(**SAME, **DEEP, intermediate_size=64)),
    "opt": (OPTForCausalLM, OPTConfig(**SAME, **DEEP, ffn_dim=64, word_embed_proj_dim=WIDTH)),
}
FINAL_NORM = {
    "llama": "model.norm",
    "gemma3": "model.norm",
    "gpt2": "transformer.ln_f",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "opt": "model.decoder.final_layer_norm",
}
IDS = torch.tensor([[3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 9]])

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Bye"},
]
RENDERED = "### System:\nBe brief.\n\n### User:\nHi\n\n### Assistant:\nYes?</s>\n\n### User:\nBye"
ANSWER_BEGINS = "\n\n### Assistant:\n"


def saved(folder: Path, family: str) -> ResolvedWeights:
    torch.manual_seed(0)
    architecture, config = TINY[family]
    architecture(config).save_pretrained(folder)
    return ResolvedWeights(folder=folder, content_hash="tiny", name=f"tiny {family}", license="none")


def hidden_states(model: PreTrainedModel) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return tuple(model(IDS, output_hidden_states=True).hidden_states)


def settings(**changed: Any) -> Model:
    return Model.model_validate({"base": "org/name", "dtype": "float32"} | changed)


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_cut_model_computes_what_the_first_layers_of_the_whole_one_do(
    tmp_path: Path, family: str, layers: int
) -> None:
    weights = saved(tmp_path, family)
    whole, cut = load_model(settings(), weights), load_model(settings(layers=layers), weights)
    expected, found = hidden_states(whole), hidden_states(cut)
    assert len(found) == layers + 1
    for depth in range(layers):
        torch.testing.assert_close(found[depth], expected[depth], rtol=0, atol=0)
    with torch.no_grad():
        normed = whole.get_submodule(FINAL_NORM[family])(expected[layers])
    torch.testing.assert_close(found[-1], normed, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", TINY)
def test_a_cut_model_generates_with_its_cache_and_saves_as_a_model_of_its_depth(tmp_path: Path, family: str) -> None:
    cut = load_model(settings(layers=2), saved(tmp_path / "whole", family))
    said = [
        cut.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=4, do_sample=False, use_cache=use_cache)
        for use_cache in (True, False)
    ]
    assert said[0].tolist() == said[1].tolist()
    cut.save_pretrained(tmp_path / "cut")
    again = load_model(settings(), ResolvedWeights(folder=tmp_path / "cut", content_hash="", name="cut", license=""))
    assert again.config.num_hidden_layers == 2
    torch.testing.assert_close(hidden_states(again)[-1], hidden_states(cut)[-1])


def test_keeping_all_layers_changes_nothing(tmp_path: Path) -> None:
    weights = saved(tmp_path, "llama")
    whole, kept = load_model(settings(), weights), load_model(settings(layers=LAYERS), weights)
    torch.testing.assert_close(hidden_states(kept)[-1], hidden_states(whole)[-1], rtol=0, atol=0)


def test_more_layers_than_there_are_is_an_error_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tiny llama has 4 decoder layers, fewer than the 5 to keep"):
        load_model(settings(layers=5), saved(tmp_path, "llama"))


def test_a_model_comes_in_evaluation_mode_in_the_type_asked_for(tmp_path: Path) -> None:
    weights = saved(tmp_path, "llama")
    for name, dtype in {"bfloat16": torch.bfloat16, "float32": torch.float32}.items():
        model = load_model(settings(dtype=name), weights)
        assert (model.training, model.dtype) == (False, dtype)
    automatic = settings(dtype="auto")
    assert load_model(automatic, weights).dtype == getattr(torch, resolve_dtype_name(automatic, "cpu"))


def test_metal_is_given_float32_unless_told_otherwise() -> None:
    assert resolve_dtype_name(settings(dtype="auto"), "mps") == "float32"
    assert resolve_dtype_name(settings(dtype="float16"), "mps") == "float16"


def test_weights_left_out_are_an_error_and_never_drawn_at_random(tmp_path: Path) -> None:
    weights = saved(tmp_path, "llama")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .*model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(settings(), weights)


def test_loading_prints_nothing_and_leaves_the_loggers_as_they_were(tmp_path: Path) -> None:
    saved(tmp_path, "llama")
    code = f"""
from pathlib import Path
from trimtab.models.loading import load_model
from trimtab.models.config import Model, resolve_weights
from transformers.utils import logging
before = logging.get_verbosity(), logging.is_progress_bar_enabled()
load_model(Model(base={str(tmp_path)!r}), resolve_weights(Model(base={str(tmp_path)!r}), print))
assert before == (logging.get_verbosity(), logging.is_progress_bar_enabled())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert logging.getLogger("transformers").level != logging.ERROR


def tokenizer_folder(
    folder: Path, *, begins: bool = False, template: str | None = None, ends: bool = True
) -> ResolvedWeights:
    """A byte-level tokenizer without merges: every text round-trips, and no token hides a boundary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<s>", "</s>"]
    raw = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(specials + alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    if begins:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    named = {"bos_token": "<s>", "eos_token": "</s>"} if ends else {"bos_token": "<s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, **named)
    fast.chat_template = template
    fast.save_pretrained(folder)
    return ResolvedWeights(folder=folder, content_hash="", name="tiny", license="")


def rendered(tokenizer: Any, conversation: list[dict[str, str]], *, answer: bool = False) -> str:
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=answer)
    assert isinstance(text, str)
    return text


def test_a_base_model_gets_turns_that_end_and_a_place_to_answer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path))
    assert rendered(tokenizer, CONVERSATION) == RENDERED
    assert rendered(tokenizer, CONVERSATION, answer=True) == RENDERED + ANSWER_BEGINS


def test_a_prompt_is_the_exact_beginning_of_the_prompt_with_its_answer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path))
    prompt = rendered(tokenizer, CONVERSATION, answer=True)
    answered = rendered(tokenizer, [*CONVERSATION, {"role": "assistant", "content": "See you"}])
    assert answered == prompt + "See you</s>"


def test_the_template_begins_as_the_tokenizer_begins_a_text(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path, begins=True))
    assert rendered(tokenizer, CONVERSATION) == "<s>" + RENDERED
    ids = tokenizer.apply_chat_template(CONVERSATION, return_dict=False)
    assert ids == tokenizer(RENDERED)["input_ids"]


def test_a_role_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path))
    with pytest.raises(Exception, match="no role judge in a conversation"):
        rendered(tokenizer, [{"role": "judge", "content": "x"}])


def test_the_pad_token_is_the_end_token_where_there_is_none(tmp_path: Path) -> None:
    assert load_tokenizer(settings(), tokenizer_folder(tmp_path)).pad_token_id == 1


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no EOS token"):
        load_tokenizer(settings(), tokenizer_folder(tmp_path, ends=False))


def test_a_model_keeps_its_own_template_unless_another_is_named(tmp_path: Path) -> None:
    weights = tokenizer_folder(tmp_path / "m", template="own {{ messages[0]['content'] }}")
    named = tmp_path / "named.jinja"
    named.write_text("named {{ messages[0]['content'] }}")
    conversation = CONVERSATION[1:2]
    assert rendered(load_tokenizer(settings(), weights), conversation) == "own Hi"
    assert rendered(load_tokenizer(settings(chat_template=str(named)), weights), conversation) == "named Hi"
    assert rendered(load_tokenizer(settings(chat_template="trimtab"), weights), conversation) == "### User:\nHi"


@pytest.mark.slow
def test_smollm2_from_its_package_has_the_weights_that_agree_with_llama_cpp() -> None:
    model = settings(base=SMOLLM2.name, layers=20)
    weights = resolve_weights(model, lambda _: None)
    pinned = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
    assert compute_sha256(weights.folder / "model.safetensors") == pinned
    assert (weights.name, weights.license) == (SMOLLM2.name, "Apache-2.0")
    assert load_model(model, weights).config.num_hidden_layers == 20
    tokenizer = load_tokenizer(model, weights)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 2)
    assert rendered(tokenizer, CONVERSATION, answer=True).endswith("<|im_start|>assistant\n")


@pytest.mark.slow
def test_smollm2_continues_a_plain_list() -> None:
    model = settings(base=SMOLLM2.name)
    weights = resolve_weights(model, lambda _: None)
    loaded, tokenizer = load_model(model, weights), load_tokenizer(model, weights)
    conversation = [{"role": "user", "content": "Name three colors."}]
    batch = tokenizer.apply_chat_template(
        conversation, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    said = loaded.generate(**batch, max_new_tokens=16, do_sample=False)[0, batch["input_ids"].shape[1] :]
    assert "Blue" in tokenizer.decode(said)
