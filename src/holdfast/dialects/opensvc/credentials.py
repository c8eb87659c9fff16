"""``auth.conf`` and the password files: who may talk to which array, read only if nobody else can.

Both must have mode 600 and belong to root (or, for somebody who is not root, to them); the agent's page promises that,
and here it is enforced at every use. A password never leaves its file: dscli reads it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.dialects.opensvc.servicefile import Place, parse_service
from holdfast.kernel.errors import InputError
from holdfast.runtime.secretfile import read_secret

AUTH = "auth.conf"
TYPE = "ibmds"
DSCLI = "/opt/ibm/dscli/dscli"


@dataclass(frozen=True, slots=True)
class Console:
    """How an array is reached."""

    dscli: str
    hmc1: str
    hmc2: str
    user: str
    pwfile: Path

    def argv(self) -> list[str]:
        """Return the command line of dscli; it holds no secret."""
        second = ["-hmc2", self.hmc2] if self.hmc2 else []
        return [self.dscli, "-hmc1", self.hmc1, *second, "-user", self.user, "-pwfile", str(self.pwfile)]


def console_of(array: str, etc: Path, var: Path) -> Console:
    """Return how to reach ``array``. Raises :class:`InputError` that names the file, the line and the remedy."""
    path = etc / AUTH
    if not path.exists():
        remedy = f"write it with [{array}], type = {TYPE}, hmc1 = ADDRESS, username = NAME; then chmod 600"
        raise InputError("does not exist", file=str(path), remedy=remedy)
    try:
        text = read_secret(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8", file=str(path), remedy="write it in UTF-8") from error
    file, place = parse_service(text, "auth", str(path)), Place()
    if array not in file.sections:
        remedy = f"add [{array}] with type = {TYPE}, hmc1 = ADDRESS, username = NAME"
        raise InputError(f"there is no section [{array}]", file=str(path), remedy=remedy)
    if file.own(array, "type", place) != TYPE:
        raise file.wrong(array, "type", InputError("is not " + TYPE, remedy=f"write type = {TYPE}"))
    for key in ("hmc1", "username"):
        if not file.own(array, key, place):
            raise file.wrong(array, key, InputError("is required and missing", remedy=f"set {key} = ..."))
    pwfile = var / f"{array}.pwfile"
    if not pwfile.exists():
        remedy = (
            f"dscli managepwfile -action add -mc1 {file.own(array, 'hmc1', place)} -pwfile {pwfile} -name NAME -pw -"
        )
        raise InputError("there is no password file", file=str(pwfile), remedy=remedy)
    read_secret(pwfile)
    return Console(
        file.own(array, "dscli", place, DSCLI),
        file.own(array, "hmc1", place),
        file.own(array, "hmc2", place),
        file.own(array, "username", place),
        pwfile,
    )
