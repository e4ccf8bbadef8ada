"""Entry point of the program: run the command and turn every way to end into lines on stderr and an exit code.

    AlphapulseError        error: … and hint: … on stderr; the error's own exit code (errors.ExitCode)
    a wrong command line   error: … and hint: … with the near matches; 2
    KeyboardInterrupt      the terminal is restored; 130
    SIGTERM, SIGHUP        everything open is closed first; 0 (SIGQUIT likewise; 130)
    a closed pipe          no message: its reader has seen enough; 0 (a terminal closed under the program likewise)
    OSError                one line, since the cause is outside the program; 1
    other exceptions       one line and how to see the traceback, since the cause is a bug; 1

No heavy module is imported before the streams and signals are in order.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from alphapulse_cli.edges import process
from alphapulse_cli.errors import AlphapulseError, ExitCode, NoSegment, StorageError

COMPLETION = f"_{process.PROGRAM}_COMPLETE".upper()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alphapulse` with the arguments (the process's own if None); returns the exit code."""
    process.standard_streams()
    code: int = ExitCode.INTERRUPTED
    try:
        with process.signals():
            code = _ended(list(sys.argv[1:] if arguments is None else arguments))
            is_heard = process.flush_standard_output()
            _release()
            return code if is_heard else ExitCode.DONE
    except OSError as problem:  # the output could not be stored; a failure already reported is not reported again
        return code or _world(problem)
    except KeyboardInterrupt:  # a second Ctrl-C, during the end
        return ExitCode.INTERRUPTED


def _ended(arguments: list[str]) -> int:
    """Run the command; returns its exit code and writes the error's lines on stderr."""
    try:
        with process.borrowed_terminal():
            return _run(arguments)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else ExitCode.DONE
    except AlphapulseError as problem:
        from alphapulse_cli.cli import mistaken, stderr

        about_segments = isinstance(problem, NoSegment | StorageError)
        stderr.error(problem, mistaken.hint(arguments, str(problem), is_of_segments=about_segments) or problem.hint)
        if stderr.explains():
            stderr.trace(problem)
        return problem.exit_code
    except BrokenPipeError:
        process.discard(sys.stdout)
        return ExitCode.DONE
    except OSError as problem:
        if process.is_lost_terminal(problem):
            process.discard(sys.stdout)
            process.discard(sys.stderr)
            return ExitCode.DONE
        return _world(problem)
    except Exception as problem:  # noqa: BLE001 - the outermost handler: the user sees one line
        return _ours(problem)


def _release() -> None:
    """Write the notices that were held back while a pager drew on the terminal."""
    from alphapulse_cli.cli import stderr

    stderr.release()


def _run(arguments: list[str]) -> int:
    import typer

    from alphapulse_cli.cli import mistaken, root, stderr

    stderr.reset()
    completing = COMPLETION in os.environ
    command = root.command(completion=completing or not arguments or arguments[0].startswith("-"))
    if completing:
        command.main(arguments, prog_name=process.PROGRAM, complete_var=COMPLETION)
    try:
        with command.make_context(process.PROGRAM, arguments) as context:
            stderr.start_log()
            command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        return ExitCode.FAILED
    except typer.TyperException as problem:
        text, usual = _usage(problem, command, arguments)
        stderr.error(text, mistaken.hint(arguments, text) or usual)
        return problem.exit_code
    return ExitCode.DONE


def _usage(problem: Exception, command: Any, arguments: Sequence[str]) -> tuple[str, str]:
    """Message and hint of one of typer's errors, in our style."""
    near = getattr(problem, "possibilities", None)
    text = str(getattr(problem, "message", problem) if near is not None else problem.format_message())  # type: ignore[attr-defined]
    text = text[:1].lower() + text[1:].rstrip(".")
    context = getattr(problem, "ctx", None)
    path = context.command_path if context is not None else _typed_path(command, arguments)
    return text, f"did you mean {' or '.join(near)}?" if near else f"{path} --help"


def _typed_path(root: Any, arguments: Sequence[str]) -> str:
    """Path of the command at the start of the arguments, for a parser error, which has no context of a command."""
    from alphapulse_cli.cli import loading

    path, command = process.PROGRAM, root
    for word in arguments:
        if command is root:
            child = loading.load(word) if word in root.command_names() else None
        else:
            child = getattr(command, "commands", {}).get(word)
        if child is None:
            break
        path, command = f"{path} {word}", child
    return path


def _world(problem: OSError) -> int:
    from alphapulse_cli.cli import stderr

    reason = problem.strerror or str(problem) or type(problem).__name__
    stderr.error(f"{reason}: {problem.filename}" if problem.filename else reason)
    if stderr.explains():
        stderr.trace(problem)
    return ExitCode.FAILED


def _ours(problem: Exception) -> int:
    from alphapulse_cli.cli import stderr

    if stderr.explains():
        stderr.trace(problem)
        stderr.error(
            f"internal error: {type(problem).__name__}: {problem}",
            "this is a bug in alphapulse; please report it with the lines above",
        )
    else:
        stderr.error(
            f"internal error: {type(problem).__name__}: {problem}",
            "this is a bug in alphapulse; -v shows the traceback to report",
        )
    return ExitCode.FAILED
