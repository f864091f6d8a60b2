"""Latency and memory of a neural network on a device, before it runs there.

Ten names are public; the rest of the package may change. They load on first use, so that
``import estimator`` costs milliseconds and imports no framework, no ONNX and no gRPC.

>>> import estimator
>>> estimator.Estimator("sd865").latency_ms("torchvision:mobilenet_v2")  # doctest: +SKIP
4.5
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estimator.catalogue.device import Device
    from estimator.catalogue.loader import list_devices, load_device
    from estimator.client.local import Estimator, estimate
    from estimator.client.remote import connect
    from estimator.errors import EstimatorError
    from estimator.frontends.select import load_graph
    from estimator.ir.graph import Graph
    from estimator.result import Estimate

__all__ = [
    "Device",
    "Estimate",
    "Estimator",
    "EstimatorError",
    "Graph",
    "connect",
    "estimate",
    "list_devices",
    "load_device",
    "load_graph",
]

_HOME_OF = {
    "Device": "estimator.catalogue.device",
    "Estimate": "estimator.result",
    "Estimator": "estimator.client.local",
    "EstimatorError": "estimator.errors",
    "Graph": "estimator.ir.graph",
    "connect": "estimator.client.remote",
    "estimate": "estimator.client.local",
    "list_devices": "estimator.catalogue.loader",
    "load_device": "estimator.catalogue.loader",
    "load_graph": "estimator.frontends.select",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("estimator")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'estimator' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
