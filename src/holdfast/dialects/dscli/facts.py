"""What dscli prints: message ids, texts, columns and exit codes, in one place.

Ids and layouts marked ``S`` come from public sources. Those marked ``K`` are unconfirmed: they are the sensible choice,
kept only here so that one edit corrects them, and nothing claims fidelity for them. The numbers in ``FAILURES`` are
synthetic: no public list of the error numbers of copy services exists. Programs should match ids, never text.
"""

from __future__ import annotations

VERSION = "7.7.10.317"
PROMPT = "dscli> "
SUPERSEDED = "Superseded"
"""Our own reason (no DS8000 has it): the other array has become source, and this one refuses every host write."""

RC_OK, RC_SYNTAX, RC_CONNECTION, RC_SERVER, RC_LOGIN, RC_APPLICATION = 0, 2, 3, 4, 5, 6

DONE: dict[str, tuple[str, str]] = {
    "mkflash": ("CMUC00137I", "FlashCopy pair {0} successfully created."),  # S
    "mkpprc": ("CMUC00153I", "Remote Mirror and Copy volume pair relationship {0} successfully created."),  # S
    "resyncflash": ("CMUC00168I", "FlashCopy volume pair {0} successfully resynchronized."),  # S
    "reverseflash": ("CMUC00169I", "FlashCopy volume pair {0} successfully reversed."),  # K
    "freezepprc": ("CMUC00161I", "Remote Mirror and Copy consistency group {0} successfully created."),  # K
    "unfreezepprc": ("CMUC00198I", "Remote Mirror and Copy pair {0} successfully thawed."),  # K
    "unfreezeflash": ("CMUC00172I", "FlashCopy consistency group {0} successfully thawed."),  # K
    "rmflash": ("CMUC00140I", "FlashCopy pair {0} successfully removed."),  # K
    "mkpprcpath": ("CMUC00149I", "Remote Mirror and Copy path {0} successfully established."),  # K
    "rmpprcpath": ("CMUC00150I", "Remote Mirror and Copy path {0} successfully removed."),  # K
    "rmpprc": ("CMUC00155I", "Remote Mirror and Copy volume pair {0} relationship successfully withdrawn."),  # K
    "pausepprc": ("CMUC00157I", "Remote Mirror and Copy volume pair {0} relationship successfully paused."),  # K
    "resumepprc": (
        "CMUC00158I",
        "Remote Mirror and Copy volume pair {0} relationship successfully resumed. "
        "This message is being returned before the copy completes.",
    ),  # K
    "failoverpprc": ("CMUC00196I", "Remote Mirror and Copy pair {0} successfully reversed."),  # K
    "failbackpprc": ("CMUC00197I", "Remote Mirror and Copy pair {0} successfully failed back."),  # K
    "mkfbvol": ("CMUC00025I", "FB volume {0} successfully created."),  # K
    "rmfbvol": ("CMUC00028I", "FB volume {0} successfully deleted."),  # K
    "chfbvol": ("CMUC00026I", "FB volume {0} successfully modified."),  # K
    "setflashrevertible": ("CMUC00167I", "FlashCopy volume pair {0} successfully made revertible."),  # K
    "commitflash": ("CMUC00170I", "FlashCopy volume {0} successfully committed."),  # K
    "revertflash": ("CMUC00171I", "FlashCopy volume {0} successfully reverted."),  # K
    "mkextpool": ("CMUC00000I", "Extent pool {0} successfully created."),  # K
    "chextpool": ("CMUC00003I", "Extent pool {0} successfully modified."),  # K
    "rmextpool": ("CMUC00004I", "Extent pool {0} successfully deleted."),  # K
    "mkvolgrp": ("CMUC00030I", "Volume group {0} successfully created."),  # K
    "chvolgrp": ("CMUC00031I", "Volume group {0} successfully modified."),  # K
    "rmvolgrp": ("CMUC00033I", "Volume group {0} successfully deleted."),  # K
    "mkhostconnect": ("CMUC00012I", "Host connection {0} successfully created."),  # K
    "chhostconnect": ("CMUC00013I", "Host connection {0} successfully modified."),  # K
    "rmhostconnect": ("CMUC00015I", "Host connection {0} successfully deleted."),  # K
}
"""Command → the message for each object that was done."""

