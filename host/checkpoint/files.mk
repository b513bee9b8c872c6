sb_checkpoint_files = \
	checkpoint/coordinator.c checkpoint/source.c \
	checkpoint/attempt.c checkpoint/attempt.h \
	checkpoint/canonical.h checkpoint/canonical_names.h \
	checkpoint/canonical_field.c checkpoint/canonical_frame.c \
	checkpoint/canonical_header.c checkpoint/canonical_read.h \
	checkpoint/canonical_java.c checkpoint/canonical_open.c \
	checkpoint/canonical_parse.c checkpoint/canonical_write.h \
	checkpoint/canonical_part.c checkpoint/canonical_part.h \
	checkpoint/canonical_read.c checkpoint/canonical_restore.c \
	checkpoint/canonical_states.c checkpoint/canonical_store.c \
	checkpoint/canonical_write.c
