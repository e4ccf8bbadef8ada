"""`alphapulse version`: versions of the program, Python and the system, in one row."""

from alphapulse_cli import __version__
from alphapulse_cli.cli import options, render

app = options.command_app()


@app.command()
def version(as_json: options.Json = False) -> None:
    """Show the version, the core's mode and the platform.

    The core is "compiled" or "interpreted". Both build the same books; the compiled core is faster.
    """
    import platform

    from alphapulse_cli import build

    row = {
        "alphapulse": __version__,
        "core": build.core_mode(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if render.wants_json(as_json):
        render.emit_json([row])
        return
    for name, value in row.items():
        print(f"{name:<16}{render.words(value)}")
