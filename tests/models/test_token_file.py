"""Tokenized pairs in a file are those that were written."""

from __future__ import annotations

import pytest

from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.packing.token_file import create_token_file

PAIRS = [
    TokenizedPair((1, 2, 3), (4,), (5, 2**31 - 1)),
    TokenizedPair((), (7, 8)),
    TokenizedPair((0,), (), ()),
]


def test_tokens_in_a_file_are_those_that_were_written() -> None:
    stored = create_token_file()
    for pair in PAIRS:
        stored.append(pair)
    assert stored.as_sequence() == PAIRS


def test_a_token_of_more_than_31_bits_is_an_error() -> None:
    with pytest.raises(OverflowError):
        create_token_file().append(TokenizedPair((2**31,), (1,)))
