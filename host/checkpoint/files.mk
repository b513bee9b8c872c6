sb_checkpoint_files = \
	checkpoint/coordinator.c \
	checkpoint/attempt.c checkpoint/attempt.h
