import pytest
import torch

from mvd_toolkit import ops
from mvd_toolkit.errors import UsageError
from mvd_toolkit.paper import PaperConfig, PaperDepth, PaperSilhouette

OPTIONS = {"width": 8, "blocks": 1, "variant": "authors"}
CONFIG = {"backbone": "resnet", "scale": 4, "options": OPTIONS}


class Constant(torch.nn.Module):
    """Answers one logit everywhere, and keeps what it was shown."""

    def __init__(self, logit, scale=4):
        super().__init__()
        self.logit, self.scale, self.seen = logit, scale, None

    def forward(self, x):
        self.seen = x
        edge = x.shape[-1] * self.scale
        return torch.full((len(x), 1, edge, edge), float(self.logit))


def low_grids(count=2, edge=8):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, edge, edge, edge, generator=generator) < 0.05


def with_backbone(cls, backbone, **config):
    predictor = cls(PaperConfig(**{**CONFIG, **config}))
    predictor.backbone = backbone
    return predictor.eval()


def test_the_networks_see_the_bare_odm_and_the_face_index():
    low = low_grids()
    backbone = Constant(0)
    with_backbone(PaperSilhouette, backbone)(low)
    assert backbone.seen.shape == (12, 2, 8, 8)
    odms = torch.from_numpy(ops.extract_odms(low.numpy()).astype("float32"))
    assert torch.equal(backbone.seen[:, 0], odms.flatten(0, 1))
    for index, plane in enumerate(backbone.seen[:, 1]):
        assert torch.equal(plane, torch.full((8, 8), float(index % 6)))


def test_depth_is_the_upsampled_low_depth_plus_a_part_of_the_range():
    low = low_grids()
    for logit, part in ((-100, 0.0), (0, 0.5), (100, 1.0)):
        depth = with_backbone(PaperDepth, Constant(logit), range=64.0)(low)
        base = ops.extract_odms(low.numpy()).repeat(4, axis=2).repeat(4, axis=3) * 4.0
        expected = torch.from_numpy(base).float() + part * 64.0 * 32 / 256
        assert torch.allclose(depth, expected)


def test_silhouette_loss_is_the_mean_squared_error():
    odms = torch.full((2, 6, 32, 32), 32)
    odms[:, :, :16] = 5
    loss, figures = with_backbone(PaperSilhouette, Constant(100)).loss(
        low_grids(), torch.zeros(2, dtype=torch.long), odms
    )
    assert float(loss) == pytest.approx(0.5)
    assert figures["loss"] == pytest.approx(0.5)


def test_depth_loss_counts_from_one_and_from_zero_at_background():
    low = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    low[:, :, :, :] = True  # every low depth is 0
    odms = torch.full((1, 6, 32, 32), 32)
    odms[..., :16, :] = 3
    predictor = with_backbone(PaperDepth, Constant(0), range=64.0)  # half of 8 fine voxels
    loss, figures = predictor.loss(low, torch.zeros(1, dtype=torch.long), odms)
    # solid half: 0 + 1 + 4 against 3 + 1; background half: 0 + 4 against 0
    assert figures["squared_error"] == pytest.approx((1 + 16) / 2)
    # one edge of height 1 along a row of 32 pixels
    assert figures["variation"] == pytest.approx(0.001 * 32 * 1 / 256)
    assert float(loss) == pytest.approx(figures["squared_error"] + figures["variation"])


def test_each_item_gives_one_face_drawn_at_random():
    torch.manual_seed(1)
    backbone = Constant(0)
    predictor = with_backbone(PaperSilhouette, backbone)
    seen = set()
    for _ in range(20):
        odms = torch.full((2, 6, 32, 32), 32)
        predictor.loss(low_grids(), torch.zeros(2, dtype=torch.long), odms, faces=1)
        assert backbone.seen.shape == (2, 2, 8, 8)
        seen |= set(backbone.seen[:, 1, 0, 0].int().tolist())
    assert seen == set(range(6))


def test_predicting_in_chunks_is_the_same(monkeypatch):
    from mvd_toolkit import paper

    torch.manual_seed(0)
    predictor = PaperDepth.from_config(CONFIG).eval()
    with torch.no_grad():
        whole = predictor(low_grids())
        monkeypatch.setattr(paper, "_CHUNK_PIXELS", 32 * 32)
        assert torch.allclose(predictor(low_grids()), whole, atol=1e-4)


def test_the_config_builds_the_same_predictor():
    predictor = PaperDepth.from_config({**CONFIG, "range": 35.0})
    config = predictor.config()
    assert config["kind"] == "paper"
    assert config["range"] == 35.0
    again = PaperDepth.from_config(config)
    assert again.config() == config
    again.load_state_dict(predictor.state_dict())


def test_unknown_backbone_options_are_refused():
    with pytest.raises(UsageError, match="resnet has no option 'depth'"):
        PaperDepth.from_config({**CONFIG, "options": {"depth": 3}})
