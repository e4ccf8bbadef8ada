"""Writer of a plug-in package for a new exchange: a copy of `exchanges.example` under the new name, with its tests and a README.

The copy works at once: installed, `alphapulse` knows the exchange, its simulator runs, and its tests pass.
"""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path

from alphapulse_cli import __version__, exchanges
from alphapulse_cli.apps.new_exchange import texts
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.exchanges import example

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 16  # bytes of an exchange's name in a record
ORIGINAL = "alphapulse_cli.exchanges.example"


def check_name(name: str) -> str:
    """Return the name if it is valid for a new exchange, else raise UsageError."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME or keyword.iskeyword(name):
        raise UsageError(f"not a name of an exchange: {name[:40]!r}", "write a-z, 0-9 and -, at most 16 of them: my-exchange")
    if name in exchanges.names() or name in exchanges.REFUSED:
        raise UsageError(f"there is an exchange {name!r} already", "`alphapulse exchanges` lists them: choose another name")
    return name


def files(name: str) -> Mapping[str, str]:
    """Files of the package by their path below its folder. UsageError as of `check_name`."""
    package = f"alphapulse_{check_name(name).replace('-', '_')}"
    title = name.replace("-", " ").title()
    words = {"name": name, "package": package, "title": title, "distribution": f"alphapulse-{name}", "version": _release()}
    found = {
        "pyproject.toml": texts.PYPROJECT.format(**words),
        "README.md": texts.README.format(**words),
        ".gitignore": texts.GITIGNORE,
    }
    source = Path(str(example.__file__)).parent
    for path in sorted(source.glob("*.py")):
        found[f"{package}/{path.name}"] = _renamed(path.read_text(encoding="utf-8"), name, package, title)
    for path in sorted((source / "tests").glob("*.py")):
        made = _renamed(path.read_text(encoding="utf-8"), name, package, title)
        found[f"tests/{path.name}"] = made
    return found


def write(name: str, into: Path) -> list[Path]:
    """Write the package to `into`/alphapulse-NAME; the files, in order. UsageError if that is there already. StorageError."""
    made = files(name)
    root = into / f"alphapulse-{name}"
    if root.exists():
        raise UsageError(f"{root} is there already", "remove it, or name another folder with --into")
    try:
        for path, text in made.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {root}: {error.strerror}", "name a folder that may be written with --into") from error
    return [root / path for path in made]


def _renamed(text: str, name: str, package: str, title: str) -> str:
    """The example's text with the new names. Its closing paragraph on being an example is left out."""
    text = text.replace(ORIGINAL, package)
    text = re.sub(r"\n\nIt is no exchange that alphapulse collects from:[^\"]*", "\n", text)
    return re.sub(r"\bexample\b", name, re.sub(r"\bExample\b", title, text))


def _release() -> str:
    """Version requirement of the plug-in: major.minor of this alphapulse."""
    return ".".join(__version__.split(".")[:2])
