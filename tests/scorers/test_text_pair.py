"""A reward model without a chat template reads the prompt and the response as a text pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.models.scoring.text_pair import format_question
from trimtab.report.collect.rewards import describe_truncation
from trimtab.scorers.reward_model import RewardModel
from trimtab.types import Completion, Message, build_user_prompt

MAX_LENGTH = 40
SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
QUESTION, ANSWER = "Why is the sky blue?", "Air scatters light."  # 20 and 19 bytes, and 3 special tokens


@pytest.fixture(scope="module")
def deberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random DeBERTa-v2 classifier with one output, whose tokens are bytes."""
    folder = tmp_path_factory.mktemp("models") / "tiny-deberta"
    vocabulary = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(vocabulary)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    names = {"pad_token": "[PAD]", "bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(folder)
    config = DebertaV2Config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_LENGTH,
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        type_vocab_size=0,
        num_labels=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = DebertaV2ForSequenceClassification(config)
        for parameter in model.parameters():  # initial weights give every text nearly the same logit
            torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(folder)
    return folder


def build_scorer(folder: Path, **settings: str) -> RewardModel:
    model = Model(base=str(folder), dtype="float32")
    return RewardModel.model_validate({"model": model, "input_format": "text_pair", **settings})


def build_completion(question: str, answer: str) -> Completion:
    prompt = build_user_prompt(question)
    return Completion(prompt_id=question[:4], prompt=prompt, text=answer, n_tokens=1, finish_reason="end")


def compute_logit(folder: Path, ids: list[int]) -> float:
    model = DebertaV2ForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return float(model(torch.tensor([ids])).logits[0, 0])


def encode(folder: Path, text: str) -> list[int]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


def test_the_score_is_the_logit_of_the_tokenizers_question_and_answer(deberta: Path, runtime: Runtime) -> None:
    scorer = build_scorer(deberta)
    scorer.preflight(runtime)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(deberta)
    expected = compute_logit(deberta, tokenizer("Why blue?", ANSWER)["input_ids"])
    first, same, other = scorer.score(
        [
            build_completion("Why blue?", ANSWER),
            build_completion(" Why blue?\n", f" {ANSWER} "),
            build_completion("Why red?", ANSWER),
        ],
        runtime,
    )
    assert first.value == pytest.approx(expected, abs=1e-5)
    assert same.value == first.value
    assert abs((other.value or 0) - expected) > 1e-3


def test_text_of_a_response_never_becomes_a_special_token(deberta: Path, runtime: Runtime) -> None:
    answer = "a[SEP]b"
    ids = [1, *encode(deberta, "Why?"), 2, *encode(deberta, answer), 2]
    assert ids.count(2) == 2
    (score,) = build_scorer(deberta).score([build_completion("Why?", answer)], runtime)
    assert score.value == pytest.approx(compute_logit(deberta, ids), abs=1e-5)


def test_a_long_prompt_fails_or_loses_its_start_as_set(deberta: Path, runtime: Runtime) -> None:
    completion = build_completion(QUESTION, ANSWER)
    (failed,) = build_scorer(deberta).score([completion], runtime)
    assert (failed.status, failed.note) == ("failed", "42 tokens, but the reward model's maximum length is 40")
    ids = [1, *encode(deberta, QUESTION)[2:], 2, *encode(deberta, ANSWER), 2]
    assert len(ids) == MAX_LENGTH
    truncating = build_scorer(deberta, truncation="prompt_start")
    scores = truncating.score([completion, build_completion("Why?", "Air."), completion], runtime)
    assert scores[0].value == scores[2].value == pytest.approx(compute_logit(deberta, ids), abs=1e-5)
    assert [score.note for score in scores] == ["without the first 2 tokens of the prompt", "", scores[0].note]
    assert scores[1] == build_scorer(deberta).score([build_completion("Why?", "Air.")], runtime)[0]


def test_a_response_that_is_too_long_alone_fails_in_any_case(deberta: Path, runtime: Runtime) -> None:
    scorer = build_scorer(deberta, truncation="prompt_start")
    fits, failed = scorer.score([build_completion("Why", "a" * 36), build_completion("Why", "a" * 37)], runtime)
    assert (fits.status, fits.note) == ("ok", "without the first 2 tokens of the prompt")
    assert failed.note == "43 tokens, but the reward model's maximum length is 40, and 40 tokens are not the prompt's"


def test_several_turns_are_written_as_in_hh() -> None:
    prompt = (
        Message(role="user", content="Hi "),
        Message(role="assistant", content="Hello."),
        Message(role="user", content="Why?"),
    )
    assert format_question(prompt) == "Human: Hi\n\nAssistant: Hello.\n\nHuman: Why?"
    assert format_question(prompt[:1]) == "Hi"


def test_truncated_scores_are_counted_in_the_report() -> None:
    facts = [{"pairs": 10, "failed": 0, "truncated": 3}, {"prompts": 8, "failed": 1, "truncated": 2}, {"prompts": 8}]
    (warning,) = describe_truncation("gold", facts)
    assert warning.startswith("Gold reward gold read 5 of 36 responses without the start of their prompt")
    assert describe_truncation("gold", facts[2:]) == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"input_format": "chat", "truncation": "prompt_start"}, "prompt_start requires input_format: text_pair"),
        ({"model": {"base": "x", "chat_template": "trimtab"}}, "unused, since input_format is text_pair"),
        ({"truncation": "prompt_end"}, "'fail' or 'prompt_start'"),
    ],
)
def test_settings_that_have_no_effect_are_errors(deberta: Path, settings: dict[str, str], reason: str) -> None:
    with pytest.raises((ValueError, StudyError), match=reason):
        build_scorer(deberta, **settings)
