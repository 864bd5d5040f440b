"""`assay fill`: completions for people and for programs, and one line for what cannot be filled."""

import json

import pytest

from assay.app.cli import main
from assay.parts.text.documents import Document
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer
from assay.systems.denoising import filling
from assay.systems.denoising.checkpoints import save_model
from assay.systems.denoising.filling import Completion
from assay.systems.denoising.model import Size, new_model

TEXT = "The river rose and the bridge was closed. Nobody crossed the river."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of an untrained BART."""
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer([Document(TEXT * 3, (0,), "a")], 300, folder / "tokenizer")
    tokenizer = load_tokenizer(folder / "tokenizer")
    bart = new_model("bart", Size(1, 16, 2, 32), len(tokenizer), positions=64, seed=1)
    save_model(folder / "bart", bart, tokenizer, {})
    return folder / "bart"


def typed(capsys, *words):
    """What `assay` prints, and its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_completions_are_printed_the_likeliest_first(capsys, model):
    text = "The river <mask> and the bridge was closed."
    code, out, err = typed(capsys, "fill", model, text, "--beams", 3)
    _, data, _ = typed(capsys, "fill", model, text, "--beams", 3, "--json")

    found = json.loads(data)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 2 * len(found) == 6
    assert [sorted(each) for each in found] == [["fills", "probability", "text"]] * 3
    chances = [each["probability"] for each in found]
    assert chances == sorted(chances, reverse=True)
    assert [float(line.split()[0]) for line in out.splitlines()[::2]] == pytest.approx(
        chances, rel=0.1
    )


def test_masks_stand_for_any_number_of_tokens_unless_told(capsys, model, monkeypatch):
    asked = []

    def noting(model, tokenizer, texts, **values):
        asked.append(values)
        return [[Completion("a", ("b",), 0.5)]]

    monkeypatch.setattr(filling, "fill_masks", noting)
    typed(capsys, "fill", model, "a <mask>")
    typed(capsys, "fill", model, "a <mask>", "--equal-length", "--beams", 2)

    assert asked == [{"beams": 5, "free_length": True}, {"beams": 2, "free_length": False}]


@pytest.mark.parametrize(
    ("folder", "text", "said"),
    [
        ("bart", "no mask", "no mask to fill"),
        ("nowhere", "a <mask>", "no configuration of a model"),
    ],
)
def test_what_cannot_be_filled_is_told_in_one_line(capsys, model, folder, text, said):
    code, out, err = typed(capsys, "fill", model.parent / folder, text)

    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
