"""The papers that several attacks share."""

from __future__ import annotations

from varangian.core.citations import Reference

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
HIDDEN = Reference(
    "El Mahdi El-Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "The Hidden Vulnerability of Distributed Learning in Byzantium",
    "ICML",
    2018,
    "https://proceedings.mlr.press/v80/mhamdi18a.html",
)
MANIPULATING = Reference(
    "Virat Shejwalkar, Amir Houmansadr",
    "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for Federated Learning",
    "NDSS",
    2021,
    "https://dx.doi.org/10.14722/ndss.2021.24498",
)
BUCKETING = Reference(
    "Sai Praneeth Karimireddy, Lie He, Martin Jaggi",
    "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing",
    "ICLR",
    2022,
    "https://openreview.net/forum?id=jXKKDEi5vJt",
)
KRUM = Reference(
    "Peva Blanchard, El Mahdi El-Mhamdi, Rachid Guerraoui, Julien Stainer",
    "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
    "NeurIPS",
    2017,
    "https://papers.nips.cc/paper/2017/hash/f4b9ec30ad9f68f89b29639786cb62ef-Abstract.html",
)
