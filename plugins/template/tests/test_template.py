"""The backbone keeps the contract, learns, and its model can be loaded and used."""

import pytest
import torch

from mvd_toolkit import plugins
from mvd_toolkit.model import Model
from mvd_toolkit.testing import check_backbone, make_tiny_dataset
from mvd_toolkit.train import train

SMALL = {"width": 8}


@pytest.mark.parametrize("blocks", [1, 4])
def test_the_contract(blocks):
    check_backbone(plugins.backbone("template"), {**SMALL, "blocks": blocks})


def test_training(tmp_path):
    dataset = make_tiny_dataset(tmp_path / "dataset", low=8, scale=4)
    result = train(
        dataset, tmp_path / "run", backbone="template", options=SMALL, steps=20, batch_size=4
    )
    model = Model.load(result.model)
    low = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    low[:, 2:6, 2:6, 2:6] = True
    with torch.no_grad():
        assert model.silhouette(low, "any").shape == (1, 6, 32, 32)
