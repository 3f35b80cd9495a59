"""normbench doctor: is everything there?"""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import options

NAME = "doctor"

SOMETHING_BROKEN = 1


def command(
    experiment: options.Experiment = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Set damaged runs of EXPERIMENT aside; nothing is deleted."),
    ] = False,
    results: options.Results = options.RESULTS,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check the installation, the machine, the data and the results, and say what to do.

    With EXPERIMENT: hold every file of it against what was written, the runs against each other,
    and the accuracy of a few against the weights they kept. Ends with 1 when something is broken,
    else with 0. --quiet: only what is not well.
    """
    from dataclasses import asdict
    from json import dumps

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from normbench.constants import SCHEMA
    from normbench.doctor import Folders, examine
    from normbench.plain import shown

    # Its own JSON and console: the others need packages that may be what is broken.
    if experiment is not None:
        from normbench.doctor import Finding, examine_experiment
        from normbench.store import locate

        store = locate(results, experiment)
        findings = list(examine_experiment(store, repair=repair))
        if all(finding.level != "problem" for finding in findings):
            from normbench.execution.recompute import sample_told

            findings += [Finding("results", *told) for told in sample_told(store, data_dir)]
    elif repair:
        raise typer.BadParameter("--repair goes with the name of an experiment")
    else:
        findings = list(examine(Folders(results, data_dir)))
    broken = any(finding.level == "problem" for finding in findings)
    if json:
        rows = [asdict(finding) for finding in findings]
        typer.echo(dumps({"schema": SCHEMA, "well": not broken, "findings": rows}))
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
            table.add_row(Text(name), level, Text(shown(finding.text + remedy), overflow="fold"))
        Console(highlight=False).print(table)
    if broken:
        raise typer.Exit(SOMETHING_BROKEN)
