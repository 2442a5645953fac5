"""TLS to servers: the files on this machine, each fault of theirs told; and connections, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from zkprov.act.connecting import Handler
from zkprov.lab import certificates
from zkprov.model.facts import Fact, Outcome
from zkprov.model.posture import ClientFiles
from zkprov.model.problems import BadInput
from zkprov.model.server import HostPort
from zkprov.observe.dial import Dialer, read_all
from zkprov.observe.tls import Tls, context_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subject = certificates.make(folder)
    assert subject == "CN=zkprov,OU=lab,O=zkprov"
    return folder


@pytest.fixture
def files(made: Path) -> ClientFiles:
    return certificates.client_files(made)


def test_a_lab_has_a_key_that_zookeeper_reads(made: Path) -> None:
    assert (made / "server.pem").read_text().startswith("-----BEGIN PRIVATE KEY-----"), "PKCS#8"
    assert {f.stat().st_mode & 0o777 for f in made.iterdir()} == {0o600}


def test_names_are_checked_and_nobody_else_is_trusted(files: ClientFiles) -> None:
    context = context_of(files)
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.cert_store_stats()["x509_ca"] == 1, "not the system's"


def _other(tmp_path: Path, name: str, content: bytes, mode: int = 0o600) -> str:
    (tmp_path / name).write_bytes(content)
    (tmp_path / name).chmod(mode)
    return str(tmp_path / name)


def test_each_fault_of_the_files_is_told(files: ClientFiles, tmp_path: Path) -> None:
    key = Path(files.key).read_bytes()
    loaded = serialization.load_pem_private_key(key, None)
    closed = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    other = trustme.CA().issue_cert("other").private_key_pem.bytes()
    faults = [
        (ClientFiles(str(tmp_path / "none.pem")), "zkprov_ca_file: cannot be read: no such file"),
        (ClientFiles(_other(tmp_path, "junk", bytes(range(256)))), "zkprov_ca_file: it holds no certificate"),
        (ClientFiles(_other(tmp_path, "empty", b"")), "zkprov_ca_file: it holds no certificate"),
        (ClientFiles(str(tmp_path)), "zkprov_ca_file: "),
        (ClientFiles(files.ca, str(tmp_path / "none.pem"), files.key), "none.pem: zkprov_cert_file, zkprov_key_file: cannot"),
        (ClientFiles(files.ca, files.cert, str(tmp_path / "none.key")), "none.key: zkprov_key_file: cannot be read"),
        (ClientFiles(files.ca, files.cert, _other(tmp_path, "other", other)), "do not belong together"),
        (ClientFiles(files.ca, files.cert, _other(tmp_path, "closed", closed)), "pass phrase"),
        (ClientFiles(files.ca, files.cert, _other(tmp_path, "open", key, 0o644)), "others can read the key (mode 0644)"),
    ]  # fmt: skip
    for given, said in faults:
        with pytest.raises(BadInput) as refused:
            context_of(given)
        assert said in str(refused.value) and refused.value.remedy
        assert "BEGIN" not in str(refused.value)


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None, answer: bytes) -> Iterator[HostPort]:
    """Answers each connection with `answer`, after a handshake where there is a context."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(10)

        def serve() -> None:
            while True:
                try:
                    peer, _ = door.accept()
                except OSError:
                    return
                if context:
                    peer = context.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
                with peer, contextlib.suppress(OSError):
                    try:
                        if context:
                            peer.do_handshake()
                    except ssl.SSLError:
                        # what lies unread when a connection is closed cuts it, before the other side has read why
                        while socket.socket.recv(peer, 4096):
                            pass
                        continue
                    peer.recv(4)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield HostPort("127.0.0.1", door.getsockname()[1])
        door.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def server_context(folder: Path, *, name: str = "server.pem") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / name)
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def asked(at: HostPort, tls: Tls | None) -> Fact[bytes]:
    async def ask() -> Fact[bytes]:
        dialer = Dialer(5, tls)

        async def question() -> bytes:
            async with dialer.connect(at) as (reader, writer):
                writer.write(b"srvr")
                return await read_all(reader)

        return await dialer.fact("srvr", question())

    return asyncio.run(ask())


def test_an_endpoint_is_asked_by_tls_or_in_the_clear(made: Path, files: ClientFiles) -> None:
    context = context_of(files)
    with serving(server_context(made), b"secure") as at, serving(None, b"plain") as clear:
        tls = Tls(context, frozenset({at}))
        assert (asked(at, tls).value, asked(clear, tls).value) == (b"secure", b"plain")
        assert asked(clear, Tls(context, frozenset({clear}))).outcome is Outcome.JUNK
        assert asked(at, None).value is None


def test_who_does_not_trust_whom_is_told(made: Path, files: ClientFiles, tmp_path: Path) -> None:
    certificates.make(tmp_path)
    foreign = certificates.client_files(tmp_path)
    with serving(server_context(made), b"secure") as at:
        told = asked(at, Tls(context_of(foreign), frozenset({at})))
        assert (told.outcome, "its certificate is not trusted" in told.detail) == (Outcome.DENIED, True)
        told = asked(at, Tls(context_of(ClientFiles(files.ca, foreign.cert, foreign.key)), frozenset({at})))
        assert (told.outcome, "it refused our certificate" in told.detail) == (Outcome.DENIED, True)
        told = asked(at, Tls(context_of(ClientFiles(files.ca)), frozenset({at})))
        assert (told.outcome, "it refused our certificate" in told.detail) == (Outcome.DENIED, True)


def test_a_certificate_of_another_name_is_not_trusted(tmp_path: Path) -> None:
    certificates.make(tmp_path, "10.9.9.9")
    with serving(server_context(tmp_path), b"secure") as at:
        told = asked(at, Tls(context_of(certificates.client_files(tmp_path)), frozenset({at})))
        assert told.outcome is Outcome.DENIED and "127.0.0.1" in told.detail


def test_kazoo_trusts_whom_we_trust(made: Path, files: ClientFiles, tmp_path: Path) -> None:
    certificates.make(tmp_path)
    with serving(server_context(made), b"one" + b"two") as at:
        handler = Handler([at], tls=context_of(files))
        with handler.create_connection((at.host, at.port), hostname=at.host, timeout=5) as peer:
            peer.sendall(b"srvr")
            assert peer.recv(3) == b"one"
            assert peer.pending() == 3
            assert handler.select([peer], [], [], 5)[0] == [peer], "what was decrypted already is told at once"
            assert peer.recv(3) == b"two"
        stranger = Handler([at], tls=context_of(certificates.client_files(tmp_path)))
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.create_connection((at.host, at.port), hostname=at.host, timeout=5)
