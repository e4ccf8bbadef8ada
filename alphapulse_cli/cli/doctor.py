"""`alphapulse doctor`: checks of this machine and its collectors, each with a verdict and a command that mends it."""

import typer

from alphapulse_cli.cli import options, render

app = options.command_app()

COLUMNS = (
    render.Column("verdict", "is"),
    render.Column("check"),
    render.Column("found"),
    render.Column("fix", rank=1, whole=True, below="check"),  # a command broken over lines cannot be copied
)


@app.command()
def doctor(shm_dir: options.ShmDir = None, form: options.Format = None, as_json: options.Json = False) -> None:
    """Check this machine and the collectors, and suggest the next command to type.

    Examines the interpreter, the core, the clocks, the segments' directory, its writers and its readers. Changes nothing. Exit code
    1 if a check fails.

    Example: alphapulse doctor --json | jq 'select(.verdict != "ok")'
    """
    from alphapulse_cli.apps.doctor import Verdict, examine
    from alphapulse_cli.errors import ExitCode, UsageError

    try:
        configured = options.settings().get("shm_dir")
    except UsageError:
        configured = ""  # the configuration's own finding says what is wrong with it
    findings = list(examine(str(shm_dir or configured or "") or None))
    rows = [{"verdict": one.verdict.value, "check": one.check, "found": one.found, "fix": one.fix} for one in findings]
    render.emit_rows(rows, COLUMNS, render.chosen_format(form, as_json))
    if any(one.verdict is Verdict.FAIL for one in findings):
        raise typer.Exit(ExitCode.FAILED)
