"""What one decision costs: 1,000 groups of ten resources on 32 systems, one system lost: ``make bench-decision``.

The peer is Pacemaker's own scheduler, ``crm_simulate -R`` on a stored cluster state of the same size: *lean* (no probe
results) and *probed* (a result for each resource on each node, as live clusters have). Holdfast reads the records that
its store would hold, facts of every group on every system included, and decides with the coordinator's own planner;
its lost system's groups must all be placed again in that one decision.

What is counted: for the peer the whole process, because it reads its configuration anew for each decision; for Holdfast
decoding every record and deciding, because a coordinator reads the configuration when it changes and not again. The
whole Holdfast process, configuration included, stands in a row of its own without a reach. Memory is the peak of whole
processes. The lean input asks for no probes, or the peer would plan 310,000 of them.

``python -m bench.decision SIZE`` measures another size (groups).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Row, median_row, publish

GROUPS, PER_GROUP, SYSTEMS, RUNS = 1000, 10, 32, 5
LOST = "s0"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a finished process used: processor seconds, the peak of its memory in MiB; and what it said."""

    cpu_s: float
    peak_mib: float
    said: str


def cost(words: list[str]) -> Cost:
    """Run a command to its end; return what it used."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(words, stdout=output, cwd=Path(__file__).resolve().parents[1])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read(4096)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said)


# --- the peer's input


def cib(groups: int, probed: bool) -> str:
    """Return a cluster state for ``crm_simulate``: every group started on its system, ``LOST`` gone."""
    nodes = "".join(f'<node id="{n + 1}" uname="s{n}"/>' for n in range(SYSTEMS))
    options = "".join(
        f'<nvpair id="o-{name}" name="{name}" value="{value}"/>'
        for name, value in (
            ("stonith-enabled", "false"),
            ("no-quorum-policy", "ignore"),
            ("enable-startup-probes", str(probed).lower()),
        )
    )
    resources = "".join(
        f'<group id="g{group}">'
        + "".join(
            f'<primitive id="g{group}r{each}" class="ocf" provider="heartbeat" type="Dummy"><operations>'
            f'<op id="g{group}r{each}-m" name="monitor" interval="10s"/></operations></primitive>'
            for each in range(PER_GROUP)
        )
        + "</group>"
        for group in range(groups)
    )
    states = "".join(_node_state(n, groups, probed) for n in range(SYSTEMS))
    return (
        '<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="1" num_updates="1" admin_epoch="0" '
        'have-quorum="1" dc-uuid="2"><configuration><crm_config><cluster_property_set id="o">'
        f"{options}</cluster_property_set></crm_config><nodes>{nodes}</nodes><resources>{resources}</resources>"
        '<constraints/><rsc_defaults><meta_attributes id="d"><nvpair id="d-s" name="resource-stickiness" value="100"/>'
        f"</meta_attributes></rsc_defaults></configuration><status>{states}</status></cib>"
    )


def _node_state(node: int, groups: int, probed: bool) -> str:
    lost = f"s{node}" == LOST
    member = 'in_ccm="false" crmd="offline" join="down"' if lost else 'in_ccm="true" crmd="online" join="member"'
    history = "".join(
        _history(f"g{group}r{each}", node, node == group % SYSTEMS, probed)
        for group in range(groups)
        for each in range(PER_GROUP)
        if probed or node == group % SYSTEMS
    )
    return (
        f'<node_state id="{node + 1}" uname="s{node}" {member} expected="member">'
        f'<lrm id="{node + 1}"><lrm_resources>{history}</lrm_resources></lrm></node_state>'
    )


def _history(name: str, node: int, here: bool, probed: bool) -> str:
    operations = []
    if probed:
        operations.append(("monitor", "0", 7, 1))
    if here:
        operations += [("start", "0", 0, 2), ("monitor", "10000", 0, 3)]
    rows = "".join(
        f'<lrm_rsc_op id="{name}_{kind}_{interval}" operation_key="{name}_{kind}_{interval}" operation="{kind}" '
        f'crm-debug-origin="x" crm_feature_set="3.16.2" transition-key="{call}:0:{code}:x" '
        f'transition-magic="0:{code};{call}:0:{code}:x" exit-reason="" on_node="s{node}" call-id="{call}" '
        f'rc-code="{code}" op-status="0" interval="{interval}" last-rc-change="1700000000" exec-time="10" '
        f'queue-time="0" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/>'
        for kind, interval, code, call in operations
    )
    return f'<lrm_resource id="{name}" type="Dummy" class="ocf" provider="heartbeat">{rows}</lrm_resource>'


# --- Holdfast's input


def records(groups: int) -> dict[str, str]:
    """Return the store's records of the same cluster: configuration, intents, a fact for each group on each system."""
    from holdfast.cluster.model.facts import (
        Evidence,
        EvidenceKind,
        GroupFact,
        Intent,
        ResourceFact,
        ResourceState,
        Wanted,
    )
    from holdfast.cluster.service.records import CONFIG, FACTS, GROUPS, ConfigRecord, encode

    names = [f"s{n}" for n in range(SYSTEMS)]
    lines = ['include "types.cf"', "cluster large ( )", *(f"system {name} ( )" for name in names)]
    found: dict[str, str] = {}
    proof = Evidence(EvidenceKind.FIRST_START, "probed offline everywhere")
    up = ResourceFact(ResourceState.ONLINE, probed=True)
    down = ResourceFact(ResourceState.OFFLINE, probed=True)
    for group in range(groups):
        order = [names[(group + n) % SYSTEMS] for n in range(SYSTEMS)]
        lines += [
            f"group g{group} ( SystemList = {{ {', '.join(order)} }} AutoStartList = {{ {order[0]} }} )",
            *(f'FileOnOff g{group}r{each} ( PathName = "/run/g{group}r{each}" )' for each in range(PER_GROUP)),
            *(f"g{group}r{each} requires g{group}r{each - 1}" for each in range(1, PER_GROUP)),
        ]
        intent = Intent(f"g{group}", order[0], f"{order[0]}-1", Wanted.ONLINE, 1, 1, proof)
        found[f"{GROUPS}g{group}"] = encode(intent).decode()
        for name in names:
            each_fact = {f"g{group}r{each}": up if name == order[0] else down for each in range(PER_GROUP)}
            fact = GroupFact(f"g{group}", name, f"{name}-1", 1, True, each_fact)
            found[f"{FACTS}{name}/g{group}"] = encode(fact).decode()
    bundled = Path(__file__).parents[1] / "src/holdfast/cluster/config/types.cf"
    files = {"main.cf": "\n".join(lines) + "\n", "types.cf": bundled.read_text("utf-8")}
    found[CONFIG] = encode(ConfigRecord(files)).decode()
    return found


