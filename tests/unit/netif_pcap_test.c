/* SPDX-License-Identifier: BSD-3-Clause */
/* The netif that writes down what goes through another one. */
#include "check_main.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vdev/netif_pcap.h>
#include <vdev/netif_simple.h>

#include "net_packet.h"
#include "pcap_reader.h"

/* --- the rig ---------------------------------------------------------------------------- */

static struct {
	int fd;
	struct vdev_netif *inner, *netif;
	uint32_t room; /* frames that the sink takes */
	uint64_t delivered;
	int logged;
} t;

static void log_entry(void *ctx, const struct vdev_log_entry *e)
{
	(void)ctx;
	ck_assert_str_eq(e->source, "pcap");
	t.logged++;
}

static uint32_t take(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	uint32_t k = n < t.room ? n : t.room;

	(void)ctx;
	(void)frames;
	(void)flow;
	__atomic_fetch_add(&t.delivered, k, __ATOMIC_RELAXED);
	return k;
}

static const struct vdev_net_sink sink = {.size = sizeof(sink), .deliver = take};

static struct vdev_env env_with_log(void)
{
	struct vdev_env env = *vdev_env_hosted();

	env.log = log_entry;
	return env;
}

static void setup(void)
{
	memset(&t, 0, sizeof(t));
	t.room = UINT32_MAX;
	t.fd = memfd_create("capture", MFD_CLOEXEC);
	ck_assert_int_ge(t.fd, 0);
}

static void teardown(void)
{
	vdev_netif_free(t.netif);
	close(t.fd);
	free(file.bytes);
	file.bytes = NULL;
}

static void capture(struct vdev_netif *inner, uint32_t snaplen, uint64_t max_bytes)
{
	const struct vdev_netif_pcap_config cfg = {.size = sizeof(cfg),
	                                           .fd = t.fd,
	                                           .snaplen = snaplen,
	                                           .max_bytes = max_bytes,
	                                           .own_netif = 1};
	struct vdev_env env = env_with_log();

	t.inner = inner;
	ck_assert_int_eq(vdev_netif_pcap_new(&t.netif, &env, inner, &cfg), 0);
	t.netif->ops->set_sink(t.netif, &sink);
}

static struct vdev_netif *null_netif(void)
{
	struct vdev_netif *n;

	ck_assert_int_eq(vdev_netif_null_new(&n, vdev_env_hosted()), 0);
	return n;
}

static struct vdev_netif *echo_netif(void)
{
	struct vdev_netif *n;

	ck_assert_int_eq(vdev_netif_echo_new(&n, vdev_env_hosted()), 0);
	return n;
}

static struct vdev_netif *source_netif(uint32_t frame_len)
{
	const struct vdev_netif_source_config cfg = {.size = sizeof(cfg),
	                                             .frame_len = frame_len,
	                                             .flows = 5,
	                                             .dst = {2, 0, 0, 0, 0, 1},
	                                             .src = {2, 0, 0, 0, 0, 2}};
	struct vdev_netif *n;

	ck_assert_int_eq(vdev_netif_source_new(&n, vdev_env_hosted(), &cfg), 0);
	return n;
}

static struct vdev_netif_channel *channel(unsigned pair, enum vdev_net_way way)
{
	struct vdev_netif_channel *c;

	ck_assert_int_eq(t.netif->ops->open(t.netif, pair, way, &c), 0);
	ck_assert_ptr_eq(c->netif, t.netif);
	return c;
}

static struct vdev_netif_pcap_status status(void)
{
	struct vdev_netif_pcap_status s;

	ck_assert_int_eq(vdev_netif_pcap_status(t.netif, &s), 0);
	return s;
}

static void close_all(struct vdev_netif_channel *c)
{
	t.netif->ops->set_sink(t.netif, NULL);
	t.netif->ops->close(c);
}

static uint32_t send_bytes(struct vdev_netif_channel *c, uint8_t *bytes, uint32_t len, uint32_t n)
{
	const struct virtq_iov iov[2] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};
	struct vdev_frame f[VDEV_NET_BURST];

	for (uint32_t i = 0; i < n; i++)
		f[i] = (struct vdev_frame){.iov = iov, .niov = 2, .len = len};
	return t.netif->ops->send(c, f, n);
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
}

