"""Commands on sets written here, run in this process: quick, through the same `main`."""

import pytest
from conftest import Done, Runner
from support.reader_sets import Writer, ladder

from alphapulse_cli.cli import app, options, stderr
from alphapulse_cli.shm.directory import open_directory


@pytest.fixture
def quick(alphapulse, monkeypatch, capsys):
    """As `alphapulse` ever is, but that calling it is quick: no process is started for it."""

    class Quick(Runner):
        def __call__(self, *arguments):  # type: ignore[override]  # without what only a process can be given
            options.read_settings.cache_clear()
            code = app.main(arguments)
            return Done(int(code), *capsys.readouterr())

    for name, value in alphapulse.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(alphapulse.directory)
    runner = Quick(alphapulse.directory, alphapulse.shm_dir)
    yield runner
    runner.close()
    options.read_settings.cache_clear()
    stderr.reset()


@pytest.fixture
def directory(shm_dir):
    with open_directory(shm_dir) as opened:
        yield opened


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(40), "ETH-USD")
        yield made
