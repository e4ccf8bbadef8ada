"""The installed command for a whole module of tests, where what they look at takes seconds to bring about."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from conftest import Runner


@pytest.fixture(scope="module")
def module_alphapulse(tmp_path_factory):
    """As `alphapulse`, but one for all tests of the module; segments in a directory of its own, in shared memory where there is any."""
    shared = Path("/dev/shm")
    segments = Path(tempfile.mkdtemp(prefix="alphapulse-test-", dir=shared if os.access(shared, os.W_OK) else None))
    runner = Runner(tmp_path_factory.mktemp("home"), segments)
    try:
        yield runner
    finally:
        runner.close()
        shutil.rmtree(segments, ignore_errors=True)
