"""Writes randn-more.json: torch's CPU noise at the edges of seeds and sizes, and the philox noise of CUDA devices.

    python make_randn_goldens.py > randn-more.json

Needs torch with AVX2 (made with 2.13), diffusers (for its `randn_tensor`) and numpy; the tests need only the file.
CUDA's numbers come from the published algorithm in numpy: Salmon et al. 2011, keyed and counted as torch does; the first
twelve of seed 0 are those that AUTOMATIC1111's `modules/rng_philox.py` gives as its expected output.
"""

import hashlib
import json
import sys

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor


def cpu(seed, *sizes):
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.randn(size, generator=generator) for size in sizes]
    digest = hashlib.sha256(b"".join(draw.numpy().astype("<f4").tobytes() for draw in draws)).hexdigest()
    return {"seed": str(seed), "sizes": sizes, "first": [draw[:4].tolist() for draw in draws], "sha256": digest}


def philox(seed, draw, n):
    counter = np.zeros((4, n), dtype=np.uint64)
    counter[0] = draw
    counter[2] = np.arange(n)
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        product0 = counter[0] * np.uint64(0xD2511F53)
        product1 = counter[2] * np.uint64(0xCD9E8D57)
        counter = np.stack([
            (product1 >> np.uint64(32)) ^ counter[1] ^ key[0],
            product1 & mask,
            (product0 >> np.uint64(32)) ^ counter[3] ^ key[1],
            product0 & mask,
        ])
        key = [(key[0] + np.uint64(0x9E3779B9)) & mask, (key[1] + np.uint64(0xBB67AE85)) & mask]
    u = counter[0] * 2.0**-32 + 2.0**-33
    v = (counter[1] * 2.0**-32 + 2.0**-33) * 2 * np.pi
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32)


def cuda(seed, *sizes):
    draws = [philox(seed % 2**64, i, n) for i, n in enumerate(sizes)]
    return {"seed": str(seed), "sizes": sizes, "numbers": [draw[:12].tolist() for draw in draws]}


batch = [torch.Generator().manual_seed(seed) for seed in (1, 2, 2**32 + 42)]
json.dump(
    {
        "cpu": [
            cpu(0, 16384, 16384),
            cpu(7, 3, 16, 3, 1, 20),
            cpu(-1, 16),
            cpu(-(2**63), 16),
            cpu(2**64 - 1, 16),
            cpu(2**53 + 1, 16),
            cpu(1234, 4 * 96 * 96, 4 * 96 * 96 + 5),
        ],
        "batch": {"seeds": [1, 2, 2**32 + 42], "shape": [3, 1, 4, 5], "numbers": randn_tensor((3, 1, 4, 5), generator=batch).flatten().tolist()},
        "cuda": [cuda(0, 12, 4), cuda(42, 16384), cuda(2**40 + 3, 4), cuda(-1, 4)],
    },
    sys.stdout,
    separators=(",", ":"),
)
