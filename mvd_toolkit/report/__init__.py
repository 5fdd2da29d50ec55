"""Pages to look at: one self-contained HTML file that opens offline."""

from __future__ import annotations

from mvd_toolkit.report.evaluation_page import write_report
from mvd_toolkit.report.page import Card, Panel, write_page

__all__ = ["Card", "Panel", "write_page", "write_report"]
