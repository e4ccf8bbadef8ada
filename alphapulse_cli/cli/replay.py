"""`alphapulse replay`: captures played again, and the commands that steer a running replay."""

import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render
from alphapulse_cli.errors import ExitCode, NoSegment, UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.replay.replay import Progress, Replay

PLAY = "play"


class ReplayGroup(options.Group):
    """Group in which `play` may be left out: `replay FILE` is `replay play FILE`."""

    default = PLAY

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the group's own words, with `play` before what is no command."""
        is_own = not args or args[0] in self.commands or args[0] in options.CONTEXT["help_option_names"]
        if not (is_own or ctx.resilient_parsing or args[0].startswith("-") or os.path.lexists(args[0])):
            near = difflib.get_close_matches(args[0], [name for name in self.commands if name != PLAY], n=1)
            if near:
                raise UsageError(f"no file and no command of replay: {args[0]}", f"did you mean {near[0]}?")
        return super().parse_args(ctx, args if is_own or ctx.resilient_parsing else [PLAY, *args])


app = options.command_app(cls=ReplayGroup, no_args_is_help=True, subcommand_metavar="FILE... | pause|resume|step|seek|speed|status")


@app.callback()
def replay() -> None:
    """Play captures through the code that collects, at any speed, into segments of their own, which every command can read.

    `alphapulse replay FILE...` plays files and folders of captures; `replay play --help` lists its options. The other commands steer
    a replay that runs.

    Example: alphapulse replay captures --speed 10x
    """


