"""Programs that want harm, run for real."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path

import pytest

from assay.errors import ParameterError, ResourceError, StepError, UsageError
from assay.parts.competition import confined, handover, runner
from assay.parts.competition.runner import Limits, isolation, run

MIB = 2**20
TIGHT = {
    "seconds": 20, "files": 100, "memory_bytes": 100 * MIB, "output_bytes": MIB, "processes": 16,
}  # fmt: skip
ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux")


@pytest.fixture(scope="module")
def python():
    """A Python that the program's user may start, on a host that can confine it."""
    try:
        isolation()
    except ResourceError as error:
        pytest.skip(f"this host cannot confine a program: {error}")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        inputs.mkdir()
        for each in filter(None, (sys.executable, shutil.which("python3", path=runner.PATH))):
            if not run([each, "-c", ""], inputs, Path(folder, uuid.uuid4().hex)).code:
                return each
    pytest.skip("needs a Python that every user may start")


@pytest.fixture
def tried(python, tmp_path):
    """Runs a program given as Python; ``name`` marks its processes, ``outputs`` is what it left."""
    inputs, truth = tmp_path / "inputs", tmp_path / "truth"
    for folder in (inputs / "below", truth):
        folder.mkdir(parents=True)
    (inputs / "below/case.txt").write_text("case 1")
    (inputs / "below/case.txt").chmod(0o600)
    (truth / "labels.csv").write_text("secret")
    (truth / "labels.csv").chmod(0o600)

    def start(code, *arguments, limits=None, hidden=(truth,), **named):
        start.name, start.outputs = uuid.uuid4().hex, tmp_path / uuid.uuid4().hex
        command = [python, "-I", "-S", "-c", code, "{inputs}", "{outputs}", str(truth), start.name]
        told = Limits(**{**TIGHT, **(limits or {})})
        return run([*command, *arguments], inputs, start.outputs, told, hidden=hidden, **named)

    start.truth, start.inputs = truth, inputs
    return start


@pytest.fixture(params=["namespaces", "user alone"])
def either(request, tried, monkeypatch):
    """The same on a host that allows no namespaces."""
    if request.param == "user alone":
        if not ROOT:
            pytest.skip("only root can become another user")
        monkeypatch.setattr(runner, "SPACES", ())
    return tried


