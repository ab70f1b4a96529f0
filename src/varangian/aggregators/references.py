"""The papers that several rules share."""

from __future__ import annotations

from varangian.core.citations import Reference

KRUM = Reference(
    "Peva Blanchard, El Mahdi El-Mhamdi, Rachid Guerraoui, Julien Stainer",
    "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
    "NeurIPS",
    2017,
    "https://papers.nips.cc/paper/2017/hash/f4b9ec30ad9f68f89b29639786cb62ef-Abstract.html",
)
BULYAN = Reference(
    "El Mahdi El-Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "The Hidden Vulnerability of Distributed Learning in Byzantium",
    "ICML",
    2018,
    "https://proceedings.mlr.press/v80/mhamdi18a.html",
)
MULTI_BULYAN = Reference(
    "El-Mahdi El-Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "Fast and Robust Distributed Learning in High Dimension",
    "SRDS",
    2020,
    "https://arxiv.org/abs/1905.04374",
)
COORDINATE_WISE = Reference(
    "Dong Yin, Yudong Chen, Kannan Ramchandran, Peter Bartlett",
    "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
    "ICML",
    2018,
    "https://proceedings.mlr.press/v80/yin18a.html",
)
GENERALIZED = Reference(
    "Cong Xie, Oluwasanmi Koyejo, Indranil Gupta",
    "Generalized Byzantine-tolerant SGD",
    "arXiv",
    2018,
    "https://arxiv.org/abs/1802.10116",
)
