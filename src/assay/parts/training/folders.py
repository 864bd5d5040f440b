"""Folders of trained models in Hugging Face layout: configuration, safetensors, tokenizer, card.

What is saved here loads with the Auto classes of transformers, and what others saved loads here:
from local files only, without code from the folder, and with every weight accounted for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError
from assay.parts.text.documents import whole_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["load_pretrained", "quiet", "read_config", "require_kind", "save_pretrained"]

CONFIG, CARD = "config.json", "README.md"


def save_pretrained(
    folder: Path,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast | None",
    card: Mapping[str, Any],
    *,
    auto: str,
) -> None:
    """Write a model, its tokenizer and its card; the folder is whole or not one.

    Args:
        folder: Where to; made if it is not there.
        model: The model.
        tokenizer: Its tokenizer, unless it is kept elsewhere.
        card: What people should know, such as ``title``, ``data``, ``tokens``, ``noise``,
            ``seed``, ``metrics`` and ``licence``; a value may be a mapping itself.
        auto: The class of transformers that loads it, such as ``AutoModelForCausalLM``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder, CONFIG) as unfinished:
        with quiet():
            model.save_pretrained(unfinished)
        if tokenizer is not None:
            tokenizer.save_pretrained(unfinished)
        (unfinished / CARD).write_text(_card(model, card, auto), encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model, as it is written.

    Raises:
        DataError: If there is none, or it is not an object in JSON.
    """
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"no configuration of a model ({_first_line(error)})",
            where=str(file),
            accepted="a folder in Hugging Face layout",
        ) from error
    if not isinstance(config, dict):
        raise DataError("not an object in JSON", where=str(file))
    return config


def load_pretrained(kind: Any, folder: Path) -> Any:
    """Load a class of transformers from local files, refusing what it would make up or run."""
    import torch

    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise DataError(
            "no weights", where=str(folder), accepted="model.safetensors or pytorch_model.bin"
        )
    try:
        with quiet():
            model, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, in words of ours
            )
    except Exception as error:  # whatever a library makes of a damaged or foreign folder
        raise DataError(
            f"the weights cannot be loaded ({_first_line(error)})",
            where=str(folder),
            accepted="whole files of plain tensors that fit config.json",
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise DataError(
            f"{len(missing)} weights are missing, the first is {missing[0]}",
            where=str(folder),
            next="Fetch the files again, or correct config.json.",
        )
    if apart := sorted(found["mismatched_keys"]):
        name, kept, wanted = apart[0]
        raise DataError(
            f"the weights {name} are {list(kept)}, config.json says {list(wanted)}",
            where=str(folder),
            next="Correct config.json, or fetch the files again.",
        )
    return model.eval()


def require_kind(folder: Path, kinds: Iterable[str]) -> str:
    """The ``model_type`` of a folder.

    Raises:
        DataError: If it is none of those accepted.
    """
    kind = read_config(folder).get("model_type")
    if kind not in (accepted := list(kinds)):
        raise DataError(
            f"holds a model of type {kind!r}",
            where=str(folder / CONFIG),
            accepted=" or ".join(f"{each!r}" for each in accepted),
        )
    return kind


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars and reports of transformers: what is wrong is raised here."""
    import logging as levels

    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(levels.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


# -- the card -----------------------------------------------------------------------------------


def _card(model: "PreTrainedModel", card: Mapping[str, Any], auto: str) -> str:
    """A model card: front matter that hubs read, how to load it, and what people should know."""
    name, kind = type(model).__name__, model.config.model_type
    module = type(model).__module__
    own = f"import {module}  # makes the model known\n" if module.startswith("assay.") else ""
    lines = [
        "---",
        "library_name: transformers",
        f"tags: [{kind.replace('_', '-')}, assay]",
        "---",
        "",
        f"# {_flat(card.get('title', kind))}",
        "",
        f"A {name} with {model.num_parameters():,} parameters.",
        "",
        "```python",
        f"{own}from transformers import {auto}, AutoTokenizer",
        "",
        f'model = {auto}.from_pretrained("FOLDER")',
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        "```",
    ]
    for key, value in card.items():
        if key != "title":
            lines += ["", f"## {key.replace('_', ' ').capitalize()}", "", *_paragraph(value)]
    return "\n".join(lines) + "\n"


def _paragraph(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"- {key}: {_flat(each)}" for key, each in value.items()] or ["None."]
    return [_flat(value)]


def _flat(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_flat, value))
    return " ".join(str(value).split())
