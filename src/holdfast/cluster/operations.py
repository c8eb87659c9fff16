"""The cluster domain's operations, declared once; command line, dialects and documentation derive from this table."""

from __future__ import annotations

from holdfast.kernel.operation import Operation, Param

_GROUP = Param("group", "The service group.", required=True, positional=True)
_RESOURCE = Param("resource", "The resource.", required=True, positional=True)
_SITE = Param("site", "Only a system of this site: a number in SystemZones.")
_WAIT = Param("wait", "Wait up to so many seconds for the end.", kind="float", default=0.0)
_CONFIG = Param("config", "The system's file that names the devices; default: HOLDFAST_SYSTEM_CONFIG.")


def _system(help_text: str, required: bool = False) -> Param:
    return Param("system", help_text, required=required)


OPERATIONS: tuple[Operation, ...] = (
    Operation("group list", "List the groups and where they are.", (), ("holdfast group list",), changes=False),
    Operation(
        "group state", "Show a group: owner, evidence, resources, and why it is where it is.", (_GROUP,),
        ("holdfast group state VCS_Cluster",), changes=False,
    ),
    Operation(
        "group online", "Bring a group online.",
        (
            _GROUP, _system("Where; default: the best system, of a parallel group every living one."), _SITE,
            Param("propagate", "First bring the groups online that it requires.", "bool"),
            Param("force", "Also where it is faulted: the faults there are cleared first.", "bool"),
            Param("nopre", "Without the preonline trigger.", "bool"), _WAIT,
        ),
        ("holdfast group online VCS_Cluster --system hosta --wait 60", "holdfast group online app --propagate"),
    ),
    Operation(
        "group offline", "Take a group offline.",
        (
            _GROUP, _system("Where it is now; of a parallel group default: everywhere."), _SITE,
            Param("propagate", "First take the groups offline that require it.", "bool"),
            Param("force", "Although a group that requires it is online; that goes offline by its link.", "bool"),
            Param("ifprobed", "Only if every resource is probed there.", "bool"), _WAIT,
        ),
        ("holdfast group offline VCS_Cluster --wait 60", "holdfast group offline db --propagate"),
    ),
    Operation(
        "group switch", "Move a group to another system.",
        (
            _GROUP, Param("to", "The system that is to get it; default: the best one."), _SITE,
            Param("cluster", "The remote cluster that is to get it, with the authority."), _WAIT,
        ),
        ("holdfast group switch VCS_Cluster --to hostb --wait 60", "holdfast group switch web --cluster london"),
    ),
    Operation(
        "group freeze", "Stop planning and acting for a group; its services stay as they are.", (_GROUP,),
        ("holdfast group freeze VCS_Cluster",),
    ),
    Operation("group unfreeze", "Plan and act for a group again.", (_GROUP,), ("holdfast group unfreeze VCS_Cluster",)),
    Operation(
        "group clear", "Forget the faults of a group.", (_GROUP, _system("Only there.")),
        ("holdfast group clear VCS_Cluster --system hosta",),
    ),
    Operation(
        "group flush", "Give up what a group waits for: what is becomes the goal; entry points that run go on.",
        (
            _GROUP, _system("Where it is; of a parallel group default: everywhere."),
            Param("force", "Also when its system is silent: the group is then wanted offline.", "bool"),
        ),
        ("holdfast group flush VCS_Cluster --system hosta",),
    ),
    Operation(
        "group clearadminwait", "Go on with resources that wait for an administrator (ManageFaults NONE).",
        (
            _GROUP, _system("Only there."),
            Param("fault", "They are to count as faulted; without it they are looked at again.", "bool"),
        ),
        ("holdfast group clearadminwait VCS_Cluster --system hosta --fault",),
    ),
    Operation(
        "group autoenable", "Give your word that a silent system does not run a group, so that another may take it.",
        (
            _GROUP, _system("The silent system.", required=True),
            Param("reason", "How you know; it is recorded with your name.", default=""),
        ),
        ("holdfast group autoenable VCS_Cluster --system hosta --reason 'powered off by hand'",),
    ),
    Operation(
        "group maintenance", "Let people work on the resources: the engine reacts to nothing until it is over.",
        (
            _GROUP,
            Param("mode", "on or off.", required=True, positional=True),
            Param("for", "Seconds after which it ends by itself.", kind="float", default=600.0),
            Param("force", "Leave although facts differ from the intent; the engine then restores the intent.", "bool"),
        ),
        ("holdfast group maintenance VCS_Cluster on --for 300", "holdfast group maintenance VCS_Cluster off"),
    ),
    Operation(
        "group takeover", "Decide as a person that a system takes a group from a dead owner.",
        (
            _GROUP, _system("The system that takes it.", required=True),
            Param("accept_data_loss", "Although its data is not recorded as current.", "bool"),
            Param("reason", "Why; it is recorded with your name.", required=True), _WAIT,
        ),
        ("holdfast group takeover VCS_Cluster --system hostc --accept-data-loss --reason 'site 1 burned down'",),
    ),
    Operation(
        "group authority", "Decide as a person whether this cluster may run a global group.",
        (
            _GROUP, Param("mode", "take or release.", required=True, positional=True),
            Param("reason", "Why; it is recorded with your name.", default=""),
        ),
        ("holdfast group authority web take --reason 'it does not run in london'",),
    ),
    Operation(
        "resource list", "List the resources of all groups or of one.", (Param("group", "Only of this group."),),
        ("holdfast resource list --group VCS_Cluster",), changes=False,
    ),
    Operation(
        "resource state", "Show a resource on every system.", (_RESOURCE,), ("holdfast resource state mnt_VCS",),
        changes=False,
    ),
    Operation(
        "resource online", "Bring a resource online where its group is.", (_RESOURCE, _system("Where."), _WAIT),
        ("holdfast resource online mnt_VCS --wait 30",),
    ),
    Operation(
        "resource offline", "Take a resource offline where its group is.",
        (
            _RESOURCE, _system("Where."), Param("parentprop", "First take offline what needs it.", "bool"),
            Param("ignoreparent", "Although what needs it is online, and stays so.", "bool"), _WAIT,
        ),
        ("holdfast resource offline mnt_VCS --wait 30", "holdfast resource offline mnt_VCS --parentprop"),
    ),
    Operation(
        "resource offprop", "Take a resource offline and then what it needs, save what something else online needs.",
        (
            _RESOURCE, _system("Where."), Param("ignoreparent", "Although what needs it is online.", "bool"), _WAIT,
        ),
        ("holdfast resource offprop app_VCS --wait 60",),
    ),
    Operation(
        "resource clear", "Forget the fault of a resource.", (_RESOURCE, _system("Only there.")),
        ("holdfast resource clear mnt_VCS",),
    ),
    Operation(
        "resource probe", "Monitor a resource now.", (_RESOURCE, _system("Where; default: the owner.")),
        ("holdfast resource probe mnt_VCS --system hosta",),
    ),
    Operation(
        "resource action", "Run an action of a resource's agent.",
        (
            _RESOURCE, Param("name", "The action.", required=True, positional=True),
            _system("Where; default: the owner."), Param("arguments", "An argument; may be repeated.", "list"), _WAIT,
        ),
        ("holdfast resource action ora_mmir failback --system hostc --wait 60",),
    ),
    Operation(
        "resource info", "Show what a resource's agent tells about it: an array's pairs, a unit's states.",
        (_RESOURCE, Param("refresh", "Ask the agent now instead of showing what it told last.", "bool"),
         _system("Where; default: everywhere, with --refresh where its group is."), _WAIT),
        ("holdfast resource info ora_mmir", "holdfast resource info ora_mmir --refresh --wait 30"), changes=False,
    ),
    Operation("system list", "List the systems.", (), ("holdfast system list",), changes=False),
    Operation(
        "system state", "Show a system and its groups.",
        (Param("system", "Its name.", required=True, positional=True),),
        ("holdfast system state hosta",), changes=False,
    ),
    Operation(
        "system freeze", "Let a system take no more groups until it is unfrozen; what runs there goes on.",
        (
            Param("system", "Its name.", required=True, positional=True),
            Param("evacuate", "Switch its groups away.", "bool"),
            Param("reason", "Why; it is recorded with your name.", default=""), _WAIT,
        ),
        ("holdfast system freeze hosta --evacuate --wait 120",),
    ),
    Operation(
        "system load", "Say what the load of a system is; FailOverPolicy Load goes by it instead of its groups' Load.",
        (
            Param("system", "Its name.", required=True, positional=True),
            Param("amounts", "A number, or NAME NUMBER pairs as in Capacity; none: its groups count.", default=""),
        ),
        ("holdfast system load hosta --amounts 30", "holdfast system load hosta --amounts 'CPU 3 Mem 20'",
         "holdfast system load hosta"),
    ),
    Operation(
        "system unfreeze", "Let a system take groups again.",
        (Param("system", "Its name.", required=True, positional=True),), ("holdfast system unfreeze hosta",),
    ),
    Operation(
        "cluster verify", "Check a main.cf; nothing is changed.",
        (Param("path", "main.cf or its directory.", required=True, positional=True),),
        ("holdfast cluster verify examples/two-sites",), changes=False,
    ),
    Operation(
        "cluster load", "Check a main.cf and commit it to the store.",
        (Param("path", "main.cf or its directory.", required=True, positional=True),),
        ("holdfast cluster load examples/two-sites --store embedded:///var/lib/holdfast/cluster.db",),
    ),
    Operation("cluster remotes", "Show the remote clusters, their heartbeats and the groups shared with them.", (),
              changes=False, examples=("holdfast cluster remotes",)),
    Operation(
        "cluster declare", "Say what became of a remote cluster that is silent.",
        (
            Param("cluster", "Its name.", required=True, positional=True),
            Param("kind", "disaster, outage, disconnect or replica.", required=True, positional=True),
            Param("failover", "Take over the groups of which it holds the authority.", "bool"),
            Param("accept_data_loss", "Although the data here is not recorded as current.", "bool"),
            Param("reason", "Why; it is recorded with your name.", default=""),
        ),
        ("holdfast cluster declare london disaster --failover --reason 'the site burned down'",),
    ),
    Operation(
        "cluster alerts", "Show what waits for a person.",
        (Param("all", "Also what somebody has taken note of.", "bool"),), ("holdfast cluster alerts",), changes=False,
    ),
    Operation(
        "cluster acknowledge", "Take note of an alert: it is not shown again until something about it changes.",
        (
            Param("alert", "Its id.", required=True, positional=True),
            Param("reason", "What was done about it; it is recorded with your name.", required=True),
        ),
        ("holdfast cluster acknowledge NOFAILA_VCS_Cluster --reason 'the spare system is ordered'",),
    ),
    Operation("cluster state", "Show systems, groups and what is being waited for.", (), changes=False,
              examples=("holdfast cluster state",)),
    Operation("cluster dump", "Print the committed configuration as main.cf.", (), changes=False,
              examples=("holdfast cluster dump",)),
    Operation(
        "cluster events", "Show what happened and why.", (Param("limit", "How many.", kind="int", default=50),),
        ("holdfast cluster events --limit 20",), changes=False,
    ),
    Operation(
        "explain", "Show why something was decided: what was seen, what spoke against each system; decide it again.",
        (
            Param("event", "Its number, as --list shows it; default: the latest.", positional=True, default="latest"),
            Param("group", "The latest that changed this group."),
            Param("list", "List the decisions that are kept.", "bool"),
            Param("replay", "Fail when the same planner decides otherwise now.", "bool"),
            Param("export", "Write the record with its configuration to this file.", default=""),
            Param("input", "Explain the record in this file.", default=""),
        ),
        (
            "holdfast explain --group web", "holdfast explain --list",
            "holdfast explain latest --replay --export case.json",
        ),
        changes=False,
    ),
    Operation(
        "plan", "Show what would happen and why, step by step, before it happens; nothing is changed.",
        (
            Param("lose", "A system that is lost; may be repeated.", "list"),
            Param("lose_site", "A zone of SystemZones whose systems are lost.", "list"),
            Param("lose_array", "An array, as LocalStorageImageID names it, that is lost.", "list"),
            Param("fault", "A resource that faults for good, RESOURCE or RESOURCE@SYSTEM.", "list"),
            Param("do", "A command to carry out first, in quotation marks; may be repeated.", "list"),
            Param("config", "A main.cf, or its directory, that is applied first.", default=""),
            Param("assume", "fence-confirms, fence-refuses, data-current or data-unknown.", "list"),
        ),
        (
            "holdfast plan --lose hosta", "holdfast plan --lose-site 0 --assume data-unknown",
            "holdfast plan --do 'group switch web --to hostb'",
        ),
        changes=False,
    ),
    Operation(
        "type list", "List the resource types that come with Holdfast, and the OCF agents installed here.", (),
        ("holdfast type list",), changes=False,
    ),
    Operation(
        "type import",
        "Take a type file into the configuration, or print a type block made of an OCF agent installed here.",
        (
            Param("name", "A file such as MetroMirrorTypes.cf, or ocf:PROVIDER:AGENT.", required=True, positional=True),
        ),
        (
            "holdfast type import MetroMirrorTypes.cf",
            "holdfast type import ocf:heartbeat:IPaddr2 > IPaddr2Types.cf",
        ),
    ),
    Operation(
        "fence confirm", "Give your word that a silent system is dead and can do no harm.",
        (
            Param("system", "Its name.", required=True, positional=True),
            Param("reason", "How you know; it is recorded with your name.", default=""),
        ),
        ("holdfast fence confirm hosta --reason 'powered off by hand'",),
    ),
    Operation(
        "fence status", "Ask the devices that can end a system what they say of it.",
        (Param("system", "Its name; all without one.", positional=True), _CONFIG),
        ("holdfast fence status", "holdfast fence status hosta --config /etc/holdfast/system.toml"),
        changes=False,
    ),
    Operation(
        "fence test", "See that every device of a system answers; with --off, end the system as a takeover would.",
        (
            Param("system", "Its name.", required=True, positional=True), _CONFIG,
            Param("off", "End it now, with all that runs on it.", "bool"),
            Param("yes", "Agree to --off.", "bool"),
        ),
        ("holdfast fence test hosta", "holdfast fence test hosta --off --yes"),
        changes=False,
    ),
)  # fmt: skip


