"""Hello for functions-framework, behind the gunicorn that it ships, over TLS."""

import sys

from functions_framework import create_app
from functions_framework._http import create_server


def hello(request):
    return {"message": f"hello, {request.get_json()['name']}"}


if __name__ == "__main__":
    port, certificate, key = sys.argv[1:]
    server = create_server(
        create_app("hello", __file__), False, certfile=certificate, keyfile=key
    )
    server.run("127.0.0.1", int(port))
