import importlib.util
from functools import partial

import pytest

from alphapulse_cli.edges.exchange.transport import PICOWS, WEBSOCKETS, open_link
from alphapulse_cli.shm.directory import open_directory

NO_PICOWS = pytest.mark.skipif(importlib.util.find_spec("picows") is None, reason="picows is not installed (extra `fast`)")


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened


@pytest.fixture(params=[WEBSOCKETS, pytest.param(PICOWS, marks=NO_PICOWS)])
def opener(request):
    """`open_link` over each transport: whatever a test says of one holds for the other."""
    return partial(open_link, transport=request.param)
