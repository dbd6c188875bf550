/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_ns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mark.h"

#include <vdev/netif_xdp.h>

/*
 * A namespace of users as well, so that root is not needed; not twice, or there would be no way back. Root needs none, and a
 * process of several threads can't have one.
 */
static int enter(void)
{
	static int entered;
	int rc = entered ? -1 : unshare(CLONE_NEWUSER | CLONE_NEWNET);

	entered = 1;
	return rc == 0 ? 0 : unshare(CLONE_NEWNET);
}

const char *ns_missing(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (enter() < 0)
			_exit(1);
		if (open("/dev/net/tun", O_RDWR) < 0)
			_exit(2);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return "no processes";
	return WEXITSTATUS(status) == 1   ? "no network namespaces of one's own"
	       : WEXITSTATUS(status) == 2 ? "no /dev/net/tun"
	                                  : NULL;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* Kernels without IPv6 do not have it. */
	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

const char *xdp_missing(void)
{
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "lo", .ring = 64};
	struct vdev_netif *n;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) < 0 ? EPERM : -vdev_netif_xdp_new(&n, vdev_env_hosted(), &cfg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return "no processes";
	switch (WEXITSTATUS(status)) {
	case EPERM:
		return "a network namespace with XDP needs root";
	case ENOSYS:
	case EAFNOSUPPORT:
		return "this kernel has no XDP sockets";
	default:
		return NULL;
	}
}

static void be_quiet(void)
{
	/* No frames of its own accord. */
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	if_up("lo", 1);
}

void ns_enter(void)
{
	ck_assert_msg(enter() == 0, "unshare: %s", strerror(errno));
	be_quiet();
}

int ns_enter_as_root(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	be_quiet();
	return 0;
}

static void control(unsigned long request, void *arg, const char *what)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(s, 0);
	ck_assert_msg(ioctl(s, request, arg) == 0, "%s: %s", what, strerror(errno));
	close(s);
}

static struct ifreq named(const char *name)
{
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	return r;
}

static void address(struct sockaddr *to, const char *ip)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	ck_assert_int_eq(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	memcpy(to, &a, sizeof(a));
}

void if_up(const char *name, int up)
{
	struct ifreq r = named(name);

	control(SIOCGIFFLAGS, &r, "SIOCGIFFLAGS");
	r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	control(SIOCSIFFLAGS, &r, "SIOCSIFFLAGS");
}

void if_wait(const char *name)
{
	struct ifreq r = named(name);

	for (int i = 0; i < 6000; i++) {
		control(SIOCGIFFLAGS, &r, "SIOCGIFFLAGS");
		if (r.ifr_flags & IFF_RUNNING) {
			/* Takes the lock under which the rest of it is done. */
			control(SIOCSIFFLAGS, &r, "SIOCSIFFLAGS");
			return;
		}
		usleep(10000);
	}
	ck_abort_msg("%s does not run", name);
}

void cable_wait(const char *from, const char *to)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5)}, b = a;
	int in = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), n = 0;
	struct pollfd p = {.fd = in, .events = POLLIN};
	uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2};

	frame[12] = 0x88;
	frame[13] = 0xb5;
	a.sll_ifindex = if_index(to);
	b.sll_ifindex = if_index(from);
	ck_assert_int_eq(bind(in, (struct sockaddr *)&a, sizeof(a)), 0);
	do {
		ck_assert_int_lt(n++, 60);
		ck_assert_int_eq(sendto(in, frame, sizeof(frame), 0, (struct sockaddr *)&b, sizeof(b)),
		                 sizeof(frame));
	} while (poll(&p, 1, 1000) == 0);
	close(in);
}

void if_address(const char *name, const char *ip)
{
	struct ifreq r = named(name);

	address(&r.ifr_addr, ip);
	control(SIOCSIFADDR, &r, "SIOCSIFADDR");
	address(&r.ifr_netmask, "255.255.255.0");
	control(SIOCSIFNETMASK, &r, "SIOCSIFNETMASK");
}

void if_neighbour(const char *name, const char *ip, const uint8_t *mac)
{
	struct arpreq r;

	memset(&r, 0, sizeof(r));
	address(&r.arp_pa, ip);
	r.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(r.arp_ha.sa_data, mac, 6);
	r.arp_flags = ATF_PERM | ATF_COM;
	strncpy(r.arp_dev, name, sizeof(r.arp_dev) - 1);
	control(SIOCSARP, &r, "SIOCSARP");
}

