"""`assay tour`, over invented systems alone."""

import json

import pytest

from assay.app import tour
from assay.core.system import System, find_system

LOST = System("lost", "Lost", "Nobody", {"s": "no_such_module:s"}, "s", extra="vision")


@pytest.fixture
def installed(shell, monkeypatch):
    """Decide which systems are installed."""

    def install(*systems):
        monkeypatch.setattr(tour, "systems", lambda: {s.name: s for s in systems})

    install(find_system("coins"))
    return install


def test_a_tour_runs_the_main_studies_at_tiny_and_makes_one_page(shell, installed):
    code, out, _ = shell("tour", "--workers", "0")

    page = shell.folder / "store" / "tour.html"
    assert code == 0
    assert f"all on one page: {page}" in out
    assert "A bent coin shows more heads" in out
    assert "coins" in page.read_text(encoding="utf-8")


def test_committed_results_stand_beside_those_of_the_tour(shell, installed):
    results = shell.folder / "site" / "coins" / "results"
    results.mkdir()
    kept = {"claims": [{"id": "H1", "verdict": "undecided"}], "checks": []}
    (results / "tosses.small.json").write_text(json.dumps(kept))

    code, found = shell.json("tour", "--workers", "0")

    assert code == 0
    entry = found["systems"][0]
    assert (entry["system"], entry["study"], entry["small"]) == ("coins", "tosses", kept)
    assert entry["tiny"]["preset"] == "tiny"
    assert "undecided" in (shell.folder / "store" / "tour.html").read_text(encoding="utf-8")


def test_a_system_that_cannot_be_loaded_is_told_and_the_others_are_visited(shell, installed):
    installed(LOST, find_system("coins"))

    code, out, err = shell("tour", "--workers", "0")

    assert code == 1
    assert "assay: lost: no module 'no_such_module'" in err
    assert "A bent coin shows more heads" in out


def test_nothing_to_visit_makes_no_page(shell, installed):
    installed(LOST)

    code, found = shell.json("tour")

    assert code == 1
    assert (found["systems"], list(found["left_out"]), found["report"]) == ([], ["lost"], "")
    assert not (shell.folder / "store").exists()


def test_a_failing_trial_gives_exit_code_one(shell, installed):
    coins = find_system("coins")
    installed(System("coins", coins.title, coins.citation, coins.studies, "tired"))

    assert shell("tour", "--workers", "0")[0] == 1
