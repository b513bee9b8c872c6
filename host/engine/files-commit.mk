# What is written once per checkpoint and job.
sb_commit_files = \
	engine/change.c \
	engine/claim.c engine/claim.h engine/claimed.c engine/claimed.h \
	engine/envelope.c engine/envelope.h \
	engine/gc.c engine/gc.h \
	engine/head.c engine/head.h \
	engine/job.c engine/job.h engine/job_state.h \
	engine/listing.c \
	engine/manifest.c engine/manifest.h \
	engine/metadata.c engine/metadata.h \
	engine/names.c engine/names.h \
	engine/opened.c engine/opened.h \
	engine/paths.c engine/paths.h engine/paths_place.c \
	engine/pin.c engine/pin.h \
	engine/savepoint.c engine/savepoint.h engine/savepoint_copy.c \
	engine/source.c \
	engine/transfer.c engine/transfer.h
