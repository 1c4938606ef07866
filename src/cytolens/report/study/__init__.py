"""The report of a study: a paper's experiments under its protocol and under the honest one."""

from cytolens.report.study.study_report import write_study_report

__all__ = ["write_study_report"]