/* --- what is in the file -------------------------------------------------------------------- */

START_TEST(frames_that_are_sent)
{
	static const uint32_t lens[] = {14, 60, 1514, 9000, VDEV_NET_MAX_FRAME};
	static uint8_t bytes[VDEV_NET_MAX_FRAME];
	struct timespec before, after;
	struct vdev_netif_channel *c;
	uint64_t from, to;

	fill(bytes, sizeof(bytes));
	capture(null_netif(), 0, 0);
	c = channel(0, VDEV_NET_SEND);
	clock_gettime(CLOCK_REALTIME, &before);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(send_bytes(c, bytes, lens[i], 3), 3);
	clock_gettime(CLOCK_REALTIME, &after);
	/* All of it is in the file at once. */
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 15);
	from = (uint64_t)before.tv_sec * 1000000000u + (uint64_t)before.tv_nsec;
	to = (uint64_t)after.tv_sec * 1000000000u + (uint64_t)after.tv_nsec;
	for (uint32_t i = 0; i < 15; i++) {
		ck_assert_uint_eq(file.r[i].len, lens[i / 3]);
		ck_assert_uint_eq(file.r[i].kept, lens[i / 3]);
		ck_assert_mem_eq(file.r[i].data, bytes, lens[i / 3]);
		ck_assert_uint_ge(file.r[i].ns, from);
		ck_assert_uint_le(file.r[i].ns, to);
		from = file.r[i].ns;
	}
	ck_assert_uint_eq(status().frames, 15);
	ck_assert_uint_eq(status().bytes, file.len);
	ck_assert_uint_eq(status().lost, 0);
	ck_assert_int_eq(status().error, 0);
	close_all(c);
}
END_TEST

START_TEST(frames_that_are_received)
{
	struct vdev_netif_channel *c;
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t n = 0;

	capture(source_netif(100), 0, 0);
	ck_assert_ptr_nonnull(t.netif->ops->receive);
	c = channel(0, VDEV_NET_RECEIVE);
	ck_assert_int_eq(t.netif->ops->fd(c), -1);
	ck_assert_int_eq(t.netif->ops->arm(c), 1);
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(t.netif->ops->receive(c, f, 7), 7);
		read_capture(t.fd);
		for (uint32_t i = 0; i < 7; i++, n++)
			ck_assert_mem_eq(file.r[n].data, f[i].iov[0].base, 100);
		ck_assert_uint_eq(file.n, n);
	}
	close_all(c);
}
END_TEST

/* A netif that pushes: both directions, and of what is not taken nothing. */
START_TEST(frames_that_are_pushed)
{
	uint8_t bytes[60];
	struct vdev_netif_channel *c;
	struct vdev_netif_counters k;

	fill(bytes, sizeof(bytes));
	capture(echo_netif(), 0, 0);
	ck_assert_ptr_null(t.netif->ops->receive);
	c = channel(0, VDEV_NET_SEND);
	t.room = 2;
	ck_assert_uint_eq(send_bytes(c, bytes, 60, 5), 2);
	ck_assert_uint_eq(t.delivered, 2);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 4);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_mem_eq(file.r[i].data, bytes + 6, 6);
		ck_assert_mem_eq(file.r[i].data + 6, bytes, 6);
		ck_assert_mem_eq(file.r[i].data + 12, bytes + 12, 48);
		ck_assert_mem_eq(file.r[2 + i].data, bytes, 60);
	}
	ck_assert_int_eq(vdev_netif_counters(t.netif, &k), 0);
	ck_assert_uint_eq(k.sent, 2);
	ck_assert_uint_eq(k.not_taken, 3);
	close_all(c);
}
END_TEST

START_TEST(long_frames_are_cut)
{
	static uint8_t bytes[1514];
	struct vdev_netif_channel *c;

	fill(bytes, sizeof(bytes));
	capture(null_netif(), 96, 0);
	c = channel(0, VDEV_NET_SEND);
	send_bytes(c, bytes, 1514, 2);
	send_bytes(c, bytes, 60, 1);
	read_capture(t.fd);
	ck_assert_uint_eq(file.snaplen, 96);
	ck_assert_uint_eq(file.n, 3);
	ck_assert_uint_eq(file.r[1].kept, 96);
	ck_assert_uint_eq(file.r[1].len, 1514);
	ck_assert_mem_eq(file.r[1].data, bytes, 96);
	ck_assert_uint_eq(file.r[2].kept, 60);
	close_all(c);
}
END_TEST