def alive(name):
    """Processes whose command line holds a name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if name.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_good_program_reads_a_copy_and_its_files_are_delivered(either):
    ran = either(
        "import os, sys\n"
        "print(os.getcwd() != '/', sys.stdin.read(), os.listdir('.'))\n"
        "text = open(sys.argv[1] + '/below/case.txt').read()\n"
        "os.makedirs(sys.argv[2] + '/a/b')\n"
        "open(sys.argv[2] + '/a/b/p.json', 'w').write(text)"
    )
    assert (ran.code, ran.status, ran.tail) == ("", 0, "True  []\n")
    assert 0 < ran.seconds < 20
    assert MIB < ran.max_memory_bytes < 100 * MIB
    file = either.outputs / "a/b/p.json"
    assert file.read_text() == "case 1"
    assert file.stat().st_uid == os.geteuid()


def test_inputs_cannot_be_changed_for_anybody(either):
    ran = either(
        "import os, sys\n"
        "for act in (lambda p: open(p, 'w'), os.unlink, lambda p: os.chmod(p, 0o777)):\n"
        "    try: act(sys.argv[1] + '/below/case.txt')\n"
        "    except OSError: print('no')"
    )
    assert (ran.code, ran.tail) == ("", "no\n" * 3)
    assert (either.inputs / "below/case.txt").read_text() == "case 1"


def test_a_loop_without_end_is_ended(either):
    ran = either("while True: pass", limits={"seconds": 0.5})
    assert (ran.code, ran.status) == ("timeout", None)
    assert 0.5 < ran.seconds < 3
    assert not either.outputs.exists()


def test_sleeping_in_defiance_of_signals_is_ended(either):
    ran = either(
        "import signal, time\n"
        "for n in (1, 2, 10, 12, 15): signal.signal(n, signal.SIG_IGN)\n"
        "time.sleep(60)",
        limits={"seconds": 0.3},
    )
    assert ran.code == "timeout"
    assert not alive(either.name)


def test_processor_time_is_limited_though_it_is_not_heeded(tried):
    ran = tried(
        "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        limits={"seconds": 120, "cpu_seconds": 1},
    )
    assert (ran.code, ran.status) == ("timeout", -signal.SIGKILL)


@pytest.mark.parametrize(
    "code",
    [
        "x = []\nwhile True: x.append(bytearray(10 ** 7))",
        "x = bytearray(10 ** 11)",
        "import os\n"  # many, each small enough
        "for _ in range(5): os.fork() or os.setsid()\n"
        "x = bytearray(b'1') * 20_000_000\nimport time; time.sleep(60)",
    ],
    ids=["slowly", "at once", "together"],
)
def test_too_much_memory_is_told_as_that(either, code):
    ran = either(code, limits={"processes": 64})
    assert ran.code == "memory"
    assert ran.max_memory_bytes < 700 * MIB  # a busy host looks less often
    assert not alive(either.name)


def test_shared_memory_counts_once(tried):
    ran = tried(
        "import os, time\nx = bytearray(b'1') * 40_000_000\n"
        "for _ in range(2): os.fork()\n"
        "time.sleep(0.2)"
    )
    assert ran.code == ""


def test_a_fork_bomb_is_killed_whole(either):
    ran = either(
        "import os\n"
        "while True:\n"
        "    try: os.fork()\n"
        "    except OSError: pass",
        limits={"seconds": 0.5},
    )  # fmt: skip
    assert ran.code in ("timeout", "processes", "memory")
    assert not alive(either.name)


@pytest.mark.parametrize(
    "code",
    [
        "f = open(sys.argv[2] + '/x', 'wb')\nfor _ in range(1000): f.write(bytes(10 ** 6))",
        "f = open(sys.argv[2] + '/x', 'wb'); f.truncate(10 ** 9)",
        "for n in range(1000): open(sys.argv[2] + f'/{n}', 'wb').write(bytes(10 ** 5))",
        "for n in range(100_000): open(sys.argv[2] + f'/{n}', 'wb')",
        "for n in range(100): open(os.environ['TMPDIR'] + f'/{n}', 'wb').write(bytes(10 ** 5))",
        "os.chdir(sys.argv[2])\nfor n in range(200): os.mkdir('d'); os.chdir('d')",
        "signal.signal(signal.SIGXFSZ, 0)\nopen(sys.argv[2] + '/x', 'wb').write(bytes(10 ** 7))",
    ],
    ids=["one file", "sparse", "many files", "names", "scratch", "deep", "signal"],
)
def test_too_much_output_is_told_as_that(tried, code):
    ran = tried("import os, signal, sys\n" + code)
    assert ran.code == "too_large"
    assert not tried.outputs.exists()


READS = """
import os, sys
def tell(act, *arguments):
    try: print('GOT', act(*arguments))
    except OSError as error: print('no')
truth = sys.argv[3]
tell(os.listdir, truth)
tell(lambda: open(truth + '/labels.csv').read())
tell(os.stat, truth + '/labels.csv')
tell(os.chmod, truth, 0o777)
for n in os.listdir('/proc'):
    if n.isdigit(): tell(lambda: open('/proc/' + n + '/root' + truth + '/labels.csv').read())
