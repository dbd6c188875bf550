/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space and device status, accessed in any way, in any state: each read is compared with what a model
 * of our own says. Bit 0 of the first byte: a block device, else an echo; bit 1: through vhost-user messages (only
 * the block device), else by the calls that registers lead to.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/blk.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "echo.h"
#include "fuzz.h"
#include "no_aio.h"
#include "slow_disk.h"

enum { RAM = 65536, GPA = 0x10000, STEPS = 200, SPACE = 96, WCE = 32 };
enum { HOW_BLK = 1, HOW_VHOST_USER = 2, HOW_SUSPEND = 4 };

struct fuzz {
	struct input in;
	uint8_t how;
	struct echo echo;
	struct slow_disk *disk;
	struct vdev *v;
	struct virtq_mem mem;
	struct vdev_vhost_user *vu;
	struct vdev_task task;
	int sock;
	/* The model: what the device has, what its driver sees while it is suspended, what it may write. */
	uint8_t bytes[SPACE], shown[SPACE], mask[SPACE], initial[SPACE];
	uint32_t len;
	int frozen;
	uint32_t changed; /* notifications of a change */
};

static void config_changed(void *ctx)
{
	((struct fuzz *)ctx)->changed++;
}

static int suspended(const struct fuzz *f)
{
	return (vdev_status(f->v) & VIRTQ_STATUS_SUSPEND) != 0;
}

static void note_suspend(struct fuzz *f, int was)
{
	if (!was && suspended(f))
		memcpy(f->shown, f->bytes, sizeof(f->shown));
	f->frozen = suspended(f);
}

/* 5.2.5.2: without FLUSH the write cache is off from FEATURES_OK on, until the driver turns it on. */
static void note_features(struct fuzz *f, uint8_t was)
{
	struct virtq_features now;

	vdev_accepted(f->v, &now);
	if (f->how & HOW_BLK && vdev_status(f->v) & ~was & VIRTQ_STATUS_FEATURES_OK &&
	    virtq_features_has(&now, VDEV_BLK_F_CONFIG_WCE) &&
	    !virtq_features_has(&now, VDEV_BLK_F_FLUSH))
		f->bytes[WCE] = 0;
}

/* --- through registers ---------------------------------------------------------------------------- */

static void expect(const struct fuzz *f, const uint8_t *got, uint32_t offset, uint32_t n)
{
	const uint8_t *now = f->frozen ? f->shown : f->bytes;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = (uint64_t)offset + i;

		HOLDS(got[i] == (at < f->len ? now[at] : 0));
	}
}

static uint32_t take_offset(struct input *in)
{
	uint8_t how = take8(in);

	if (how >= 0xf0)
		return take32(in);
	return how % SPACE;
}

static void read_some(struct fuzz *f)
{
	uint8_t buf[SPACE];
	uint32_t offset = take_offset(&f->in), n = take8(&f->in) % SPACE;

	memset(buf, 0xee, sizeof(buf));
	vdev_config_read(f->v, offset, buf, n);
	expect(f, buf, offset, n);
	for (uint32_t i = n; i < SPACE; i++)
		HOLDS(buf[i] == 0xee);
}

/* What a write of these bytes leaves. */
static void model_write(struct fuzz *f, const uint8_t *from, uint32_t offset, uint32_t n)
{
	if (f->frozen)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = (uint64_t)offset + i;

		if (at < f->len)
			f->bytes[at] = (uint8_t)((f->bytes[at] & ~f->mask[at]) | (from[i] & f->mask[at]));
	}
}

static void write_some(struct fuzz *f)
{
	uint8_t buf[SPACE];
	uint32_t offset = take_offset(&f->in), n = take8(&f->in) % SPACE;
	uint32_t generation = vdev_config_generation(f->v);

	for (uint32_t i = 0; i < n; i++)
		buf[i] = take8(&f->in);
	vdev_config_write(f->v, offset, buf, n);
	model_write(f, buf, offset, n);
	/* 2.5: the generation is for changes that the driver did not make. */
	HOLDS(vdev_config_generation(f->v) == generation);
}