_ATTRIBUTE = Param("attribute", "The attribute.", required=True, positional=True)
_VALUES = Param("values", "Its value, or the keys of a list.", kind="list", positional=True)
_HOW = (
    Param("add", "Add the keys to what the list holds.", "bool"),
    Param("delete", "Take the keys out of the list.", "bool"),
    Param("update", "Give keys of an association other values, in turn.", "bool"),
    Param("clear", "Empty the list.", "bool"),
)
_FORCE = Param("force", "Although it is linked, or online.", "bool")
_CHILD = Param("child", "The group that is required.", required=True, positional=True)
_CHILDREN = Param("children", "The resources that are required.", "list", required=True, positional=True)
_NEW = Param("group", "Its name.", required=True, positional=True)

EDITS: tuple[Operation, ...] = (
    Operation(
        "group add", "Add an empty group.", (_NEW, Param("on", "A system it may run on; may be repeated.", "list")),
        ("holdfast group add web --on hosta --on hostb --reason 'the new shop'",),
    ),
    Operation("group remove", "Remove a group.", (_GROUP, _FORCE), ("holdfast group remove web",)),
    Operation(
        "group modify", "Change an attribute of a group.",
        (_GROUP, _ATTRIBUTE, _VALUES, *_HOW, _system("Only there.")),
        ("holdfast group modify web AutoStartList hosta", "holdfast group modify web SystemList --add hostc 2"),
    ),
    Operation(
        "group link", "Let a group require another.",
        (_GROUP, _CHILD, Param("kind", "How, as in main.cf.", default="online local firm")),
        ("holdfast group link web database --kind 'online global soft'",),
    ),
    Operation("group unlink", "Let a group require another no more.", (_GROUP, _CHILD),
              ("holdfast group unlink web database",)),
    Operation(
        "resource add", "Add a resource to a group.",
        (
            Param("resource", "Its name.", required=True, positional=True),
            Param("type", "Its type.", required=True, positional=True),
            Param("group", "The service group.", required=True, positional=True),
            Param("set", "ATTRIBUTE=VALUE; may be repeated.", "list"),
            Param("disabled", "Leave it alone until Enabled is set to 1.", "bool"),
        ),
        ("holdfast resource add page FileOnOff web --set PathName=/run/page",),
    ),
    Operation("resource remove", "Remove a resource.", (_RESOURCE, _FORCE), ("holdfast resource remove page",)),
    Operation(
        "resource modify", "Change an attribute of a resource.",
        (_RESOURCE, _ATTRIBUTE, _VALUES, *_HOW, _system("Only there.")),
        ("holdfast resource modify page PathName /run/page2 --reason 'moved'",),
    ),
    Operation(
        "resource link", "Let a resource require others.",
        (_RESOURCE, _CHILDREN, Param("at_least", "How many of them are enough; 0: all are needed.", "int", default=0)),
        ("holdfast resource link page mnt_web ip_web", "holdfast resource link page ip1 ip2 --at-least 1"),
    ),
    Operation("resource unlink", "Let a resource require others no more.", (_RESOURCE, _CHILDREN),
              ("holdfast resource unlink page mnt_web",)),
    Operation(
        "system add", "Add a system to the cluster.", (Param("system", "Its name.", required=True, positional=True),),
        ("holdfast system add hostc",),
    ),
    Operation(
        "system stop", "Stop a system; its groups go offline and wait for it.",
        (
            Param("system", "Its name.", required=True, positional=True),
            Param("evacuate", "Let other systems take its groups over.", "bool"),
            Param("force", "Leave its groups running, without anybody to look after them.", "bool"),
            _WAIT,
        ),
        ("holdfast system stop hosta --evacuate --reason 'new memory'",),
    ),
    Operation(
        "system remove", "Remove a system that no group names.",
        (Param("system", "Its name.", required=True, positional=True), _FORCE), ("holdfast system remove hostc",),
    ),
    Operation(
        "system modify", "Change an attribute of a system.",
        (Param("system", "Its name.", required=True, positional=True), _ATTRIBUTE, _VALUES, *_HOW),
        ("holdfast system modify hosta Limits CPU 4",),
    ),
    Operation(
        "type modify", "Change what a type gives its resources.",
        (Param("type", "Its name.", required=True, positional=True), _ATTRIBUTE, _VALUES, *_HOW),
        ("holdfast type modify Application NumThreads 20",),
    ),
    Operation(
        "cluster modify", "Change an attribute of the cluster.", (_ATTRIBUTE, _VALUES, *_HOW),
        ("holdfast cluster modify EngineShutdown DisableClusStop",),
    ),
    Operation(
        "cluster audit", "Show who changed or asked for what, when and why.",
        (Param("limit", "How many.", kind="int", default=50),), ("holdfast cluster audit --limit 20",), changes=False,
    ),
)  # fmt: skip
"""One change of the configuration each, as a transaction of its own; the last shows them."""


