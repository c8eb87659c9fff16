"""The administrative commands this server understands, as one table: the capitals of a word are its shortest form.

An administrative schedule has no domain: its name stands first.

A line of the table: the one or two words of the command, its positional parameters (``name`` required, ``[name]``
optional, ``values*`` all that follow, ``query...`` the rest as it was typed), then its keywords; an indented line goes
on with the one above. A keyword maps to the parameter of the same name in
full; the operation's name is the words in small letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TABLE = """
REGister Node            | name password | DOmain Type CONtact USerid FORCEPwreset MAXNUMMP CLOptset CERTificate
    COMPression PASSExp AUTOFSRename BACKDELete ARCHDELete
UPDate Node              | name [password] | DOmain CONtact FORCEPwreset MAXNUMMP CLOptset CERTificate
    COMPression PASSExp BACKDELete ARCHDELete
REMove Node              | name |
REName Node              | name newname |
LOCK Node                | name |
UNLOCK Node              | name |
REGister ADmin           | name password | CONtact PASSExp FORCEPwreset
UPDate ADmin             | name [password] | CONtact PASSExp
REMove ADmin             | name |
REName ADmin             | name newname |
LOCK ADmin               | name |
UNLOCK ADmin             | name |
GRant AUTHority          | name | CLasses DOmains STGpools AUTHority Node
REVoke AUTHority         | name | CLasses DOmains STGpools AUTHority Node
SET INVALIDPwlimit       | value |
SET PASSExp              | value |
SET MINPwlength          | value |
DELete FIlespace         | node filespace | Type Wait
DEFine DOmain            | name | DESCription BACKRETention ARCHRETention
UPDate DOmain            | domain | DESCription BACKRETention ARCHRETention
COPy DOmain              | name newname |
DELete DOmain            | name |
DEFine POlicyset         | domain name | DESCription
UPDate POlicyset         | domain name | DESCription
COPy POlicyset           | domain name newname |
DELete POlicyset         | domain name |
DEFine MGmtclass         | domain policyset name | DESCription SPACEMGTECHnique MIGDESTination
UPDate MGmtclass         | domain policyset name | DESCription
COPy MGmtclass           | domain policyset name newname |
DELete MGmtclass         | domain policyset name |
DEFine COpygroup         | domain policyset mgmtclass [standard] | Type DESTination FREQuency
    VERExists VERDeleted RETExtra RETOnly RETVer RETInit RETMin MODE SERialization TOCDestination
UPDate COpygroup         | domain policyset mgmtclass [standard] | Type DESTination FREQuency
    VERExists VERDeleted RETExtra RETOnly RETVer RETInit RETMin MODE SERialization
DELete COpygroup         | domain policyset mgmtclass [standard] | Type
DEFine CLOptset          | name | DESCription
UPDate CLOptset          | name | DESCription
COPy CLOptset            | name newname |
DELete CLOptset          | name |
DEFine CLIENTOpt         | optionset option value | Force SEQnumber
UPDate CLIENTOpt         | optionset option seqnumber newseqnumber |
DELete CLIENTOpt         | optionset option | SEQnumber
ASsign DEFMGmtclass      | domain policyset name |
VALidate POlicyset       | domain name |
ACTivate POlicyset       | domain name |
DEFine DEVclass          | name | DEVType SERVERName MAXCAPacity MOUNTLimit MOUNTRetention PREFIX
    RETRYPeriod RETRYInterval DIRectory SHAREd ENDPoint BUCket REGion CREDentials
UPDate DEVclass          | name | SERVERName MAXCAPacity MOUNTLimit MOUNTRetention PREFIX
    RETRYPeriod RETRYInterval DIRectory SHAREd ENDPoint BUCket REGion CREDentials
DELete DEVclass          | name |
DEFine STGpool           | name devclass | POoltype DESCription ACCess MAXSIze CRCData NEXTstgpool
    HIghmig LOwmig REClaim RECLAIMPRocess RECLAIMSTGpool MAXSCRatch REUsedelay COLlocate MIGDelay
    MIGContinue MIGPRocess DATAFormat CAChe OFFSITERECLAIMLimit RETENTIONLock
