"""Entry point of the `alphapulse` command and of `python -m alphapulse_cli`.

On Windows it says in one line that alphapulse does not run there: what it stands on (flock, mmap of /dev/shm, signals) does not exist.
"""

import sys

NOT_ON_WINDOWS = (
    "error: alphapulse does not run on Windows: it needs POSIX shared memory, file locks and signals\n"
    "hint: run it in WSL 2, or in a Linux container\n"
)


def main() -> int:
    """Run the command of the process's arguments and give the exit code."""
    if sys.platform == "win32":
        sys.stderr.write(NOT_ON_WINDOWS)
        return 1
    from alphapulse_cli.cli.app import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
