"""``holdfast authority``: make the certificate authority and the identities of processes; find one's own.

Signing needs a large library; it is imported when something is signed, not when a command is only looked up.
"""

from __future__ import annotations

from pathlib import Path

import click

from holdfast.cli.frame import emit
from holdfast.kernel.errors import InputError

_ISSUE_HELP = """Issue an identity, such as system:hosta, array:IBM.2107-75FA120, server:DELHI or store:witness.

Example: holdfast authority issue --authority ca system:hosta --into tls
"""
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def identity_directory(named: str) -> Path:
    """Return the directory of an identity after a look into it. Raises :class:`InputError` that says what to set."""
    remedy = "set HOLDFAST_IDENTITY to a directory that holdfast authority issue has written"
    if not named:
        raise InputError("no identity is named", remedy=remedy)
    missing = [name for name in ("cert.pem", "key.pem", "ca.pem") if not (Path(named) / name).is_file()]
    if missing:
        raise InputError(f"{named} is no identity: it has no {missing[0]}", remedy=remedy)
    return Path(named)


def authority_commands() -> click.Group:
    """Return the commands of ``holdfast authority``."""

    @click.group("authority", help="The built-in certificate authority: who may talk to whom.")
    def commands() -> None:
        """Group only."""

    @commands.command("create", help="Create an authority.\n\nExample: holdfast authority create --directory ca")
    @click.option("--directory", required=True, type=click.Path(path_type=Path), help="Made when missing.")
    @_json
    def create(directory: Path, as_json: bool) -> None:
        from holdfast.runtime.authority import create_authority

        created = not (directory / "ca.key").exists()
        create_authority(directory)
        text = f"authority in {directory}" if created else f"{directory} has an authority already; it is kept"
        emit({"directory": str(directory), "created": created}, as_json, text)

    @commands.command("issue", help=_ISSUE_HELP)
    @click.argument("name")
    @click.option(
        "--authority", "source", required=True, type=click.Path(path_type=Path, exists=True), help="Its directory."
    )
    @click.option("--into", required=True, type=click.Path(path_type=Path), help="Identity directory to write.")
    @_json
    def issue(name: str, source: Path, into: Path, as_json: bool) -> None:
        from holdfast.runtime import authority, identity

        identity.save_identity(authority.issue(source, name), into)
        emit({"name": name, "directory": str(into)}, as_json, f"identity of {name} in {into}")

    return commands
