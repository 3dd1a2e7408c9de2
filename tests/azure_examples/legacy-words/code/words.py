# ruff: noqa: PLW0603  (as the scripts of Azure users are)
import os


def init():
    global stop_words
    folder = os.environ["AZUREML_MODEL_DIR"]
    found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    with open(found[0]) as file:
        stop_words = set(file.read().split())


def run(mini_batch):
    return [sum(word not in stop_words for word in open(path).read().lower().split()) for path in mini_batch]