void if_get_mac(const char *name, uint8_t *mac)
{
	struct ifreq r = named(name);

	control(SIOCGIFHWADDR, &r, "SIOCGIFHWADDR");
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
}

void if_mtu(const char *name, int mtu)
{
	struct ifreq r = named(name);

	r.ifr_mtu = mtu;
	control(SIOCSIFMTU, &r, "SIOCSIFMTU");
}

int if_index(const char *name)
{
	struct ifreq r = named(name);

	control(SIOCGIFINDEX, &r, "SIOCGIFINDEX");
	return r.ifr_ifindex;
}

/* --- rtnetlink ------------------------------------------------------------------- */

struct request {
	struct nlmsghdr h;
	struct ifinfomsg i;
	uint8_t room[512];
};

/* An attribute; len 0 with data NULL begins one that holds others, which nest_end() closes. */
static struct rtattr *put(struct request *r, unsigned type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)r + NLMSG_ALIGN(r->h.nlmsg_len));

	a->rta_type = (unsigned short)type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

static void nest_end(struct request *r, struct rtattr *a)
{
	a->rta_len = (unsigned short)((uint8_t *)r + r->h.nlmsg_len - (uint8_t *)a);
}

static void ask(struct request *r)
{
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t room[1024];
	} answer;

	ck_assert_int_ge(s, 0);
	r->h.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	ck_assert_int_eq(send(s, r, r->h.nlmsg_len, 0), (int)r->h.nlmsg_len);
	ck_assert_int_ge(recv(s, &answer, sizeof(answer), 0),
	                 (int)(sizeof(answer.h) + sizeof(answer.e.error)));
	ck_assert_msg(answer.h.nlmsg_type == NLMSG_ERROR && answer.e.error == 0, "rtnetlink: %s",
	              strerror(-answer.e.error));
	close(s);
}

static struct request link_request(unsigned type)
{
	struct request r;

	memset(&r, 0, sizeof(r));
	r.h.nlmsg_len = NLMSG_LENGTH(sizeof(r.i));
	r.h.nlmsg_type = (uint16_t)type;
	return r;
}

void if_delete(const char *name)
{
	struct request r = link_request(RTM_DELLINK);

	r.i.ifi_index = if_index(name);
	ask(&r);
}

void if_no_offloads(const char *name)
{
	static const uint32_t what[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO};
	struct ethtool_value v = {0, 0};
	struct ifreq r = named(name);

	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		v.cmd = what[i];
		r.ifr_data = (char *)&v;
		control(SIOCETHTOOL, &r, "SIOCETHTOOL");
	}
}

static void put_queues(struct request *r, uint32_t queues)
{
	if (queues == 0)
		return;
	put(r, IFLA_NUM_TX_QUEUES, &queues, sizeof(queues));
	put(r, IFLA_NUM_RX_QUEUES, &queues, sizeof(queues));
}

void veth_new(const char *name, const char *peer)
{
	veth_new_queues(name, peer, 0);
}

void veth_new_queues(const char *name, const char *peer, uint32_t queues)
{
	struct request r = link_request(RTM_NEWLINK);
	struct rtattr *info, *data, *other;

	r.h.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	put(&r, IFLA_IFNAME, name, strlen(name) + 1);
	put_queues(&r, queues);
	info = put(&r, IFLA_LINKINFO, NULL, 0);
	put(&r, IFLA_INFO_KIND, "veth", 5);
	data = put(&r, IFLA_INFO_DATA, NULL, 0);
	other = put(&r, VETH_INFO_PEER, NULL, 0);
	r.h.nlmsg_len += (uint32_t)sizeof(struct ifinfomsg); /* all zero */
	put(&r, IFLA_IFNAME, peer, strlen(peer) + 1);
	put_queues(&r, queues);
	nest_end(&r, other);
	nest_end(&r, data);
	nest_end(&r, info);
	ask(&r);
}

/* --- waiting ---------------------------------------------------------------------- */

int is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(poll(&p, 1, 60000), 1);
}
