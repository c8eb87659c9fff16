"""The backup servers of the drill: DELHI and TOKYO set up by the example's macros and administered by commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from holdfast.backup.service.serverfile import ADMIN_PASSWORD_FILE
from holdfast.continuity.service.drill import client
from holdfast.continuity.service.drill.stage import Stage
from holdfast.runtime.secretfile import write_secret

SEED = "seed 003"
NODES = ("vcsshare", "vcsdc1", "vcsdc2")


def config(stage: Stage, host: str) -> Path:
    """Return the configuration file of the server on a host."""
    recovered = stage.sites.directory / host / "recovered" / "server.toml"
    return recovered if recovered.exists() else stage.sites.directory / host / "server.toml"


def set_up(stage: Stage) -> None:
    """Register nodes and policy at DELHI, DELHI at TOKYO as a node of type SERVER, and TOKYO at DELHI."""
    for host in ("TOKYO", "DELHI"):
        text = (stage.sites.examples / f"{host.lower()}.mac").read_text()
        for line in re.sub(r"-\n\s*", "", re.sub(r"(?s)/\*.*?\*/", "", text)).split("\n"):
            if line.strip():
                stage.narrator.command(host, ("dsmadmc", line.strip()), SEED)
        macro(stage, host, "setup.mac", _for_this_lab(stage, text))


def macro(stage: Stage, host: str, name: str, text: str) -> None:
    """Run a macro at a server; it is kept in a file of mode 600, because it may hold passwords."""
    file = stage.sites.directory / host / name
    write_secret(file, text.encode())
    stage.run(host, "holdfast", "server", "command", "--config", str(config(stage, host)), "--macro", str(file))


def command(stage: Stage, host: str, text: str, origin: str = "") -> dict[str, Any]:
    """Run one administrative command at a server and return its answer."""
    words = ("holdfast", "server", "command", text, "--config", str(config(stage, host)), "--json")
    answer = stage.decode(stage.run(host, *words, origin=origin))
    assert isinstance(answer, dict)
    return answer


def dsmadmc(stage: Stage, system: str, server_host: str, text: str) -> str:
    """Run one administrative command from a system by ``dsmadmc``, as an administrator of such servers would."""
    home = config(stage, server_host).parent
    password = next(file for file in (home / "data" / ADMIN_PASSWORD_FILE, home / ADMIN_PASSWORD_FILE) if file.exists())
    options = ("-se=TSM_SERVER", "-id=admin", f"-passwordfile={password}")
    sysfile = f"-sysfile={client.option_directory(stage)}/dsm.sys"
    return stage.run(system, "dsmadmc", *options, sysfile, "-dataonly=yes", text, origin=SEED)


def kept(stage: Stage) -> list[dict[str, str]]:
    """Return the objects that TOKYO keeps for DELHI."""
    words = ("holdfast", "server", "object", "list", "DELHI", "--config", str(config(stage, "TOKYO")))
    answer = stage.json("TOKYO", *words)
    return list(answer["rows"])


def _for_this_lab(stage: Stage, text: str) -> str:
    for node in NODES:
        secret = client.password_file(stage, node).read_text().strip()
        text = text.replace(f"{node}-password", secret)
    text = text.replace("delhi-at-tokyo", client.password_file(stage, "delhi").read_text().strip())
    text = text.replace("10.77.0.32", stage.layout.host("TOKYO").address)
    return re.sub(r"maxcapacity=\w+", "maxcapacity=2m", text)
