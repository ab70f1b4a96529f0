"""The papers that more than one file builds on."""

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
LITTLE = Reference(
    "Gilad Baruch, Moran Baruch, Yoav Goldberg",
    "A Little Is Enough: Circumventing Defenses For Distributed Learning",
    "NeurIPS",
    2019,
    "https://arxiv.org/abs/1902.06156",
)
EMPIRE = Reference(
    "Cong Xie, Oluwasanmi Koyejo, Indranil Gupta",
    "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation",
    "UAI",
    2019,
    "https://arxiv.org/abs/1903.03936",
)
MULTI_BULYAN = Reference(
    "El-Mahdi El-Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "Fast and Robust Distributed Learning in High Dimension",
    "SRDS",
    2020,
    "https://arxiv.org/abs/1905.04374",
)
MOMENTUM = Reference(
    "El-Mahdi El-Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "Distributed Momentum for Byzantine-resilient Stochastic Gradient Descent",
    "ICLR",
    2021,
    "https://openreview.net/forum?id=H8UHdhWG6A3",
)
MANIPULATING = Reference(
    "Virat Shejwalkar, Amir Houmansadr",
    "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for Federated Learning",
    "NDSS",
    2021,
    "https://dx.doi.org/10.14722/ndss.2021.24498",
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
    "https://openreview.net/forum?id=jXKKDEi5vJt",
)
FIXING = Reference(
    "Youssef Allouah, Sadegh Farhadkhani, Rachid Guerraoui, Nirupam Gupta, Rafael Pinot, John Stephan",
    "Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity",
    "AISTATS",
    2023,
    "https://proceedings.mlr.press/v206/allouah23a.html",
)
