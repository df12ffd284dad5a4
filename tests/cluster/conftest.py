import pytest

from tests.cluster.slurm import two_hosts


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    with two_hosts(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster
