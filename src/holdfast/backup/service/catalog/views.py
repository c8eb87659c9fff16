"""What SELECT sees: the tables of section 9 with their columns, each a view over the catalog's own tables.

The definitions are portable SQL. Functions whose names begin with ``hf_`` are the driver's (``hf_ts``: a time in
nanoseconds as text). No view shows a password, a key or anything else that opens a door. Tables of things that this
server does not have (drives, libraries) are there and empty, so that a monitoring script finds no complaint in them.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class View:
    """One table as SELECT sees it: columns with their expressions, and where they come from ("": memory)."""

    name: str
    columns: tuple[tuple[str, str], ...]
    source: str = ""
    remark: str = ""
    besides: str = ""
    """A table made in memory with the same columns, whose rows stand besides those of ``source``."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name, _ in self.columns)

    def sql(self, schema: str) -> str:
        """Return the SELECT behind the view; ``schema`` is where the catalog's tables are."""
        chosen = ", ".join(f"{expression} AS {name}" for name, expression in self.columns)
        more = f" UNION ALL SELECT * FROM temp.{self.besides}" if self.besides else ""
        return f"SELECT {chosen} FROM {self.source}{more}".replace("@", f"{schema}.")


def _view(name: str, source: str, columns: str, remark: str, besides: str = "") -> View:
    """Read a definition: lines of ``NAME expression``; a column without expression is empty."""
    pairs = []
    for line in columns.strip().splitlines():
        column, _, expression = line.strip().partition(" ")
        pairs.append((column, expression.strip() or "''"))
    return View(name, tuple(pairs), source, remark, besides)


def _memory(name: str, columns: str, remark: str) -> View:
    return View(name, tuple((column, "") for column in columns.split()), "", remark)


def _yes(expression: str) -> str:
    return f"CASE WHEN {expression} THEN 'YES' ELSE 'NO' END"


def _limit(column: str) -> str:
    return f"CASE WHEN {column} >= 2147483647 THEN 'NOLIMIT' ELSE CAST({column} AS VARCHAR) END"


_HELD = "(SELECT MIN(a.privilege) FROM @authorities a WHERE a.admin = t.name AND a.privilege = '{}')"

