/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front-end, used in all ways by somebody honest, and a back-end that is honest until the input has it
 * lie, and that says things of its own accord (front_back.c). An honest back-end is never refused, is only told what the
 * protocol allows, and takes over after another. Rings are served by the device side, and scribbled into.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "front.h"
#include "no_aio.h"

static const uint8_t no_area[AREA];
static uint8_t *mem[REGIONS];
static int memfd[REGIONS];
static struct virtq_region regions[REGIONS];
static struct virtq_mem map;

static void *env_alloc(void *ctx, size_t bytes)
{
	((struct fuzz *)ctx)->allocated += (long)bytes;
	return malloc(bytes);
}

static void env_release(void *ctx, void *p, size_t bytes)
{
	((struct fuzz *)ctx)->allocated -= (long)bytes;
	free(p);
}

/* --- rings --------------------------------------------------------------------------------------- */

static void unserve(struct queue *q)
{
	if (q->dev_scratch == NULL)
		return;
	HOLDS(virtq_dev_fini(&q->dev) == 0);
	free(q->dev_scratch);
	q->dev_scratch = NULL;
}

/* The device side takes the ring over. */
static void serve(struct fuzz *z, struct queue *q, const struct virtq_state *state)
{
	struct virtq_dev_config c = {
		.size = sizeof(c), .mem = &map, .features = z->features, .state = *state};

	unserve(q);
	c.features.word[0] &= ~((uint64_t)1 << VIRTQ_F_ACCESS_PLATFORM);
	c.scratch_bytes = virtq_dev_bytes(&c);
	c.scratch = malloc(c.scratch_bytes);
	HOLDS(c.scratch != NULL);
	if (virtq_dev_init(&q->dev, &c) == 0)
		q->dev_scratch = c.scratch;
	else
		free(c.scratch);
}

/* Buffers come back. */
static void complete(struct fuzz *z, struct queue *q)
{
	struct virtq_iov iov[64];
	struct virtq_chain chain;
	uint32_t written = 0;

	for (unsigned n = take8(&z->in) % 4; n > 0 && q->dev_scratch != NULL; n--) {
		if (virtq_dev_max_iov(&q->dev) > 64 || virtq_dev_pop(&q->dev, &chain, 1, iov, 64) != 1)
			return;
		(void)!virtq_dev_push(&q->dev, &chain, &written, 1);
		virtq_dev_publish(&q->dev);
	}
}

static void take_used(struct queue *q)
{
	struct virtq_done done[RING];
	int n = q->scratch != NULL ? virtq_drv_take(&q->drv, done, RING) : 0;

	for (int i = 0; i < n; i++) {
		HOLDS(*(int *)done[i].cookie == 1);
		*(int *)done[i].cookie = 0;
	}
}

static void add(struct fuzz *z, unsigned i)
{
	struct queue *q = &z->q[i];
	struct virtq_seg seg[2] = {{GPA + REGION, 64}, {GPA + REGION + 64, 64}};
	unsigned slot = 0;

	while (slot < RING && q->out[slot])
		slot++;
	if (q->scratch == NULL || slot == RING)
		return;
	if (virtq_drv_add(&q->drv, seg, 1, take8(&z->in) & 1, &q->out[slot]) == 0)
		q->out[slot] = 1;
	virtq_drv_publish(&q->drv);
	(void)!vdev_vhost_front_kick(z->f, i);
}

static int ring_new(struct fuzz *z, unsigned i)
{
	struct queue *q = &z->q[i];
	struct virtq_drv_config c = {.size = sizeof(c),
	                             .features = z->features,
	                             .queue_size = RING,
	                             .ring = mem[0] + i * RING_AREA,
	                             .ring_addr = GPA + i * RING_AREA};

	unserve(q);
	free(q->scratch);
	memset(q->out, 0, sizeof(q->out));
	c.scratch_bytes = virtq_drv_bytes(RING, &c.features);
	c.scratch = q->scratch = calloc(1, c.scratch_bytes);
	HOLDS(c.scratch != NULL);
	if (virtq_drv_init(&q->drv, &c) == 0)
		return 1;
	free(q->scratch);
	q->scratch = NULL;
	return 0;
}

