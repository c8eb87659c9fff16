"""Service files for ``dsmcad``: a script for init, service and chkconfig, and a unit for systemd.

The script finds its daemon by its command line, as cluster agents do, so daemons of several names never mix and a stale
PID file cannot mislead it. It takes and ignores further words (``start VCS_Cluster``), as administrators are used to.
"""

from __future__ import annotations

import shlex

MARK = "# Made by holdfast dialect service; made again by it."
STOP_LIMIT_S = 20

_SCRIPT = """#!/bin/sh
{mark}
# chkconfig: 35 95 05
# description: scheduler of the backup client, {name}
### BEGIN INIT INFO
# Provides: {name}
# Required-Start: $local_fs $network $remote_fs
# Required-Stop: $local_fs $network $remote_fs
# Default-Start: 3 5
# Default-Stop: 0 1 2 6
# Short-Description: scheduler of the backup client
### END INIT INFO

DAEMON={daemon}
ARGUMENTS={arguments}

running() {{
    for process in /proc/[0-9]*; do
        line=$({{ tr '\\000' ' ' <"$process/cmdline"; }} 2>/dev/null) || continue
        set -f; line=$(echo $line); set +f
        if [ "$line" = "$DAEMON $ARGUMENTS" ]; then pid=${{process#/proc/}}; return 0; fi
    done
    return 1
}}

start() {{
    if running; then echo "{name} runs already ($pid)"; return 0; fi
    "$DAEMON" $ARGUMENTS || return 1
    echo "{name} started"
}}

stop() {{
    running || {{ echo "{name} does not run"; return 0; }}
    kill -TERM "$pid"
    count=0
    while [ -d "/proc/$pid" ] && [ $count -lt {limit} ]; do sleep 1; count=$((count + 1)); done
    [ -d "/proc/$pid" ] && kill -KILL "$pid"
    echo "{name} stopped"
}}

case "$1" in
start) start ;;
stop) stop ;;
restart|force-reload) stop && start ;;
status) if running; then echo "{name} runs ($pid)"; else echo "{name} does not run"; exit 3; fi ;;
*) echo "Usage: {name} start|stop|restart|status" >&2; exit 2 ;;
esac
"""
_UNIT = """{mark}
[Unit]
Description=Scheduler of the backup client, {name}
Wants=network-online.target
After=network-online.target remote-fs.target

[Service]
ExecStart={daemon} {arguments} -foreground
Restart=on-failure
RestartSec=30
TimeoutStopSec={limit}

[Install]
WantedBy=multi-user.target
"""


def init_script(name: str, daemon: str, optfile: str) -> str:
    """Return the script for ``/etc/init.d``."""
    arguments = shlex.quote(f"-optfile={optfile}")
    return _SCRIPT.format(mark=MARK, name=name, daemon=shlex.quote(daemon), arguments=arguments, limit=STOP_LIMIT_S)


def systemd_unit(name: str, daemon: str, optfile: str) -> str:
    """Return the unit for ``/etc/systemd/system``. A path in it stands in quotes where it has a blank."""
    quoted = [f'"{word}"' if " " in word else word for word in (daemon, f"-optfile={optfile}")]
    return _UNIT.format(mark=MARK, name=name, daemon=quoted[0], arguments=quoted[1], limit=STOP_LIMIT_S)
