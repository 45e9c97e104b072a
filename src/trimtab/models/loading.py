"""Load a model and a tokenizer from weights on disk, in evaluation mode, without console output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trimtab.core.memory import freeze_imports
from trimtab.errors import ModelError
from trimtab.models.chat_layout import fix_template_date
from trimtab.models.config import BUILTIN_TEMPLATE, Model, ResolvedWeights, load_template_source
from trimtab.models.default_chat_template import build_default_template
from trimtab.models.quantization import build_quantization_options, prepare_quantized_model
from trimtab.models.sharding import build_sharding_options, prepare_sharded_model
from trimtab.models.silence_transformers import silence_transformers
from trimtab.models.sources.local_dir import require_tokenizer_files
from trimtab.models.weight_headers import get_layer_index, read_shapes, require_config_sizes

# Suffixes of architectures with another head than that of a language model.
_SCORING_SUFFIXES = ("Classification", "QuestionAnswering", "RewardModel")

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(model: Model, weights: ResolvedWeights, *, device: str = "cpu", num_shards: int = 1) -> PreTrainedModel:
    """Load the model on its device in evaluation mode. If the settings give `layers`, keep only the first N decoder layers.

    The final norm and the output head stay, so a truncated model still predicts tokens. With `num_shards` above 1, the frozen
    weights are divided among as many processes, all of which call this function (`models.sharding`).

    Raises `ModelError` if the folder is not a causal language model, has missing weights or unused layers, or has fewer
    decoder layers than `layers`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    freeze_imports()
    config = load_config(model, weights)
    _require_language_model(config, weights)
    require_config_sizes(weights.folder, config, read_shapes(weights.folder))
    dtype = getattr(torch, resolve_dtype_name(model, device))
    options = build_quantization_options(dtype, device) if model.load_in_4bit else build_sharding_options(num_shards)
    try:
        with silence_transformers():
            loaded, info = AutoModelForCausalLM.from_pretrained(
                weights.folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=model.trust_remote_code,
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # the libraries below raise errors of many types
        reason = "the weights do not have the sizes in config.json" if "mismatched_sizes" in str(error) else error
        raise ModelError(f"{weights.name}: cannot load {weights.folder}: {reason}") from error
    if info["missing_keys"]:
        names = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(
            f"{weights.name}: {weights.folder} lacks {len(info['missing_keys'])} weights that "
            f"{type(loaded).__name__} needs ({names}, …); this is not a complete causal language model"
        )
    _require_all_layers(loaded, info["unexpected_keys"], weights)
    if model.layers is not None:
        _keep_first_layers(loaded, model.layers, weights.name)
    if model.load_in_4bit:
        prepare_quantized_model(loaded, weights.name)
        return loaded.eval()
    if num_shards == 1:
        return loaded.to(device).eval()
    parent, attribute = find_decoder_layers(loaded, weights.name)
    layers: Any = getattr(parent, attribute)
    prepare_sharded_model(loaded, layers[0], weights.name)
    return loaded.eval()


def _require_language_model(config: Any, weights: ResolvedWeights) -> None:
    """Raise `ModelError` for a reward model or classifier. With tied embeddings it would load as a model that writes text."""
    scoring = [name for name in config.architectures or () if name.endswith(_SCORING_SUFFIXES)]
    if scoring:
        raise ModelError(
            f"{weights.name}: config.json in {weights.folder} names {scoring[0]}, which scores texts and writes none; give "
            "the language model that it was trained from, or use it as a scorer (`kind: reward_model`)"
        )


def _require_all_layers(model: PreTrainedModel, unused: Iterable[str], weights: ResolvedWeights) -> None:
    """Raise `ModelError` if unused weights are those of further decoder layers."""
    stated = model.config.get_text_config().num_hidden_layers
    names = tuple(model.state_dict())
    for key in unused:
        index = get_layer_index(key)
        if index >= stated and any(name.endswith(key.replace(f".{index}.", ".0.", 1)) for name in names):
            total = 1 + max(map(get_layer_index, unused))
            raise ModelError(
                f"{weights.name}: config.json in {weights.folder} has {stated} layers (num_hidden_layers), but the weights "
                f"have {total}; use the config.json that was published with the weights, and `layers` to use only the first"
            )


def load_config(model: Model, weights: ResolvedWeights) -> Any:
    """Load the model's configuration. Raises `ModelError` if it is not one that transformers can read."""
    from transformers import AutoConfig

    try:
        with silence_transformers():
            return AutoConfig.from_pretrained(
                weights.folder, local_files_only=True, trust_remote_code=model.trust_remote_code
            )
    except Exception as error:  # the library raises errors of many types
        raise ModelError(f"{weights.name}: cannot read {weights.folder / 'config.json'}: {error}") from error


def load_tokenizer(
    model: Model, weights: ResolvedWeights, *, allow_default_template: bool = True
) -> PreTrainedTokenizerBase:
    """Load the tokenizer with the chat template of the settings. The EOS token is the pad token if there is none.

    A template that inserts the current date inserts a fixed one. Raises `ModelError` if the folder has no tokenizer, if there
    is no EOS token, if the model has no embedding for a token, or if there is no chat template and `allow_default_template` is
    false.
    """
    tokenizer = _load_tokenizer_files(model, weights)
    if tokenizer.eos_token is None:
        raise ModelError(f"{weights.name}: the tokenizer has no EOS token, so no response could end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    own = _select_own_template(tokenizer.chat_template, weights.name)
    if not allow_default_template and model.chat_template is None and not own:
        raise ModelError(
            f"{weights.name}: the tokenizer has no chat template. Outputs for a prompt format that the model was not trained "
            f"on are not meaningful. Set `chat_template` to a Jinja file with its format, or to {BUILTIN_TEMPLATE!r} for the "
            "built-in template; for a reward model that reads a question and an answer, set `input_format: text_pair`"
        )
    if model.chat_template == BUILTIN_TEMPLATE or (model.chat_template is None and not own):
        tokenizer.chat_template = build_default_template(add_bos=_adds_bos_token(tokenizer))
    else:
        tokenizer.chat_template = fix_template_date(load_template_source(model) or own)
    if (weights.folder / "config.json").is_file():
        rows = getattr(load_config(model, weights).get_text_config(), "vocab_size", None)
        _require_embedding_rows(tokenizer, rows, weights.name)
    return tokenizer


def _load_tokenizer_files(model: Model, weights: ResolvedWeights) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    require_tokenizer_files(weights.folder)
    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                weights.folder, local_files_only=True, trust_remote_code=model.trust_remote_code
            )
        ids = tokenizer.encode("text", add_special_tokens=False)
    except Exception as error:  # the tokenizers library raises bare exceptions
        raise ModelError(f"{weights.name}: cannot load a tokenizer from {weights.folder}: {error}") from error
    if not ids:
        raise ModelError(
            f"{weights.name}: the tokenizer in {weights.folder} encodes texts as nothing; it has no vocabulary"
        )
    return tokenizer


def _select_own_template(template: Any, name: str) -> str:
    """The tokenizer's template for conversations, or an empty text if it has none."""
    if isinstance(template, dict):
        if "default" not in template:
            raise ModelError(
                f"{name}: the tokenizer has the chat templates {', '.join(sorted(template))}, but none named 'default'; set "
                "`chat_template` to the path of a Jinja file"
            )
        template = template["default"]
    return str(template or "")


def _require_embedding_rows(tokenizer: PreTrainedTokenizerBase, rows: Any, name: str) -> None:
    """Raise `ModelError` if a token that can occur has no row in the embedding of the model.

    Special tokens that the chat template does not write cannot occur. Gemma 3 has one without a row.
    """
    vocabulary = tokenizer.get_vocab()
    if not isinstance(rows, int) or max(vocabulary.values()) < rows:
        return
    required = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    added = tokenizer.added_tokens_decoder
    beyond = [
        (index, token)
        for token, index in vocabulary.items()
        if index >= rows
        and (
            index in required or index not in added or not added[index].special or token in str(tokenizer.chat_template)
        )
    ]
    if beyond:
        index, token = max(beyond)
        raise ModelError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens (the highest id is {index}, {token!r}), but the model has "
            f"{rows} embedding rows; use the tokenizer that was published with the weights, or add the rows in transformers "
            "(`model.resize_token_embeddings`) and train them"
        )


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
    return tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]


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
    raise ModelError(
        f"cannot find the {total} decoder layers of {name} ({type(model).__name__}), which `layers` and "
        "`gradient_checkpointing` need"
    )
