"""The publications behind the data sets."""

from __future__ import annotations

from varangian.core.citations import Reference

OPTICAL_DIGITS = Reference(
    "Ethem Alpaydin, Cenk Kaynak",
    "Optical Recognition of Handwritten Digits",
    "UCI Machine Learning Repository",
    1998,
    "https://archive.ics.uci.edu/dataset/80",
)
DOCUMENT_RECOGNITION = Reference(
    "Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner",
    "Gradient-based learning applied to document recognition",
    "Proceedings of the IEEE",
    1998,
    "http://yann.lecun.com/exdb/mnist/",
)
FASHION = Reference(
    "Han Xiao, Kashif Rasul, Roland Vollgraf",
    "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
    "arXiv",
    2017,
    "https://arxiv.org/abs/1708.07747",
)
TINY_IMAGES = Reference(
    "Alex Krizhevsky",
    "Learning Multiple Layers of Features from Tiny Images",
    "University of Toronto",
    2009,
    "https://www.cs.toronto.edu/~kriz/cifar.html",
)
PHISHING_FEATURES = Reference(
    "Rami M. Mohammad, Fadi Thabtah, Lee McCluskey",
    "An assessment of features related to phishing websites using an automated technique",
    "ICITST",
    2012,
    "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary.html#phishing",
)
