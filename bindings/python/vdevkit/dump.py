# SPDX-License-Identifier: BSD-3-Clause
"""What lies in a ring's memory, as text: for courses and for looking at a queue that got stuck."""
import struct

from .api import constants

_FLAGS = [("VIRTQ_DESC_NEXT", "next"), ("VIRTQ_DESC_WRITE", "write"), ("VIRTQ_DESC_INDIRECT", "indirect"),
          ("VIRTQ_DESC_AVAIL", "avail"), ("VIRTQ_DESC_USED", "used")]


def _flags(value):
    return "+".join(word for name, word in _FLAGS if value & constants[name]) or "-"


def _split(read, state):
    size = state.size
    for i in range(size):
        addr, length, flags, follow = struct.unpack("<QIHH", read(state.desc + 16 * i, 16))
        if length or addr:
            yield f"desc[{i}] addr={addr:#x} len={length} flags={_flags(flags)} next={follow}"
    flags, idx, *ring = struct.unpack(f"<HH{size}H", read(state.driver, 4 + 2 * size))
    yield f"avail flags={flags} idx={idx} ring={ring}"
    flags, idx, *ring = struct.unpack("<HH" + "II" * size, read(state.device, 4 + 8 * size))
    used = [f"{i}:{n}" for i, n in zip(ring[::2], ring[1::2])]
    yield f"used flags={flags} idx={idx} ring=[{', '.join(used)}] (id:bytes)"


def _packed(read, state):
    for i in range(state.size):
        addr, length, ident, flags = struct.unpack("<QIHH", read(state.desc + 16 * i, 16))
        if addr or length or flags:
            yield f"desc[{i}] addr={addr:#x} len={length} id={ident} flags={_flags(flags)}"
    for name, area in (("driver", state.driver), ("device", state.device)):
        off_wrap, flags = struct.unpack("<HH", read(area, 4))
        how = {0: "enable", 1: "disable", 2: "at descriptor"}.get(flags & 3, "reserved")
        yield f"{name} event {how} off={off_wrap & 0x7fff} wrap={off_wrap >> 15}"


def dump(memory, state, packed):
    """Lines about the ring at state's addresses. memory: anything with read(gpa, size)."""
    head = f"{'packed' if packed else 'split'} ring of {state.size}"
    return [head, *(_packed if packed else _split)(memory.read, state)]
