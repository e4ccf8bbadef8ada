"""Where a user's own files lie, as the XDG Base Directory Specification says; nowhere for a user without a home.

A container's arbitrary uid has no passwd entry and often no HOME: then there is no user's file, and every command works without one.
"""

import os
from collections.abc import Mapping
from pathlib import Path

CONFIG, STATE = ("XDG_CONFIG_HOME", ".config"), ("XDG_STATE_HOME", ".local/state")


def user_directory(which: tuple[str, str], environ: Mapping[str, str] = os.environ) -> Path | None:
    """The directory of alphapulse's files of that kind; None without a home. A value that is not absolute counts as none, as XDG says."""
    variable, below_home = which
    base = environ.get(variable, "")
    if base.startswith("/"):
        return Path(base) / "alphapulse"
    home = home_directory(environ)
    return None if home is None else home / below_home / "alphapulse"


def home_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """$HOME, else what the system knows of this uid; None where it knows nothing."""
    given = environ.get("HOME", "")
    if given:
        return Path(given) if given.startswith("/") else None
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def is_visible(path: Path) -> bool:
    """Whether the path can be looked at, there or not; not so in a directory that is closed to us."""
    try:
        path.lstat()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def expanded(text: str) -> Path:
    """The path with a leading ~ expanded where that can be; an unknown user's stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises where there is no home
