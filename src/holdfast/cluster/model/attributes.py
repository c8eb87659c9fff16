"""Attributes: what a name in main.cf may hold, and the one table of defaults that the engine goes by.

A value is a scalar (text or whole number), a list (keylist or vector) or an association. Definitions come from type
files for resources and from the tables below for clusters, systems, groups and the attributes that every resource
has. Correcting a default is one edit here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

NAME_LIMIT_BYTES = 200
"""Of names of clusters, systems, groups, resources, types, attributes and users: they become names of files."""
VALUE_LIMIT_BYTES = 64 * 1024
"""Of one value, or one element of a list: it reaches a program as one word, and the kernel takes no more than twice as
much."""

Scalar = str | int
Value = str | int | tuple[str, ...] | Mapping[str, str]


class Dimension(Enum):
    """How many values an attribute holds."""

    SCALAR = "scalar"
    VECTOR = "vector"
    KEYLIST = "keylist"
    ASSOCIATION = "association"
    AMOUNT = "amount"
    """A whole number, or an association of names and whole numbers: both forms are in use for load and capacity."""


class Kind(Enum):
    """What one value is."""

    STR = "str"
    INT = "int"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class AttributeDef:
    """One attribute of a type. ``static`` values belong to the type; ``temp`` values are never written; ``allowed`` are
    the only values there are, if it names any. A number is not below ``least`` nor above ``most``."""

    name: str
    kind: Kind = Kind.STR
    dimension: Dimension = Dimension.SCALAR
    default: Value = ""
    static: bool = False
    temp: bool = False
    declared_default: bool = False
    allowed: tuple[str, ...] = ()
    least: int = -(2**31)
    most: int = 2**31 - 1


def _int(name: str, default: int, least: int = 0, most: int = 2**31 - 1) -> AttributeDef:
    return AttributeDef(name, Kind.INT, default=default, least=least, most=most)


def _time(name: str, default: int) -> AttributeDef:
    """Seconds, of which there must be some."""
    return _int(name, default, 1)


def _flag(name: str, default: int) -> AttributeDef:
    return AttributeDef(name, Kind.BOOLEAN, default=default)


def _text(name: str, default: str = "") -> AttributeDef:
    return AttributeDef(name, default=default)


def _choice(name: str, *allowed: str) -> AttributeDef:
    """One of the values ``allowed``, of which the first is the default."""
    return AttributeDef(name, default=allowed[0], allowed=allowed)


def _small(name: str, default: int, largest: int) -> AttributeDef:
    return AttributeDef(name, Kind.INT, default=default, allowed=tuple(str(one) for one in range(largest + 1)))


def _keys(name: str) -> AttributeDef:
    return AttributeDef(name, dimension=Dimension.KEYLIST, default=())


def _pairs(name: str) -> AttributeDef:
    return AttributeDef(name, dimension=Dimension.ASSOCIATION, default=())


def _amount(name: str, default: int = 0) -> AttributeDef:
    return AttributeDef(name, Kind.INT, Dimension.AMOUNT, default, least=0)


def amounts(value: Value) -> dict[str, int]:
    """Return an amount as name → number; a single number stands under the empty name."""
    if isinstance(value, Mapping):
        return {name: int(text or 0) for name, text in value.items()}
    if isinstance(value, int | str):
        return {"": int(value)} if str(value).strip() else {}
    return {}


def _table(*attributes: AttributeDef) -> Mapping[str, AttributeDef]:
    return {attribute.name: attribute for attribute in attributes}


CLUSTER_ATTRIBUTES = _table(
    _text("ClusterAddress"), _pairs("UserNames"), _keys("Administrators"), _keys("Operators"), _text("UseFence"),
    _time("CounterInterval", 5), _text("EngineShutdown", "Enable"), _text("ClusterUUID"), _flag("SecureClus", 0),
    _text("Statistics", "Enabled"),
)  # fmt: skip

REMOTE_CLUSTER_ATTRIBUTES = _table(
    _text("ClusterAddress"), _time("ConnectTimeout", 300), _time("SocketTimeout", 180),
    _time("RemoteConnectInterval", 60), _text("DeclaredState"), _text("SourceFile"),
)  # fmt: skip
"""Of ``remotecluster`` blocks; the numbers of seconds are [K]."""

HEARTBEAT_ATTRIBUTES = _table(
    _keys("ClusterList"), AttributeDef("Arguments", dimension=Dimension.VECTOR, default=()), _time("AYAInterval", 60),
    _time("AYATimeout", 30), _int("AYARetryLimit", 3, 1), _time("CleanTimeout", 60), _time("InitTimeout", 120),
    _time("StartTimeout", 30), _time("StopTimeout", 30), _int("NumThreads", 10, 1, 1000), _keys("LogDbg"),
    _text("AgentDirectory"), _text("AgentFile"),
)  # fmt: skip
"""Of ``heartbeat`` blocks; a value may be local to a remote cluster. Seconds are [K]."""

SYSTEM_ATTRIBUTES = _table(
    _amount("Capacity", 100), _pairs("Limits"), _int("ShutdownTimeout", 120), _flag("Frozen", 0),
    _int("LoadWarningLevel", 80, 1, 100), _int("LoadTimeThreshold", 600),
)  # fmt: skip
"""LoadWarningLevel is a percentage of Capacity, LoadTimeThreshold is in seconds; both defaults [K]."""

GROUP_ATTRIBUTES = _table(
    _pairs("SystemList"), _keys("AutoStartList"), _pairs("SystemZones"), _flag("AutoStart", 1), _flag("Parallel", 0),
    _small("AutoFailOver", 1, 2), _small("AutoRestart", 1, 2), _flag("Enabled", 1),
    _choice("FailOverPolicy", "Priority", "RoundRobin", "Load", "BiggestAvailable"),
    _choice("AutoStartPolicy", "Order", "Load", "Priority"), _flag("ProPCV", 0),
    _choice("ManageFaults", "ALL", "NONE"),
    _int("OnlineRetryLimit", 0), _int("OnlineRetryInterval", 0), _flag("Frozen", 0),
    _keys("Operators"), _keys("Administrators"), _text("ClusterFailOverPolicy", "Manual"), _pairs("ClusterList"),
    _flag("Authority", 0), _keys("TriggersEnabled"), _flag("PreOnline", 0), _small("IntentOnline", 1, 2),
    _choice("FaultPropagation", "1", "0"), _text("Data", ""),
    _amount("Load"), _pairs("Prerequisites"),
)  # fmt: skip

RESOURCE_ATTRIBUTES = _table(_flag("Critical", 1), _flag("Enabled", 1), _flag("AutoStart", 1), _text("Signaled"))

TYPE_ATTRIBUTES = _table(
    _time("MonitorInterval", 60), _time("MonitorTimeout", 60), _int("OfflineMonitorInterval", 300),
    _int("FaultOnMonitorTimeouts", 4), _int("ToleranceLimit", 0), _int("ConfInterval", 600),
    _int("OnlineWaitLimit", 2), _int("OfflineWaitLimit", 0), _time("OnlineTimeout", 300), _time("OfflineTimeout", 300),
    _time("CleanTimeout", 60), _time("CloseTimeout", 60), _time("OpenTimeout", 60), _time("ActionTimeout", 40),
    _time("InfoTimeout", 30), _int("InfoInterval", 0), _int("RestartLimit", 0), _int("OnlineRetryLimit", 0),
    _int("CleanRetryLimit", 0), _flag("IntentionalOffline", 0),
    _int("NumThreads", 10, 1, 1000), _choice("Operations", "OnOff", "OnOnly", "None"), _time("AttrChangedTimeout", 60),
    _time("AgentStartTimeout", 60), _time("AgentReplyTimeout", 130), _int("MigrateWaitLimit", 2),
    _keys("SupportedActions"), _text("AgentClass"), _text("AgentPriority"), _text("AgentFile"),
    _text("AgentDirectory"), _keys("RegList"), _flag("FireDrill", 0), _int("ToleranceReset", 0),
    AttributeDef("ArgList", dimension=Dimension.VECTOR, default=()),
)  # fmt: skip
"""Static attributes that every type has (``cluster.md`` section 6); a type file or an override changes them."""
