"""Tokenized pairs in a temporary file: four bytes for each token, and few of them in memory."""

from __future__ import annotations

from array import array

from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.storage.disk_sequence import DiskSequence


def create_token_file() -> DiskSequence[TokenizedPair]:
    return DiskSequence(_encode_tokens, _decode_tokens)


def _encode_tokens(pair: TokenizedPair) -> bytes:
    lengths = (len(pair.prompt), len(pair.first))
    return array("i", (*lengths, *pair.prompt, *pair.first, *pair.second)).tobytes()


def _decode_tokens(data: bytes) -> TokenizedPair:
    tokens = array("i", data)
    prompt_end = 2 + tokens[0]
    first_end = prompt_end + tokens[1]
    return TokenizedPair(tuple(tokens[2:prompt_end]), tuple(tokens[prompt_end:first_end]), tuple(tokens[first_end:]))
