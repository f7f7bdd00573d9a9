"""Who may import whom, held against a table that names every module.

A name stands for the module, or the package with all its modules, below `mailgate`; a module's own package
is always open to it. Imports inside functions count too: a layer is one whenever the import happens.
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_RULE = "identity model rule mime text"
MAY_IMPORT = {
    "mailgate": "",
    # the core: no IO
    "mailgate.caches": "",
    "mailgate.identity": "",
    "mailgate.identity.aliases": "postfix sources",
    "mailgate.identity.identity": "",
    "mailgate.identity.organization": "",
    "mailgate.identity.rewriting": "",
    "mailgate.identity.spelling": "caches",
    "mailgate.model": "caches identity",
    "mailgate.rule": "model",
    "mailgate.activity": "forwarding identity model text",
    "mailgate.content_hash": "model",
    "mailgate.forwarding": "",
    "mailgate.forwarding.alias_services": "identity mime model text",
    "mailgate.forwarding.clients": "identity model text",
    "mailgate.forwarding.hmailserver": "identity model text",
    "mailgate.forwarding.cpanel": "identity model text",
    "mailgate.forwarding.deliveries": "identity model text",
    "mailgate.forwarding.domain_services": "identity model text",
    "mailgate.forwarding.exchange": "identity model text",
    "mailgate.forwarding.google": "identity model text",
    "mailgate.forwarding.letter": "identity mime model text",
    "mailgate.forwarding.lists": "identity model text",
    "mailgate.forwarding.loops": "identity model text",
    "mailgate.forwarding.mechanism": "identity model text",
    "mailgate.forwarding.own": "identity model text",
    "mailgate.forwarding.proton": "identity model text",
    "mailgate.forwarding.retrievers": "identity model text",
    "mailgate.forwarding.russian": "identity model text",
    "mailgate.forwarding.sieve": "identity model text",
    "mailgate.forwarding.srs": "identity model text",
    "mailgate.forwarding.table": "identity model text",
    "mailgate.forwarding.yahoo": "identity model text",
    "mailgate.forwarding.zimbra": "identity model text",
    "mailgate.policy": "identity model rule text",
    "mailgate.wire": "",
    "mailgate.wire.clamd": "model",
    "mailgate.wire.milter": "caches model",
    "mailgate.wire.smtp": "model",
    "mailgate.mime": "",
    "mailgate.mime.fields": "caches model",
    "mailgate.mime.inline": "model",
    "mailgate.mime.names": "text",
    "mailgate.mime.part": "caches model text",
    "mailgate.mime.transfer": "model",
    "mailgate.mime.walker": "model",
    "mailgate.text": "",
    "mailgate.text.addresses": "caches identity mime",
    "mailgate.text.advertisement": "",
    "mailgate.text.charsets": "caches",
    "mailgate.text.claimed_names": "",
    "mailgate.text.file_names": "caches",
    "mailgate.text.folding": "caches",
    "mailgate.text.html": "",
    "mailgate.text.labels": "",
    "mailgate.text.look_alikes": "caches",
    "mailgate.text.lexicon": "lists model",
    "mailgate.text.marks": "model",
    "mailgate.text.reading": "model",
    "mailgate.text.simple_html": "",
    "mailgate.text.organisational": "caches",
    "mailgate.text.origin": "identity model",
    "mailgate.text.received": "identity model",
    "mailgate.lists": "",
    "mailgate.lists.entries": "identity model text",
    "mailgate.lists.folder": "ledger model",
    "mailgate.lists.site": "model text",
    "mailgate.documents": "",
    "mailgate.documents.archives": "model",
    "mailgate.documents.budget": "model",
    "mailgate.documents.calendar": "mime model",
    "mailgate.documents.compound": "model text",
    "mailgate.documents.content": "model text",
    "mailgate.documents.data_urls": "mime",
    "mailgate.documents.doc": "model text",
    "mailgate.documents.drawings": "",
    "mailgate.documents.eml": "mime model",
    "mailgate.documents.fonts": "text",
    "mailgate.documents.found": "model",
    "mailgate.documents.macros": "model",
    "mailgate.documents.markup": "model",
    "mailgate.documents.members": "model text",
    "mailgate.documents.message": "mime model",
    "mailgate.documents.mso": "model",
    "mailgate.documents.msg": "model text",
    "mailgate.documents.objects": "model text",
    "mailgate.documents.odf": "model",
    "mailgate.documents.office_xml": "model",
    "mailgate.documents.ole": "model",
    "mailgate.documents.onenote": "model",
    "mailgate.documents.ooxml": "model text",
    "mailgate.documents.packages": "model",
    "mailgate.documents.page": "model text",
    "mailgate.documents.page_headers": "",
    "mailgate.documents.pdf": "model",
    "mailgate.documents.plain": "mime model text",
    "mailgate.documents.ppt": "model",
    "mailgate.documents.relationships": "model",
    "mailgate.documents.rtf": "model",
    "mailgate.documents.smime": "model text",
    "mailgate.documents.sylk": "model",
    "mailgate.documents.tnef": "model text",
    "mailgate.documents.types": "model text",
    "mailgate.documents.xls": "model",
    "mailgate.documents.xlsb": "model",
    "mailgate.documents.zips": "model",
    "mailgate_rules": "rule",
    "mailgate_rules.advertising": _RULE,
    "mailgate_rules.attachment_size": _RULE,
    "mailgate_rules.auto_forward": f"{_RULE} forwarding",
    "mailgate_rules.charset": _RULE,
    "mailgate_rules.dangerous_attachment": _RULE,
    "mailgate_rules.mailbox_state": _RULE,
    "mailgate_rules.online_registration": _RULE,
    "mailgate_rules.prohibited_content": _RULE,
    "mailgate_rules.sender_identity": f"{_RULE} caches",
    "mailgate_rules.sending_rate": _RULE,
    "mailgate_rules.spam": _RULE,
    "mailgate_rules.state_secret": _RULE,
    "mailgate_rules.uninspectable": _RULE,
    "mailgate_rules.virus": _RULE,
    # means that know no mail
    "mailgate.batches": "",
    "mailgate.logs": "",
    "mailgate.spool": "",
    "mailgate.systemd_notify": "",
    "mailgate.tables": "",
    "mailgate.sources": "",
    "mailgate.metrics": "model",
    # Postfix as it is configured, and who forwards
    "mailgate.postfix": "",
    "mailgate.postfix.instance": "sources",
    "mailgate.postfix.lists": "",
    "mailgate.postfix.next_hops": "identity model",
    "mailgate.postfix.tables": "sources",
    "mailgate.audit": "",
    "mailgate.audit.accounts": "identity model",
    "mailgate.audit.edges": "identity postfix sources",
    "mailgate.audit.forward_files": "postfix sources",
    "mailgate.audit.ldif": "identity model sources",
    "mailgate.audit.local_names": "identity model postfix sources",
    "mailgate.audit.postfix_maps": "identity model postfix",
    "mailgate.audit.procmail": "sources",
    "mailgate.audit.recipients": "postfix sources",
    "mailgate.audit.report": "identity model postfix sources",
    "mailgate.audit.sieve": "sources",
    "mailgate.audit.sieve_files": "identity model postfix sources",
    "mailgate.audit.zimbra": "sources",
    # services
    "mailgate.probes": "",
    "mailgate.probes.blacklists": "identity model",
    "mailgate.probes.breaker": "",
    "mailgate.probes.history": "model",
    "mailgate.probes.inspection": "model mime spool",
    "mailgate.probes.probe": "model mime spool",
    "mailgate.probes.rates": "model",
    "mailgate.probes.spam": "model spool",
    "mailgate.probes.clamd": "model wire mime spool",
    "mailgate.probes.names": "text",
    "mailgate.probes.proofs": "identity inspection model spool",
    "mailgate.probes.rspamd": "model wire mime spool",
    "mailgate.probes.spamd": "model spool",
    "mailgate.probes.spf": "",
    "mailgate.inspection": "",
    "mailgate.inspection.inspector": "documents mime model spool text",
    "mailgate.inspection.job": "mime model",
    "mailgate.inspection.limits": "documents",
    "mailgate.inspection.look": "documents mime model text",
    "mailgate.inspection.pool": "",
    "mailgate.inspection.sandbox": "",
    "mailgate.inspection.signatures": "",
    "mailgate.inspection.tag_lists": "",
    "mailgate.inspection.worker": "documents model spool",
    "mailgate.ledger": "",
    "mailgate.ledger.commits": "model wire",
    "mailgate.ledger.fresh": "",
    "mailgate.ledger.history": "forwarding model text",
    "mailgate.ledger.journal": "model wire",
    "mailgate.ledger.moving": "",
    "mailgate.ledger.opening": "",
    "mailgate.ledger.redis": "model wire",
    "mailgate.ledger.redis_scripts": "",
    "mailgate.ledger.sqlite": "model wire",
    "mailgate.ledger.sqlite_rates": "model",
    "mailgate.ledger.store": "model wire",
    "mailgate.mailboxes": "",
    "mailgate.mailboxes.addresses": "identity model text",
    "mailgate.mailboxes.calendar": "",
    "mailgate.mailboxes.inactivity": "identity ledger model",
    "mailgate.mailboxes.logins": "model",
    "mailgate.mailboxes.registry": "identity model",
    "mailgate.mailboxes.names": "",
    "mailgate.mailboxes.states": "model text",
    "mailgate.mailboxes.takeover": "model incidents",
    "mailgate.reports": "",
    "mailgate.reports.chart": "",
    "mailgate.reports.figures": "model ledger mailboxes incidents",
    "mailgate.reports.page": "",
    "mailgate.incidents": "",
    "mailgate.incidents.forwards": "",
    "mailgate.incidents.log": "model wire",
    "mailgate.incidents.record": "model wire",
    "mailgate.incidents.recorder": "model wire batches",
    "mailgate.incidents.repeats": "model",
    "mailgate.incidents.search": "model wire",
    # what puts them together
    "mailgate.config": "documents identity inspection ledger mailboxes mailgate_rules mime model policy probes rule",
    "mailgate.wiring": "",
    "mailgate.wiring.addresses": "identity postfix",
    "mailgate.wiring.check": "config identity model postfix",
    "mailgate.wiring.doors": "config postfix",
    "mailgate.wiring.egress": "postfix",
    "mailgate.wiring.roads": "",
    "mailgate.wiring.routes": "identity model postfix sources",
    "mailgate.wiring.show": "postfix",
    "mailgate.gate": "activity model policy mime config incidents ledger logs metrics probes probing spool",
    "mailgate.probing": "config inspection ledger metrics model policy probes",
    "mailgate.notices": "config content_hash forwarding model wire",
    "mailgate.quarantine": "identity incidents model",
    "mailgate.doors": "",
    "mailgate.doors.transaction": "content_hash gate identity mime model spool",
    "mailgate.doors.milter": "model policy wire gate",
    "mailgate.doors.libmilter": "model policy wire gate probes",
    "mailgate.doors.smtp": "model wire config gate next_hop",
    "mailgate.doors.offline": "model gate config incidents mime wire",
    "mailgate.doors.http": "config health metrics worker",
    "mailgate.folder_locks": "config",
    "mailgate.health": "model config ledger next_hop probes wire",
    "mailgate.next_hop": "wire probes",
    "mailgate.sockets": "config probes",
    "mailgate.scratch": "model config gate incidents ledger lists mailboxes metrics",
    "mailgate.doctor": "config folder_locks health incidents inspection ledger lists mime model postfix probes"
    " probing spool wiring",
    "mailgate.worker": "config doors gate incidents ledger lists logs mailboxes metrics notices sockets",
    "mailgate.daemon": "config doors folder_locks ledger logs metrics sockets systemd_notify worker",
    "mailgate.cli": "",
    "mailgate.cli.check": "config doors logs scratch",
    "mailgate.cli.common": "config identity ledger model tables",
    "mailgate.cli.exemptions": "config identity ledger model tables",
    "mailgate.cli.forwards": "audit config forwarding incidents ledger model postfix sources tables",
    "mailgate.cli.inactivity": "config ledger mailboxes model tables",
    "mailgate.cli.incidents": "incidents tables",
    "mailgate.cli.lists": "lists tables",
    "mailgate.cli.mailboxes": "config ledger mailboxes model tables",
    "mailgate.cli.postfix": "config postfix tables wiring",
    "mailgate.cli.quarantine": "config incidents quarantine tables",
    "mailgate.cli.registry": "identity ledger mailboxes model tables",
    "mailgate.cli.report": "config incidents ledger mailboxes model reports tables",
    "mailgate.cli.store": "folder_locks ledger",
    "mailgate.cli.states": "ledger mailboxes model",
    "mailgate.cli.main": "config daemon doctor ledger logs tables",
}

PURE = (
    *(
        "mailgate.activity",
        "mailgate.caches",
        "mailgate.content_hash",
        "mailgate.forwarding",
        "mailgate.identity.identity",
        "mailgate.identity.organization",
    ),
    *("mailgate.identity.rewriting", "mailgate.identity.spelling"),
    *(
        "mailgate.documents",
        "mailgate.model",
        "mailgate.rule",
        "mailgate.policy",
        "mailgate.wire",
        "mailgate.mime",
        "mailgate.text",
    ),
    *("mailgate.mailboxes.addresses", "mailgate.mailboxes.calendar", "mailgate.mailboxes.inactivity"),
    *("mailgate.lists.entries", "mailgate.mailboxes.logins", "mailgate.mailboxes.registry", "mailgate.reports"),
)
IMPURE = {"asyncio", "os", "pathlib", "redis", "shutil", "socket", "subprocess", "tempfile", "threading", "time"}

# Packages that one place has: elsewhere they would slow every worker's start, or break where they are missing.
ONLY_IN = {
    "Milter": {"mailgate.doors.libmilter"},
    "cryptography": {"mailgate.inspection.signatures"},
    "dkim": {"mailgate.inspection.signatures"},
    "aiosmtpd": {"mailgate.doors.smtp"},
    "libarchive": {"mailgate.documents.archives"},
    "olefile": {"mailgate.documents.compound"},
    "oletools": {"mailgate.documents.macros"},
    "pypdfium2": {"mailgate.documents.pdf"},
    "aiosmtplib": {"mailgate.next_hop", "mailgate.notices"},
    "milter": set[str](),
    "pyclamd": {"mailgate.doctor"},
    "hyperscan": {"mailgate.text.folding", "mailgate.text.lexicon"},
    "publicsuffixlist": {"mailgate.text.organisational"},
    "redis": {"mailgate.ledger.redis"},
    "sievelib": {"mailgate.audit.sieve"},
    "sqlite3": {"mailgate.ledger.sqlite", "mailgate.ledger.sqlite_rates"},
    "typer": {
        f"mailgate.cli.{name}"
        for name in (
            *("check", "common", "exemptions", "forwards", "inactivity", "incidents", "lists", "mailboxes", "main"),
            *("postfix", "quarantine", "registry", "report", "states", "store"),
        )
    },
    "uvloop": {"mailgate.worker"},
}


def _modules() -> dict[str, Path]:
    found = {}
    for source in ("milter", "rules"):
        for path in (ROOT / source).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT / source).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(module: str) -> Iterator[str]:
    """Yield every module that a module imports, by its full name; of `from a import b`, a.b where that is one."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base


