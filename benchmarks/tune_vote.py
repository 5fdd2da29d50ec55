"""The threshold of reconstructors that vote, and what their promises are worth: on held-back views.

    python benchmarks/tune_vote.py DATASET -m first/model -m second/model

A reconstructor's training measures both for it alone. Prints the lines for the ``config.json`` of
the first, in whose folder ``voter`` the second then votes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mvd_toolkit.image_input import cut_out
from mvd_toolkit.reconstruction import Reconstructor
from mvd_toolkit.train_reconstructor import best_threshold, calibrate, intersection_over_union
from mvd_toolkit.view_data import ViewDataset


def main() -> None:
    options = parse()
    make = Reconstructor.load(options.model)
    views = ViewDataset(options.dataset, options.split, limit=options.limit)
    places = [
        (index, view)
        for index, shape in enumerate(views.shapes)
        for view in range(min(options.views, len(shape.views)))
    ]
    chances = np.stack([seen(make, views, *place, options.threads) for place in places])
    truth = np.stack([views.target(*place) for place in places])
    threshold = best_threshold(chances, truth)
    found = {"threshold": threshold, "calibration": calibrate(chances, truth, threshold)}
    score = intersection_over_union(chances > threshold, truth).mean()
    print(f"{len(places)} pictures of {len(views)} shapes, mean IoU {score:.4f}")
    print(json.dumps(found, indent=2))


def seen(make: Reconstructor, views: ViewDataset, index: int, view: int, threads: int):
    """(N, N, N) chances that the models see in a picture."""
    picture = cut_out(views.shapes[index].views.picture(view), make.config.size)
    return make.look(picture, threads=threads)[0]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="with pictures")
    parser.add_argument("-m", "--model", action="append", help="a reconstructor; several vote")
    parser.add_argument("--split", default="val")
    parser.add_argument("--views", type=int, default=4, help="pictures of each shape")
    parser.add_argument("--limit", type=int, help="shapes")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
