"""Responses depend on the prompt, the seed and the model only."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, Gemma3TextConfig, LlamaConfig

from trimtab.core.component import validate_settings
from trimtab.errors import ModelError, StudyError
from trimtab.models.inference.decoding import restrict_to_nucleus, sample_tokens
from trimtab.models.inference.generate import sample_completions
from trimtab.models.inference.sampling import Sampling
from trimtab.types import Completion, Prompt, build_user_prompt

SHAPE: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE),
    "gemma3": Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=5, query_pre_attn_scalar=8),
}
END = 3
BLOOM = BloomConfig(vocab_size=40, hidden_size=32, n_layer=2, n_head=4)


class NumberTokenizer:
    """A chat tokenizer for prompts of numbers: `4 9 12` is the tokens 4, 9, 12."""

    stop_token_ids = (END,)

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        return [int(word) for word in prompt[0].content.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


PROMPTS = [
    (str(index), build_user_prompt(text)) for index, text in enumerate(["4 9 12", "5", "6 7 8 9 10 11 12 13", "14 15"])
]


def tiny(name: str) -> Any:
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    return model


def generate_completions(model: Any, prompts: Any = PROMPTS, **sampling: Any) -> dict[str, Completion]:
    chat: Any = NumberTokenizer()
    settings = Sampling(**{"max_new_tokens": 12, **sampling})
    batches = sample_completions(model, chat, prompts, settings, 64)
    return {each.completion.prompt_id: each.completion for batch in batches for each in batch}


def generate_responses(model: Any, prompts: Any, **sampling: Any) -> dict[str, str]:
    return {key: completion.text for key, completion in generate_completions(model, prompts, **sampling).items()}


def test_a_model_without_mask_support_is_rejected_before_generation() -> None:
    with pytest.raises(
        ModelError, match=r"BloomForCausalLM can be scored and trained, but cannot generate or be prompted"
    ):
        generate_responses(AutoModelForCausalLM.from_config(BLOOM).eval(), PROMPTS)


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_responses_equal_those_of_transformers(name: str) -> None:
    model = tiny(name)
    responses = generate_responses(model, PROMPTS, temperature=0)
    for key, prompt in PROMPTS:
        ids = torch.tensor([NumberTokenizer().encode_prompt(prompt)])
        expected = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=0,
        )
        assert responses[key] == " ".join(map(str, expected[0, ids.shape[1] :].tolist()))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_log_probability_of_a_response_is_that_of_its_tokens_at_temperature_1(name: str) -> None:
    model, chat = tiny(name), NumberTokenizer()
    settings = Sampling(temperature=0.7, max_new_tokens=40)
    batches = sample_completions(model, chat, PROMPTS, settings, 64)  # type: ignore[arg-type]
    for sampled in (each for batch in batches for each in batch):
        prompt = chat.encode_prompt(sampled.completion.prompt)
        ids = [*prompt, *sampled.token_ids]
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(float(logprobs[place - 1, ids[place]]) for place in range(len(prompt), len(ids)))
        assert sampled.logprob == pytest.approx(expected, abs=1e-3)


def test_a_response_does_not_depend_on_the_other_prompts_or_their_order() -> None:
    model = tiny("llama")
    responses = generate_responses(model, PROMPTS, temperature=1.0)
    assert generate_responses(model, PROMPTS[::-1], temperature=1.0) == responses
    for prompt_id, prompt in PROMPTS:
        single = generate_responses(model, [(prompt_id, prompt)], temperature=1.0)
        assert single == {prompt_id: responses[prompt_id]}


def test_another_seed_gives_other_responses() -> None:
    model = tiny("llama")
    assert generate_responses(model, PROMPTS, temperature=1.0, seed=1) != generate_responses(
        model, PROMPTS, temperature=1.0, seed=2
    )


@pytest.mark.parametrize("words", [slice(3, 5), slice(8, 11), slice(40, 42)])
def test_a_response_ends_before_the_first_stop_text(words: slice) -> None:
    model = tiny("llama")
    options = {"temperature": 1.0, "max_new_tokens": 60}
    full = generate_completions(model, **options)
    stop = " " + " ".join(max((each.text.split() for each in full.values()), key=len)[words])
    stopped = generate_completions(model, **options, stop=(stop, "unused text"))
    cut = [key for key, completion in full.items() if stop in completion.text]
    assert cut
    for key, completion in full.items():
        assert stopped[key].text == completion.text.partition(stop)[0].rstrip()
        if key in cut:
            assert stopped[key].finish_reason == "end"
            assert stopped[key].n_tokens == len(stopped[key].text.split()) + len(stop.split())
        else:
            assert stopped[key] == completion


def test_white_space_of_a_stop_text_is_not_needed_at_the_start_of_a_response() -> None:
    model = tiny("llama")
    first = generate_completions(model, temperature=0.0)["1"].text.split()[0]
    stopped = generate_completions(model, temperature=0.0, stop=(f"\n\n{first}",))["1"]
    assert (stopped.text, stopped.n_tokens, stopped.finish_reason) == ("", 1, "end")


def test_the_nucleus_has_the_fewest_tokens_with_the_requested_probability() -> None:
    probabilities = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    # sorted: 0.4, 0.3, 0.2, 0.1; together 0.4, 0.7, 0.9, 1
    for top_p, rows in {
        0.3: [[0, 0.4, 0, 0], [0.25, 0.25, 0, 0]],
        0.45: [[0, 0.4, 0, 0.3], [0.25, 0.25, 0, 0]],
        0.71: [[0, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0]],
        0.95: [[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]],
    }.items():
        assert restrict_to_nucleus(probabilities, top_p).tolist() == rows


def test_samples_of_the_nucleus_have_its_renormalized_probabilities() -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(20_000, -1)
    rngs = [random.Random(row) for row in range(20_000)]
    shares = sample_tokens(logits, rngs, 1.0, 0.7).bincount(minlength=4) / 20_000
    # 0.4 / 0.7 and 0.3 / 0.7; three standard errors are 0.0105
    assert shares.tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=0.0105)
    # temperature 0.5 squares the probabilities before the nucleus: 0.01, 0.16, 0.04, 0.09 of 0.3, so that 0.8 needs two
    shares = sample_tokens(logits, rngs, 0.5, 0.8).bincount(minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0, 16 / 25, 0, 9 / 25], abs=0.0105)
    assert torch.equal(sample_tokens(logits, [random.Random(row) for row in range(20_000)], 0.0), logits.argmax(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0, "top_p": 0.9}, "top_p: unused, since temperature: 0 always takes the most probable token"),
        ({"top_p": 0}, "top_p: must be greater than 0"),
        ({"stop": [" \n"]}, "stop: expected texts with more than white space"),
    ],
)
def test_sampling_settings_without_effect_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=f"^{message}"):
        validate_settings(Sampling, settings)


def test_a_completion_has_its_finish_reason() -> None:
    model, chat = tiny("llama"), NumberTokenizer()
    settings = Sampling(temperature=1.0, max_new_tokens=60)
    for batch in sample_completions(model, chat, PROMPTS, settings, 64):  # type: ignore[arg-type]
        for completion in (sampled.completion for sampled in batch):
            ended = completion.text.split()[-1] == str(END)
            assert completion.finish_reason == ("end" if ended else "length")
            assert completion.n_tokens == len(completion.text.split())
            assert ended or completion.n_tokens == 60