"""


def test_the_truth_cannot_be_read(tried):
    ran = tried(READS)
    assert ran.code == ""
    assert "GOT" not in ran.tail
    assert "files: read-only, hidden masked" in ran.isolation


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_the_truth_cannot_be_read_by_another_user_alone(tried, monkeypatch):
    monkeypatch.setattr(runner, "SPACES", ())
    tmp = tried.truth
    folder = Path(tempfile.mkdtemp())  # one whose folders above it are everybody's
    folder.chmod(0o755)
    shutil.copy(tmp / "labels.csv", folder / "labels.csv")
    (folder / "labels.csv").chmod(0o600)
    try:
        ran = tried("print(open(sys.argv[5]).read())".join(["import sys\n", ""]),
                    str(folder / "labels.csv"), hidden=[folder])  # fmt: skip
        assert ran.code == "crash"
        assert "PermissionError" in ran.tail
        assert "files: kept by their permissions" in ran.isolation
        (folder / "labels.csv").chmod(0o644)
        with pytest.raises(ResourceError, match=r"labels|could be read"):
            tried("import sys; open(sys.argv[2] + '/ran', 'w')", hidden=[folder])
        folder.chmod(0o711)  # no list of names, but they may be guessed
        with pytest.raises(ResourceError, match="could be read"):
            tried("", hidden=[folder])
        folder.chmod(0o700)
        assert tried("", hidden=[folder]).code == ""
    finally:
        shutil.rmtree(folder)


PUBLIC = [Path("/usr/share"), Path("/etc/passwd")]
"""A folder and a file that everybody may read, and which lie in no folder that is replaced."""
READS_PUBLIC = """
import os
for act in (lambda: os.listdir('/usr/share'), lambda: open('/etc/passwd').read(),
            lambda: os.stat('/usr/share/doc'), lambda: os.chmod('/usr/share', 0o777)):
    try: print('GOT', act())
    except OSError: print('no')
print([place for place in ('/', '/etc', '/usr', '/run') if not os.statvfs(place).f_flag & 1])
"""


def test_what_everybody_may_read_is_masked_and_all_is_read_only(tried):
    assert tried(READS_PUBLIC, hidden=[]).tail.count("GOT") == 3
    ran = tried(READS_PUBLIC, hidden=PUBLIC)
    assert (ran.code, ran.tail) == ("", "no\n" * 4 + "[]\n")


def test_the_disk_is_read_only_and_shared_places_are_its_own(tried):
    marker = Path(tempfile.gettempdir()) / uuid.uuid4().hex
    marker.write_text("of another")
    try:
        ran = tried(
            "import os, sys\n"
            "for place in ('/tmp', '/var/tmp', '/dev/shm', os.environ['HOME']):\n"
            "    open(place + '/mine', 'w').close()\n"
            "print(os.path.exists(sys.argv[5]), os.listdir('/run'))\n"
            "for place in ('/', '/etc', '/usr', '/run', os.path.dirname(sys.argv[1])):\n"
            "    try: open(place + '/mine', 'w'); print('WROTE', place)\n"
            "    except OSError: pass",
            str(marker),
        )
    finally:
        marker.unlink()
    assert (ran.code, ran.tail) == ("", "False []\n")
    assert not Path("/tmp/mine").exists()


def connects(tried, **named):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        return tried(
            "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[5])), 1)", port
        )


def test_no_server_of_this_host_is_reached(tried):
    ran = connects(tried)
    assert "network: off" in ran.isolation
    assert ran.code == "crash"
    assert "Network is unreachable" in ran.tail


def test_where_the_network_is_not_isolated_that_is_told(tried, monkeypatch):
    monkeypatch.setattr(runner, "SPACES", (confined.MOUNT,))
    ran = connects(tried)
    assert ran.code == ""  # it was reached
    assert "network: not isolated" in ran.isolation
    assert "processes: own session" in ran.isolation


@pytest.mark.parametrize(
    "code", ["import ctypes; ctypes.string_at(0)", "import os; os.abort()", "1 / 0"],
    ids=["segfault", "abort", "exception"],
)  # fmt: skip
def test_a_crash_is_told_with_its_signal(either, code):
    ran = either(code.join(["import sys; sys.path.append('')\n", ""]))
    assert ran.code == "crash"
    assert ran.status == {"c": -signal.SIGSEGV, "o": -signal.SIGABRT, "/": 1}[code.split()[1][0]]


DAEMON = """
import os, signal, sys, time
if not os.fork():
    os.setsid()
    if not os.fork():
        os.closerange(0, 100)
        for n in (1, 15): signal.signal(n, signal.SIG_IGN)
        time.sleep(60)
    os._exit(0)
