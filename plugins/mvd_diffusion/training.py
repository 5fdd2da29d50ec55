"""Training of the denoiser, top to bottom."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from mvd_diffusion import DiffusionOptions
from mvd_diffusion.network import Denoiser, conditions, low_depths, offsets_of
from mvd_toolkit.data import PairDataset

CONFIG, WEIGHTS = "config.json", "denoiser.safetensors"


def train(dataset: Path, run: Path, options: DiffusionOptions) -> None:
    """Train on the pairs of a dataset; write the config and the weights under ``run``."""
    pairs = PairDataset(dataset, "train", options.low, options.high)
    random = np.random.default_rng(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        denoiser = Denoiser(pairs.scale, options.width, options.blocks)
        optimiser = torch.optim.AdamW(denoiser.parameters(), lr=options.lr)
        for step in range(options.steps):
            rate = options.lr * (1 + math.cos(math.pi * step / options.steps)) / 2
            optimiser.param_groups[0]["lr"] = rate
            loss = _loss(denoiser, pairs, random, options.batch_size)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
            optimiser.step()
    config = {"scale": pairs.scale, **dataclasses.asdict(options)}
    (run / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
    save_file(denoiser.state_dict(), run / WEIGHTS)


def _loss(
    denoiser: Denoiser, pairs: PairDataset, random: np.random.Generator, faces: int
) -> torch.Tensor:
    """Squared error of the clean offsets under the coarse silhouettes, at random noise levels."""
    shapes = random.integers(len(pairs), size=-(-faces // 6))
    low = torch.from_numpy(np.stack([pairs.low_grid(int(i)).dense() for i in shapes]))
    depths = low_depths(low)
    odms = torch.from_numpy(pairs.odms[shapes].astype(np.int64))
    seen, clean = conditions(depths)[:faces], offsets_of(odms, depths, pairs.scale)[:faces]
    time = torch.rand(len(clean))
    noisy = mix(clean, torch.randn_like(clean), time)
    error = F.mse_loss(denoiser(noisy, seen, time), clean, reduction="none").mean(dim=1)
    solid = seen[:, 0]
    return (error * solid).sum() / solid.sum().clamp(min=1)


def mix(clean: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Offsets (M, ...) at times (M,): 0 all clean, 1 all noise; the variance is kept."""
    angle = (time * (math.pi / 2)).view(-1, *[1] * (clean.ndim - 1))
    return clean * angle.cos() + noise * angle.sin()
