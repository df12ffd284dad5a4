from tests.training.conftest import config, target  # noqa: F401
