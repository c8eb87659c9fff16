"""How a drill looks while it runs: a progress bar over its steps, notes as they happen, a table at the end."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from holdfast.continuity.model.report import Failure, Report


class LiveNarrator:
    """Tells a person at a terminal, or a log, what happens. Colour and movement only on a terminal."""

    def __init__(self, steps: int, verbose: bool) -> None:
        self._console = Console(highlight=False)
        self._verbose = verbose
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=steps)
        self._title = ""
        self._progress.start()

    def step(self, name: str, title: str) -> None:
        """Announce a step."""
        self._title = title
        self._progress.update(self._task, description=f"{name}: {title}")
        self._console.print(f"[bold]{name}[/bold]  {title}")

    def note(self, text: str) -> None:
        """Tell what happened."""
        self._console.print(f"   {text}", markup=False)

    def command(self, host: str, argv: Sequence[str], origin: str) -> None:
        """Show a command line, and the document that prints it."""
        if self._verbose:
            mark = f"   # {origin or 'native'}"
            self._console.print(f"   {host}# {shlex.join(argv)}{mark}", markup=False, style="dim", soft_wrap=True)

    def done(self, name: str, seconds: float) -> None:
        """Tell that a step held."""
        self._progress.advance(self._task)
        self._console.print(f"   [green]ok[/green]  {seconds:.1f} s")

    def failed(self, failure: Failure) -> None:
        """Tell what was expected and what was seen, and where to look further."""
        _print_failure(self._console, failure)

    def close(self) -> None:
        """Take the progress bar away."""
        self._progress.stop()


class SilentNarrator:
    """Says nothing: standard output belongs to the report."""

    def step(self, name: str, title: str) -> None:
        """Silent."""

    def note(self, text: str) -> None:
        """Silent."""

    def command(self, host: str, argv: Sequence[str], origin: str) -> None:
        """Silent."""

    def done(self, name: str, seconds: float) -> None:
        """Silent."""

    def failed(self, failure: Failure) -> None:
        """Silent."""

    def close(self) -> None:
        """Silent."""


def print_report(report: Report) -> None:
    """Print the closing table, what was skipped, and for a failure what was expected and seen."""
    console = Console(highlight=False)
    table = Table(title=f"drill ({report.mode} mode)", title_justify="left", show_edge=False)
    for heading in ("step", "result", "seconds", "figures"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for step in report.steps:
        result = "[green]ok[/green]" if step.ok else "[red]FAILED[/red]"
        table.add_row(step.name, result, f"{step.seconds:.1f}", _figures(step.figures))
    console.print(table)
    for case in report.trouble:
        console.print(
            f"trouble: {case.case}: {case.outcome}, lost writes {case.lost_writes}. {case.reason}", markup=False
        )
    console.print(f"acknowledged writes: {report.acknowledged_writes}", markup=False)
    console.print(f"lost acknowledged writes: {report.lost_writes}", markup=False)
    for item in report.skipped:
        console.print(f"skipped: {item}", markup=False)
    if report.failure:
        _print_failure(console, report.failure)
    colour = "green" if report.verdict == "pass" else "red"
    console.print(f"verdict: [{colour}]{report.verdict}[/{colour}]")


def _print_failure(console: Console, failure: Failure) -> None:
    console.print(f"[red]failed[/red] in step {failure.step}")
    console.print(f"  expected: {failure.expected}", markup=False)
    console.print(f"  seen:     {failure.seen}", markup=False)
    for log in failure.logs:
        console.print(f"  log:      {log}", markup=False)


def _figures(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
