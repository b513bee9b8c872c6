sb_engine_files = \
	engine/engine.c engine/engine.h engine/keyed.c engine/keyed.h engine/state.c \
	engine/get.c engine/write.c engine/evict.c engine/freeze.c \
	engine/flush.c engine/sort.c engine/sort.h engine/output.c \
	engine/live.c engine/version.c engine/version.h \
	engine/table.c engine/table.h engine/record.h \
	engine/reader.c engine/reader.h engine/merge.c \
	engine/restore.c engine/snapshot.c engine/view.c engine/compact.c \
	engine/scan.c engine/scan.h engine/scan_write.c engine/async.c \
	engine/async.h engine/async_fetch.c
