"""What searches and encoders must do: FLOP, vectors visited, random reads."""

from __future__ import annotations

from ridgeline.numeric import Numeric, log2, minimum

__all__ = ["encoder_flop", "flat_search_flop", "hnsw_read_time", "hnsw_reads", "ivf_visited",
           "kmeans_flop", "search_bytes_per_query"]


def encoder_flop(*, active_params: Numeric, n_texts: Numeric, tokens_per_text: Numeric) -> Numeric:
    """FLOP to embed texts, or to score (query, passage) pairs with a cross-encoder.

        flop = 2 * P_active * n_text * s_text

    Args:
        active_params: parameters of the encoder [param], any shape.
        n_texts: texts, or pairs to rerank [1].
        tokens_per_text: s_text [token].
    Returns:
        FLOP, broadcast shape of the inputs.
    Valid for: texts short enough that attention scores are minor; lookup tables count too.
    Sources: Kaplan et al., arXiv 2001.08361 (2 FLOP for each parameter and token).

    >>> f"{encoder_flop(active_params=110e6, n_texts=1e6, tokens_per_text=512):.3e}"
    '1.126e+17'
    """
    return 2.0 * active_params * n_texts * tokens_per_text


def flat_search_flop(*, n_queries: Numeric, n_vectors: Numeric, dim: Numeric) -> Numeric:
    """FLOP of comparing queries with every vector.

        flop = 2 * Q * n * d

    Args:
        n_queries: queries Q [1].
        n_vectors: vectors compared with each n [1].
        dim: numbers of a vector d [1].
    Returns:
        FLOP.
    Valid for: inner product, cosine of normalised vectors; L2 through the same product.
    Sources: arXiv 1702.08734.

    >>> flat_search_flop(n_queries=1, n_vectors=10e6, dim=768) / 1e9
    15.36
    """
    return 2.0 * n_queries * n_vectors * dim


def search_bytes_per_query(*, n_vectors: Numeric, vector_bytes: Numeric,
                           n_queries: Numeric) -> Numeric:
    """Bytes a query reads when a batch reads the vectors together.

        m = n * b_vec / Q

    Args:
        n_vectors: vectors read n [1].
        vector_bytes: of one stored vector b_vec [B].
        n_queries: queries that share the read Q [1].
    Returns:
        bytes for each query.
    Raises:
        ZeroDivisionError: no queries, for plain floats.
    Valid for: batches whose results stay on chip.
    Sources: own derivation; intensity grows in proportion to the batch.

    >>> search_bytes_per_query(n_vectors=10e6, vector_bytes=3072, n_queries=32) / 1e9
    0.96
    """
    return n_vectors * vector_bytes / n_queries


def ivf_visited(*, n_vectors: Numeric, nlist: Numeric, nprobe: Numeric,
                list_imbalance: Numeric = 1.0) -> Numeric:
    """Vectors compared with a query that probes some of the lists.

        visited = min(n, n * n_probe / n_list * i_list)

    Args:
        n_vectors: stored vectors n [1].
        nlist: lists [1].
        nprobe: lists probed [1].
        list_imbalance: mean size of a probed list over the mean of all [1]; 1 for equal lists.
    Returns:
        vectors [1].
    Raises:
        ZeroDivisionError: no lists, for plain floats.
    Valid for: queries drawn like the vectors; the imbalance is n_list * sum(size^2) / n^2.
    Sources: Jegou et al., IEEE TPAMI 2011, section V.

    >>> ivf_visited(n_vectors=10e6, nlist=4096, nprobe=32)
    78125.0
    """
    return minimum(n_vectors, n_vectors * nprobe / nlist * list_imbalance)


def hnsw_reads(*, beam: Numeric, hnsw_links: Numeric, n_vectors: Numeric) -> Numeric:
    """Random vector reads of a graph search, the field's estimate from above.

        reads = ef * M * log2(n)

    Args:
        beam: candidates kept ef [1].
        hnsw_links: links of a node M [1].
        n_vectors: stored vectors n [1].
    Returns:
        reads [1].
    Valid for: an upper estimate; measured counts grow more slowly (see `retrieval.cpu_time`).
    Sources: Malkov and Yashunin, arXiv 1603.09320, section 4.2.

    >>> round(hnsw_reads(beam=64, hnsw_links=16, n_vectors=1e6))
    20410
    """
    return beam * hnsw_links * log2(n_vectors)


def hnsw_read_time(*, reads: Numeric, vector_bytes: Numeric, read_latency: Numeric,
                   memory_bandwidth: Numeric) -> Numeric:
    """Time of dependent random reads: each waits for its first bytes, then streams the rest.

        t = reads * (t_read + b_vec / W)

    Args:
        reads: vectors read one after the other [1].
        vector_bytes: of one stored vector b_vec [B].
        read_latency: of a random read t_read [s].
        memory_bandwidth: of one thread W [B/s].
    Returns:
        seconds.
    Raises:
        ZeroDivisionError: no bandwidth, for plain floats.
    Valid for: graphs larger than the caches, no prefetch.
    Sources: own derivation.

    >>> t = hnsw_read_time(reads=1000, vector_bytes=3072, read_latency=1e-7,
    ...                    memory_bandwidth=15.36e9)
    >>> round(t * 1e6)
    300
    """
    return reads * (read_latency + vector_bytes / memory_bandwidth)


def kmeans_flop(*, n_vectors: Numeric, dim: Numeric, nlist: Numeric, training_vectors: Numeric,
                iterations: Numeric = 10.0) -> Numeric:
    """FLOP of building inverted lists: train the centroids, then assign every vector.

        flop = 2 * n_list * d * (i * n_train + n)

    Args:
        n_vectors: vectors to assign n [1].
        dim: d [1].
        nlist: centroids n_list [1].
        training_vectors: vectors the centroids are trained on n_train [1].
        iterations: rounds of k-means i [1].
    Returns:
        FLOP.
    Valid for: a flat coarse quantiser; faiss trains on at most 256 vectors a centroid.
    Sources: arXiv 1702.08734.

    >>> f = kmeans_flop(n_vectors=10e6, dim=768, nlist=4096, training_vectors=1048576)
    >>> f"{f:.3e}"
    '1.289e+14'
    """
    return 2.0 * nlist * dim * (iterations * training_vectors + n_vectors)
