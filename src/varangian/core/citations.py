"""Where an algorithm comes from, for people and for BibTeX."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A publication: authors (comma separated), title, venue, year, and a link where there is one."""

    authors: str
    title: str
    venue: str
    year: int
    link: str = ""

    @property
    def short(self) -> str:
        """Return the one-line form, for instance ``Blanchard et al., NeurIPS 2017``."""
        people = self.authors.split(", ")
        names = people[0].split()[-1] + (" et al." if len(people) > 2 else "")
        if len(people) == 2:
            names = " and ".join(person.split()[-1] for person in people)
        return f"{names}, {self.venue} {self.year}"

    def bibtex(self) -> str:
        """Return a BibTeX entry."""
        first = self.authors.split(", ")[0].split()[-1].lower()
        key = f"{first}{self.year}{self.title.split()[0].strip(':,').lower()}"
        kind, place = next(
            (found for word, found in _KINDS.items() if word in self.venue), ("inproceedings", "booktitle")
        )
        fields = {
            "author": self.authors.replace(", ", " and "),
            "title": "{" + self.title + "}",
            place: self.venue,
            "year": str(self.year),
            "url": self.link,
        }
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
        return f"@{kind}{{{key},\n{body}\n}}"


_KINDS = {
    "arXiv": ("misc", "howpublished"),
    "Repository": ("misc", "howpublished"),
    "University": ("techreport", "institution"),
    "Journal": ("article", "journal"),
    "Transactions": ("article", "journal"),
    "Proceedings of the IEEE": ("article", "journal"),
}
"""What BibTeX calls a publication whose venue holds a word, and the field for the venue."""
