"""DKIM and ARC: which domains signed a message, told with the keys at hand (RFC 6376, 8301, 8463; RFC 8617).

Runs in a worker, on octets that want it to take for ever: every step takes time and memory in proportion to the
message, and no content makes it raise. Of dkimpy the keys and RSA are used; what it does to a message is quadratic
in blanks, folds and names of fields, so canonical forms and the choice of fields are our own.

Stricter than RFC 6376 where a proof is wanted: a signature that leaves the end of the body open (l=), or a From, is
none. What a key's owner says of his testing (t=y) is not heeded: who holds the key signed.
"""

import base64
import binascii
import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dkim.crypto import DigestTooLargeError, RSASSA_PKCS1_v1_5_verify, UnparsableKeyError, parse_public_key

from .job import Kind, SignatureJob
from .tag_lists import instance_of, read_tags, signer_of, solid

Keys = Mapping[str, Sequence[bytes]]  # the name of a key to the TXT records there

MOST_SIGNATURES = 10  # of one message that are verified
MOST_SETS = 50  # of an ARC chain; RFC 8617 section 4.2.1
_MOST_RECORDS = 4  # at the name of one key, where one should stand; each costs a verification
_LEAST_BITS, _MOST_BITS = 1_024, 8_192  # of an RSA key; RFC 8301 section 3.2 has 1024 to 4096
_MOST_EXPONENT_BITS = 64  # as OpenSSL has it; all but a few are 65537
_MOST_KEY_OCTETS = 2_048  # of a key's DER: 8192 bits take 1,060
_CLOCK_S = 36_000  # how far a signer's clock may be off, as dkimpy has it
_ALGORITHMS = {b"rsa-sha256": b"rsa", b"ed25519-sha256": b"ed25519"}  # RFC 8301: SHA-1 proves nothing
_CANONICAL = (b"simple", b"relaxed")

