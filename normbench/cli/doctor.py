"""normbench doctor: is everything there?"""

from __future__ import annotations

import typer

from normbench.cli import options

NAME = "doctor"

SOMETHING_BROKEN = 1


def command(
    results: options.Results = options.RESULTS,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check the installation, the machine, the data and the results, and say what to do.

    Ends with 1 when something is broken, else with 0. --quiet: only what is not well.
    """
    from dataclasses import asdict
    from json import dumps

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from normbench.constants import SCHEMA
    from normbench.doctor import Places, examine

    # Its own JSON and console: the others need packages that may be what is broken.
    findings = list(examine(Places(results, data_dir)))
    broken = any(finding.level == "problem" for finding in findings)
    if json:
        found = [asdict(finding) for finding in findings]
        typer.echo(dumps({"schema": SCHEMA, "well": not broken, "findings": found}))
    else:
        table = Table.grid(padding=(0, 2, 0, 0))
        styles = {"ok": "green", "note": "yellow", "problem": "bold red"}
        previous = ""
        for finding in findings:
            if quiet and finding.level == "ok":
                continue
            remedy = f"\n→ {finding.remedy}" if finding.remedy else ""
            name = "" if finding.check == previous else finding.check
            previous = finding.check
            level = Text(finding.level, styles[finding.level])
            table.add_row(Text(name), level, Text(finding.text + remedy))
        Console(highlight=False).print(table)
    if broken:
        raise typer.Exit(SOMETHING_BROKEN)