def write(base: Path, groups: int) -> int:
    """Write the inputs of all three; Holdfast's is a line for each record, key and value."""
    (base / "ours").write_text("".join(f"{key} {value}\n" for key, value in records(groups).items()))
    for kind in ("lean", "probed"):
        (base / f"{kind}.xml").write_text(cib(groups, kind == "probed"))
    return 0


def decide_file(path: Path) -> int:
    """Read the records, decide, and say what decoding and deciding cost in processor seconds."""
    from holdfast.cluster.config.builder import build
    from holdfast.cluster.model.facts import Life, SystemView
    from holdfast.cluster.plan.decide import decide
    from holdfast.cluster.plan.view import View
    from holdfast.cluster.service.records import CONFIG, State
    from holdfast.store.port import Entry

    with path.open("rb") as lines:
        entries = {key.decode(): Entry(value, 1) for key, _, value in (line.rstrip().partition(b" ") for line in lines)}
    state = State()
    state.put(CONFIG, entries.pop(CONFIG))
    assert state.config is not None
    configuration = build(state.config.files)
    began = time.process_time()
    for key, entry in entries.items():
        state.put(key, entry)
    systems = {
        name: SystemView(name, Life.DEAD if name == LOST else Life.ALIVE, f"{name}-1", 9.0 if name == LOST else 0.1)
        for name in configuration.systems
    }
    living = {key: fact for key, fact in state.facts.items() if key[1] != LOST}
    view = View(configuration, systems, state.intents, living, state.facts, now=1700000000.0, epoch=1)
    placed = [change for change in decide(view).changes if change.intent.owner != LOST]
    used_s = time.process_time() - began
    sys.stdout.write(f"{used_s}\n")
    return 0 if len(placed) == sum(intent.owner == LOST for intent in state.intents.values()) else 1


def rows(groups: int) -> list[Row]:
    """Measure both in turn; return the rows."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        base = Path(name)
        me = [sys.executable, "-m", "bench.decision"]
        # In a process of its own: the peak that the system notes of a child begins with its parent's.
        subprocess.run([*me, "write", str(base), str(groups)], check=True, cwd=Path(__file__).resolve().parents[1])
        peers = {kind: ["crm_simulate", "-R", "-x", str(base / f"{kind}.xml")] for kind in ("lean", "probed")}
        return _measure([*me, "decide", str(base / "ours")], peers, groups)


def _measure(ours: list[str], peers: dict[str, list[str]], groups: int) -> list[Row]:
    runs = max(RUNS, 5)
    found: dict[str, list[Cost]] = {"holdfast": [], "lean": [], "probed": []}
    for turn in range(runs + 1):
        for kind, words in (("holdfast", ours), ("lean", peers["lean"]), ("probed", peers["probed"])):
            if kind == "probed" and turn not in (1, runs):
                continue  # it takes minutes: measured at both ends of the run
            used = cost(words)
            sys.stderr.write(f"run {turn}: {kind} {used.cpu_s:.2f} s CPU, {used.peak_mib:.0f} MiB\n")
            if turn:
                found[kind].append(used)
    what = f"decision, {groups * PER_GROUP} resources in {groups} groups, {SYSTEMS} systems, one lost"
    mine = [float(one.said) for one in found["holdfast"]]
    lean = [one.cpu_s for one in found["lean"]]
    return [
        median_row(
            f"{what}; CPU of the whole process, lean", "s", [one.cpu_s for one in found["holdfast"]], lean,
            "crm_simulate",
        ),
        median_row(f"{what}; CPU, probed", "s", mine, [one.cpu_s for one in found["probed"]], "crm_simulate", 0.01),
        median_row(f"{what}; CPU, lean", "s", mine, lean, "crm_simulate", 0.15),
        median_row(
            f"{what}; memory, lean", "MiB", [one.peak_mib for one in found["holdfast"]],
            [one.peak_mib for one in found["lean"]], "crm_simulate", 0.5,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["decide", path]:
            sys.exit(decide_file(Path(path)))
        case ["write", path, size]:
            sys.exit(write(Path(path), int(size)))
    sys.exit(publish("decision", rows(int(sys.argv[1]) if len(sys.argv) > 1 else GROUPS)))
