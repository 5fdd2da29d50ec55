"""Training in one process or in several that share each batch.

Several processes run under Lightning Fabric with distributed data parallelism (extra
``[distributed]``): started by it on one machine, or by torchrun or Slurm on several. Each takes its
part of the batch, losses are weighed by the pixels they are means of, and gradients are averaged:
the steps are those of one process with the whole batch.

One process needs no Fabric: `Parallel` then does nothing at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch

from mvd_toolkit.device import usable_device
from mvd_toolkit.errors import UnavailableError, UsageError


class Parallel:
    """One process, and the interface of several.

    Attributes:
        rank: which process this is, counted from 0.
        world: how many there are.
        device: where this one trains.
    """

    def __init__(self, device: torch.device, rank: int = 0, world: int = 1) -> None:
        self.device = device
        self.rank = rank
        self.world = world

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and talks."""
        return self.rank == 0

    def setup(
        self, module: torch.nn.Module, optimiser: torch.optim.Optimizer
    ) -> Callable[..., Any]:
        """Share a module's training: a function that calls its ``loss`` as all processes do."""
        loss: Callable[..., Any] = module.loss  # type: ignore[assignment]
        return loss

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a loss, averaged over the processes, to what was set up."""
        loss.backward()  # type: ignore[no-untyped-call]

    def weight(self, count: float) -> float:
        """What a mean over ``count`` values here weighs in the mean of all processes' means."""
        return 1.0

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Average the gradients of a module that was not set up."""

    def share(self, *values: float) -> list[float]:
        """The first process's values."""
        return list(values)

    def any(self, number: int) -> int:
        """The largest number that a process gives."""
        return number

    def wait(self) -> None:
        """Wait for the others."""


class FabricParallel(Parallel):
    """One of several processes that Fabric runs."""

    def __init__(self, device: torch.device, devices: int, nodes: int) -> None:
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise UnavailableError(
                "several devices need Lightning Fabric: pip install 'mvd_toolkit[distributed]'"
            ) from error
        if device.type == "cuda" and devices > torch.cuda.device_count():
            raise UnavailableError(
                f"{devices} devices: expected at most {torch.cuda.device_count()}, those of this "
                "machine; `mvd doctor` lists them"
            )
        accelerator = "cpu" if device.type == "cpu" else "cuda"
        self._fabric = Fabric(
            accelerator=accelerator, devices=devices, num_nodes=nodes, strategy="ddp"
        )
        self._fabric.launch()
        super().__init__(self._fabric.device, self._fabric.global_rank, self._fabric.world_size)

    def setup(
        self, module: torch.nn.Module, optimiser: torch.optim.Optimizer
    ) -> Callable[..., Any]:
        """Share a module's training: a function that calls its ``loss`` as all processes do."""
        wrapped, _ = self._fabric.setup(module, optimiser)
        wrapped.mark_forward_method("loss")
        loss: Callable[..., Any] = wrapped.loss
        return loss

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a loss, averaged over the processes, to what was set up."""
        self._fabric.backward(loss)

    def weight(self, count: float) -> float:
        """What a mean over ``count`` values here weighs in the mean of all processes' means."""
        mean = float(self._reduce(torch.tensor(float(count), dtype=torch.float64), "mean"))
        return count / mean if mean else 1.0

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Average the gradients of a module that was not set up."""
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = self._reduce(parameter.grad, "mean")

    def share(self, *values: float) -> list[float]:
        """The first process's values."""
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        shared: list[float] = self._fabric.broadcast(told, src=0).tolist()
        return shared

    def any(self, number: int) -> int:
        """The largest number that a process gives."""
        return int(self._reduce(torch.tensor(float(number)), "max"))

    def wait(self) -> None:
        """Wait for the others."""
        self._fabric.barrier()

    def _reduce(self, tensor: torch.Tensor, how: str) -> torch.Tensor:
        reduced = self._fabric.all_reduce(tensor.to(self.device), reduce_op=how)
        assert isinstance(reduced, torch.Tensor)
        return reduced


def connect(device: str | torch.device = "cpu", devices: int = 1, nodes: int = 1) -> Parallel:
    """This process among those that train.

    Args:
        device: where to train; of several cuda devices each process gets its own.
        devices: processes on each machine.
        nodes: machines.

    Raises:
        UnavailableError: no such device, or several and no Fabric.
        UsageError: numbers that make no sense.
    """
    if devices < 1 or nodes < 1:
        raise UsageError(f"devices, nodes: expected at least 1, found {devices} and {nodes}")
    chosen = usable_device(device)
    if devices * nodes == 1:
        return Parallel(chosen)
    return FabricParallel(chosen, devices, nodes)


def is_first_process() -> bool:
    """Whether this process was started as the first, by whatever starts several."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
    return next((os.environ[name] for name in names if name in os.environ), "0") == "0"
