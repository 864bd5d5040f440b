"""Recordings as a challenge, and predictions as submissions that are accepted."""

import json
from datetime import UTC, datetime

import pytest

from assay.errors import DataError, UsageError
from assay.parts.competition.challenge import read_challenge
from assay.parts.competition.failures import worst_frames
from assay.parts.competition.lint import lint
from assay.parts.competition.reporting import challenge_report
from assay.parts.competition.submission import check
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.data import simulated_surgery
from assay.systems.surgical_skill.events import DROPS, OUT_OF_VIEW
from assay.systems.surgical_skill.handing_in import case_name, hand_in, write_challenge
from assay.systems.surgical_skill.video import read_frames

OPENS, CLOSES = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def surgery():
    return simulated_surgery(train_cases=1, test_cases=4, seconds=3.0, missing_share=0.0, seed=5)


@pytest.fixture
def made(surgery, tmp_path):
    folder = tmp_path / "challenge"
    cases = write_challenge(surgery, folder, name="own", opens=OPENS, closes=CLOSES)
    return folder, cases


def perfect(folder, cases, entry="known", drop=False):
    """An entry that knows everything; or one that found nothing in the first case."""
    boxes = {one.case: one.boxes for one in cases}
    if drop:
        boxes[cases[0].case] = Boxes.of()
    counts = {one.case: (one.metrics[DROPS], one.metrics[OUT_OF_VIEW]) for one in cases}
    return hand_in(folder, entry, team=entry, method="m", boxes=boxes, counts=counts)


def test_the_challenge_is_sound_and_participants_get_its_videos(made):
    folder, cases = made
    challenge = read_challenge(folder)

    assert challenge.every_case == tuple(case_name(one.case) for one in cases)
    assert {one.code for one in lint(challenge, folder)} == {"few_objects", "per_video_average"}
    assert sorted(p.stem for p in (folder / "public").iterdir()) == sorted(challenge.every_case)


def test_what_is_handed_in_is_accepted_and_who_knows_everything_is_first(made, tmp_path):
    folder, cases = made
    known = perfect(folder, cases)
    perfect(folder, cases, "worse", drop=True)
    assert check(read_challenge(folder), known).problems == ()

    run = challenge_report(folder, "final", folder / "submissions").run(
        store=tmp_path / "store", workers=0, progress=False
    )
    board = run.load("judged.board")
    assert board["entry"].tolist() == ["known", "worse"]
    assert board["place"].tolist() == [1, 2]
    assert {one.entry for one in run.load("judged.failures")} == {"worse"}


def test_failures_are_the_frames_with_most_missed_and_come_with_their_pictures(made, surgery):
    folder, cases = made
    worse = perfect(folder, cases, "worse", drop=True)
    failures = worst_frames(
        read_challenge(folder), folder / "truth", worse, folder / "public", "final"
    )

    first = cases[0]
    there = {n: int((first.boxes.image == n).sum()) for n in set(first.boxes.image.tolist())}
    assert {one.case for one in failures} == {case_name(first.case)}
    assert [one.missed for one in failures] == sorted(there.values(), reverse=True)
    worst = failures[0]
    assert len(worst.truth) == worst.missed
    assert len(worst.found) == worst.invented == 0
    assert (worst.picture == read_frames(first.video_1fps)[worst.frame]).all()


def test_without_pictures_failures_are_told_all_the_same(made, tmp_path):
    folder, cases = made
    worse = perfect(folder, cases, "worse", drop=True)
    (tmp_path / "empty").mkdir()
    for public in (tmp_path / "empty", None):
        failures = worst_frames(read_challenge(folder), folder / "truth", worse, public, "final")
        assert failures
        assert all(len(one.picture) == 0 for one in failures)


def test_counts_are_whole_numbers_within_the_range(made):
    folder, cases = made
    counts = {one.case: (-1.0, 99.4) for one in cases}
    boxes = {one.case: one.boxes for one in cases}
    place = hand_in(folder, "odd", team="t", method="m", boxes=boxes, counts=counts)
    rows = (place / "counts.csv").read_text().splitlines()
    assert rows[1] == f"{case_name(cases[0].case)},0,50"
    assert check(read_challenge(folder), place).problems == ()
    assert json.loads((place / "manifest.json").read_text()) == {"team": "t", "method": "m"}


def test_what_is_there_is_not_written_over_and_nothing_is_left_of_a_refusal(surgery, tmp_path):
    folder = tmp_path / "c"
    with pytest.raises(DataError, match="opens"):
        write_challenge(surgery, folder, name="own", opens=datetime(2030, 1, 1), closes=CLOSES)  # noqa: DTZ001
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    with pytest.raises(UsageError, match="is there already"):
        write_challenge(surgery, folder, name="own", opens=OPENS, closes=CLOSES)