VIEWS: tuple[View, ...] = (
    _view("nodes", "@nodes t", f"""
        NODE_NAME t.name
        PLATFORM_NAME t.platform
        DOMAIN_NAME t.domain
        PWSET_TIME hf_ts(t.password_ns)
        INVALID_PW_COUNT t.invalid
        CONTACT t.contact
        COMPRESSION CASE WHEN t.compression = '' THEN 'CLIENT' ELSE t.compression END
        ARCHDELETE {_yes("t.archdelete = 1")}
        BACKDELETE {_yes("t.backdelete = 1")}
        LOCKED {_yes("t.locked = 1")}
        LASTACC_TIME hf_ts(t.access_ns)
        REG_TIME hf_ts(t.registered_ns)
        REG_ADMIN
        OPTION_SET t.cloptset
        PASSEXP t.passexp_days
        MAX_MP_ALLOWED t.maxnummp
        NODETYPE t.type
    """, "Client nodes and source servers"),
    _view("admins", "@admins t", f"""
        ADMIN_NAME t.name
        LASTACC_TIME hf_ts(t.access_ns)
        PWSET_TIME hf_ts(t.password_ns)
        CONTACT t.contact
        LOCKED {_yes("t.locked = 1")}
        INVALID_PW_COUNT t.invalid
        SYSTEM_PRIV {_yes(_HELD.format("SYSTEM") + " IS NOT NULL")}
        POLICY_PRIV {_yes(_HELD.format("POLICY") + " IS NOT NULL")}
        STORAGE_PRIV {_yes(_HELD.format("STORAGE") + " IS NOT NULL")}
        OPERATOR_PRIV {_yes(_HELD.format("OPERATOR") + " IS NOT NULL")}
        REG_TIME hf_ts(t.registered_ns)
        REG_ADMIN
        PASSEXP t.passexp_days
    """, "Administrators"),
    _view("domains", "@domains t LEFT JOIN @policysets s ON s.domain = t.name AND s.name = 'ACTIVE'", """
        DOMAIN_NAME t.name
        SET_LAST_ACTIVATED s.activated_from
        ACTIVATE_DATE hf_ts(s.activated_ns)
        DEFMGMTCLASS s.default_class
        NUM_NODES (SELECT COUNT(*) FROM @nodes n WHERE n.domain = t.name)
        BACKRETENTION t.backretention_days
        ARCHRETENTION t.archretention_days
        DESCRIPTION t.description
    """, "Policy domains"),
    _view("policysets", "@policysets t", """
        DOMAIN_NAME t.domain
        SET_NAME t.name
        DEFMGMTCLASS t.default_class
        DESCRIPTION t.description
    """, "Policy sets"),
    _view("mgmtclasses", "@mgmtclasses t LEFT JOIN @policysets s ON s.domain = t.domain AND s.name = t.policyset", f"""
        DOMAIN_NAME t.domain
        SET_NAME t.policyset
        CLASS_NAME t.name
        DEFAULTMC {_yes("s.default_class = t.name")}
        DESCRIPTION t.description
    """, "Management classes"),
    _view("bu_copygroups", "@copygroups t WHERE t.type = 'BACKUP'", f"""
        DOMAIN_NAME t.domain
        SET_NAME t.policyset
        CLASS_NAME t.mgmtclass
        COPYGROUP_NAME 'STANDARD'
        VEREXISTS {_limit("t.verexists")}
        VERDELETED {_limit("t.verdeleted")}
        RETEXTRA {_limit("t.retextra_days")}
        RETONLY {_limit("t.retonly_days")}
        MODE t.mode
        SERIALIZATION t.serialization
        FREQUENCY t.frequency_days
        DESTINATION t.destination
    """, "Backup copy groups"),
    _view("ar_copygroups", "@copygroups t WHERE t.type = 'ARCHIVE'", f"""
        DOMAIN_NAME t.domain
        SET_NAME t.policyset
        CLASS_NAME t.mgmtclass
        COPYGROUP_NAME 'STANDARD'
        RETVER {_limit("t.retver_days")}
        RETINIT CASE WHEN t.retinit = '' THEN 'CREATION' ELSE t.retinit END
        RETMIN t.retmin_days
        MODE 'ABSOLUTE'
        SERIALIZATION CASE WHEN t.serialization = '' THEN 'SHRSTATIC' ELSE t.serialization END
        FREQUENCY 'CMD'
        DESTINATION t.destination
    """, "Archive copy groups"),
    _view("filespaces", "@filespaces t", """
        NODE_NAME t.node
        FILESPACE_NAME t.name
        FILESPACE_ID t.id
        FILESPACE_TYPE t.type
        CAPACITY 0
        PCT_UTIL 0
        BACKUP_START hf_ts(t.started_ns)
        BACKUP_END hf_ts(t.ended_ns)
        DELETE_OCCURRED
        UNICODE_FILESPACE 'YES'
    """, "File spaces of nodes"),
    _view("backups", "@versions t JOIN @filespaces f ON f.id = t.filespace", """
        NODE_NAME f.node
        FILESPACE_NAME f.name
        FILESPACE_ID f.id
        STATE CASE WHEN t.inactive_ns IS NULL THEN 'ACTIVE_VERSION' ELSE 'INACTIVE_VERSION' END
        TYPE CASE WHEN t.kind = 2 THEN 'DIR' ELSE 'FILE' END
        HL_NAME hf_hl(t.key)
        LL_NAME hf_ll(t.key)
        OBJECT_ID t.id
        BACKUP_DATE hf_ts(t.stored_ns)
        DEACTIVATE_DATE hf_ts(t.inactive_ns)
        OWNER
        CLASS_NAME CASE WHEN t.mgmtclass = '' THEN 'DEFAULT' ELSE t.mgmtclass END
        FILE_SIZE t.size_bytes
    """, "Backup versions"),
    _view("archives", "@archive_objects t JOIN @filespaces f ON f.id = t.filespace", """
        NODE_NAME f.node
        FILESPACE_NAME f.name
        FILESPACE_ID f.id
        TYPE CASE WHEN t.kind = 2 THEN 'DIR' ELSE 'FILE' END
        HL_NAME hf_hl(t.key)
        LL_NAME hf_ll(t.key)
        OBJECT_ID t.id
        ARCHIVE_DATE hf_ts(t.stored_ns)
        OWNER
        DESCRIPTION t.description
        CLASS_NAME CASE WHEN t.mgmtclass = '' THEN 'DEFAULT' ELSE t.mgmtclass END
        FILE_SIZE t.size_bytes
    """, "Archive objects of clients"),
    _view("devclasses", "@devclasses t", f"""
        DEVCLASS_NAME t.name
        ACCESS_STRATEGY CASE WHEN t.type = 'DISK' THEN 'Random' ELSE 'Sequential' END
        STGPOOL_COUNT (SELECT COUNT(*) FROM @pools p WHERE p.devclass = t.name)
        DEVTYPE t.type
        FORMAT
        CAPACITY t.capacity_bytes / {MIB}.0
        MOUNTLIMIT t.mountlimit
        MOUNTRETENTION t.mountretention_min
        PREFIX t.prefix
        DIRECTORY t.directory
        SERVERNAME t.server
        RETRYPERIOD t.retryperiod_min
        RETRYINTERVAL t.retryinterval_s
    """, "Device classes"),
    _view("associations", "@associations t", """
        DOMAIN_NAME t.domain
        SCHEDULE_NAME t.schedule
        NODE_NAME t.node
        CHG_TIME hf_ts(t.since_ns)
        CHG_ADMIN t.changed_by
    """, "Schedules and their nodes"),
    _view("client_schedules", "@schedules t WHERE t.domain <> ''", """
        DOMAIN_NAME t.domain
        SCHEDULE_NAME t.name
        DESCRIPTION t.description
        ACTION t.action
        OPTIONS t.options
        OBJECTS t.objects
        PRIORITY t.priority
        STARTDATE substr(t.start, 1, 10)
        STARTTIME substr(t.start, 12, 8)
        DURATION t.duration
        DURUNITS t.durunits
        PERIOD t.period
        PERUNITS t.perunits
        DAYOFWEEK t.dayofweek
        EXPIRATION t.expiration
        CHG_TIME hf_ts(t.changed_ns)
        CHG_ADMIN t.changed_by
        SCHED_STYLE t.style
        ENH_MONTH t.month
        DAYOFMONTH t.dayofmonth
        WEEKOFMONTH t.weekofmonth
    """, "Schedules of clients"),
    _view("admin_schedules", "@schedules t WHERE t.domain = ''", f"""
        SCHEDULE_NAME t.name
        DESCRIPTION t.description
        COMMAND t.cmd
        PRIORITY t.priority
        STARTDATE substr(t.start, 1, 10)
        STARTTIME substr(t.start, 12, 8)
        DURATION t.duration
        DURUNITS t.durunits
        PERIOD t.period
        PERUNITS t.perunits
        DAYOFWEEK t.dayofweek
        EXPIRATION t.expiration
        ACTIVE {_yes("t.active = 1")}
        CHG_TIME hf_ts(t.changed_ns)
        CHG_ADMIN t.changed_by
        SCHED_STYLE t.style
    """, "Schedules of the server itself"),
    _view("actlog", "@actlog t", """
        DATE_TIME hf_ts(t.at_ns)
        MSGNO CAST(substr(t.message, 4, 4) AS INTEGER)
        SEVERITY substr(t.message, 8, 1)
        MESSAGE t.message
        ORIGINATOR CASE WHEN substr(t.message, 1, 3) = 'ANE' THEN 'CLIENT' ELSE 'SERVER' END
        NODENAME
        OWNERNAME
        SCHEDNAME
        DOMAINNAME
        SESSID t.session
        SESSION t.session
        PROCESS t.process
    """, "The activity log"),
    _view("events", "@events t", """
        SCHEDULED_START hf_ts(t.scheduled_ns)
        ACTUAL_START hf_ts(t.started_ns)
        COMPLETED hf_ts(t.ended_ns)
        DOMAIN_NAME t.domain
        SCHEDULE_NAME t.schedule
        NODE_NAME t.node
        STATUS t.status
        RESULT t.code
        REASON t.reason
    """, "Events, kept and to come", "events_to_come"),
    _view("summary", "@summary t", f"""
        START_TIME hf_ts(t.start_ns)
        END_TIME hf_ts(t.end_ns)
        ACTIVITY t.activity
        NUMBER t.number
        ENTITY t.entity
        COMMMETH 'Tcp/Ip'
        ADDRESS t.address
        SCHEDULE_NAME
        EXAMINED t.affected
        AFFECTED t.affected
        FAILED t.failed
        BYTES t.bytes
        IDLE 0
        MEDIAW 0
        PROCESSES 1
        SUCCESSFUL {_yes("t.successful = 1")}
        VOLUME_NAME
        DRIVE_NAME
        LIBRARY_NAME
        LAST_USE
    """, "What sessions and processes did"),
    _view("servers", "@servers t", """
        SERVER_NAME t.name
        COMM_METHOD 'TCPIP'
        HL_ADDRESS t.hladdress
        LL_ADDRESS t.lladdress
        DESCRIPTION t.description
        NODE_NAME t.nodename
        GRACE_DELETION_PERIOD t.grace_days
        LASTACC_TIME hf_ts(t.access_ns)
    """, "Other servers"),
    _view("scripts", "@script_lines t JOIN @scripts s ON s.name = t.script", """
        NAME t.script
        LINE t.line
        COMMAND t.command
        CHG_TIME hf_ts(s.changed_ns)
        CHG_ADMIN s.changed_by
    """, "Server scripts by line"),
    _view("cloptsets", "@cloptsets t", """
        OPTIONSET_NAME t.name
        DESCRIPTION t.description
    """, "Client option sets"),
    _view("clientopts", "@clientopts t", f"""
        OPTIONSET_NAME t.optionset
        OPTION_NAME t.name
        SEQNUMBER t.seq
        OPTION_VALUE t.value
        FORCE {_yes("t.force = 1")}
    """, "Options of client option sets"),
    _view("volhistory", "@volhistory t", """
        DATE_TIME hf_ts(t.at_ns)
        UNIQUE_ID t.id
        TYPE t.type
        BACKUP_SERIES t.series
        BACKUP_OPERATION t.operation
        VOLUME_SEQ t.sequence
        DEVCLASS t.devclass
        VOLUME_NAME t.volume
        LOCATION
        COMMAND t.command
    """, "The volume history"),
    _view("volumeusage", """@places p JOIN @groups g ON g.id = p.grp JOIN @volumes v ON v.id = p.volume
        JOIN @filespaces f ON f.id = g.filespace GROUP BY f.node, f.name, f.id, v.pool, v.name""", """
        NODE_NAME f.node
        COPY_TYPE 'BACKUP'
        FILESPACE_NAME f.name
        STGPOOL_NAME v.pool
        VOLUME_NAME v.name
        FILESPACE_ID f.id
    """, "Which node has data on which volume"),
    _memory("stgpools", """STGPOOL_NAME POOLTYPE DEVCLASS EST_CAPACITY_MB PCT_UTILIZED PCT_MIGR PCT_LOGICAL HIGHMIG
        LOWMIG
        MIGPROCESS NEXTSTGPOOL MAXSIZE ACCESS DESCRIPTION CACHE COLLOCATE RECLAIM RECLAIMSTGPOOL MAXSCRATCH
        NUMSCRATCHUSED REUSEDELAY MIGR_RUNNING MIGDELAY""", "Storage pools"),
    _memory("volumes", """VOLUME_NAME STGPOOL_NAME DEVCLASS_NAME EST_CAPACITY_MB PCT_UTILIZED STATUS ACCESS PCT_RECLAIM
        SCRATCH ERROR_STATE TIMES_MOUNTED LAST_WRITE_DATE LAST_READ_DATE PENDING_DATE WRITE_ERRORS READ_ERRORS
        LOCATION""", "Volumes of storage pools"),
    _memory("occupancy", """NODE_NAME TYPE FILESPACE_NAME STGPOOL_NAME NUM_FILES PHYSICAL_MB LOGICAL_MB FILESPACE_ID""",
            "What each file space has in each pool"),
    _memory("auditocc", """NODE_NAME BACKUP_MB BACKUP_COPY_MB ARCHIVE_MB ARCHIVE_COPY_MB SPACEMG_MB SPACEMG_COPY_MB
        TOTAL_MB""", "What each node has in all pools"),
    _memory("processes", "PROCESS_NUM PROCESS START_TIME FILES_PROCESSED BYTES_PROCESSED STATUS", "Running processes"),
    _memory("sessions", """SESSION_ID START_TIME COMMMETHOD STATE WAIT_SECONDS BYTES_SENT BYTES_RECEIVED SESSION_TYPE
        CLIENT_PLATFORM CLIENT_NAME OWNER_NAME""", "Open sessions"),
    _memory("status", """SERVER_NAME SERVER_HLA SERVER_LLA PLATFORM VERSION RELEASE LEVEL SERVER_TIME INVALIDPWLIMIT
        PASSEXP MINPWLENGTH SCHEDMODE QUERYSCHEDPERIOD MAXCMDRETRIES RETRYPERIOD RANDOMIZE EVENTRETENTION
        ACTLOGRETENTION SUMMARYRETENTION""", "The server and its settings"),
    _memory("options", "OPTION_NAME OPTION_VALUE", "The server's options"),
    _memory("db", """AVAIL_SPACE_MB CAPACITY_MB PAGE_SIZE USABLE_PAGES USED_PAGES FREE_PAGES PCT_UTILIZED
        MAX_PCT_UTILIZED PHYSICAL_VOLUMES CACHE_HIT_PCT CACHE_WAIT_PCT BACKUP_RUNNING LAST_BACKUP_DATE
        NUM_BACKUP_INCR""", "The catalog"),
    _memory("log", "AVAIL_SPACE_MB CAPACITY_MB USED_MB PCT_UTILIZED MAX_PCT_UTILIZED", "The catalog's write-ahead log"),
    _memory("syscat_tables", "TABSCHEMA TABNAME COLCOUNT REMARKS", "These tables"),
    _memory("syscat_columns", "TABSCHEMA TABNAME COLNAME COLNO TYPENAME REMARKS", "Their columns"),
    _memory("drives", "LIBRARY_NAME DRIVE_NAME DEVICE_TYPE ONLINE DRIVE_STATE ALLOCATED_TO VOLUME_NAME", "None here"),
    _memory("paths", "SOURCE_NAME SOURCE_TYPE DESTINATION_NAME DESTINATION_TYPE ONLINE", "None here"),
    _memory("libraries", "LIBRARY_NAME LIBRARY_TYPE SHARED", "None here"),
    _memory("libvolumes", "LIBRARY_NAME VOLUME_NAME STATUS OWNER LAST_USE HOME_ELEMENT", "None here"),
    _memory("drmedia", "VOLUME_NAME STATE UPD_DATE LOCATION STGPOOL_NAME VOLTYPE", "None here"),
    _memory("restores", "SESSION_ID START_TIME NODE_NAME FILESPACE_NAME FILE_SPEC STATE", "None here"),
)  # fmt: skip
BY_NAME = {view.name: view for view in VIEWS}
"""The same by name. SUMMARY_EXTENDED is the same as SUMMARY."""
BY_NAME["summary_extended"] = BY_NAME["summary"]
