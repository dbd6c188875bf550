# SPDX-License-Identifier: BSD-3-Clause
"""Memory that two sides share, and either side of a virtqueue in it. One thread per queue and side."""
import ctypes
import mmap

from .api import Error, call, constants, features, functions, structs


class Memory:
    """Page-aligned memory of this process that stands for a guest's."""

    def __init__(self, size, gpa=0):
        self.map, self.gpa, self._used = mmap.mmap(-1, size), gpa, 0
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))

    def take(self, size, align=16):
        """A fresh piece; its offset, which is its device address less gpa."""
        start = -(-self._used // align) * align
        if start + size > len(self.map):
            raise Error(12, "the memory is too small")
        self._used = start + size
        return start

    def read(self, gpa, size):
        return self.map[gpa - self.gpa:gpa - self.gpa + size]

    def write(self, gpa, data):
        self.map[gpa - self.gpa:gpa - self.gpa + len(data)] = bytes(data)


def _features(packed, event_idx):
    return features(constants["VIRTQ_F_VERSION_1"], *[constants["VIRTQ_F_RING_PACKED"]] * packed,
                    *[constants["VIRTQ_F_EVENT_IDX"]] * event_idx)


def _private(size):
    """Memory aligned to 8 that only the library looks at."""
    return (ctypes.c_uint64 * -(-size // 8))()


class Driver:
    """The driver side: add buffers, publish, take back what the device used."""

    def __init__(self, memory, size=8, packed=False, event_idx=False):
        """size: descriptors of the ring, which is laid out in memory."""
        self.memory, self.packed, self.event_idx = memory, packed, event_idx
        self.features = _features(packed, event_idx)
        ring_bytes = functions["virtq_drv_ring_bytes"](size, self.features)
        ring = memory.take(ring_bytes)
        self._scratch = _private(functions["virtq_drv_bytes"](size, self.features))
        cfg = structs["virtq_drv_config"](features=self.features, queue_size=size, ring=memory.address + ring,
                                          ring_addr=memory.gpa + ring,
                                          scratch=ctypes.addressof(self._scratch),
                                          scratch_bytes=ctypes.sizeof(self._scratch))
        cfg.size = ctypes.sizeof(cfg)
        self._vq = structs["virtq_drv"]()
        self._given, self._cookie = {}, 0
        call("virtq_drv_init_sized", self._vq, ctypes.sizeof(self._vq), cfg)

    def state(self):
        """struct virtq_state: addresses, size, fresh positions."""
        state = structs["virtq_state"]()
        functions["virtq_drv_state"](self._vq, state)
        return state

    def add(self, readable=(), writable=(), cookie=None):
        """One buffer. readable: byte strings, which are copied into the memory; writable: lengths."""
        pieces = [(self.memory.take(len(r)), len(r)) for r in readable]
        for (start, _), data in zip(pieces, readable):
            self.memory.write(self.memory.gpa + start, data)
        writes = [(self.memory.take(n), n) for n in writable]
        seg = (structs["virtq_seg"] * max(1, len(pieces) + len(writes)))()
        for s, (start, length) in zip(seg, pieces + writes):
            s.addr, s.len = self.memory.gpa + start, length
        self._cookie += 1
        call("virtq_drv_add", self._vq, seg, len(pieces), len(writes), self._cookie)
        self._given[self._cookie] = (cookie, writes)

    def publish(self):
        """Show the device what was added. True: it wants to be notified."""
        functions["virtq_drv_publish"](self._vq)
        return call("virtq_drv_should_kick", self._vq) == 1

    def take(self, most=64):
        """What the device used: [(cookie, bytes it wrote)]."""
        done = (structs["virtq_done"] * most)()
        out = []
        for d in done[:call("virtq_drv_take", self._vq, done, most)]:
            cookie, writes = self._given.pop(d.cookie)
            data = b"".join(self.memory.read(self.memory.gpa + start, n) for start, n in writes)
            out.append((cookie, data[:d.written]))
        return out

    def arm(self):
        """Ask for an interrupt. True: something was used meanwhile."""
        return call("virtq_drv_arm", self._vq) == 1


class Device:
    """The device side of a queue that a Driver laid out: pop requests, push answers."""

    def __init__(self, driver):
        self.memory = driver.memory
        # The library does not copy the regions: they live as long as the map.
        self._region = structs["virtq_region"](gpa=self.memory.gpa, len=len(self.memory.map), host=self.memory.address)
        self._mem = structs["virtq_mem"]()
        call("virtq_mem_init", self._mem, self._region, 1)
        cfg = structs["virtq_dev_config"](features=driver.features, state=driver.state())
        cfg.size, cfg.mem = ctypes.sizeof(cfg), ctypes.pointer(self._mem)
        self._scratch = _private(functions["virtq_dev_bytes"](cfg))
        cfg.scratch, cfg.scratch_bytes = ctypes.addressof(self._scratch), ctypes.sizeof(self._scratch)
        self._vq = structs["virtq_dev"]()
        call("virtq_dev_init_sized", self._vq, ctypes.sizeof(self._vq), cfg)
        self._out = []

    def pop(self):
        """The next request: (chain, bytes to read, room to write), or None."""
        chain, iov = structs["virtq_chain"](), (structs["virtq_iov"] * functions["virtq_dev_max_iov"](self._vq))()
        if call("virtq_dev_pop", self._vq, chain, 1, iov, len(iov)) == 0:
            return None
        data = b"".join(ctypes.string_at(iov[i].base, iov[i].len) for i in range(chain.nread))
        self._out.append((chain, iov))
        return chain, data, chain.write_bytes

    def push(self, chain, data=b""):
        """Answer and publish. True: the driver wants an interrupt."""
        iov = next(i for c, i in self._out if c is chain)
        self._out = [(c, i) for c, i in self._out if c is not chain]
        if len(data) > chain.write_bytes:
            raise ValueError("longer than the room that the driver gave")
        done = 0
        for i in range(chain.nread, chain.nread + chain.nwrite):
            part = data[done:done + iov[i].len]
            ctypes.memmove(iov[i].base, part, len(part))
            done += len(part)
        call("virtq_dev_push", self._vq, chain, ctypes.pointer(ctypes.c_uint32(len(data))), 1)
        functions["virtq_dev_publish"](self._vq)
        return call("virtq_dev_should_interrupt", self._vq) == 1

    def fault(self):
        """Why the queue is broken: a constant's name, or None."""
        fault = structs["virtq_fault"]()
        if functions["virtq_dev_fault"](self._vq, fault) != 1:
            return None
        return next(n for n, v in constants.items() if n.startswith("VIRTQ_FAULT_") and v == fault.reason)
