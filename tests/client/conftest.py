import pytest

from alphapulse_cli.shm.directory import open_directory


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened
