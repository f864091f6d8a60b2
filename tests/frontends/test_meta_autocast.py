"""Regions of ``torch.autocast`` on the meta device: which products they leave in fp32."""

from __future__ import annotations

import pytest
import torch

from estimator.frontends.torch_export import export_module
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.ir.op import MatmulAttrs


class Guarded(torch.nn.Module):
    """One product as it comes, one where autocast is off, one where it is on again within, one after all that."""

    def forward(self, x):
        a = x @ x
        with torch.autocast(x.device.type, enabled=False):
            b = a.float() @ x.float()
            with torch.autocast(device_type=x.device.type, dtype=torch.bfloat16):
                c = b @ x
        return c.float() @ x


class Failing(torch.nn.Module):
    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False):
            raise ValueError("no")


def outside(graph: Graph) -> list[bool]:
    return [op.attrs.outside_autocast for op in graph.ops if isinstance(op.attrs, MatmulAttrs)]


def test_a_product_counts_as_the_innermost_region_says():
    graph = record_module(Guarded(), (torch.empty(4, 4, device="meta"),), name="guarded")
    assert outside(graph) == [False, True, False, False]


def test_regions_of_a_real_device_stay_pytorchs():
    graph = record_module(Guarded(), (torch.ones(4, 4),), name="guarded")
    assert outside(graph) == [False] * 4


def test_an_exported_module_may_name_the_meta_device():
    graph = export_module(Guarded(), (torch.empty(4, 4, device="meta"),), name="guarded")
    assert len(outside(graph)) == 4


def test_autocast_is_pytorchs_again_after_a_failure():
    before = torch.autocast.__init__, torch.autocast.__enter__, torch.autocast.__exit__
    with pytest.raises(Exception, match="no"):
        record_module(Failing(), (torch.empty(4, 4, device="meta"),), name="failing")
    assert before == (torch.autocast.__init__, torch.autocast.__enter__, torch.autocast.__exit__)