static void start(struct fuzz *z)
{
	uint8_t how = take8(&z->in);
	unsigned i = how & 1;
	struct queue *q = &z->q[i];
	struct vdev_vhost_front_queue s = {.size = sizeof(s), .flags = how >> 1 & 15};

	s.kick_fd = s.call_fd = event;
	if (vdev_vhost_front_queue_started(z->f, i))
		return;
	/* Where it stopped, or a fresh ring. */
	if (!(how & 32) || q->scratch == NULL || q->state.size == 0) {
		if (!ring_new(z, i))
			return;
		virtq_drv_state(&q->drv, &q->state);
	}
	s.state = q->state;
	s.drv = how & 64 ? NULL : &q->drv;
	if (how & 128)
		s.state.device += take_number(&z->in) & ~(uint64_t)15;
	if (vdev_vhost_front_queue_start(z->f, i, &s) == 0 && !(how & 128))
		serve(z, q, &q->state);
}

static void stop(struct fuzz *z, unsigned i)
{
	struct queue *q = &z->q[i];
	struct virtq_state now, s;

	if (vdev_vhost_front_queue_stop(z->f, i, &s) != 0)
		return;
	unserve(q);
	q->state = s;
	virtq_drv_position(&q->drv, &now);
	if (!z->strange && !virtq_features_has(&z->features, VIRTQ_F_RING_PACKED))
		HOLDS((uint16_t)(s.avail - now.used) <= (uint16_t)(now.avail - now.used));
}

/* --- the user's other calls ---------------------------------------------------------------------- */

static void memory(struct fuzz *z)
{
	struct vdev_vhost_front_region r[REGIONS];
	uint8_t how = take8(&z->in);
	unsigned n = 0;

	for (unsigned i = 0; i < REGIONS; i++) {
		if (how >> i & 1)
			continue;
		r[n++] = (struct vdev_vhost_front_region){
			.gpa = regions[i].gpa, .len = REGION, .host = mem[i], .fd = memfd[i]};
	}
	if (n > 0 && how & 8)
		r[n - 1].len /= 2;
	if (n > 0 && how & 16)
		r[n - 1].gpa += 0x100000;
	(void)!vdev_vhost_front_set_memory(z->f, r, n);
}

static void accept_features(struct fuzz *z)
{
	static const unsigned bits[] = {VIRTQ_F_RING_PACKED, VIRTQ_F_ACCESS_PLATFORM, VIRTQ_F_IN_ORDER,
	                                VIRTQ_F_EVENT_IDX};
	struct virtq_features wanted = {{(uint64_t)1 << VIRTQ_F_VERSION_1}};
	uint8_t how = take8(&z->in) ^ z->how;

	wanted.word[0] |= (how & HOW_PACKED ? (uint64_t)1 << bits[0] : 0) |
	                  (how & HOW_IOMMU ? (uint64_t)1 << bits[1] : 0) |
	                  (how & HOW_IN_ORDER ? (uint64_t)1 << bits[2] : 0) | (uint64_t)1 << bits[3];
	if (vdev_vhost_front_accept(z->f, &wanted) == 0)
		z->features = wanted;
}

static void config(struct fuzz *z)
{
	uint8_t at = take8(&z->in), len = take8(&z->in) % 80, bytes[80] = {0};
	uint8_t write = at & 128;

	at %= CONFIG;
	if (write) {
		(void)!vdev_vhost_front_config_write(z->f, at, bytes, len);
		return;
	}
	if (vdev_vhost_front_config_read(z->f, at, bytes, len) != 0 || z->strange)
		return;
	for (unsigned i = 0; i < len; i++)
		HOLDS(bytes[i] == z->b.config[(at + i) % CONFIG]);
}

