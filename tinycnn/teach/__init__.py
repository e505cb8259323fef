"""Homework that grades itself: seven functions to write, each with a first difference and a hint.

::

    grade(conv2d_forward), or python -m tinycnn.teach grade solution.py -> Report

docs/teach.md is the guide for students and teachers. Nothing here compiles anything.
"""

from tinycnn.teach.exercises import EXERCISES
from tinycnn.teach.grader import grade, grade_file
from tinycnn.teach.report import Report

__all__ = ["EXERCISES", "Report", "grade", "grade_file"]
