#!/usr/bin/env python3
"""Freezes a version of the segment layout, from a commit: its readers in Python and C, and a set that its writer wrote.

    scripts/freeze_layout.py COMMIT        into tests/recordings/segments/<major>.<minor>/

tests/shm/test_layout_versions.py then holds every later version to it. Run it when `LAYOUT_MINOR` or `LAYOUT_MAJOR` is raised, with the
commit that raised it, and add the row to tests/recordings/segments/README.md. It runs the commit's code interpreted, with the Python that
runs the script, which needs numpy and orjson: `.venv/bin/python scripts/freeze_layout.py HEAD`.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FROZEN = ROOT / "tests" / "recordings" / "segments"
STORY = ROOT / "tests" / "support" / "layout_parts.py"


def unpacked(commit, folder):
    """The commit's tree below `folder`."""
    packed = subprocess.run(
        ["git", "archive", commit, "alphapulse_cli", "docs/how-to"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run_story(tree, *words):
    """Output of a command of the story, with the package of that tree."""
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-P", STORY, *words], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def pack(path, files):
    """A zip of {name: bytes} that is the same whenever it is made."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, octets in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), octets, zipfile.ZIP_DEFLATED, 9)


def freeze(commit):
    """The folder of the commit's layout, made anew."""
    with tempfile.TemporaryDirectory(prefix="alphapulse-freeze-") as name:
        folder = Path(name)
        tree, shm = unpacked(commit, folder / "tree"), folder / "shm"
        run_story(tree, "write", shm)
        layout = json.loads(run_story(tree, "read", shm))["layout"]
        readers = [Path(file) for file in json.loads(run_story(tree, "files", shm))]
        made = FROZEN / "{}.{}".format(*layout)
        made.mkdir(parents=True, exist_ok=True)
        pack(made / "readers.zip", {str(path.relative_to(tree)): path.read_bytes() for path in readers})
        pack(made / "set.zip", {path.name: path.read_bytes() for path in shm.glob("coinbase_*")})
        (made / "read_deltas.c").write_bytes((tree / "docs" / "how-to" / "read_deltas.c").read_bytes())
    return made


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(freeze(sys.argv[1]))
