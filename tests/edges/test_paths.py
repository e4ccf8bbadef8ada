"""A user's own files: where XDG says, and nowhere for a user without a home."""

import os
import pwd
from pathlib import Path

import pytest

from alphapulse_cli.edges import paths
from alphapulse_cli.edges.config import layers
from alphapulse_cli.edges.opportunities.store import default_path


@pytest.fixture
def nobody(monkeypatch):
    """A uid that no passwd entry knows, as a container may be given."""

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/alphapulse"),
        ({"XDG_CONFIG_HOME": "c", "HOME": "/h"}, "/h/.config/alphapulse"),
        ({"HOME": "/"}, "/.config/alphapulse"),
    ],
)
def test_the_directory(environ, expected):
    assert paths.user_directory(paths.CONFIG, environ) == Path(expected)


def test_without_home_the_system_is_asked():
    assert paths.home_directory({}) == Path(pwd.getpwuid(os.getuid()).pw_dir)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_of_nobody_there_is_none(nobody, environ):
    assert paths.user_directory(paths.STATE, environ) is None
    assert layers.user_file(environ) is None
    assert default_path(environ) is None


def test_a_tilde_of_nobody_stays(nobody, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    assert paths.expanded("~/x") == Path("~/x")


def test_the_configuration_is_read_without_a_users_file(nobody, tmp_path):
    settings = layers.load({"ALPHAPULSE_DEPTH": "7"}, tmp_path)
    assert (settings.get("depth"), settings.origin("transport")) == (7, "default")
