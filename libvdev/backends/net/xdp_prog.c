/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel runs for each frame that arrives: the socket of its queue gets it; where there is none, the host's stack.
 *
 *	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
 *
 * Attached by a link, which the kernel takes away when its last descriptor is closed: a process that is killed leaves nothing
 * behind.
 */
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "xdp.h"

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	long rc = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return rc < 0 ? -errno : (int)rc;
}

/* Sockets by the number of their queue. */
static int make_map(const struct xdp_queue *q, uint32_t n)
{
	union bpf_attr attr;
	int map, rc = 0;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_XSKMAP;
	attr.key_size = sizeof(uint32_t);
	attr.value_size = sizeof(int);
	attr.max_entries = n;
	map = bpf(BPF_MAP_CREATE, &attr);
	for (uint32_t i = 0; i < n && map >= 0 && rc == 0; i++) {
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = (uint32_t)map;
		attr.key = (uintptr_t)&i;
		attr.value = (uintptr_t)&q[i].fd;
		rc = bpf(BPF_MAP_UPDATE_ELEM, &attr);
	}
	if (rc < 0) {
		vdev_os_close(map);
		return rc;
	}
	return map;
}

static int load(int map)
{
	const struct bpf_insn code[] = {
		{.code = BPF_LDX | BPF_W | BPF_MEM,
	     .dst_reg = BPF_REG_2,
	     .src_reg = BPF_REG_1,
	     .off = offsetof(struct xdp_md, rx_queue_index)},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
	     .dst_reg = BPF_REG_1,
	     .src_reg = BPF_PSEUDO_MAP_FD,
	     .imm = map},
		{.code = 0}, /* the upper half of it */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(code[0]);
	attr.license = (uintptr_t) "BSD";
	return bpf(BPF_PROG_LOAD, &attr);
}

static int link_to(int prog, int ifindex, uint32_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_ifindex = (uint32_t)ifindex;
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = flags;
	return bpf(BPF_LINK_CREATE, &attr);
}

int xdp_attach(const struct xdp_queue *q, uint32_t n, int ifindex, int generic)
{
	int map = make_map(q, n);
	int prog = map < 0 ? map : load(map);
	int link = prog < 0 ? prog : -EOPNOTSUPP;

	if (prog >= 0 && !generic)
		link = link_to(prog, ifindex, 0);
	/* The driver has its reasons, such as an MTU. */
	if (prog >= 0 && link < 0 && link != -EBUSY && link != -EEXIST && link != -EPERM)
		link = link_to(prog, ifindex, XDP_FLAGS_SKB_MODE);
	/* The link keeps the program, and that the map. */
	vdev_os_close(prog);
	vdev_os_close(map);
	return link == -EEXIST ? -EBUSY : link;
}
