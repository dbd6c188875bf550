/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole driver in user space: virtio-rng over PCI. How registers are reached and where DMA memory
 * lies is the caller's, so there is no main() here; tests/interop runs it on QEMU's device.
 */
#include <vdev/pci_driver.h>

#define RING   4u    /* descriptors */
#define BUFFER 2048u /* where in the DMA memory the buffer lies; the ring is in front of it */

int read_entropy(const struct vdev_pci_access *access, uint8_t *dma, uint64_t dma_addr, void *out,
                 uint32_t bytes);

/*
 * Fill out with random bytes, at most 2048. dma: 4096 bytes that the device reaches at dma_addr, both
 * aligned to 16. Returns how many bytes came, or VIRTQ_E*.
 */
int read_entropy(const struct vdev_pci_access *access, uint8_t *dma, uint64_t dma_addr, void *out,
                 uint32_t bytes)
{
	const struct virtq_features wanted = {{1u << VIRTQ_F_EVENT_IDX, 0}};
	_Alignas(8) uint8_t scratch[1024];
	struct virtq_drv_config ring = {.size = sizeof(ring),
	                                .queue_size = RING,
	                                .ring = dma,
	                                .ring_addr = dma_addr,
	                                .scratch = scratch,
	                                .scratch_bytes = sizeof(scratch)};
	struct virtq_seg buffer = {dma_addr + BUFFER, bytes};
	struct vdev_driver_queue queue;
	struct vdev_pci_driver pci;
	struct virtq_done done;
	struct virtq_drv vq;
	int rc, n = 0;

	rc = vdev_pci_driver_init(&pci, access);
	if (rc != 4) /* entropy, section 5.4 */
		return rc < 0 ? rc : VIRTQ_ENOTSUP;
	if ((rc = vdev_driver_begin(&pci.driver)) < 0 ||
	    (rc = vdev_driver_negotiate(&pci.driver, &wanted, NULL)) < 0)
		return rc;
	vdev_driver_features(&pci.driver, &ring.features);
	if ((rc = virtq_drv_init(&vq, &ring)) < 0 ||
	    (rc = vdev_driver_queue_start(&queue, &pci.driver, 0, &vq, VDEV_DRIVER_NO_VECTOR)) < 0 ||
	    (rc = vdev_driver_ready(&pci.driver)) < 0)
		return rc;

	rc = virtq_drv_add(&vq, &buffer, 0, 1, out);
	if (rc == 0)
		(void)vdev_driver_kick(&queue);
	for (long i = 0; rc == 0 && n == 0 && i < 10000000;
	     i++) /* a real one waits for the interrupt */
		n = virtq_drv_take(&vq, &done, 1);
	if (n == 1)
		for (uint32_t i = 0; i < done.written; i++)
			((uint8_t *)out)[i] = dma[BUFFER + i];

	if (vdev_driver_reset(&pci.driver) < 0)
		return VIRTQ_EIO; /* the device may still write to dma */
	if (rc < 0 || n < 0)
		return rc < 0 ? rc : n;
	return n == 1 ? (int)done.written : VIRTQ_EAGAIN;
}
