"""Requests that schemathesis makes of the OpenAPI document: no server error, and no answer that the document does not declare."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from support.campaigns import size
from support.reader_sets import Writer, kept_alive, ladder
from support.rest_parts import Served

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

from alphapulse_cli.apps.serve import images
from alphapulse_cli.apps.serve.rest import openapi_document

EXAMPLES = size(15, 100)
ADDRESSES = sorted(openapi_document()["paths"])


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    from alphapulse_cli.shm.directory import open_directory

    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    with (
        open_directory(tmp_path_factory.mktemp("shm") / "segments", create=True) as directory,
        Writer(directory, ("BTC-USD", "ETH-USD")) as writer,
        kept_alive(writer),
        Served(directory) as served,
    ):
        writer.snapshot(ladder(40))
        writer.trades(("a", 1, 2, 0))
        writer.update([(1_000_000, 5, False)])
        served.poll()
        import schemathesis

        yield schemathesis.openapi.from_asgi("/openapi.json", served.app)
    patch.undo()


def asked(schema, address, count=EXAMPLES):
    """Statuses of the answers to generated requests; AssertionError for one that the document does not declare."""
    statuses: Counter[int] = Counter()

    @given(case=schema[address]["GET"].as_strategy())
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],  # to shrink a failure takes a minute
    )
    def ask(case):
        response = case.call()
        statuses[response.status_code] += 1
        case.validate_response(response)

    ask()
    return statuses


@pytest.mark.parametrize("address", ADDRESSES)
def test_whatever_is_asked_the_answer_is_declared_and_no_server_error(schema, address):
    statuses = asked(schema, address)
    assert statuses
    assert max(statuses) < 500


def test_a_server_error_would_be_found(schema, monkeypatch):
    """The mutant: a name that nobody expects makes the search fail."""
    monkeypatch.setattr(images.Images, "find", lambda _self, _exchange, symbol: symbol[1000])
    with pytest.raises(BaseException, match=r"index out of range|Server error"):
        asked(schema, "/api/v1/book/{exchange}/{symbol}", 3)
