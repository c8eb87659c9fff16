"""A program in dscli's place that misbehaves as told by the file ``mood`` beside it; what it was asked stands in
``calls``. Everything else is the real dialect's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCRIPT = """\
#!/bin/sh
here="$(dirname "$0")"
printf '%s\\n' "$*" >> "$here/calls"
env | grep -E '^(LC_ALL|LANG)=' > "$here/locale"
mood="$(cat "$here/mood")"
case "$mood" in
hang) sleep 300 & echo $! >> "$here/children"; wait ;;
garbage) head -c 2000 /dev/urandom; exit 0 ;;
silence) exit 0 ;;
flood) yes 'ID|State|Reason and much more of it' ;;
prompt) printf 'Enter your username: '; read answer || exit 5; printf 'Enter your password: '; read other; exit 5 ;;
crash) kill -9 $$ ;;
norights) echo 'Exception in thread "main" java.lang.NoClassDefFoundError' >&2; exit 1 ;;
code*) echo "CMUC09999E dscli: as told" >&2; exit "${mood#code}" ;;
first-unreachable) case "$*" in *"-hmc1 $FIRST "*) echo 'CMUN00018E dscli: no' >&2; exit 3 ;; esac ;;
cut-off)
    case "$*" in *pausepprc*|*failoverpprc*|*rmflash*)
        "$REAL" "$@" > /dev/null 2>&1; echo 'CMUN00018E lost' >&2; exit 3 ;;
    esac ;;
die-after)
    case "$*" in *pausepprc*) "$REAL" "$@" > /dev/null 2>&1; kill -9 $$ ;; esac ;;
esac
exec "$REAL" "$@"
"""


class BadDscli:
    """The program in ``directory``, before the real one at ``real``."""

    def __init__(self, directory: Path, real: Path) -> None:
        directory.mkdir()
        self.directory, self.program = directory, directory / "dscli"
        self.program.write_text(SCRIPT)
        self.program.chmod(0o755)
        self.environment = {"REAL": str(real)}
        self.mood("")

    def mood(self, text: str) -> None:
        """Set what it does from now on."""
        (self.directory / "mood").write_text(text)

    def calls(self) -> list[str]:
        """Return the command lines since the last look."""
        path = self.directory / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    def running(self) -> list[int]:
        """Return those of its children that are still alive."""
        path = self.directory / "children"
        pids = [int(text) for text in path.read_text().split()] if path.exists() else []
        return [pid for pid in pids if _alive(pid)]


def install_real(directory: Path) -> Path:
    """Make the dialect's own dscli a program in ``directory``."""
    directory.mkdir()
    program = directory / "dscli"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m holdfast.app.main dscli "$@"\n')
    program.chmod(0o755)
    return program


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"
