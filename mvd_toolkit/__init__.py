"""Multi-view decomposition: upscale coarse voxel grids by upscaling six depth maps."""

__version__ = "0.1.0"
