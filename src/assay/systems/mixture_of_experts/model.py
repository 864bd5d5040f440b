"""The decoder that is compared, dense or sparse: two models of one skeleton.

A Transformer as GPT has it: LayerNorm before attention and feed-forward, GELU, biases, one matrix
for the embedding and the output. In the sparse model every n-th feed-forward layer is a mixture of
experts; everything else is the same. It is a model of transformers: it loads with the Auto classes
once this module is imported, generates, and keeps its keys and values.

Notable in this file: padding is not routed, so it takes no place of an expert and no part in the
load-balancing loss, and that loss counts whenever a loss is asked for, not on request only.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import MoeCausalLMOutputWithPast, MoeModelOutputWithPast

from assay.errors import DataError, ParameterError
from assay.parts.training.losses import Loss, token_loss
from assay.parts.training.torch_state import seeded
from assay.systems.mixture_of_experts.configuration import (
    SparseDecoderConfig,
    require_sound,
    shape_of,
)
from assay.systems.mixture_of_experts.layer import Mixture
from assay.systems.mixture_of_experts.routing import Routing

__all__ = [
    "SparseDecoderConfig",
    "SparseDecoderForCausalLM",
    "SparseDecoderModel",
    "mixtures",
    "new_decoder",
    "routings",
    "shape_of",
    "training_loss",
]

FIRST_POSITION = 2
"""Number of the first sinusoidal position in fairseq, whose dense models are to run here."""


# -- layers -------------------------------------------------------------------------------------


class _Tokens(nn.Embedding):
    """Embeddings times a number, which their output as a head does without."""

    def __init__(self, config: SparseDecoderConfig) -> None:
        super().__init__(config.vocab_size, config.hidden_size)
        self.scale = math.sqrt(config.hidden_size) if config.scale_embedding else 1.0

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.scale


class _Attention(nn.Module):
    """Attention with many heads, queries, keys and values from one matrix."""

    def __init__(self, config: SparseDecoderConfig, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.layer = config.num_attention_heads, layer
        self.dropout = config.attention_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor | None, past: Any) -> Tensor:
        """Every token looks at what ``seen`` shows it; at those up to itself if not given."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            key, value = past.update(key, value, self.layer)
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=seen,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=seen is None and query.shape[2] > 1,
        )  # fmt: skip
        return self.out(found.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    """Two matrices and what is between them."""

    def __init__(self, config: SparseDecoderConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACT2FN[config.activation_function]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


class _Layer(nn.Module):
    """Attention, then a feed-forward layer or a mixture of them, each added to what came in."""

    def __init__(self, config: SparseDecoderConfig, layer: int) -> None:
        super().__init__()
        width, self.dropout = config.hidden_size, config.dropout
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.attention = _Attention(config, layer)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.feed_forward: nn.Module
        if config.is_mixture(layer):
            self.feed_forward = Mixture(
                width, config.intermediate_size, config.experts, config.policy(),
                activation=config.activation_function, layer=layer,
            )  # fmt: skip
        else:
            self.feed_forward = _FeedForward(config)

    def forward(self, x: Tensor, seen: Tensor | None, past: Any, routed: Tensor | None) -> Tensor:
        found = self.attention(self.attention_norm(x), seen, past)
        x = x + F.dropout(found, self.dropout, self.training)
        given = (routed,) if isinstance(self.feed_forward, Mixture) else ()
        found = self.feed_forward(self.norm(x), *given)
        return x + F.dropout(found, self.dropout, self.training)


# -- models -------------------------------------------------------------------------------------


class _Pretrained(PreTrainedModel):
    """What both models share: their configuration and how weights begin."""

    config_class = SparseDecoderConfig
    base_model_prefix = "decoder"
    main_input_name = "input_ids"
    _no_split_modules = ["_Layer"]  # noqa: RUF012 - as transformers has them
    _keep_in_fp32_modules_strict = ["gate"]  # noqa: RUF012
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Normal weights and no biases; a scaled embedding comes out with a variance of 1."""
        spread = self.config.initializer_range
        if isinstance(module, _Tokens) and self.config.scale_embedding:
            init.normal_(module.weight, mean=0.0, std=1 / module.scale)
        elif isinstance(module, Mixture):
            for parameter in module.parameters(recurse=False):
                if parameter.ndim > 2:  # each expert has numbers of its own
                    init.normal_(parameter, mean=0.0, std=spread)
                else:
                    init.zeros_(parameter)
        else:
            super()._init_weights(module)


class SparseDecoderModel(_Pretrained):
    """A decoder without its output.

    Args:
        config: What it is built from.

    Raises:
        ParameterError: If it is not sound, see `configuration.require_sound`.
    """

    def __init__(self, config: SparseDecoderConfig) -> None:
        super().__init__(config)
        require_sound(config)
        width = config.hidden_size
        self.tokens = _Tokens(config)
        if config.position_embedding_type == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.layers = nn.ModuleList(_Layer(config, k) for k in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the tokens."""
        return self.tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Take another embedding of the tokens."""
        self.tokens = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "#rows length"] | None = None,
        past_key_values: Any = None,
        inputs_embeds: Float[Tensor, "rows length width"] | None = None,
        use_cache: bool | None = None,
        **ignored: Any,
    ) -> MoeModelOutputWithPast:
        """Hidden states.

        Args:
            input_ids: Tokens.
            attention_mask: ``[rows, seen]``, 0 where a token, of those before or of these, is
                padding: nothing sees it and no expert gets it. Or ``[rows, 1, length, seen]``,
                True where a token sees another, or what is added to its score; then all are routed.
            position_ids: Places of the tokens in the text; those after the tokens before if not
                given.
            past_key_values: Keys and values of the tokens before.
            inputs_embeds: Embeddings (scaled, without positions) in place of tokens.
            use_cache: Whether to give back keys and values; as the configuration says if not given,
                except in training.
            ignored: What other models take and this one has no use for.

        Raises:
            DataError: If a row is longer than the table of learned positions.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ParameterError("no tokens", accepted="input_ids or inputs_embeds, one of them")
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = self.config.use_cache and not self.training if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        before = 0 if past_key_values is None else past_key_values.get_seq_length()
        if position_ids is None:
            position_ids = torch.arange(before, before + x.shape[1], device=x.device)[None]
        seen = create_causal_mask(
            config=self.config, inputs_embeds=x, attention_mask=attention_mask,
            past_key_values=past_key_values, position_ids=position_ids,
        )  # fmt: skip
        routed = None
        if attention_mask is not None and attention_mask.ndim == 2:
            routed = attention_mask[:, -x.shape[1] :] != 0
        x = x + self._places(position_ids).to(x.dtype)
        x = F.dropout(x, self.config.dropout, self.training)
        for layer in self.layers:
            x = layer(x, seen, past_key_values, routed)
        return MoeModelOutputWithPast(
            last_hidden_state=self.norm(x),
            past_key_values=past_key_values if use_cache else None,
        )

    def _places(self, position_ids: Tensor) -> Tensor:
        """What is added to the embeddings ``[rows, length, width]``."""
        if self.config.position_embedding_type == "sinusoidal":
            return _sinusoids(position_ids + FIRST_POSITION, self.config.hidden_size)
        last, limit = int(position_ids.max()), self.config.max_position_embeddings
        if last >= limit:
            raise DataError(
                f"a row of {last + 1} tokens",
                accepted=f"no more than the {limit} learned positions",
            )
        return self.positions(position_ids)


def _sinusoids(places: Int[Tensor, "rows length"], width: int) -> Float[Tensor, "rows length w"]:
    """Sines and then cosines of places, at wavelengths from 2 pi to 20000 pi, as in fairseq."""
    half = width // 2
    step = math.log(10000) / max(half - 1, 1)
    rates = torch.exp(torch.arange(half, dtype=torch.float32, device=places.device) * -step)
    angles = places[..., None].float() * rates
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, width % 2))


