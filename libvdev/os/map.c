/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory from files. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os.h"

int vdev_os_size(int fd, uint64_t *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*out = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
	return 0;
}

int vdev_os_map(struct vdev_os_map *out, int fd, uint64_t offset, uint64_t len, int write)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t skip = offset & (page - 1);
	struct stat st;
	void *base;

	if (len == 0 || offset + len < offset || offset + len > INT64_MAX || len > SIZE_MAX - skip)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Beyond the end of a file each access would be a SIGBUS. Devices have no size to compare with. */
	if (S_ISREG(st.st_mode) && offset + len > (uint64_t)st.st_size)
		return -EINVAL;
	base = mmap(NULL, (size_t)(len + skip), write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
	            fd, (off_t)(offset - skip));
	if (base == MAP_FAILED)
		return -errno;
	/* Guest memory has no place in core files. */
	(void)madvise(base, (size_t)(len + skip), MADV_DONTDUMP);
	*out = (struct vdev_os_map){.addr = (char *)base + skip,
	                            .len = (size_t)len,
	                            .base = base,
	                            .total = (size_t)(len + skip)};
	return 0;
}

int vdev_os_map_anon(struct vdev_os_map *out, size_t len)
{
	void *base;

	if (len == 0)
		return -EINVAL;
	base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	*out = (struct vdev_os_map){.addr = base, .len = len, .base = base, .total = len};
	return 0;
}

void vdev_os_unmap(struct vdev_os_map *map)
{
	if (map->base != NULL)
		(void)munmap(map->base, map->total);
	*map = (struct vdev_os_map){0};
}

int vdev_os_memfd(const char *name, uint64_t bytes)
{
	int fd, rc;

	if (bytes > INT64_MAX)
		return -EINVAL;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int vdev_os_in_memory(int fd)
{
	int saved = errno;
	/* Asking for the type of the file system would be a question to its server, where it has one. */
	int yes = fcntl(fd, F_GET_SEALS) >= 0;

	errno = saved;
	return yes;
}

int vdev_os_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}
