/* kuzzle/extensions/metrics.h: the extension kuzzle.metrics/1.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Both sides may tell the other numbers about themselves, and either may do
 * without: a protocol exposes counters and gauges, which the host shows in
 * server:metrics, and the host tells a protocol what it counts of it, for
 * example for the $SYS topics of an MQTT broker.
 *
 * Revision 1 is frozen: neither table nor kuzzle_metric ever changes. What they
 * cannot do will be kuzzle.metrics/2, beside it.
 */
#ifndef KUZZLE_EXTENSIONS_METRICS_H
#define KUZZLE_EXTENSIONS_METRICS_H

#include "kuzzle/protocol.h"

KUZZLE_EXTERN_C_BEGIN

/* The id that both functions get_extension know. */
#define KUZZLE_EXTENSION_METRICS "kuzzle.metrics/1"

/* The host asks for at most so many; more are not seen. */
#define KUZZLE_METRICS_MOST 64

#define KUZZLE_METRIC_COUNTER 1u /* what has happened since the start: 0 or more, never falls */
#define KUZZLE_METRIC_GAUGE 2u   /* how much there is now */

/* One number. Passed in arrays, so it never grows. */
typedef struct kuzzle_metric {
  kuzzle_str name;   /* 1 to 64 of A-Z a-z 0-9 _ . - ; lives until the process ends */
  uint32_t kind;     /* KUZZLE_METRIC_... */
  uint32_t reserved; /* 0 */
  int64_t value;     /* for fractions choose a smaller unit, and name it: wait_us */
} kuzzle_metric;

/* What kuzzle_protocol_get_extension answers; lives until the process ends.
 *
 * read: [any-thread] [no-block] [no-reentry: execute inside answers REENTRANT]
 * Writes at most `capacity` metrics to `out`, and to *count how many. The host
 * asks once for the table, after init, and calls read about once a second, on a
 * thread of its own that it has for this protocol, between broadcasts, never
 * inside the protocol's own execute. Any other status than KUZZLE_OK: the host
 * shows the numbers of before. Metrics that are not as demanded are not shown,
 * which is told once in the log; of two of one name the first counts. */
typedef struct kuzzle_metrics {
  int32_t (*read)(kuzzle_protocol *self, kuzzle_metric *out, size_t capacity, size_t *count);
} kuzzle_metrics;

/* What kuzzle_context.get_extension answers.
 *
 * read: [any-thread] [no-block] The same for what the host counts of this
 * protocol: `connections` (a gauge), `requests`, `notifications`, `dropped` and
 * `slowCalls` (counters); perhaps others later. KUZZLE_INVALID_ARGUMENT for null
 * pointers. */
typedef struct kuzzle_host_metrics {
  int32_t (*read)(const kuzzle_context *self, kuzzle_metric *out, size_t capacity, size_t *count);
} kuzzle_host_metrics;

KUZZLE_EXTERN_C_END

#endif /* KUZZLE_EXTENSIONS_METRICS_H */