def _is_in(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _is_pure(module: str) -> bool:
    return module.partition(".")[0] == "mailgate_rules" or any(_is_in(module, name) for name in PURE)


def test_the_table_names_every_module_and_no_other() -> None:
    assert set(MAY_IMPORT) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_of_ours(module: str) -> None:
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    names = MAY_IMPORT.get(module, "").split()
    allowed = {name if name == "mailgate_rules" else f"mailgate.{name}" for name in names}
    if package not in ("mailgate", "mailgate_rules") or module == "mailgate_rules":
        allowed.add(package)
    ours = {name for name in _imports(module) if name.partition(".")[0] in ("mailgate", "mailgate_rules")}
    ours.discard("mailgate")  # its version
    assert {name for name in ours if not any(_is_in(name, known) for known in allowed)} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if _is_pure(module)])
def test_the_core_knows_no_loop_socket_clock_or_file(module: str) -> None:
    assert {name.partition(".")[0] for name in _imports(module)} & IMPURE == set()
    calls = [node.func for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Call)]
    assert {call.id for call in calls if isinstance(call, ast.Name)} & {"open", "print", "input"} == set()


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_has_its_one_place(package: str) -> None:
    users = {module for module in MODULES if package in {name.partition(".")[0] for name in _imports(module)}}
    assert users == ONLY_IN[package]


def test_no_module_imports_itself_through_others() -> None:
    order = TopologicalSorter({module: set(_imports(module)) & set(MODULES) - {module} for module in MODULES})
    order.prepare()  # raises CycleError, which names the circle