@app.command(PLAY)
def play(
    places: Annotated[
        list[Path], typer.Argument(metavar="FILE...", show_default=False, help="Capture files, and folders of them.")
    ],
    speed: Annotated[
        str,
        typer.Option(
            metavar="FACTOR",
            autocompletion=options.complete_words("1x", "10x", "100x", "max"),
            help="Speed: 1x as recorded, 10x, 0.5x, or max: as fast as possible.",
        ),
    ] = "1x",
    start: options.FromTime = "",
    end: options.ToTime = "",
    symbols: options.Symbols = None,
    paused: Annotated[bool, typer.Option("--paused", help="Begin paused, for `replay step` and `replay resume`.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="Stay at the end, for `replay seek`, until Ctrl-C.")] = False,
    shm_dir: options.ShmDir = None,
    duration: options.Duration = None,
    as_json: options.Json = False,
) -> None:
    """Play captures: the same records come out at any speed and in any process.

    The segments go to a directory of their own, the usual one with the suffix -replay, so that no reader takes the past for the
    present: alphapulse tail --shm-dir DIR. Exchanges are merged by receive time. What a capture lost is a gap in its books.

    Faster than 1x it waits for its readers, overtakes none, and goes on behind a snapshot or the end of a run once they have read it (5 s at
    most), so that they see the same each time; one that stands still for 5 s (stopped, or behind a pager) is named.
    The end of the recording, --duration and SIGTERM end it with 0, Ctrl-C with 130. The last books stay readable in the directory until
    the next replay there, or alphapulse segments --sweep --shm-dir DIR.

    Example: alphapulse replay captures --from 2026-11-27T08:00:00Z --speed max
    """
    from alphapulse_cli.apps.replay import plan as plans
    from alphapulse_cli.apps.replay.timeline import recordings
    from alphapulse_cli.edges.capture.files import capture_files
    from alphapulse_cli.readers import moments

    settings = options.settings()
    made = plans.ReplayPlan(
        capture_files(places),
        plans.parse_speed(speed),
        moments.parse(start) if start else None,
        moments.parse(end) if end else None,
        symbols or (),
        str(plans.replay_directory(shm_dir or None, settings.get("shm_dir"))),
        settings.get("ring_records"),
        paused=paused,
    )
    found = recordings(made.places)
    plans.check_span(made, found)
    raise typer.Exit(_run(made, plans.played(made, found), hold=hold, duration=duration, as_json=as_json))


def _run(plan: Any, found: Any, *, hold: bool, duration: float | None, as_json: bool) -> ExitCode:
    import asyncio

    from alphapulse_cli.apps.replay.replay import Replay
    from alphapulse_cli.cli import running, stderr
    from alphapulse_cli.edges import process
    from alphapulse_cli.shm import clock
    from alphapulse_cli.shm.directory import open_directory

    with open_directory(plan.shm_dir, create=True) as directory:
        notices, foot = running.Notices(on_board=False), _Foot()

        def notice(level: str, text: str) -> None:
            foot.clear()
            notices.add("", level, text)

        def ready() -> None:
            stderr.note(
                f"REPLAY of {', '.join(one.set_name for one in found)} in {directory.path}: read it with --shm-dir {directory.path}"
            )

        replaying = Replay(plan, found, directory, notice, ready, hold=hold)
        started_ns = clock.monotonic_ns()

        async def work() -> ExitCode | None:
            try:
                async with asyncio.timeout(process.left_s(duration)):
                    if render.wants_json(as_json):
                        await replaying.run()
                        return None
                    return await running.beside(_as_work(replaying), _show(replaying, foot))
            except TimeoutError:
                return None

        try:
            code = running.run(work())
        finally:
            foot.clear()
        taken_s = (clock.monotonic_ns() - started_ns) / 1e9
        if render.wants_json(as_json):
            render.emit_json([_figures(replaying.progress, taken_s)])
        else:
            figures = replaying.progress
            print(f"{figures.frames} frames in {taken_s:.1f} s")
        return code


async def _as_work(replaying: "Replay") -> ExitCode | None:
    await replaying.run()
    return None


class _Foot:
    """Line at the foot of the terminal, which gives way to what is written there for good."""

    def __init__(self) -> None:
        self._is_drawn = False

    def draw(self, text: str) -> None:
        """Draw the line in place of the one before it."""
        self._is_drawn = True
        sys.stdout.write(f"\r\x1b[2K{text}")
        sys.stdout.flush()

    def clear(self) -> None:
        """Remove the line, if there is one."""
        if self._is_drawn:
            self._is_drawn = False
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()


async def _show(replaying: "Replay", foot: _Foot) -> None:
    """Show where the replay is, in one line at the foot of the terminal."""
    import asyncio

    while True:
        await asyncio.sleep(0.25)
        foot.draw(line(replaying))


def line(replaying: "Replay") -> str:
    """One line: REPLAY, the recording's time, speed, the share that is played, frames."""
    from alphapulse_cli.apps.replay.plan import speed_text
    from alphapulse_cli.apps.replay.steering import PLAYING
    from alphapulse_cli.readers import moments

    progress = replaying.progress
    span = max(progress.last_ns - progress.first_ns, 1)
    share = min(max((progress.now_ns - progress.first_ns) / span, 0.0), 1.0)
    state = speed_text(replaying.pace.speed) if replaying.state == PLAYING else replaying.state
    held = ", waiting for a reader" if replaying.held_by else ""
    return f"REPLAY {moments.moment(progress.now_ns, digits=1)} {state} {share:.0%} {progress.frames} frames{held}"


def _figures(progress: "Progress", taken_s: float) -> dict[str, Any]:
    from alphapulse_cli.readers import moments

    return {
        "frames": progress.frames,
        "rows": progress.rows,
        "seconds": round(taken_s, 3),
        "from": moments.moment(progress.first_ns, digits=9),
        "to": moments.moment(progress.now_ns, digits=9),
        "is_over": progress.is_over,
    }


def _steer(action: str, words: list[str], shm_dir: str | None) -> None:
    """Ask the running replay, and print its state."""
    from alphapulse_cli.apps.replay.plan import replay_directory
    from alphapulse_cli.apps.replay.steering import CONTROL_NAME, SEEKING
    from alphapulse_cli.edges import control
    from alphapulse_cli.edges.safe_text import safe
    from alphapulse_cli.shm.directory import open_directory

    path = replay_directory(shm_dir or None, options.settings().get("shm_dir"))
    absent = NoSegment(f"no replay runs in {path}", "alphapulse replay FILE")
    with open_directory(path) as directory:
        state, moment, *more = control.ask(directory, CONTROL_NAME, action, words, absent=absent)
    print(", ".join([f"{state} {'to' if state == SEEKING else 'at'} {moment}", *map(safe, more)]))


@app.command()
def pause(shm_dir: options.ShmDir = None) -> None:
    """Pause the running replay: its clock stands still, and its readers see nothing grow old."""
    _steer("pause", [], shm_dir)


@app.command()
def resume(shm_dir: options.ShmDir = None) -> None:
    """Let the paused replay go on."""
    _steer("resume", [], shm_dir)


@app.command()
def step(
    size: Annotated[
        str, typer.Argument(metavar="[N|TIME]", show_default=False, help="Number of frames, or a time, as in 1s or 250ms.")
    ] = "1",
    shm_dir: options.ShmDir = None,
) -> None:
    """Pause the running replay, and play the next N frames, or the next TIME of the recording.

    Example: alphapulse replay step 1s
    """
    from alphapulse_cli.apps.replay.replay import step_size

    step_size(size)
    _steer("step", [size], shm_dir)


@app.command()
def seek(
    moment: Annotated[
        str, typer.Argument(metavar="TIME", show_default=False, help="Time of the recording, as in 2026-11-27T08:00:00Z.")
    ],
    shm_dir: options.ShmDir = None,
) -> None:
    """Go to another time of the recording; its readers see the books of that time, in a new epoch.

    The books are built anew from the last checkpoint before it, else from the beginning of the collector's run: meanwhile it is
    `seeking`, and readers see no set.

    Example: alphapulse replay seek 2026-11-27T08:00:00Z
    """
    from alphapulse_cli.readers import moments

    moments.parse(moment)
    _steer("seek", [moment], shm_dir)


@app.command()
def speed(
    factor: Annotated[
        str,
        typer.Argument(
            metavar="FACTOR",
            show_default=False,
            autocompletion=options.complete_words("1x", "10x", "100x", "max"),
            help="1x, 10x, 0.5x or max.",
        ),
    ],
    shm_dir: options.ShmDir = None,
) -> None:
    """Change the speed of the running replay."""
    from alphapulse_cli.apps.replay.plan import parse_speed

    parse_speed(factor)
    _steer("speed", [factor], shm_dir)


@app.command()
def status(shm_dir: options.ShmDir = None) -> None:
    """Print the state of the running replay: playing, paused, seeking or over, its time, its speed, and the reader that it waits for.

    Faster than 1x a replay waits for readers that it would overtake. One that is stopped, or whose output nobody reads (a pager, a full
    pipe), holds it for as long as it stands.
    """
    _steer("status", [], shm_dir)
