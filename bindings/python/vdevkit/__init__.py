# SPDX-License-Identifier: BSD-3-Clause
"""vdevkit from Python: a disk in this process, the driver side of a ring, and a ring's contents.

    with vdevkit.Disk(64 << 20) as disk, vdevkit.Blk(disk) as blk:
        blk.write(5, b"hello".ljust(512, b"\\0"))
        print(blk.read(5, 512))

The C interface itself is in vdevkit.api: functions, structs and constants by their C names.
"""
from . import api
from .api import Error
from .blk import Blk, Disk
from .dump import dump
from .ring import Device, Driver, Memory

__all__ = ["Blk", "Device", "Disk", "Driver", "Error", "Memory", "api", "dump"]