class SparseDecoderForCausalLM(_Pretrained, GenerationMixin):
    """A decoder with its output, whose matrix is that of the embedding.

    Args:
        config: What it is built from.
    """

    _tied_weights_keys = {"lm_head.weight": "decoder.tokens.weight"}  # noqa: RUF012

    def __init__(self, config: SparseDecoderConfig) -> None:
        super().__init__(config)
        self.decoder = SparseDecoderModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Int[Tensor, "rows length"] | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **other: Any,
    ) -> MoeCausalLMOutputWithPast:
        """Logits of the next tokens, and a loss.

        Args:
            input_ids: As the next four, see `SparseDecoderModel.forward`.
            attention_mask: The same.
            position_ids: The same.
            past_key_values: The same.
            inputs_embeds: The same.
            labels: The tokens again, -100 where one is not to be predicted; they are shifted here.
            use_cache: See there.
            logits_to_keep: Compute the logits of so many last tokens, or of these places; of all
                if 0.
            other: ``num_items_in_batch``, by which the sum of the losses is divided instead.

        Returns:
            ``logits``; of a sparse model the ``aux_loss``, the sum of the load-balancing losses of
            its mixtures; and with labels the ``loss``, the mean cross-entropy plus
            ``balance_weight`` times ``aux_loss``, in training and evaluation alike.
        """
        found = self.decoder(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
            past_key_values=past_key_values, inputs_embeds=inputs_embeds, use_cache=use_cache,
        )  # fmt: skip
        hidden, kept = found.last_hidden_state, logits_to_keep
        logits = self.lm_head(hidden[:, slice(-kept, None) if isinstance(kept, int) else kept])
        balance = _balance_loss(self)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, **other)
            if balance is not None:
                loss = loss + self.config.balance_weight * balance
        return MoeCausalLMOutputWithPast(
            loss=loss, aux_loss=balance, logits=logits, past_key_values=found.past_key_values
        )  # type: ignore[arg-type]


