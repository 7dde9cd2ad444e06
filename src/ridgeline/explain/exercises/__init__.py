"""Roofline questions, worked step by step with any numbers, and answers graded."""

from ridgeline.explain.exercises.grade import Grade, grade
from ridgeline.explain.exercises.question import Part, Question, question, questions
from ridgeline.explain.exercises.solve import Solution, Solved, solve

__all__ = ["Grade", "Part", "Question", "Solution", "Solved", "grade", "question", "questions",
           "solve"]
