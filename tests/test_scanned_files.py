"""Each file of a mail is shown to clamd: whatever Python's mail parser finds in a mail, clamd is given by itself."""

import asyncio
import base64
import email
import io
import lzma
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from tests.lab import documents as made
from tests.lab.clamd import EICAR, Clamd
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.inspecting import inspector
from tests.lab.mails import base64_part, multipart
from tests.lab.structures import structures
from tests.test_store_reading import as_stored, walked

from mailgate.config import parse_endpoint
from mailgate.doors.offline import Case, judge_case
from mailgate.model import Action, Scan, ScanStatus
from mailgate.probes.clamd import Scanner
from mailgate.spool import Spool
from mailgate_rules.uninspectable import Stanza as Uninspectable
from mailgate_rules.virus import Stanza as Virus

GENERATED = 1_200


@pytest.fixture(scope="module")
def strict_clamd() -> Iterator[Clamd]:
    """A clamd that finds the test text at the start of a file alone."""
    with Clamd(anywhere=False) as clamd:
        yield clamd


def has_payload(message: bytes) -> bool:
    """Tell whether Python's mail parser finds the test text as a part."""
    for part in email.message_from_bytes(message).walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes) and payload.startswith(EICAR):
                return True
    return False


async def scans_of(clamd: Clamd, messages: Sequence[bytes]) -> list[list[Scan]]:
    scanner = Scanner(parse_endpoint(clamd.unix_address), 60.0, 1, None)
    scans = []
    for octets in messages:
        leaves, content = walked(octets)
        spool = Spool()
        spool.write(octets)
        scans.append(await scanner.scan_mail(spool, content, leaves))
        spool.close()
    return scans


def test_no_payload_that_a_mail_parser_finds_is_missed(strict_clamd: Clamd) -> None:
    stored = map(as_stored, structures(GENERATED, 7, [EICAR]))
    mails = [octets for octets in stored if has_payload(octets)]
    assert len(mails) > GENERATED // 3
    scans = asyncio.run(scans_of(strict_clamd, mails))
    missed = [
        octets
        for octets, each in zip(mails, scans, strict=True)
        if each[-1].status is not ScanStatus.FOUND and not walked(octets)[1].ambiguities()
    ]
    assert missed == []
    assert sum(each[0].status is ScanStatus.CLEAN for each in scans) > len(mails) // 10, (
        "the message alone shows it not"
    )


def opaque_signed(content: bytes) -> bytes:
    """Return CMS SignedData that carries its content (RFC 5652 section 5)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def zipped_by(method: int) -> bytes:
    """Return a zip of the test text, packed by a method."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", method) as archive:
        archive.writestr("a.txt", EICAR)
    return octets.getvalue()


def zstandard(octets: bytes) -> bytes:
    """Return octets as one frame of one raw block (RFC 8878)."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes((len(octets),)) + (len(octets) << 3 | 1).to_bytes(3, "little") + octets


ZIP, OTHER_ZIP = zipped_by(zipfile.ZIP_DEFLATED), made.zipped({"b.txt": "hello"})
INNER = b"From:a@example.com\r\nSubject:x\r\n" + base64_part(EICAR, 'name="a.txt"')
SHOWN = "Foo: x\r\nContent-Type: text/{}; charset=utf-8\r\nContent-Transfer-Encoding: {}\r\n\r\n"
SHOWN_64 = SHOWN.format("plain", "base64").encode() + base64.encodebytes(EICAR)
SHOWN_QUOTED = SHOWN.format("html", "quoted-printable").encode() + b"".join(b"=%02X" % octet for octet in EICAR)


@pytest.mark.parametrize(
    ("octets", "name", "kind"),
    [
        pytest.param(opaque_signed(INNER), "smime.p7m", "application/pkcs7-mime", id="opaque S/MIME"),
        pytest.param(made.zipped({"a.eml": INNER}), "a.zip", "application/zip", id="a mail in a zip"),
        pytest.param(made.zipped({"a.p7m": opaque_signed(INNER)}), "a.zip", "application/zip", id="S/MIME in a zip"),
        pytest.param(made.msg("x", "y", {"a.txt": EICAR}), "a.msg", "application/vnd.ms-outlook", id="msg"),
        pytest.param(
            made.msg("x", "y", {"a.eml": INNER}), "a.msg", "application/vnd.ms-outlook", id="a mail in a msg"
        ),
        pytest.param(INNER, "a.eml", "application/octet-stream", id="a mail of another type"),
        pytest.param(ZIP + OTHER_ZIP, "a.zip", "application/zip", id="two zips"),
        pytest.param(OTHER_ZIP + ZIP, "a.zip", "application/zip", id="two zips, the other way"),
        pytest.param(ZIP[: ZIP.rindex(b"PK\x01\x02")], "a.zip", "application/zip", id="a zip without a directory"),
        pytest.param(zipped_by(zipfile.ZIP_LZMA), "a.zip", "application/zip", id="LZMA in a zip"),
        pytest.param(lzma.compress(EICAR, lzma.FORMAT_ALONE), "a.lzma", "application/x-lzma", id="lzma"),
        pytest.param(zstandard(EICAR), "a.zst", "application/zstd", id="zstd"),
        pytest.param(ZIP + made.docx("a"), "a.docx", "application/zip", id="a zip before a document"),
        pytest.param(INNER, "a.eml", "message/rfc822", id="a mail in base64"),
        pytest.param(SHOWN_64, "a.eml", "message/rfc822", id="text that a mail in base64 shows, in base64"),
        pytest.param(SHOWN_QUOTED, "a.eml", "message/rfc822", id="text that a mail in base64 shows, quoted"),
        pytest.param(SHOWN.format("plain", "8bit").encode() + EICAR, "a.eml", "a/b", id="text that a mail shows"),
        pytest.param(made.zipped({"a.eml": SHOWN_64}), "a.zip", "application/zip", id="text of a mail in a zip"),
        pytest.param(opaque_signed(SHOWN_64), "smime.p7m", "application/pkcs7-mime", id="text of signed mail"),
    ],
)
async def test_what_clamd_does_not_open_is_given_to_it(
    strict_clamd: Clamd, octets: bytes, name: str, kind: str
) -> None:
    scanner = Scanner(parse_endpoint(strict_clamd.unix_address), 20.0, 4, None)
    gate = make_gate(settings_of(Virus(), Uninspectable()), Notes(), scanner=scanner, looks=inspector())
    message = multipart(base64_part(octets, f'name="{name}"', kind))
    case = Case(message, client_ip="203.0.113.7", mail_from="a@example.com", rcpts=("ptp.bl@hanam.gov.vn",))
    answer = await judge_case(gate, case)
    assert answer.verdict.action is Action.REJECT
    await gate.close()
