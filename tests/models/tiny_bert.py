"""Folders with random two-layer BERTs: a sentence encoder, and a regressor of two texts such as BLEURT."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

SETTINGS = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "pad_token_id": 2,
    "initializer_range": 0.5,  # outputs differ between texts
}


def create_encoder(folder: Path, tiny_model: Path) -> Path:
    """An encoder with the byte tokenizer of the tiny model, in the format of sentence-transformers."""
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(**SETTINGS)).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    write_pooling(folder, "pooling_mode_mean_tokens")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    return folder


def write_pooling(folder: Path, *modes: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, **dict.fromkeys(modes, True)})
    )


def create_regressor(folder: Path, tiny_model: Path, *, num_labels: int = 1, max_length: int = 40) -> Path:
    """A classifier of two texts with the byte tokenizer of the tiny model and separators as in BERT."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    raw = tokenizer.backend_tokenizer
    start, end = tokenizer.bos_token, tokenizer.eos_token
    raw.post_processor = TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in (start, end)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=start,
        eos_token=end,
        pad_token=tokenizer.pad_token,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = BertConfig(**SETTINGS, num_labels=num_labels, max_position_embeddings=max_length)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder
