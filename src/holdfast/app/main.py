"""The entry of every Holdfast program: ``holdfast NOUN VERB`` and, under their own names, the dialects' commands.

Nothing is imported before it is known to be needed: a dialect command that is typed a thousand times a day should not
pay for the web console.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself costs a third of what an answer at the daemon's door does
if TYPE_CHECKING:
    from holdfast.cli.frame import LazyGroup

NOUNS = {
    "drill": ("holdfast.app.drill:drill_command", "Show every part at work on two sites on this machine."),
    "group": ("holdfast.app.cluster:group_commands", "Service groups: state, online, offline, switch, freeze."),
    "resource": ("holdfast.app.cluster:resource_commands", "Resources of service groups."),
    "system": ("holdfast.app.cluster:system_commands", "Systems: the daemon, the list, the state."),
    "cluster": ("holdfast.app.cluster:cluster_commands", "The cluster's configuration and state."),
    "config": ("holdfast.app.configuration:config_commands", "What a main.cf would change, the change, the way back."),
    "plan": ("holdfast.app.forecasts:plan_command", "Show what would happen, and why, before it happens."),
    "explain": ("holdfast.app.explain:explain_command", "Show why something was decided, and decide it again."),
    "type": ("holdfast.app.cluster:type_commands", "Resource types, and the OCF agents they can be made of."),
    "agent": ("holdfast.app.agent:agent_commands", "Holdfast's own agents, for other cluster managers."),
    "fence": ("holdfast.app.cluster:fence_commands", "Evidence that a system is dead."),
    "array": ("holdfast.app.replication:array_commands", "The software array."),
    "volume": ("holdfast.app.replication:volume_commands", "Volumes of an array, and block devices made of them."),
    "pair": ("holdfast.app.replication:pair_commands", "Metro Mirror pairs."),
    "flash": ("holdfast.app.replication:flash_commands", "Flash copies."),
    "snapshot": ("holdfast.app.snapshot:snapshot_commands", "Cluster-aware flash copies of a service group."),
    "backup": ("holdfast.app.backup:backup_commands", "Back up file systems to a backup server."),
    "restore": ("holdfast.app.backup:restore_commands", "Restore from a backup server."),
    "retrieve": ("holdfast.app.backupclient:retrieve_command", "Bring archive objects back from a backup server."),
    "diff": ("holdfast.app.backupclient:diff_command", "What changed between two points in time, or since."),
    "mount": ("holdfast.app.mounting:mount_command", "Show a filespace as it was, as a read-only file system."),
    "verify": ("holdfast.app.backupclient:verify_command", "Read back what is kept and compare it with its source."),
    "server": ("holdfast.app.backup:server_commands", "The backup server."),
    "store": ("holdfast.app.store:store_commands", "The replicated state that every system reads and writes."),
    "authority": ("holdfast.app.security:authority_commands", "The built-in certificate authority."),
    "dialect": ("holdfast.app.dialect:dialect_commands", "Install the command names that administrators know."),
    "completion": ("holdfast.cli.completion:commands", "Scripts that let a shell complete commands and names."),
    "man": ("holdfast.app.man:man_command", "Write the manual pages."),
}
"""Noun → (builder of its click command, one-line summary)."""

DIALECTS = {
    "dscli": "holdfast.app.replication:dscli_main",
    "dsmc": "holdfast.app.backup:dsmc_main",
    "dsmcad": "holdfast.app.backupclient:dsmcad_main",
    "dsmadmc": "holdfast.app.backup:dsmadmc_main",
    "svcmgr": "holdfast.app.opensvc:opensvc_main",
    "nodemgr": "holdfast.app.opensvc:opensvc_main",
    **dict.fromkeys(
        (
            "hastatus",
            "hagrp",
            "hares",
            "hasys",
            "hatype",
            "haattr",
            "haclus",
            "hahb",
            "haalert",
            "hauser",
            "halogin",
            "hatrigger",
            "hamsg",
            "hastart",
            "hastop",
            "haconf",
            "hacf",
        ),
        "holdfast.app.vcs:vcs_main",
    ),
}
"""Command name → function that takes that name and the arguments after it, and returns the exit code."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; a first word or program name that is a dialect's command runs that dialect."""
    arguments = sys.argv if argv is None else argv
    name = os.path.basename(arguments[0])
    if name.startswith("dsmcad."):  # a daemon under a name of its own, for a service group
        name = "dsmcad"
    if name in DIALECTS:
        return _run_dialect(name, arguments[1:])
    if len(arguments) > 1 and arguments[1] in DIALECTS:
        return _run_dialect(arguments[1], arguments[2:])
    return _run_native(arguments[1:])


def _run_dialect(name: str, arguments: list[str]) -> int:
    from holdfast.app.knock import COMMANDS, knock

    answered = knock(name, arguments) if name in COMMANDS else None
    return _run_here(name, arguments) if answered is None else answered


def _run_here(name: str, arguments: list[str]) -> int:
    import importlib

    from holdfast.kernel.errors import HoldfastError

    module, _, function = DIALECTS[name].partition(":")
    try:
        code = int(getattr(importlib.import_module(module), function)(name, arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read has gone: nothing to complain about at the end
        return 1
    except HoldfastError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _run_native(arguments: list[str]) -> int:
    from holdfast.cli.frame import run_guarded

    return run_guarded(native_root(), arguments, "holdfast")


def native_root() -> LazyGroup:
    """Return the root of the native command; its nouns are built when they are asked for."""
    import click

    from holdfast import __version__
    from holdfast.cli.conventions import exit_lines
    from holdfast.cli.frame import CONTEXT, LazyGroup

    examples = ("  holdfast drill", "  holdfast group switch ledger --to hostb --wait 60")
    root = LazyGroup(
        "holdfast",
        nouns=NOUNS,
        also=DIALECTS,
        no_args_is_help=True,
        help=(
            "Keep clustered services running and their data recoverable.\n\n"
            "holdfast NOUN --help lists a noun's verbs, holdfast NOUN VERB --help shows one with examples."
        ),
        epilog="\n".join(
            ("\b", "Examples:", *examples, "", "\b", "Exit codes:", *(f"  {line}" for line in exit_lines()))
        ),
        context_settings=CONTEXT,
    )
    click.version_option(__version__, prog_name="holdfast", message="%(prog)s %(version)s")(root)
    return root


if __name__ == "__main__":
    sys.exit(main())
