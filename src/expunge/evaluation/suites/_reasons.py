"""Reasons for margins that several suites share."""

EVEN = "who has one forgotten and one never-seen record and must say which is which is right in at most 60 of 100 cases"
WORD = "a tenth of an answer's words, about one word; models that never knew differ by as much in form and common words"
BACK = "of ten answers not one more comes back"
SAID = "of twenty answers at most one more is given"
DISTANCE = "five times what two retrained models of the demo differ by, a fifth of what its original does"
