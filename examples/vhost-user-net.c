/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Network devices for virtual machines: virtio-net served over vhost-user, any number of sockets in one process. The main
 * thread talks with the front-ends; each queue pair is served by a thread of the loop. A guest's frames go from its memory
 * straight into another guest's, on the sender's thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vdev/net.h>

#include "daemon.h"
#include "net_options.h"
#include "netifs.h"

enum { AT_STATUS = 6, AT_MTU = 10 };

struct net_daemon;

/* What one socket serves. */
struct served {
	const struct net_daemon *daemon;
	unsigned first_thread; /* of its pair 0 */
	struct vdev *net;
	struct vdev_vhost_user *vu;
};

struct net_daemon {
	struct daemon base;
	struct net_options opt;
	struct netifs netifs;
	struct served served[NET_SOCKETS];
};

static int open_device(struct net_daemon *d, unsigned i)
{
	struct served *s = &d->served[i];
	struct vdev_net_config net = {.size = sizeof(net), .pairs = d->opt.pairs, .mtu = d->opt.mtu};
	struct vdev_vhost_user_config vu = {.size = sizeof(vu),
	                                    .path = d->opt.sockets[i],
	                                    .fd = -1,
	                                    .flags = VDEV_VHOST_USER_QUEUE_TASKS};
	int rc;

	if (d->opt.has_mac) {
		memcpy(net.mac, d->opt.mac, sizeof(net.mac));
		net.mac[5] = (uint8_t)(net.mac[5] + i);
	}
	s->daemon = d;
	s->first_thread = i * d->opt.pairs;
	rc = vdev_net_new(&s->net, &d->base.env, d->netifs.netif[i], &net);
	if (rc < 0)
		return daemon_fail(&d->base, "can't make", "the device", rc);
	rc = vdev_vhost_user_new(&s->vu, &d->base.env, s->net, &vu);
	return rc < 0 ? daemon_fail(&d->base, "can't listen on", d->opt.sockets[i], rc) : 0;
}

/* Both queues of a pair are on one thread; the control queue is with the first pair. */
static unsigned thread_of(const void *ctx, unsigned q)
{
	const struct served *s = ctx;
	unsigned pair = q / 2;

	return s->first_thread + (pair < s->daemon->opt.pairs ? pair : 0);
}

static int serve(struct net_daemon *d)
{
	unsigned threads = d->opt.threads;
	int rc;

	if (threads == 0) {
		long processors = sysconf(_SC_NPROCESSORS_ONLN);

		threads = d->opt.nsockets * d->opt.pairs;
		if (processors > 0 && threads > (unsigned long)processors)
			threads = (unsigned)processors;
		threads = threads < NET_THREADS ? threads : NET_THREADS;
	}
	rc = daemon_start(&d->base, threads, d->opt.poll ? UINT32_MAX : d->opt.spin_us);
	if (rc == 0)
		rc = netifs_watch(&d->netifs, &d->base);
	for (unsigned i = 0; i < d->opt.nsockets && rc == 0; i++)
		rc = daemon_serve(&d->base, d->served[i].vu, vdev_queue_count(d->served[i].net), thread_of,
		                  &d->served[i]);
	return rc;
}

