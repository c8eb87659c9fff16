"""The server's message texts, by id: the one table. [S] stands in a public source; [K] is recalled, number or text.

``text("ANR2147E", name=...)`` renders one. Ids are stable: programs look for them.
"""

from __future__ import annotations

TEXTS: dict[str, str] = {
    # processes and sessions [S]
    "ANR0984I": "Process {number} for {what} started in the {ground} at {time}.",
    "ANR0985I": "Process {number} for {what} completed with completion state {state} at {time}.",
    "ANR0406I": "Session {number} started for node {name} ({platform}).",
    "ANR0403I": "Session {number} ended for node {name} ({platform}).",
    "ANR0407I": "Session {number} started for administrator {name}.",
    "ANR0405I": "Session {number} ended for administrator {name}.",
    "ANR0424W": "Session {number} for {name} refused - invalid password submitted.",
    "ANR0423W": "Session {number} for {name} refused - certificate {caller} is not one of its own.",  # [K]
    "ANR0425W": "Session {number} for {name} refused - password has expired.",  # [K]
    "ANR0429W": "Session {number} for {name} refused - server is disabled for such sessions.",  # [K]
    "ANR0430W": "Session {number} for {name} refused - locked.",  # [K]
    "ANR0440W": "Protocol error on session {number} for node {name}: {reason}",
    "ANR0480W": "Session {number} for node {name} terminated - connection with client severed.",  # [K]
    "ANR0483W": "Session {number} for {name} terminated - forced by administrator.",  # [K]
    "ANR0490I": "Canceling session {number} for {name}.",  # [K]
    "ANR0940I": "Cancel request for process {number} by {name} accepted.",  # [K]
    "ANR0944E": "{what}: No active processes found.",
    "ANR0993I": "Server initialization complete.",
    "ANR0990I": "Server restart-recovery in progress.",
    "ANR8200I": "TCP/IP driver ready for connection with clients on {address}.",
    # server sessions [K]
    "ANR0408I": "Session {number} started for server {name} ({mode}).",
    "ANR0409I": "Session {number} ended for server {name}.",
    "ANR0422W": "Session {number} for node {name} refused - node name not registered.",
    "ANR4373W": "Session {number} for server {name} is read-only: the verification code does not match.",
    "ANR4374I": "The verification code of server {name} was reset by session {number} (FORCESYNC).",
    "ANR4375I": "The verification code at server {name} will be reset (UPDATE SERVER FORCESYNC=YES).",
    "ANR4376I": "The verification code of server {name} was established by session {number}.",
    # administration
    "ANR2017I": "Administrator {name} issued command: {text}",
    "ANR1999I": "{what} completed successfully.",
    "ANR2020E": "{what}: Invalid parameter - {value}.",  # [K]
    "ANR2022E": "{what}: One or more parameters are missing - {value}.",  # [K]
    "ANR2034E": "{what}: No match found using this criteria.",
    "ANR2068I": "Administrator {name} registered.",
    "ANR2060I": "Node {name} registered in policy domain {domain}.",  # [K]
    "ANR0806I": "Filespace {name} of node {node}: {count} objects deleted, {left} held by a retention lock.",  # [K]
    "ANR1502I": "{kind} {name} deleted.",  # [K]
    "ANR1503I": "{name} updated.",  # [K]
    "ANR1504I": "{kind} {name} copied to {newname}.",  # [K]
    "ANR1551W": "Management class {name} of the active policy set is not in policy set {domain} {policyset}.",  # [K]
    "ANR1553W": "Default management class {name} in policy set {domain} {policyset} has no backup copy group.",  # [K]
    "ANR2046I": "Option set {name} {done}.",  # [K]
    "ANR2050I": "Option {name}, sequence number {seq}, {done} in option set {optionset}.",  # [K]
    "ANR2061I": "Node {name} removed from policy domain {domain}.",  # [K]
    "ANR2062I": "Node {name} renamed to {newname}.",  # [K]
    "ANR2063I": "Node {name} updated.",  # [K]
    "ANR2069I": "Administrator {name} removed.",  # [K]
    "ANR2070I": "Administrator {name} renamed to {newname}.",  # [K]
    "ANR2071I": "Administrator {name} updated.",  # [K]
    "ANR2076I": "Privilege {what} {done} administrator {name}.",
    "ANR2095I": "Administrator {name} locked.",  # [K]
    "ANR2096I": "Administrator {name} unlocked.",  # [K]
    "ANR2097I": "Node {name} locked.",  # [K]
    "ANR2098I": "Node {name} unlocked.",  # [K]
    "ANR2147E": "{what}: Node {name} is already registered.",  # [K]
    "ANR1660I": "Server {name} defined.",  # [K]
    "ANR1639I": "Attributes changed for server {name}: {attributes}.",
    "ANR2200I": "Storage pool {name} defined (device class {devclass}).",  # [K]
    "ANR2203I": "Device class {name} defined.",  # [K]
    "ANR1500I": "Policy domain {name} defined.",  # [K]
    "ANR1510I": "Policy set {name} defined in policy domain {domain}.",  # [K]
    "ANR1520I": "Management class {name} defined in policy domain {domain}, set {policyset}.",  # [K]
    "ANR1530I": "Backup copy group STANDARD defined in policy domain {domain}, set {policyset}, class {name}.",  # [K]
    "ANR1535I": "Archive copy group STANDARD defined in policy domain {domain}, set {policyset}, class {name}.",  # [K]
    "ANR1538I": "Default management class set to {name} for policy domain {domain}, set {policyset}.",  # [K]
    "ANR1514I": "Policy set {name} activated in policy domain {domain}.",  # [K]
    "ANR1515I": "Policy set {name} validated in domain {domain} (ready for activation).",  # [K]
    "ANR1554W": "Default management class {name} in policy set {domain} {policyset} has no archive copy group.",  # [K]
    "ANR2101E": "{what}: {kind} {name} is already defined.",  # [K]
    "ANR2102E": "{what}: {kind} {name} is not defined.",  # [K]
    "ANR2103E": "{what}: {reason}",  # [K]
    # pools [K]
    "ANR1210I": "Backup of primary storage pool {primary} to copy storage pool {copy} started as process {number}.",
    "ANR1212I": "Backup of primary storage pool {primary} to copy storage pool {copy} has ended. Groups: {groups}, "
    "bytes: {bytes}, unreadable groups: {bad}.",
    "ANR1230I": "Restore of primary storage pool {primary} has ended. Groups: {groups}, unreadable: {bad}.",
    "ANR1229W": "Volume {volume} cannot be read: {reason}",
    "ANR2314I": "Audit volume {name} has ended. Groups inspected: {groups}, damaged: {bad}, missing: {missing}.",
    "ANR1341I": "Scratch volume {name} has been deleted from storage pool {pool}.",
    "ANR1340I": "Scratch volume {name} is now defined in storage pool {pool}.",
    "ANR1233I": "Restore of volume {name} has ended. Groups: {groups}, unreadable: {bad}.",
    "ANR1000I": "Migration process {number} started for storage pool {pool}, highMig={high}, lowMig={low}.",
    "ANR1001I": "Migration ended for storage pool {pool}. Groups: {groups}, bytes: {bytes}, unreadable groups: {bad}.",
    "ANR1043W": "Reclamation of storage pool {pool} moves sparse records whole: {reason}",
    "ANR4930I": "Reclamation process {number} started for storage pool {pool}.",
    "ANR4932I": "Reclamation ended for storage pool {pool}. Volumes: {volumes}, groups moved: {groups}, repacked: "
    "{repacked}, bytes: {bytes}, unreadable groups: {bad}.",
    "ANR1141I": "Move of the data of volume {name} has ended. Groups: {groups}, bytes: {bytes}, unreadable: {bad}.",
    "ANR2201I": "Storage pool {name} deleted.",
    "ANR2202I": "Storage pool {name} updated.",
    "ANR2204I": "Device class {name} deleted.",
    "ANR2205I": "Device class {name} updated.",
    "ANR2206I": "Volume {name} defined in storage pool {pool} (device class {devclass}).",
    "ANR2207I": "Volume {name} updated.",
    "ANR2208I": "Volume {name} deleted.",
    # database backup
    "ANR2280I": "Full database backup started as process {number}.",
    "ANR4550I": "Full database backup (process {number}) complete, {pages} pages copied.",
    "ANR2281I": "Incremental database backup started as process {number}.",  # [K]
    "ANR4551I": "Incremental database backup (process {number}) complete, {pages} pages copied.",  # [K]
    "ANR4552I": "No full backup to build on: this incremental database backup becomes a full one.",  # [K]
    "ANR2462I": "Volume history written.",  # [K]
    "ANR2463I": "Server configuration written to storage pool {pool}.",  # [K]
    "ANR2467I": "DELETE VOLHISTORY: {count} sequential volume history entries were successfully deleted.",
    # expiration
    "ANR0811I": "Inventory client file expiration started as process {number}.",
    "ANR0812I": "Inventory file expiration process {number} completed: {objects} objects and {archives} archive files "
    "deleted.",  # [K]
    # reconciliation [K]
    "ANR0470I": "RECONCILE VOLUMES {devclass}: {name}: {reason}.",
    "ANR0471I": "RECONCILE VOLUMES {devclass}: {name}: {action}.",
    "ANR0472I": "RECONCILE VOLUMES {devclass} ended: {found} found, {settled} settled.",
    # scripts
    "ANR1454I": "DEFINE SCRIPT: Command script {name} defined.",  # [K]
    "ANR1455I": "Command script {name} {done} to {newname}.",  # [K]
    "ANR1456I": "UPDATE SCRIPT: Command script {name} updated.",  # [K]
    "ANR1457I": "DELETE SCRIPT: Command script {name} deleted.",  # [K]
    "ANR1462I": "RUN: Command script {name} completed successfully.",  # [K]
    "ANR1463E": "RUN: Command script {name} completed in error.",  # [K]
    "ANR1496I": "ISSUE MESSAGE: {text}",  # [K]
    "ANR1497W": "ISSUE MESSAGE: {text}",  # [K]
    "ANR1498E": "ISSUE MESSAGE: {text}",  # [K]
    "ANR1499S": "ISSUE MESSAGE: {text}",  # [K]
    "ANR2551I": "Server now enabled for {kind} sessions.",  # [K]
    "ANR2552I": "Server now disabled for {kind} sessions.",  # [K]
    # schedules
    "ANR2500I": "Schedule {name} defined in policy domain {domain}.",  # [K]
    "ANR2501I": "Schedule {name} deleted from policy domain {domain}.",  # [K]
    "ANR2502I": "Schedule {name} updated in policy domain {domain}.",  # [K]
    "ANR2507I": "Schedule {schedule} for domain {domain} started at {start} for node {node} completed successfully.",
    "ANR2510I": "Node {node} associated with schedule {schedule} in policy domain {domain}.",  # [K]
    "ANR2511I": "Node {node} disassociated from schedule {schedule} in policy domain {domain}.",  # [K]
    "ANR2560I": "Schedule manager started.",
    "ANR2561I": "Schedule prompter contacting {node} to start a scheduled operation.",
    "ANR2564I": "Event record deletion ended - {count} records deleted.",  # [K]
    "ANR2577I": "Administrative schedule {name} {done}.",  # [K]
    "ANR2578W": "Schedule {schedule} in domain {domain} for node {node} has missed its scheduled start up window.",
    "ANR2579E": "Schedule {schedule} in domain {domain} for node {node} failed (return code {code}).",
    "ANR2716E": "Schedule prompter was not able to contact client {node} at {address}.",  # [K]
    "ANR2750I": "Starting scheduled command {name} ( {text} ).",  # [K]
    "ANR2751I": "Scheduled command {name} completed successfully.",  # [K]
    "ANR2752E": "Scheduled command {name} failed.",  # [K]
    # client statistics as the server keeps them, in the order in which a client tells them; 4961 is [S], the rest [K]
    "ANE4952I": "(Node: {node}) Total number of objects inspected: {count:,}",
    "ANE4953I": "(Node: {node}) Total number of objects archived: {count:,}",
    "ANE4954I": "(Node: {node}) Total number of objects backed up: {count:,}",
    "ANE4955I": "(Node: {node}) Total number of objects restored: {count:,}",
    "ANE4956I": "(Node: {node}) Total number of objects retrieved: {count:,}",
    "ANE4957I": "(Node: {node}) Total number of objects deleted: {count:,}",
    "ANE4958I": "(Node: {node}) Total number of objects updated: {count:,}",
    "ANE4960I": "(Node: {node}) Total number of objects rebound: {count:,}",
    "ANE4970I": "(Node: {node}) Total number of objects expired: {count:,}",
    "ANE4959I": "(Node: {node}) Total number of objects failed: {count:,}",
    "ANE4961I": "(Node: {node}) Total number of bytes transferred: {count:,}",
    "ANE4964I": "(Node: {node}) Elapsed processing time: {count:,} s",
}


def text(id: str, /, **values: object) -> str:
    """Return the message with its id."""
    return f"{id} {TEXTS[id].format(**values)}"
