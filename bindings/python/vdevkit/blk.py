# SPDX-License-Identifier: BSD-3-Clause
"""A block device and its driver in this process (the loopback transport)."""
import ctypes
import struct

from .api import Error, call, constants, features, functions, structs
from .ring import Memory

IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8  # request types, section 5.2.6
_STATUS = {1: "I/O error", 2: "not supported"}


class Disk:
    """A disk: in memory, or an image file."""

    def __init__(self, size=0, path=None, readonly=False):
        """size: bytes of a memory disk. path: an image instead."""
        self.pointer = ctypes.POINTER(structs["vdev_disk"])()
        env, out = functions["vdev_env_hosted"](), _out(self.pointer)
        if path is None:
            call("vdev_disk_mem_new", out, env, None, size)
        else:
            self._path = path.encode()
            cfg = structs["vdev_disk_file_config"](path=self._path)
            cfg.size = ctypes.sizeof(cfg)
            cfg.flags = constants["VDEV_DISK_FILE_READONLY"] if readonly else 0
            call("vdev_disk_file_new", out, env, cfg)

    def free(self):
        """No device may use it any more."""
        if self.pointer:
            functions["vdev_disk_free"](self.pointer)
        self.pointer = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()


class Blk:
    """A virtio-blk device on a disk, driven from here. Everything from one thread."""

    def __init__(self, disk, packed=False, serial="", memory=1 << 20):
        """packed: the ring's layout. memory: bytes that driver and device share."""
        self.disk, self.memory = disk, Memory(memory)
        env = functions["vdev_env_hosted"]()
        self._device = ctypes.POINTER(structs["vdev"])()
        self._driver = None
        cfg = structs["vdev_blk_config"](serial=serial.encode())
        cfg.size = ctypes.sizeof(cfg)
        call("vdev_blk_new", _out(self._device), env, disk.pointer, cfg)
        wanted = [constants["VIRTQ_F_EVENT_IDX"], constants["VDEV_BLK_F_FLUSH"], constants["VDEV_BLK_F_RO"]]
        wanted += [constants["VIRTQ_F_RING_PACKED"]] * packed
        loop = structs["vdev_loopback_config"](memory=self.memory.address, bytes=memory, gpa=self.memory.gpa,
                                               wanted=features(*wanted))
        loop.size = ctypes.sizeof(loop)
        driver = ctypes.POINTER(structs["vdev_loopback"])()
        try:
            call("vdev_loopback_new", _out(driver), env, self._device, loop)
            self._driver = driver
            call("vdev_loopback_start", driver)
        except Error:
            self.free()
            raise

    def request(self, kind, sector, data=b"", length=0):
        """One request; what the device wrote, without the status."""
        out = struct.pack("<IIQ", kind, 0, sector) + bytes(data)
        into = ctypes.create_string_buffer(length + 1)
        n = call("vdev_loopback_request", self._driver, 0, ctypes.create_string_buffer(out, len(out)), len(out), into,
                 length + 1)
        if n < 1:
            raise Error(5, "the device wrote no status")
        status = into.raw[length]
        if status:
            raise Error(5, _STATUS.get(status, f"status {status}"))
        return into.raw[:length]

    def read(self, sector, length):
        """length bytes from a sector (512 bytes) on."""
        return self.request(IN, sector, length=length)

    def write(self, sector, data):
        self.request(OUT, sector, data)

    def flush(self):
        self.request(FLUSH, 0)

    def serial(self):
        return self.request(GET_ID, 0, length=20).rstrip(b"\0").decode()

    def ring_state(self, queue=0):
        """struct virtq_state of a queue: addresses and positions."""
        state = structs["virtq_state"]()
        call("vdev_queue_state", self._device, queue, state)
        return state

    def free(self):
        if self._driver:
            functions["vdev_loopback_free"](self._driver)
        self._driver = None
        if self._device:
            call("vdev_free", self._device)
        self._device = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()


def _out(pointer):
    """The address of a pointer, for calls that fill it."""
    return ctypes.cast(ctypes.pointer(pointer), ctypes.c_void_p)
