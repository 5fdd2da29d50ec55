"""CUDA against the memory's own speed and against plain torch on the same GPU.

A floor is the time of a plain copy that moves as many bytes as the operation reads and writes at
least. Times are between events on the stream, medians of several calls.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from mvd_toolkit import _core, ops
from mvd_toolkit.device_core import DeviceCore
from mvd_toolkit.packed import PackedGrids
from mvd_toolkit.upscale import Upscaler
from rows import plain_torch
from rows.measure import MissingPeer, Row, Settings, Target, faster, within
from rows.shapes import SCALE, blob, samples

SIZE, BATCH = 512, 8
KAOLIN_SIZE = 256
CALLS = 20
SHAPES = 128  # upscaled together
SMOOTH_THRESHOLD = 12


def cuda(settings: Settings) -> Iterator[Row]:
    """CUDA: operations against copying and plain torch, upscaling end to end"""
    if not torch.cuda.is_available():
        raise MissingPeer("no GPU")
    if not hasattr(_core, "cuda"):
        raise MissingPeer(f"this build has CUDA {_core.cuda_build()}")
    print(f"on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    yield from floors()
    yield from against_kaolin()
    yield from against_torch()
    yield from upscaling(settings)


@dataclass(frozen=True)
class Sample:
    """Grids on the GPU, and what is made of them.

    Attributes:
        core: the operations.
        words: (B, N, N, W).
        dense: (B, N, N, N) bool.
        low: words of the any-pool by `SCALE`.
        odms: (B, 6, N, N) uint16, each depth wrong by some voxels.
    """

    core: DeviceCore
    words: torch.Tensor
    dense: torch.Tensor
    low: torch.Tensor
    odms: torch.Tensor

    @property
    def signed(self) -> torch.Tensor:
        """The ODMs as plain torch can compute with them."""
        return self.odms.view(torch.int16)


def sample(size: int, batch: int) -> Sample:
    device = torch.device("cuda", torch.cuda.current_device())
    shapes = [samples(size)[i % 2] for i in range(batch)]
    words = PackedGrids.of([shape.grid for shape in shapes], device).words
    core = DeviceCore(device)
    odms = torch.from_numpy(np.stack([shape.noisy for shape in shapes])).to(device)
    return Sample(core, words, core.unpack(words, size), core.pool(words, size, SCALE), odms)


def seconds(function: Callable[[], Any]) -> float:
    """The median of several calls, in seconds on the GPU."""
    for _ in range(3):
        function()
    times = []
    for _ in range(CALLS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def copy_speed() -> float:
    """Bytes read and written a second by a copy of 1 GiB."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source))


def floors() -> Iterator[Row]:
    s, n, speed = sample(SIZE, BATCH), SIZE, copy_speed()
    yield Row("copying", "1 GiB", speed / 2**30, "GiB/s")
    core, coarse = s.core, n // SCALE
    other = s.words.flip(0).contiguous()
    calls: dict[str, tuple[Callable[[], Any], list[torch.Tensor], float]] = {
        "pack": (lambda: core.pack(s.dense), [s.dense, s.words], 2),
        "unpack": (lambda: core.unpack(s.words, n), [s.words, s.dense], 2),
        "pool by 8, any": (lambda: core.pool(s.words, n, SCALE), [s.words, s.low], 2),
        "pool by 8, half": (lambda: core.pool(s.words, n, SCALE, "half"), [s.words, s.low], 2),
        "upsample_nearest by 8": (
            lambda: core.upsample_nearest(s.low, coarse, SCALE),
            [s.low, s.words],
            2,
        ),
        "iou": (lambda: core.iou(s.words, other, n), [s.words, other], 2),
        "extract_odms": (lambda: core.extract_odms(s.words, n), [s.words, s.odms], 4),
        "project_odms": (lambda: core.project_odms(s.odms, n, n, n), [s.odms, s.words], 4),
        "carve": (
            lambda: core.carve(s.low, coarse, s.odms, SCALE),
            [s.low, s.odms, s.words],
            4,
        ),
    }
    for what, (call, moved, times) in calls.items():
        ours = seconds(call)
        floor = sum(tensor.numel() * tensor.element_size() for tensor in moved) / speed
        yield _row(what, f"{BATCH} × {n}³", ours, "copying", floor, within(times))


