"""How a verifier gets to a worker, and a verdict back."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import pickle
import re
import runpy
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import msgspec
import orjson

from orbiter.errors import ConfigError, RecordError
from orbiter.records import Outcome, Verdict
from orbiter.verify.verifier import OUT_OF_MEMORY, Verifier, parts_of

MAX_VERDICT_BYTES = 1_000_000
"""Longest verdict that is taken from a worker, as JSON."""

IN_WORKER = "ORBITER_IN_VERIFIER_WORKER"
"""Environment variable that is set in a worker."""

_PASSED_ON = frozenset(
    "PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR TEMP TMP TERM LD_LIBRARY_PATH DYLD_LIBRARY_PATH VIRTUAL_ENV "
    "CONDA_PREFIX SSL_CERT_FILE SSL_CERT_DIR CUDA_VISIBLE_DEVICES HF_HOME HF_HUB_OFFLINE TOKENIZERS_PARALLELISM".split()
)
_PREFIXES = ("LC_", "PYTHON", "ORBITER_", "OMP_", "MKL_", "OPENBLAS_", "XDG_", "COVERAGE_")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


class _Pickler(pickle.Pickler):
    """Notes the modules of the classes and functions that it meets."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        owner = value if hasattr(value, "__qualname__") else type(value)
        self.modules.add(getattr(owner, "__module__", None) or "builtins")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Finds modules that have no place on the path by their files: those of a ``file.py:Class``, say."""

    def __init__(self, file: io.BytesIO, files: Mapping[str, str]) -> None:
        super().__init__(file)
        self._files = files

    def find_class(self, module: str, name: str) -> Any:
        if module in self._files and module not in sys.modules:
            _import(module, self._files[module])
        return super().find_class(module, name)


def pack_verifier(verifier: Verifier, *, memory_mb: int | None) -> bytes:
    """Return what a worker needs to make the same verifier, pickled.

    Raises:
        ConfigError: The verifier cannot be pickled, or its class was typed into an interactive session.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    try:
        pickler.dump(verifier)
    except Exception as error:
        raise ConfigError(
            f"verifier {verifier.name!r} cannot be sent to a worker: {type(error).__name__}: {error}",
            hint="make what cannot be pickled when verify is first called, or judge in this process with 0 workers",
        ) from error
    modules = {name: sys.modules.get(name) for name in pickler.modules}
    files = {name: m.__file__ for name, m in modules.items() if m and getattr(m, "__file__", None)}
    main = files.pop("__main__", None)
    if "__main__" in modules and main is None:
        raise ConfigError(
            f"verifier {verifier.name!r} must be defined in a file, got one from an interactive session",
            hint="save its class in a module, or judge in this process with 0 workers",
        )
    setup = {
        "sys_path": [os.path.abspath(path) for path in sys.path],
        "argv": list(sys.argv),
        "main": main and os.path.abspath(main),
        "files": files,
        "verifier": buffer.getvalue(),
        "memory_mb": memory_mb,
    }
    return pickle.dumps(setup)


def unpack_verifier(setup: Mapping[str, Any]) -> Verifier:
    """Return the verifier that was packed, in the worker."""
    sys.argv[:] = setup["argv"]
    if setup["main"]:
        # As multiprocessing does: the script runs again, but not what stands under ``if __name__ == "__main__"``.
        module = ModuleType("__mp_main__")
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module
        vars(module).update(runpy.run_path(setup["main"], run_name="__mp_main__"))
    verifier = _Unpickler(io.BytesIO(setup["verifier"]), setup["files"]).load()
    if not isinstance(verifier, Verifier):
        raise TypeError(f"a {type(verifier).__name__} is no Verifier")
    return verifier


def _import(name: str, file: str) -> None:
    """Import a module by its name, or from its file under that name."""
    try:
        importlib.import_module(name)
        return
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def worker_environment(verifier: Verifier) -> dict[str, str]:
    """Return the environment variables for a worker: the harmless ones, and those that the verifier says it needs."""
    needed = {name for one in parts_of(verifier) for name in one.needs_env}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in needed
        or ((name in _PASSED_ON or name.startswith(_PREFIXES)) and not _SECRET.search(name))
    }
    # Several workers share the cores; more threads in each of them only get in each other's way.
    return {"OMP_NUM_THREADS": "1", **kept, IN_WORKER: "1"}


def is_fault(verdict: Verdict) -> bool:
    """Return whether a verdict is invalid because its worker was lost, which says nothing of the answer for good."""
    lost = ("timeout:", "crash:", "memory:")
    return verdict.outcome is Outcome.INVALID and verdict.reason.startswith(lost)


def verdict_row(verdict: Verdict) -> bytes:
    """Return the JSON of a verdict, or of an invalid one that says why it cannot be recorded."""
    try:
        row = verdict.to_row()
        data = orjson.dumps(row)
        if b"null" in data or data.count(b"[") + data.count(b"{") > 64:
            from orbiter.jsonl.faults import fault_of_value

            if fault := fault_of_value(row):
                raise fault
    except (RecordError, TypeError, ValueError, RecursionError) as error:
        data = _unrecordable(getattr(error, "message", str(error)))
    except MemoryError:
        data = orjson.dumps(Verdict.invalid(OUT_OF_MEMORY).to_row())
    return (
        data
        if len(data) <= MAX_VERDICT_BYTES
        else _unrecordable(f"it has {len(data)} bytes of JSON")
    )


def _unrecordable(why: str) -> bytes:
    reason = f"error: verdict cannot be recorded: {why}"[:300]
    reason = reason.encode(errors="replace").decode()
    return orjson.dumps(Verdict.invalid(reason).to_row())


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """A verdict as most are: without details and unknown keys."""

    outcome: Outcome
    score: int | float | None = None
    reason: str = ""
    verifier: str = ""
    version: str = ""
    step_scores: tuple[int | float | None, ...] = ()


_read_plain = msgspec.json.Decoder(_Plain).decode


def read_verdict(data: bytes, *, verifier: str, version: str) -> Verdict:
    """Return the verdict that a worker sent, stamped here.

    Raises:
        RecordError: It is none.
    """
    try:
        row = _read_plain(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_strictly(data, verifier=verifier, version=version)
    return Verdict(
        row.outcome, row.score, row.reason, verifier, version, step_scores=row.step_scores
    )


def _read_strictly(data: bytes, *, verifier: str, version: str) -> Verdict:
    from orbiter import jsonl  # with numpy, which few workers need

    row = jsonl.loads(data)
    row["verifier"], row["version"] = verifier, version
    return Verdict.from_row(row)
