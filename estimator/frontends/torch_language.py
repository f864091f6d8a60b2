"""Hugging Face models from a config file: ``transformers:CONFIG.json[?phase=prefill|decode]``.

The file is a ``config.json`` as it lies beside any checkpoint; weights are random and never allocated. A causal
language model is traced in one of two phases:

- ``prefill`` (default): ``--seq-len`` prompt tokens enter, the key/value cache leaves with the logits;
- ``decode``: one token enters with a cache of ``--seq-len`` tokens.

Encoders, encoder-decoders, vision and audio models have a single phase. ``--seq-len`` defaults to 512, or to the
longest that the model's position table allows.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from estimator.errors import BadOptionError, MissingDependencyError, ModelFileError, UnknownModelError
from estimator.files import near_files
from estimator.frontends.select import TOKEN_SCHEME
from estimator.frontends.torch_source import InputSpec, TorchSource
from estimator.frontends.zoo_options import split_options

DEFAULT_SEQ_LEN = 512
PHASES = ("prefill", "decode")
_TOKEN_WARNING = "warn_if_padding_and_no_attention_mask"
_MAX_CONFIG_BYTES = 16 * 1024 * 1024


def transformers_source(rest: str, seq_len: int | None) -> TorchSource:
    """Resolve the part of the reference after ``transformers:``.

    Raises
    ------
    UnknownModelError
        No such file (names on a model hub are not looked up: nothing is downloaded).
    BadOptionError
        The phase or the sequence length does not fit the model.
    ModelFileError
        The file is no config that transformers knows.
    """
    location, options = split_options(TOKEN_SCHEME, rest, {"phase": PHASES})
    phase = options.get("phase", PHASES[0])
    path = Path(location)
    if not path.is_file():
        raise UnknownModelError(
            location,
            near_files(path, (".json",)),
            what=f"no such file: {location}",
            where=f"transformers:{rest}",
            expected="the config.json of a checkpoint; names on a model hub are not looked up",
        )
    document = _read_config(path)
    transformers = _import_transformers()
    config = _config_of(transformers, document, path)
    model_class = _class_of(transformers, config, document)
    causal = "CausalLM" in model_class.__name__ or "LMHead" in model_class.__name__
    if phase == "decode" and not causal:
        raise BadOptionError(
            f"{path.name} is no causal language model ({model_class.__name__})",
            where="phase=decode",
            expected="a decoder-only configuration",
        )
    length = _sequence_length(config, seq_len, reserve=1 if phase == "decode" else 0)

    if _is_mixture_of_experts(config):
        config.dtype = torch.bfloat16  # torch's grouped product of experts exists in no other type

    def construct() -> torch.nn.Module:
        module: torch.nn.Module = model_class._from_config(config)
        for child in module.modules():
            if hasattr(child, _TOKEN_WARNING):  # it reads token ids only to warn about padding
                setattr(child, _TOKEN_WARNING, _say_nothing)
        return module

    prompt = _inputs_of(model_class, config, length)
    if seq_len is not None:
        prompt = _sized_by_option(prompt, f"{path.name} ({model_class.__name__})")
    name = path.stem if path.stem != "config" else (path.resolve().parent.name or "config")
    if phase == "decode":
        step = InputSpec((1, 1), torch.int64, "input_ids")
        return TorchSource(f"{name}.decode", construct, (step,), warm_start=prompt)
    return TorchSource(name, construct, prompt)


def _say_nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


def _read_config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ModelFileError(f"{path.name} is too large for a configuration", where=str(path))
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path.name} is not JSON: {error}", where=str(path)) from None
    if not isinstance(document, dict) or not isinstance(document.get("model_type"), str):
        raise ModelFileError(
            f"{path.name} is no Hugging Face configuration", where=str(path), expected='an object with "model_type"'
        )
    return document


def _import_transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingDependencyError("transformers", "a transformers: model", "zoo") from None
    return transformers


def _config_of(transformers: Any, document: dict[str, Any], path: Path) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if document["model_type"] not in CONFIG_MAPPING:
        known = tuple(CONFIG_MAPPING.keys())
        kind = document["model_type"]
        raise UnknownModelError(kind, known, what=f"unknown model type {kind!r}", where=f"model_type in {path}")
    fields = {k: v for k, v in document.items() if k not in ("model_type", "auto_map", "quantization_config")}
    try:
        return CONFIG_MAPPING[document["model_type"]](**fields)
    except Exception as error:  # configuration classes validate with whatever they like
        raise ModelFileError(
            f"{path.name} does not fit {document['model_type']}: {type(error).__name__}: {error}", where=str(path)
        ) from None


def _class_of(transformers: Any, config: Any, document: dict[str, Any]) -> Any:
    """Pick the class in ``architectures``, else the causal, sequence-to-sequence or bare model of this type."""
    for name in document.get("architectures") or ():
        found = getattr(transformers, str(name), None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
    autos = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModel")
    order = autos if not getattr(config, "is_encoder_decoder", False) else autos[1:]
    for auto in order:
        mapping = getattr(transformers, auto)._model_mapping
        # BERT-like encoders have a causal head too; they are meant only where the config says so.
        if auto == "AutoModelForCausalLM" and not _is_decoder(config):
            continue
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise ModelFileError(f"transformers has no model for {type(config).__name__}", where=str(document["model_type"]))


def _is_mixture_of_experts(config: Any) -> bool:
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    return any(int(getattr(config, name, 0) or 0) > 1 for name in names)


def _is_decoder(config: Any) -> bool:
    encoder_marks = ("type_vocab_size", "image_size", "num_mel_bins")
    return bool(getattr(config, "is_decoder", False)) or not any(hasattr(config, m) for m in encoder_marks)


def _sequence_length(config: Any, seq_len: int | None, reserve: int) -> int:
    longest = None
    for name in ("max_position_embeddings", "n_positions", "max_target_positions"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            longest = value - reserve
            break
    if longest is not None and seq_len is not None and seq_len > longest and not hasattr(config, "rope_theta"):
        raise BadOptionError(f"--seq-len is {seq_len}", where="--seq-len", expected=f"at most {longest} for this model")
    return seq_len or min(DEFAULT_SEQ_LEN, longest or DEFAULT_SEQ_LEN)


def _sized_by_option(prompt: tuple[InputSpec, ...], model: str) -> tuple[InputSpec, ...]:
    """Mark the tokens that ``--seq-len`` sized; the model must take some."""
    if all(spec.name != "input_ids" for spec in prompt):
        raise BadOptionError(f"{model} takes no --seq-len", expected="a model of tokens, or --input-shape")
    return tuple(spec if spec.dtype.is_floating_point else replace(spec, sized_by="--seq-len") for spec in prompt)


def _inputs_of(model_class: Any, config: Any, length: int) -> tuple[InputSpec, ...]:
    main = getattr(model_class, "main_input_name", "input_ids")
    vocabulary = getattr(config, "vocab_size", None) or 2
    ids = InputSpec((1, length), torch.int64, "input_ids", upper=int(vocabulary))
    if _is_contrastive(model_class, config):
        vision, text = getattr(config, "vision_config", config), getattr(config, "text_config", config)
        longest = int(getattr(text, "max_position_embeddings", length))
        tokens = InputSpec((1, min(length, longest)), torch.int64, "input_ids", upper=int(text.vocab_size))
        image = (1, getattr(vision, "num_channels", 3), vision.image_size, vision.image_size)
        return (tokens, InputSpec(image, torch.float32, "pixel_values"))
    if main == "pixel_values":
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", 224)
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        pixels = InputSpec((1, getattr(vision, "num_channels", 3), height, width), torch.float32, "pixel_values")
        return (pixels,)
    if main == "input_features":
        frames = 2 * int(getattr(config, "max_source_positions", 1500))
        features = InputSpec((1, int(getattr(config, "num_mel_bins", 80)), frames), torch.float32, "input_features")
        decoder = InputSpec((1, 1), torch.int64, "decoder_input_ids")
        return (features, decoder)
    if main == "input_values":
        return (InputSpec((1, 16_000), torch.float32, "input_values"),)
    if getattr(config, "is_encoder_decoder", False):
        return (ids, InputSpec((1, length), torch.int64, "decoder_input_ids", upper=int(vocabulary)))
    return (ids,)


def _is_contrastive(model_class: Any, config: Any) -> bool:
    """Whether text and image enter side by side (CLIP and its kin), not the image as tokens of the text."""
    arguments = inspect.signature(model_class.forward).parameters
    if not {"input_ids", "pixel_values"} <= set(arguments) or hasattr(config, "image_token_id"):
        return False
    towers = hasattr(config, "vision_config") and hasattr(config, "text_config")
    return (towers and "ConditionalGeneration" not in model_class.__name__) or (
        hasattr(config, "vocab_size") and hasattr(config, "image_size")
    )
