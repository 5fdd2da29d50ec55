"""The built-in metrics, given through the hook that strangers use: `mvd_register_metrics`.

Each is a function of a `Comparison`; `volume` compares voxels, `views` the six depth maps, and
`surface` points drawn from the two surfaces.
"""

from __future__ import annotations

from collections.abc import Callable

from mvd_toolkit.hookspecs import hookimpl
from mvd_toolkit.metrics import surface, views, volume
from mvd_toolkit.specs import MetricSpec


@hookimpl
def mvd_register_metrics(register: Callable[[MetricSpec], None]) -> None:
    """Register those of the three families, in the order of a table's columns."""
    for spec in (*volume.METRICS, *views.METRICS, *surface.METRICS):
        register(spec)
