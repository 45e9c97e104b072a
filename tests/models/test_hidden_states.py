"""Hidden states equal those of the model's own forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trimtab.errors import ModelError
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.references import ModelRef
from trimtab.models.scoring.hidden_states import HiddenStateReader

PAIRS = [
    TokenizedPair(prompt=(5, 6, 7, 8), first=(9, 10, 11), second=(12, 13)),
    TokenizedPair(prompt=(5, 6), first=(20,), second=(30, 31, 32, 33, 34)),
]


@torch.inference_mode()
def plain_features(model: torch.nn.Module, ids: tuple[int, ...], start: int, layer: int) -> torch.Tensor:
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]
    return torch.cat([states[-1], states[start:].mean(0)])


def test_last_and_mean_state_of_a_response_equal_a_plain_forward_pass(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(lambda _: None, "cpu")
    differences = HiddenStateReader(loaded, (1,)).compute_differences(PAIRS, token_budget=64)
    for index, pair in enumerate(PAIRS):
        first, second = (
            plain_features(loaded.model, pair.prompt + response, len(pair.prompt), 1)
            for response in (pair.first, pair.second)
        )
        assert differences[index] == pytest.approx((first - second).numpy(), abs=1e-5)


def test_features_do_not_depend_on_the_batch_and_layers_are_concatenated(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(lambda _: None, "cpu")
    both = HiddenStateReader(loaded, (1, 2))
    batched = both.compute_differences(PAIRS, token_budget=64)
    single = torch.cat([both.compute_differences([pair], token_budget=64) for pair in PAIRS])
    assert torch.allclose(batched, single, atol=1e-5)
    second = HiddenStateReader(loaded, (2,)).compute_differences(PAIRS, token_budget=64)
    assert torch.allclose(batched[:, batched.shape[1] // 2 :], second, atol=1e-5)


def test_the_default_layer_is_about_half_way_up(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(lambda _: None, "cpu")
    assert HiddenStateReader(loaded).layers == (1,)
    with pytest.raises(ModelError, match=r"layers: 3 is not one of the model's layers 1 to 2"):
        HiddenStateReader(loaded, (1, 3))