/* --- offloads ------------------------------------------------------------------------------------ */

static void assert_tcp(uint32_t i, uint32_t seq, const uint8_t *data, uint32_t len)
{
	const uint8_t *p = file.r[i].data;

	ck_assert_uint_eq(file.r[i].len, 54 + len);
	ck_assert_uint_eq(packet_get16(p + 16), 40 + len);
	ck_assert_uint_eq(packet_sum(p + 14, 20, 0), 0xffff);
	ck_assert_uint_eq(packet_sum(p + 34, 20 + len, packet_sum(p + 26, 8, 6 + 20 + len)), 0xffff);
	ck_assert_uint_eq(packet_get16(p + 38) << 16 | packet_get16(p + 40), seq);
	ck_assert_mem_eq(p + 54, data, len);
}

/* Whether tcpdump, which checks everything, finds fault. */
static void assert_tcpdump_agrees(uint32_t packets)
{
	char command[200], line[1000];
	uint32_t seen = 0;
	FILE *f;

	if (system("command -v tcpdump >/dev/null 2>&1") != 0)
		return; /* our own reader has been through it */
	snprintf(command, sizeof(command), "exec tcpdump -nn -vv -r /proc/%d/fd/%d 2>&1", getpid(),
	         t.fd);
	f = popen(command, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		ck_assert_msg(strstr(line, "incorrect") == NULL && strstr(line, "bad ") == NULL &&
		                  strstr(line, "truncated") == NULL,
		              "%s", line);
		seen += strstr(line, "(correct)") != NULL || strstr(line, "[udp sum ok]") != NULL;
	}
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_uint_eq(seen, packets);
}

START_TEST(frames_as_on_the_wire)
{
	enum { DATA = 5000, MSS = 1400 };
	static uint8_t bytes[54 + DATA];
	const struct virtq_iov iov[3] = {{bytes, 10}, {bytes + 10, 50}, {bytes + 60, DATA - 6}};
	struct vdev_frame f = {.iov = iov, .niov = 3, .len = 54 + DATA};
	struct vdev_netif_channel *c;
	uint8_t before[54 + DATA];

	packet_tcp(bytes, DATA);
	memcpy(before, bytes, sizeof(bytes));
	f.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
	                                      .gso_type = VDEV_NET_GSO_TCPV4,
	                                      .hdr_len = 54,
	                                      .gso_size = MSS,
	                                      .csum_start = 34,
	                                      .csum_offset = 16};
	capture(null_netif(), 0, 0);
	c = channel(0, VDEV_NET_SEND);
	ck_assert_uint_eq(t.netif->ops->send(c, &f, 1), 1);
	f.offload.gso_type = VDEV_NET_GSO_NONE;
	f.offload.gso_size = 0;
	ck_assert_uint_eq(t.netif->ops->send(c, &f, 1), 1);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 5);
	for (uint32_t i = 0; i < 4; i++)
		assert_tcp(i, i * MSS, bytes + 54 + i * MSS, i < 3 ? MSS : DATA - 3 * MSS);
	assert_tcp(4, 0, bytes + 54, DATA);
	/* The sender's memory is as it was. */
	ck_assert_mem_eq(bytes, before, sizeof(bytes));
	ck_assert_uint_eq(status().frames, 5);
	assert_tcpdump_agrees(5);
	/* One whose header makes no sense is there for one to see. */
	f.offload.csum_start = 65000;
	ck_assert_uint_eq(t.netif->ops->send(c, &f, 1), 1);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 6);
	ck_assert_mem_eq(file.r[5].data, bytes, sizeof(bytes));
	close_all(c);
}
END_TEST

START_TEST(tcpdump_reads_a_source)
{
	struct vdev_netif_channel *c;
	struct vdev_frame f[VDEV_NET_BURST];

	capture(source_netif(200), 0, 0);
	c = channel(0, VDEV_NET_RECEIVE);
	ck_assert_int_eq(t.netif->ops->receive(c, f, 20), 20);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 20);
	assert_tcpdump_agrees(20);
	close_all(c);
}
END_TEST

/* --- when there is no room -------------------------------------------------------------------------- */

