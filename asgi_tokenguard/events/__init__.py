"""What follows from a change, off the request path: a bounded outbox, and mirrors of the sessions elsewhere."""
