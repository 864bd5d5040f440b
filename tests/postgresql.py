"""A PostgreSQL that the tests start themselves, reached through a socket in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def _unprivileged() -> dict:
    """Whom PostgreSQL runs as: it refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    known = {user.pw_name for user in pwd.getpwall()}
    name = "postgres" if "postgres" in known else "nobody"
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql():
    """The address of a server of our own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if not initdb:
        pytest.skip("needs PostgreSQL (on Debian: apt-get install postgresql)")
    programs, who = Path(initdb).parent, _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="assay-postgresql-"))
    if who:
        os.chown(folder, pwd.getpwnam(who["user"]).pw_uid, who["group"])
    data, control = folder / "data", programs / "pg_ctl"

    def run(*command):
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True, **who)

    run(initdb, "-D", data, "-U", "assay", "-A", "trust", "-E", "UTF8", "--no-sync")
    settings = f"-c listen_addresses='' -c unix_socket_directories={folder}"
    run(control, "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")
    yield f"postgresql://assay@/postgres?host={folder}"
    run(control, "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)
