"""What a user can ask of the backup domain, declared once; the native commands take help and examples from here."""

from __future__ import annotations

from holdfast.kernel.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "backup incremental",
        "Back up what changed in the named filespaces, or in the DOMAIN of the option file. "
        "Exit code: 0 all well, 4 some objects skipped, 8 warnings.",
        examples=("holdfast backup incremental /VCS --optfile dsm.opt --snapshotroot /VCS=/mnt/copy --json",),
    ),
    Operation(
        "backup selective",
        "Back up what is named, whether it changed or not. Wildcards stand in the last component only.",
        examples=("holdfast backup selective '/VCS/db/*' --subdir --optfile dsm.opt",),
    ),
    Operation(
        "backup archive",
        "Keep what is named as archive objects, apart from all versions, for as long as the class says.",
        examples=("holdfast backup archive '/VCS/db/*' --description 'year end 2026' --optfile dsm.opt",),
    ),
    Operation(
        "backup set-password",
        "Keep the password of a node for the server of the option file.",
        examples=("holdfast backup set-password --optfile dsm.opt --password-file /root/vcsshare.secret",),
    ),
    Operation(
        "backup filespaces",
        "List the node's filespaces.",
        examples=("holdfast backup filespaces --optfile dsm.opt",),
        changes=False,
    ),
    Operation(
        "restore",
        "Restore FILESPACE into DESTINATION. An object that cannot be restored is named with its volume on standard "
        "error, the rest is restored, and the exit code is 12.",
        examples=("holdfast restore /VCS /tmp/back --optfile dsm.opt --pitdate 2026-11-20 --pittime 13:45:10.25",),
    ),
    Operation(
        "retrieve",
        "Bring archive objects back, the newest of each place. Without DESTINATION they go where they came from.",
        examples=("holdfast retrieve '/VCS/db/*' /tmp/back --description 'year end 2026' --optfile dsm.opt",),
    ),
    Operation(
        "diff",
        "Show what changed in a filespace between two points in time, or between one and the disk.",
        examples=(
            "holdfast diff /VCS --from 2026-11-20 --optfile dsm.opt",
            "holdfast diff /VCS --disk --optfile dsm.opt --json",
        ),
        changes=False,
    ),
    Operation(
        "mount",
        "Mount a filespace as it was at a point in time, read-only. Unmount it with `umount` or `fusermount3 -u`.",
        examples=("holdfast mount /VCS /mnt/then --pitdate 2026-11-20 --pittime 13:45:10 --optfile dsm.opt",),
        changes=False,
    ),
    Operation(
        "verify",
        "Read active versions back and compare them with their source, all of them or a sample. Exit code 12 when an "
        "object is damaged or differs.",
        examples=("holdfast verify /VCS --sample 5 --optfile dsm.opt",),
        changes=False,
    ),
    Operation(
        "server new",
        "Make a server with all it needs in one directory: authority, identity, configuration, catalog, pools.",
        examples=("holdfast server new /srv/holdfast --address 10.1.0.5:1500",),
    ),
    Operation(
        "server add-client",
        "Register a node at a running server that `server new` made, and write its client's identity, password and "
        "option files.",
        examples=("holdfast server add-client alpha --config /srv/holdfast/server.toml --into /etc/holdfast/backup",),
    ),
    Operation(
        "server init",
        "Create the server: catalog, keys, STANDARD policy, pools, administrator ADMIN.",
        examples=("holdfast server init --config delhi.toml",),
    ),
    Operation(
        "server run",
        "Run the server until it is told to end.",
        examples=("holdfast server run --config delhi.toml",),
    ),
    Operation(
        "server command",
        "Run an administrative command, or every command of a macro file (checked whole before the first runs).",
        examples=('holdfast server command --config delhi.toml "QUERY STGPOOL"',),
    ),
    Operation(
        "server processes",
        "List what runs at the server, with progress. Cancel one with the command CANCEL PROCESS number.",
        examples=("holdfast server processes --config delhi.toml --watch",),
        changes=False,
    ),
    Operation(
        "server sessions",
        "List who has a session with the server. End one with the command CANCEL SESSION number.",
        examples=("holdfast server sessions --config delhi.toml",),
        changes=False,
    ),
    Operation(
        "server reconcile",
        "Compare the virtual volumes of a device class with the objects at its target, both ways.",
        examples=("holdfast server reconcile TARGETCLASS --fix yes --config delhi.toml --json",),
    ),
    Operation(
        "server rebuild-catalog",
        "Make a new catalog from the volumes and the key file alone; the server must not run. "
        "Exit code: 8 when records were damaged or objects lost, each named.",
        examples=("holdfast server rebuild-catalog --config delhi.toml --volumes /srv/pools/backup --replace",),
    ),
    Operation(
        "server kit",
        "Write the recovery kit: keys, node password, authority and identity, wrapped with a passphrase.",
        examples=("holdfast server kit --config delhi.toml --out /safe/delhi.kit --passphrase-file /root/passphrase",),
    ),
    Operation(
        "server recover",
        "Make a new server from the recovery kit and its vault. Start it with `server run`, then UPDATE SERVER target "
        "FORCESYNC=YES, then reconcile.",
        examples=(
            "holdfast server recover --kit delhi.kit --passphrase-file pass --from 10.2.0.5:1500 "
            "--directory /var/lib/holdfast/delhi --address 10.1.0.5:1500",
        ),
    ),
)


def help_of(name: str) -> str:
    """Return the help text of an operation, with its examples."""
    operation = next(operation for operation in OPERATIONS if operation.name == name)
    return "\n\n".join((operation.summary, *(f"Example: {text}" for text in operation.examples)))
