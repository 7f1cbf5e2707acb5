"""What a job does once it is confined: take one program, run it, and answer calls of its functions.

Everything here runs in the same process as the untrusted program and can be tampered with by it. Nothing depends on it: what
comes out of the channel is a value that the program could have returned, and the verdict on it is reached elsewhere.
"""

from __future__ import annotations

import atexit
import builtins
import json
import os
import random
import socket
import sys
import threading
import types
from typing import Any

from .frames import Channel, ChannelClosedError
from .values import ValueRefusedError, dump, load, pack, unpack

MAX_PROGRAM = 16 << 20
"""Longest message to a job, in bytes; it comes from our own side."""

READY = b"ready"
VALUE, RAISED, REFUSED = 0, 1, 2
"""What a reply says: the value; the exception; that the value is not plain."""


def serve(sock: socket.socket) -> None:
    """Do what the first message says, and leave the process."""
    channel = Channel(sock, max_bytes=MAX_PROGRAM)
    _warm_up()
    channel.send(READY)
    order = json.loads(channel.receive(ahead=False))
    # Two runs of one program should agree, so its random numbers are the same ones each time.
    random.seed(0)
    sys.argv, sys.orig_argv = ["program"], []
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what the module site would have given
    if order["mode"] == "script":
        _run_script(sock, order["program"])
    else:
        _answer_calls(channel, order["program"], order["nonce"])


def _warm_up() -> None:
    """Touch, while nobody waits yet, the memory that any program will: a fork copies each page when it is first written to."""
    namespace = _run("def f(x):\n    return [str(x), {x: 1.5}]\n", "warm_up")
    del sys.modules["warm_up"]
    text = dump(["", "f", pack((1,)), pack({})])
    _, name, args, kwargs = load(text)
    dump(["", VALUE, pack(_find(namespace, name)(*unpack(args), **unpack(kwargs)))])
    dump(_raised("", ValueError()))


def _run_script(sock: socket.socket, program: str) -> None:
    """Run the program with the channel as its standard input and output, up to its exit."""
    os.dup2(sock.fileno(), 0)
    os.dup2(sock.fileno(), 1)
    sock.detach()  # and leave it open: the other side takes the end of the output for the end of the program
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__ = sys.stdin, sys.stdout  # type: ignore[misc]
    status = 1
    try:
        _run(program, "__main__")
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: S110  # whatever it raised, the status says so
        pass
    try:
        # As the interpreter at its end: wait for threads, call what atexit knows, let go of files that were left open.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _flush(sys.stdout)
        vars(sys.modules["__main__"]).clear()
        _flush(sys.__stdout__)
    except BaseException:
        status = status or 1
    os._exit(status & 255)


def _flush(file: Any) -> None:
    """Flush a stream, unless the program has closed it or put nothing in its place."""
    if file is not None and not getattr(file, "closed", False):
        file.flush()


def _answer_calls(channel: Channel, program: str, nonce: str) -> None:
    namespace: dict[str, Any] = {}
    try:
        namespace = _run(program, "solution")
        reply = [nonce, VALUE, None]
    except BaseException as error:
        reply = _raised(nonce, error)
    channel.send(dump(reply))
    while True:
        try:
            calls = json.loads(channel.receive())
        except ChannelClosedError:
            os._exit(0)
        for call in calls:
            channel.send(_answer(namespace, *call))


def _answer(namespace: dict[str, Any], nonce: str, name: str, args: Any, kwargs: Any) -> bytes:
    """Return the reply to one call."""
    try:
        value = _find(namespace, name)(*unpack(args), **unpack(kwargs))
        try:
            return dump([nonce, VALUE, pack(value)])
        except (ValueRefusedError, RecursionError) as error:
            return dump([nonce, REFUSED, str(error)])
    except BaseException as error:
        return dump(_raised(nonce, error))


def _run(program: str, name: str) -> dict[str, Any]:
    """Run the program as a module of this name and return its namespace."""
    code = compile(program, "<program>", "exec", dont_inherit=True)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(code, module.__dict__)  # noqa: S102  # this process exists for it
    return module.__dict__


def _find(namespace: dict[str, Any], name: str) -> Any:
    """Return the function ``f``, or the method ``C.f`` of a new ``C()``."""
    first, _, method = name.partition(".")
    try:
        found = namespace[first]
    except KeyError:
        raise NameError(f"name {first!r} is not defined") from None
    return getattr(found(), method) if method else found


def _raised(nonce: str, error: BaseException) -> list[Any]:
    """Return the reply that names the nearest builtin class of an exception."""
    kinds = [c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"]
    try:
        message = str(error)[:200]
    except BaseException:
        message = ""
    return [nonce, RAISED, kinds[0] if kinds else "Exception", message]
