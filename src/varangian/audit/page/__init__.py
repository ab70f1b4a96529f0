"""Page: the report of an audit -> one HTML file that can be read, played with, printed and forwarded."""

from varangian.audit.page.render import render

__all__ = ["render"]
