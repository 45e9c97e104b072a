"""Load a full or truncated model, and a tokenizer with a chat template, from weights on disk."""

from __future__ import annotations

import json
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
    LlamaForSequenceClassification,
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
GENERATION_PROMPT = "\n\n### Assistant:\n"


def save_tiny(folder: Path, family: str) -> ResolvedWeights:
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
def test_a_truncated_model_computes_the_first_layers_of_the_full_model(
    tmp_path: Path, family: str, layers: int
) -> None:
    weights = save_tiny(tmp_path, family)
    full, truncated = load_model(settings(), weights), load_model(settings(layers=layers), weights)
    expected, actual = hidden_states(full), hidden_states(truncated)
    assert len(actual) == layers + 1
    for depth in range(layers):
        torch.testing.assert_close(actual[depth], expected[depth], rtol=0, atol=0)
    with torch.no_grad():
        normed = full.get_submodule(FINAL_NORM[family])(expected[layers])
    torch.testing.assert_close(actual[-1], normed, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", TINY)
def test_a_truncated_model_generates_with_its_cache_and_saves_with_its_own_depth(tmp_path: Path, family: str) -> None:
    truncated = load_model(settings(layers=2), save_tiny(tmp_path / "full", family))
    generated = [
        truncated.generate(
            IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=4, do_sample=False, use_cache=use_cache
        )
        for use_cache in (True, False)
    ]
    assert generated[0].tolist() == generated[1].tolist()
    truncated.save_pretrained(tmp_path / "truncated")
    reloaded = load_model(
        settings(), ResolvedWeights(folder=tmp_path / "truncated", content_hash="", name="truncated", license="")
    )
    assert reloaded.config.num_hidden_layers == 2
    torch.testing.assert_close(hidden_states(reloaded)[-1], hidden_states(truncated)[-1])


def test_keeping_all_layers_changes_nothing(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path, "llama")
    full, all_layers = load_model(settings(), weights), load_model(settings(layers=LAYERS), weights)
    torch.testing.assert_close(hidden_states(all_layers)[-1], hidden_states(full)[-1], rtol=0, atol=0)


def test_too_many_layers_is_an_error_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tiny llama has 4 decoder layers, fewer than the 5 to keep"):
        load_model(settings(layers=5), save_tiny(tmp_path, "llama"))


@pytest.mark.parametrize("family", TINY)
def test_a_config_with_fewer_layers_than_the_weights_is_an_error(tmp_path: Path, family: str) -> None:
    weights = save_tiny(tmp_path, family)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    key = "n_layer" if family == "gpt2" else "num_hidden_layers"
    path.write_text(json.dumps({name: value for name, value in config.items() if name != "layer_types"} | {key: 2}))
    with pytest.raises(ModelError, match=r"has 2 layers \(num_hidden_layers\), but the weights have 4"):
        load_model(settings(), weights)


def test_a_reward_model_is_no_language_model_even_if_it_has_all_weights(tmp_path: Path) -> None:
    config = LlamaConfig(**SAME, **DEEP, intermediate_size=64, tie_word_embeddings=True, num_labels=1)
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    weights = ResolvedWeights(folder=tmp_path, content_hash="tiny", name="tiny reward model", license="none")
    with pytest.raises(ModelError, match="LlamaForSequenceClassification, which scores texts and writes none"):
        load_model(settings(), weights)


def test_a_model_is_loaded_in_evaluation_mode_with_the_requested_dtype(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path, "llama")
    for name, dtype in {"bfloat16": torch.bfloat16, "float32": torch.float32}.items():
        model = load_model(settings(dtype=name), weights)
        assert (model.training, model.dtype) == (False, dtype)
    automatic = settings(dtype="auto")
    assert load_model(automatic, weights).dtype == getattr(torch, resolve_dtype_name(automatic, "cpu"))


def test_mps_uses_float32_by_default() -> None:
    assert resolve_dtype_name(settings(dtype="auto"), "mps") == "float32"
    assert resolve_dtype_name(settings(dtype="float16"), "mps") == "float16"


def test_missing_weights_are_an_error_and_never_initialized_at_random(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path, "llama")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .*model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(settings(), weights)


def test_loading_prints_nothing_and_restores_the_loggers(tmp_path: Path) -> None:
    save_tiny(tmp_path, "llama")
    tokenizer_folder(tmp_path)
    code = f"""
from pathlib import Path
from trimtab.models.loading import load_model
from trimtab.models.config import Model, resolve_weights
from transformers.utils import logging
before = logging.get_verbosity(), logging.is_progress_bar_enabled()
load_model(Model(base={str(tmp_path)!r}), resolve_weights(Model(base={str(tmp_path)!r}), print))
assert before == (logging.get_verbosity(), logging.is_progress_bar_enabled())
"""
    completed = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")
    assert logging.getLogger("transformers").level != logging.ERROR


def tokenizer_folder(
    folder: Path, *, adds_bos: bool = False, template: str | None = None, has_eos: bool = True
) -> ResolvedWeights:
    """A byte-level tokenizer without merges: every text round-trips, and no token crosses a boundary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<s>", "</s>"]
    raw = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(specials + alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    if adds_bos:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    named = {"bos_token": "<s>", "eos_token": "</s>"} if has_eos else {"bos_token": "<s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, **named)
    fast.chat_template = template
    fast.save_pretrained(folder)
    return ResolvedWeights(folder=folder, content_hash="", name="tiny", license="")


def render(tokenizer: Any, conversation: list[dict[str, str]], *, answer: bool = False) -> str:
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=answer)
    assert isinstance(text, str)
    return text


def test_a_base_model_gets_a_template_with_ended_turns_and_a_generation_prompt(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path))
    assert render(tokenizer, CONVERSATION) == RENDERED
    assert render(tokenizer, CONVERSATION, answer=True) == RENDERED + GENERATION_PROMPT


def test_a_prompt_is_an_exact_prefix_of_the_prompt_with_its_response(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path))
    prompt = render(tokenizer, CONVERSATION, answer=True)
    answered = render(tokenizer, [*CONVERSATION, {"role": "assistant", "content": "See you"}])
    assert answered == prompt + "See you</s>"


def test_the_template_writes_the_bos_token_if_the_tokenizer_does(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path, adds_bos=True))
    assert render(tokenizer, CONVERSATION) == "<s>" + RENDERED
    ids = tokenizer.apply_chat_template(CONVERSATION, return_dict=False)
    assert ids == tokenizer(RENDERED)["input_ids"]


def test_an_unknown_role_is_rejected(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(settings(), tokenizer_folder(tmp_path))
    with pytest.raises(Exception, match="no role judge in a conversation"):
        render(tokenizer, [{"role": "judge", "content": "x"}])


def test_the_pad_token_defaults_to_the_eos_token(tmp_path: Path) -> None:
    assert load_tokenizer(settings(), tokenizer_folder(tmp_path)).pad_token_id == 1


def test_a_tokenizer_without_an_eos_token_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no EOS token"):
        load_tokenizer(settings(), tokenizer_folder(tmp_path, has_eos=False))


def test_a_model_uses_its_own_template_unless_another_is_set(tmp_path: Path) -> None:
    weights = tokenizer_folder(tmp_path / "m", template="own {{ messages[0]['content'] }}")
    named = tmp_path / "named.jinja"
    named.write_text("named {{ messages[0]['content'] }}")
    conversation = CONVERSATION[1:2]
    assert render(load_tokenizer(settings(), weights), conversation) == "own Hi"
    assert render(load_tokenizer(settings(chat_template=str(named)), weights), conversation) == "named Hi"
    assert render(load_tokenizer(settings(chat_template="trimtab"), weights), conversation) == "### User:\nHi"


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
    assert render(tokenizer, CONVERSATION, answer=True).endswith("<|im_start|>assistant\n")


@pytest.mark.slow
def test_smollm2_continues_a_plain_list() -> None:
    model = settings(base=SMOLLM2.name)
    weights = resolve_weights(model, lambda _: None)
    loaded, tokenizer = load_model(model, weights), load_tokenizer(model, weights)
    conversation = [{"role": "user", "content": "Name three colors."}]
    batch = tokenizer.apply_chat_template(
        conversation, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    generated = loaded.generate(**batch, max_new_tokens=16, do_sample=False)[0, batch["input_ids"].shape[1] :]
    assert "Blue" in tokenizer.decode(generated)