static void translations(struct fuzz *z)
{
	uint8_t how = take8(&z->in);
	struct virtq_xlat x = {.iova = GPA + ((uint64_t)(how >> 3) << 12),
	                       .gpa = GPA + ((uint64_t)(how >> 4) << 12),
	                       .len = 4096,
	                       .perm = 1 + (how >> 2) % 3u};

	switch (how & 3) {
	case 0:
		z->table[0] = (struct virtq_xlat){.iova = GPA, .gpa = GPA, .len = REGION, .perm = 3};
		z->table[1] = x;
		z->table[1].iova += how & 4 ? 0 : REGION;
		(void)!vdev_vhost_front_set_table(z->f, z->table, 1 + (how >> 3 & 1));
		break;
	case 1:
		(void)!vdev_vhost_front_iotlb_update(z->f, &x);
		break;
	default:
		(void)!vdev_vhost_front_iotlb_invalidate(z->f, x.iova,
		                                         how & 1 ? take_number(&z->in) : 4096);
	}
}

static void logs(struct fuzz *z)
{
	uint8_t how = take8(&z->in);

	if (how & 1)
		(void)!vdev_vhost_front_set_log(z->f, area, how & 2 ? 64 : 0, AREA / 2,
		                                how & 4 ? event : -1);
	else
		(void)!vdev_vhost_front_logging(z->f, how >> 1 & 1);
}

static void status(struct fuzz *z)
{
	uint8_t how = take8(&z->in);

	if (how & 1) {
		(void)!vdev_vhost_front_status(z->f);
		return;
	}
	if (how & 2)
		(void)!vdev_vhost_front_set_status(z->f, how >> 2);
	else if (vdev_vhost_front_reset(z->f) == 0)
		HOLDS(!vdev_vhost_front_queue_started(z->f, 0) && !vdev_vhost_front_queue_started(z->f, 1));
}

static void inflight(struct fuzz *z)
{
	uint8_t how = take8(&z->in);

	if (how & 1) {
		uint64_t word = take_number(&z->in);

		/* What a back-end notes, and where the next one begins. */
		z->strange = z->tainted = 1;
		HOLDS(pwrite(area, &word, sizeof(word), (how >> 1) % 24 * 2 + (how & 64 ? AREA / 2 : 0)) ==
		      8);
	} else {
		(void)!vdev_vhost_front_inflight(z->f, how & 2 ? RING : (uint16_t)take_number(&z->in));
	}
}

static int connect_pair(struct fuzz *z)
{
	int pair[2];

	vdev_os_close(z->b.sock);
	vdev_os_close(z->b.channel);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	z->b.sock = pair[1];
	z->b.channel = -1;
	z->b.agreed = 0;
	z->strange = z->tainted;
	return pair[0];
}

static void reconnect(struct fuzz *z)
{
	uint8_t how = take8(&z->in);
	uint64_t protocol = z->b.protocol;
	int fd, rc;

	if (how & 1) {
		/* It goes, and that is noticed by the way: after all that it said, some of it each time. */
		back_end_hang_up(z);
		for (int i = 0; i < 64; i++)
			(void)z->task.run(z->task.ctx, 0);
		HOLDS(!vdev_vhost_front_alive(z->f));
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		if (!(how & 2))
			take_used(&z->q[i]);
		if (how >> (2 + i) & 1 && vdev_vhost_front_queue_forget(z->f, i) == 0)
			unserve(&z->q[i]);
	}
	fd = connect_pair(z);
	if (how & 16) { /* it offers something else than before */
		z->b.protocol ^= take_number(&z->in);
		z->strange = 1;
	}
	rc = vdev_vhost_front_reconnect(z->f, fd);
	z->b.protocol = protocol;
	if (rc < 0)
		close(fd);
	/*
	 * Used buffers that were not taken, a packed ring whose place is not known, a ring outside of memory, a driver side
	 * that broke since its queue was forgotten and then started where it once was.
	 */
	if (rc == VIRTQ_EAGAIN || rc == VIRTQ_EBUSY || rc == VIRTQ_EFAULT || rc == VIRTQ_EBROKEN)
		z->strange = 1;
	HOLDS((rc == 0) == vdev_vhost_front_alive(z->f));
	z->tainted |= rc == 0 && z->strange;
	for (unsigned i = 0; i < QUEUES; i++) {
		struct virtq_state s;

		unserve(&z->q[i]);
		if (rc < 0 || !vdev_vhost_front_queue_started(z->f, i) || z->q[i].scratch == NULL)
			continue;
		virtq_drv_position(&z->q[i].drv, &s);
		s.avail = s.used;
		serve(z, &z->q[i], &s);
	}
}

