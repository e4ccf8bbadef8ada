"""`alphapulse config show|path|init`: the configured values, the files, a template."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import StorageError, UsageError

app = options.command_app(
    help="Show the configuration. Precedence: flag > ALPHAPULSE_* variable > ./alphapulse.toml > user's file > default."
)


@app.command()
def show(form: options.Format = None, as_json: options.Json = False) -> None:
    """Show each value and where it comes from: an environment variable, a file, or the default. A secret is masked."""
    columns = (render.Column("key"), render.Column("value"), render.Column("origin"))
    render.emit_rows(_rows(), columns, render.chosen_format(form, as_json))


def _rows() -> Iterator[dict[str, Any]]:
    from alphapulse_cli.cli import configured

    for value in options.settings():
        yield {"key": value.key, "value": value.shown, "origin": value.origin}
    for command in configured.everything(typer.Context(typer.main.get_command(app))):
        for key, found, origin in command.set_values():
            yield {"key": key, "value": found, "origin": origin.partition(": ")[0]}


@app.command()
def path() -> None:
    """Show the files that are read, in order of precedence, and whether each exists."""
    from alphapulse_cli.edges.config import layers

    user = layers.user_file()
    for file in (Path.cwd() / layers.PROJECT_FILE, *([] if user is None else [user])):
        print(safe(file), *([] if os.path.isfile(file) else ["(not there)"]), sep="  ")  # noqa: PTH113 - False where we may not look
    if user is None:
        stderr.note("no user's file: this user has no home directory")


@app.command()
def init(
    here: Annotated[bool, typer.Option("--here", help="Write ./alphapulse.toml instead of the user's file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a configuration file with every key, each explained and commented out."""
    from alphapulse_cli.edges.config import layers

    file = Path.cwd() / layers.PROJECT_FILE if here else layers.user_file()
    if file is None:
        raise UsageError("this user has no home directory", "--here writes ./alphapulse.toml; or set HOME or XDG_CONFIG_HOME")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(layers.template())
    except FileExistsError:
        raise UsageError(f"{file} is there already", "--force replaces it") from None
    except OSError as problem:
        raise StorageError(f"{file}: cannot be written: {problem.strerror}") from None
    stderr.note(f"wrote {file}")
