import numpy as np
import torch

from mvd_toolkit import ops, plugins
from mvd_toolkit.data import PairDataset
from mvd_toolkit.model import Model
from mvd_toolkit.testing import check_predictor, make_tiny_dataset
from mvd_toolkit.train import train
from mvd_toolkit.upscale import Upscaler

SMALL = {"options": {"depth.width": 8, "depth.blocks": 1}, "batch_size": 4, "seed": 3}


def test_contract(tmp_path):
    check_predictor(plugins.predictor("everywhere"), tmp_path, {})


def test_a_model_without_a_silhouette_network_carves_by_depths_alone(tmp_path):
    data = make_tiny_dataset(tmp_path / "data", low=8, scale=4, count=6)
    result = train(data, tmp_path / "run", silhouette="everywhere", steps=2, **SMALL)
    assert not list(result.model.glob("silhouette*.safetensors"))
    model = Model.load(result.model)
    grid = PairDataset(data, "train").low_grid(0)
    with torch.inference_mode():
        depth = model.depth(torch.from_numpy(grid.dense())[None], "any")[0].numpy()
    odms = np.rint(depth).astype(np.uint16)
    expected = ops.carve(grid, ops.smooth_odms(odms, 1.5), 4, structure_votes=1)
    assert np.array_equal(Upscaler(model)(grid, low_rule="any").packed, expected.packed)