static void scribble(struct fuzz *z)
{
	uint32_t at = take16(&z->in) % (QUEUES * RING_AREA);

	mem[0][at] = take8(&z->in);
	z->strange = z->tainted = 1;
}

/* What network devices are told. */
static void notice(struct fuzz *z, uint8_t op)
{
	uint64_t what = take_number(&z->in);
	uint8_t mac[6];

	memcpy(mac, &what, sizeof(mac));
	if (op >= 224)
		(void)!vdev_vhost_front_announce(z->f, mac);
	else
		(void)!vdev_vhost_front_set_mtu(z->f, (uint16_t)what);
}

static void step(struct fuzz *z)
{
	uint8_t op = take8(&z->in);
	unsigned i = op >> 7;

	switch (op % 20) {
	case 0:
	case 1:
		start(z);
		break;
	case 2:
		stop(z, i);
		break;
	case 3:
	case 4:
		add(z, i);
		break;
	case 5:
		complete(z, &z->q[i]);
		break;
	case 6:
		take_used(&z->q[i]);
		break;
	case 7:
		(void)!vdev_vhost_front_queue_enable(z->f, i, op >> 6 & 1);
		break;
	case 8:
		memory(z);
		break;
	case 9:
		accept_features(z);
		break;
	case 10:
		config(z);
		break;
	case 11:
		translations(z);
		break;
	case 12:
		logs(z);
		break;
	case 13:
		status(z);
		break;
	case 14:
		inflight(z);
		break;
	case 15:
		reconnect(z);
		break;
	case 16:
		scribble(z);
		break;
	case 17:
		back_end_say(z);
		break;
	case 18:
		z->lie_in = 1u + i + (op >> 5 & 2);
		z->lie = take8(&z->in);
		break;
	default:
		if (op >= 192)
			notice(z, op);
		else
			(void)z->task.run(z->task.ctx, 0);
	}
}

/* --- putting it together ------------------------------------------------------------------------- */

static void gone(void *ctx, int result, const char *why)
{
	HOLDS(ctx == fuzzed && result < 0 && why[0] != '\0');
}

static void heard(void *ctx)
{
	HOLDS(ctx == fuzzed);
}

static void heard_of(void *ctx, unsigned q)
{
	HOLDS(ctx == fuzzed && q < QUEUES);
}

static void access_failed(void *ctx, uint64_t iova, unsigned perm)
{
	(void)iova;
	HOLDS(ctx == fuzzed && perm > 0 && perm <= 3);
}

static const struct vdev_vhost_front_ops ops = {.size = sizeof(ops),
                                                .config_changed = heard,
                                                .call = heard_of,
                                                .error = heard_of,
                                                .access_failed = access_failed,
                                                .gone = gone};

static void open_all(void)
{
	if (area >= 0)
		return;
	no_aio();
	for (unsigned i = 0; i < REGIONS; i++) {
		memfd[i] = vdev_os_memfd("mem", REGION);
		mem[i] = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED, memfd[i], 0);
		HOLDS(mem[i] != MAP_FAILED);
		regions[i] = (struct virtq_region){
			.gpa = GPA + (uint64_t)i * REGION * (i == 2 ? 4 : 1), .len = REGION, .host = mem[i]};
	}
	HOLDS(virtq_mem_init(&map, regions, REGIONS) == 0);
	event = vdev_os_eventfd();
	area = vdev_os_memfd("area", AREA);
	HOLDS(event >= 0 && area >= 0);
}

