"""`alphapulse doctor`: checks of this machine and its collectors, with a command to fix each; or the paths alphapulse writes."""

from typing import Annotated

import typer

from alphapulse_cli.cli import options, render

app = options.command_app()

COLUMNS = (
    render.Column("verdict", "is"),
    render.Column("check"),
    render.Column("found"),
    render.Column("fix", rank=1, whole=True, below="check"),  # a command broken over lines cannot be copied
)
PATH_COLUMNS = (
    render.Column("what", whole=True),
    render.Column("path", whole=True),
    render.Column("is_there", "there"),
    render.Column("moved_by", rank=2),
    render.Column("written_by", rank=3),
    render.Column("removed_by", rank=1),
)


@app.command()
def doctor(
    paths: Annotated[
        bool, typer.Option("--paths", help="List what alphapulse writes, with its path and what moves or removes it.")
    ] = False,
    shm_dir: options.ShmDir = None,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Check this machine and the collectors, and suggest the next command to type.

    Examines the interpreter, the core, the clocks, the segments' directory, its writers and its readers. Changes nothing. Exit code
    1 if a check fails.

    --paths lists every file and directory that alphapulse writes, for this user and environment, instead of the checks. THERE is
    empty for a name that is made at run time.

    Example: alphapulse doctor --json | jq 'select(.verdict != "ok")'
    """
    from dataclasses import asdict

    from alphapulse_cli.apps.doctor import CheckVerdict, examine
    from alphapulse_cli.apps.paths import written
    from alphapulse_cli.errors import ExitCode, UsageError

    try:
        configured = options.settings().get("shm_dir")
    except UsageError:
        configured = ""  # the configuration's own finding says what is wrong with it
    where = str(shm_dir or configured or "") or None
    if paths:
        render.emit_rows(map(asdict, written(where)), PATH_COLUMNS, render.chosen_format(form, as_json))
        return
    findings = list(examine(where))
    rows = [{"verdict": one.verdict.value, "check": one.check, "found": one.found, "fix": one.fix} for one in findings]
    render.emit_rows(rows, COLUMNS, render.chosen_format(form, as_json))
    if any(one.verdict is CheckVerdict.FAIL for one in findings):
        raise typer.Exit(ExitCode.FAILED)
