/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What any device has. Control operations end when the device says so and when nothing is pinned: an operation
 * counts its unfinished parts (the call itself, the device), and buffers that are mapped are looked at apart.
 */
#include "internal.h"

#include "../util.h"

enum { PENDING_RESET, PENDING_QUIESCE, PENDING_RESUME, PENDING_SET_MEM, PENDING_COUNT };

/* Index into vdev_function.pending, or -1 for operations that the function only passes on. */
static int pending_of(int op)
{
	switch (op) {
	case VDEV_OP_RESET:
		return PENDING_RESET;
	case VDEV_OP_QUIESCE:
		return PENDING_QUIESCE;
	case VDEV_OP_RESUME:
		return PENDING_RESUME;
	case VDEV_OP_SET_MEM:
		return PENDING_SET_MEM;
	default:
		return -1;
	}
}

static const int op_of_pending[PENDING_COUNT] = {VDEV_OP_RESET, VDEV_OP_QUIESCE, VDEV_OP_RESUME,
                                                 VDEV_OP_SET_MEM};

int vdev_function_init(struct vdev_function *fn, const struct vdev_function_ops *ops,
                       const struct vdev_env *env)
{
	if (fn == NULL || ops == NULL || ops->size < offsetof(struct vdev_function_ops, destroy) ||
	    ops->name == NULL || !env_usable(env))
		return VIRTQ_EINVAL;
	if (name_len(ops->name) > 15)
		return VIRTQ_EINVAL;
	memset(fn, 0, sizeof(*fn));
	fn->ops = ops;
	copy_sized(&fn->env, sizeof(fn->env), env, env->size);
	return 0;
}

/* A field that whoever ends an operation writes, on any thread. */
static uint32_t peek(struct vdev_function *fn, const uint32_t *field)
{
	uint32_t value;

	lock_take(&fn->lock);
	value = *field;
	lock_give(&fn->lock);
	return value;
}

/* With the lock held. */
static int any_pending(const struct vdev_function *fn)
{
	for (int i = 0; i < PENDING_COUNT; i++)
		if (fn->pending[i].on)
			return 1;
	return 0;
}

int vdev_function_attach(struct vdev_function *fn, const struct vdev_attachment *a)
{
	int busy, rc;

	if (a != NULL && a->size < offsetof(struct vdev_attachment, interrupt))
		return VIRTQ_EINVAL;
	do {
		lock_take(&fn->lock);
		rc = any_pending(fn) ? VIRTQ_EBUSY : 0;
		busy = rc == 0 && fn->callers != 0;
		if (rc == 0 && !busy) {
			memset(&fn->attachment, 0, sizeof(fn->attachment));
			if (a != NULL)
				copy_sized(&fn->attachment, sizeof(fn->attachment), a, a->size);
		}
		lock_give(&fn->lock);
	} while (busy);
	return rc;
}

/* The attachment stays until leave(). */
static void enter(struct vdev_function *fn)
{
	lock_take(&fn->lock);
	fn->callers++;
	lock_give(&fn->lock);
}

static void leave(struct vdev_function *fn)
{
	lock_take(&fn->lock);
	fn->callers--;
	lock_give(&fn->lock);
}

void function_config_changed(struct vdev_function *fn)
{
	enter(fn);
	if (fn->attachment.config_changed != NULL)
		fn->attachment.config_changed(fn->attachment.ctx);
	leave(fn);
}

struct virtq_log *vdev_function_log(struct vdev_function *fn)
{
	return &fn->log;
}

void function_activate(struct vdev_function *fn)
{
	lock_take(&fn->lock);
	fn->active = 1;
	lock_give(&fn->lock);
}

/* With the lock held: whether operation i has nothing left to wait for. */
static int ready(const struct vdev_function *fn, int i)
{
	const struct vdev_pending *p = &fn->pending[i];

	if (!p->on || p->parts != 0)
		return 0;
	if (i == PENDING_RESET || i == PENDING_QUIESCE)
		return fn->pins == 0;
	return i != PENDING_SET_MEM || fn->old_pins == 0;
}

/* With the lock held: end operation i. Returns the map to let go of once the lock is given back. */
static struct virtq_mem *finish(struct vdev_function *fn, int i)
{
	struct virtq_mem *old = NULL;