PROMPTS: dict[str, tuple[str, str]] = {
    "rmflash": ("CMUC00144W", "Are you sure you want to remove the FlashCopy pair {0}:? [y/n]: "),  # S
    "rmpprc": (
        "CMUC00160W",
        "Are you sure you want to delete the Remote Mirror and Copy volume pair relationship {0}:? [y/n]: ",
    ),  # K
    "rmpprcpath": ("CMUC00152W", "Are you sure you want to remove the Remote Mirror and Copy path {0}:? [y/n]: "),  # K
    "rmfbvol": ("CMUC00027W", "Are you sure you want to delete FB volume {0}? [y/n]: "),  # K
    "rmextpool": ("CMUC00005W", "Are you sure you want to delete extent pool {0}? [y/n]: "),  # K
    "rmvolgrp": ("CMUC00032W", "Are you sure you want to delete volume group {0}? [y/n]: "),  # K
    "rmhostconnect": ("CMUC00014W", "Are you sure you want to delete host connection {0}? [y/n]: "),  # K
}
"""Command → the question it asks for each object unless ``-quiet`` is given."""

EMPTY = "CMUC00234I"
NOTHING: dict[str, str] = {
    "lsflash": "No Flash Copy found.",  # S
    "lspprc": "No Remote Mirror and Copy found.",  # S
    "lspprcpath": "No Remote Mirror and Copy path found.",  # K
    "lsfbvol": "No FB Volume found.",  # S
    "lssi": "No Storage Image found.",  # K
    "lslss": "No LSS found.",  # K
    "lsextpool": "No Extent Pool found.",  # K
    "lsvolgrp": "No Volume Group found.",  # K
    "lshostconnect": "No Host Connection found.",  # K
    "lsioport": "No IO Port found.",  # K
    "lsckdvol": "No CKD Volume found.",  # K
    "lsarraysite": "No Array Site found.",  # K
    "lsarray": "No Array found.",  # K
    "lsrank": "No Rank found.",  # K
    "lsddm": "No DDM found.",  # K
}

WITHOUT = ("lsckdvol", "lsarraysite", "lsarray", "lsrank", "lsddm")
"""Lists that are always empty: a software array has no disks and no CKD volumes."""
UNSUPPORTED: dict[str, str] = {
    "mkremoteflash": "copies at the other array are made there, with mkflash",
    "resyncremoteflash": "copies at the other array are resynchronised there, with resyncflash",
    "chpass": "this array has no rules about passwords: holdfast array user sets them",
    "showpass": "this array has no rules about passwords: holdfast array user sets them",
}
"""Command → why this array does not carry it out."""

BAD_LOGIN = ("CMUC00191E", "Authentication failure: the user name or password is not valid.")  # S
NO_CONNECTION = ("CMUN00018E", "Unable to connect to the management console server.")  # S
SYNTAX = "CMUC00001E"  # K
UNKNOWN_COMMAND = "CMUC00002E"  # K
PWFILE_CREATED = ("CMUC00205I", "Password file {0} successfully created.")  # K
PWFILE_ADDED = ("CMUC00206I", "Record {0} successfully added to password file {1}.")  # K

FAILURES: dict[str, str] = {
    "flash-state": "CMUN03027E",  # S number, K text
    "not-recording": "CMUN03901E",
    "no-flash": "CMUN03902E",
    "flash-size": "CMUN03903E",
    "cascade": "CMUN03904E",
    "too-many": "CMUN03905E",
    "second-record": "CMUN03906E",
    "target-paired": "CMUN03907E",
    "no-volume": "CMUN03910E",
    "exists": "CMUN03911E",
    "in-relation": "CMUN03912E",
    "bad-size": "CMUN03913E",
    "no-pair": "CMUN03920E",
    "paired": "CMUN03921E",
    "flash-target": "CMUN03922E",
    "target-small": "CMUN03923E",
    "pair-state": "CMUN03924E",
    "not-suspended": "CMUN03925E",
    "path-down": "CMUN03926E",
    "is-source": "CMUN03927E",
    "not-source": "CMUN03928E",
    "stale": "CMUN03930E",
    "no-record": "CMUN03931E",
    "newer": "CMUN03932E",
    "wrong-array": "CMUN03940E",
    "no-authority": "CMUN03941E",
    "unavailable": "CMUN03943E",
    "disk": "CMUN03944E",
    "no-path": "CMUN03942E",
    "not-frozen": "CMUN03945E",
    "no-peer": "CMUN03946E",
    "in-use": "CMUN03947E",
    "wrong-end": "CMUN03948E",
    "not-target": "CMUN03949E",
    "target-secondary": "CMUN03950E",
    "revertible": "CMUN03951E",
    "not-revertible": "CMUN03952E",
    "flash-failed": "CMUN03953E",
    "pmir": "CMUN03954E",
    "no-pool": "CMUN03960E",
    "pool-full": "CMUN03961E",
    "no-group": "CMUN03962E",
    "not-in-group": "CMUN03963E",
    "no-host": "CMUN03964E",
    "unsupported": "CMUN03970E",
    "mirror-cascade": "CMUN03971E",
}
"""Refusal code of the software array → synthetic error id."""
OTHER_FAILURE = "CMUN03999E"

