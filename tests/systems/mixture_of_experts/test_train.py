"""Training, measuring, timing and choosing: the path from kinds of text to a speed-up."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from assay.errors import DataError, ParameterError, StepError
from assay.parts.text.stories import story
from assay.parts.text.tokenizer import load_tokenizer
from assay.parts.text.tokens import document_rows
from assay.systems.mixture_of_experts import costs
from assay.systems.mixture_of_experts.choices import Choice, Choices, story_choices
from assay.systems.mixture_of_experts.data import (
    kind_tokens,
    open_kinds,
    shared_tokenizer,
    text_kinds,
    training_rows,
)
from assay.systems.mixture_of_experts.evaluate import perplexities, speed_ups
from assay.systems.mixture_of_experts.folders import load_decoder
from assay.systems.mixture_of_experts.health import MEASURES, router_health
from assay.systems.mixture_of_experts.likelihood import row_nats
from assay.systems.mixture_of_experts.model import new_decoder
from assay.systems.mixture_of_experts.priming import prime, questions_of, tokens_of
from assay.systems.mixture_of_experts.timing import training_seconds
from assay.systems.mixture_of_experts.train import pretrain, rows_to_a_multiple_of
from assay.systems.mixture_of_experts.upcycling import upcycle

SMALL = {"width": 16, "layers": 2, "heads": 2, "length": 32, "batch": 4, "seed": 3}
STEPS = 8
BUDGET = {"budget_tokens": STEPS * SMALL["length"] * SMALL["batch"]}
SPARSE = {"experts": 4}


@pytest.fixture(scope="module")
def kinds(step, tmp_path_factory):
    """Tokens and tokenizer of two kinds trained on and one held out."""
    mine = tmp_path_factory.mktemp("mine")
    for name, seed in (("tales", 1), ("legends", 2), ("reports", 3)):
        (mine / name).mkdir()
        for k in range(40):
            (mine / name / f"{k}.txt").write_text(story(seed, k).text)
    texts = step("texts", text_kinds, path=mine, held_out=["reports"])
    tokenizer = step("tokenizer", shared_tokenizer, texts, vocabulary=400)
    return step("tokens", kind_tokens, texts, tokenizer, validation_share=0.2).tokens, tokenizer


@pytest.fixture(scope="module")
def trained(step, kinds):
    """A dense decoder and its sparse twin."""
    return [
        step(name, pretrain, *kinds, **SMALL, **BUDGET, **more)
        for name, more in (("dense", {}), ("sparse", SPARSE))
    ]


def values(records, measure, **keys):
    rows = [row for row in records if row["measure"] == measure]
    return [r["value"] for r in rows if all(r[k] == v for k, v in keys.items())]


# -- training -----------------------------------------------------------------------------------


def test_a_trained_folder_loads_with_the_auto_class_and_says_what_it_is(trained):
    for made, family in zip(trained, ("dense", "sparse"), strict=True):
        model = AutoModelForCausalLM.from_pretrained(made.model, local_files_only=True)
        [row] = made.costs.to_dict("records")
        assert (row["family"], row["steps"]) == (family, STEPS)
        assert values(made.records, "parameters") == [model.num_parameters()]
        assert {r["model"] for r in made.records} == {row["model"]}
    assert [made.costs["model"].item() for made in trained] == ["dense-16", "sparse-16x4"]


def test_the_costs_are_those_of_the_shape_and_the_tokens(trained):
    for made, experts in zip(trained, (0, 4), strict=True):
        shape = costs.Shape(
            layers=2, width=16, inner=64, heads=2, vocabulary=400, length=32, experts=experts
        )
        flops = costs.training_flops(shape, BUDGET["budget_tokens"])
        assert made.costs["flops"].item() == flops
        assert values(made.records, "training_flops") == [flops]
        assert values(made.records, "active_parameters") == [costs.active_parameters(shape)]
    dense, sparse = (made.costs["actual_flops"].item() for made in trained)
    assert dense < trained[0].costs["flops"].item()  # nothing is computed twice
    assert sparse > dense


@pytest.mark.parametrize(("experts", "precision", "multiple"),
                         [(4, "fp32", 1), (4, "bf16", 64), (32, "bf16", 32)])  # fmt: skip
def test_rows_that_fill_up_an_expert_are_those_of_the_precision_of_training(
    experts, precision, multiple
):
    net = new_decoder(vocabulary=30, width=8, layers=2, heads=1, positions=8, experts=experts)

    assert net.dtype == torch.float32
    assert rows_to_a_multiple_of(net, experts, precision) == multiple


def test_an_equal_seed_gives_equal_bits_and_another_does_not(step, kinds, trained):
    again = step("again", pretrain, *kinds, **SMALL, **BUDGET, **SPARSE)
    other = step("other", pretrain, *kinds, **SMALL | {"seed": 4}, **BUDGET, **SPARSE)
    weights = [(made.model / "model.safetensors").read_bytes() for made in (trained[1], again)]

    assert again.records == trained[1].records
    assert weights[0] == weights[1]
    assert values(other.records, "training_loss") != values(again.records, "training_loss")


def test_the_routers_of_a_sparse_model_are_looked_at_and_a_dense_one_has_none(trained):
    dense, sparse = (made.records for made in trained)
    for measure in MEASURES.values():
        assert not values(dense, measure)
        assert len(values(sparse, measure, layer=1)) == STEPS + 1
    entropy = values(sparse, "gate_entropy", training_step=0)
    assert 0 < entropy[0] <= np.log(4) + 1e-6
    assert all(load >= 1 for load in values(sparse, "max_load"))


def test_training_goes_on_from_a_folder_in_its_own_shape(step, kinds, trained):
    made = step("on", pretrain, *kinds, start=trained[1].model, **SMALL | {"width": 64}, **BUDGET)
    before, after = (values(each.records, "training_loss") for each in (trained[1], made))

    assert made.costs["model"].item() == "sparse-16x4"
    assert after[0] < before[0]


def test_experts_without_a_layer_for_them_are_refused_before_training(step, kinds):
    with pytest.raises(ParameterError, match="leaves all 2 layers dense; expected 1 to 2"):
        step("none mixed", pretrain, *kinds, **SMALL, **BUDGET, **SPARSE, expert_every=3)


def test_longer_rows_than_a_decoder_reads_are_refused(step, kinds, trained):
    longer = SMALL | {"length": 40}
    with pytest.raises(DataError, match="rows of 40 tokens for a model of 32 positions"):
        step("longer", pretrain, *kinds, start=trained[0].model, **longer, **BUDGET)
    for name, look in (("longer seen", perplexities), ("longer read", router_health)):
        with pytest.raises(DataError, match="rows of 40 tokens for a model of 32 positions"):
            step(name, look, trained[1].model, kinds[0], rows=2, length=40)


def test_a_kind_shorter_than_a_row_is_named(kinds):
    with pytest.raises(DataError, match=r"text kind legends: the corpus has [\d,]+ tokens, a row"):
        training_rows(kinds[0], 1_000_000)


def test_a_tokenizer_that_numbers_tokens_otherwise_is_refused(step, kinds, trained, tmp_path):
    words = load_tokenizer(kinds[1])
    theirs = tmp_path / "theirs"
    words.save_pretrained(theirs)
    vocabulary = words.get_vocab()
    one, other = (next(t for t, n in vocabulary.items() if n == k) for k in (300, 301))
    file = theirs / "tokenizer.json"
    made = json.loads(file.read_text())
    made["model"]["vocab"] |= {one: 301, other: 300}
    file.write_text(json.dumps(made))

    with pytest.raises(DataError, match=r"is 30[01] and was 30[01]. Use the tokenizer the model"):
        step("otherwise", pretrain, kinds[0], theirs, start=trained[0].model, **SMALL, **BUDGET)


def test_a_model_without_a_tokenizer_says_where_one_belongs(step, trained, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(trained[0].model, bare, ignore=shutil.ignore_patterns("tokenizer*"))

    with pytest.raises(
        DataError, match=r"the model to begin with: has no tokenizer.*tokenizer\.of"
    ):
        step("none there", shared_tokenizer, tmp_path, bare)
    with pytest.raises(DataError, match=f"{bare}: holds no tokenizer"):
        step("none named", shared_tokenizer, tmp_path, of=bare)


def test_a_gpt2_made_sparse_is_trained_on_with_its_own_tokenizer(step, kinds, tmp_path):
    theirs = tmp_path / "gpt2"
    words = AutoTokenizer.from_pretrained(kinds[1], local_files_only=True)
    json_of_it = tmp_path / "tokenizer.json"
    words.backend_tokenizer.save(str(json_of_it))
    bare = PreTrainedTokenizerFast(tokenizer_file=str(json_of_it), bos_token="</s>",
                                   eos_token="</s>")  # fmt: skip
    bare.save_pretrained(theirs)
    config = GPT2Config(vocab_size=400, n_positions=32, n_embd=16, n_layer=2, n_head=2,
                        bos_token_id=2, eos_token_id=2)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(theirs)

    start = step("made sparse", upcycle, start=theirs, experts=4, seed=1)
    tokenizer = step("theirs", shared_tokenizer, tmp_path, of=start)
    made = step("trained on", pretrain, kinds[0], tokenizer, start=start, **SMALL, **BUDGET)
    found = step("measured on", perplexities, made.model, kinds[0], rows=3, length=32)
    health = step("health on", router_health, made.model, kinds[0], rows=2, length=32)

    assert made.costs["model"].item() == "sparse-16x4"
    losses = values(made.records, "training_loss")
    assert losses[-1] < losses[0]
    assert all(np.isfinite(values(found.records, "perplexity")))
    assert not health.examples.empty
    task = story_choices(name="questions", train=1, test=3, seed=4)  # options beyond position 32
    assert len(values(step("chosen", prime, made.model, task, seed=1), "correct")) == 3
    assert AutoTokenizer.from_pretrained(made.model, local_files_only=True).pad_token is None


# -- measuring ----------------------------------------------------------------------------------


def test_a_perplexity_is_that_of_transformers_row_by_row(step, kinds, trained):
    found = step("measured", perplexities, trained[1].model, kinds[0], rows=5, length=32)
    model = AutoModelForCausalLM.from_pretrained(trained[1].model, local_files_only=True).eval()
    for kind in open_kinds(kinds[0]):
        index = document_rows(kind.validation, 31)
        chosen = np.unique(np.linspace(0, len(index) - 1, 5).astype(int))
        nats = tokens = 0.0
        for row in chosen:
            part = index.take([row])
            content = torch.from_numpy(part.ids[0, : part.lengths[0]].astype(np.int64))
            ids = torch.cat([torch.zeros(1, dtype=torch.int64), content])[None]
            with torch.inference_mode():
                logits = model(ids).logits[0, :-1].log_softmax(-1)
            nats -= float(logits.gather(1, ids[0, 1:, None]).sum())
            tokens += len(content)
        [perplexity] = values(found.records, "perplexity", text_kind=kind.name)
        assert perplexity == pytest.approx(np.exp(nats / tokens), rel=1e-5)
        table = found.documents[found.documents["text_kind"] == kind.name]
        assert table["tokens"].sum() == tokens
        assert table["document"].is_unique
    domains = dict(zip(found.documents["text_kind"], found.documents["domain"], strict=True))
    assert domains == {"tales": "in", "legends": "in", "reports": "out"}
    assert values(found.records, "batch_difference")[0] < 1e-5


def measured(perplexity, kinds=("tales",)):
    """Documents of one model whose every token has this perplexity."""
    rows = [
        {"text_kind": kind, "domain": "in" if kind == "tales" else "out", "document": k,
         "nats": 10 * np.log(perplexity), "tokens": 10}
        for kind in kinds for k in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def paid(*rows):
    names = [f"{family}-{k}" for k, (family, _) in enumerate(rows)]
    tables = [
        pd.DataFrame([{"model": name, "family": family, "flops": cost, "actual_flops": 2 * cost}])
        for name, (family, cost) in zip(names, rows, strict=True)
    ]
    seconds = pd.DataFrame({"model": names, "seconds": [3.0 * cost for _, cost in rows]})
    return tables, seconds


def test_the_speed_up_is_that_of_the_worked_example_in_every_cost():
    costs_of, seconds = paid(("dense", 1.0), ("dense", 4.0), ("sparse", 1.0))
    documents = [measured(p) for p in (6.0, 4.0, 5.0)]
    found = speed_ups(documents, costs_of, seconds, resamples=20, seed=1)

    assert values(found.records, "speed_up") == pytest.approx([2.0] * 3)
    assert values(found.records, "log2_speed_up") == pytest.approx([1.0] * 3)
    assert values(found.records, "levels_outside_range") == [2.0] * 3
    assert {*found.table["cost"]} == {"flops", "actual_flops", "seconds"}
    assert found.table["reason"].tolist() == ["outside range", "", "outside range"] * 3
    assert not values(found.records, "in_domain_advantage")


def test_the_advantage_is_that_of_kinds_trained_on_over_kinds_held_out():
    costs_of, seconds = paid(("dense", 1.0), ("dense", 4.0), ("sparse", 1.0))
    both = [
        pd.concat([measured(p), measured(q, kinds=("far",))])
        for p, q in ((6.0, 6.0), (4.0, 4.0), (5.0, 6.0))
    ]
    found = speed_ups(both, costs_of, seconds, resamples=20, seed=1)

    assert values(found.records, "log2_speed_up", cost="flops") == pytest.approx([1.0, 0.0])
    assert values(found.records, "in_domain_advantage", cost="flops") == pytest.approx([1.0])


def test_one_family_alone_has_no_speed_up():
    costs_of, seconds = paid(("dense", 1.0), ("dense", 4.0))
    with pytest.raises(DataError, match="only models that are dense"):
        speed_ups([measured(6.0), measured(4.0)], costs_of, seconds, resamples=20, seed=1)


def test_seconds_are_those_of_a_step_times_the_steps(step, kinds, trained):
    models, rows = [made.model for made in trained], [made.costs for made in trained]
    double = [row.assign(**{k: 1000 * row[k] for k in ("steps", "flops")}) for row in rows]
    found, longer = (
        step(name, training_seconds, models, given, kinds[0], length=32, batch=4, steps=3)
        for name, given in (("timed", rows), ("timed longer", double))
    )

    assert found.table["model"].tolist() == ["dense-16", "sparse-16x4"]
    assert (found.table["seconds"] > 0).all()
    assert (longer.table["seconds"] > 20 * found.table["seconds"]).all()
    assert values(found.records, "training_seconds") == found.table["seconds"].tolist()


@pytest.mark.parametrize("other", [{"length": 16, "batch": 4}, {"length": 32, "batch": 8}])
def test_steps_unlike_those_of_training_are_not_timed(step, kinds, trained, other):
    given = [made.model for made in trained], [made.costs for made in trained], kinds[0]

    with pytest.raises(DataError, match=r"dense-16: steps of \d rows of \d+ tokens, which are not"):
        step(f"other steps {other}", training_seconds, *given, **other, steps=2)


def test_models_of_one_name_are_not_compared():
    costs_of, seconds = paid(("dense", 1.0), ("dense", 4.0), ("sparse", 1.0))
    alike = [row.assign(model=row["family"]) for row in costs_of]

    with pytest.raises(DataError, match="two models are called dense"):
        speed_ups([measured(p) for p in (6.0, 4.0, 5.0)], alike, seconds, resamples=20, seed=1)


def test_a_model_that_says_nothing_finite_has_no_perplexity(kinds, trained):
    net = load_decoder(trained[0].model)
    rows = document_rows(open_kinds(kinds[0])[0].validation, 31).take([0, 1])
    assert np.isfinite(row_nats(net, rows)).all()
    with torch.no_grad():
        net.decoder.norm.bias.fill_(3e38)  # logits overflow, in every row

    with pytest.raises(StepError, match="2 of 2 rows is not a finite number"):
        row_nats(net, rows)
    net.config.bos_token_id = None
    with pytest.raises(DataError, match="without bos_token_id"):
        row_nats(net, rows)


def test_a_gate_that_gives_no_number_is_told_with_step_and_layer(step, kinds, trained, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(trained[1].model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["decoder.layers.0.feed_forward.up.weight"].fill_(3e38)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})

    told = r"training step 0: mixture of layer 1: the gate gives logits that are not finite to"
    with pytest.raises(StepError, match=f"{told}.*Lower the rate"):
        step("broken", pretrain, *kinds, start=broken, **SMALL, **BUDGET)
    with pytest.raises(StepError, match=r"^mixture of layer 1: the gate.*weights are damaged"):
        step("broken seen", perplexities, broken, kinds[0], rows=2, length=32)


def test_what_the_experts_read_adds_up(step, kinds, trained):
    found = step("health", router_health, trained[1].model, kinds[0], rows=4, length=32)
    for kind in ("tales", "legends", "reports"):
        assert sum(values(found.records, "expert_share", text_kind=kind)) == pytest.approx(1.0)
    assert found.examples["share"].sum() == pytest.approx(1.0)
    assert 0 <= values(found.records, "kind_divergence")[0] <= np.log(3)
    words = load_tokenizer(kinds[1])
    texts = [words.decode(kind.validation.ids) for kind in open_kinds(kinds[0])]
    whole = " ".join(" ".join(texts).split())
    for row in found.examples.itertuples():
        assert (row.share == 0) == (row.reads == "")
        for shown in row.reads.split(" | ") if row.share else ():
            assert re.search(r"\[[^ ]+\]", shown)
            assert re.sub(r"[\[\]␣]", "", shown) in whole  # but for the brackets as it stands there
    none = step("no health", router_health, trained[0].model, kinds[0], rows=4, length=32)
    assert none.examples.empty
    assert not len(none.records)


# -- choosing -----------------------------------------------------------------------------------


@pytest.fixture
def words(kinds):
    return load_tokenizer(kinds[1])


def test_a_line_break_is_the_end_of_a_text(words):
    ids = tokens_of(words, "Anna baked\nbread")
    assert ids == [*tokens_of(words, "Anna baked"), words.eos_token_id, *tokens_of(words, "bread")]


def test_what_options_share_is_the_prefix_and_demonstrations_stand_in_front(words):
    task = Choices("t", "mean", [], [])
    choice, shown = Choice("A b", ["c d", "c e"], 1), Choice("X y", ["z", "w"], 0)
    [question], cut = questions_of(words, task, choice, [shown], 200)
    whole = [*question.prefix, *question.options[1]]

    assert not cut
    assert words.decode(whole[1:]) == "X y z</s>A b c e"
    assert whole[0] == words.bos_token_id
    assert all(len(option) for option in question.options)
    assert question.options[0][0] != question.options[1][0]


def test_an_unconditional_score_is_of_the_same_options_after_nothing(words):
    task = Choices("t", "unconditional", [], [])
    given, nothing = questions_of(words, task, Choice("A b", ["c", "e"], 0), [], 200).questions
    assert given.options == nothing.options
    assert words.decode(nothing.prefix[1:]) == "Answer:"


def test_what_options_share_is_read_before_them_after_nothing_too(words):
    task = Choices("t", "unconditional", [], [])
    options = ["the house", "the river"]
    asked, _ = questions_of(words, task, Choice("A b", options, 0), [], 200)
    for question, before in zip(asked, ("A b", "Answer:"), strict=True):
        whole = [words.decode([*question.prefix[1:], *option]) for option in question.options]
        assert whole == [f"{before} {option}" for option in options]


def test_a_suffix_is_scored_after_each_option(words):
    task = Choices("t", "suffix", [], [])
    asked, _ = questions_of(words, task, Choice("So _ ran home.", ["Ann", "Ben"], 0), [], 200)
    assert [words.decode(q.prefix[1:]) for q in asked] == ["So Ann", "So Ben"]
    assert [words.decode(q.options[0]) for q in asked] == [" ran home."] * 2


@pytest.mark.parametrize("scoring", ["mean", "unconditional", "suffix"])
def test_a_long_prompt_loses_its_beginning_and_no_option_a_token(words, scoring):
    task = Choices("t", scoring, [], [])
    choice = Choice("so " * 50 + "_ it ended", ["well enough", "badly enough"], 0)
    [first, *_], cut = questions_of(words, task, choice, [], 24)
    whole, _ = questions_of(words, task, choice, [], 500)

    assert cut
    assert first.options == whole[0].options
    assert len(first.prefix) + max(map(len, first.options)) == 24
    assert first.prefix[1:] == whole[0].prefix[-len(first.prefix) + 1 :]
    with pytest.raises(DataError, match="an option of"):
        questions_of(words, task, choice, [], 4)


def test_a_model_picks_what_it_finds_likeliest(step, trained, words):
    task = story_choices(name="endings", train=3, test=6, seed=4)
    short = [Choice(c.prompt[-40:], [o[:30] for o in c.options], c.answer) for c in task.test]
    task = Choices("short", "mean", [], short)
    found = step("primed", prime, trained[1].model, task, seed=1)
    model = AutoModelForCausalLM.from_pretrained(trained[1].model, local_files_only=True).eval()
    right = []
    for choice in short:
        [question], _ = questions_of(words, task, choice, [], 32)
        means = []
        for option in question.options:
            ids = torch.tensor([[*question.prefix, *option]])
            with torch.inference_mode():
                logs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            means.append(float(logs[-len(option) :].mean()))
        right.append(float(np.argmax(means) == choice.answer))

    assert values(found, "correct") == right
    assert values(found, "accuracy") == pytest.approx([np.mean(right)])


def test_demonstrations_are_drawn_anew_in_every_run_and_never_more_than_there_are(step, trained):
    task = story_choices(name="questions", train=3, test=2, seed=4)
    with pytest.raises(ParameterError, match="4 demonstrations of 3"):
        step("too many", prime, trained[1].model, task, shots=4, seed=1)
    found = step("two runs", prime, trained[1].model, task, shots=1, runs=2, seed=1)
    assert {*values(found, "correct")} <= {0.0, 0.5, 1.0}
    assert values(found, "cut_prompts", shots=1) == [1.0]
