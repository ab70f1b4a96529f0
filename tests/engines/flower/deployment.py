"""Flower as it is deployed: a SuperLink and SuperNodes as processes, over TLS, on this machine."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

APP = Path(__file__).parents[3] / "examples" / "flower"
BIN = Path(sys.executable).parent
PEM, PLAIN = serialization.Encoding.PEM, serialization.NoEncryption()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def name_of(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certify(folder: Path) -> None:
    """Write ca.pem, and host.pem and host.key for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    root, host = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(subject: str, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(subject))
            .issuer_name(name_of("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
            )
        )
        if authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(here), critical=False)
        return builder.sign(root, hashes.SHA256()).public_bytes(PEM)

    (folder / "ca.pem").write_bytes(certificate("root", root, authority=True))
    (folder / "host.pem").write_bytes(certificate("host", host, authority=False))
    secret = host.private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN)
    (folder / "host.key").write_bytes(secret)


def node_key(folder: Path, node: int) -> tuple[Path, Path]:
    """Write the key pair with which a SuperNode proves who it is."""
    key = ec.generate_private_key(ec.SECP384R1())
    secret, public = folder / f"node{node}", folder / f"node{node}.pub"
    secret.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, PLAIN))
    encoding = serialization.Encoding.OpenSSH
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.OpenSSH))
    return secret, public


class Deployment:
    """A SuperLink that admits registered nodes only, and its SuperNodes; ends all it has started."""

    def __init__(self, folder: Path, lies: Sequence[str | None]) -> None:
        self.folder, self.lies = folder, lies
        self.port = free_port()
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(folder / "home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_UPDATE_CHECK": "0",
            "OMP_NUM_THREADS": "1",
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")]),
            "PYTHONUNBUFFERED": "1",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.secure = [
            "--ssl-certfile",
            "host.pem",
            "--ssl-keyfile",
            "host.key",
            "--ssl-ca-certfile",
            "ca.pem",
        ]

    def __enter__(self) -> Deployment:
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def _start(self) -> None:
        certify(self.folder)
        home = self.folder / "home"
        home.mkdir()
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n'
            f'root-certificates = "{self.folder / "ca.pem"}"\n'
        )
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        options = ["--enable-supernode-auth", "--disable-runtime-dependency-installation"]
        self._begin("superlink", "flower-superlink", *address, *self.secure, *options)
        self._await_port()
        for node, lie in enumerate(self.lies):
            secret, public = node_key(self.folder, node)
            self.run("flwr", "supernode", "register", str(public), "here")
            config = f"partition-id={node} num-partitions={len(self.lies)}" + (f" lie='{lie}'" if lie else "")
            self._begin(
                f"supernode{node}",
                "flower-supernode",
                *("--root-certificates", "ca.pem", "--superlink", f"127.0.0.1:{self.port}"),
                *("--auth-supernode-private-key", str(secret), "--node-config", config),
                *("--host", "127.0.0.1", "--port", str(free_port()), *self.secure),
            )

    def _begin(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _await_port(self, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with socket.socket() as trial:
                trial.settimeout(1.0)
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise TimeoutError(self.logs())

    def run(self, *command: str, seconds: float = 600.0) -> str:
        """Run a command of Flower's, and return what it says."""
        done = subprocess.run(
            command,
            check=False,
            cwd=APP,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        return done.stdout

    def train(self, **config: str | int) -> tuple[float | None, str]:
        """Return the accuracy that a run came to, None if it came to none, and all that it said."""
        words = " ".join(f"{key}={value!r}" for key, value in config.items())
        said = self.run("flwr", "run", str(APP), "here", "--stream", "--run-config", words)
        found = re.search(r"accuracy ([\d.]+)%", said)
        return (float(found[1]) if found else None), said

    def logs(self) -> str:
        return "\n".join(f"== {file.name}\n{file.read_text()}" for file in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """End every process, with what it has started itself."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
            end = time.monotonic() + 3
            while (
                sign == signal.SIGTERM
                and time.monotonic() < end
                and any(p.poll() is None for p in self.processes)
            ):
                time.sleep(0.1)
        for process in self.processes:
            process.wait()


@contextmanager
def deployed(folder: Path, lies: Sequence[str | None]) -> Iterator[Deployment]:
    """Deploy a node for each of ``lies``: None for an honest one."""
    with Deployment(folder, lies) as deployment:
        yield deployment
