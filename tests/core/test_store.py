"""The store: what is put is what is read, whatever happens to the disk beneath it."""

import builtins
import errno
import io
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from assay.core import store as module
from assay.core.events import EventLog
from assay.core.garbage import collect, find_garbage, verify
from assay.core.identity import digest
from assay.core.index import Index
from assay.core.store import Artifact, StepManifest, Store, write_text
from assay.errors import AssayError, DamagedArtifact, StoreError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def step(store, name, value, **kwargs):
    """Put a value and declare the step that gave it finished."""
    manifest = StepManifest(
        key=digest(name), component="module:function", identity="0" * 64,
        params={"name": name}, inputs={}, outputs={"": store.put(value)}, **kwargs,
    )  # fmt: skip
    store.commit(manifest)
    return manifest


def content(root):
    """Every file of a store and its bytes, the log of damage left out."""
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and "quarantine" not in p.parts
    }


def quarantined(store):
    return [p.name.partition("-")[2] for p in (store.root / "quarantine").iterdir()]


# -- values and steps ---------------------------------------------------------------------------


def test_equal_values_lie_once(store):
    one, other = store.put({"a": [1.5]}), store.put({"a": [1.5]})

    assert one == other
    assert len([*store.root.glob("objects/*/*")]) == 1
    assert store.get(one) == {"a": [1.5]}


def test_a_finished_step_is_found_by_its_key_and_by_another_store_object(store):
    manifest = step(store, "a", [1, 2], seconds=1.5, threads=2, host="here", keep=False)

    assert Store(store.root).step(manifest.key) == manifest
    assert list(store.steps()) == [manifest]
    assert store.step(digest("b")) is None


def test_a_manifest_survives_json_whatever_its_parameters_hold(store):
    params = {"b": {"float": "nan"}, "a": [None, True, 1, 0.1, 1e300, "€\ud800\u2028"], "": {}}
    manifest = replace(step(store, "a", 1), params=params, inputs={"x": ["0" * 64]})

    assert StepManifest.from_json(manifest.to_json()) == manifest


def test_an_object_is_there_only_with_its_size(store):
    made = store.put("a text")

    assert store.has(made)
    store.path(made).write_text("a")
    assert not store.has(made)
    assert not store.has(replace(made, digest="0" * 64))


def test_a_value_cut_short_is_put_in_its_place_again(store):
    made = store.put("a text")
    store.path(made).write_text("")

    assert store.put("a text") == made
    assert store.get(made) == "a text"


def test_a_working_folder_is_named_by_its_step(store):
    folder = store.scratch("key")
    folder.mkdir(parents=True)
    (folder / "checkpoint").touch()

    assert store.scratch("key") == folder
    store.drop_scratch("key")
    store.drop_scratch("key")
    assert not folder.exists()


def test_folders_removed_under_an_open_store_are_made_again(store):
    step(store, "a", 1)
    for name in ("objects", "steps"):
        shutil.rmtree(store.root / name)

    assert store.step(digest("a")) is None
    assert store.get(step(store, "a", 1).outputs[""]) == 1


# -- opening ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["2\n", "", "one", "\ufffd"])
def test_another_layout_is_refused(tmp_path, text):
    Store(tmp_path)
    (tmp_path / "layout").write_text(text)

    with pytest.raises(StoreError, match=r"has layout .*; expected 1"):
        Store(tmp_path)


def test_a_layout_that_is_no_text_is_refused(tmp_path):
    Store(tmp_path)
    (tmp_path / "layout").write_bytes(b"\xff\xfe\0")

    with pytest.raises(StoreError, match="has layout"):
        Store(tmp_path)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_place_that_takes_no_folder_is_refused_in_one_line(tmp_path, place):
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"a write was refused \(.*choose another folder") as told:
        Store(tmp_path / place)
    assert "\n" not in str(told.value)


# -- damage -------------------------------------------------------------------------------------

VALUES = {
    "json": {"a": [1, 2, 3], "b": "text"},
    "arrays": {"x": np.arange(5.0), "y": [np.arange(2)]},
    "folder": Path(__file__).parent / "toys.py",  # replaced by a folder below
    "file": Path(__file__).parent / "toys.py",
}


