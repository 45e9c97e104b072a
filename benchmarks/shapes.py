"""Models with random weights: speed does not depend on the weights, and no download is needed.

Their pairs are random as well, with the mean lengths of HH-RLHF harmless pairs in SmolLM2's tokenizer: 149 + 40 + 50 tokens.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, OPTConfig, PreTrainedTokenizerFast

from trimtab.models.chat import ChatTokenizer
from trimtab.models.checkpoint import LoadedModel
from trimtab.models.default_chat_template import build_default_template
from trimtab.models.packing.pair_batch import TokenizedPair

SPECIAL_TOKENS = ("<s>", "</s>", "<pad>")
# Zhang et al. 2022, table 1; "opt-tiny" is for testing the benchmark.
MODEL_SHAPES = {
    "opt-125m": OPTConfig(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, ffn_dim=3072),
    "opt-1.3b": OPTConfig(
        hidden_size=2048, num_hidden_layers=24, num_attention_heads=32, ffn_dim=8192, word_embed_proj_dim=2048
    ),
    "opt-tiny": OPTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64, word_embed_proj_dim=32, vocab_size=512
    ),
}
# Mean number of tokens of the prompt, the chosen response and the rejected response.
MEAN_LENGTHS = (149, 40, 50)


def build_random_model(name: str, device: str) -> LoadedModel:
    """The model in bfloat16 on its device, with a byte-level tokenizer. Without dropout, which slows training."""
    config = OPTConfig.from_dict({**MODEL_SHAPES[name].to_dict(), "dropout": 0.0})
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    return LoadedModel(model=model, chat=ChatTokenizer.from_tokenizer(_build_tokenizer()))


def sample_token_pairs(name: str, count: int, longest: int) -> list[TokenizedPair]:
    """Pairs of random tokens with exponentially distributed lengths, as in human dialogues."""
    rng = torch.Generator().manual_seed(1)
    vocabulary = MODEL_SHAPES[name].vocab_size
    means = torch.tensor(MEAN_LENGTHS, dtype=torch.float32)
    rows: list[TokenizedPair] = []
    while len(rows) < count:
        parts = (1 + means * torch.empty(3).exponential_(generator=rng)).int().tolist()
        row = TokenizedPair(*(tuple(torch.randint(5, vocabulary, (part,), generator=rng).tolist()) for part in parts))
        rows += [row] if row.max_text_length <= longest else []
    return rows


def _build_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {
        token: index for index, token in enumerate([*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    bos, eos, pad = SPECIAL_TOKENS
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=bos, eos_token=eos, pad_token=pad)
    tokenizer.chat_template = build_default_template(add_bos=False)
    return tokenizer
