"""Times a Llama-shaped model in PyTorch on one thread; run by a Python that has PyTorch.

    python benchmarks/_torch_driver.py ASKED.json ANSWER.json

Prompts, decode steps, training steps, single matrix products and attention in fp32; processor
time, the best of some repeats.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import torch
from torch.nn import functional as F


def best(work, repeats=5, least=0.05):
    """Least processor time of one call; short ones are repeated inside a sample."""
    work()
    mark = time.process_time()
    work()
    inner = max(1, int(least / max(time.process_time() - mark, 1e-6)))
    found = float("inf")
    for _ in range(repeats):
        mark = time.process_time()
        for _ in range(inner):
            work()
        found = min(found, (time.process_time() - mark) / inner)
    return found


class Model:
    """The forward pass of a Llama-shaped model with plain tensors."""

    def __init__(self, d_model, n_layers, d_ff, n_heads, n_kv_heads, vocab_size):
        self.heads, self.kv, self.width = n_heads, n_kv_heads, d_model // n_heads

        def matrix(rows, columns):
            return (torch.randn(rows, columns) * 0.02).requires_grad_()

        kv = n_kv_heads * self.width
        self.embed, self.head = matrix(vocab_size, d_model), matrix(vocab_size, d_model)
        self.layers = [{
            "qkv": matrix(d_model + 2 * kv, d_model), "o": matrix(d_model, d_model),
            "up": matrix(2 * d_ff, d_model), "down": matrix(d_model, d_ff),
            "norms": torch.ones(2, d_model, requires_grad=True)} for _ in range(n_layers)]
        self.norm = torch.ones(d_model, requires_grad=True)

    def forward(self, ids, cache=None, last=True):
        """Logits of the last token, or of all; `cache` holds keys and values by layer."""
        x, sizes = F.embedding(ids, self.embed), (self.heads * self.width, self.kv * self.width,
                                                  self.kv * self.width)
        for number, w in enumerate(self.layers):
            h = F.rms_norm(x, (x.shape[-1],), w["norms"][0])
            q, k, v = (self._split(t) for t in F.linear(h, w["qkv"]).split(sizes, dim=-1))
            q, k = self._turn(q), self._turn(k)
            if cache is not None:
                k = torch.cat([cache[number][0], k], dim=2)
                v = torch.cat([cache[number][1], v], dim=2)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None, enable_gqa=True)
            x = x + F.linear(a.transpose(1, 2).flatten(2), w["o"])
            gate, up = F.linear(F.rms_norm(x, (x.shape[-1],), w["norms"][1]), w["up"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, w["down"])
        x = F.rms_norm(x[:, -1:] if last else x, (x.shape[-1],), self.norm)
        return F.linear(x, self.head)

    def _split(self, t):
        return t.unflatten(-1, (-1, self.width)).transpose(1, 2)

    def _turn(self, t):
        half = self.width // 2
        a, b = t[..., :half], t[..., half:]
        angle = torch.arange(t.shape[2])[:, None] * torch.logspace(0, -4, half)[None, :]
        return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()],
                         dim=-1)

    def train(self, ids):
        """One step: loss of the next token, gradients of everything."""
        logits = self.forward(ids, last=False)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()


def measure(asked):
    """Every step of one model."""
    torch.manual_seed(0)
    model, vocab = Model(*asked["shape"]), asked["shape"][-1]
    out = {"prompts": [], "decodes": [], "trains": []}
    with torch.inference_mode():
        for tokens in asked["prompts"]:
            ids = torch.randint(vocab, (1, tokens))
            out["prompts"].append([tokens, best(lambda ids=ids: model.forward(ids))])
        for batch, context in asked["decodes"]:
            cache = [(torch.randn(batch, model.kv, context - 1, model.width),) * 2
                     for _ in model.layers]
            ids = torch.randint(vocab, (batch, 1))
            out["decodes"].append([batch, context, best(
                lambda ids=ids, cache=cache: model.forward(ids, cache))])
    for batch, tokens in asked["trains"]:
        ids = torch.randint(vocab, (batch, tokens))
        out["trains"].append([batch, tokens, best(lambda ids=ids: model.train(ids), 3)])
    return out


def kernels(asked):
    """Single matrix products [m, k, n] and causal attention [batch, heads, tokens, width]."""
    with torch.inference_mode():
        products, attention = [], []
        for m, k, n in asked["matmuls"]:
            a, b = torch.randn(m, k), torch.randn(n, k)
            products.append([m, k, n, best(lambda a=a, b=b: F.linear(a, b))])
        for batch, heads, tokens, width in asked["attentions"]:
            q = torch.randn(batch, heads, tokens, width)
            attention.append([batch, heads, tokens, width, best(
                lambda q=q: F.scaled_dot_product_attention(q, q, q, is_causal=True))])
    return {"matmuls": products, "attentions": attention}


def main():
    torch.set_num_threads(1)
    asked = json.loads(Path(sys.argv[1]).read_text())
    answer = {"torch": torch.__version__, **kernels(asked),
              "models": [{"shape": m["shape"], **measure({**asked, **m})}
                         for m in asked["models"]]}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
