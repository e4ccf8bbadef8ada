"""Paths of a user's own files, by the XDG Base Directory Specification; there are none for a user without a home directory.

A container's arbitrary uid has no passwd entry and often no HOME: then there are no user's files, and every command works without
them.
"""

import os
from collections.abc import Mapping
from pathlib import Path

CONFIG, STATE = ("XDG_CONFIG_HOME", ".config"), ("XDG_STATE_HOME", ".local/state")
PREFERENCES = "tui.json"  # the live screen's file in the STATE directory


def user_directory(which: tuple[str, str], environ: Mapping[str, str] = os.environ) -> Path | None:
    """Directory of alphapulse's files of that kind (CONFIG or STATE); None without a home directory.

    A variable with a relative path counts as not set (XDG).
    """
    variable, below_home = which
    base = environ.get(variable, "")
    if base.startswith("/"):
        return Path(base) / "alphapulse"
    home = home_directory(environ)
    return None if home is None else home / below_home / "alphapulse"


def home_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Home directory: $HOME, else that of the password database; None without either, or for a relative $HOME."""
    given = environ.get("HOME", "")
    if given:
        return Path(given) if given.startswith("/") else None
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def is_visible(path: Path) -> bool:
    """Whether the existence of the path can be checked: False in a directory without search permission."""
    try:
        path.lstat()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def expanded(text: str) -> Path:
    """Path with a leading ~ expanded; the ~ of an unknown user stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises if there is no home