def mixtures(model: nn.Module) -> list[Mixture]:
    """The mixtures of a decoder, in the order of its layers."""
    return [module for module in model.modules() if isinstance(module, Mixture)]


def routings(model: nn.Module) -> dict[int, Routing]:
    """What each mixture did with the tokens of the last pass, by the number of its layer."""
    return {m.layer: m.last for m in mixtures(model) if m.last is not None}


def _balance_loss(model: nn.Module) -> Tensor | None:
    """Sum of the load-balancing losses of the last pass; none of a dense model."""
    losses = [routing.balance_loss for routing in routings(model).values()]
    return torch.stack(losses).sum() if losses else None


def training_loss(model: SparseDecoderForCausalLM, batch: Mapping[str, Tensor]) -> Loss:
    """What training minimises: sum over tokens of cross-entropy, and what balances the experts.

    total = sum of cross-entropies + balance weight x tokens x sum over mixtures of their losses,
    where tokens are those that are predicted. The others read padding or stand before it; they are
    not routed.

    Args:
        model: The decoder.
        batch: ``ids`` ``[rows, length]``, the first of which are given and the others predicted.
    """
    ids = batch["ids"].to(model.device)
    read, wanted = ids[:, :-1], ids[:, 1:]
    pad = model.config.pad_token_id
    predicted = torch.ones_like(wanted, dtype=torch.bool) if pad is None else wanted != pad
    found = model.decoder(input_ids=read, attention_mask=predicted, use_cache=False)
    targets = wanted.masked_fill(~predicted, -100)
    total, count = token_loss(found.last_hidden_state, model.lm_head.weight, targets)
    balance = _balance_loss(model)
    if balance is not None:
        total = total + model.config.balance_weight * count * balance
    return Loss(total, count)


# -- new models ---------------------------------------------------------------------------------


def new_decoder(
    *, vocabulary: int, width: int, layers: int, heads: int, positions: int, seed: int = 0,
    **more: Any,
) -> SparseDecoderForCausalLM:  # fmt: skip
    """A decoder with random weights, feed-forward layers four times as wide as it is.

    Args:
        vocabulary: Entries of the tokenizer.
        width: Width of the hidden states.
        layers: Layers.
        heads: Attention heads.
        positions: Longest row.
        seed: Of the weights; the random numbers of the caller are left as they are.
        more: Other fields of the configuration, such as ``experts``.
    """
    config = SparseDecoderConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=4 * width, max_position_embeddings=positions,
        **more,
    )  # fmt: skip
    with seeded(seed):
        return SparseDecoderForCausalLM(config)


AutoModel.register(SparseDecoderConfig, SparseDecoderModel, exist_ok=True)
AutoModelForCausalLM.register(SparseDecoderConfig, SparseDecoderForCausalLM, exist_ok=True)