static void traffic_goes_on(struct vdev_netif_channel *c, uint8_t *bytes, uint64_t lost)
{
	struct vdev_netif_counters k, after;

	ck_assert_int_eq(vdev_netif_counters(t.netif, &k), 0);
	ck_assert_uint_eq(send_bytes(c, bytes, 1000, 10), 10);
	ck_assert_int_eq(vdev_netif_counters(t.netif, &after), 0);
	ck_assert_uint_eq(after.sent, k.sent + 10);
	ck_assert_uint_eq(status().lost, lost + 10);
	ck_assert_int_eq(t.logged, 1);
}

START_TEST(full_device)
{
	struct vdev_netif_channel *c;
	uint8_t bytes[1000] = {0};
	/* Whoever finds no room for the first byte is told so. */
	const struct vdev_netif_pcap_config cfg = {.size = sizeof(cfg), .path = "/dev/full"};
	struct vdev_netif *n = NULL, *inner = null_netif();

	ck_assert_int_eq(vdev_netif_pcap_new(&n, vdev_env_hosted(), inner, &cfg), VIRTQ_ENOSPC);
	ck_assert_ptr_null(n);
	/* The inner one is still its owner's. */
	capture(inner, 0, 0);
	c = channel(0, VDEV_NET_SEND);
	ck_assert_uint_eq(send_bytes(c, bytes, 1000, 3), 3);
	close_all(c);
}
END_TEST

/* A limit on files stands for a full disk: part of a write fits. The file ends with the last whole burst. */
START_TEST(full_disk)
{
	struct rlimit limit = {20000, 20000};
	struct vdev_netif_channel *c;
	uint8_t bytes[1000] = {0};

	ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	capture(null_netif(), 0, 0);
	c = channel(0, VDEV_NET_SEND);
	ck_assert_uint_eq(send_bytes(c, bytes, 1000, 15), 15);
	ck_assert_int_eq(status().error, 0);
	ck_assert_uint_eq(send_bytes(c, bytes, 1000, 15), 15);
	ck_assert_int_eq(status().error, -27); /* EFBIG */
	ck_assert_uint_eq(status().lost, 15);
	ck_assert_uint_eq(status().frames, 15);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 15);
	ck_assert_uint_eq(status().bytes, file.len);
	traffic_goes_on(c, bytes, 15);
	close_all(c);
}
END_TEST

START_TEST(limited_file)
{
	struct vdev_netif_channel *c;
	uint8_t bytes[1000] = {0};

	capture(null_netif(), 0, PCAP_HEAD + 4 * (PCAP_RECORD + 1000));
	c = channel(0, VDEV_NET_SEND);
	for (int i = 0; i < 4; i++)
		send_bytes(c, bytes, 1000, 1);
	ck_assert_int_eq(status().error, 0);
	send_bytes(c, bytes, 1000, 1);
	ck_assert_int_eq(status().error, VIRTQ_ENOSPC);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 4);
	traffic_goes_on(c, bytes, 1);
	close_all(c);
}
END_TEST

