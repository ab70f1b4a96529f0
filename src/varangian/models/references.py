"""The publications behind the models."""

from __future__ import annotations

from varangian.core.citations import Reference

BINARY_SEQUENCES = Reference(
    "David Cox",
    "The Regression Analysis of Binary Sequences",
    "Journal of the Royal Statistical Society, Series B",
    1958,
    "https://doi.org/10.1111/j.2517-6161.1958.tb00292.x",
)
MOMENTUM = Reference(
    "El-Mahdi El-Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "Distributed Momentum for Byzantine-resilient Stochastic Gradient Descent",
    "ICLR",
    2021,
    "https://openreview.net/forum?id=H8UHdhWG6A3",
)
PRIVACY = Reference(
    "Rachid Guerraoui, Nirupam Gupta, Rafaël Pinot, Sébastien Rouault, John Stephan",
    "Differential Privacy and Byzantine Resilience in SGD: Do They Add Up?",
    "PODC",
    2021,
    "https://arxiv.org/abs/2102.08166",
)
BUCKETING = Reference(
    "Sai Praneeth Karimireddy, Lie He, Martin Jaggi",
    "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing",
    "ICLR",
    2022,
    "https://arxiv.org/abs/2006.09365",
)