time.sleep(0.1)
"""


def test_a_grandchild_that_became_a_daemon_dies_with_the_run(either):
    ran = either(DAEMON)
    assert ran.code == ""
    assert not alive(either.name)


def test_only_the_end_of_a_flood_is_kept(either):
    ran = either(
        "import sys\nfor n in range(200_000): print('x' * 20)\nprint('the end\\0\\udcff'.encode("
        "errors='surrogateescape').decode('latin-1'))",
        limits={"tail_bytes": 100},
    )
    assert ran.code == ""
    assert len(ran.tail) <= 100
    assert "the end" in ran.tail
    assert "\0" not in ran.tail


def test_a_flood_without_end_is_ended(tried):
    limits = {"tail_bytes": 10, "seconds": 0.5}
    ran = tried("import sys\nwhile True: sys.stderr.write('y' * 10_000)", limits=limits)
    assert (ran.code, ran.tail) == ("timeout", "y" * 10)


def test_no_secret_of_the_worker_is_seen(either, monkeypatch):
    monkeypatch.setenv("ASSAY_TOKEN", "s3cret")
    held = os.open(either.truth / "labels.csv", os.O_RDONLY)
    os.set_inheritable(held, True)
    ran = either(
        "import os\n"
        "print(sorted(os.environ))\n"
        "print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))\n"
        "for n in os.listdir('/proc'):\n"
        "    for what in ('environ', 'mem', 'root/', 'cwd/', 'fd'):\n"
        "        if n.isdigit() and int(n) != os.getpid():\n"
        "            try:\n"
        "                found = os.listdir if what[-1] in '/d' else lambda p: open(p).read(99)\n"
        "                found('/proc/' + n + '/' + what); print('SAW', n, what)\n"
        "            except OSError: pass",
        environment={"GIVEN": "x"},
    )
    os.close(held)
    assert ran.code == ""
    assert "s3cret" not in ran.tail
    assert "SAW" not in ran.tail
    lines = ran.tail.splitlines()
    assert lines[0] == str(["GIVEN", "HOME", "LANG", "PATH", "TMPDIR"])
    assert lines[1].endswith(" 4")  # its three, and the one that lists them


def test_it_has_no_privilege_and_gets_none(either):
    ran = either("print(*open('/proc/self/status').readlines())")
    status = {line.split(":")[0].strip(): line.partition(":")[2] for line in ran.tail.splitlines()}
    assert {name: int(status[name], 16) for name in status if name.startswith("Cap")} == {
        "CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0
    }  # fmt: skip
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Uid"].split()[0] != "0"
    assert status["Groups"].strip() == ""


def test_the_keeper_cannot_be_ended_or_stopped(tried):
    ran = tried(
        "import os, signal, time\n"
        "for n in (9, 15, 17, 19, 2, 1):\n"
        "    try: os.kill(os.getppid(), n); os.killpg(os.getpgid(os.getppid()), n)\n"
        "    except OSError: pass\n"
        "time.sleep(60)",
        limits={"seconds": 0.5},
    )
    assert ran.code == "timeout"


@pytest.mark.parametrize(
    "code",
    [
        "os.symlink(sys.argv[3] + '/labels.csv', sys.argv[2] + '/p.json')",
        "os.symlink(sys.argv[3], sys.argv[2] + '/folder')",
        "os.mkfifo(sys.argv[2] + '/p.json')",
        "import socket; socket.socket(socket.AF_UNIX).bind(sys.argv[2] + '/p')",
        "os.rmdir(sys.argv[2]); os.symlink(sys.argv[3], sys.argv[2])",
    ],
    ids=["link", "folder", "pipe", "socket", "itself"],
)
def test_outputs_that_are_no_files_are_not_followed(either, code):
    ran = either("import os, sys\n" + code)
    assert ran.code in ("link", "crash")
    assert not either.outputs.exists()


def test_a_program_that_is_not_there_is_told(tried):
    ran = run(["no-such-program"], tried.inputs, tried.truth.parent / "o")
    assert (ran.code, ran.tail) == ("not_started", "No such file or directory")


def test_a_program_of_its_own_folder_is_found(python, either, tmp_path):
    program = Path(tempfile.mkdtemp())
    program.chmod(0o755)
    (program / "predict.py").write_text("import sys; open(sys.argv[1] + '/p', 'w').write('x')")
    try:
        command = [python, "-I", "{program}/predict.py", "{outputs}"]
        ran = run(command, either.inputs, tmp_path / "o", hidden=[either.truth], program=program)
    finally:
        shutil.rmtree(program)
    assert (ran.code, ran.tail) == ("", "")
    assert (tmp_path / "o/p").read_text() == "x"


def test_wrong_use_is_refused_before_anything_runs(tried, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inputs, truth, full = tried.inputs, tried.truth, tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    for told, arguments, named in (
        ("no command", ([], inputs, tmp_path / "o"), {}),
        ("no folder", (["true"], tmp_path / "none", tmp_path / "o"), {}),
        ("not an empty folder", (["true"], inputs, full), {}),
        ("is not there", (["true"], inputs, tmp_path / "o"), {"hidden": [tmp_path / "typo"]}),
        ("is given", (["true"], inputs, tmp_path / "o"), {"hidden": [inputs / "below"]}),
        ("is given", (["true"], inputs, tmp_path / "o"), {"hidden": [truth], "program": truth}),
        ("TMPDIR", (["true"], inputs, tmp_path / "o"), {"hidden": [Path("/")]}),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            run(*arguments, **named)
    with pytest.raises(ParameterError, match="seconds is 0"):
        Limits(seconds=0)
    assert not list(tmp_path.glob("assay-run-*"))


def test_a_process_namespace_without_a_mount_namespace_is_never_entered():
    with pytest.raises(ValueError, match="needs a mount namespace"):
        confined.enter(confined.PROCESS)


def test_a_run_that_is_interrupted_leaves_no_process(either):
    what = signal.SIGKILL if runner.SPACES else signal.SIGTERM  # it ends, and all with it

    def interrupt():
        while not (found := alive(getattr(either, "name", "nobody yet"))):
            time.sleep(0.01)
        status = Path(f"/proc/{found[0]}/status").read_text()
        os.kill(int(status.split("PPid:\t")[1].split()[0]), what)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(StepError, match=r"stopped from outside|keeper of a program failed"):
        either("import time; time.sleep(60)", limits={"seconds": 30})
    thread.join()
    assert not alive(either.name)


WORKER = """
import json, os, sys
from pathlib import Path
from assay.parts.competition.runner import Limits, run
run(json.loads(os.environ["COMMAND"]), Path(sys.argv[1]), Path(sys.argv[2]), Limits(seconds=600))
"""


@pytest.mark.faults
def test_when_the_worker_is_killed_the_program_dies(python, tried, tmp_path):
    name = uuid.uuid4().hex
    command = json.dumps([python, "-c", "import time; time.sleep(600)", name])
    outputs = tmp_path / "o"
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, tried.inputs, outputs],
        env={**os.environ, "TMPDIR": str(folder), "COMMAND": command},
    )

    def waited(for_):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if for_(alive(name)):
                return True
            time.sleep(0.02)
        return False

    try:
        assert waited(for_=bool)
    finally:
        worker.kill()
        worker.wait()
    assert waited(for_=lambda found: not found)
    shutil.rmtree(folder)


UNPRIVILEGED = """
import encodings.idna, json, os, pwd, shutil, subprocess, sys, tempfile
from dataclasses import asdict
from pathlib import Path
from assay.errors import AssayError
from assay.parts.competition import runner
folder, python, code, spaces, allow = sys.argv[1:]
user = pwd.getpwnam("nobody").pw_uid
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
sys.executable, folder = python, Path(folder)
if spaces == "none":
    runner.SPACES = ()
