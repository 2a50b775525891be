"""The fixtures of training's tests."""

from splitcore.training.tests.conftest import model, one_thread

__all__ = ["model", "one_thread"]
