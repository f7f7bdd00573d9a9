"""A private name server on loopback: the records that a test gives it, NXDOMAIN for everything else."""

import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Records = Mapping[tuple[str, str], list[str]]


class NameServer:
    """A server for `records`: (name, type) to the texts of its records.

    `silent` makes it answer nothing, `dead` nothing of these zones; of names in `failing` it says SERVFAIL. It leaves
    it to who asks to follow a CNAME. `asked` lists the questions so far. Use it in a `with` block.
    """

    def __init__(self, records: Records) -> None:
        self.records = {(name.lower(), kind): texts for (name, kind), texts in records.items()}
        self.silent = False
        self.dead: tuple[str, ...] = ()
        self.failing: tuple[str, ...] = ()
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        """Its address, as [dns] servers has it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # wakes the thread, which then ends
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            octets, peer = self._socket.recvfrom(4_096)
            if not octets:
                return
            query = dns.message.from_wire(octets)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True).lower()
            kind = dns.rdatatype.to_text(question.rdtype)
            self.asked.append((name, kind))
            if self.silent or name.endswith(self.dead):
                continue
            answer = dns.message.make_response(query)
            if name.endswith(self.failing):
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif texts := self.records.get((name, kind)):
                answer.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, *texts))
            elif texts := self.records.get((name, "CNAME")):
                answer.answer.append(dns.rrset.from_text(question.name, 300, "IN", "CNAME", *texts))
            elif not any(known == name for known, _ in self.records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), peer)