	fn->pending[i].on = 0;
	if (i == PENDING_SET_MEM) {
		old = fn->old_mem;
		fn->old_mem = NULL;
	}
	if (fn->pending[i].result != 0)
		return old;
	if (i == PENDING_RESET)
		fn->active = 0;
	else if (i == PENDING_QUIESCE)
		fn->quiesced = 1;
	else if (i == PENDING_RESUME)
		fn->quiesced = 0;
	return old;
}

/* The caller has entered the attachment: whoever waits for the operation may take it away as soon as that has ended. */
static void tell_done(struct vdev_function *fn, int op, unsigned queue, int result)
{
	if (fn->attachment.done != NULL)
		fn->attachment.done(fn->attachment.ctx, op, queue, result);
	leave(fn);
}

/* End whatever has nothing left to wait for, and tell. */
static void settle(struct vdev_function *fn)
{
	for (int i = 0; i < PENDING_COUNT; i++) {
		struct virtq_mem *old = NULL;
		int result = 0;
		int over;

		lock_take(&fn->lock);
		over = ready(fn, i);
		if (over) {
			result = fn->pending[i].result;
			old = finish(fn, i);
			fn->callers++;
		}
		lock_give(&fn->lock);
		if (old != NULL)
			virtq_mem_unref(old);
		if (over)
			tell_done(fn, op_of_pending[i], 0, result);
	}
}

void vdev_function_done(struct vdev_function *fn, int op, unsigned queue, int result)
{
	int i = pending_of(op);

	if (i < 0) {
		enter(fn);
		tell_done(fn, op, queue, result);
		return;
	}
	lock_take(&fn->lock);
	if (fn->pending[i].on && fn->pending[i].parts != 0) {
		fn->pending[i].parts--;
		if (result < 0)
			fn->pending[i].result = result;
	}
	lock_give(&fn->lock);
	settle(fn);
}

/* Begin an operation of two parts, the call's own and the device's. 1: begun; 0: it is under way already. */
static int begin(struct vdev_function *fn, int i)
{
	int begun;

	lock_take(&fn->lock);
	begun = !fn->pending[i].on;
	if (begun)
		fn->pending[i] = (struct vdev_pending){.on = 1, .parts = 2};
	lock_give(&fn->lock);
	return begun;
}

/* The end of the call: rc is what the device answered. */
static int end_call(struct vdev_function *fn, int i, int rc)
{
	struct vdev_pending *p = &fn->pending[i];
	struct virtq_mem *old = NULL;
	int result = VIRTQ_EAGAIN;

	lock_take(&fn->lock);
	p->parts--;
	if (rc != VIRTQ_EAGAIN) {
		p->parts--;
		p->result = rc < 0 ? rc : 0;
	}
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		p->parts = 0;
	if (ready(fn, i) || (rc < 0 && rc != VIRTQ_EAGAIN)) {
		result = p->result;
		old = finish(fn, i);
	}
	lock_give(&fn->lock);
	if (old != NULL)
		virtq_mem_unref(old);
	return result;
}

int vdev_function_reset(struct vdev_function *fn)
{
	int (*reset)(struct vdev_function *) = op_of(fn->ops, reset);

	if (!begin(fn, PENDING_RESET))
		return VIRTQ_EAGAIN;
	return end_call(fn, PENDING_RESET, reset != NULL ? reset(fn) : 0);
}

int vdev_function_quiesce(struct vdev_function *fn)
{
	int (*quiesce)(struct vdev_function *) = op_of(fn->ops, quiesce);

	if (peek(fn, &fn->pending[PENDING_RESUME].on))
		return VIRTQ_EBUSY;
	if (peek(fn, &fn->quiesced))
		return 0;
	if (!begin(fn, PENDING_QUIESCE))
		return VIRTQ_EAGAIN;
	return end_call(fn, PENDING_QUIESCE, quiesce != NULL ? quiesce(fn) : 0);
}

int vdev_function_resume(struct vdev_function *fn)
{
	int (*resume)(struct vdev_function *) = op_of(fn->ops, resume);

	if (peek(fn, &fn->pending[PENDING_QUIESCE].on))
		return VIRTQ_EBUSY;
	if (!peek(fn, &fn->quiesced))
		return 0;
	if (!begin(fn, PENDING_RESUME))
		return VIRTQ_EAGAIN;
	return end_call(fn, PENDING_RESUME, resume != NULL ? resume(fn) : 0);
}

