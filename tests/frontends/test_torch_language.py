"""Hugging Face configurations: which class, which inputs, which phase."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from estimator.errors import BadOptionError, ModelFileError, UnknownModelError
from estimator.frontends.select import load_graph
from estimator.ir.op import OpKind

pytestmark = pytest.mark.extra

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000,
    "max_position_embeddings": 2048,
}  # fmt: skip
LLAMA_LAYER = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 96 + 2 * 64  # q, k and v (2 of 4 heads), o, mlp, norms
LLAMA_PARAMS = 2 * LLAMA_LAYER + 2 * 1000 * 64 + 64  # embedding and head are not tied


def config(tmp_path: Path, **fields: object) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(fields))
    return f"transformers:{path}"


def test_prefill_reads_the_prompt_and_leaves_a_cache(tmp_path: Path):
    graph = load_graph(config(tmp_path, **LLAMA), seq_len=48)
    assert graph.params == LLAMA_PARAMS
    assert graph.tensors["input_ids"].shape == (1, 48)
    logits, *cache = (graph.tensors[name].shape for name in graph.outputs)
    assert logits == (1, 48, 1000)
    assert cache == [(1, 2, 48, 16)] * 4  # key and value of two layers, two heads of 64 / 4
    assert graph.unknown_ops == ()


def test_a_decode_step_reads_one_token_and_the_cache(tmp_path: Path):
    graph = load_graph(config(tmp_path, **LLAMA) + "?phase=decode", seq_len=48, batch=3)
    shapes = [graph.tensors[name].shape for name in graph.inputs]
    assert shapes == [(3, 1)] + [(3, 2, 48, 16)] * 4
    assert graph.tensors[graph.outputs[0]].shape == (3, 1, 1000)
    attention = [op for op in graph.ops if op.kind is OpKind.ATTENTION]
    assert [graph.inputs_of(op)[1].shape[-2] for op in attention] == [49, 49]  # the cache and the new token


def test_an_encoder_has_no_cache(tmp_path: Path):
    bert = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 64, "vocab_size": 50}  # fmt: skip
    graph = load_graph(config(tmp_path, **bert), seq_len=16)
    assert graph.tensors[graph.outputs[0]].shape == (1, 16, 32)
    with pytest.raises(BadOptionError, match="no causal language model"):
        load_graph(config(tmp_path, **bert) + "?phase=decode")
    with pytest.raises(BadOptionError, match="--seq-len"):
        load_graph(config(tmp_path, **bert), seq_len=513)  # the position table has 512
    assert load_graph(config(tmp_path, **bert), seq_len=16, input_shapes=["2x16"]).batch == 2
    with pytest.raises(BadOptionError, match="contradict"):
        load_graph(config(tmp_path, **bert), seq_len=16, input_shapes=["2x32"])


def test_a_model_without_tokens_takes_no_sequence_length(tmp_path: Path):
    vit = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
           "intermediate_size": 64, "image_size": 32}  # fmt: skip
    with pytest.raises(BadOptionError, match="takes no --seq-len"):
        load_graph(config(tmp_path, **vit), seq_len=16)


def test_a_recurrent_language_model_decodes_from_its_state(tmp_path: Path):
    mamba = {"model_type": "mamba", "architectures": ["MambaForCausalLM"], "hidden_size": 32, "num_hidden_layers": 1,
             "vocab_size": 50, "state_size": 8}  # fmt: skip
    graph = load_graph(config(tmp_path, **mamba) + "?phase=decode", seq_len=16)
    assert graph.tensors["input_ids"].shape == (1, 1)
    assert (1, 2 * 32, 8) in {graph.tensors[name].shape for name in graph.inputs}  # [batch, inner, state]
    assert graph.unknown_ops == ()


def test_masks_read_by_value_do_not_need_real_weights(tmp_path: Path):
    bart = {
        "model_type": "bart",
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "vocab_size": 50,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    }
    graph = load_graph(config(tmp_path, **bart), seq_len=16)  # fmt: skip
    assert [graph.tensors[name].shape for name in graph.inputs] == [(1, 16), (1, 16)]
    assert graph.notes == ()


def test_text_and_image_towers_take_both(tmp_path: Path):
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    clip = {"model_type": "clip", "text_config": small, "vision_config": small | {"image_size": 64, "patch_size": 16}}
    graph = load_graph(config(tmp_path, **clip), batch=3)
    shapes = {name: graph.tensors[name].shape for name in graph.inputs}
    assert shapes == {"input_ids": (3, 77), "pixel_values": (3, 3, 64, 64)}


def test_an_image_model_takes_pixels(tmp_path: Path):
    vit = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
           "intermediate_size": 64, "image_size": 64}  # fmt: skip
    graph = load_graph(config(tmp_path, **vit), batch=2)
    assert graph.tensors["pixel_values"].shape == (2, 3, 64, 64)


def test_a_mixture_of_experts_multiplies_by_group(tmp_path: Path):
    mixtral = LLAMA | {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 4}
    graph = load_graph(config(tmp_path, **mixtral), seq_len=8)
    assert graph.unknown_ops == ()
    grouped = [op for op in graph.ops if "grouped_mm" in op.source]
    assert {graph.inputs_of(op)[1].shape[0] for op in grouped} == {4}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", ModelFileError, "not JSON"),
        ("[]", ModelFileError, "no Hugging Face configuration"),
        ("{}", ModelFileError, "model_type"),
        ('{"model_type": "lama"}', UnknownModelError, "llama"),
        ('{"model_type": "llama", "hidden_size": "wide"}', ModelFileError, "llama"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, text: str, error: type[Exception], words: str):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(error, match=words):
        load_graph(f"transformers:{path}")


def test_names_on_a_hub_are_not_looked_up():
    with pytest.raises(UnknownModelError):
        load_graph("transformers:bert-base-uncased")


@pytest.mark.slow
def test_seven_billion_parameters_take_no_memory(tmp_path: Path):
    import resource

    graph = load_graph(config(tmp_path, model_type="llama", architectures=["LlamaForCausalLM"]), seq_len=512)
    assert graph.params == 6_738_415_616  # as published
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000  # KiB; torch and transformers are most of it
