"""The models and the one thread of the training tests."""

from splitcore.training.tests.conftest import model, one_thread

__all__ = ["model", "one_thread"]
