"""`mvd doctor`: what this installation can do, and what it lacks and why."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output

LIBRARIES = ("numpy", "torch", "safetensors", "meshio", "pluggy", "typer", "rich")


def doctor(
    ctx: typer.Context,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Check the installation: core, libraries, devices, plugins, default models.

    Exit code 5 when `mvd upscale` or `mvd reconstruct` could not run here.
    """
    from mvd_toolkit.errors import UnavailableError

    out = output(ctx)
    checks = [_check(name, check) for name, check in CHECKS.items()]
    for row in checks:
        out.item(row)
        out.data(f"{'ok  ' if row['ok'] else 'FAIL'}  {row['name']:<14} {row['detail']}")
    failed = [row["name"] for row in checks if not row["ok"]]
    out.summary = {"failed": failed}
    if failed:
        raise UnavailableError(f"not usable: {', '.join(failed)}; the lines above say why")
    out.finish()


def _check(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": check()}
    except Exception as error:  # a broken installation breaks in ways nobody listed
        return {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}"}


def _tool() -> str:
    from mvd_toolkit import __version__

    return f"mvd_toolkit {__version__}, Python {platform.python_version()} on {sys.platform}"


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores"


def _core() -> str:
    from mvd_toolkit import VoxelGrid, hull

    if hull(VoxelGrid.from_dense([[[1]]])).count() != 1:
        raise RuntimeError("the compiled core gives wrong results")
    return "works"


def _libraries() -> str:
    from importlib import metadata

    return ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)


def _devices() -> str:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"built for CUDA {built}, no usable GPU" if built else "a CPU build of torch"
        return f"cpu with {torch.get_num_threads()} threads; no cuda: {why}"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "cpu; " + ", ".join(f"cuda:{i} {name}" for i, name in enumerate(names))


def cuda() -> str:
    """What was built and whether it can be used: it fails only where it gives wrong results."""
    import torch

    from mvd_toolkit import VoxelGrid, _core, extract_odms

    built = f"kernels {_core.cuda_build()}"
    if not hasattr(_core, "cuda"):
        return built
    try:
        devices = _core.cuda.devices()
    except _core.DeviceError as error:
        return f"{built}; not usable: {error}"
    if not torch.cuda.is_available():
        return f"{built}; not usable: torch {torch.__version__} has no CUDA device"
    grid = VoxelGrid.from_dense([[[0, 1, 0], [1, 0, 0]]])
    for i in range(len(devices)):
        seen = extract_odms(grid.to_torch(f"cuda:{i}")).cpu().numpy()
        if (seen != extract_odms(grid)).any():
            raise RuntimeError(f"the kernels give wrong results on cuda:{i}")
    names = (f"{name} ({major}.{minor})" for name, major, minor in devices)
    return f"{built}; works on {', '.join(names)}"


def _plugins() -> str:
    from mvd_toolkit.plugins import backbones, plugin_report

    broken = [row for row in plugin_report() if row.status == "failed"]
    text = f"backbones {', '.join(sorted(backbones()))}"
    if broken:
        text += f"; {len(broken)} broken: `mvd plugins` says why"
    return text


def _default_model() -> str:
    import numpy as np

    from mvd_toolkit import Upscaler, VoxelGrid

    up = Upscaler.load()
    ball = np.linalg.norm(np.indices((16, 16, 16)).T - 7.5, axis=-1) < 6
    result = up.detailed(VoxelGrid.from_dense(ball))
    if not result.grid.count():
        raise RuntimeError("it upscales a ball to nothing")
    seconds = sum(result.seconds.values())
    return f"loads, and upscales a ball from 16 to {result.grid.shape[0]} in {seconds:.1f} s"


def _default_reconstructor() -> str:
    import numpy as np

    from mvd_toolkit import Reconstructor

    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[12:52, 16:48] = 90
    made = Reconstructor.load().detailed(picture)
    seconds = made.seconds["networks"] + made.seconds["upscale"]
    return f"loads, and makes {made.grid.shape[0]} of a picture in {seconds:.1f} s"


CHECKS: dict[str, Callable[[], str]] = {
    "tool": _tool,
    "machine": _machine,
    "core": _core,
    "libraries": _libraries,
    "devices": _devices,
    "cuda": cuda,
    "plugins": _plugins,
    "default model": _default_model,
    "pictures": _default_reconstructor,
}
