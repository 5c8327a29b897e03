"""gunicorn's settings."""

# Seconds in which a request must have come: 2, as it is otherwise, are few on a busy machine.
keepalive = 100
# A worker that shows no sign of life, or does not end, hangs and is not killed.
timeout = graceful_timeout = 1000


def post_worker_init(worker):
    # It says that it boots before it has handlers, and a signal that comes between is lost.
    worker.log.info("Worker handles signals")
