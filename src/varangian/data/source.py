"""What is known of a published data set before a byte of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from varangian.core.citations import Reference

Layout = Literal["embedded", "idx", "cifar", "libsvm"]


@dataclass(frozen=True)
class Part:
    """One file's content, whatever compresses it: its name, the most bytes it may hold, its sha256.

    Where no sha256 is published only the format is checked.
    """

    name: str
    most_bytes: int
    sha256: str | None = None


@dataclass(frozen=True)
class Download:
    """A file as it is published: its name, checksum (``md5:...`` or ``sha256:...``) and addresses.

    An archive also says in which ``folder`` of it the parts lie; it is read where it is, never unpacked.
    """

    name: str
    checksum: str
    urls: tuple[str, ...]
    folder: str | None = None


@dataclass(frozen=True)
class Source:
    """A published data set: what it holds, the files that hold it, and where they come from.

    ``parts`` stand in the order of the layout: ``idx`` has train images, train labels, test images, test
    labels; ``cifar`` has the train batches, then the test batch; ``libsvm`` has one text whose first
    ``train_size`` rows train. ``mean`` and ``std`` are per channel, of pixels scaled to 0..1.
    ``coarse_classes`` counts the classes of the label byte that precedes the label, 0 if none does.
    """

    name: str
    summary: str
    classes: int
    input_shape: tuple[int, ...]
    train_size: int
    test_size: int
    layout: Layout
    reference: Reference
    parts: tuple[Part, ...] = ()
    downloads: tuple[Download, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    coarse_classes: int = 0

    @property
    def archive(self) -> Download | None:
        """Return the archive that holds all parts, if they are published as one."""
        return next((download for download in self.downloads if download.folder), None)
