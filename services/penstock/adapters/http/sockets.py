"""The sockets that a replica listens on: its own, or one of several that share a port."""

import socket

from penstock.errors import ConfigurationError

BACKLOG = 2048


def listening_socket(host: str, port: int) -> socket.socket:
    """Listening, of this process alone; port 0 takes a free one.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    try:
        return socket.create_server((host, port), family=_family(host, port), backlog=BACKLOG)
    except OSError as error:
        raise _refused(host, port, error) from None


def shared_socket(host: str, port: int) -> socket.socket:
    """Bound but not listening yet; the kernel spreads connections over those that do (`SO_REUSEPORT`).

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    try:
        bound = socket.socket(_family(host, port), socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        raise _refused(host, port, error) from None
    return bound


def reserved_socket(host: str, port: int, key: str = "port") -> socket.socket:
    """A `shared_socket` on a port that nobody else listens on, to be kept while others share it; 0 takes a free one.

    Raises:
        ConfigurationError: the address cannot be listened on; the sentence names `serving.<key>`.
    """
    try:
        with socket.socket(_family(host, port), socket.SOCK_STREAM) as alone:  # shared, it would join another replica
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
            port = alone.getsockname()[1]
    except OSError as error:
        raise _refused(host, port, error, key) from None
    return shared_socket(host, port)


def _family(host: str, port: int) -> socket.AddressFamily:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]


def _refused(host: str, port: int, error: OSError, key: str = "port") -> ConfigurationError:
    return ConfigurationError(
        f"serving.{key} is {port}: {host}:{port} cannot be listened on ({error.strerror or error}); "
        f"set serving.{key} to a free port, or to 0 for any, and serving.host to an address of this machine."
    )