@pytest.fixture(params=VALUES)
def stored(request, store, tmp_path):
    """A store with one value, its manifest, and the files that hold the value."""
    value = VALUES[request.param]
    if request.param == "folder":
        value = tmp_path / "folder"
        (value / "sub").mkdir(parents=True)
        (value / "a.txt").write_text("some text")
        (value / "sub" / "b.bin").write_bytes(bytes(range(40)))
    manifest = step(store, "a", value)
    made = manifest.outputs[""]
    path = store.path(made)
    return (
        store,
        manifest,
        [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()],
    )


def assert_noticed(store, manifest, what):
    """The damage is noticed, put aside, and gone when the value is put again."""
    made, before = manifest.outputs[""], len(quarantined(store))
    with pytest.raises(DamagedArtifact):
        store.get(made)
    assert len(quarantined(store)) == before + 1, what
    assert not store.has(made), what
    with pytest.raises(DamagedArtifact, match="the value is missing"):
        store.get(made)


def restored(store, manifest, whole):
    for path, data in whole.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert store.check(manifest.outputs[""])


def test_each_flipped_bit_of_a_value_is_noticed(stored):
    store, manifest, files = stored
    whole = {path: path.read_bytes() for path in files}
    source = random.Random(1)
    for _ in range(60):
        path = source.choice([p for p in files if whole[p]])
        data = bytearray(whole[path])
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        path.write_bytes(data)

        assert_noticed(store, manifest, path.name)
        restored(store, manifest, whole)


