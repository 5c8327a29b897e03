"""nginx as a server of files, for its own row and as the other end of the web's clients."""

from __future__ import annotations

from .stage import Running, Side, Stage

PORT = 8080

CONFIGURATION = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr notice;
user www-data;
worker_processes 2;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    client_max_body_size 64m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {port};
        root {shared};
        location /put/ {{ alias {directory}/put/; dav_methods PUT; }}
        location /copy/ {{ sendfile off; alias {shared}/; }}
        location /proxy/ {{ proxy_pass http://{upstream}/; }}
        {places}
    }}
}}
"""


def start(stage: Stage, side: Side, upstream: str = "127.0.0.1:9", places: str = "") -> Running:
    put = stage.directory / "put"
    put.mkdir()
    put.chmod(0o777)
    text = CONFIGURATION.format(directory=stage.directory, shared=stage.shared, port=PORT, upstream=upstream, places=places)
    stage.file("nginx.conf", text)
    # The line is the second worker's: both are there, and the port was open before either.
    return side.start("nginx", "-c", stage.directory / "nginx.conf", ready="start worker process [0-9]").says("start worker process [0-9]", 2)


def tell(stage: Stage, side: Side, word: str) -> None:
    side.run("nginx", "-c", stage.directory / "nginx.conf", "-s", word)
