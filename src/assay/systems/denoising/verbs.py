"""``assay fill``: put words where a text has masks."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def fill(
    model: Annotated[Path, typer.Argument(help="Folder of a trained BART.")],
    text: Annotated[str, typer.Argument(help="A text with <mask> where something is missing.")],
    beams: Annotated[int, typer.Option(min=1, max=64, help="Completions searched for.")] = 5,
    equal_length: Annotated[
        bool, typer.Option("--equal-length", help="One token for each mask.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value.")] = False,
) -> None:
    """Fill the masks of a text, the most probable completion first."""
    import json

    from assay.systems.denoising.checkpoints import load_bart
    from assay.systems.denoising.filling import fill_masks

    loaded = load_bart(model)
    found = fill_masks(
        loaded.model, loaded.tokenizer, [text], beams=beams, free_length=not equal_length
    )[0]
    if as_json:
        typer.echo(json.dumps([completion._asdict() for completion in found]))
        return
    for completion in found:
        fills = " | ".join(completion.fills)
        typer.echo(f"{completion.probability:8.2g}  {fills or 'nothing'}")
        typer.echo(f"          {' '.join(completion.text.split())}")
