"""What the interpreted run leaves out (`once`) is there, and imports no module that is compiled."""

import ast

import pytest
from support.once import FILES, TESTS

from alphapulse_cli.build import COMPILED_MODULES


def imported(source):
    """Names of the modules that a source imports, wherever it does; of `from a import b`, a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_a_file_that_runs_once_imports_nothing_compiled(path):
    assert imported(path.read_text()) & set(COMPILED_MODULES) == set()


@pytest.mark.parametrize(
    "line", ["from alphapulse_cli.book import walk", "from alphapulse_cli.book.walk import walk", "import alphapulse_cli.book.walk"]
)
def test_one_that_does_would_be_noticed(line):
    assert imported(f"def test():\n    {line}\n") & set(COMPILED_MODULES)


def test_they_and_no_others_are_marked(request):
    here = {item.path for item in request.session.items if item.get_closest_marker("once")}
    assert here == {item.path for item in request.session.items} & FILES
