"""The model: gradient boosting on 20 doubles, saved by MLflow."""

from __future__ import annotations

import warnings
from pathlib import Path

from benchmarks.data import COLUMNS, FOLDER

__all__ = ["model_folder"]


def model_folder() -> Path:
    """Return the folder of the MLflow model; trained if it is not there."""
    folder = FOLDER / "model"
    if (folder / "MLmodel").exists():
        return folder
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier

    values = np.random.default_rng(0).standard_normal((20_000, len(COLUMNS)))
    frame = pd.DataFrame(values, columns=COLUMNS)
    wanted = (values[:, :5].sum(axis=1) + values[:, 5] * values[:, 6] > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(frame, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = mlflow.models.infer_signature(frame, model.predict(frame))
        mlflow.sklearn.save_model(model, str(folder), serialization_format="cloudpickle", signature=signature)
    return folder
