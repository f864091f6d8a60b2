"""A search space as a YAML file: ranges of block choices, stage by stage.

::

    schema_version: 1
    layout: once-for-all            # or proxylessnas: the key layout of the table
    resolutions: [192, 224]
    stem: {channels: 16, kernel: 3, stride: 2, activation: hardswish}
    stages:
      - {channels: [16], depth: 1, kernel: [3], expand: [1], stride: 1, activation: relu}
      - {channels: [24], depth: 4, kernel: [3, 5, 7], expand: [3, 4, 6], stride: 2, activation: relu}
    final_expand: {channels: 960, activation: hardswish}
    feature_mix: {channels: 1280, activation: hardswish}     # optional
    classes: 1000

`channels` of a stage lists its choices; `depth` is the most blocks it can have (rows are per block, so fewer need
no rows of their own). `squeeze_excite` (default false) goes with a stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from estimator.errors import ModelFileError

_Positive = Annotated[int, Field(ge=1, le=1 << 16)]
_Choices = Annotated[tuple[_Positive, ...], Field(min_length=1, max_length=64)]
_Activation = Literal["relu", "relu6", "hardswish"]
MAX_SPACE_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stem(_Strict):
    """First convolution."""

    channels: _Positive
    kernel: _Positive = 3
    stride: _Positive = 2
    activation: _Activation = "relu6"


class Stage(_Strict):
    """Blocks that share their choices; the first one has the stride."""

    channels: _Choices
    depth: _Positive
    kernel: _Choices
    expand: _Choices
    stride: _Positive = 1
    activation: _Activation = "relu6"
    squeeze_excite: bool = False


class Pointwise(_Strict):
    """A closing 1×1 convolution."""

    channels: _Positive
    activation: _Activation = "relu6"


class Space(_Strict):
    """A whole search space."""

    schema_version: Literal[1]
    layout: Literal["once-for-all", "proxylessnas"] = "once-for-all"
    resolutions: _Choices
    image_channels: _Positive = 3
    stem: Stem
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=64)]
    final_expand: Pointwise
    feature_mix: Pointwise | None = None
    classes: _Positive = 1000


def load_space(path: Path) -> Space:
    """Read a search space.

    Raises
    ------
    ModelFileError
        Missing, too large, not YAML, or not a space; the message names the field.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_SPACE_BYTES + 1)
    except OSError as error:
        raise ModelFileError(
            f"cannot read {str(path)!r}: {error.strerror}", expected="a search space in YAML"
        ) from error
    if len(raw) > MAX_SPACE_BYTES:
        raise ModelFileError(f"{str(path)!r} is larger than {MAX_SPACE_BYTES} bytes", expected="a search space in YAML")
    try:
        document = yaml.load(raw, Loader=_PlainLoader)
        return Space.model_validate(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise ModelFileError("not readable as YAML", where=where, expected="a search space") from error
    except RecursionError as error:
        raise ModelFileError(
            "not readable as YAML: nested too deeply", where=str(path), expected="a search space"
        ) from error
    except ValidationError as error:
        raise ModelFileError(
            _complaint(error), where=str(path), expected="a search space", hint="estimator-cli table --help shows one"
        ) from error


def _complaint(error: ValidationError) -> str:
    """Word one of the mistakes: an unknown key before the one that it was meant to be, which is missing then."""
    mistakes = error.errors(include_url=False)
    first = next((one for one in mistakes if one["type"] == "extra_forbidden"), mistakes[0])
    field = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key {field!r}"
        case "missing":
            return f"key {field!r} is missing"
        case "model_type" | "model_attributes_type":
            return f"{field or 'the whole file'} is no mapping of keys to values"
        case _:
            return f"{field}: {first['msg']}"


class _PlainLoader(yaml.SafeLoader):
    """YAML without anchors: an alias can stand for a billion nodes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)
