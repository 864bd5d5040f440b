"""Two-stream attention: what any token would be, given what its order lets it see, in one pass.

Yang et al. 2019 (XLNet), without relative positions and without memory of earlier segments. The
*content* stream of a position knows the token there, the *query* stream knows only the place:

* ``order`` gives each position a number, and a position sees those of equal or lower number;
* a query sees the same positions except its own, and its keys and values are of the content stream;
* both streams go through the same weights.

Full sight is ``order = 0``, left to right is ``0, 1, 2, ...``, a prefix is zeros before that. What
is predicted must be hidden from what it sees: last of its number, or a <mask> in the content.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

__all__ = ["TwoStreamConfig", "TwoStreamModel"]


class TwoStreamConfig(PreTrainedConfig):
    """What a two-stream model is built from; the names are those of transformers."""

    model_type = "assay_two_stream"

    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 14
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 1024
    dropout: float | int = 0.1
    attention_dropout: float | int = 0.0
    initializer_range: float = 0.02
    bos_token_id: int | None = 0
    pad_token_id: int | None = 1
    eos_token_id: int | None = 2
    tie_word_embeddings: bool = False  # the output takes the embedding itself, see `families`


class _Layer(nn.Module):
    """Attention to the content and feed-forward, each followed by LayerNorm, as in BART."""

    def __init__(self, config: TwoStreamConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.attention_dropout = config.attention_dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, content: Tensor, query: Tensor, seen: Tensor | None, seen_by_query: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both streams after a look at the content; without ``seen`` the content stays as it is."""
        known = self._split(self.key(content)), self._split(self.value(content))
        query = self._looked(query, known, seen_by_query)
        return (content if seen is None else self._looked(content, known, seen)), query

    def _looked(self, stream: Tensor, known: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        share = self.attention_dropout if self.training else 0.0
        query = self._split(self.query(stream))
        found = F.scaled_dot_product_attention(query, *known, attn_mask=seen, dropout_p=share)
        found = self.out(found.transpose(1, 2).flatten(2))
        stream = self.attention_norm(stream + F.dropout(found, self.dropout, self.training))
        found = self.down(F.gelu(self.up(stream)))
        return self.norm(stream + F.dropout(found, self.dropout, self.training))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TwoStreamModel(PreTrainedModel):
    """A Transformer of two streams.

    Args:
        config: What it is built from.
    """

    config_class = TwoStreamConfig
    base_model_prefix = "two_stream"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: TwoStreamConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.tokens = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.place = nn.Parameter(torch.empty(width))  # stands for the token that is not known
        self.embedding_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, TwoStreamModel):
            init.normal_(module.place, mean=0.0, std=self.config.initializer_range)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the tokens, whose matrix is also that of the output."""
        return self.tokens

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"],
        order: Int[Tensor, "rows length"] | None = None,
        predicted: Int[Tensor, "rows predictions"] | None = None,
        position_ids: Int[Tensor, "rows length"] | None = None,
        attention_mask: Int[Tensor, "rows length"] | None = None,
        **ignored: Any,
    ) -> BaseModelOutput:
        """Hidden states of the query stream.

        Args:
            input_ids: Tokens, the content.
            order: A position sees those whose number is not above its own; all 0 (full sight) if
                left out. Padding may have the highest number, so that nothing sees it.
            predicted: Positions to predict in each row; all of them if left out.
            position_ids: Places of the tokens in the text; 0, 1, 2, ... if left out.
            attention_mask: 0 where there is padding, which nothing sees then.
            ignored: What other models take and this one has no use for.

        Returns:
            ``last_hidden_state``, ``[rows, predictions, width]``. A query that sees nothing gets
            nothing from attention.
        """
        every = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        order = torch.zeros_like(input_ids) if order is None else order
        predicted = every if predicted is None else predicted
        places = self.positions(every if position_ids is None else position_ids)
        seen = order[:, None, :] <= order[:, :, None]
        if attention_mask is not None:
            seen = seen & (attention_mask != 0)[:, None, :]
        seen_by_query = _at(seen, predicted) & (predicted[..., None] != every[:, None, :])
        content = self._embedded(self.tokens(input_ids) + places)
        query = self._embedded(self.place + _at(places, predicted))
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            sight = None if number == last else seen[:, None]  # nobody reads the last content
            content, query = layer(content, query, sight, seen_by_query[:, None])
        return BaseModelOutput(last_hidden_state=query)  # type: ignore[arg-type]

    def _embedded(
        self, x: Float[Tensor, "rows length width"]
    ) -> Float[Tensor, "rows length width"]:
        return F.dropout(self.embedding_norm(x), self.config.dropout, self.training)


def _at(values: Tensor, positions: Int[Tensor, "rows predictions"]) -> Tensor:
    """Rows of ``values`` (``[rows, length, n]``) at some positions, ``[rows, predictions, n]``."""
    return values.gather(1, positions[..., None].expand(-1, -1, values.shape[-1]))


AutoConfig.register(TwoStreamConfig.model_type, TwoStreamConfig, exist_ok=True)
AutoModel.register(TwoStreamConfig, TwoStreamModel, exist_ok=True)