int vdev_function_set_mem(struct vdev_function *fn, struct virtq_mem *mem)
{
	int (*set_mem)(struct vdev_function *, struct virtq_mem *) = op_of(fn->ops, set_mem);
	int rc = 0;

	if (peek(fn, &fn->pending[PENDING_SET_MEM].on))
		return VIRTQ_EBUSY;
	if (mem == fn->mem)
		return 0;
	if (mem != NULL) {
		virtq_mem_set_log(mem, &fn->log);
		virtq_mem_ref(mem);
	}
	begin(fn, PENDING_SET_MEM);
	if (set_mem != NULL)
		rc = set_mem(fn, mem);
	if (rc < 0 && rc != VIRTQ_EAGAIN) {
		if (mem != NULL)
			virtq_mem_unref(mem);
	} else {
		lock_take(&fn->lock);
		fn->old_mem = fn->mem;
		fn->old_pins = fn->pins;
		fn->mem = mem;
		lock_give(&fn->lock);
	}
	return end_call(fn, PENDING_SET_MEM, rc);
}

int vdev_function_access(struct vdev_function *fn, unsigned region, int write, uint64_t offset,
                         void *buf, size_t len)
{
	const struct vdev_function_ops *ops = fn->ops;

	if (ops->access == NULL || region >= ops->nregions || buf == NULL || len == 0)
		return VIRTQ_EINVAL;
	if (offset > ops->regions[region].bytes || len > ops->regions[region].bytes - offset)
		return VIRTQ_EINVAL;
	if (write)
		function_activate(fn);
	return ops->access(fn, region, write, offset, buf, len);
}

int vdev_function_free(struct vdev_function *fn)
{
	struct virtq_mem *mem;

	if (fn == NULL)
		return 0;
	lock_take(&fn->lock);
	if (any_pending(fn) || fn->pins != 0 || (fn->active && !fn->quiesced)) {
		lock_give(&fn->lock);
		return VIRTQ_EBUSY;
	}
	mem = fn->mem;
	fn->mem = NULL;
	lock_give(&fn->lock);
	if (op_of(fn->ops, destroy) != NULL)
		fn->ops->destroy(fn);
	if (mem != NULL)
		virtq_mem_unref(mem);
	return 0;
}

/* A pin of the map has gone. */
static void unpin(struct vdev_function *fn, struct virtq_mem *mem)
{
	int pending;

	/* The function's own reference keeps the map until this pin is off; whoever is told then may free it. */
	virtq_mem_unref(mem);
	lock_take(&fn->lock);
	fn->pins--;
	if (mem == fn->old_mem)
		fn->old_pins--;
	pending = any_pending(fn);
	lock_give(&fn->lock);
	if (pending)
		settle(fn);
}

int vdev_function_map(struct vdev_function *fn, uint64_t gpa, uint64_t len, int write,
                      struct virtq_iov *iov, uint32_t max, struct vdev_map *out)
{
	struct virtq_mem *mem;
	int n;

	lock_take(&fn->lock);
	mem = fn->mem;
	if (mem != NULL) {
		virtq_mem_ref(mem);
		fn->pins++;
	}
	lock_give(&fn->lock);
	memset(out, 0, sizeof(*out));
	if (mem == NULL)
		return VIRTQ_EFAULT;
	n = virtq_mem_map(mem, gpa, len, write, iov, max);
	if (n < 0) {
		unpin(fn, mem);
		return n;
	}
	*out = (struct vdev_map){.mem = mem, .iov = iov, .n = (uint32_t)n, .write = write};
	return n;
}

void vdev_function_unmap(struct vdev_function *fn, struct vdev_map *map)
{
	struct virtq_mem *mem = map->mem;

	if (mem == NULL)
		return;
	if (map->write)
		virtq_mem_mark_iov(mem, map->iov, map->n);
	memset(map, 0, sizeof(*map));
	unpin(fn, mem);
}

uint32_t vdev_function_pins(const struct vdev_function *fn)
{
	return load_relaxed(&fn->pins);
}

void vdev_function_interrupt(struct vdev_function *fn, unsigned n)
{
	if (fn->attachment.interrupt != NULL)
		fn->attachment.interrupt(fn->attachment.ctx, n);
}

void vdev_function_log_entry(const struct vdev_function *fn, int level, int error, int queue,
                             int head, uint64_t value, const char *source, const char *text)
{
	struct vdev_log_entry entry = {.level = level,
	                               .error = error,
	                               .queue = queue,
	                               .head = head,
	                               .value = value,
	                               .source = source,
	                               .text = text};

	if (fn->env.log != NULL)
		fn->env.log(fn->env.ctx, &entry);
}
