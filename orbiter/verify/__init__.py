"""Who judges: the Verifier ABC, the built-in verifiers, and the measured error rate of each.

The ABC and ``judge``     verifier
What was answered         answer, and of a trace: calls, schema (of the tools), expected (calls that should be made)
Is the answer right?      exact, numeric, regex, countdown (with arithmetic)
Are the calls right?      tool_call, static
Has the text the form?    format, length, repetition, language
What do several say?      combine, process
What does a model say?    judges
Judging in processes      pool, scoring (of rows in a file), sandbox (for code)
How often is it wrong?    audit
"""

from orbiter.verify.verifier import Verifier, judge

__all__ = ["Verifier", "judge"]