_ROOT = Param("root", "Directory below which all files lie.", default="/")
_LIFETIME = Param("lifetime", "How many seconds the token that it prints lives.", kind="float", default=3600.0)

SETUP: tuple[Operation, ...] = (
    Operation(
        "cluster init", "Make a cluster with this machine as its first system; print how the next one joins.",
        (
            Param("name", "The cluster's name.", required=True), _system("This system's name.", required=True),
            Param("address", "The address under which other systems reach this one.", required=True),
            Param("etcd", "Keep the cluster's state in etcd, with a member on each system.", "bool"),
            Param("config", "A main.cf to begin with, or its directory; default: one without groups."),
            _LIFETIME, _ROOT,
        ),
        ("holdfast cluster init --name payroll --system hosta --address 10.0.0.1 --etcd",),
    ),
    Operation(
        "cluster token", "Make another token, for one further system, and print how it joins.", (_LIFETIME, _ROOT),
        ("holdfast cluster token --lifetime 600",),
    ),
    Operation(
        "cluster join", "Make this machine a system of the cluster that is at the given address.",
        (
            Param("at", "The address of the first system.", required=True, positional=True),
            Param("token", "As init or token printed it, or @FILE, of mode 600, that holds it.", required=True),
            _system("This system's name.", required=True),
            Param("address", "The address under which other systems reach this one.", required=True), _ROOT,
        ),
        ("holdfast cluster join 10.0.0.1 --token hB3...9f --system hostb --address 10.0.0.2",),
    ),
    Operation(
        "cluster leave", "Take this system out of its cluster: its groups go elsewhere, its keys are destroyed.",
        (
            Param("wait", "Wait up to so many seconds until its groups are elsewhere.", kind="float", default=120.0),
            Param("force", "Also the last system, or the one that holds the authority.", "bool"), _ROOT,
        ),
        ("holdfast cluster leave",),
    ),
)  # fmt: skip
"""What makes a machine a system of a cluster, and what ends that."""


def of_noun(noun: str) -> tuple[Operation, ...]:
    """Return the operations of ``noun`` in the order of the table."""
    return tuple(operation for operation in (*OPERATIONS, *EDITS, *SETUP) if operation.noun == noun)