def against_kaolin() -> Iterator[Row]:
    s, n = sample(KAOLIN_SIZE, BATCH), KAOLIN_SIZE
    odms = s.core.extract_odms(s.words, n)
    same(odms.view(torch.int16), plain_torch.extract_odms(s.dense))
    hulls = s.core.unpack(s.core.project_odms(odms, n, n, n), n)
    same(hulls, plain_torch.project_odms(odms.view(torch.int16)))
    pairs = {
        "extract_odms": (
            lambda: s.core.extract_odms(s.words, n),
            lambda: plain_torch.extract_odms(s.dense),
        ),
        "project_odms": (
            lambda: s.core.project_odms(odms, n, n, n),
            lambda: plain_torch.project_odms(odms.view(torch.int16)),
        ),
    }
    for what, (ours, theirs) in pairs.items():
        yield _against(what, n, ours, "Kaolin's way in torch", theirs, faster(20))


def against_torch() -> Iterator[Row]:
    s, n = sample(KAOLIN_SIZE, BATCH), KAOLIN_SIZE
    against = partial(_against, peer="plain torch")
    smoothed = s.core.smooth_odms(s.odms, SMOOTH_THRESHOLD).view(torch.int16)
    same(smoothed, plain_torch.smooth_odms(s.signed, SMOOTH_THRESHOLD))
    yield against(
        "smooth_odms 7×7",
        n,
        lambda: s.core.smooth_odms(s.odms, SMOOTH_THRESHOLD),
        theirs=lambda: plain_torch.smooth_odms(s.signed, SMOOTH_THRESHOLD),
        target=faster(10),
    )
    coarse = n // SCALE
    low = s.core.unpack(s.low, coarse)
    carved = s.core.unpack(s.core.carve(s.low, coarse, s.odms, SCALE), n)
    same(carved, plain_torch.carve(low, s.signed, SCALE))
    yield against(
        "carve",
        n,
        lambda: s.core.carve(s.low, coarse, s.odms, SCALE),
        theirs=lambda: plain_torch.carve(low, s.signed, SCALE),
    )
    points, triangles = blob()
    vertices = torch.from_numpy((points / 2.5 + 0.5) * n).cuda()
    faces = torch.from_numpy(triangles).cuda()
    ours = s.core.unpack(s.core.voxelize_surface(vertices, faces, n, n, n)[0][None], n)[0]
    apart = int((ours ^ plain_torch.voxelize(vertices, faces, n)).sum())
    assert apart < 1e-3 * int(ours.sum()), "the two ways do not give the same surface"
    yield against(
        f"voxelize_surface, {len(faces):,} triangles",
        n,
        lambda: s.core.voxelize_surface(vertices, faces, n, n, n),
        theirs=lambda: plain_torch.voxelize(vertices, faces, n),
        target=faster(10),
        batch=1,
    )


def upscaling(settings: Settings) -> Iterator[Row]:
    up = Upscaler.load(settings.model, "cuda")
    shapes = [samples(SCALE * 32)[i % 2].low for i in range(SHAPES)]
    low = PackedGrids.of(shapes, up.device)
    what, size = f"upscale, {SHAPES} together", "32³ → 256³"
    whole = seconds(lambda: up.packed(low))
    yield Row(what, size, SHAPES / whole, "shapes/s", target=Target(2000, "shapes/s", True))
    cubes = ops.unpack(low.words, low.depth)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        networks = seconds(
            lambda: (up.model.silhouette(cubes, "any"), up.model.depth(cubes, "any"))
        )
    share = 100 * max(0.0, 1 - networks / whole)
    yield Row("… outside the networks", size, share, "%", target=Target(15, "%"))
    large = PackedGrids.of([samples(SIZE)[i % 2].low for i in range(BATCH)], up.device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    up.packed(large)
    peak = torch.cuda.max_memory_allocated() / 2**30
    yield Row(
        f"… peak memory, {BATCH} together", "64³ → 512³", peak, "GiB", target=Target(8, "GiB")
    )


def same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Stop a comparison of two different answers."""
    if not torch.equal(ours, theirs.to(ours.dtype)):
        raise AssertionError("the two ways do not give the same result: the comparison is void")


def _against(
    what: str,
    n: int,
    ours: Callable[[], Any],
    peer: str,
    theirs: Callable[[], Any],
    target: Target | None = None,
    batch: int = BATCH,
) -> Row:
    size = f"{batch} × {n}³" if batch > 1 else f"{n}³"
    return _row(what, size, seconds(ours), peer, seconds(theirs), target)


def _row(what: str, size: str, ours: float, peer: str, theirs: float, target: Target | None) -> Row:
    ratio = theirs / ours if target is None or target.at_least else ours / theirs
    return Row(f"CUDA {what}", size, ours * 1e3, "ms", peer, theirs * 1e3, ratio, target)
