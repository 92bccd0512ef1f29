"""``sekisho doctor``: looks at a running set-up as its user would, changes nothing, and says what to type.

``examine`` is the door; each file beside it looks at one side of the set-up.
"""
