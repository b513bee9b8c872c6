sb_state_files = \
	state/keygroup.c \
	state/context.c state/context.h \
	state/value.c state/list.c state/map.c \
	state/timers.c state/timers.h \
	state/timer_cache.c
