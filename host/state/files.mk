sb_state_files = \
	state/keygroup.c \
	state/context.c state/context.h state/states.c \
	state/spec.c state/spec.h state/convert.c \
	state/record.c state/record.h state/ttl.c state/ttl.h \
	state/value.c state/value.h state/list.c state/list.h state/map.c \
	state/fold.c state/fold.h state/reducing.c state/aggregating.c \
	state/iterator.c state/iterator.h state/keys.c \
	state/visitor.c state/visitor.h \
	state/batch.c state/batch.h state/requests.c \
	state/queue.c state/queue.h state/queue_scan.c \
	state/queue_cache.c state/queue_cache.h \
	state/timers.c
