"""A campaign's part that needs the sources themselves: it runs in an interpreter that knows no compiled core, whatever was built.

for line in lines("stress.stores:interpreted", …):   # what it `tell`s, one JSON value a line
    …
"""

import json
import subprocess
import sys
import tempfile

_RUN = """
import importlib, json, sys
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path

def sources_only(path):
    if "alphapulse_cli" not in Path(path).parts:
        raise ImportError
    return FileFinder(path, (SourceFileLoader, [".py"]))

sys.path[:] = json.loads(sys.argv[1])
sys.path_hooks.insert(0, sources_only)
module, name = sys.argv[2].split(":")
getattr(importlib.import_module(module), name)(*json.loads(sys.argv[3]))
"""


class Failed(Exception):
    """It ended otherwise than by itself."""


def lines(function, *arguments):
    """Run it in a new interpreter; its lines as they come. Failed where it did not end with 0."""
    command = [sys.executable, "-P", "-c", _RUN, json.dumps(sys.path), function, json.dumps(arguments)]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:  # whoever listened has gone
            process.kill()
            raise
        process.wait()
        complaints.seek(0)
        complaint = complaints.read()
    if process.returncode:
        raise Failed(f"{function} ended with {process.returncode}: {complaint.strip()[-500:]}")


def tell(value):
    """In it: one line for whoever runs it."""
    print(json.dumps(value), flush=True)
