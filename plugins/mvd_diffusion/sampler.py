"""Drawing depths from a trained denoiser."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from mvd_diffusion.network import Denoiser, conditions, depths_of, low_depths
from mvd_diffusion.training import CONFIG, WEIGHTS, mix


class Sampler:
    """A callable from low grids to one sample of their fine depths, the same every time."""

    def __init__(self, denoiser: Denoiser, scale: int, sampling: int, seed: int) -> None:
        self._denoiser = denoiser.eval().requires_grad_(False)
        self._scale = scale
        self._sampling = sampling
        self._seed = seed

    @classmethod
    def load(cls, directory: Path) -> Sampler:
        """Read what `training.train` wrote."""
        config = json.loads((directory / CONFIG).read_text())
        denoiser = Denoiser(config["scale"], config["width"], config["blocks"])
        denoiser.load_state_dict(load_file(directory / WEIGHTS))
        return cls(denoiser, config["scale"], config["sampling"], config["seed"])

    @torch.no_grad()
    def __call__(self, low: torch.Tensor) -> torch.Tensor:
        """(B, N, N, N) bool to (B, 6, sN, sN) float32, fine voxels; background where low has it."""
        self._denoiser.to(low.device)
        depths = low_depths(low)
        seen = conditions(depths)
        generator = torch.Generator().manual_seed(self._seed)
        shape = (6, self._scale**2, *depths.shape[-2:])  # every item starts from the same noise
        x = torch.randn(shape, generator=generator).to(low.device).repeat(len(low), 1, 1, 1)
        for step in range(self._sampling):
            now, then = (1 - (step + i) / self._sampling for i in (0, 1))
            clean, noise = self._denoise(x, seen, now)
            x = mix(clean, noise, torch.full((len(x),), then, device=x.device))
        return depths_of(x, depths, self._scale)

    def _denoise(
        self, x: torch.Tensor, seen: torch.Tensor, time: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean offsets that the denoiser sees in ``x``, and the noise that is left."""
        times = torch.full((len(x),), time, device=x.device)
        clean = self._denoiser(x, seen, times).clamp(-1, 1)
        one = torch.ones_like(times)
        signal, level = mix(one, 0 * one, times), mix(0 * one, one, times)
        noise = (x - signal.view(-1, 1, 1, 1) * clean) / level.view(-1, 1, 1, 1)
        return clean, noise
