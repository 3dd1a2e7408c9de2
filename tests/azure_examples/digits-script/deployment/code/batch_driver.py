# ruff: noqa: PLW0603, UP006, UP035  (as the scripts of Azure users are)
import argparse
import glob
import os
from os.path import basename
from typing import List

import numpy as np
import pandas as pd
from centroids import NearestCentroid


def init():
    global model

    parser = argparse.ArgumentParser()
    parser.add_argument("--logging_level", default="info")
    parser.parse_known_args()

    # The folder of the registered model lies below AZUREML_MODEL_DIR.
    model_file = glob.glob(f"{os.environ['AZUREML_MODEL_DIR']}/*/*.npy")[-1]
    model = NearestCentroid(np.load(model_file))


def read_pgm(path: str) -> np.ndarray:
    with open(path) as file:
        kind, width, height, _, *pixels = file.read().split()
    assert kind == "P2", f"{path} is no plain PGM image"
    return np.array(pixels, float).reshape(int(height), int(width))


def run(mini_batch: List[str]) -> pd.DataFrame:
    print(f"run() got {len(mini_batch)} files")
    results = []
    for image_path in mini_batch:
        distances = model.distances(read_pgm(image_path))
        results.append(
            {
                "file": basename(image_path),
                "class": int(distances.argmin()),
                "distance": float(distances.min()),
            }
        )
    return pd.DataFrame(results)
