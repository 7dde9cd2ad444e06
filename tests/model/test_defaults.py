"""Multimodal files that leave out what their classes default to."""

from ridgeline.model.defaults import with_defaults
from ridgeline.model.huggingface import architecture_from_config

LLAVA = {"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064},
         "vision_config": {"model_type": "clip_vision_model", "hidden_size": 1024,
                           "intermediate_size": 4096, "num_hidden_layers": 24,
                           "image_size": 336, "patch_size": 14}}


def test_a_text_group_of_defaults_is_filled():
    arch = architecture_from_config(LLAVA)
    # Llama's class defaults: 32 layers of 4096, 32 heads, 11008
    layer = 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096
    assert arch.total_params == 2 * 32064 * 4096 + 32 * layer + 4096
    assert arch.kv_bytes_per_token() == 32 * 2 * 32 * 128 * 2


def test_what_a_file_states_stays():
    config = {**LLAVA, "text_config": {"model_type": "llama", "num_hidden_layers": 2,
                                       "num_key_value_heads": None}}
    text = with_defaults(config)["text_config"]
    assert text["num_hidden_layers"] == 2 and text["num_key_value_heads"] is None


def test_the_text_decides_its_tie_when_the_outer_file_is_silent():
    tied = {**LLAVA, "text_config": {"model_type": "llama", "tie_word_embeddings": True}}
    assert architecture_from_config(tied).tied
    assert not architecture_from_config({**tied, "tie_word_embeddings": False}).tied


def test_plain_files_are_left_alone():
    plain = {"model_type": "llava", "hidden_size": 64}
    assert with_defaults(plain) == plain
    assert with_defaults({"model_type": ["llava"]}) == {"model_type": ["llava"]}


def test_a_head_width_follows_a_stated_width():
    config = {**LLAVA, "text_config": {"model_type": "mistral", "hidden_size": 2048,
                                       "num_attention_heads": 32}}
    assert "head_dim" not in with_defaults(config)["text_config"]


def test_image_layers_keep_nothing_for_text():
    text = {"model_type": "mllama_text_model", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
            "vocab_size": 100, "cross_attention_layers": [1]}
    arch = architecture_from_config({"model_type": "mllama", "text_config": text})
    assert arch.kv_bytes_per_token() == 3 * 2 * 2 * 16 * 2
