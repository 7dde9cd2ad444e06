import json

from ridgeline.measure.validate.run import validate_files
from ridgeline.truth_data import shipped_file

HEAD = "name,config_file,total_params_exact,active_params_published\n"


def test_shipped_table():
    report = validate_files([shipped_file("models.csv.xz")])[0]
    total = next(g for g in report.groups if g.metric == "total_params")
    assert report.rows == 129 and total.n == 98
    assert total.median_ape_pct == 0.0 and total.p90_ape_pct < 0.1
    assert all(u.reason == "no measured value" for u in report.unanswered)


def test_a_config_beside_the_table_is_read(tmp_path):
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "vocab_size": 100, "tie_word_embeddings": False, "max_position_embeddings": 128}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.json").write_text(json.dumps(config))
    # embedding and head 2 x 6400; a layer: q, o 4096 each, k, v 2048 each, 3 x 8192, 2 norms
    count = 2 * 6400 + 2 * (2 * 4096 + 2 * 2048 + 3 * 8192 + 2 * 64) + 64
    path = tmp_path / "mine.csv"
    path.write_text(HEAD + f"Tiny,tiny.json,{count},\nNone,missing.json,5,\n")
    report = validate_files([path])[0]
    assert report.predicted == 1
    assert report.groups[0].median_ape_pct == 0.0 and report.groups[0].coverage80_pct == 100.0
    assert "missing.json" in report.unanswered[0].reason