/* Behind what is in a file already: what is cut off when the capture ends is counted from there. */
START_TEST(appended_to_a_file)
{
	const uint64_t most = PCAP_HEAD + 4 * (PCAP_RECORD + 1000);
	struct vdev_netif_channel *c;
	uint8_t bytes[1000] = {0};
	struct stat st;

	ck_assert_int_eq(write(t.fd, bytes, sizeof(bytes)), sizeof(bytes));
	ck_assert_int_eq(lseek(t.fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(fcntl(t.fd, F_SETFL, O_APPEND), 0);
	capture(null_netif(), 0, most);
	c = channel(0, VDEV_NET_SEND);
	for (int i = 0; i < 5; i++)
		send_bytes(c, bytes, 1000, 1);
	ck_assert_int_eq(status().error, VIRTQ_ENOSPC);
	ck_assert_uint_eq(status().bytes, most);
	ck_assert_int_eq(fstat(t.fd, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)(sizeof(bytes) + most));
	close_all(c);
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------------ */

enum { EACH = 500 };

static void *send_numbered(void *arg)
{
	uint8_t bytes[80];
	struct vdev_netif_channel *c = channel(*(unsigned *)arg, VDEV_NET_SEND);

	memset(bytes, (int)*(unsigned *)arg, sizeof(bytes));
	for (uint32_t i = 0; i < EACH; i++) {
		packet_put16(bytes + 14, i);
		if (send_bytes(c, bytes, sizeof(bytes), 1) != 1)
			abort();
	}
	t.netif->ops->close(c);
	return NULL;
}

/* Frames of several threads, both directions: none is torn, each thread's are in order. */
START_TEST(several_threads)
{
	unsigned number[3] = {0, 1, 2};
	pthread_t thread[3];
	uint32_t next[3] = {0}, echoes = 0;

	capture(echo_netif(), 0, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, send_numbered, &number[i]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	ck_assert_uint_eq(t.delivered, 3 * EACH);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 2 * 3 * EACH);
	for (uint32_t i = 0; i < file.n; i++) {
		uint32_t who = file.r[i].data[79];

		ck_assert_uint_lt(who, 3);
		/* Addresses are all the same here, so an echo looks as what was sent: each number comes twice. */
		ck_assert_uint_eq(packet_get16(file.r[i].data + 14), next[who] / 2);
		next[who]++;
		echoes++;
	}
	ck_assert_uint_eq(echoes, 2 * 3 * EACH);
	t.netif->ops->set_sink(t.netif, NULL);
}
END_TEST

/* A netif that neither pushes nor has news of its link may do without a place for a sink. */
START_TEST(inner_without_a_sink)
{
	struct vdev_netif *inner = null_netif();
	struct vdev_netif_ops ops = *inner->ops;
	const struct vdev_netif_ops *own = inner->ops;
	struct vdev_netif_channel *c;
	uint8_t bytes[60] = {0};

	ops.set_sink = NULL;
	inner->ops = &ops;
	capture(inner, 0, 0);
	c = channel(0, VDEV_NET_SEND);
	ck_assert_uint_eq(send_bytes(c, bytes, 60, 1), 1);
	read_capture(t.fd);
	ck_assert_uint_eq(file.n, 1);
	close_all(c);
	inner->ops = own;
}
END_TEST

START_TEST(misuse)
{
	struct vdev_netif_pcap_config cfg = {.size = sizeof(cfg), .fd = -1};
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_netif_pcap_status s;
	struct vdev_netif *n = NULL, *inner = null_netif();
	int pipes[2];

	ck_assert_int_lt(vdev_netif_pcap_new(&n, env, inner, &cfg), 0);
	cfg.path = "/nonexistent/x";
	ck_assert_int_eq(vdev_netif_pcap_new(&n, env, inner, &cfg), -2);
	cfg.path = NULL;
	cfg.fd = t.fd;
	ck_assert_int_eq(vdev_netif_pcap_new(&n, env, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, NULL, inner, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(NULL, env, inner, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, env, inner, NULL), VIRTQ_EINVAL);
	cfg.size--;
	ck_assert_int_eq(vdev_netif_pcap_new(&n, env, inner, &cfg), VIRTQ_EINVAL);
	cfg.size++;
	cfg.own_netif = 2;
	ck_assert_int_eq(vdev_netif_pcap_new(&n, env, inner, &cfg), VIRTQ_EINVAL);
	cfg.own_netif = 0;
	ck_assert_int_eq(pipe(pipes), 0);
	cfg.fd = pipes[1];
	ck_assert_int_eq(vdev_netif_pcap_new(&n, env, inner, &cfg), VIRTQ_EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_pcap_status(inner, &s), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_status(NULL, &s), VIRTQ_EINVAL);
	vdev_netif_free(inner);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_pcap");
	TCase *tc = tcase_create("pcap");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, frames_that_are_sent);
	tcase_add_test(tc, frames_that_are_received);
	tcase_add_test(tc, frames_that_are_pushed);
	tcase_add_test(tc, long_frames_are_cut);
	tcase_add_test(tc, frames_as_on_the_wire);
	tcase_add_test(tc, tcpdump_reads_a_source);
	tcase_add_test(tc, full_device);
	tcase_add_test(tc, full_disk);
	tcase_add_test(tc, limited_file);
	tcase_add_test(tc, appended_to_a_file);
	tcase_add_test(tc, several_threads);
	tcase_add_test(tc, inner_without_a_sink);
	tcase_add_test(tc, misuse);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
