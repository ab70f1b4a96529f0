"""The data sets that the library knows: plain values, nothing is read or fetched here."""

from __future__ import annotations

from varangian.data.references import (
    DOCUMENT_RECOGNITION,
    FASHION,
    OPTICAL_DIGITS,
    PHISHING_FEATURES,
    TINY_IMAGES,
)
from varangian.data.source import Download, Part, Source

_IDX_FILES = (
    ("train-images-idx3-ubyte", 47040016),
    ("train-labels-idx1-ubyte", 60008),
    ("t10k-images-idx3-ubyte", 7840016),
    ("t10k-labels-idx1-ubyte", 10008),
)


def _idx_parts(*sha256: str) -> tuple[Part, ...]:
    return tuple(Part(*file, sha) for file, sha in zip(_IDX_FILES, sha256, strict=True))


def _idx_downloads(addresses: tuple[str, ...], *md5: str) -> tuple[Download, ...]:
    return tuple(
        Download(f"{name}.gz", f"md5:{known}", tuple(f"{address}/{name}.gz" for address in addresses))
        for (name, _), known in zip(_IDX_FILES, md5, strict=True)
    )


DIGITS = Source(
    name="digits",
    summary="8x8 grey handwritten digits, embedded in scikit-learn; a fifth of each class tests",
    classes=10,
    input_shape=(1, 8, 8),
    train_size=1437,
    test_size=360,
    layout="embedded",
    reference=OPTICAL_DIGITS,
    mean=(0.3053,),
    std=(0.3760,),
)

MNIST = Source(
    name="mnist",
    summary="28x28 grey handwritten digits",
    classes=10,
    input_shape=(1, 28, 28),
    train_size=60000,
    test_size=10000,
    layout="idx",
    reference=DOCUMENT_RECOGNITION,
    parts=_idx_parts(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    downloads=_idx_downloads(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    mean=(0.1307,),
    std=(0.3081,),
)

FASHION_MNIST = Source(
    name="fashion-mnist",
    summary="28x28 grey pictures of clothes, in the form of MNIST",
    classes=10,
    input_shape=(1, 28, 28),
    train_size=60000,
    test_size=10000,
    layout="idx",
    reference=FASHION,
    parts=_idx_parts(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    downloads=_idx_downloads(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    mean=(0.2860,),
    std=(0.3530,),
)

CIFAR10 = Source(
    name="cifar10",
    summary="32x32 colour pictures of vehicles and animals",
    classes=10,
    input_shape=(3, 32, 32),
    train_size=50000,
    test_size=10000,
    layout="cifar",
    reference=TINY_IMAGES,
    parts=(
        *(
            Part(f"data_batch_{number}.bin", 30730000, sha256)
            for number, sha256 in enumerate(
                (
                    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                ),
                start=1,
            )
        ),
        Part("test_batch.bin", 30730000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ),
    downloads=(
        Download(
            "cifar-10-binary.tar.gz",
            "md5:c32a1d4ab5d03f1284b67883e8d87530",
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            folder="cifar-10-batches-bin",
        ),
    ),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)

CIFAR100 = Source(
    name="cifar100",
    summary="32x32 colour pictures of a hundred things, with their fine labels",
    classes=100,
    input_shape=(3, 32, 32),
    train_size=50000,
    test_size=10000,
    layout="cifar",
    reference=TINY_IMAGES,
    parts=(
        Part("train.bin", 153700000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
        Part("test.bin", 30740000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
    ),
    downloads=(
        Download(
            "cifar-100-binary.tar.gz",
            "md5:03b5dce01913d631647c71ecec9e9cb8",
            ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
            folder="cifar-100-binary",
        ),
    ),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    coarse_classes=20,
)

PHISHING = Source(
    name="phishing",
    summary="68 one-hot features of web pages, phishing or not; the first 8400 rows train, in their order",
    classes=2,
    input_shape=(68,),
    train_size=8400,
    test_size=2655,
    layout="libsvm",
    reference=PHISHING_FEATURES,
    # No checksum is published, so another spelling of the same rows is read as well.
    parts=(Part("phishing", 16_000_000),),
    downloads=(
        Download(
            "phishing",
            "sha256:0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a",
            ("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/phishing",),
        ),
    ),
)

DATASETS: tuple[Source, ...] = (DIGITS, MNIST, FASHION_MNIST, CIFAR10, CIFAR100, PHISHING)
"""The catalogue of data sets."""
