"""What looks at low grids see: views along each face, the depth of the base, planes of features."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mvd_toolkit.features import FeatureConfig, base_grids, face_views, first_depth, view_features
from mvd_toolkit.fine_logits import turn_image


@dataclass(frozen=True)
class Looks:
    """What M looks at low grids see, one a face.

    Attributes:
        views: (M, N, N, N) bool, the grids turned so that the look goes along the last axis.
        base: (M, N, N) int64, depth of the base, N where background.
        rules: (M,) int64, place of the grid's rule in `INPUT_RULES`.
        coverage: (M, N, N, N) float32 like ``views``, or None.
    """

    views: torch.Tensor
    base: torch.Tensor
    rules: torch.Tensor
    coverage: torch.Tensor | None

    @classmethod
    def of(
        cls,
        low: torch.Tensor,
        rule_index: torch.Tensor,
        coverage: torch.Tensor | None,
        faces: int,
    ) -> Looks:
        """The first ``faces`` looks at each of B grids: M = B * faces.

        Args:
            low: (B, N, N, N) bool.
            rule_index: (B,) int64, place of each grid's rule in `INPUT_RULES`.
            coverage: (B, N, N, N) float32, or None.
            faces: 1 to 6.
        """

        def views_of(grids: torch.Tensor) -> torch.Tensor:
            return face_views(grids)[:, :faces].flatten(0, 1)

        views = views_of(low)
        base_low = base_grids(low, rule_index)
        base_views = views if base_low is low else views_of(base_low)
        return cls(
            views,
            first_depth(base_views),
            rule_index.repeat_interleave(faces),
            None if coverage is None else views_of(coverage),
        )

    def planes(self, config: FeatureConfig) -> torch.Tensor:
        """(M, C, N, N) float32 feature planes."""
        return view_features(self.views, self.base, self.rules, config, self.coverage)

    def part(self, part: slice) -> Looks:
        """Some of them."""
        coverage = None if self.coverage is None else self.coverage[part]
        return Looks(self.views[part], self.base[part], self.rules[part], coverage)

    def turned(self, symmetry: tuple[bool, bool, bool]) -> Looks:
        """The same with the image turned."""
        coverage = None if self.coverage is None else turn_image(self.coverage, symmetry, 1)
        views, base = turn_image(self.views, symmetry, 1), turn_image(self.base, symmetry, 1)
        return Looks(views, base, self.rules, coverage)