truth = folder / "truth"
truth.mkdir()
(truth / "labels.csv").write_text("secret")
hidden = [truth, *map(Path, ["/usr/share", "/etc/passwd"] if spaces == "all" else [])]
(folder / "inputs").mkdir()
try:
    command = [python, "-I", "-S", "-c", code, "{inputs}", "{outputs}", str(truth), str(folder)]
    ran = runner.run(command, folder / "inputs", folder / "outputs", runner.Limits(seconds=5),
                     hidden=hidden, allow_unprotected=bool(allow))
    print(json.dumps(asdict(ran)))
except AssayError as error:
    print(json.dumps({"refused": str(error)}))
"""


@pytest.fixture
def unprivileged(python):
    """Runs a program from a worker that is not root."""
    folders = []

    def start(code, spaces="all", allow=""):
        folder = tempfile.mkdtemp()
        folders.append(folder)
        os.chmod(folder, 0o777)
        command = [sys.executable, "-c", UNPRIVILEGED, folder, python, code, spaces, allow]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return json.loads(said)

    yield start
    for folder in folders:
        shutil.rmtree(folder)


def test_a_worker_that_is_not_root_protects_the_truth_by_namespaces(unprivileged):
    ran = unprivileged(
        READS
        + READS_PUBLIC
        + "tell(open, sys.argv[4] + '/inputs/new', 'w')\n"
        + "tell(open, sys.argv[4] + '/inputs', 'w')\n"
        + "tell(os.kill, 1, 9); tell(lambda: open('/proc/1/mem').read(1))\n"
        + "print(open('/proc/self/status').read())"
    )
    if "refused" in ran:
        pytest.skip("this host allows no user namespaces")
    assert (ran["code"], ran["status"]) == ("", 0)
    assert "GOT" not in ran["tail"].replace("GOT None", "")  # a signal that nobody gets
    assert "secret" not in ran["tail"]
    assert "\n[]\n" in ran["tail"]  # nothing may be written, though the worker's user could
    assert "CapEff:\t0000000000000000" in ran["tail"]
    assert ran["isolation"][:3] == [
        "network: off", "processes: own namespace", "files: read-only, hidden masked"
    ]  # fmt: skip


def test_a_host_that_can_protect_nothing_refuses_unless_told(unprivileged):
    assert "cannot keep a program from the truth" in unprivileged("", "none")["refused"]
    ran = unprivileged(DAEMON, "none", "yes")
    assert ran["code"] == ""
    assert ran["isolation"][:3] == [
        "network: not isolated", "processes: own session", "files: not protected"
    ]  # fmt: skip


def test_folders_however_deep_are_removed(tmp_path):
    memory = Path("/dev/shm")  # where a thousand folders are removed in no time
    top = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path))
    here = os.open(top, os.O_RDONLY)
    for n in range(1200):  # deeper than a recursion, longer than a path
        os.mkdir("a long name", dir_fd=here)
        if n % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("a long name", os.O_RDONLY, dir_fd=here)
        os.fchmod(below, 0o000 if n == 600 and ROOT else 0o700)
        os.close(here)
        here = below
    os.close(here)
    handover.remove(top)
    assert not top.exists()


def test_the_account_for_programs_is_known():
    assert pwd.getpwnam(runner.ACCOUNT).pw_uid != 0
    assert asdict(Limits())["seconds"] == 60
