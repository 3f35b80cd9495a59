"""The command line: one file a verb. The only place that prints results or exits.

Nothing here imports torch or pandas before a verb needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys

import typer

from normbench.cli import (
    claims,
    compare,
    cost,
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
from normbench.errors import ConfigError, NormbenchError

INTERRUPTED = 130

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


def main() -> None:
    """Run the command line and exit with the contract's code; mistakes show no traceback."""
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        with Silence(sys.argv):
            app(prog_name="normbench")  # also under `python -m`, where completion would not know it
    except NormbenchError as error:
        told = error.with_excerpts() if isinstance(error, ConfigError) else error
        print(f"error: {told}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        signal.signal(signal.SIGINT, before)