UPDate STGpool           | name | DESCription ACCess MAXSIze CRCData NEXTstgpool
    HIghmig LOwmig REClaim RECLAIMPRocess RECLAIMSTGpool MAXSCRatch REUsedelay COLlocate MIGDelay
    MIGContinue MIGPRocess CAChe OFFSITERECLAIMLimit RETENTIONLock
DELete STGpool           | name |
DEFine Volume            | pool name | ACCess FORMATsize LOcation Wait
UPDate Volume            | name | ACCess LOcation WHERESTGpool WHEREACCess
MIGrate STGpool          | name | LOwmig DUration REClaim Wait
REClaim STGpool          | name | THreshold DUration OFFSITERECLAIMLimit Wait
MOVe Data                | name | STGpool MAXPRocess Wait
RESTORE Volume           | name | COPYstgpool NEWstgpool MAXPRocess Preview Wait
DEFine SERver            | name | PAssword SERVERPAssword HLAddress LLAddress COMMmethod URL
    DELgraceperiod NODEName DESCription SSL SESSIONSECurity
DELete SERver            | name |
UPDate SERver            | name | PAssword SERVERPAssword HLAddress LLAddress COMMmethod URL
    DELgraceperiod NODEName DESCription FORCESync ALLOWReplace
BAckup STGpool           | primary copy | MAXPRocess Preview Wait SHREDTONOshred
BAckup DB                | | DEVclass Type VOLumenames Scratch Wait
RESTORE STGpool          | primary | COPYstgpool NEWstgpool MAXPRocess Preview Wait
REConcile Volumes        | [devclass] | Fix
AUDit Volume             | [name] | STGPool FROMDate TODate Fix SKIPPartial Quiet Wait
EXPire Inventory         | | Quiet Wait DUration Type Nodes DOmain
DELete Volume            | name | DISCARDdata Wait
DEFine DBBackuptrigger   | | DEVclass LOGFullpct INCRDEVclass NUMINCremental
UPDate DBBackuptrigger   | | DEVclass LOGFullpct INCRDEVclass NUMINCremental
DELete DBBackuptrigger   | |
Query DBBackuptrigger    | | Format
SET LOGMode              | value |
SET LOGSize              | value |
BAckup VOLHistory        | | FILENAMES
DELete VOLHistory        | | TODate TOTime Type
REBuild STGpool          | name | Wait
DEFine SCHedule          | domain [schedule] | Type DESCription ACTion OPTions OBJects PRIority STARTDate STARTTime
    DURation DURUnits SCHEDStyle PERiod PERUnits DAYofweek MONth DAYOFMonth WEEKofmonth EXPiration CMD ACTIVE
UPDate SCHedule          | domain [schedule] | Type DESCription ACTion OPTions OBJects PRIority STARTDate STARTTime
    DURation DURUnits SCHEDStyle PERiod PERUnits DAYofweek MONth DAYOFMonth WEEKofmonth EXPiration CMD ACTIVE
