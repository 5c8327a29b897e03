# puma's settings: seconds that a request may take to come, 20 and 30 otherwise, and that a worker may show no sign of life.
persistent_timeout 100
first_data_timeout 100
worker_timeout 1000
