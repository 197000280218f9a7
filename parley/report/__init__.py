"""One self-contained page about a job: what came out, and what left each party on the way."""

from parley.report.data import ReportData, report_data
from parley.report.html import page

__all__ = ["ReportData", "page", "report_data"]
