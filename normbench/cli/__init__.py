"""The command line: one file a verb. The only place that prints results or exits.

Nothing here imports torch or pandas before a verb needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from normbench.cli import (
    check,
    claims,
    compare,
    cost,
    descriptors,
    doctor,
    export,
    init,
    list_,
    plan,
    probe,
    recommend,
    report,
    rm,
    show,
    train,
    validate,
    watch,
)
from normbench.cli.examples import epilog
from normbench.cli.silence import Silence
from normbench.cli.streams import Streams
from normbench.errors import ConfigError, NormbenchError, StoreError
from normbench.plain import shown

INTERRUPTED = 130

ANSWERING = frozenset(
    {"init", "plan", "compare", "report", "export", "validate", "show", "list", "rm", "doctor"}
)
"""Verbs that answer within seconds: what they load stays until they end."""

FRUGAL = ANSWERING - {"report", "export"}
"""Those that need few open files."""

app = typer.Typer(
    name="normbench",
    help="Which normalization layer should this network use? "
    "Train networks that differ in nothing else, and compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    init,
    plan,
    train,
    recommend,
    compare,
    watch,
    report,
    probe,
    cost,
    claims,
    check,
    export,
    validate,
    show,
    list_,
    rm,
    doctor,
)
for verb in VERBS:
    app.command(verb.NAME, epilog=epilog(verb.NAME))(verb.command)


def _version(asked: bool) -> None:
    if asked:
        from normbench.environment import package_version

        typer.echo(f"normbench {package_version('normbench')}")
        raise typer.Exit()


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """The options before the verb."""


def _interrupted(number: int, frame: object) -> None:
    if sys.stderr.isatty():  # what follows stands below the ^C, not behind it
        print(file=sys.stderr)
    # Not KeyboardInterrupt: the library under the command line turns that into exit 1.
    sys.exit(INTERRUPTED)


@contextmanager
def _collecting_seldom(verb: str) -> Iterator[None]:
    """Python's search for cycles, which takes a fifth of the import of torch, made rarely.

    While modules load it goes through all that has been loaded again and again, and once more when
    the process ends, to find nothing. What trains, and may hold tensors in cycles, keeps the
    usual thresholds.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)  # what is frozen is not searched at the end
    before = gc.get_threshold()
    if verb in ANSWERING:
        gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def main() -> None:
    """Run the command line and exit with the contract's code; mistakes show no traceback."""
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        with Streams() as streams:
            code = _code()
            streams.out.flush()
            if streams.out.fault is not None and not streams.out.unread:
                reason = getattr(streams.out.fault, "strerror", None) or streams.out.fault
                print(f"error: cannot write the output: {reason}".lower(), file=sys.stderr)
                code = code or StoreError.exit_code
        sys.exit(code)
    finally:
        signal.signal(signal.SIGINT, before)


def _code() -> int | str | None:
    """Run the command line; the exit code of the contract."""
    try:
        verb = " ".join(sys.argv[1:2])
        if verb not in ("", *FRUGAL):
            descriptors.require()
        with Silence(sys.argv), _collecting_seldom(verb):
            app(prog_name="normbench")  # also under `python -m`, where completion would not know it
    except NormbenchError as error:
        told = error.with_excerpts() if isinstance(error, ConfigError) else error
        print(f"error: {shown(told)}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if not descriptors.exhausted(error):
            raise
        print(f"error: {descriptors.too_many_open(descriptors.allowed())}", file=sys.stderr)
        return StoreError.exit_code
    except SystemExit as end:
        return end.code
    return 0