static uint64_t open_fds(void)
{
	uint64_t set = 0;

	for (int i = 0; i < FDS; i++)
		if (fcntl(i, F_GETFD) >= 0)
			set |= (uint64_t)1 << i;
	return set;
}

static void offer(struct fuzz *z)
{
	const uint64_t one = 1;

	z->b.features = one << VIRTQ_F_VERSION_1 | one << VIRTQ_F_RING_PACKED |
	                one << VIRTQ_F_EVENT_IDX | one << VIRTQ_F_IN_ORDER |
	                one << VIRTQ_F_ACCESS_PLATFORM | one << VU_F_LOG_ALL | one << 3 /* MTU */ |
	                (z->how & HOW_OLD ? 0 : one << VU_F_PROTOCOL);
	z->b.protocol = UINT64_MAX;
	if (z->how & HOW_FEWER)
		z->b.protocol &= ~((uint64_t)take16(&z->in) | one << 16);
	for (unsigned i = 0; i < CONFIG; i++)
		z->b.config[i] = (uint8_t)(i * 7 + 1);
}

/* Connected, and ready for queues: that would not come by chance. */
static void begin(struct fuzz *z, int fd)
{
	struct vdev_env env = {.size = sizeof(env), .alloc = env_alloc, .free = env_release, .ctx = z};
	struct vdev_vhost_front_config cfg = {.size = sizeof(cfg),
	                                      .queues = QUEUES,
	                                      .timeout_ms = 60000,
	                                      .fd = fd,
	                                      .ops = &ops,
	                                      .ctx = z};

	cfg.flags = z->how & HOW_INBAND ? VDEV_VHOST_FRONT_WANT_INBAND : 0;
	if (vdev_vhost_front_new(&z->f, &env, &cfg) < 0) {
		HOLDS(z->strange);
		z->f = NULL;
		close(fd);
		return;
	}
	z->tainted |= z->strange;
	vdev_vhost_front_task(z->f, &z->task);
	HOLDS(vdev_vhost_front_set_table(z->f, z->table, 1) == 0);
	if (z->how & HOW_BARE)
		return;
	accept_features(z);
	memory(z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;
	uint64_t before;

	open_all();
	before = open_fds();
	memset(&z, 0, sizeof(z));
	memset(mem[0], 0, QUEUES * RING_AREA);
	HOLDS(pwrite(area, no_area, AREA, 0) == AREA);
	z.in = (struct input){data, size};
	z.how = take8(&z.in);
	z.b.sock = z.b.channel = -1;
	z.table[0] = (struct virtq_xlat){.iova = GPA, .gpa = GPA, .len = REGION, .perm = 3};
	offer(&z);
	if (z.how & HOW_LIE) {
		z.lie_in = take8(&z.in) % 64;
		z.lie = take8(&z.in);
	}
	fuzzed = &z;
	begin(&z, connect_pair(&z));
	for (int i = 0; i < STEPS && z.f != NULL && !input_end(&z.in); i++) {
		step(&z);
		back_end_turn(&z);
		HOLDS(!vdev_vhost_front_alive(z.f) || vdev_vhost_front_why(z.f)[0] == '\0');
		HOLDS(vdev_vhost_front_alive(z.f) || z.strange);
	}
	vdev_vhost_front_free(z.f);
	fuzzed = NULL;
	for (unsigned i = 0; i < QUEUES; i++) {
		unserve(&z.q[i]);
		free(z.q[i].scratch);
	}
	vdev_os_close(z.b.sock);
	vdev_os_close(z.b.channel);
	vdev_os_drain(event);
	HOLDS(z.allocated == 0 && map.refs == 1);
	HOLDS(open_fds() == before);
	return 0;
}
