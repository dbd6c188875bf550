# SPDX-License-Identifier: BSD-3-Clause
import errno
import os
import tempfile
import unittest

import vdevkit
from vdevkit import api


def sector(n):
    return bytes((n * 7 + i) % 251 for i in range(512))


class BlkTest(unittest.TestCase):
    def test_write_and_read_back_on_both_rings(self):
        for packed in (False, True):
            with vdevkit.Disk(1 << 20) as disk, vdevkit.Blk(disk, packed, serial="python") as blk:
                # More requests than the ring has descriptors, so positions wrap.
                for n in range(600):
                    blk.write(n, sector(n))
                for n in range(0, 600, 37):
                    self.assertEqual(blk.read(n, 1024), sector(n) + (sector(n + 1) if n < 599 else bytes(512)))
                blk.flush()
                self.assertEqual(blk.serial(), "python")
                self.assertEqual(blk.read(600, 512), bytes(512))

    def test_a_request_beyond_the_end_is_an_error_and_the_next_one_works(self):
        with vdevkit.Disk(1 << 20) as disk, vdevkit.Blk(disk) as blk:
            with self.assertRaises(vdevkit.Error):
                blk.read(2048, 512)
            self.assertEqual(blk.read(2047, 512), bytes(512))

    def test_an_image_file_keeps_what_was_written(self):
        with tempfile.NamedTemporaryFile() as image:
            image.truncate(1 << 20)
            with vdevkit.Disk(path=image.name) as disk, vdevkit.Blk(disk) as blk:
                blk.write(3, sector(3))
                blk.flush()
            with open(image.name, "rb") as f:
                f.seek(3 * 512)
                self.assertEqual(f.read(512), sector(3))
            with vdevkit.Disk(path=image.name, readonly=True) as disk, vdevkit.Blk(disk) as blk:
                with self.assertRaises(vdevkit.Error):
                    blk.write(0, sector(1))

    def test_a_missing_image_says_so(self):
        with self.assertRaises(vdevkit.Error) as caught:
            vdevkit.Disk(path=os.path.join(tempfile.gettempdir(), "no", "such", "image"))
        self.assertEqual(caught.exception.errno, errno.ENOENT)


class RingTest(unittest.TestCase):
    def test_requests_go_through_a_ring_both_ways(self):
        for packed in (False, True):
            memory = vdevkit.Memory(1 << 20, gpa=0x10000)
            driver = vdevkit.Driver(memory, 4, packed)
            device = vdevkit.Device(driver)
            self.assertIsNone(device.pop())
            for n in range(50):
                driver.add([b"ask", b"%d" % n], [3, 20], cookie=n)
                self.assertIsNone(device.pop(), "not published yet")
                self.assertTrue(driver.publish())
                chain, data, room = device.pop()
                self.assertEqual((data, room), (b"ask%d" % n, 23))
                self.assertEqual(driver.take(), [])
                device.push(chain, b"answer %d" % n)
                self.assertEqual(driver.take(), [(n, b"answer %d" % n)])

    def test_a_full_ring_refuses(self):
        driver = vdevkit.Driver(vdevkit.Memory(1 << 16), 2)
        driver.add([b"a"])
        driver.add([b"b"])
        with self.assertRaises(vdevkit.Error) as caught:
            driver.add([b"c"])
        self.assertEqual(caught.exception.errno, errno.ENOSPC)

    def test_a_hostile_address_breaks_the_queue_and_says_why(self):
        for packed in (False, True):
            memory = vdevkit.Memory(1 << 16)
            driver = vdevkit.Driver(memory, 4, packed)
            device = vdevkit.Device(driver)
            driver.add([b"x" * 16])
            driver.publish()
            memory.write(driver.state().desc, (1 << 40).to_bytes(8, "little"))
            with self.assertRaises(vdevkit.Error):
                device.pop()
            self.assertEqual(device.fault(), "VIRTQ_FAULT_ADDRESS")

    def test_dump_shows_what_is_in_the_ring(self):
        memory = vdevkit.Memory(1 << 16)
        driver = vdevkit.Driver(memory, 4)
        device = vdevkit.Device(driver)
        driver.add([b"hello"], [8])
        driver.publish()
        text = "\n".join(vdevkit.dump(memory, driver.state(), False))
        self.assertIn("len=5 flags=next next=1", text)
        self.assertIn("len=8 flags=write", text)
        self.assertIn("avail flags=0 idx=1", text)
        self.assertIn("used flags=0 idx=0", text)
        device.push(device.pop()[0], b"12345678")
        self.assertIn("idx=1 ring=[0:8", vdevkit.dump(memory, driver.state(), False)[-1])
        packed = vdevkit.Driver(memory, 4, packed=True)
        packed.add([b"hello"], [8])
        packed.publish()
        lines = vdevkit.dump(memory, packed.state(), True)
        self.assertIn("len=5 id=0 flags=next+avail", lines[1])
        self.assertIn("device event enable", lines[-1])


class ApiTest(unittest.TestCase):
    def test_functions_and_constants_have_their_c_names(self):
        self.assertEqual(api.constants["VIRTQ_EINVAL"], -errno.EINVAL)
        self.assertGreater(api.functions["virtq_version"](), 0)
        with self.assertRaises(vdevkit.Error):
            api.call("virtq_mem_init", None, None, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
