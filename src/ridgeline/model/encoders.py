"""Encoders: BERT and its kin, sentence embedders and cross-encoders."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.decoder import CONTEXT, FF, HEADS, LAYERS, WIDTH, n_labels, runs
from ridgeline.model.fields import MAX_CONTEXT, MAX_LAYERS, Fields
from ridgeline.model.parts import Attention, Block, DenseFfn, Weight
from ridgeline.model.tensors import elements, linear, norm


@dataclass(frozen=True)
class Encoder:
    """How an encoder type differs from BERT.

    Attributes:
        types: token-type embeddings when the config does not say.
        position_names: fields of the position table's length.
        pooler: the bare model ends in a pooler.
        pooled_classifier: the classifier reads the pooler instead of a dense layer of its own.
        classifier_dense: names a dense layer before the label matrix.
        narrow: the field of an embedding width below the model's.
        gated, bias: feed-forward form.
        positions: a learned position table.
        relative: one relative-attention table of this many buckets a head.
        position_ids: published files hold the position index buffer.
    """

    types: int = 2
    pooler: bool = True
    pooled_classifier: bool = True
    classifier_dense: bool = False
    narrow: str = ""
    gated: bool = False
    bias: bool = True
    positions: bool = True
    relative: int = 0
    position_ids: bool = True
    tied: bool = True
    shared: bool = False


_ROBERTA = Encoder(types=1, pooled_classifier=False, classifier_dense=True)
ENCODERS: dict[str, Encoder] = {
    "bert": Encoder(), "roberta": _ROBERTA, "xlm-roberta": _ROBERTA, "camembert": _ROBERTA,
    "xlm-roberta-xl": _ROBERTA, "ernie": Encoder(),
    "distilbert": Encoder(types=0, pooler=False, pooled_classifier=False, classifier_dense=True,
                          position_ids=False),
    "mpnet": Encoder(types=0, pooled_classifier=False, classifier_dense=True, relative=32),
    "electra": Encoder(pooler=False, pooled_classifier=False, classifier_dense=True,
                       narrow="embedding_size"),
    "albert": Encoder(narrow="embedding_size", shared=True),
    "nomic_bert": Encoder(pooler=False, pooled_classifier=False, gated=True, bias=False,
                          positions=False, position_ids=False),
    "deberta-v2": Encoder(types=0, pooler=False, classifier_dense=True, pooled_classifier=False),
    "deberta": Encoder(types=0, pooler=False, classifier_dense=True, pooled_classifier=False),
}


def encoder(f: Fields, name: str) -> Architecture:
    """Read a BERT-like encoder with what its named architecture adds."""
    kind = ENCODERS[f.text("model_type")]
    d = f.count(*WIDTH)
    layers = f.count(*LAYERS, high=MAX_LAYERS)
    heads = f.count(*HEADS, high=100_000)
    if d % heads:
        raise f.fail(HEADS, heads, f"a divisor of the width {d}")
    vocab, length = f.count("vocab_size", high=100_000_000), f.count(*CONTEXT, high=MAX_CONTEXT)
    bias = f.flag("qkv_proj_bias", default=kind.bias)
    d_ff = f.count(*FF, "hidden_dim")
    mixer = Attention(heads, heads, d // heads, causal=False, q_bias=bias, kv_bias=bias,
                      out_bias=bias)
    block = Block(mixer, DenseFfn(d_ff, kind.gated, bias), (norm("norms", d, True, 2),),
                  shared="layer" if kind.shared else "")
    if kind.shared:
        block = replace(block, norms=())
    embedding = _embedding(f, kind, d, vocab, length)
    final = list(_ending(f, kind, d))
    if kind.shared:
        final.append(norm("norms", d, True, 2))
    likely = f.text("model_type") in ("bert", "mpnet", "electra", "albert", "ernie")
    extras = (CheckpointExtra("position_ids buffer", length, likely=likely),) \
        if kind.position_ids else ()
    extras = (*extras, *_head_variants(f, kind, d))
    f.ignore("hidden_dim", "dim", *f.data)
    return Architecture(name, f.text("model_type"), d, vocab, length, runs([block] * layers),
                        embedding, (), False, tuple(final), causal=False,
                        checkpoint_extras=extras)


def _embedding(f: Fields, kind: Encoder, d: int, vocab: int,
               length: int) -> tuple[Weight, ...]:
    width = f.count(kind.narrow, default=d) if kind.narrow else d
    out = [Weight("word_embeddings", (vocab, width), "embedding", "vocab")]
    deberta = f.text("model_type").startswith("deberta")
    if kind.positions and (not deberta or f.flag("position_biased_input", default=True)):
        out.append(Weight("position_embeddings", (length, width), "position"))
    types = f.count("type_vocab_size", default=kind.types, low=0)
    if types and (kind.types or deberta):
        out.append(Weight("token_type_embeddings", (types, width), "embedding"))
    out.append(norm("embedding_norm", width, True))
    if width != d:
        out += linear("embedding_projection", width, d, "embedding", bias=True,
                      shard="replicated")
    elif kind.shared:
        out += linear("embedding_projection", width, d, "embedding", bias=True)
    if kind.relative:
        out.append(Weight("relative_attention_bias",
                          (f.count("relative_attention_num_buckets", default=kind.relative),
                           f.count(*HEADS)), "position"))
    if deberta and f.flag("relative_attention"):
        out += _deberta_relative(f, d, length)
    return tuple(out)


def _deberta_relative(f: Fields, d: int, length: int) -> list[Weight]:
    """The shared table of relative positions, and its norm where the config asks for one."""
    buckets = f.raw("position_buckets")
    rows = f.whole("position_buckets", buckets, 1, MAX_CONTEXT) \
        if isinstance(buckets, int) and buckets > 0 else length
    out = [Weight("rel_embeddings", (2 * rows, d), "position")]
    if "layer_norm" in f.text("norm_rel_ebd", default="none"):
        out.append(norm("rel_norm", d, True))
    return out


def _ending(f: Fields, kind: Encoder, d: int) -> tuple[Weight, ...]:
    """Pooler and classifier of the architecture that the config names."""
    named = f.names("architectures") or ["Model"]
    dense = linear("dense", d, d, "head", bias=True, shard="replicated")
    if named[0].endswith(("ForSequenceClassification", "ForTokenClassification")):
        labels = linear("classifier", d, n_labels(f), "head", bias=True, shard="replicated")
        token = named[0].endswith("ForTokenClassification")
        return labels if token else (*dense, *labels)
    if named[0].endswith(("ForMaskedLM", "ForPreTraining")):
        vocab = f.count("vocab_size", high=100_000_000)
        narrow = f.count(kind.narrow, default=d) if kind.narrow else d
        head = (*linear("transform", d, narrow, "head", bias=True, shard="replicated"),
                norm("transform_norm", narrow, True), Weight("decoder.bias", (vocab,), "head",
                                                             "vocab"))
        extra = () if named[0].endswith("ForMaskedLM") else (
            *dense, *linear("seq_relationship", d, 2, "head", bias=True))
        return (*head, *extra)
    return dense if kind.pooler else ()


def _head_variants(f: Fields, kind: Encoder, d: int) -> tuple[CheckpointExtra, ...]:
    """What files named for masked language modelling may hold more or less than that model."""
    named = f.names("architectures") or ["Model"]
    if not named[0].endswith("ForMaskedLM"):
        return ()
    dense = d * d + d
    return (CheckpointExtra("pooler", dense, likely=False),
            CheckpointExtra("next-sentence head", 2 * d + 2, likely=False),
            CheckpointExtra("language-model head, not stored",
                            -elements(_ending(f, kind, d)), likely=False))


def modernbert(f: Fields, name: str) -> Architecture:
    """ModernBERT: rotary, gated, no biases, local layers between global ones."""
    d, layers = f.count("hidden_size"), f.count("num_hidden_layers", high=MAX_LAYERS)
    heads, d_ff = f.count("num_attention_heads"), f.count("intermediate_size")
    every, local = f.count("global_attn_every_n_layers", default=3), f.count(
        "local_attention", default=128)
    vocab, length = f.count("vocab_size", high=100_000_000), f.count(*CONTEXT, high=MAX_CONTEXT)
    if d % heads:
        raise f.fail(HEADS, heads, f"a divisor of the width {d}")
    a_bias, m_bias = f.flag("attention_bias"), f.flag("mlp_bias")
    n_bias = f.flag("norm_bias")
    blocks = []
    for i in range(layers):
        mixer = Attention(heads, heads, d // heads, window=None if i % every == 0 else local,
                          causal=False, q_bias=a_bias, kv_bias=a_bias, out_bias=a_bias)
        # The first layer has no norm before its attention: the embedding norm serves.
        blocks.append(Block(mixer, DenseFfn(d_ff, bias=m_bias),
                            (norm("norms", d, n_bias, 1 if i == 0 else 2),)))
    named = f.names("architectures") or ["ModernBertModel"]
    final = [norm("final_norm", d, n_bias)]
    bias = f.flag("classifier_bias")
    if named[0].endswith(("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")):
        final += [*linear("head.dense", d, d, "head", bias=bias), norm("head.norm", d, n_bias)]
        if named[0].endswith("ForMaskedLM"):
            if f.flag("decoder_bias", default=True):
                final.append(Weight("decoder.bias", (vocab,), "head", "vocab"))
        else:
            final += linear("classifier", d, n_labels(f), "head", bias=True)
    f.ignore(*f.data)
    return Architecture(name, f.text("model_type"), d, vocab, length, runs(blocks),
                        (Weight("tok_embeddings", (vocab, d), "embedding", "vocab"),
                         norm("embedding_norm", d, n_bias)), (), False, tuple(final),
                        causal=False)
