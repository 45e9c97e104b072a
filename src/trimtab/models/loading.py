"""Load a model and a tokenizer from weights on disk, in evaluation mode, without console output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.errors import ModelError
from trimtab.models.config import BUILTIN_TEMPLATE, Model, ResolvedWeights, load_template_source
from trimtab.models.default_chat_template import build_default_template
from trimtab.models.silence_transformers import silence_transformers

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(model: Model, weights: ResolvedWeights, *, device: str = "cpu") -> PreTrainedModel:
    """Load the model on its device in evaluation mode. If the settings give `layers`, keep only the first N decoder layers.

    The final norm and the output head stay, so a truncated model still predicts tokens. Raises `ModelError` if the folder
    is not a causal language model, has missing weights, or has fewer decoder layers than `layers`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with silence_transformers():
            loaded, info = AutoModelForCausalLM.from_pretrained(
                weights.folder,
                dtype=getattr(torch, resolve_dtype_name(model, device)),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=model.trust_remote_code,
                output_loading_info=True,
            )
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{weights.name}: cannot load {weights.folder}: {error}") from error
    if info["missing_keys"]:
        names = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(
            f"{weights.name}: {weights.folder} lacks {len(info['missing_keys'])} weights that "
            f"{type(loaded).__name__} needs ({names}, …); it is not a complete causal language model"
        )
    if model.layers is not None:
        _keep_first_layers(loaded, model.layers, weights.name)
    return loaded.to(device).eval()


def load_tokenizer(
    model: Model, weights: ResolvedWeights, *, allow_default_template: bool = True
) -> PreTrainedTokenizerBase:
    """Load the tokenizer with the chat template of the settings. The EOS token is the pad token if there is none.

    Raises `ModelError` if there is no EOS token, or if there is no chat template and `allow_default_template` is false.
    """
    from transformers import AutoTokenizer

    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                weights.folder, local_files_only=True, trust_remote_code=model.trust_remote_code
            )
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{weights.name}: cannot load a tokenizer from {weights.folder}: {error}") from error
    if tokenizer.eos_token is None:
        raise ModelError(f"{weights.name}: the tokenizer has no EOS token, so no response could end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not allow_default_template and model.chat_template is None and not tokenizer.chat_template:
        raise ModelError(
            f"{weights.name}: the tokenizer has no chat template. Outputs for a prompt format that the model was not trained "
            f"on are not meaningful. Set `chat_template` to a Jinja file with its format, or to {BUILTIN_TEMPLATE!r} for the "
            "built-in template"
        )
    if model.chat_template == BUILTIN_TEMPLATE or (model.chat_template is None and not tokenizer.chat_template):
        tokenizer.chat_template = build_default_template(add_bos=_adds_bos_token(tokenizer))
    elif model.chat_template is not None:
        tokenizer.chat_template = load_template_source(model)
    return tokenizer


def resolve_dtype_name(model: Model, device: str) -> str:
    """The name of the torch dtype that the weights are loaded in: bfloat16, float32 or float16."""
    if model.dtype != "auto":
        return model.dtype
    return "bfloat16" if _has_fast_bf16(device) else "float32"


def _has_fast_bf16(device: str) -> bool:
    import torch

    device_type = torch.device(device).type
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type == "cpu":
        # Every x86 CPU accepts bfloat16; those without these instructions are many times slower in it.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def _adds_bos_token(tokenizer: PreTrainedTokenizerBase) -> bool:
    return tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id


def _keep_first_layers(model: PreTrainedModel, num_layers: int, name: str) -> None:
    module, attribute = find_decoder_layers(model, name)
    layers: Any = getattr(module, attribute)
    total = len(layers)
    if num_layers > total:
        raise ModelError(f"layers: {name} has {total} decoder layers, fewer than the {num_layers} to keep")
    setattr(module, attribute, layers[:num_layers])
    config = model.config.get_text_config()
    config.num_hidden_layers = num_layers
    for key, value in config.to_dict().items():
        if "layer" in key and isinstance(value, list) and len(value) == total:
            setattr(config, key, value[:num_layers])


def find_decoder_layers(model: PreTrainedModel, name: str = "the model") -> tuple[Module, str]:
    """The module that contains the decoder layers, and the name of its attribute. Raises `ModelError` if none is found."""
    import torch

    total = model.config.get_text_config().num_hidden_layers
    for module in (model.get_decoder(), model.base_model):
        for attribute in ("layers", "h", "blocks", "block"):
            layers = getattr(module, attribute, None)
            if isinstance(layers, torch.nn.ModuleList) and len(layers) == total:
                return module, attribute
    raise ModelError(f"layers: cannot find the {total} decoder layers of {name} ({type(model).__name__})")
