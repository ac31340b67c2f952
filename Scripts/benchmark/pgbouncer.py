"""A PgBouncer that carries prepared statements between connections: 1.21 and later do, Debian 12's
1.18 does not. It is built from the source package of the Debian release after it."""

import os
import pathlib
import subprocess
import sys
import tarfile

from benchmark.machine import ROOT, say

RELEASE = "trixie"
DIRECTORY = ROOT / ".build" / "pgbouncer"
BINARY = DIRECTORY / "pgbouncer"
NEEDED = ["gcc", "libc6-dev", "libevent-dev", "make", "pkg-config"]


def build() -> pathlib.Path:
    """The program, built where it is not there yet."""
    if BINARY.exists():
        return BINARY
    say("Building PgBouncer")
    (DIRECTORY / "lists/partial").mkdir(parents=True, exist_ok=True)
    sources = DIRECTORY / "sources.list"
    sources.write_text(f"deb-src http://deb.debian.org/debian {RELEASE} main\n")
    options = [
        "-q", "-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null",
        "-o", f"Dir::State::lists={DIRECTORY / 'lists'}", "-o", "APT::Sandbox::User=root",
    ]
    run("apt-get", *options, "update")
    run("apt-get", *options, "source", "--download-only", "--only-source", "pgbouncer")
    (archive,) = DIRECTORY.glob("pgbouncer_*.orig.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(DIRECTORY, filter="data")
    (source,) = [path for path in DIRECTORY.glob("pgbouncer-*") if path.is_dir()]
    # Without what no measurement uses: TLS, and names that have to be resolved.
    run("./configure", "--without-openssl", "--without-cares", directory=source)
    run("make", "pgbouncer", directory=source)
    (source / "pgbouncer").rename(BINARY)
    return BINARY


def version() -> str:
    """As in `1.24.1`; empty where it has not been built."""
    if not BINARY.exists():
        return ""
    shown = subprocess.run([BINARY, "--version"], capture_output=True, text=True)
    return shown.stdout.split("\n")[0].removeprefix("PgBouncer ")


def run(*command: str, directory: pathlib.Path = DIRECTORY) -> None:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, "LC_ALL": "C"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-5:])
        sys.exit(f"bench: could not build PgBouncer: {' '.join(command)}:\n{last}")
