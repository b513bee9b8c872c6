# The s3 and minio plugins: one client, two tables of defaults.
noinst_LTLIBRARIES = libs3.la
libs3_la_SOURCES = \
	s3/answer.c \
	s3/backend.c \
	s3/buf.c s3/buf.h \
	s3/call.c s3/call.h \
	s3/check.c s3/check.h \
	s3/condition.c s3/condition.h \
	s3/copy.c \
	s3/credentials.c s3/credentials.h \
	s3/describe.c \
	s3/digest.c s3/digest.h \
	s3/endpoint.c s3/endpoint.h \
	s3/exchange.c \
	s3/explain.c \
	s3/get.c \
	s3/head.c \
	s3/hold.c s3/hold.h \
	s3/judge.c s3/judge.h \
	s3/list.c \
	s3/metrics.c s3/metrics.h \
	s3/multipart.c s3/multipart.h \
	s3/net.c s3/net.h \
	s3/op.c \
	s3/profile.c s3/profile.h \
	s3/provider.c \
	s3/provider_chain.c \
	s3/provider_container.c \
	s3/provider_custom.c \
	s3/provider_http.c \
	s3/provider_imds.c \
	s3/provider_json.c \
	s3/provider_process.c \
	s3/provider_profile.c \
	s3/provider_role.c \
	s3/provider_sso.c \
	s3/provider_static.c \
	s3/provider_sts.c \
	s3/put.c \
	s3/queue.c \
	s3/remove.c \
	s3/request.c s3/request.h \
	s3/retry.c s3/retry.h \
	s3/s3.h \
	s3/settings.c s3/settings.h \
	s3/settings_check.c \
	s3/settings_objects.c \
	s3/settings_parts.h \
	s3/settings_place.c \
	s3/sign.c s3/sign.h \
	s3/source.c s3/source.h \
	s3/store.c \
	s3/stream.c s3/stream.h \
	s3/stream_fill.c \
	s3/sweep.c \
	s3/time.c \
	s3/transfer.c \
	s3/uri.c s3/uri.h \
	s3/xml.c s3/xml.h \
	s3/xml_list.c \
	s3/xml_reader.h
# Only what the plugins' own tables need is exported, so this is no module.
libs3_la_LDFLAGS =
libs3_la_CFLAGS = $(AM_CFLAGS) $(S3_CFLAGS)

sb_s3_la_SOURCES = s3/s3.c s3/table.h
sb_s3_la_LIBADD = libs3.la $(S3_LIBS) $(PTHREAD_LIBS)

sb_minio_la_SOURCES = minio/minio.c s3/table.h
sb_minio_la_LIBADD = libs3.la $(S3_LIBS) $(PTHREAD_LIBS)

plugin_LTLIBRARIES += sb-s3.la sb-minio.la