_CRLF = b"\r\n"
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_END_OF_LINE = re.compile(rb"\r?\n")
_END_OF_FIELD = re.compile(rb"\r\n(?![ \t])")
_END_OF_HEADER = re.compile(rb"\n\r?\n")
_SPACES = bytes.maketrans(b"\t", b" ")
_NUMBER = re.compile(rb"[0-9]{1,12}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


class Chain(StrEnum):
    """What an ARC chain is (RFC 8617 section 4.4)."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"


class _Invalid(Exception):
    """A signature, or a key, is none."""


# -- the message -------------------------------------------------------------------------------------


class Message:
    """A message whose body is read again for each canonical form that is asked for. chunks: its octets anew."""

    def __init__(self, chunks: Callable[[], Iterable[bytes]]) -> None:
        self._chunks = chunks
        self._hashes: dict[bytes, tuple[bytes, int]] = {}
        self._canonical: dict[tuple[int, bytes], bytes] = {}
        header, self._body_at = _header(chunks())
        self.fields: list[bytes] = []  # as they stand, without the CRLF at the end
        self.values: list[bytes] = []
        self.places: defaultdict[bytes, list[int]] = defaultdict(list)  # of each name in lower case, from the top
        for field in filter(None, _END_OF_FIELD.split(_END_OF_LINE.sub(_CRLF, header))):
            found = _NAME.match(field)
            if found is None:
                if not field.startswith(b"From "):
                    self.fields, self.values, self.places = [], [], defaultdict(list)
                    return  # no header: nothing in it is signed
                continue
            self.places[found[1].lower()].append(len(self.fields))
            self.fields.append(field)
            self.values.append(field[found.end() :])

    def canonical(self, place: int, form: bytes) -> bytes:
        """Return a field in its canonical form, with the CRLF at its end (RFC 6376 section 3.4)."""
        if (place, form) not in self._canonical:
            self._canonical[place, form] = _canonical_field(self.fields[place], form) + _CRLF
        return self._canonical[place, form]

    def body_hash(self, form: bytes) -> tuple[bytes, int]:
        """Return the SHA-256 of the body in its canonical form, and how many octets that has."""
        if form not in self._hashes:
            self._hashes[form] = _body_hash(self._body(), form)
        return self._hashes[form]

    def _body(self) -> Iterator[bytes]:
        skip = self._body_at
        for chunk in self._chunks():
            if skip < len(chunk):
                yield chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))


def _header(chunks: Iterable[bytes]) -> tuple[bytes, int]:
    """Return the header, and where the body begins."""
    head = bytearray()
    for chunk in chunks:
        looked_at = max(0, len(head) - 2)
        head += chunk
        if not looked_at and (found := re.match(rb"\r?\n", head)):
            return b"", found.end()
        if found := _END_OF_HEADER.search(head, looked_at):
            return bytes(head[: found.start() + 1]), found.end()
    return bytes(head), len(head)


def _canonical_field(field: bytes, form: bytes) -> bytes:
    if form == b"simple":
        return field
    name, _, value = field.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _collapsed(value.replace(_CRLF, b"")).strip(b" ")


def _collapsed(text: bytes) -> bytes:
    """Return a text whose runs of blanks are one space each; each pass halves the runs, at memory's speed."""
    text = text.translate(_SPACES)
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _body_hash(chunks: Iterable[bytes], form: bytes) -> tuple[bytes, int]:
    """Hash a body (RFC 6376 sections 3.4.3 and 3.4.4): a chunk at a time, whatever it holds.

    Line ends, and in the relaxed form a blank, wait for what follows them.
    """
    digest = hashlib.sha256()
    octets = lines = 0
    is_relaxed = form == b"relaxed"
    waiting = b""  # a CR, which may be half of a line's end, or a blank
    for chunk in (*chunks, b""):
        is_last = not chunk
        text = (waiting + chunk).replace(_CRLF, b"\n")
        waiting = b""
        if text.endswith(b"\r") and not is_last:
            text, waiting = text[:-1], b"\r"
        if is_relaxed:
            text = _collapsed(text).replace(b" \n", b"\n")
            if text.endswith(b" "):
                text, waiting = text[:-1], b" " + waiting
        solid_text = text.rstrip(b"\n")
        if solid_text:
            for piece in (_CRLF * lines, solid_text.replace(b"\n", _CRLF)):
                digest.update(piece)
                octets += len(piece)
            lines = 0
        lines += len(text) - len(solid_text)
    if octets or not is_relaxed:
        digest.update(_CRLF)
        octets += len(_CRLF)
    return digest.digest(), octets


def proven(job: SignatureJob, message: Message) -> Iterator[str]:
    """Yield the domains that a job wants to know, each as soon as it is."""
    if job.kind is Kind.DKIM:
        yield from signers(message, job.keys)
        return
    state, sealer = chain(message, job.keys)
    if state is Chain.PASS:
        yield sealer


# -- signatures ----------------------------------------------------------------------------------------


def signers(message: Message, keys: Keys) -> Iterator[str]:
    """Yield the domain of each valid DKIM signature whose key is at hand; of so many at the most."""
    seen: set[bytes] = set()
    for place in message.places[b"dkim-signature"]:
        value = message.values[place]
        try:
            tags = read_tags(value)
        except ValueError:
            continue
        domain, name = signer_of(tags)
        if not keys.get(name) or value in seen:
            continue
        seen.add(value)
        try:
            _check_dkim(message, place, tags, domain, keys[name])
            yield domain
        except _Invalid:
            pass
        if len(seen) == MOST_SIGNATURES:
            return


def _check_dkim(
    message: Message, place: int, tags: dict[bytes, bytes], domain: str, records: Sequence[bytes]
) -> None:
    _want(solid(tags.get(b"v", b"")) == b"1")
    _want(b"dns/txt" in solid(tags.get(b"q", b"dns/txt")).split(b":"))
    agent = solid(tags.get(b"i", b"@" + domain.encode())).lower().rpartition(b"@")[2].decode("ascii", "replace")
    _want(agent == domain or agent.endswith("." + domain))
    now = time.time()
    signed_at, ends_at = _seconds(tags, b"t", 0), _seconds(tags, b"x", now)
    _want(signed_at <= now + _CLOCK_S and ends_at >= now - _CLOCK_S)
    _want(b"x" not in tags or ends_at >= signed_at)
    names = _signed_names(tags)
    _want(b"from" in names)
    _check(message, place, tags, names, records, is_exact=agent == domain)


def _check(
    message: Message,
    place: int,
    tags: dict[bytes, bytes],
    names: Sequence[bytes],
    records: Sequence[bytes],
    is_exact: bool = True,
) -> None:
    """Check body hash and signature of a field with h=; raises _Invalid. is_exact: it signs for d= itself."""
    forms = solid(tags.get(b"c", b"simple/simple")).split(b"/")
    header_form, body_form = (*forms, b"simple")[:2]
    _want(len(forms) <= 2 and header_form in _CANONICAL and body_form in _CANONICAL)
    algorithm = _algorithm(tags)
    usable = _usable(records, algorithm, is_exact)
    signature, body_hash = _octets(tags, b"b"), _octets(tags, b"bh")
    chosen = _chosen(message, names)
    digest, octets = message.body_hash(body_form)
    _want(digest == body_hash)
    _want(b"l" not in tags or _seconds(tags, b"l", 0) == octets)
    signed = hashlib.sha256()
    for one in chosen:
        signed.update(message.canonical(one, header_form))
    signed.update(_unsigned(message.fields[place], header_form))
    _verify(signed, signature, algorithm, usable)


def _signed_names(tags: dict[bytes, bytes]) -> list[bytes]:
    return solid(tags.get(b"h", b"")).lower().split(b":")


def _chosen(message: Message, names: Iterable[bytes]) -> list[int]:
    """Return the fields that names choose, each from the bottom (RFC 6376 section 5.4.2); raises _Invalid.

    A From that is not chosen would be one that somebody added.
    """
    left: dict[bytes, list[int]] = {}
    chosen = []
    for name in names:
        if name not in left:
            left[name] = list(message.places.get(name, ()))
        if left[name]:
            chosen.append(left[name].pop())
    _want(b"from" not in left or not left[b"from"])
    return chosen


def _unsigned(field: bytes, form: bytes) -> bytes:
    """Return the signature's own field as it was signed: canonical, b= without its value, no CRLF at its end."""
    name, _, value = field.partition(b":")
    specs = value.split(b";")
    for number, spec in enumerate(specs):
        tag, _, _ = spec.partition(b"=")
        if tag.strip() == b"b":
            specs[number] = tag + b"="
    return _canonical_field(name + b":" + b";".join(specs), form)


def _want(is_so: bool) -> None:
    if not is_so:
        raise _Invalid


def _seconds(tags: dict[bytes, bytes], tag: bytes, default: float) -> float:
    """Return a tag's number; where more digits stand than any year has, the largest."""
    if tag not in tags:
        return default
    value = solid(tags[tag])
    if value.isdigit() and len(value) > 12:
        return float("inf")
    _want(_NUMBER.fullmatch(value) is not None)
    return int(value)


def _octets(tags: dict[bytes, bytes], tag: bytes) -> bytes:
    value = solid(tags.get(tag, b""))
    _want(_BASE64.fullmatch(value) is not None)
    try:
        return base64.b64decode(value)
    except binascii.Error as error:
        raise _Invalid from error


# -- keys ----------------------------------------------------------------------------------------------


def _algorithm(tags: dict[bytes, bytes]) -> bytes:
    algorithm = _ALGORITHMS.get(solid(tags.get(b"a", b"")))
    if algorithm is None:
        raise _Invalid
    return algorithm


def _usable(records: Sequence[bytes], algorithm: bytes, is_exact: bool = True) -> list[bytes]:
    """Return the keys for an algorithm among the records of a name; raises _Invalid where there is none."""
    found = []
    for record in records:
        try:
            tags = read_tags(record)
        except ValueError:
            continue
        flags = solid(tags.get(b"t", b"")).split(b":")
        hashes, services = (solid(tags.get(tag, default)).split(b":") for tag, default in _KEY_LISTS)
        if (
            solid(tags.get(b"v", b"DKIM1")) == b"DKIM1"
            and solid(tags.get(b"k", b"rsa")) == algorithm
            and b"sha256" in hashes
            and not {b"*", b"email"}.isdisjoint(services)
            and (is_exact or b"s" not in flags)
        ):
            try:
                found.append(_octets(tags, b"p"))
            except _Invalid:
                continue
    _want(bool(found))
    return found[:_MOST_RECORDS]


_KEY_LISTS = ((b"h", b"sha256"), (b"s", b"*"))


def _verify(signed: "hashlib._Hash", signature: bytes, algorithm: bytes, keys: Sequence[bytes]) -> None:
    """Raise _Invalid unless a key made this signature."""
    verify = _is_by_rsa if algorithm == b"rsa" else _is_by_ed25519
    _want(any(verify(signed, signature, key) for key in keys))


def _is_by_rsa(signed: "hashlib._Hash", signature: bytes, key: bytes) -> bool:
    if len(key) > _MOST_KEY_OCTETS:
        return False
    try:
        public = parse_public_key(key)
        modulus, exponent = public["modulus"], public["publicExponent"]
    except (UnparsableKeyError, AssertionError, IndexError, TypeError, ValueError):
        return False
    if not _LEAST_BITS <= modulus.bit_length() <= _MOST_BITS or exponent.bit_length() > _MOST_EXPONENT_BITS:
        return False
    if len(signature) != (modulus.bit_length() + 7) // 8:  # RFC 8017 section 8.2.2
        return False
    try:
        return bool(RSASSA_PKCS1_v1_5_verify(signed, signature, public))
    except DigestTooLargeError:
        return False


def _is_by_ed25519(signed: "hashlib._Hash", signature: bytes, key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed.digest())
    except (InvalidSignature, ValueError):
        return False
    return True


# -- ARC -----------------------------------------------------------------------------------------------

_RESULTS, _SIGNATURE, _SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"


def chain(message: Message, keys: Keys) -> tuple[Chain, str]:
    """Return what a message's ARC chain is (RFC 8617 section 5.2), and the domain of its newest seal."""
    sets: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
    count = sum(len(message.places.get(name, ())) for name in (_RESULTS, _SIGNATURE, _SEAL))
    if not count:
        return Chain.NONE, ""
    if count > 3 * MOST_SETS:
        return Chain.FAIL, ""
    try:
        for name in (_RESULTS, _SIGNATURE, _SEAL):
            for place in message.places.get(name, ()):
                instance = instance_of(message.values[place])
                _want(name not in sets[instance])
                sets[instance][name] = place
        _want(sorted(sets) == list(range(1, len(sets) + 1)) and all(len(one) == 3 for one in sets.values()))
        newest = _check_chain(message, [sets[number] for number in sorted(sets)], keys)
    except (_Invalid, ValueError):
        return Chain.FAIL, ""
    return Chain.PASS, newest


def _check_chain(message: Message, sets: Sequence[Mapping[bytes, int]], keys: Keys) -> str:
    """Return the domain of the newest seal; raises _Invalid or ValueError where the chain does not hold."""
    seals = [read_tags(message.values[one[_SEAL]]) for one in sets]
    for number, tags in enumerate(seals):
        _want(solid(tags.get(b"cv", b"")) == (b"pass" if number else b"none"))
        _want(b"h" not in tags)
    tags = read_tags(message.values[sets[-1][_SIGNATURE]])
    names = _signed_names(tags)
    _want(_SEAL not in names)
    _, key = signer_of(tags)
    tags.setdefault(b"c", b"relaxed/relaxed")  # as dkimpy and the working group's test suite have it
    _check(message, sets[-1][_SIGNATURE], tags, names, keys.get(key, ()))
    newest = ""
    before = hashlib.sha256()
    for one, tags in zip(sets, seals, strict=True):
        newest, key = signer_of(tags)
        algorithm = _algorithm(tags)
        for name in (_RESULTS, _SIGNATURE):
            before.update(message.canonical(one[name], b"relaxed"))
        signed = before.copy()
        signed.update(_unsigned(message.fields[one[_SEAL]], b"relaxed"))
        _verify(signed, _octets(tags, b"b"), algorithm, _usable(keys.get(key, ()), algorithm))
        before.update(message.canonical(one[_SEAL], b"relaxed"))
    return newest
