"""What a Python engine runs: started by an agent, never imported by a user.

`driver` is the loop between the agent's socket and the user's code, `calls` the table of functions that a
run can name, `failure` what is told of exceptions, `shown` where displays go.
"""
