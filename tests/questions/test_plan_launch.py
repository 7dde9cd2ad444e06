"""`plan --launch`: files that hold together, for the plan that was made."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import yaml

import ridgeline
from ridgeline.errors import BadInput
from ridgeline.search.launch.engines import engine_facts

ASK = {"prompt": 1000, "output": 200, "batches": (1, 8, 64)}


def planned(folder, model="Llama-3.1-8B", on="2xH100-SXM", **fields):
    return ridgeline.plan(model, on, launch=str(folder), **{**ASK, "mode": "aggregated", **fields})


def words(script):
    """The command of a script, as a shell would split it."""
    text = script.read_text(encoding="utf-8")
    return shlex.split(text[text.index("\nexec ") + 6:])


def option(argv, flag):
    return argv[argv.index(flag) + 1]


def test_the_plan_is_what_is_started(tmp_path):
    folder = tmp_path / "start"
    answer = planned(folder, tpot=0.03).to_dict()["answer"]
    best = answer["best"]
    argv = words(folder / "serve-vllm.sh")
    assert option(argv, "--tensor-parallel-size") == str(best["tp"])
    assert option(argv, "--max-num-seqs") == str(best["batch"])
    assert option(argv, "--port") == "${PORT:-8000}"
    assert int(option(argv, "--max-model-len")) >= 1.1 * 1200
    bench = words(folder / "bench.sh")
    assert option(bench, "--random-input-len") == "1000"
    assert option(bench, "--random-output-len") == "200"
    assert option(bench, "--max-concurrency") == str(best["concurrency"])
    found = json.loads((folder / "predicted.json").read_text(encoding="utf-8"))
    assert found["tpot_s"] == best["tpot_s"] <= 0.03
    assert found["tpot_low_s"] <= found["tpot_s"] <= found["tpot_high_s"]
    assert {p.name for p in folder.iterdir()} == {
        "README.md", "bench.sh", "kubernetes.yaml", "predicted.json", "serve-llamacpp.sh",
        "serve-sglang.sh", "serve-trtllm.sh", "serve-vllm.sh", "trtllm.yaml"}


def test_a_speculating_plan_starts_servers_that_speculate(tmp_path):
    planned(tmp_path / "start", draft_length=3, acceptance="0.8", prices=("2",))
    argv = words(tmp_path / "start" / "serve-vllm.sh")
    asked = json.loads(option(argv, "--speculative-config").replace("$DRAFT", "a/b"))
    assert asked == {"method": "eagle3", "model": "a/b", "num_speculative_tokens": 3}
    script = tmp_path / "start" / "serve-sglang.sh"
    refused = subprocess.run(["bash", str(script)], check=False, capture_output=True, text=True,
                             env={"PATH": os.environ["PATH"]})
    assert refused.returncode != 0
    assert "set DRAFT" in refused.stderr
    config = yaml.safe_load((tmp_path / "start" / "trtllm.yaml").read_text(encoding="utf-8"))
    assert config["speculative_config"]["max_draft_len"] == 3


def test_pools_speculate_where_they_decode(tmp_path):
    planned(tmp_path / "start", on="4xH100-SXM", mode="disaggregated", draft_length=2,
            acceptance="0.7")
    start = tmp_path / "start"
    assert "--speculative-config" in words(start / "serve-vllm-decode.sh")
    assert "--speculative-config" not in words(start / "serve-vllm-prefill.sh")


def test_scripts_are_shell_and_use_documented_options(tmp_path):
    planned(tmp_path / "start", rate=2.0, prefix_hit=0.25)
    facts = engine_facts()
    for script in sorted((tmp_path / "start").glob("*.sh")):
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
        assert os.access(script, os.X_OK)
        kind = "vllm-bench" if script.stem == "bench" else script.stem.removeprefix("serve-")
        argv = words(script)
        assert argv[:len(facts[kind]["program"])] == facts[kind]["program"]
        used = {word for word in argv if word.startswith("--")}
        assert used and used <= set(facts[kind]["options"])
    bench = words(tmp_path / "start" / "bench.sh")
    assert option(bench, "--request-rate") == "2"
    assert (option(bench, "--random-prefix-len"), option(bench, "--random-input-len")) == (
        "250", "750")
    yaml.safe_load((tmp_path / "start" / "trtllm.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("engine", ["vllm", "trtllm"])
def test_the_manifest_starts_every_replica(tmp_path, engine):
    answer = planned(tmp_path / "start", engines=(engine,), formats=("fp8",), on="4xH100-SXM")
    best = answer.to_dict()["answer"]["best"]
    text = (tmp_path / "start" / "kubernetes.yaml").read_text(encoding="utf-8")
    documents = {d["kind"]: d for d in yaml.safe_load_all(text)}
    deployment, service = documents["Deployment"], documents["Service"]
    assert deployment["apiVersion"] == "apps/v1"
    assert deployment["spec"]["replicas"] == best["dp"]
    pod = deployment["spec"]["template"]
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels == pod["metadata"]["labels"] == service["spec"]["selector"]
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": best["chips"] // best["dp"]}
    assert container["command"][:2] == (["vllm", "serve"] if engine == "vllm" else
                                        ["trtllm-serve", "meta-llama/Llama-3.1-8B"])
    assert all(isinstance(word, str) and "$" not in word for word in container["command"])
    port = container["ports"][0]["containerPort"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": port}
    assert service["spec"]["ports"][0]["targetPort"] == port
    assert {m["name"] for m in container["volumeMounts"]} == {
        v["name"] for v in pod["spec"]["volumes"]}
    if engine == "trtllm":
        held = documents["ConfigMap"]
        config = option(container["command"], "--config")
        assert config.rpartition("/")[2] in held["data"]
        assert yaml.safe_load(held["data"]["trtllm.yaml"])["cuda_graph_config"][
            "max_batch_size"] == best["batch"]


def test_two_pools_have_servers_and_routers_of_their_own(tmp_path):
    answer = planned(tmp_path / "start", on="8xH100-SXM", mode="disaggregated", prompt=4000)
    best = answer.to_dict()["answer"]["best"]
    folder = tmp_path / "start"
    names = {p.name for p in folder.iterdir()}
    assert {"serve-vllm-prefill.sh", "serve-vllm-decode.sh", "router-sglang.sh",
            "router-trtllm.yaml", "trtllm-decode.yaml"} <= names
    assert "serve-llamacpp.sh" not in names
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "llama.cpp does not split prompts" in page
    connector = json.loads(option(words(folder / "serve-vllm-decode.sh"), "--kv-transfer-config"))
    assert connector["kv_connector"] == "NixlConnector"
    router = yaml.safe_load((folder / "router-trtllm.yaml").read_text(encoding="utf-8"))
    assert len(router["context_servers"]["urls"]) == best["prefill"]["workers"]
    assert words(folder / "router-sglang.sh").count("--decode") == best["dp"]
    text = (folder / "kubernetes.yaml").read_text(encoding="utf-8")
    kinds = [d["kind"] for d in yaml.safe_load_all(text)]
    assert kinds == ["Deployment", "Service"] * 2


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    folder = tmp_path / "start"
    planned(folder)
    mine = folder / "bench.sh"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(BadInput, match="not empty"):
        planned(folder)
    assert mine.read_text(encoding="utf-8") == "mine"
    planned(folder, force=True)
    assert "vllm bench serve" in mine.read_text(encoding="utf-8")
    with pytest.raises(BadInput, match="is a file"):
        planned(mine)
    with pytest.raises(BadInput, match="name is empty"):
        planned(" ")


def test_the_command_says_what_it_wrote_and_refuses_in_one_line(tmp_path):
    def run(*args):
        return subprocess.run([sys.executable, "-m", "ridgeline", "plan", "Llama-3.1-8B", "--on",
                               "2xH100-SXM", "--batches", "8", "--mode", "aggregated", *args],
                              capture_output=True, text=True, check=False)

    done = run("--launch", str(tmp_path / "a"), "--json")
    assert done.returncode == 0, done.stderr
    assert "kubernetes.yaml" in json.loads(done.stdout)["notes"][-1]
    for args, said in ((("--launch", str(tmp_path / "a")), "not empty"),
                       (("--force",), "--force is for the files of --launch")):
        refused = run(*args)
        assert refused.returncode == 2 and said in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(("model", "on", "said"), [
    ("Qwen3-235B-A22B", "4x2xH100-SXM", "spans"), ("Llama-3.1-8B", "4xTPU-v5e", "for Google")])
def test_what_cannot_be_written_is_said(tmp_path, model, on, said):
    planned(tmp_path / "start", model, on, prices=("2",), minimize="latency")
    page = (tmp_path / "start" / "README.md").read_text(encoding="utf-8")
    assert "Kubernetes: " in page and said in page
    assert not (tmp_path / "start" / "kubernetes.yaml").exists()
