"""A scoring script that does nothing."""


def init():
    pass


def run(mini_batch):
    return ["done"] * len(mini_batch)
