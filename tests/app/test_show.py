"""`assay list` and `assay show`."""

import json

import yaml

from assay.core.files import study_from_dict
from assay.core.system import find_system

from .conftest import make_package  # noqa: TID252


def test_the_list_names_systems_studies_and_claims(shell):
    code, out, err = shell("list")

    assert (code, err) == (0, "")
    assert "coins  Coins, fair and bent" in out
    assert "tosses (main): Is a bent coin [fair/unfair] told apart? €" in out
    assert "H1  A bent coin shows more heads" in out
    assert "climate_impact" in out


def test_the_list_is_also_data(shell):
    _, found = shell.json("list")

    coins = next(s for s in found if s["system"] == "coins")
    assert (coins["main"], coins["citation"]) == ("tosses", "Nobody 1654")
    tosses = coins["studies"][0]
    assert tosses["name"] == "tosses"
    assert tosses["presets"] == ["tiny", "small"]
    assert tosses["claims"] == [{"id": "H1", "sentence": "A bent coin shows more heads"}]
    assert [c["id"] for c in tosses["checks"]] == ["K1"]


def test_a_study_that_does_not_load_costs_a_line_of_the_list(shell):
    init = (
        "from assay import System\n"
        "SYSTEM = System('broken', 'It breaks', 'Nobody', {'b': 'broken.study:b'}, 'b')\n"
    )
    files = {"__init__.py": init, "study.py": "raise ImportError('no such kernel')"}
    make_package(shell.folder / "site", "broken", files, "broken:SYSTEM")

    code, out, _ = shell("list")

    assert code == 0
    assert "b (main): broken: broken.study cannot be imported: no such kernel" in out
    assert "H1  A bent coin shows more heads" in out


def test_a_study_is_shown_with_all_that_can_be_set(shell):
    code, out, err = shell("show", "coins")

    assert (code, err) == (0, "")
    for said in (
        "other studies: tired, waiting",
        "Toss a coin.",
        "How often it is tossed",
        "Literal['euro', 'pound']",
        "varied by decision 'bias'",
        "0.5, 0.7 (toss.bias)",
        "A bent coin shows more heads (arithmetic)",
        "Under a second.",
        "seeds: 8; sampler: grid",
    ):
        assert said in out
    assert "toss.seed" not in out


def test_the_power_of_a_claim_is_shown(shell):
    _, out, _ = shell("show", "coins")

    power = find_system("coins").study().claims[0].power(8)
    assert f"H1 holds with a chance of {power:.0%} if its design is true" in out


def test_committed_results_are_what_to_expect(shell):
    results = shell.folder / "site" / "coins" / "results"
    results.mkdir()
    claim = {"id": "H1", "verdict": "holds", "effect": 0.2, "effect_unit": "1"}
    check = {"id": "K1", "passed": True}
    (results / "tosses.small.json").write_text(json.dumps({"claims": [claim], "checks": [check]}))

    out = shell("show", "coins")[1]

    expected = out.partition("Expect (results at small)\n")[2].split()
    assert expected[:5] == ["H1", "holds", "0.2", "K1", "passes"]


def test_a_study_is_shown_as_a_file_that_is_the_same_study(shell):
    code, text, _ = shell("show", "coins", "--yaml")
    again = study_from_dict(yaml.safe_load(text))

    original = find_system("coins").study()
    assert code == 0
    assert again.claims == original.claims
    assert again.decisions == original.decisions
    assert again.presets == original.presets


def test_a_study_is_shown_as_data(shell):
    _, found = shell.json("show", "coins", "tired")

    assert found["name"] == "tired"
    assert found["decisions"] == {"count": {"sweep": "toss.count", "values": [50, 6000]}}


def test_a_file_is_shown_too(shell):
    (shell.folder / "mine.yaml").write_text(shell("show", "coins", "--yaml")[1], encoding="utf-8")

    code, out, _ = shell("show", "mine.yaml")

    assert code == 0
    assert out.lstrip().startswith("tosses: Is a bent coin")
