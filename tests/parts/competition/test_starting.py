"""A new challenge works as it stands; a folder that holds anything is left alone."""

from datetime import UTC, datetime

import pytest

from assay.errors import DataError, StoreError, UsageError
from assay.parts.competition.challenge import read_challenge
from assay.parts.competition.scoring import score
from assay.parts.competition.starting import init
from assay.parts.competition.submission import check

OPENS = datetime(2031, 5, 1, tzinfo=UTC)


def names(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


@pytest.mark.parametrize("empty", [False, True])
def test_a_new_challenge_works(tmp_path, empty):
    if empty:
        (tmp_path / "new").mkdir()
    folder = init(tmp_path / "new", "needle_counts", opens=OPENS)
    assert names(folder) == [
        "README.md",
        "challenge.yaml",
        "public/examples.csv",
        "submissions/example/counts.csv",
        "submissions/example/manifest.json",
        "truth/counts.csv",
    ]
    challenge = read_challenge(folder)
    assert (challenge.name, challenge.phases[0].opens) == ("needle_counts", OPENS)
    assert challenge.phases[0].closes > OPENS
    checked = check(challenge, folder / "submissions" / "example", phase="final")
    assert checked.problems == ()
    found = score(challenge, folder / "truth", checked)
    assert found.reasons == ()
    assert found.overall.value.tolist() == pytest.approx([8 / 6, 2 / 6])
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_every_file_speaks_of_the_challenge(tmp_path):
    for name in names(init(tmp_path / "new", "needle_counts")):
        assert "$" not in (tmp_path / "new" / name).read_text()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / ".kept").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        init(tmp_path / "old", "new")
    with pytest.raises(UsageError, match="is no folder"):
        init(tmp_path / "old" / ".kept", "new")
    assert names(tmp_path) == ["old/.kept"]


@pytest.mark.parametrize("name", ["", "Needle", "a b", "x: y", "a\nb"])
def test_a_name_that_is_refused_leaves_nothing(tmp_path, name):
    with pytest.raises(DataError):
        init(tmp_path / "new", name)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_leaves_nothing(tmp_path, monkeypatch):
    from pathlib import Path

    write, written = Path.write_text, []

    def third_fails(self, *args, **kwargs):
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", third_fails)
    with pytest.raises(StoreError, match="No space left"):
        init(tmp_path / "new", "new")
    assert list(tmp_path.iterdir()) == []
