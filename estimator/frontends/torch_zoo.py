"""torchvision and timm models by name, with the input size each was made for.

Default sizes: torchvision's classification and video models take their default weights' crop (video: 16 frames),
segmentation 520 × 520, detection 800 × 800 (or the size in the name); a model that fixes its image size at
construction keeps that. timm models take ``pretrained_cfg.input_size``. Batch 1.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch

from estimator.errors import MissingDependencyError, UnknownModelError
from estimator.frontends.torch_source import InputSpec, TorchSource
from estimator.frontends.zoo_options import RELEASE, split_options

SEGMENTATION_SIZE = 520
DETECTION_SIZE = 800
VIDEO_FRAMES = 16
DEFAULT_SIZE = 224
_CONSTRUCTOR_OPTIONS = {"weights": None, "weights_backbone": None, "init_weights": False}
_MERGING_METHODS = ("fuse", "reparameterize", "switch_to_deploy")
_MERGING = "as it is trained; timm can merge layers of it before inference: timm:{}?branches=merged"
_TIMM_OPTIONS = {"branches": ("merged",), "norms": ("fp32",), "release": (RELEASE,)}
_TORCHVISION_GROUPS = ("segmentation", "video", "detection", "quantization", "optical_flow")


@cache
def _torchvision_models() -> dict[str, tuple[str, str]]:
    """Map each spelling of a name to (group, name in torchvision's registry)."""
    try:
        import torchvision.models as zoo
    except ImportError:
        raise MissingDependencyError("torchvision", "a torchvision model", "zoo") from None
    found = {name: ("", name) for name in zoo.list_models(zoo)}
    for group in _TORCHVISION_GROUPS:
        for name in zoo.list_models(getattr(zoo, group)):
            short = name.removeprefix("quantized_")
            found[f"{group}.{short}"] = (group, name)
            found.setdefault(name, (group, name))
    return found


def torchvision_names() -> tuple[str, ...]:
    """Every torchvision name, submodule models as ``group.name``."""
    return tuple(_torchvision_models())


def torchvision_source(name: str) -> TorchSource:
    """Resolve ``torchvision:NAME``.

    Raises
    ------
    UnknownModelError
        torchvision has no such model.
    """
    known = _torchvision_models()
    if name not in known:
        raise UnknownModelError(name, tuple(known))
    group, registered = known[name]
    import torchvision.models as zoo

    builder = zoo.get_model_builder(registered)
    options = _accepted(builder, _CONSTRUCTOR_OPTIONS)
    if group == "quantization":
        options["quantize"] = True
    return TorchSource(
        name=registered,
        construct=partial(builder, **options),
        inputs=_torchvision_inputs(group, registered),
        data_dependent=group in ("detection", "quantization"),
        takes_image_list=group == "detection",
        construct_at=_image_size_constructor(builder, options) if registered.startswith("vit_") else None,
        guess_inputs=_own_image_size if group == "" else None,
    )


def _accepted(builder: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Options that a builder takes, by its signature or its ``**kwargs`` destination."""
    import inspect

    names = set(inspect.signature(builder).parameters)
    takes_init_weights = builder.__name__ in ("googlenet", "inception_v3")
    return {k: v for k, v in options.items() if k in names or (k == "init_weights" and takes_init_weights)}


def _torchvision_inputs(group: str, name: str) -> tuple[InputSpec, ...]:
    if group == "segmentation":
        return (InputSpec((1, 3, SEGMENTATION_SIZE, SEGMENTATION_SIZE)),)
    if group == "detection":
        digits = re.search(r"(300|320)", name)
        size = int(digits[0]) if digits else DETECTION_SIZE
        return (InputSpec((1, 3, size, size)),)
    if group == "optical_flow":
        frame = InputSpec((1, 3, 520, 960))
        return (frame, frame)
    crop = _crop_size(name)
    if group == "video":
        return (InputSpec((1, 3, VIDEO_FRAMES, *crop)),)
    return (InputSpec((1, 3, *crop)),)


def _crop_size(name: str) -> tuple[int, int]:
    import torchvision.models as zoo

    weights = zoo.get_model_weights(name)
    transforms = weights.DEFAULT.transforms() if len(weights) else None
    crop = list(getattr(transforms, "crop_size", None) or [DEFAULT_SIZE])
    return (crop[0], crop[-1])


def _own_image_size(module: torch.nn.Module) -> tuple[InputSpec, ...]:
    """Read the input of a model that carries its own image size (vision transformers)."""
    size = getattr(module, "image_size", None)
    return (InputSpec((1, 3, size, size)),) if isinstance(size, int) else ()


def _image_size_constructor(
    builder: Callable[..., torch.nn.Module], options: dict[str, Any]
) -> Callable[[tuple[int, int]], torch.nn.Module]:
    def construct(size: tuple[int, int]) -> torch.nn.Module:
        return builder(**options, image_size=size[0])

    return construct


@cache
def _timm_models() -> tuple[str, ...]:
    timm = _import_timm()
    return tuple(timm.list_models())


def _import_timm() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch.jit, which some releases of timm still use
            import timm
    except ImportError:
        raise MissingDependencyError("timm", "a timm model", "zoo") from None
    return timm


def timm_names() -> tuple[str, ...]:
    """Every timm architecture."""
    return _timm_models()


def timm_source(rest: str) -> TorchSource:
    """Resolve ``timm:NAME`` or ``timm:NAME.TAG`` (a tag selects the pretrained configuration, hence the size).

    Options may follow, joined by ``&``; where there is nothing to change they change nothing.

    - ``?branches=merged``: the network as timm deploys it, with parallel branches of a RepVGG block as one convolution
      and batch norms folded where the architecture knows how (``timm.utils.reparameterize_model``).
    - ``?norms=fp32``: under autocast its norms run in fp32, as without ``--fast-norm`` in timm's benchmark.
    - ``?release=1.0.15``: as that release of timm made it, in what is known to have changed since
      (`timm_norms.as_of_release`).

    Raises
    ------
    UnknownModelError
        timm has no such model.
    BadOptionError
        Something else follows the name.
    """
    name, options = split_options("timm", rest, _TIMM_OPTIONS)
    timm = _import_timm()
    if not timm.is_model(name.partition(".")[0]):
        raise UnknownModelError(name, _timm_models())
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an architecture that exists, a tag that does not
        raise UnknownModelError(name, tuple(timm.list_pretrained(name.partition(".")[0] + ".*"))) from None
    size = tuple(config.input_size) if config is not None and config.input_size else (3, DEFAULT_SIZE, DEFAULT_SIZE)
    create = partial(_create_timm, name, options)
    return TorchSource(
        name=rest,
        construct=create,
        inputs=(InputSpec((1, *size)),),
        construct_at=lambda image: create(img_size=image),
        guess_inputs=_configured_input,
        remarks=lambda module: () if "branches" in options or not _can_merge(module) else (_MERGING.format(name),),
    )


def _can_merge(model: torch.nn.Module) -> bool:
    """Whether ``timm.utils.reparameterize_model`` would change a model."""
    parts = (part for part in model.modules() if part is not model)
    return any(hasattr(part, method) for part in parts for method in _MERGING_METHODS)


def _create_timm(name: str, options: Mapping[str, str], **arguments: Any) -> Any:
    """Make a model as timm's own benchmark does."""
    from estimator.frontends.timm_norms import as_of_release, set_fast_norms

    timm = _import_timm()
    model = timm.create_model(name, pretrained=False, **arguments)
    _fill_buffers(model)
    if "branches" in options:
        model = timm.utils.reparameterize_model(model, inplace=True)
    set_fast_norms(model, on="norms" not in options)
    return as_of_release(model, options["release"]) if "release" in options else model


def _fill_buffers(model: torch.nn.Module) -> None:
    """Make the masks and tables that timm's modules leave out where they find their weights on meta."""
    for module in model.modules():
        fill = getattr(module, "init_non_persistent_buffers", None)
        if fill is not None:
            fill()


def _configured_input(module: torch.nn.Module) -> tuple[InputSpec, ...]:
    config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
    size = config.get("input_size")
    return (InputSpec((1, *size)),) if size else ()
