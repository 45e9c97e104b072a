"""Tiny tokenizers and templates of our own that have the structure of widely used chat formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = (
    "Name a color. Blue.\n\nWho is it? It is me.\n- a\n- b\n* c) 2 of them!\n",
    "user assistant system\nBe brief. Tell me: what is 12 + 7? It is 19.\n\n[INST] Yes? [/INST] No...\n",
    "<|user|>\nThe quick brown fox.\n<|assistant|>\njumps over the lazy dog:\n1. one\n2. two\n",
)
BOS, EOS = "<s>", "</s>"
QWEN_PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True)
class ChatFormat:
    """A template, the control tokens it writes, and whether it has a system turn."""

    template: str
    controls: tuple[str | AddedToken, ...] = ()
    has_system: bool = True


def _phi_token(text: str) -> AddedToken:
    """A token that includes the white space after it."""
    return AddedToken(text, rstrip=True, special=True)


CHATML_END = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
FORMATS: dict[str, ChatFormat] = {
    "llama-2": ChatFormat(
        "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}"
        "{% set system = messages[0]['content'] %}"
        "{% else %}{% set turns = messages %}{% set system = none %}{% endif %}{% for m in turns %}"
        "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' }}{% if loop.first and system is not none %}"
        "{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{% endif %}{{ m['content'].strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "llama-3": ChatFormat(
        "{{ bos_token }}{% set date = strftime_now('%d %b %Y') %}"
        "{{ '<|header|>system<|/header|>\n\nToday: ' + date + '\n\n' }}"
        "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}"
        "{% set messages = messages[1:] %}{% endif %}"
        "{{ '<|eot|>' }}{% for m in messages %}"
        "{{ '<|header|>' + m['role'] + '<|/header|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|header|>assistant<|/header|>\n\n' }}{% endif %}",
        ("<|header|>", "<|/header|>", "<|eot|>"),
    ),
    "mistral-1": ChatFormat(
        "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{% if m['role'] == 'user' %}"
        "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token + ' ' }}{% endif %}"
        "{% endfor %}",
        has_system=False,
    ),
    "mistral-3": ChatFormat(
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
        "{% set turns = messages[1:] %}"
        "{% else %}{% set turns = messages %}{% endif %}{% set last = namespace(user=0) %}{% for m in turns %}"
        "{% if m['role'] == 'user' %}{% set last.user = loop.index0 %}{% endif %}{% endfor %}{{ bos_token }}"
        "{% for m in turns %}{% if m['role'] == 'user' %}{{ '[INST] ' }}"
        "{% if loop.index0 == last.user and system is defined %}"
        "{{ system + '\n\n' }}{% endif %}{{ m['content'] + '[/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}"
        "{% endfor %}",
        ("[INST]", "[/INST]"),
    ),
    "zephyr": ChatFormat(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "tulu": ChatFormat(
        "{{ bos_token }}{% for m in messages %}"
        "{% if m['role'] == 'assistant' %}{{ '<|assistant|>\n' + m['content'] + eos_token }}"
        "{% if not loop.last %}{{ '\n' }}{% endif %}"
        "{% else %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "phi-3": ChatFormat(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
        tuple(map(_phi_token, ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"))),
    ),
    "qwen-2.5": ChatFormat(
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
        "{% for m in messages %}"
        "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}" + CHATML_END,
        ("<|im_start|>", "<|im_end|>"),
    ),
    "qwen-3": ChatFormat(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
        "{% if m['role'] == 'assistant' and loop.last %}"
        "{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}{% endfor %}" + CHATML_END,
        ("<|im_start|>", "<|im_end|>", AddedToken("<think>"), AddedToken("</think>")),
    ),
    "gemma": ChatFormat(
        "{{ bos_token }}"
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{{ '<turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' }}"
        "{{ m['content'] | trim + '<turn|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}",
        ("<turn>", "<turn|>"),
        has_system=False,
    ),
    "gemma-3": ChatFormat(
        "{{ bos_token }}{% set first = '' %}{% if messages[0]['role'] == 'system' %}"
        "{% set first = messages[0]['content'] + '\n\n' %}"
        "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}"
        "{{ '<turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + (first if loop.first else '') }}"
        "{{ m['content'] | trim + '<turn|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}",
        ("<turn>", "<turn|>"),
    ),
    "deepseek-r1": ChatFormat(
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}"
        "{% elif m['role'] == 'assistant' %}{% set text = m['content'] %}{% if '</think>' in text %}"
        "{% set text = text.split('</think>')[-1] %}{% endif %}{{ '<|Assistant|>' + text + eos_token }}"
        "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}",
        ("<|User|>", "<|Assistant|>", AddedToken("<think>"), AddedToken("</think>")),
    ),
}


def _sentencepiece(prepare: Callable[[Tokenizer], None]) -> Tokenizer:
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))  # noqa: S106
    # no piece crosses a space or a line break, as in the published vocabularies
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Metaspace(prepend_scheme="never")]
    )
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    words = "".join(CORPUS).replace("\n", " ")
    raw.train_from_iterator(
        [words], trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", BOS, EOS, *bytes_], show_progress=False)
    )
    plain = Tokenizer(raw.model)
    prepare(plain)
    plain.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    plain.add_special_tokens(["<unk>", BOS, EOS])
    return plain


def _prepend_to_every_text(raw: Tokenizer) -> None:
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _mark_words(scheme: str) -> Callable[[Tokenizer], None]:
    def prepare(raw: Tokenizer) -> None:
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)

    return prepare


def _byte_level(*, add_prefix_space: bool, pattern: str | None = None) -> Tokenizer:
    raw = Tokenizer(models.BPE())
    whole_words = pattern is None
    level = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=whole_words)
    split = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    raw.pre_tokenizer = pre_tokenizers.Sequence([*split, level])
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=["<unk>", BOS, EOS], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return raw


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": lambda: _byte_level(add_prefix_space=False),
    "byte-level of Qwen": lambda: _byte_level(add_prefix_space=False, pattern=QWEN_PATTERN),
    "byte-level with a space": lambda: _byte_level(add_prefix_space=True),
    "space mark on every text": lambda: _sentencepiece(_prepend_to_every_text),
    "space mark on every word": lambda: _sentencepiece(_mark_words("always")),
    "space mark on the first text": lambda: _sentencepiece(_mark_words("first")),
    "no space mark": lambda: _sentencepiece(_mark_words("never")),
}


def build_tokenizer(kind: str, chat_format: ChatFormat) -> PreTrainedTokenizerFast:
    """A tokenizer of this kind with the template and its control tokens."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS[kind](),
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        unk_token="<unk>",  # noqa: S106
    )
    special = [token for token in chat_format.controls if isinstance(token, str) or token.special]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([token for token in chat_format.controls if token not in special])
    tokenizer.chat_template = chat_format.template
    return tokenizer
