"""Show identical kernels as one line: ``conv_dense ×16``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from estimator.result import Bound, KernelEstimate


@dataclass(frozen=True, slots=True)
class KernelGroup:
    """Kernels of one class, bound and size, wherever in the network they are.

    Attributes
    ----------
    name, place : str
        Name and module path of the first member, in execution order; the name again where there are no modules.
    time_s, share : float
        Of all members together.
    flops, bytes_moved : int
        Of one member.
    """

    name: str
    place: str
    kernel_class: str
    count: int
    time_s: float
    share: float
    bound: Bound
    flops: int
    bytes_moved: int
    intensity_flops_per_byte: float | None
    utilisation: float

    @property
    def label(self) -> str:
        """The class, with the number of members where there are several."""
        return f"{self.kernel_class} ×{self.count}" if self.count > 1 else self.kernel_class


def group_kernels(kernels: Sequence[KernelEstimate]) -> tuple[KernelGroup, ...]:
    """Merge identical kernels, heaviest group first.

    Two kernels are identical when class, bound, FLOPs and bytes agree; the time model then gives them
    one time up to their geometry, and the utilisation shown is the time-weighted mean.
    """
    members: dict[tuple[str, Bound, int, int], list[KernelEstimate]] = {}
    for kernel in kernels:
        key = (kernel.kernel_class, kernel.bound, kernel.flops, kernel.bytes_moved)
        members.setdefault(key, []).append(kernel)
    return tuple(sorted(map(_merge, members.values()), key=lambda group: -group.time_s))


def _merge(kernels: Sequence[KernelEstimate]) -> KernelGroup:
    first = kernels[0]
    time_s = sum(k.time_s for k in kernels)
    weighted = sum(k.utilisation * k.time_s for k in kernels)
    return KernelGroup(
        name=first.name,
        place=first.scope or first.name,
        kernel_class=first.kernel_class,
        count=len(kernels),
        time_s=time_s,
        share=sum(k.share for k in kernels),
        bound=first.bound,
        flops=first.flops,
        bytes_moved=first.bytes_moved,
        intensity_flops_per_byte=first.intensity_flops_per_byte,
        utilisation=weighted / time_s if time_s else first.utilisation,
    )
