"""A trained dense decoder becomes a sparse one: its feed-forward layers are copied to every expert.

Where the weights of a token's experts add up to 1, as those of its two best do, and all of its
experts are alike, the mixture is the layer it was made from. So the sparse model begins where the
dense one stopped, in evaluation exactly; in training an expert that is full drops tokens.

Dense models come from folders of this system, of GPT-2 and of XGLM, in whose form fairseq's dense
language models are passed on. They are rewritten without a change of what they compute.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PositiveInt

from assay.core.component import Folder, Seed, component
from assay.core.task import task
from assay.errors import DataError, ParameterError
from assay.parts.training.folders import CONFIG, load_pretrained, require_kind
from assay.systems.mixture_of_experts.folders import KIND, load_decoder, save_decoder

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

__all__ = ["ACCEPTED", "from_dense", "sparse_copy", "tokenizer_in", "upcycle"]

ACCEPTED = (KIND, "gpt2", "xglm")
"""Values of ``model_type`` that a dense decoder can have."""
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")


@component(version="1", requires=("torch", "transformers"))
def upcycle(
    dense: Path | None = None,
    *,
    start: Folder | None = None,
    experts: Annotated[int, Field(ge=2, le=4096)] = 8,
    expert_every: PositiveInt = 2,
    capacity_factor: Annotated[float, Field(gt=0)] | None = 1.0,
    balance_weight: Annotated[float, Field(ge=0)] = 0.01,
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0,
    seed: Seed,
) -> Path:
    """Make a sparse decoder of a dense one, each token going to its two best experts.

    Args:
        dense: Folder of the dense model.
        start: The same, if it is not made by another step.
        experts: Experts of each mixture layer.
        expert_every: Every n-th layer becomes a mixture.
        capacity_factor: Places of an expert in training over its fair share; None for no limit.
        balance_weight: Weight of the load-balancing loss.
        noise: Share of the weights of each expert that are drawn anew, see `sparse_copy`.
        seed: Seed of the routers and of the noise.
    """
    folder = start if dense is None else dense
    if folder is None or (dense and start):
        raise ParameterError(
            "no dense model" if folder is None else "two dense models",
            accepted="the folder of one, from another step or as start",
        )
    model = sparse_copy(
        from_dense(folder), experts=experts, expert_every=expert_every, noise=noise, seed=seed,
        capacity_factor=capacity_factor, balance_weight=balance_weight,
    )  # fmt: skip
    card = {"made from": folder.name, "noise": noise, "seed": seed}
    save_decoder(task().scratch() / "model", model, tokenizer_in(folder), card)
    return task().scratch() / "model"


def tokenizer_in(folder: Path) -> "PreTrainedTokenizerFast | None":
    """The tokenizer beside a model, if there is one."""
    from assay.parts.text.tokenizer import FILES, load_tokenizer

    kept = any((folder / name).is_file() for name in FILES)
    return load_tokenizer(folder, needs=()) if kept else None


def sparse_copy(
    dense: "SparseDecoderForCausalLM", *, experts: int, expert_every: int = 2, noise: float = 0.0,
    seed: int = 0, **routing: Any,
) -> "SparseDecoderForCausalLM":  # fmt: skip
    """A sparse model that computes what a dense one does.

    Args:
        dense: The dense model; it stays as it is.
        experts: Experts of each mixture layer.
        expert_every: Every n-th layer becomes a mixture.
        noise: Share of the weights of each expert, chosen at random, that are drawn anew from the
            normal distribution of their matrix. Without noise experts are alike and come apart
            through the tokens they get.
        seed: Of the routers and the noise; the random numbers of the caller are left as they are.
        routing: Other fields of the configuration.

    Raises:
        ParameterError: If no layer becomes a mixture.
    """
    import torch

    from assay.parts.training.torch_state import seeded
    from assay.systems.mixture_of_experts.configuration import SparseDecoderConfig
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM, mixtures

    given = {**dense.config.to_dict(), "experts": experts, "expert_every": expert_every}
    config = SparseDecoderConfig(**{**given, "choices": 2, **routing})
    with seeded(seed), torch.no_grad():
        model = SparseDecoderForCausalLM(config)
        if not mixtures(model):
            raise ParameterError(
                f"{experts} experts in every layer of {expert_every} leave all "
                f"{config.num_hidden_layers} layers dense",
                accepted="at least 2 experts, and no more layers between mixtures than there are",
            )
        given = dense.state_dict()
        for name, weight in model.state_dict().items():
            if name in given:
                weight.copy_(given[name])
        for mixture in mixtures(model):
            for part in ("up", "down"):
                place = f"decoder.layers.{mixture.layer}.feed_forward.{part}"
                _fill(getattr(mixture, part), given[f"{place}.weight"], noise)
                _fill(getattr(mixture, f"{part}_bias"), given[f"{place}.bias"])
    return model.eval()


def _fill(experts: "Tensor", weight: "Tensor", noise: float = 0.0) -> None:
    """Copy a weight to every expert, and draw a share of each copy anew."""
    import torch

    experts.copy_(weight.expand_as(experts))
    if noise:
        drawn = torch.rand_like(experts) < noise
        experts[drawn] = weight.mean() + weight.std() * torch.randn(int(drawn.sum()))


# -- dense models -------------------------------------------------------------------------------


def from_dense(folder: Path) -> "SparseDecoderForCausalLM":
    """Load a dense decoder in the form of this system; its logits are those it had.

    Args:
        folder: A folder in Hugging Face layout, of a type in `ACCEPTED`.

    Raises:
        DataError: If it holds another architecture, one that is sparse already, or one with what
            this decoder has no place for (an output that is not the embedding, other scales of
            attention, attention to an encoder).
    """
    kind = require_kind(folder, ACCEPTED)
    if kind == KIND:
        model = load_decoder(folder)
        if any(map(model.config.is_mixture, range(model.config.num_hidden_layers))):
            raise DataError("the model has experts already", where=str(folder), accepted="dense")
        return model
    import transformers

    if kind == "gpt2":
        return _rewritten(folder, transformers.GPT2LMHeadModel, _gpt2_fields, _gpt2_weights)
    return _rewritten(folder, transformers.XGLMForCausalLM, _xglm_fields, _xglm_weights)


def _rewritten(
    folder: Path,
    kind: Any,
    fields: Callable[[Any], dict[str, Any]],
    weights: Callable[[Mapping[str, "Tensor"], int], Iterator[tuple[str, "Tensor"]]],
) -> "SparseDecoderForCausalLM":
    """Load a class of transformers and put its weights where they belong."""
    from assay.systems.mixture_of_experts.configuration import SparseDecoderConfig
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

    found = load_pretrained(kind, folder)
    _require_plain(found.config, str(folder))
    config = SparseDecoderConfig(
        vocab_size=found.config.vocab_size,
        hidden_size=found.config.hidden_size,
        num_hidden_layers=found.config.num_hidden_layers,
        num_attention_heads=found.config.num_attention_heads,
        max_position_embeddings=found.config.max_position_embeddings,
        activation_function=found.config.activation_function,
        bos_token_id=found.config.bos_token_id,
        pad_token_id=found.config.pad_token_id,
        eos_token_id=found.config.eos_token_id,
        **fields(found.config),
    )
    try:
        model = SparseDecoderForCausalLM(config)
    except ParameterError as error:
        wrong = error.at(str(folder / CONFIG))
        raise DataError(wrong.what, where=wrong.where, accepted=wrong.accepted) from error
    state = found.base_model.state_dict()
    model.decoder.load_state_dict(dict(weights(state, config.num_hidden_layers)))
    return model.eval()


def _require_plain(config: Any, where: str) -> None:
    """Refuse what this decoder would compute otherwise, or not at all."""
    why = {
        "its output is not its embedding": not config.tie_word_embeddings,
        "it attends to an encoder": config.add_cross_attention,
        f"its activation is {config.activation_function}": (
            config.activation_function not in ACTIVATIONS
        ),
        "its attention is not scaled by the width of a head": not getattr(
            config, "scale_attn_weights", True
        ),
        "its attention is scaled by the number of the layer": getattr(
            config, "scale_attn_by_inverse_layer_idx", False
        ),
    }
    for what, holds in why.items():
        if holds:
            raise DataError(
                f"a {config.model_type} model that cannot be taken over: {what}", where=where
            )


def _gpt2_fields(config: Any) -> dict[str, Any]:
    return {
        "intermediate_size": config.n_inner or 4 * config.n_embd,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "position_embedding_type": "learned",
        "scale_embedding": False,
        "dropout": config.resid_pdrop,
        "attention_dropout": config.attn_pdrop,
        "initializer_range": config.initializer_range,
    }


def _gpt2_weights(state: Mapping[str, "Tensor"], layers: int) -> Iterator[tuple[str, "Tensor"]]:
    """Names and weights; matrices of GPT-2 lie the other way round."""
    yield "tokens.weight", state["wte.weight"]
    yield "positions.weight", state["wpe.weight"]
    pairs = {"ln_1": "attention_norm", "attn.c_attn": "attention.qkv", "ln_2": "norm"}
    pairs |= {"attn.c_proj": "attention.out"}
    pairs |= {"mlp.c_fc": "feed_forward.up", "mlp.c_proj": "feed_forward.down"}
    for k in range(layers):
        for theirs, ours in pairs.items():
            yield f"layers.{k}.{ours}.weight", state[f"h.{k}.{theirs}.weight"].t()
            yield f"layers.{k}.{ours}.bias", state[f"h.{k}.{theirs}.bias"]
    yield "norm.weight", state["ln_f.weight"]
    yield "norm.bias", state["ln_f.bias"]


def _xglm_fields(config: Any) -> dict[str, Any]:
    return {
        "intermediate_size": config.ffn_dim,
        "position_embedding_type": "sinusoidal",
        "scale_embedding": config.scale_embedding,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "initializer_range": config.init_std,
    }


def _xglm_weights(state: Mapping[str, "Tensor"], layers: int) -> Iterator[tuple[str, "Tensor"]]:
    """Names and weights; queries, keys and values of XGLM are matrices of their own."""
    import torch

    yield "tokens.weight", state["embed_tokens.weight"]
    pairs = {"self_attn_layer_norm": "attention_norm", "self_attn.out_proj": "attention.out"}
    pairs |= {"final_layer_norm": "norm", "fc1": "feed_forward.up", "fc2": "feed_forward.down"}
    for k in range(layers):
        for part in ("weight", "bias"):
            for theirs, ours in pairs.items():
                yield f"layers.{k}.{ours}.{part}", state[f"layers.{k}.{theirs}.{part}"]
            each = [state[f"layers.{k}.self_attn.{name}_proj.{part}"] for name in "qkv"]
            yield f"layers.{k}.attention.qkv.{part}", torch.cat(each)
    yield "norm.weight", state["layer_norm.weight"]
    yield "norm.bias", state["layer_norm.bias"]
