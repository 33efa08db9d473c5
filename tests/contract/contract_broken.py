"""Programs that break a rule, made of valid ones: ``broken(program)`` yields (what, bytes)."""

import struct
from dataclasses import is_dataclass, replace

import numpy as np

from nengo_dl.ir import program as records

HUGE = 2**62


def encode(value):
    """Bytes of a program given as plain dicts and lists, whatever its keys."""
    return records.MAGIC + struct.pack("<I", records.VERSION) + _encode(value, "")


def _encode(value, key):
    if isinstance(value, dict):
        names = sorted(value, key=str.encode)
        items = (struct.pack("<H", len(n)) + n.encode() + _encode(value[n], n) for n in names)
    elif key.rstrip("_") in records._LISTS and not isinstance(value, str):
        items = [_encode(item, "") for item in value]
    else:
        parts = []
        records._encode(value, key, parts.append)
        return b"".join(parts)
    return (
        (b"D" if isinstance(value, dict) else b"L")
        + struct.pack("<I", len(value))
        + b"".join(items)
    )


def plain(value):
    """A program as plain dicts and lists, to be changed and encoded."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return [plain(record) for record in value]
    return value


def broken(program, specs):
    """All broken variants of a program.

    ``specs`` is `_engine.op_specs()`.
    """
    for what, other in _broken_records(program, specs):
        yield what, records.to_bytes(other)
    yield from _broken_fields(program)


def _with_op(program, which, op):
    """The program with op number ``which`` replaced."""
    regions, number = [], 0
    for region in program.regions:
        ops = []
        for old in region.ops:
            ops.append(op if number == which else old)
            number += 1
        regions.append(replace(region, ops=tuple(ops)))
    return replace(program, regions=tuple(regions))


def _broken_records(program, specs):
    yield from _broken_program(program)
    yield from _broken_buffers(program)
    for which, op in enumerate(program.ops()):
        for what, other in _broken_op(program, op, specs[op.kind]):
            yield f"{op.kind}: {what}", _with_op(program, which, other)


def _broken_program(program):
    for dtype in ("float16", "", "Float64"):
        yield f"dtype {dtype}", replace(program, dtype=dtype)
    for dt in (-0.001, float("nan"), float("inf")):
        yield f"dt {dt}", replace(program, dt=dt)
    for size in (-1, HUGE):
        yield f"state_size {size}", replace(program, state_size=size)
        yield f"istate_size {size}", replace(program, istate_size=size)
    yield "window", replace(program, window=-1)
    for region in program.regions:
        yield "region kind", replace(program, regions=(replace(region, kind="parallel"),))
    for field in ("params", "inputs", "outputs"):
        for i, port in enumerate(getattr(program, field)):
            for size in (-1, HUGE):
                ports = list(getattr(program, field))
                ports[i] = replace(port, size=size)
                yield f"{field} size {size}", replace(program, **{field: tuple(ports)})


def _broken_buffers(program):
    def changed(i, **kwargs):
        buffers = list(program.buffers)
        buffers[i] = replace(buffers[i], **kwargs)
        return replace(program, buffers=tuple(buffers))

    for i, buffer in enumerate(program.buffers):
        changes = [{"size": -1}, {"size": HUGE}, {"kind": "global"}, {"size": 0}]
        if buffer.kind in ("param", "learned"):
            changes += [{"param": -1}, {"param": len(program.params)}, {"state_offset": 0}]
            changes += [{"size": buffer.size + 1}, {"kind": "window"}]
            changes += [{"kind": "learned" if buffer.kind == "param" else "param"}]
        elif buffer.kind in ("state", "carried"):
            changes += [{"state_offset": -1}, {"state_offset": program.state_size}]
            changes += [{"state_offset": HUGE}, {"param": 0}, {"kind": "window"}]
            others = [b for b in program.buffers if b.state_offset >= 0 and b is not buffer]
            changes += [{"state_offset": b.state_offset} for b in others]
        else:
            changes += [{"param": 0}, {"state_offset": 0}, {"kind": "state"}]
        for change in changes:
            yield f"buffer {buffer.kind} {change}", changed(i, **change)


def _broken_op(program, op, spec):
    yield "unknown kind", replace(op, kind="magic")
    for blocks in (0, -1, op.blocks + 1, HUGE):
        yield f"blocks {blocks}", replace(op, blocks=blocks)
    yield "unknown attribute", replace(op, attrs={**op.attrs, "colour": 1})
    if op.args:
        operand = next(iter(op.args.values()))
        yield "unknown argument", replace(op, args={**op.args, "magic": operand})
    known = {arg["name"]: (arg["access"], arg["optional"]) for arg in spec["args"]}
    for name, operand in op.args.items():
        access, optional = known.get(name) or known[name.rstrip("0123456789") + "*"]
        if not optional and name in known:
            left = {n: o for n, o in op.args.items() if n != name}
            yield f"no {name}", replace(op, args=left)
        for what, other in _broken_operand(program, operand, access):
            yield f"{name} {what}", replace(op, args={**op.args, name: other})
    yield from _broken_attrs(program, op)


def _broken_operand(program, o, access):
    for number in (-1, len(program.buffers), HUGE):
        yield f"buffer {number}", replace(o, buffer=number)
    kind = program.buffers[o.buffer].kind
    for shift in (-1, 2, HUGE) + ((1,) if kind != "carried" else ()):
        yield f"shift {shift}", replace(o, shift=shift)
    size = program.buffers[o.buffer].size
    for offset in (-size - 1, size, -HUGE, 2 * HUGE - 1, HUGE):
        yield f"offset {offset}", replace(o, offsets=(*o.offsets[:-1], offset))
    yield "offsets missing", replace(o, offsets=o.offsets[:-1])
    yield "one offset more", replace(o, offsets=(*o.offsets, o.offsets[-1]))
    yield "rank 5", replace(o, shape=(1,) * 5, strides=(1,) * 5)
    yield "a stride more", replace(o, strides=(*o.strides, 1))
    for i, length in enumerate(o.shape):
        # what is read may be repeated any number of times
        for wrong in (0, -1, HUGE, *([2**32] if o.strides[i] else [])):
            shape = (*o.shape[:i], wrong, *o.shape[i + 1 :])
            yield f"shape {shape}", replace(o, shape=shape)
        if length > 1:
            for stride in (size, -size, HUGE, -HUGE, 2 * HUGE - 1):
                strides = (*o.strides[:i], stride, *o.strides[i + 1 :])
                yield f"strides {strides}", replace(o, strides=strides)
    if access != "read":
        yield from _wrong_targets(program, o, access)


def _wrong_targets(program, o, access):
    if len(o.offsets) > 1:
        yield "blocks overlap", replace(o, offsets=(o.offsets[0],) * len(o.offsets))
    for i, length in enumerate(o.shape):
        if length > 1:
            strides = (*o.strides[:i], 0, *o.strides[i + 1 :])
            yield f"writes twice, strides {strides}", replace(o, strides=strides)
    reach = max(o.offsets) + sum(
        (n - 1) * s for n, s in zip(o.shape, o.strides, strict=True) if s > 0
    )
    for number, buffer in enumerate(program.buffers):
        if buffer.size > reach and (
            buffer.kind == "param" or (buffer.kind in ("window", "local") and access == "update")
        ):
            yield f"{access} in {buffer.kind}", replace(o, buffer=number, shift=0)
    if program.buffers[o.buffer].kind == "carried":
        yield "writes with shift 0", replace(o, shift=0)


def _broken_attrs(program, op):
    for name in op.attrs:
        if name not in ("src_index", "dst_index", "negative"):
            yield f"no {name}", replace(op, attrs={k: v for k, v in op.attrs.items() if k != name})
        yield f"{name} is text", replace(op, attrs={**op.attrs, name: "no such thing"})
    wrong = {
        "index": (-1, HUGE, len(program.inputs) + len(program.outputs)),
        "rng": (-1, program.istate_size - 627, HUGE),
        "set": (2, -1),
        "in_channels": (0, -1, HUGE),
        "out_channels": (0, -1, HUGE),
        "groups": (0, -1, HUGE),
    }
    if op.kind == "callback":
        wrong["index"] = (-1,)  # how many functions there are is known only when it runs
    for name, values in wrong.items():
        for value in values:
            if name in op.attrs:
                yield f"{name} {value}", replace(op, attrs={**op.attrs, name: value})
    for name in ("src_index", "dst_index", "indices", "indptr"):
        if name in op.attrs:
            for value in (-1, 10**6, HUGE):
                array = np.array(op.attrs[name])
                array[-1] = value
                yield f"{name} {value}", replace(op, attrs={**op.attrs, name: array})
    for name in ("in_shape", "out_shape", "kernel", "stride", "A", "B", "C", "D", "times"):
        if name in op.attrs:
            longer = np.append(op.attrs[name], 1)
            yield f"{name} longer", replace(op, attrs={**op.attrs, name: longer})
            if name in ("in_shape", "out_shape", "kernel", "stride"):
                for value in (0, -1, HUGE):
                    array = np.array(op.attrs[name])
                    array[0] = value
                    yield f"{name} {value}", replace(op, attrs={**op.attrs, name: array})


# ---------------------------------------------------------------- fields


def _records_in(value, path=""):
    """All dicts with fixed fields in a plain program, the program first."""
    yield path or "program", value
    for key in ("buffers", "params", "inputs", "outputs"):
        for record in value[key][:1]:
            yield key, record
    for region in value["regions"][:1]:
        yield "region", region
        for op in region["ops"][:1]:
            yield "op", op
            for operand in list(op["args"].values())[:1]:
                yield "operand", operand


def _broken_fields(program):
    """One field of one record missing, renamed, added or of another type."""
    value = plain(program)
    for what, record in _records_in(value):
        for field in list(record):
            kept = dict(record)
            del record[field]
            yield f"{what} without {field}", encode(value)
            record[field + "_"] = kept[field]
            yield f"{what} with {field}_", encode(value)
            record.clear()
            record.update(kept)
            record["zzz"] = 0
            yield f"{what} with zzz", encode(value)
            del record["zzz"]
            record[field] = "text" if not isinstance(kept[field], str) else 3
            yield f"{what} with {field} of another type", encode(value)
            record.clear()
            record.update(kept)