static void print_text(const char *key, const char *s)
{
	printf("\"%s\":\"", key);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void print_number(const char *key, uint64_t n)
{
	printf(",\"%s\":%" PRIu64, key, n);
}

static void print_negotiated(const struct vdev_vhost_user *vu)
{
	struct virtq_features f;
	const char *ring = "none";

	if (vdev_vhost_user_features(vu, &f))
		ring = virtq_features_has(&f, VIRTQ_F_RING_PACKED) ? "packed" : "split";
	printf(",\"ring\":\"%s\",\"features\":\"0x%" PRIx64 "\",\"features_64\":\"0x%" PRIx64 "\"",
	       ring, f.word[0], f.word[1]);
}

/* The queues of one direction together; the control queue, an even one, is counted with those that receive. */
static void print_queues(const struct vdev *v, unsigned first, const char *const keys[4])
{
	struct vdev_counters sum = {0}, c;

	for (unsigned q = first; q < vdev_queue_count(v); q += 2) {
		vdev_queue_counters(v, q, &c);
		sum.bursts += c.bursts;
		sum.kicks += c.kicks;
		sum.interrupts += c.interrupts;
		sum.faults += c.faults;
	}
	print_number(keys[0], sum.bursts);
	print_number(keys[1], sum.kicks);
	print_number(keys[2], sum.interrupts);
	print_number(keys[3], sum.faults);
}

static void print_device(struct vdev *v)
{
	struct vdev_net_counters c;
	uint8_t status[2], mtu[2];

	/* as the driver reads them (VIRTIO 1.4, 5.1.4); a front-end may have said another MTU than --mtu */
	vdev_config_read(v, AT_STATUS, status, sizeof(status));
	print_number("status", status[0] | (unsigned)status[1] << 8);
	vdev_config_read(v, AT_MTU, mtu, sizeof(mtu));
	print_number("mtu", mtu[0] | (unsigned)mtu[1] << 8);
	vdev_net_counters(v, &c);
	print_number("received", c.received);
	print_number("received_bytes", c.received_bytes);
	print_number("no_buffers", c.no_buffers);
	print_number("too_short", c.too_short);
	print_number("not_ready", c.not_ready);
	print_number("filtered", c.filtered);
	print_number("oversized", c.oversized);
	print_number("segmented", c.segmented);
	print_number("summed", c.summed);
	print_number("sent", c.sent);
	print_number("sent_bytes", c.sent_bytes);
	print_number("malformed", c.malformed);
	print_number("discarded", c.discarded);
	print_number("lost", c.lost);
}

static void print_netif(struct vdev_netif *n)
{
	struct vdev_netif_counters c;

	if (vdev_netif_counters(n, &c) < 0)
		return;
	print_number("netif_sent", c.sent);
	print_number("netif_send_dropped", c.send_dropped);
	print_number("netif_not_taken", c.not_taken);
	print_number("netif_received", c.received);
	print_number("netif_receive_dropped", c.receive_dropped);
}

static void print_counters(void *ctx)
{
	static const char *const rx[] = {"rx_bursts", "rx_kicks", "rx_interrupts", "rx_faults"};
	static const char *const tx[] = {"tx_bursts", "tx_kicks", "tx_interrupts", "tx_faults"};
	const struct net_daemon *d = ctx;

	for (unsigned i = 0; i < d->opt.nsockets; i++) {
		const struct served *s = &d->served[i];

		putchar('{');
		print_text("socket", d->opt.sockets[i]);
		print_negotiated(s->vu);
		print_device(s->net);
		print_queues(s->net, 0, rx);
		print_queues(s->net, 1, tx);
		print_netif(d->netifs.netif[i]);
		puts("}");
	}
	fflush(stdout);
}

static void announce_all(void *ctx)
{
	const struct net_daemon *d = ctx;

	for (unsigned i = 0; i < d->opt.nsockets; i++)
		if (vdev_net_announce(d->served[i].net, NULL) < 0)
			fprintf(stderr, "vhost-user-net: %s can't be announced\n", d->opt.sockets[i]);
}

static void close_all(struct net_daemon *d)
{
	daemon_stop(&d->base);
	for (unsigned i = 0; i < d->opt.nsockets; i++) {
		struct served *s = &d->served[i];

		vdev_vhost_user_free(s->vu);
		if (s->net != NULL && vdev_free(s->net) < 0)
			fputs("vhost-user-net: a device is still busy\n", stderr);
	}
	netifs_close(&d->netifs);
}

int main(int argc, char **argv)
{
	static struct net_daemon d = {.base = {.name = "vhost-user-net",
	                                       .print = print_counters,
	                                       .announce = announce_all,
	                                       .ctx = &d}};
	int rc = net_options_read(&d.opt, argc, argv);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	rc = daemon_init(&d.base);
	if (rc == 0)
		rc = netifs_open(&d.netifs, &d.base, &d.opt);
	for (unsigned i = 0; i < d.opt.nsockets && rc == 0; i++)
		rc = open_device(&d, i);
	if (rc == 0)
		rc = serve(&d);
	if (rc == 0)
		rc = daemon_run(&d.base);
	close_all(&d);
	return rc;
}
