"""How large a vector index is."""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = ["code_bytes", "compression_ratio", "flat_index_bytes", "hnsw_index_bytes",
           "ivf_index_bytes"]


def flat_index_bytes(*, n_vectors: Numeric, dim: Numeric, bytes_per_value: Numeric) -> Numeric:
    """Memory of vectors stored one after the other, and what a query reads of them.

        m = n * d * b

    Args:
        n_vectors: stored vectors n [1], any shape.
        dim: numbers of a vector d [1], broadcast with the others.
        bytes_per_value: of one number b [B]; 4 for fp32, 1 for int8, 1/8 for one bit.
    Returns:
        bytes, broadcast shape of the inputs.
    Valid for: ids that are positions, as in a flat index.
    Sources: Johnson et al., "Billion-scale similarity search with GPUs", arXiv 1702.08734.

    >>> flat_index_bytes(n_vectors=10e6, dim=768, bytes_per_value=4) / 1e9
    30.72
    """
    return n_vectors * dim * bytes_per_value


def code_bytes(*, n_vectors: Numeric, segments: Numeric, code_bits: Numeric = 8.0) -> Numeric:
    """Memory of product-quantised vectors: one code a segment.

        m = n * m_pq * bits / 8

    Args:
        n_vectors: stored vectors n [1], any shape.
        segments: segments a vector is cut into m_pq [1].
        code_bits: bits of one code [1]; 8 is 256 centroids a segment.
    Returns:
        bytes; the codebooks (2^bits * d numbers in all) are left out.
    Valid for: product quantisation without a residual's list ids.
    Sources: Jegou et al., "Product quantization for nearest neighbor search", IEEE TPAMI 2011.

    >>> code_bytes(n_vectors=10e6, segments=96) / 1e9
    0.96
    """
    return n_vectors * segments * code_bits / 8.0


def compression_ratio(*, dim: Numeric, bytes_per_value: Numeric, segments: Numeric,
                      code_bits: Numeric = 8.0) -> Numeric:
    """How many times smaller product-quantised vectors are than plain ones.

        r = d * b / (m_pq * bits / 8)

    Args:
        dim: numbers of a vector d [1].
        bytes_per_value: of one plain number b [B].
        segments: m_pq [1].
        code_bits: bits of one code [1].
    Returns:
        a factor [1].
    Raises:
        ZeroDivisionError: no segments, for plain floats.
    Sources: Jegou et al., IEEE TPAMI 2011.

    >>> compression_ratio(dim=768, bytes_per_value=4, segments=96)
    32.0
    """
    return dim * bytes_per_value / (segments * code_bits / 8.0)


def ivf_index_bytes(*, n_vectors: Numeric, vector_bytes: Numeric, nlist: Numeric, dim: Numeric,
                    id_bytes: Numeric = 8.0) -> Numeric:
    """Memory of inverted lists: vectors or codes with their ids, and fp32 centroids.

        m = n * (b_vec + b_id) + n_list * d * 4

    Args:
        n_vectors: n [1].
        vector_bytes: of one stored vector or code b_vec [B].
        nlist: lists n_list [1].
        dim: numbers of a centroid d [1].
        id_bytes: of one stored id b_id [B].
    Returns:
        bytes.
    Valid for: lists filled exactly; a growing list may reserve up to twice as much.
    Sources: arXiv 1702.08734; layout of faiss' IndexIVF.

    >>> round(ivf_index_bytes(n_vectors=10e6, vector_bytes=3072, nlist=4096, dim=768) / 1e9, 3)
    30.813
    """
    return n_vectors * (vector_bytes + id_bytes) + nlist * dim * 4.0


def hnsw_index_bytes(*, n_vectors: Numeric, vector_bytes: Numeric, hnsw_links: Numeric) -> Numeric:
    """Memory of a layered proximity graph with its vectors.

        m = n * (b_vec + 4 * (2 * M + M / (M - 1)) + 12)

    Args:
        n_vectors: n [1].
        vector_bytes: of one stored vector b_vec [B].
        hnsw_links: links of a node in the upper layers M [1]; twice as many in the lowest.
    Returns:
        bytes. A link is 4 bytes; a node keeps its level and the offset of its links in 12.
    Raises:
        ZeroDivisionError: M of 1, for plain floats.
    Valid for: nodes that reach each next layer with probability 1 / M, the usual setting.
    Sources: Malkov and Yashunin, arXiv 1603.09320; layout of faiss' IndexHNSW.

    >>> round(hnsw_index_bytes(n_vectors=10e6, vector_bytes=3072, hnsw_links=16) / 1e9, 2)
    32.16
    """
    above = hnsw_links / (hnsw_links - 1.0)
    return n_vectors * (vector_bytes + 4.0 * (2.0 * hnsw_links + above) + 12.0)