LSFBVOL = [
    *("Name", "ID", "accstate", "datastate", "configstate", "deviceMTM", "datatype", "extpool"),
    *("cap (2^30B)", "cap (10^9B)", "cap (blocks)"),
]  # S
SHOWFBVOL = [
    *("Name", "ID", "accstate", "datastate", "configstate", "deviceMTM", "datatype", "extpool", "sam", "tracks"),
    *("cap (2^30B)", "cap (10^9B)", "cap (blocks)", "allocated (bytes)", "volgrp", "writable"),
]  # S up to extpool and for the caps
LSEXTPOOL = [
    *("Name", "ID", "stgtype", "rankgrp", "status", "availstor (2^30B)", "%allocated", "available", "reserved"),
    "numvols",
]  # S
LSIOPORT = ["ID", "WWPN", "State", "Type", "topo", "portgrp"]  # S
PORT: list[str | int] = ["Online", "Fibre Channel-SW", "SCSI-FCP", 0]  # K
LSAVAILPPRCPORT = ["Local Port", "Attached Port", "Type"]  # K
LSLSS = ["ID", "Group", "addrgrp", "stgtype", "confgvols"]  # K
LSVOLGRP = ["Name", "ID", "Type"]  # K
LSHOSTCONNECT = ["Name", "ID", "WWPN", "HostType", "Profile", "portgrp", "volgrpID", "ESSIOport"]  # K
LSSI = ["Name", "ID", "Storage Unit", "Model", "WWNN", "State", "ESSNet"]  # S
LSSI_LONG = [*LSSI, "Volume Group", "desc"]  # S
LSPPRC = ["ID", "State", "Reason", "Type", "SourceLSS", "Timeout (secs)", "Critical Mode", "First Pass Status"]  # K
LSPPRC_LONG = [
    *("ID", "State", "Reason", "Type", "Out Of Sync Tracks", "Tgt Read", "Src Cascade", "Tgt Cascade"),
    *("Date Suspended", "SourceLSS", "Timeout (secs)", "Critical Mode", "First Pass Status", "Incremental Resync"),
    *("Tgt Write", "GMIR CG", "PPRC CG", "isTgtSE", "DisableAutoResync"),
]  # K
LSFLASH = [
    *("ID", "SrcLSS", "SequenceNum", "Timeout", "ActiveCopy", "Recording", "Persistent", "Revertible"),
    *("SourceWriteEnabled", "TargetWriteEnabled", "BackgroundCopy"),
]  # K
LSFLASH_LONG = [
    *LSFLASH,
    "OutOfSyncTracks",
    "DateCreated",
    "DateSynced",
    "State",
    "AllowTgtSE",
    "isTgtSE",
]  # S for five
LSPPRCPATH = ["Src", "Tgt", "State", "SS", "Port", "Attached Port", "Tgt WWNN"]  # S for positions 5 and 6

PATH_SS = "FF12"  # K
PAGE = "Press Enter To Continue..."  # K
ECHO = "Command:"  # S
PAIR_STATES = (
    *("copy-pending", "full-duplex", "suspended", "target-copy-pending", "target-full-duplex", "target-suspended"),
    *("not-remote-copy-pair", "invalid-state", "volume-inaccessible"),
)  # S
"""What ``lspprc -state`` takes."""
