"""`Settings`: how much of what the service accepts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What `mvd serve` was started with.

    Attributes:
        model: a model directory or the name of a model; None: the default model.
        device: where the networks run.
        workers: processes that upscale, one file each at a time.
        waiting: uploads that may wait for a worker; one more is told to come back.
        timeout: seconds that a file may take in a worker, and that its upload may take.
        memory: address space of a worker, bytes; no limit on a device other than the CPU, whose
            drivers reserve more than there is.
        max_upload: size of a file, bytes.
        max_result: size of a result, bytes.
        max_edge: longest edge of a coarse grid, voxels, as the file declares it.
        max_faces: triangles of a mesh, and its vertices too.
        threads: of one worker.
        hosts: names, besides ``localhost`` and addresses, that the service answers to.
    """

    model: str | None = None
    device: str = "cpu"
    workers: int = 1
    waiting: int = 64
    timeout: float = 120.0
    memory: int = 4 << 30
    max_upload: int = 64 << 20
    max_result: int = 1 << 30
    max_edge: int = 128
    max_faces: int = 1 << 21
    threads: int = 1
    hosts: tuple[str, ...] = ()

    @property
    def capacity(self) -> int:
        """Uploads that may be inside at once: at work, or waiting for a worker."""
        return self.workers + self.waiting

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)
