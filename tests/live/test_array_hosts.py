"""One array and its hosts: point-in-time copies, revocation, standard NBD tools, crashes."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from arraylab import Box, Lab, until

from holdfast.kernel.errors import Refused
from holdfast.replication.array import nbd
from holdfast.replication.drivers.nbdclient import NbdClient
from holdfast.runtime.authority import issue
from holdfast.runtime.identity import host_label, save_identity


def flash(box: Box) -> dict[str, object]:
    return box.client.run("flashes").rows[0]


def test_a_flash_copy_keeps_its_moment_and_resyncs_only_changes(lab: Lab) -> None:
    lab.a.create("1260", "1360")
    with lab.a.open() as source:
        before = os.urandom(1 << 20)
        for place in range(16):
            source.pwrite(before, place << 20)
        lab.a.client.change("mkflash", ["1260:1360"], record=True, persist=True, copy=False)
        source.pwrite(b"new".ljust(4096), 5 << 20)
        with lab.a.open(volume="1360") as copy:
            assert copy.pread(1 << 20, 5 << 20) == before
            copy.pwrite(b"target".ljust(4096), 9 << 20)
            assert source.pread(4096, 9 << 20) == before[:4096]
        lab.a.kill()
        lab.a.start()
        with lab.a.open(volume="1360") as copy:
            assert copy.pread(4096, 5 << 20) == before[:4096]
            assert copy.pread(6, 9 << 20) == b"target"
    lab.a.client.change("resyncflash", ["1260:1360"], record=True, persist=True, copy=True)
    until(lambda: flash(lab.a)["out_of_sync_tracks"] == 0, what="background copy")
    assert lab.a.digest("1260") == lab.a.digest("1360")
    time.sleep(2.5)
    with lab.a.open() as source:
        source.pwrite(b"again".ljust(200_000), 3 << 20, fua=True)
    lab.a.client.change("resyncflash", ["1260:1360"], record=True, persist=True, copy=True)
    until(lambda: flash(lab.a)["out_of_sync_tracks"] == 0, what="background copy")
    assert (flash(lab.a)["tracks_to_copy"], flash(lab.a)["tracks_total"]) == (4, 256)
    assert lab.a.digest("1260") == lab.a.digest("1360")
    with pytest.raises(Refused) as refused:
        lab.a.client.change("mkflash", ["1260:1360"])
    assert refused.value.refusal.code == "flash-state"


def test_a_revoked_host_can_write_nothing_more(lab: Lab) -> None:
    lab.a.create("1260", "1261")
    writers = [lab.a.open("hosta", 7), lab.a.open("hosta", 6, "1261")]
    other = lab.a.open("hostb", 1)
    stopped = []

    def hammer(client: NbdClient) -> None:
        try:
            while True:
                client.pwrite(b"A" * 4096, 0)
        except OSError as error:
            stopped.append(error)

    threads = [threading.Thread(target=hammer, args=(client,), daemon=True) for client in writers]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    evidence = lab.a.client.revoke("hosta", 7)
    other.pwrite(b"B" * 4096, 0)
    assert (evidence.host, evidence.key, evidence.connections_closed) == ("hosta", 7, 2)
    for thread in threads:
        thread.join(5)
    assert len(stopped) == 2
    assert other.pread(4096, 0) == b"B" * 4096
    with pytest.raises(Refused, match="revoked"):
        lab.a.open("hosta", 7)
    lab.a.kill()
    lab.a.start()
    with pytest.raises(Refused, match="revoked"):
        lab.a.open("hosta", 3)
    lab.a.open("hosta", 8).close()
    assert lab.a.client.revoke("hosta", 2).key == 7


def test_standard_tools_read_and_write(lab: Lab, tmp_path: Path) -> None:
    lab.a.create("1260")
    uri = lab.a.client.nbd_uri("1260", "hosta", 1)
    shown = subprocess.run(["nbdinfo", "--json", uri], capture_output=True, text=True, check=True).stdout
    assert '"export-size": 16777216' in shown
    for feature in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"):
        assert f'"{feature}": true' in shown
    picture = tmp_path / "in"
    picture.write_bytes(os.urandom(9 << 20) + bytes(7 << 20))
    subprocess.run(["nbdcopy", "--flush", str(picture), uri], check=True, timeout=30)
    subprocess.run(["nbdcopy", uri, str(tmp_path / "out")], check=True, timeout=30)
    assert (tmp_path / "out").read_bytes() == picture.read_bytes()
    with lab.a.open() as client:
        client.zero(3 << 20, 100_000)
        client.trim(1 << 20, 8 << 20)
        assert client.pread(3 << 20, 100_000) == bytes(3 << 20)
        for offset, length in ((16 << 20, 512), ((16 << 20) - 100, 200)):
            with pytest.raises(OSError, match=r"argument|space"):
                client.pwrite(bytes(length), offset)
    listed = subprocess.run(["nbdinfo", "--list", uri.rsplit("/", 2)[0]], capture_output=True, text=True, check=False)
    assert 'export="1260"' in listed.stdout


def test_acknowledged_writes_survive_kill_at_any_time(lab: Lab) -> None:
    seed = int(os.environ.get("HOLDFAST_SEED", time.time_ns() % 1_000_000))
    print(f"HOLDFAST_SEED={seed}")
    chance = random.Random(seed)
    lab.a.create("1260")
    acknowledged: dict[int, bytes] = {}
    attempted: dict[int, bytes] = {}
    for round_number in range(4):
        client = lab.a.open(key=round_number + 1)

        def write(client: NbdClient = client) -> None:
            try:
                for number in range(100_000):
                    block, offset = os.urandom(4096), (number * 997 % 4000) * 4096
                    attempted[offset] = block
                    client.pwrite(block, offset)
                    acknowledged[offset] = block
            except (OSError, ConnectionError):
                return

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        time.sleep(chance.uniform(0.02, 0.5))
        lab.a.kill()
        thread.join(10)
        lab.a.start()
        with lab.a.open(key=100 + round_number) as reader:
            for offset, block in acknowledged.items():
                assert reader.pread(4096, offset) in (block, attempted[offset])
                acknowledged[offset] = reader.pread(4096, offset)
    assert len(acknowledged) > 20


def test_a_new_volume_shows_nothing_of_an_earlier_one(lab: Lab) -> None:
    lab.a.create("1260")
    with lab.a.open() as client:
        client.pwrite(b"old" * 1000, 0, fua=True)
    lab.a.kill()
    kept = (lab.a.directory / "volumes" / "1260.img").read_bytes()
    lab.a.start()
    lab.a.client.change("rmvolume", ["1260"])
    (lab.a.directory / "volumes" / "1260.img").write_bytes(kept)
    lab.a.create("1260")
    with lab.a.open() as client:
        assert client.pread(4096, 0) == bytes(4096)


def _map(uri: str) -> list[tuple[int, int, str]]:
    shown = subprocess.run(["nbdinfo", "--map", "--json", uri], capture_output=True, text=True, check=True).stdout
    return [(one["offset"], one["length"], one["description"]) for one in json.loads(shown)]


def test_a_client_sees_where_data_is_also_through_a_flash_copy(lab: Lab) -> None:
    lab.a.create("1260", "1360")
    with lab.a.open() as source:
        source.pwrite(b"x" * 65536, 1 << 20)
        source.flush()
    uri = lab.a.client.nbd_uri("1260", "hosta", 1)
    whole = 16 << 20
    expected = [
        (0, 1 << 20, "hole,zero"),
        (1 << 20, 65536, "data"),
        ((1 << 20) + 65536, whole - (1 << 20) - 65536, "hole,zero"),
    ]
    assert _map(uri) == expected
    lab.a.client.change("mkflash", ["1260:1360"], record=True, persist=True, copy=False)
    with lab.a.open() as source:
        source.pwrite(b"y" * 65536, 4 << 20)
        source.flush()
    assert _map(lab.a.client.nbd_uri("1360", "hosta", 1)) == expected, "the copy shows its source's holes of then"


@pytest.mark.skipif(shutil.which("qemu-io") is None, reason="needs qemu-utils")
def test_qemu_reads_writes_and_discards(lab: Lab) -> None:
    lab.a.create("1260")
    uri = lab.a.client.nbd_uri("1260", "hosta", 1)
    steps = ["write -P 7 0 1M", "write -f -P 9 1M 64k", "read -P 7 0 1M", "read -P 9 1M 64k", "write -z 0 512k",
             "read -P 0 0 512k", "discard 1M 64k", "read -P 0 1M 64k", "flush"]  # fmt: skip
    words = [word for step in steps for word in ("-c", step)]
    done = subprocess.run(
        ["qemu-io", "-f", "raw", *words, uri], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Pattern verification failed" not in done.stdout


@pytest.mark.skipif(shutil.which("fio") is None, reason="needs fio")
def test_fio_verifies_what_it_wrote_at_depth(lab: Lab, tmp_path: Path) -> None:
    lab.a.create("1260")
    uri = lab.a.client.nbd_uri("1260", "hosta", 1)
    job = ["--rw=randrw", "--bsrange=512-300k", "--bs_unaligned", "--iodepth=32", "--size=16m", "--verify=crc32c",
           "--do_verify=1", "--randseed=7", "--verify_fatal=1"]  # fmt: skip
    done = subprocess.run(
        ["fio", "--name=x", "--ioengine=nbd", f"--uri={uri}", *job], cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("qemu-io") is None, reason="needs qemu-utils")
def test_a_host_may_speak_tls_and_a_certificate_opens_only_its_own_exports(lab: Lab, tmp_path: Path) -> None:
    lab.a.config.write_text('nbd_tls = "require"\n' + lab.a.config.read_text())
    lab.a.stop()
    lab.a.start()
    lab.a.create("1260")
    uri = lab.a.client.nbd_uri("1260", "hosta", 1)
    host, _, port = uri.split("/")[2].rpartition(":")

    def speak(name: str) -> subprocess.CompletedProcess[str]:
        identity = lab.directory / f"{name}.tls"
        save_identity(issue(lab.directory / "ca", f"host:{name}"), identity)
        for theirs, ours in (("ca-cert", "ca"), ("client-cert", "cert"), ("client-key", "key")):
            (identity / f"{theirs}.pem").symlink_to(identity / f"{ours}.pem")
        label = host_label(f"array:{lab.a.image}")
        options = f"driver=nbd,host={host},port={port},export=hosta.1/1260,tls-creds=tls,tls-hostname={label}"
        credentials = f"tls-creds-x509,id=tls,dir={identity},endpoint=client"
        words = ["--object", credentials, "--image-opts", "-c", "write -P 5 0 3M", "-c", "read -P 5 0 3M", options]
        return subprocess.run(["qemu-io", *words], capture_output=True, text=True, timeout=60, check=False)

    refused = subprocess.run(["nbdinfo", uri], capture_output=True, text=True, timeout=30, check=False)
    assert "replied with error" in refused.stderr, "nothing is told without TLS"
    spoken = speak("hosta")
    assert spoken.returncode == 0, spoken.stdout + spoken.stderr
    assert "Pattern verification failed" not in spoken.stdout
    other = speak("hostb")
    assert other.returncode != 0, "hostb's certificate opens nothing of hosta"


def _resident_mib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) // 1024


def test_a_host_that_asks_and_does_not_listen_fills_no_memory_and_gets_all_in_the_end(lab: Lab) -> None:
    lab.a.create("1260")
    assert lab.a.process is not None
    host, _, port = lab.a.nbd.rpartition(":")
    count, length = 6000, 128 * 1024
    with socket.create_connection((host, int(port)), timeout=60) as line, line.makefile("rb") as answers:
        answers.read(18)
        name = b"hosta.1/1260"
        line.sendall(struct.pack(">I", 3) + nbd.encode_option(nbd.Option.EXPORT_NAME, name))
        answers.read(10)
        before = _resident_mib(lab.a.process.pid)
        asked = b"".join(nbd.encode_request(nbd.Command.READ, number, 0, length) for number in range(count))
        sender = threading.Thread(target=line.sendall, args=(asked,))
        sender.start()
        time.sleep(2)
        grown = _resident_mib(lab.a.process.pid) - before
        assert grown < 100, f"{grown} MiB for {count * length >> 20} MiB asked for"
        handles = []
        for _ in range(count):
            magic, error, handle = nbd.REPLY.unpack(answers.read(nbd.REPLY.size))
            assert (magic, error) == (nbd.REPLY_MAGIC, 0)
            handles.append(handle)
            answers.read(length)
        sender.join(10)
        assert handles == list(range(count))


def test_a_host_that_hangs_up_without_a_word_is_gone(lab: Lab) -> None:
    lab.a.create("1260")
    host, _, port = lab.a.nbd.rpartition(":")
    name = b"hosta.1/1260"
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(struct.pack(">I", 3) + nbd.encode_option(nbd.Option.EXPORT_NAME, name))
        until(lambda: lab.a.client.run("connections").rows == [{"export": name.decode()}], what="open")
    until(lambda: lab.a.client.run("connections").rows == [], what="closed")