def test_a_value_cut_off_anywhere_is_noticed(stored):
    store, manifest, files = stored
    whole = {path: path.read_bytes() for path in files}
    for path in files:
        size = len(whole[path])
        for length in sorted({0, 1, size // 2, size - 1, *range(0, size, max(1, size // 20))}):
            path.write_bytes(whole[path][:length])
            assert_noticed(store, manifest, f"{path.name} of {length} bytes")
            restored(store, manifest, whole)
        path.write_bytes(whole[path] + b"\n")
        assert_noticed(store, manifest, f"{path.name} with a byte more")
        restored(store, manifest, whole)


@pytest.mark.parametrize("stored", ["arrays", "folder"], indirect=True)
def test_a_folder_with_a_file_more_less_or_renamed_is_noticed(stored):
    store, manifest, files = stored
    whole = {path: path.read_bytes() for path in files}
    for harm in (
        (files[0].parent / "more").touch,
        files[0].unlink,
        lambda: files[0].rename(files[0].with_name("other")),
    ):
        harm()
        assert_noticed(store, manifest, "folder")
        restored(store, manifest, whole)


def test_a_file_where_a_folder_was_and_the_reverse_are_noticed(stored):
    store, manifest, _ = stored
    path = store.path(manifest.outputs[""])
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("a file")
    else:
        path.unlink()
        path.mkdir()

    with pytest.raises(DamagedArtifact):
        store.get(manifest.outputs[""])
    assert not store.check(manifest.outputs[""])


def test_swapped_values_are_both_noticed(store):
    one, other = store.put([1, 2]), store.put([3, 4])
    paths = [store.path(one), store.path(other)]
    assert one.size == other.size
    data = [p.read_bytes() for p in paths]
    for path, swapped in zip(paths, reversed(data), strict=True):
        path.write_bytes(swapped)

    for made in (one, other):
        with pytest.raises(DamagedArtifact, match="are not those that were written"):
            store.get(made)
    assert sorted(quarantined(store)) == sorted(p.name for p in paths)


def test_bytes_under_another_format_are_noticed(store):
    made = store.put([1, 2])
    posing = replace(made, format="table", suffix=".parquet")
    shutil.copy(store.path(made), store.path(posing))

    with pytest.raises(DamagedArtifact):
        store.get(posing)


def test_each_changed_byte_of_a_manifest_is_noticed(store):
    manifest = step(store, "a", [1, 2])
    path = store.manifest_path(manifest.key)
    whole = path.read_bytes()
    source = random.Random(2)
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << source.randrange(8)
        path.write_bytes(data)

        found = store.step(manifest.key)

        assert found is None, (
            f"byte {place}: {whole[place : place + 1]} to {data[place : place + 1]}"
        )
        assert not path.exists()
    assert len(quarantined(store)) == len(whole)


def test_a_manifest_cut_off_anywhere_is_noticed(store):
    manifest = step(store, "a", [1, 2])
    path = store.manifest_path(manifest.key)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert store.step(manifest.key) is None, length


def test_a_manifest_of_another_step_is_noticed(store):
    one, other = step(store, "a", 1), step(store, "b", 2)
    paths = [store.manifest_path(m.key) for m in (one, other)]
    shutil.copy(paths[1], paths[0])

    assert store.step(one.key) is None
    assert store.step(other.key) == other
    assert quarantined(store) == [paths[0].name]


def signed(body):
    return json.dumps({"sha256": digest(body), "step": body})


def foreign(store, **outputs):
    body = json.loads(step(store, "a", 1).to_json())["step"]
    return signed(body | outputs)


ELSEWHERE = {"digest": "../../../file", "format": "json", "size": 1, "suffix": ""}
FOREIGN = {
    "no JSON": "text",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "deep": "[" * 100_000,
    "no step": '{"sha256": ""}',
    "a list as step": signed([1]),
    "nothing in the step": signed({}),
    "no outputs": lambda store: foreign(store, outputs=None),
    "outputs in a list": lambda store: foreign(store, outputs=[1]),
    "an output that is a text": lambda store: foreign(store, outputs={"": "a"}),
    "an unknown field": lambda store: foreign(store, more=1),
    "a path as digest": lambda store: foreign(store, outputs={"": ELSEWHERE}),
    "a path as suffix": lambda store: foreign(
        store, outputs={"": ELSEWHERE | {"digest": "0" * 64, "suffix": "/../../../../file"}}
    ),
    "an unknown format": lambda store: foreign(
        store, outputs={"": ELSEWHERE | {"digest": "0" * 64, "format": "pickle"}}
    ),
    "a number as digest": lambda store: foreign(store, outputs={"": ELSEWHERE | {"digest": 1}}),
    "another key": lambda store: foreign(store, key="0" * 64),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_manifest_counts_as_absent(store, tmp_path, name):
    """Even one that carries the right digest of its own text."""
    text = FOREIGN[name]
    text = text if isinstance(text, str) else text(store)
    path = store.manifest_path(digest("a"))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    assert store.step(digest("a")) is None
    assert quarantined(store) == [path.name]
    assert list(store.steps()) == []


def test_a_manifest_whose_value_never_reached_the_disk_is_found_out(store):
    """What a power failure may leave: the manifest, and an empty file or none."""
    manifest = step(store, "a", "text")
    path = store.path(manifest.outputs[""])
    path.write_bytes(b"")

    assert not store.has(manifest.outputs[""])
    with pytest.raises(DamagedArtifact):
        store.get(manifest.outputs[""])
    assert verify(store).damaged == [f"value {path.name} (module:function)"]
    assert step(store, "a", "text").outputs == manifest.outputs
    assert verify(store).damaged == []


# -- every call to the disk fails once ----------------------------------------------------------


class Shim:
    """Lets the n-th call to the disk fail, in every way Python reaches it."""

    CALLS = (
        "open", "write", "rename", "replace", "fsync", "mkdir", "unlink", "rmdir", "stat", "lstat",
        "scandir", "sendfile", "chmod",
    )  # fmt: skip

    def __init__(self, monkeypatch, code):
        self.code, self.left, self.failed = code, 0, ""
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self.failing(name, getattr(os, name)))
        opened = self.failing("open", builtins.open, lambda file: File(file, self))
        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(builtins, "open", opened)
        connect = self.failing("connect", sqlite3.connect, lambda made: Database(made, self))
        monkeypatch.setattr(sqlite3, "connect", connect)

    def failing(self, name, real, wrap=lambda made: made):
        def call(*args, **kwargs):
            self.tick(name)
            return wrap(real(*args, **kwargs))

        return call

    def tick(self, name):
        """Count a call; raise if it is the one that fails."""
        self.left -= 1
        if self.left == 0:
            self.failed = name
            if name in ("connect", "execute"):
                raise sqlite3.OperationalError("disk I/O error")
            raise OSError(self.code, os.strerror(self.code))

    def fail_at(self, number):
        self.left, self.failed = number, ""

    def rest(self):
        self.left = 0


class File:
    """A file whose reads, writes and closing may fail."""

    def __init__(self, file, shim):
        self.file, self.shim = file, shim

    def __getattr__(self, name):
        found = getattr(self.file, name)
        return self.shim.failing(name, found) if name in ("read", "readinto", "write") else found

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __iter__(self):
        return iter(self.file)

    def close(self):
        self.file.close()
        self.shim.tick("close")


class Database:
    """A connection whose statements may fail."""

    def __init__(self, connection, shim):
        vars(self).update(connection=connection, shim=shim)

    def __getattr__(self, name):
        found = getattr(self.connection, name)
        return self.shim.failing("execute", found) if name.startswith("execute") else found

    def __setattr__(self, name, value):
        setattr(self.connection, name, value)


def put_json(store, tmp_path):
    step(store, "new", {"a": [1, 2]}, seconds=5)


def put_arrays(store, tmp_path):
    step(store, "new", {"a": np.arange(3)}, seconds=5)


def put_folder(store, tmp_path):
    step(store, "new", tmp_path / "source", seconds=5)


def put_file(store, tmp_path):
    step(store, "new", tmp_path / "source" / "a.txt", seconds=5)


def read_back(store, tmp_path):
    for manifest in store.steps():
        for made in manifest.outputs.values():
            store.get(made)


def notice_damage(store, tmp_path):
    store.step(digest("broken"))
    with pytest.raises(DamagedArtifact):
        store.get(Artifact("0" * 64, "json", 3, ".json"))


def reindex(store, tmp_path):
    Index(store).rebuild()
    Index(store).runs()


def open_again(store, tmp_path):
    Store(store.root)
    Store(tmp_path / "another")


def log_events(store, tmp_path):
    log = EventLog(store.root / "runs" / "r" / "events.jsonl")
    try:
        log({"kind": "a"})
    finally:
        log.close()


def collect_garbage(store, tmp_path):
    collect(store, find_garbage(store, []))


CLEANING = ("open", "stat", "lstat", "scandir", "unlink", "rmdir")
"""Where tidying up itself may fail; what is left then is swept by `assay gc`."""

OPERATIONS = [
    put_json, put_arrays, put_folder, put_file, read_back, notice_damage, reindex, open_again,
    log_events, collect_garbage,
]  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize(
    "code",
    [
        errno.EIO,
        pytest.param(errno.ENOSPC, marks=pytest.mark.slow),
        pytest.param(errno.EINTR, marks=pytest.mark.slow),
    ],
    ids=errno.errorcode.get,
)
@pytest.mark.parametrize("operate", OPERATIONS, ids=lambda f: f.__name__)
def test_every_call_to_the_disk_may_fail_once(monkeypatch, tmp_path, operate, code):
    """SQLite's method: the n-th call fails, for n = 1, 2, ... until the operation passes."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("text")
    shim = Shim(monkeypatch, code)
    for number in range(1, 500):
        root = tmp_path / f"{number}"
        store = Store(root)
        old = [step(store, "old", [1.5]), step(store, "older", {"x": np.arange(4.0)})]
        run = root / "runs" / "r"
        run.mkdir()
        run.joinpath("run.json").write_text(
            json.dumps({"run": "r", "study": "s", "status": "done", "started": 1.0})
        )
        trials = [{"steps": {"a": [{"key": m.key} for m in old]}}]
        run.joinpath("trials.json").write_text(json.dumps(trials))
        if operate is notice_damage:
            for path in (
                store.manifest_path(digest("broken")),
                root / "objects/00" / f"{'0' * 64}.json",
            ):
                path.parent.mkdir(exist_ok=True)
                path.write_text("not")
        if operate is collect_garbage:
            (root / "tmp" / "left").mkdir()
            (root / "tmp" / "left" / "file").touch()

        said = ""
        shim.fail_at(number)
        try:
            operate(store, tmp_path)
        except AssayError as error:
            said = str(error)
        finally:
            shim.rest()
        assert "\n" not in said

        if shim.failed not in (*CLEANING, ""):
            assert [*(root / "tmp").glob(".*"), *(root / "tmp").glob("?" * 32)] == []
        after = Store(root)
        for manifest in old:  # nothing that was there has suffered
            assert after.step(manifest.key) == manifest
            assert after.check(manifest.outputs[""])
        new = after.step(digest("new"))
        assert new is None or all(map(after.check, new.outputs.values()))
        damage = verify(after)
        assert damage.damaged in ([], [f"manifest {digest('broken')}.json"])
        collect(after, find_garbage(after, []))
        assert [*(root / "tmp").iterdir()] == []
        operate(Store(root), tmp_path)  # and the next attempt succeeds
        if not shim.failed:
            break
    else:
        pytest.fail("the operation never passed")
    assert number >= 4, "the shim reached nothing"


FILLED = """
import resource, signal, sys
import numpy as np
from assay.core.store import Store, StepManifest
from assay.errors import StoreError
import pandas, pyarrow, pyarrow.parquet, xarray, h5netcdf

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(sys.argv[1])
numbers = np.random.default_rng(0).random(100_000)
values = {
    "json": list(numbers), "arrays": numbers, "table": pandas.DataFrame({"x": numbers}),
    "netcdf": xarray.Dataset({"x": ("t", numbers)}),
    "records": None, "file": None, "folder": None,
}
from assay.core.records import Records
from pathlib import Path
records = Records({"measure": "m", "value": float(x), "unit": "1"} for x in numbers)
source = Path(sys.argv[2])
values["records"], values["file"], values["folder"] = records, source / "big.bin", source
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name, value in values.items():
    try:
        store.put(value)
    except StoreError as error:
        print(name, "|", error)
"""


@pytest.mark.faults
def test_a_full_disk_is_told_in_one_line_and_harms_nothing(tmp_path):
    """A real limit on the size of files, in a process of its own."""
    root = tmp_path / "store"
    old = step(Store(root), "old", {"x": np.arange(5.0)})
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "big.bin").write_bytes(bytes(50_000))
    before = content(root)

    said = subprocess.run(
        [sys.executable, "-c", FILLED, str(root), str(tmp_path / "source")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "json", "arrays", "table", "netcdf", "records", "file", "folder",
    ]  # fmt: skip
    for line in lines:
        assert "a write was refused (" in line
        assert "MiB are free" in line
        assert "assay gc" in line
    assert content(root) == before
    assert Store(root).check(old.outputs[""])


def test_a_refused_flush_is_told_and_tried_again(store, monkeypatch):
    synced = []

    def refuse(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(module, "make_durable", refuse)
        with pytest.raises(StoreError, match="Input/output error"):
            step(store, "a", 1, seconds=2)
    monkeypatch.setattr(module, "make_durable", synced.append)
    store.flush()

    manifest = store.step(digest("a"))
    assert {store.manifest_path(manifest.key), store.path(manifest.outputs[""])} <= {*synced}


def test_a_long_step_is_durable_at_once_and_short_ones_in_batches(store, monkeypatch):
    synced = []
    monkeypatch.setattr(module, "make_durable", synced.append)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 1000)

    short = step(store, "short", {"x": np.zeros(2)}, seconds=999)
    assert synced == []
    long = step(store, "long", 2, seconds=1001)

    folder = store.path(short.outputs[""])
    assert {folder, folder / "0.npy", folder.parent} <= {*synced}
    assert {store.manifest_path(m.key) for m in (short, long)} <= {*synced}
    files, folders = [p for p in synced if p.is_file()], [p for p in synced if p.is_dir()]
    assert synced == files + folders  # contents before the names that lead to them


def test_a_batch_is_due_after_a_while(store, monkeypatch):
    synced = []
    monkeypatch.setattr(module, "make_durable", synced.append)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0)

    step(store, "a", 1)

    assert synced


# -- text files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [True, False])
def test_a_text_is_replaced_in_one_step(tmp_path, monkeypatch, sync):
    path = tmp_path / "a.txt"
    write_text(path, "old", sync=sync)

    def refuse(*args):
        assert path.read_text() == "old"
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StoreError):
        write_text(path, "new", sync=sync)

    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


# -- a model ------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
) | st.builds(lambda n: np.arange(float(n)), st.integers(0, 5))
names = st.sampled_from("abcdefgh")


class Model(RuleBasedStateMachine):
    """A store beside a dict: whatever is done in whatever order, both say the same."""

    artifacts = Bundle("artifacts")

    def __init__(self):
        super().__init__()
        import tempfile

        self.root = Path(tempfile.mkdtemp(prefix="assay-model-"))
        self.store = Store(self.root)
        self.steps: dict[str, tuple[StepManifest, object]] = {}
        self.rooted: set[str] = set()

    def teardown(self):
        shutil.rmtree(self.root)

    @initialize()
    def begin(self):
        self.runs = 0

    @rule(target=artifacts, value=values)
    def put(self, value):
        made = self.store.put(value)
        assert repr(self.store.get(made)) == repr(value)
        return made, repr(value)

    @rule(pair=artifacts, name=names, keep=st.booleans())
    def commit(self, pair, name, keep):
        made, said = pair
        if not self.store.has(made):
            return
        manifest = StepManifest(
            digest(name), "m:f", "0" * 64, {"n": name}, {}, {"": made}, keep=keep
        )
        self.store.commit(manifest)
        self.steps[name] = manifest, said

    @rule(name=names, harm=st.sampled_from(["flip", "cut", "remove", "foreign"]))
    def damage_value(self, name, harm):
        if name not in self.steps:
            return
        made, _ = self.steps[name][0].outputs[""], None
        path = self.store.path(made)
        file = path / "value.json" if path.is_dir() else path
        if not file.is_file():
            return
        data = file.read_bytes()
        if harm == "remove":
            file.unlink()
        else:
            changed = {"flip": bytes([data[0] ^ 1]) + data[1:], "cut": data[:-1], "foreign": b"1"}
            if changed[harm] == data:
                return
            file.write_bytes(changed[harm])
        assert not self.store.check(made)
        assert not path.exists()

    @rule(name=names)
    def damage_manifest(self, name):
        path = self.store.manifest_path(digest(name))
        if path.exists():
            path.write_bytes(path.read_bytes()[:-2])
            assert self.store.step(digest(name)) is None
            del self.steps[name]

    @rule(chosen=st.sets(names))
    def run(self, chosen):
        """A run refers to the steps that are finished now."""
        members = [{"key": digest(name)} for name in chosen if name in self.steps]
        folder = self.root / "runs" / f"r{self.runs}"
        folder.mkdir()
        self.runs += 1
        head = {"run": folder.name, "study": "s", "status": "done", "started": float(self.runs)}
        (folder / "run.json").write_text(json.dumps(head))
        (folder / "trials.json").write_text(json.dumps([{"steps": {"s": members}}]))
        self.rooted |= {name for name in chosen if name in self.steps}

    @rule()
    def gc(self):
        collect(self.store, find_garbage(self.store, []))
        self.steps = {n: pair for n, pair in self.steps.items() if n in self.rooted}
        kept = {self.store.path(m.outputs[""]).name for m, _ in self.steps.values() if m.keep}
        assert {p.name for p in self.root.glob("objects/*/*")} <= kept

    @rule()
    def reindex(self):
        assert Index(self.store).rebuild() == (self.runs, len(self.steps))

    @rule()
    def reopen(self):
        self.store.flush()
        self.store = Store(self.root)

    @invariant()
    def both_say_the_same(self):
        assert {m.key for m in self.store.steps()} == {digest(n) for n in self.steps}
        for name, (manifest, said) in self.steps.items():
            assert self.store.step(digest(name)) == manifest
            made = manifest.outputs[""]
            if self.store.has(made):
                assert repr(self.store.get(made)) == said

    @invariant()
    def nothing_is_left_half_written(self):
        assert not [*(self.root / "tmp").iterdir()]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
