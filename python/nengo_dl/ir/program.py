"""The program: what the planner makes, what the engine and the twin run.

The meaning of every record is written down in ``docs/PROGRAM.md``. The records are frozen:
a program never changes after it is made; state and parameters live outside it.
"""

import struct
from dataclasses import dataclass, field, is_dataclass
from functools import cache

import numpy as np

from .kinds import INC, KINDS, WRITE

MAGIC = b"NDLP"
VERSION = 1
BUFFER_KINDS = ("param", "learned", "state", "carried", "window", "local")
REGION_KINDS = ("sequence", "loop")
RNG_WORDS = 628


class ProgramError(ValueError):
    """A program that does not follow the rules of docs/PROGRAM.md."""


@dataclass(frozen=True)
class Buffer:
    """A piece of memory that holds one or more signals side by side."""

    kind: str
    name: str
    size: int  # elements per row and item
    param: int = -1  # index of the parameter it holds, if kind is param or learned
    state_offset: int = -1  # first column in the packed state, if state or carried


@dataclass(frozen=True)
class Param:
    """One array of parameters: all weights of a merged block."""

    name: str
    size: int
    learned: int = 0  # 1: one copy per minibatch item, changed while running
    # every rows x columns elements are a matrix that lies column by column outside and row by row
    # in the program's buffers; 0: elements lie outside as they do inside
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True)
class Port:
    """A model input or output."""

    name: str
    size: int


@dataclass(frozen=True)
class Operand:
    """A strided view of a buffer, one per block, in elements."""

    buffer: int
    shift: int
    shape: tuple
    strides: tuple
    offsets: tuple


@dataclass(frozen=True)
class Op:
    """One instruction: ``blocks`` equal operators run as one."""

    kind: str
    name: str
    blocks: int
    args: dict
    attrs: dict = field(default_factory=dict)

    def access(self, arg: str) -> str:
        """Return what it does with an argument: ``read``, ``write``, ``inc`` or ``update``."""
        try:
            kind = KINDS[self.kind]
            access = kind.arg(arg).access
        except ValueError as e:
            raise ProgramError(f"op {self.name!r}: {e}") from None
        if arg == kind.settable:
            return WRITE if self.attrs["set"] else INC
        return access


@dataclass(frozen=True)
class Region:
    """Ops that run over a whole window one by one, or together step by step."""

    kind: str
    ops: tuple


@dataclass(frozen=True)
class Program:
    """Everything the engine needs to know about a model except its numbers."""

    dtype: str
    dt: float
    window: int  # steps per window; 0 lets the engine choose
    state_size: int  # elements per item
    istate_size: int  # int32 words per item
    buffers: tuple
    params: tuple
    inputs: tuple
    outputs: tuple
    regions: tuple

    def ops(self):
        """Iterate over all ops in running order."""
        for region in self.regions:
            yield from region.ops


def grid(shape: tuple, strides: tuple) -> np.ndarray:
    """Distances of the elements of a strided view from its first, flat, in C order."""
    places = np.zeros((), dtype=np.int64)
    for n, stride in zip(shape, strides, strict=True):
        places = places[..., None] + np.arange(n, dtype=np.int64) * stride
    return places.ravel()


def elements(op: Op, arg: str) -> np.ndarray:
    """Elements of a buffer that an argument of an op names, ``(blocks, elements)``."""
    operand = op.args[arg]
    places = grid(operand.shape, operand.strides)
    index = op.attrs.get(f"{arg}_index")
    if index is not None:
        places = places[np.asarray(index, dtype=np.int64)]
    return places + np.asarray(operand.offsets, dtype=np.int64)[:, None]


def spans(op: Op, arg: str) -> np.ndarray:
    """First and last+1 element of each block of an argument, ``(blocks, 2)``.

    Without listing the elements between: weights are large.
    """
    operand = op.args[arg]
    index = op.attrs.get(f"{arg}_index")
    if index is not None:
        far = [i * operand.strides[0] for i in (min(index), max(index))] if len(index) else [0]
        ends = min(far), max(far) + 1
    elif 0 in operand.shape:
        ends = 0, 0
    else:
        far = [(n - 1) * s for n, s in zip(operand.shape, operand.strides, strict=True)]
        ends = sum(min(f, 0) for f in far), sum(max(f, 0) for f in far) + 1
    return np.asarray(operand.offsets, dtype=np.int64)[:, None] + np.array(ends)


