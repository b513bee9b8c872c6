sb_engine_files = \
	engine/engine.c engine/engine.h engine/keyed.c engine/keyed.h engine/state.c \
	engine/get.c engine/expiry.c engine/rules.h \
	engine/times.c engine/times.h engine/migrate.c engine/migrate.h \
	engine/write.c engine/write.h engine/append.c engine/evict.c engine/freeze.c \
	engine/flush.c engine/sort.c engine/sort.h engine/output.c \
	engine/live.c engine/version.c engine/version.h \
	engine/table.c engine/table.h engine/record.h \
	engine/scan_order.c engine/order.c engine/order.h engine/front.c engine/front.h \
	engine/reader.c engine/reader.h engine/merge.c \
	engine/restore.c engine/snapshot.c engine/snapshot.h engine/cut.c \
	engine/draft.c engine/part.c engine/adopt.c engine/adopt.h \
	engine/hosted.c engine/view.c engine/compact.c \
	engine/compact_plan.c engine/compact.h \
	engine/view.h engine/view_scan.c \
	engine/space.c engine/space.h engine/lone.c engine/lone.h \
	engine/scan_range.c engine/scan_range.h engine/scan_keys.c \
	engine/prefetch.c engine/prefetch.h engine/probe.c engine/probe.h \
	engine/scan.c engine/scan.h engine/scan_write.c engine/async.c \
	engine/async.h engine/async_fetch.c \
	engine/entries.c engine/entries.h \
	engine/entries_load.c \
	engine/entries_name.c engine/entries_name.h \
	engine/entries_put.c engine/entries_put.h \
	engine/entries_read.c engine/entries_read.h \
	engine/entries_whole.c engine/entries_pass.h \
	engine/entries_walk.c
# Names of long keys are hashed with SHA-256.
