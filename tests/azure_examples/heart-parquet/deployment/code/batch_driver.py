# ruff: noqa: PLW0603, UP006, UP035  (as the scripts of Azure users are)
import glob
import os
import pickle
from pathlib import Path
from typing import List

import pandas as pd


def init():
    global weights
    global output_path

    output_path = os.environ["AZUREML_BI_OUTPUT_PATH"]
    model_file = glob.glob(f"{os.environ['AZUREML_MODEL_DIR']}/*/*.pkl")[-1]
    with open(model_file, "rb") as file:
        weights = pickle.load(file)


def run(mini_batch: List[str]):
    for file_path in mini_batch:
        data = pd.read_csv(file_path)
        score = sum(data[name] * weight for name, weight in weights.items())
        data["prediction"] = (score > 0).astype(int)
        data.to_parquet(os.path.join(output_path, Path(file_path).stem + ".parquet"))

    return mini_batch
