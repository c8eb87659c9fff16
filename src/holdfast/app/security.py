"""``holdfast authority``: make the certificate authority and the identities of processes."""

from __future__ import annotations

from pathlib import Path

import click

from holdfast.runtime import authority, identity


def authority_commands() -> click.Group:
    """Return the commands of ``holdfast authority``."""

    @click.group("authority", help="The built-in certificate authority: who may talk to whom.")
    def commands() -> None:
        """Group only."""

    @commands.command("create", help="Create an authority.\n\nExample: holdfast authority create --directory ca")
    @click.option("--directory", required=True, type=click.Path(path_type=Path))
    def create(directory: Path) -> None:
        authority.create_authority(directory)

    @commands.command(
        "issue", help="Issue an identity.\n\nExample: holdfast authority issue --authority ca system:hosta --into tls"
    )
    @click.argument("name")
    @click.option("--authority", "source", required=True, type=click.Path(path_type=Path, exists=True))
    @click.option("--into", required=True, type=click.Path(path_type=Path), help="Identity directory to write.")
    def issue(name: str, source: Path, into: Path) -> None:
        identity.save_identity(authority.issue(source, name), into)

    return commands
