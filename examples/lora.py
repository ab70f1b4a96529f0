"""LoRA adapters of several parties, aggregated as what they do: their products.

A party's update of a layer is B @ A. Averaging the factors averages something else, since mean(B) @ mean(A)
is not mean(B @ A); and (B R, R^-1 A) is the same update for any invertible R, so that the factors can be
anything, and no rule can tell honest ones from forged ones. Products can be compared. Their aggregate is cut
to the rank again by a singular value decomposition: no other cut is closer.
"""

import torch

import varangian as vg


def aggregated(adapters, rule, rank):
    """Return factors (B, A) of rank ``rank`` for what the rule makes of the products of all parties."""
    products = torch.stack([b @ a for b, a in adapters])
    whole = rule(products.flatten(1)).view(products.shape[1:])
    u, s, vh = torch.linalg.svd(whole, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vh[:rank]


def parties(n, liars, rank, generator):
    """Yield adapters near one update, each in a basis of its own; the liars send its opposite, tenfold."""
    b = torch.randn(64, rank, generator=generator)
    a = torch.randn(rank, 48, generator=generator)
    adapters = []
    for party in range(n):
        basis = torch.linalg.qr(torch.randn(rank, rank, generator=generator)).Q
        noisy = b + 0.05 * torch.randn(b.shape, generator=generator)
        sign = -10.0 if party < liars else 1.0
        adapters.append((sign * noisy @ basis, basis.T @ a))
    return adapters, b @ a


def far(found, true):
    """Return the relative error of an update."""
    return float((found - true).norm() / true.norm())


adapters, true = parties(n=9, liars=2, rank=4, generator=torch.Generator().manual_seed(1))
b, a = aggregated(adapters, vg.GeometricMedian(f=2), rank=4)
means = [torch.stack(parts).mean(0) for parts in zip(*adapters, strict=True)]
honest = [torch.stack(parts).mean(0) for parts in zip(*adapters[2:], strict=True)]
print(f"products, robustly: {far(b @ a, true):.0%} off")
print(f"factors, averaged: {far(means[0] @ means[1], true):.0%} off")
print(f"factors, averaged without the liars: {far(honest[0] @ honest[1], true):.0%} off")
