"""What every plugin must satisfy: call these from a plugin's own tests.

>>> from mvd_toolkit.testing import check_backbone
>>> check_backbone(spec)                                            # doctest: +SKIP

Each check raises AssertionError with a sentence that says what was expected and what was found.
"""

from mvd_toolkit.testing.backbones import check_backbone
from mvd_toolkit.testing.formats import check_format
from mvd_toolkit.testing.predictors import check_predictor
from mvd_toolkit.testing.reconstructors import check_reconstructor
from mvd_toolkit.testing.tiny_dataset import make_tiny_dataset

__all__ = [
    "check_backbone",
    "check_format",
    "check_predictor",
    "check_reconstructor",
    "make_tiny_dataset",
]
