"""``holdfast diff`` and ``holdfast verify``: what changed, and whether what is kept is what it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.backup.operations import help_of
from holdfast.cli.frame import emit


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """What to compare: two points in time, or (``disk``) one with the disk. Points are texts, "" is now."""

    filespace: str
    optfile: Path
    sysfile: Path | None
    node: str
    under: str
    before: str
    after: str
    disk: bool
    root: Path | None


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What to read back: a share of the files, drawn by ``seed``."""

    filespace: str
    optfile: Path
    sysfile: Path | None
    node: str
    under: str
    sample: float
    seed: int
    root: Path | None


@dataclass(frozen=True, slots=True)
class Wire:
    """``diff(request)`` → (rows, lines for standard error); ``verify(request)`` → (figures, exit code)."""

    diff: Callable[[DiffRequest], tuple[list[dict[str, Any]], list[str]]]
    verify: Callable[[VerifyRequest], tuple[dict[str, Any], int]]


_optfile = click.option(
    "--optfile", type=click.Path(path_type=Path), required=True, envvar="DSM_CONFIG", help="The option file, dsm.opt."
)
_sysfile = click.option(
    "--sysfile", type=click.Path(path_type=Path), help="dsm.sys; default: DSM_DIR, then beside dsm.opt."
)
_node = click.option("--node", default="", help="Node name; default: NODENAME of the stanza.")
_under = click.option("--under", default="", help="Only this object or directory, relative to the filespace.")
_root = click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where its tree is mounted now."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def diff_command(wire: Wire) -> click.Command:
    """Return ``holdfast diff``."""

    @click.command("diff", help=help_of("diff"))
    @click.argument("filespace")
    @_optfile
    @_sysfile
    @_node
    @_under
    @click.option("--from", "before", default="", help="The first point in time; default: what is active now.")
    @click.option("--to", "after", default="", help="The second point in time; default: what is active now.")
    @click.option("--disk", is_flag=True, help="Compare the first point in time with the disk.")
    @_root
    @_json
    @click.pass_context
    def diff(ctx: click.Context, /, as_json: bool, **values: Any) -> None:
        rows, problems = wire.diff(DiffRequest(**values))
        for line in problems:
            click.echo(line, err=True)
        lines = [f"{row['change']:<10}  {row['path']}  {' '.join(row['attributes'])}".rstrip() for row in rows]
        emit(rows, as_json, "\n".join(lines))
        ctx.exit(4 if problems else 0)

    return diff


def verify_command(wire: Wire) -> click.Command:
    """Return ``holdfast verify``."""

    @click.command("verify", help=help_of("verify"))
    @click.argument("filespace")
    @_optfile
    @_sysfile
    @_node
    @_under
    @click.option(
        "--sample",
        type=click.FloatRange(0, 100),
        default=100.0,
        metavar="PERCENT",
        help="How many files to read.",
    )
    @click.option("--seed", type=int, default=0, help="Seed that draws the sample; the same seed, the same files.")
    @_root
    @_json
    @click.pass_context
    def verify(ctx: click.Context, /, as_json: bool, **values: Any) -> None:
        figures, code = wire.verify(VerifyRequest(**values))
        for line in figures["failures"]:
            click.echo(line, err=True)
        text = (
            f"{figures['files_read']} of {figures['files_kept']} files read back: {figures['files_equal']} equal, "
            f"{figures['files_changed_since']} changed since, {len(figures['failures'])} failed"
        )
        emit(figures, as_json, text)
        ctx.exit(code)

    return verify
