"""A chat template that Trimtab cannot follow is an error with the reason, and its prompts are the same on every day."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import transformers.utils.chat_template_utils as template_utils
from chat_formats import FORMATS, ChatFormat, build_tokenizer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from trimtab.errors import ModelError, ToolCallError
from trimtab.models.chat import ChatTokenizer
from trimtab.models.chat_layout import fix_template_date, render_template
from trimtab.models.checkpoint import load_chat_tokenizer, load_checkpoint
from trimtab.models.config import Model, compute_model_hash
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.types import Message, build_user_prompt

SYSTEM = Message(role="system", content="Be brief.")
TURN = "{{ '<s>' + m['role'] + ' ' + m['content'] + '</s>' }}"
EACH = "{% for m in messages %}" + TURN + "{% endfor %}"
DATED = "{{ strftime_now('%d %b %Y') }}" + EACH
# The system turn is part of the last user turn, but only if that is the last turn.
LAST = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{% if loop.last and messages[0]['role'] == 'system' %}"
    "{{ messages[0]['content'] }}{% endif %}{{ '<s>' + m['content'] }}{% elif m['role'] == 'assistant' %}"
    "{{ '</s>' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
)


def open_chat(template: str, kind: str = "byte-level", system: str | None = None) -> ChatTokenizer:
    return ChatTokenizer.from_tokenizer(build_tokenizer(kind, ChatFormat(template)), system)


def write_template(folder: Path, template: str) -> Path:
    path = folder / "template.jinja"
    path.write_text(template, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages if m['role'] != 'assistant' %}" + TURN + "{% endfor %}", "omits the assistant turn"),
        ("{% for m in messages | reverse %}" + TURN + "{% endfor %}", "writes other messages after the answer"),
        (EACH + "{{ messages[-1]['content'] }}", "the answer twice"),
        ("{% for m in messages %}{{ m['content'] }} ### End{% endfor %}", "no control token"),
        ("{% for m in messages %}{{ '<s>' + m['content'] | upper + '</s>' }}{% endfor %}", "own rendering"),
        ("{% for m in messages %}{{ '<s>' + m['content'][:9] + '</s>' }}{% endfor %}", "own rendering"),
        ("{% for m in messages %", "rejects a conversation with the turns user, assistant"),
        ("{{ messages['x']['y'] }}", "rejects a conversation with the turns user, assistant"),
        ("{{ 1 // 0 }}", "rejects a conversation with the turns user, assistant"),
        ("{{ raise_exception('only poems') }}", "user, assistant: only poems"),
    ],
)
def test_a_template_that_cannot_be_followed_is_an_error_with_the_reason(template: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        open_chat(template)
    assert "set `chat_template`" in str(caught.value)


def test_an_answer_that_would_merge_with_the_template_is_an_error() -> None:
    letters = sorted(set("Name a color.Blue.whome(1) Is it 7?2 of them!- a\n- b* c)"))
    vocabulary = {token: index for index, token in enumerate(["<s>", "</s>", *letters, "am"])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "m")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")  # noqa: S106
    tokenizer.chat_template = "{% for m in messages %}{{ 'a' + m['content'] + '</s>' }}{% endfor %}"
    with pytest.raises(ModelError, match="cannot be split into prompt and response") as caught:
        ChatTokenizer.from_tokenizer(tokenizer)
    assert "['a', 'm', 'e', '</s>'], but ['am', 'e', '</s>']" in str(caught.value)


@pytest.mark.parametrize("name", [name for name, chat_format in FORMATS.items() if not chat_format.has_system])
def test_a_system_turn_that_the_template_rejects_is_an_error_when_a_prompt_has_one(name: str) -> None:
    chat = ChatTokenizer.from_tokenizer(build_tokenizer("byte-level", FORMATS[name]))
    with pytest.raises(ModelError, match="rejects a conversation with the turns system, user, assistant"):
        chat.encode_prompt((SYSTEM, *build_user_prompt("Hi")))
    with pytest.raises(ModelError, match="rejects a conversation with the turns system, user, assistant"):
        ChatTokenizer.from_tokenizer(build_tokenizer("byte-level", FORMATS[name]), "Be brief.")


def test_a_system_turn_that_the_template_drops_is_an_error_when_a_prompt_has_one() -> None:
    chat = open_chat("{% for m in messages if m['role'] != 'system' %}" + TURN + "{% endfor %}")
    with pytest.raises(ModelError, match=r"omits the system turn .*or remove the system turns from the data"):
        chat.encode_prompt((SYSTEM, *build_user_prompt("Hi")))


def test_a_system_turn_that_disappears_once_there_is_an_answer_is_an_error() -> None:
    with pytest.raises(
        ModelError, match="writes the system turn of system, user, assistant only until there is an answer"
    ):
        open_chat(LAST).encode_prompt((SYSTEM, *build_user_prompt("Hi")))


def test_a_system_turn_in_the_last_user_turn_keeps_its_place() -> None:
    chat = ChatTokenizer.from_tokenizer(build_tokenizer("byte-level", FORMATS["mistral-3"]))
    history = (*build_user_prompt("One?"), Message(role="assistant", content="Two."), *build_user_prompt("Three?"))
    text = chat.tokenizer.decode(chat.encode_prompt((SYSTEM, *history)))
    assert text.index("Two.") < text.index("Be brief.") < text.index("Three?")


@pytest.mark.parametrize(("name", "opened"), [("qwen-3", True), ("deepseek-r1", False)])
def test_a_block_in_only_one_of_answer_and_generation_prompt_follows_the_answer(name: str, opened: bool) -> None:
    chat = ChatTokenizer.from_tokenizer(build_tokenizer("byte-level", FORMATS[name]))
    assert ("<think>" in chat.tokenizer.decode(chat.encode_prompt(build_user_prompt("Hi")))) is opened
    assert chat.note is not None
    assert "but its generation prompt is" in chat.note


def test_loading_a_model_reports_a_different_generation_prompt(tiny_model: Path, tmp_path: Path) -> None:
    template = write_template(tmp_path, EACH + "{% if add_generation_prompt %}<s>assistant Well,{% endif %}")
    notices: list[str] = []
    load_checkpoint(Model(base=str(tiny_model), chat_template=str(template)), notices.append, "cpu")
    assert len(notices) == 1
    assert "before an answer, but its generation prompt is '</s><s>assistant Well,'" in notices[0]


@pytest.mark.parametrize("code", ["%d %b %Y", "%Y-%m-%d", "%B %-d, %Y", "%A %H:%M:%S"])
def test_a_template_with_the_date_has_the_same_tokens_and_hash_on_every_day(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    class LaterDate(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> LaterDate:
            return cls(2031, 1, 2)

    template = "{% set code = '" + code + "' %}" + DATED.replace("'%d %b %Y'", "code")
    model = Model(base=str(tiny_model), chat_template=str(write_template(tmp_path, template)))

    def read() -> tuple[str | None, str]:
        chat = load_chat_tokenizer(model, print)
        return compute_model_hash(model), str(chat.tokenizer.decode(chat.encode_prompt(build_user_prompt("Hi"))))

    before = read()
    monkeypatch.setattr(template_utils, "datetime", LaterDate)
    assert read() == before
    assert datetime(2024, 7, 26).strftime(code) in before[1]


def test_the_fixed_date_leaves_other_templates_and_white_space_unchanged() -> None:
    assert fix_template_date(EACH) == EACH
    fixed = fix_template_date("\n  " + DATED)
    assert fix_template_date(fixed) == fixed
    tokenizer = build_tokenizer("byte-level", ChatFormat(fixed))
    assert render_template(tokenizer, [("user", "Hi")]) == "\n  26 Jul 2024<s>user Hi</s>"


def test_a_template_that_writes_nothing_after_an_answer_ends_it_with_the_eos_token() -> None:
    chat = open_chat("{% for m in messages %}{{ '<s>' + m['content'] + '\n' }}{% endfor %}")
    assert chat.end_of_turn_ids == (chat.tokenizer.eos_token_id,)


def test_text_of_a_prefill_continues_the_prompt_without_a_space_mark() -> None:
    chat = ChatTokenizer.from_tokenizer(build_tokenizer("space mark on every text", FORMATS["zephyr"]))
    assert chat.tokenizer.convert_ids_to_tokens(chat.encode_text("It is"))[0] != "▁"
    assert chat.encode_text("") == []
    assert chat.encode_response("It is me.")[: len(chat.encode_text("It is"))] == chat.encode_text("It is")


# As Qwen 3 does: the reasoning in an answer is written in the template's own form.
REWRITTEN = (
    "{% for m in messages %}{% set parts = m['content'].split('</think>') %}"
    "{% set text = '<think>\n' + parts[0].replace('<think>', '').strip() + '\n</think>\n\n' + parts[-1].strip() if "
    "parts | length > 1 else m['content'] %}{{ '<s>' + m['role'] + ' ' + text + '</s>' }}{% endfor %}"
)
REASONED = "<think>Hm.</think>It is me."


@pytest.mark.parametrize("chat_format", [FORMATS["deepseek-r1"], ChatFormat(REWRITTEN)], ids=["left out", "rewritten"])
def test_a_pair_whose_reasoning_the_template_changes_is_refused(chat_format: ChatFormat) -> None:
    chat, question = ChatTokenizer.from_tokenizer(build_tokenizer("byte-level", chat_format)), build_user_prompt("Who?")
    for first, second in ((REASONED, "No..."), ("No...", REASONED)):
        with pytest.raises(ToolCallError, match="the reasoning in an answer"):
            tokenize_pair(chat, question, first, second)
    earlier = (*question, Message(role="assistant", content=REASONED), *question)
    with pytest.raises(ToolCallError, match="the reasoning in an answer"):
        tokenize_pair(chat, earlier, "Yes", "No...")
    assert tokenize_pair(chat, question, "It is me.", "No...").second
    assert tokenize_pair(chat, question, REASONED).first  # a sampled response


def test_reasoning_that_the_template_writes_as_it_is_is_part_of_the_response() -> None:
    chat, question = open_chat(EACH), build_user_prompt("What does </think> mean?")
    pair = tokenize_pair(chat, question, REASONED, "No...")
    assert chat.decode(pair.first) == REASONED
