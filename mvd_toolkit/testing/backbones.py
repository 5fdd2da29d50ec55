"""What every backbone must satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mvd_toolkit.options import parse_options
from mvd_toolkit.specs import BackboneSpec
from mvd_toolkit.testing.declaration import check_declaration
from mvd_toolkit.testing.networks import check_gradients, check_network, is_close
from mvd_toolkit.tiling import Tiling, run_tiled

if TYPE_CHECKING:
    import torch

_IN, _OUT = 5, 2  # channels of the networks that are tried
_EDGES: Final = (5, 8, 11)


def check_backbone(spec: BackboneSpec, options: Mapping[str, Any] | None = None) -> None:
    """Check that a backbone keeps the contract of `BackboneSpec`.

    For every scale: shapes for odd and even edges, float32, the same answer twice in eval mode,
    an item's answer independent of its batch, a gradient at every parameter, state that survives
    a round trip. For the smallest scale: no dependence outside the declared receptive field, and
    the same answer from tiles that overlap by it.

    Args:
        spec: the backbone.
        options: those to build with, as ``--set`` takes them; the smaller the network, the faster
            the check.

    Raises:
        AssertionError: what is broken.
    """
    check_declaration(spec)
    parsed = parse_options(spec, options or {})
    for scale in spec.scales:
        _check_scale(spec, scale, parsed)
    _check_receptive_field(spec, parsed)


def _check_scale(spec: BackboneSpec, scale: int, options: Mapping[str, Any]) -> None:
    import torch

    where = f"backbone {spec.name} at scale {scale}"
    torch.manual_seed(0)
    network = spec.build(_IN, _OUT, scale, **options)
    check_network(network, where)
    network.eval()
    with torch.no_grad():
        for edge in _EDGES:
            _check_answer(network, torch.randn(3, _IN, edge, edge), scale, where)
        _check_state(spec, network, scale, options, where)
    network.train()
    network.zero_grad()
    network(torch.randn(2, _IN, 8, 8)).square().sum().backward()
    check_gradients(network, where)


def _check_answer(network: torch.nn.Module, x: torch.Tensor, scale: int, where: str) -> None:
    import torch

    before = x.clone()
    answer = network(x)
    expected = (len(x), _OUT, x.shape[2] * scale, x.shape[3] * scale)
    assert tuple(answer.shape) == expected, (
        f"{where}: input {tuple(x.shape)}: expected {expected}, found {tuple(answer.shape)}"
    )
    assert answer.dtype == torch.float32, f"{where}: expected float32, found {answer.dtype}"
    assert bool(torch.isfinite(answer).all()), f"{where}: the answer is not finite"
    assert torch.equal(x, before), f"{where}: the input was changed in place"
    assert torch.equal(network(x), answer), f"{where}: two calls in eval mode differ"
    for item in range(len(x)):
        alone = network(x[item : item + 1])[0]
        assert is_close(alone, answer[item]), (
            f"{where}: item {item} alone differs from the same item in a batch in eval mode"
        )


def _check_state(
    spec: BackboneSpec,
    network: torch.nn.Module,
    scale: int,
    options: Mapping[str, Any],
    where: str,
) -> None:
    import torch

    other = spec.build(_IN, _OUT, scale, **options).eval()
    other.load_state_dict(network.state_dict())
    x = torch.randn(1, _IN, 8, 8)
    assert torch.equal(other(x), network(x)), (
        f"{where}: another build with the same state_dict answers differently: "
        "something that matters is neither a parameter nor a buffer"
    )


def _check_receptive_field(spec: BackboneSpec, options: Mapping[str, Any]) -> None:
    """Differentiate one output pixel of each sub-pixel phase by the input, in float64.

    At each place that an input pixel has among the network's strides; and tiles that overlap by the
    declared field must give the whole.
    """
    import torch

    declared = spec.field(options)
    if declared is None:
        return
    torch.manual_seed(0)
    scale = min(spec.scales)
    network = spec.build(_IN, _OUT, scale, **options).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # wakes layers that start at zero
    for middle in range(declared // 2 + 2, declared // 2 + 2 + spec.step):
        edge = 2 * middle + 1
        x = torch.randn(1, _IN, edge, edge, dtype=torch.float64, requires_grad=True)
        answer = network(x)
        for phase in range(scale):
            at = middle * scale + phase
            (gradient,) = torch.autograd.grad(answer[0, :, at, at].sum(), x, retain_graph=True)
            touched = gradient[0].abs().sum(dim=0) > 0
            reach = max(_extent(touched.any(dim=0)), _extent(touched.any(dim=1)))
            assert reach <= declared, (
                f"backbone {spec.name}: an output pixel depends on {reach} input pixels along an "
                f"axis, receptive_field declares {declared}"
            )
    _check_tiles(spec, network, options)


def _check_tiles(spec: BackboneSpec, network: torch.nn.Module, options: Mapping[str, Any]) -> None:
    import torch

    tiling = Tiling.of(spec, options, 5)
    x = torch.randn(1, _IN, 16, tiling.reach + 16, dtype=torch.float64)
    with torch.no_grad():
        whole, tiled = network(x), run_tiled(network, x, tiling)
    assert bool(torch.allclose(tiled, whole, rtol=1e-9, atol=1e-9)), (
        f"backbone {spec.name}: tiles that overlap by its receptive field give another answer than "
        f"the whole; is step, {spec.step}, the product of its strides?"
    )


def _extent(touched: torch.Tensor) -> int:
    places = touched.nonzero()
    return int(places.max() - places.min()) + 1 if len(places) else 0
