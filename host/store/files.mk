sb_store_files = \
	store/store.c store/store.h \
	store/wait.c store/wait.h \
	store/list.c \
	store/writer.c \
	store/probe.c