# ---------------------------------------------------------------- bytes


def to_bytes(program):
    """Serialise a `.Program`."""
    parts = [MAGIC, struct.pack("<I", VERSION)]
    _encode(program, None, parts.append)
    return b"".join(parts)


# lists of records, which must not be taken for (empty) arrays of integers
_LISTS = ("buffers", "params", "inputs", "outputs", "regions", "ops")


def _encode(value, key, put):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        raw = value.encode()
        put(b"s" + struct.pack("<I", len(raw)) + raw)
    elif isinstance(value, int):  # a bool is one
        put(b"i" + struct.pack("<q", value))
    elif isinstance(value, float):
        put(b"f" + struct.pack("<d", value))
    elif key in _LISTS:
        put(b"L" + struct.pack("<I", len(value)))
        for item in value:
            _encode(item, None, put)
    elif isinstance(value, dict) or is_dataclass(value):
        members = value if isinstance(value, dict) else vars(value)
        put(b"D" + struct.pack("<I", len(members)))
        for name in sorted(members):
            put(_encoded_name(name))
            _encode(members[name], name, put)
    else:
        put(_encode_array(value, key))


@cache
def _encoded_name(name):
    raw = name.encode()
    return struct.pack("<H", len(raw)) + raw


def _encode_array(value, key):
    array = np.asarray(value)
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise ProgramError(f"{key}: can't serialise {value!r}, expected a flat array of numbers")
    tag, dtype = (b"F", "<f8") if array.dtype.kind == "f" else (b"I", "<i8")
    return tag + struct.pack("<I", array.size) + array.astype(dtype).tobytes()


def from_bytes(data):
    """Read a `.Program` back; raises `.ProgramError` on malformed bytes."""
    if data[:4] != MAGIC:
        raise ProgramError("not a program: it does not start with NDLP")
    try:
        (version,) = struct.unpack_from("<I", data, 4)
        if version != VERSION:
            raise ProgramError(f"program version: expected {VERSION}, got {version}")
        value, pos = _decode(data, 8)
        if pos != len(data):
            raise ProgramError(f"expected the end of the program, got {len(data) - pos} more bytes")
        return _build(value)
    except (struct.error, KeyError, TypeError, IndexError, UnicodeDecodeError) as e:
        raise ProgramError(f"malformed program: {e}") from e


def _decode(data, pos):
    tag, pos = data[pos : pos + 1], pos + 1
    if tag == b"i":
        return struct.unpack_from("<q", data, pos)[0], pos + 8
    if tag == b"f":
        return struct.unpack_from("<d", data, pos)[0], pos + 8
    (count,) = struct.unpack_from("<I", data, pos)
    pos += 4
    if tag == b"s":
        _need(data, pos, count)
        return data[pos : pos + count].decode(), pos + count
    if tag in b"IF" and tag:
        _need(data, pos, 8 * count)
        array = np.frombuffer(data, "<i8" if tag == b"I" else "<f8", count, pos)
        return tuple(array.tolist()), pos + 8 * count
    if tag == b"L":
        items = []
        for _ in range(count):
            item, pos = _decode(data, pos)
            items.append(item)
        return items, pos
    if tag == b"D":
        items = {}
        for _ in range(count):
            (length,) = struct.unpack_from("<H", data, pos)
            _need(data, pos + 2, length)
            key = data[pos + 2 : pos + 2 + length].decode()
            items[key], pos = _decode(data, pos + 2 + length)
        return items, pos
    raise ProgramError(f"unknown tag {tag!r} at byte {pos - 1}")


def _need(data, pos, count):
    if pos + count > len(data):
        raise ProgramError(f"truncated: expected {count} bytes at {pos}, got {len(data) - pos}")


def _build(value):
    def op(v):
        args = {k: Operand(**a) for k, a in v["args"].items()}
        return Op(v["kind"], v["name"], v["blocks"], args, v["attrs"])

    return Program(
        **{
            **value,
            "buffers": tuple(Buffer(**v) for v in value["buffers"]),
            "params": tuple(Param(**v) for v in value["params"]),
            "inputs": tuple(Port(**v) for v in value["inputs"]),
            "outputs": tuple(Port(**v) for v in value["outputs"]),
            "regions": tuple(
                Region(v["kind"], tuple(op(o) for o in v["ops"])) for v in value["regions"]
            ),
        }
    )