DEFine CLIENTAction      | [nodes] | DOmain ACTion OPTions OBJects
COPy SCHedule            | domain schedule newdomain [newname] |
SET CLIENTACTDuration    | value |
DELete SCHedule          | domain [schedule] | Type
Query SCHedule           | [domain] [schedule] | Type Nodes Format
DEFine ASSOCiation       | domain schedule nodes |
DELete ASSOCiation       | domain schedule nodes |
Query ASSOCiation        | [domain] [schedule] |
Query EVent              | domain [schedule] | Type Nodes BEGINDate BEGINTime ENDDate ENDTime EXceptionsonly Format
DELete EVent             | date [time] | Type
SET SCHEDMODes           | value |
SET RANDomize            | value |
SET QUERYSCHedperiod     | [value] |
SET MAXCMDRetries        | [value] |
SET RETRYPeriod          | [value] |
SET EVentretention       | value |
SET ACTlogretention      | value |
DEFine SCRipt            | name [command] | Line DESCription
UPDate SCRipt            | name [command] | Line DESCription
DELete SCRipt            | name | Line
COPy SCRipt              | name newname |
REName SCRipt            | name newname |
Query SCRipt             | [name] | Format
RUn                      | name [values*] | Preview Verbose
ISSUE MESSage            | severity text |
SELect                   | query... |
COMmit                   | |
ROLlback                 | |
Query STGpool            | [name] | POoltype Format
Query Volume             | [name] | ACCess STatus STGpool DEVclass Format
Query Node               | [name] | DOmain Type Format
Query SERver             | [name] | Format
Query VOLHistory         | | Type BEGINDate ENDDate BEGINTime ENDTime
Query ACtlog             | | BEGINDate ENDDate BEGINTime ENDTime MSGno Search NODEname ORiginator SEVerity
    SESSnum PROCess
Query PRocess            | [number] |
CANcel PRocess           | number |
Query SEssion            | [number] | Type Format
CANcel SEssion           | number |
Query STatus             | |
Query SYStem             | |
Query DRive              | [library] [drive] | Format
Query LIBRary            | [name] | Format
Query LIBVolume          | [library] [volume] | Format
Query PATH               | [source] [destination] | Format
DISAble SEssions         | [kind] |
ENable SEssions          | [kind] |
Query OPTion             | [name] |
Query OCCupancy          | [node] [filespace] | STGpool Type
Query CONtent            | volume | Node FIlespace COUnt
SET SUMmaryretention     | value |
Query DB                 | | Format
Query DEVclass           | [name] | Format
Query FIlespace          | [node] [filespace] | Format
Query DOmain             | [name] | Format
Query ADmin              | [name] | CLasses Format
Query POlicyset          | [domain] [policyset] | Format
Query MGmtclass          | [domain] [policyset] [name] | Format
Query COpygroup          | [domain] [policyset] [mgmtclass] [standard] | Type Format
Query CLOptset           | [name] |
Query OBJect             | node |
MARK OBJect              | node name |
COPY OBJect              | node name newname |
"""
"""REBUILD and the three OBJECT commands are Holdfast's own."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its shortest form."""

    full: str
    shortest: int

    @classmethod
    def of(cls, text: str) -> Word:
        """Read ``DEFine``: the capitals at the start are the shortest form."""
        match = re.match(r"[A-Z]+", text)
        return cls(text.lower(), len(match[0]) if match else len(text))

    def fits(self, typed: str) -> bool:
        """Return whether ``typed`` stands for this word."""
        small = typed.lower()
        return len(small) >= min(self.shortest, len(self.full)) and self.full.startswith(small)


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the table."""

    words: tuple[Word, ...]
    positionals: tuple[str, ...]
    required: int
    keywords: tuple[Word, ...]

    @property
    def operation(self) -> str:
        """The operation's name: ``define stgpool``."""
        return " ".join(word.full for word in self.words)


def _command(line: str) -> Command:
    head, positionals, keywords = (part.strip() for part in line.split("|"))
    names = positionals.split()
    required = sum(not name.startswith("[") for name in names)
    words = tuple(Word.of(word) for word in keywords.split())
    verbs = tuple(Word.of(word) for word in head.split())
    return Command(verbs, tuple(name.strip("[]") for name in names), required, words)


COMMANDS: tuple[Command, ...] = tuple(_command(line) for line in _TABLE.replace("\n    ", " ").strip().splitlines())


def find(typed: Sequence[str]) -> Command | None:
    """Return the command that the first one or two typed words stand for; where two fit, the first in the table."""
    for command in COMMANDS:
        if len(typed) >= len(command.words) and all(w.fits(t) for w, t in zip(command.words, typed, strict=False)):
            return command
    return None


def knows_verb(verb: str) -> bool:
    """Return whether some command begins so."""
    return any(command.words[0].fits(verb) for command in COMMANDS)