/* The device changes something. */
static void update(struct fuzz *f)
{
	uint32_t generation = vdev_config_generation(f->v), changed = f->changed;
	uint32_t offset = take8(&f->in), n = take8(&f->in) % 17;
	uint8_t buf[16];
	int told = (vdev_status(f->v) & VIRTQ_STATUS_DRIVER_OK) != 0 && !f->frozen;

	if (f->how & HOW_BLK) {
		slow_disk_resize(f->disk, (uint64_t)(1 + offset) * 4096);
		HOLDS(vdev_blk_resized(f->v) == 0);
		for (unsigned i = 0; i < 8; i++)
			f->bytes[i] = (uint8_t)(((uint64_t)(1 + offset) * 8) >> (8 * i));
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		buf[i] = take8(&f->in);
	vdev_config_update(f->v, offset, buf, n);
	for (uint32_t i = 0; i < n && offset + i < f->len; i++)
		f->bytes[offset + i] = buf[i];
	n = offset < f->len ? n : 0;
	HOLDS((vdev_config_generation(f->v) != generation) == (n != 0 && !f->frozen));
	HOLDS(f->changed == changed + (n != 0 && told));
}

static void model_reset(struct fuzz *f)
{
	for (uint32_t i = 0; i < f->len; i++)
		f->bytes[i] = (uint8_t)((f->bytes[i] & ~f->mask[i]) | (f->initial[i] & f->mask[i]));
	f->frozen = 0;
}

static void reset(struct fuzz *f)
{
	HOLDS(vdev_set_status(f->v, 0) == 0);
	HOLDS(vdev_status(f->v) == 0);
	model_reset(f);
}

static void status(struct fuzz *f)
{
	uint8_t old = vdev_status(f->v), want = take8(&f->in), now;
	int was = suspended(f), rc;

	if (want & 16) /* what drivers do */
		want = (uint8_t)(old | (1u << (want & 7)));
	if (want == 0) {
		reset(f);
		return;
	}
	rc = vdev_set_status(f->v, want);
	now = vdev_status(f->v);
	HOLDS(rc == 0 || rc == VIRTQ_EINVAL);
	/* Refused writes change nothing; others only add, except for DRIVER_OK and SUSPEND, which take turns. */
	if (rc < 0)
		HOLDS(now == old);
	HOLDS(((old & ~now) & ~(VIRTQ_STATUS_DRIVER_OK | VIRTQ_STATUS_SUSPEND)) == 0);
	HOLDS(!(now & VIRTQ_STATUS_DRIVER_OK) || (now & VIRTQ_STATUS_FEATURES_OK));
	note_features(f, old);
	note_suspend(f, was);
}

/* A driver that does it right, so that the rest happens to a device that runs. */
static void up(struct fuzz *f)
{
	struct virtq_features features;

	reset(f);
	HOLDS(vdev_set_status(f->v, 1) == 0 && vdev_set_status(f->v, 3) == 0);
	vdev_offered(f->v, &features);
	if (!(f->how & HOW_SUSPEND))
		features.word[0] &= ~((uint64_t)1 << VIRTQ_F_SUSPEND);
	features.word[0] &= ~((uint64_t)take8(&f->in) << 28);
	features.word[0] |= (uint64_t)1 << VIRTQ_F_VERSION_1;
	HOLDS(vdev_accept(f->v, &features) == 0);
	HOLDS(vdev_set_status(f->v, 11) == 0);
	if (take8(&f->in) & 1 && vdev_status(f->v) & VIRTQ_STATUS_FEATURES_OK)
		HOLDS(vdev_set_status(f->v, 15) == 0);
}

static void features(struct fuzz *f)
{
	struct virtq_features set = {{take32(&f->in), take8(&f->in)}}, was, now;
	uint8_t status_then = vdev_status(f->v);
	int rc;

	set.word[0] |= (uint64_t)take16(&f->in) << 28;
	vdev_accepted(f->v, &was);
	rc = vdev_accept(f->v, &set);
	vdev_accepted(f->v, &now);
	if (status_then & VIRTQ_STATUS_FEATURES_OK)
		HOLDS(rc == VIRTQ_EINVAL);
	if (rc < 0)
		HOLDS(memcmp(&was, &now, sizeof(was)) == 0);
}

static uint64_t take_gpa(struct input *in)
{
	uint8_t how = take8(in);

	return how & 128 ? (uint64_t)take32(in) << (how & 31) : GPA + (uint64_t)how * 512;
}

/* Queues are set up, stopped and reset in any order. */
static void queue(struct fuzz *f)
{
	uint8_t what = take8(&f->in);
	unsigned q = what >> 3 & 3;
	struct vdev_queue_setup setup;
	struct virtq_state s;

	memset(&setup, 0, sizeof(setup));
	switch (what & 7) {
	case 0:
	case 1:
	case 2:
		setup.state.size = (uint16_t)(what & 64 ? take16(&f->in) : 1u << (what >> 5 & 3));
		setup.state.desc = take_gpa(&f->in);
		setup.state.driver = take_gpa(&f->in);
		setup.state.device = take_gpa(&f->in);
		if (what & 128) {
			setup.state.avail = take16(&f->in);
			setup.state.used = take16(&f->in);
			setup.state.flags = take8(&f->in) & 7;
		}
		(void)!vdev_queue_start(f->v, q, &setup);
		break;
	case 3:
		HOLDS(vdev_queue_stop(f->v, q) <= 0);
		break;
	case 4:
		HOLDS(vdev_queue_reset(f->v, q) <= 0);
		break;
	case 5:
		(void)!vdev_queue_enable(f->v, q, what >> 6);
		break;
	case 6:
		if (vdev_queue_state(f->v, q, &s) == 0)
			HOLDS(s.size <= vdev_queue_max(f->v, q));
		break;
	default:
		vdev_queue_kick(f->v, q);
	}
	for (int i = 0; i < 8 && vdev_run(f->v, what & 64 ? VDEV_RUN_ARM : 0); i++)
		;
}

static void whole(struct fuzz *f)
{
	struct vdev_function *fn = vdev_function(f->v);
	uint8_t what = take8(&f->in);

	switch (what & 7) {
	case 0:
		HOLDS(vdev_function_quiesce(fn) == 0);
		break;
	case 1:
	case 2:
		HOLDS(vdev_function_resume(fn) == 0);
		break;
	case 3:
		(void)!vdev_function_set_mem(fn, what & 8 ? NULL : &f->mem);
		break;
	case 4:
		HOLDS(vdev_invalidate(f->v, take_gpa(&f->in), take16(&f->in)) <= 0);
		break;
	case 5:
		if (!(f->how & HOW_BLK))
			vdev_needs_reset(f->v);
		break;
	default:
		up(f);
	}
}

/* --- through messages ----------------------------------------------------------------------------- */

static int serve(struct fuzz *f)
{
	int rc = 0;

	for (int i = 0; i < 10 && rc >= 0; i++)
		rc = f->task.run(f->task.ctx, VDEV_RUN_ARM);
	return rc;
}

static void message(struct fuzz *f)
{
	struct {
		struct vu_header h;
		struct vu_config c;
	} m, answer;
	uint8_t how = take8(&f->in);
	int set = how & 1, good;
	ssize_t got;
	uint32_t n;

	memset(&m, 0, sizeof(m));
	m.c.offset = take_offset(&f->in);
	m.c.size = how & 2 ? take32(&f->in) : take8(&f->in) % SPACE;
	m.c.flags = how >> 2 & 3;
	n = m.c.size <= VU_MAX_CONFIG ? m.c.size : 0;
	for (uint32_t i = 0; set && i < n; i++)
		m.c.bytes[i] = take8(&f->in);
	m.h = (struct vu_header){set ? VU_SET_CONFIG : VU_GET_CONFIG,
	                         VU_VERSION | (set ? VU_FLAG_NEED_REPLY : 0), VU_CONFIG_HEADER + n};
	good = m.c.size > 0 && m.c.size <= VU_MAX_CONFIG && m.c.offset <= VU_MAX_CONFIG - m.c.size;
	HOLDS(send(f->sock, &m, sizeof(m.h) + m.h.size, 0) == (ssize_t)(sizeof(m.h) + m.h.size));
	HOLDS(serve(f) >= 0);
	got = recv(f->sock, &answer, sizeof(answer), MSG_DONTWAIT);
	HOLDS(got >= (ssize_t)sizeof(answer.h) && got == (ssize_t)(sizeof(answer.h) + answer.h.size) &&
	      answer.h.request == m.h.request);
	if (set) {
		uint64_t refused;

		HOLDS(answer.h.size == sizeof(refused));
		memcpy(&refused, &answer.c, sizeof(refused));
		good = good && m.c.flags <= 1 && m.c.offset + m.c.size <= f->len;
		HOLDS((refused == 0) == good);
		if (good)
			model_write(f, m.c.bytes, m.c.offset, n);
	} else if (good) {
		HOLDS(answer.h.size == VU_CONFIG_HEADER + n);
		expect(f, answer.c.bytes, m.c.offset, n);
	} else {
		HOLDS(answer.h.size == 0);
	}
}

static void tell_u64(struct fuzz *f, uint32_t request, uint64_t value)
{
	struct {
		struct vu_header h;
		uint64_t value;
	} __attribute__((packed)) m = {{request, VU_VERSION, 8}, value};

	HOLDS(send(f->sock, &m, sizeof(m), 0) == sizeof(m));
	HOLDS(serve(f) >= 0);
}

static void connect_front(struct fuzz *f)
{
	struct vdev_vhost_user_config cfg = {.size = sizeof(cfg)};
	int pair[2];

	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	f->sock = pair[0];
	cfg.fd = pair[1];
	HOLDS(vdev_vhost_user_new(&f->vu, vdev_env_hosted(), f->v, &cfg) == 0);
	vdev_vhost_user_task(f->vu, &f->task);
	tell_u64(f, VU_SET_PROTOCOL_FEATURES, 1 << VU_PROTO_CONFIG | 1 << VU_PROTO_REPLY_ACK);
	tell_u64(f, VU_SET_FEATURES,
	         (uint64_t)1 << VIRTQ_F_VERSION_1 | (uint64_t)1 << VU_F_PROTOCOL |
	             1 << VDEV_BLK_F_FLUSH | 1 << VDEV_BLK_F_CONFIG_WCE);
}

/* --- putting it together -------------------------------------------------------------------------- */

static void start(struct fuzz *f, struct virtq_region *region)
{
	struct vdev_attachment a = {.size = sizeof(a), .config_changed = config_changed, .ctx = f};
	struct vdev_blk_config blk = {.size = sizeof(blk), .nqueues = 2, .queue_max = 64};

	HOLDS(virtq_mem_init(&f->mem, region, 1) == 0);
	if (f->how & HOW_BLK) {
		f->disk = slow_disk_new(65536, 1);
		HOLDS(vdev_blk_new(&f->v, vdev_env_hosted(), &f->disk->disk, &blk) == 0);
		f->mask[WCE] = 1;
	} else {
		HOLDS(echo_new(&f->echo, vdev_env_hosted(), 2, 64) == 0);
		f->v = f->echo.v;
		memset(f->mask + 8, 0xff, 4);
		f->mask[12] = 0x0f;
	}
	f->len = vdev_config_len(f->v);
	HOLDS(f->len <= SPACE);
	vdev_config_read(f->v, 0, f->initial, f->len);
	memcpy(f->bytes, f->initial, SPACE);
	if (f->how & HOW_BLK && f->how & HOW_VHOST_USER) {
		connect_front(f);
		return;
	}
	HOLDS(vdev_function_attach(vdev_function(f->v), &a) == 0);
	HOLDS(vdev_function_set_mem(vdev_function(f->v), &f->mem) == 0);
}

static void stop(struct fuzz *f)
{
	if (f->vu != NULL) {
		close(f->sock);
		vdev_vhost_user_free(f->vu);
	} else {
		HOLDS(vdev_function_resume(vdev_function(f->v)) == 0);
		reset(f);
	}
	HOLDS(vdev_free(f->v) == 0);
	HOLDS(f->mem.refs == 1);
	if (f->disk != NULL)
		slow_disk_free(f->disk);
}

static void step(struct fuzz *f)
{
	switch (take8(&f->in) % 12) {
	case 0:
	case 1:
		read_some(f);
		break;
	case 2:
	case 3:
		write_some(f);
		break;
	case 4:
		update(f);
		break;
	case 5:
	case 6:
	case 7:
		status(f);
		break;
	case 8:
		features(f);
		break;
	case 9:
	case 10:
		queue(f);
		break;
	default:
		whole(f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ram[RAM];
	struct virtq_region region = {.gpa = GPA, .len = RAM, .host = ram};
	static struct fuzz f;
	static int once;

	if (!once++)
		no_aio();
	memset(&f, 0, sizeof(f));
	memset(ram, 0, sizeof(ram));
	f.in = (struct input){data, size};
	f.how = take8(&f.in);
	start(&f, &region);
	for (int i = 0; i < STEPS && !input_end(&f.in); i++) {
		if (f.vu == NULL)
			step(&f);
		else if (take8(&f.in) % 4 == 0)
			update(&f);
		else
			message(&f);
	}
	stop(&f);
	return 0;
}
