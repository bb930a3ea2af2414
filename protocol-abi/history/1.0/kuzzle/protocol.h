/* kuzzle/protocol.h: the Kuzzle protocol ABI, version 1.0.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A Kuzzle network protocol is a shared library that exports the functions
 * declared in section 6 and the note of section 7. Nothing else is needed: no
 * library to link, no generated code. It can be written in any language that
 * can export C functions.
 *
 * TRUST: a protocol runs inside the host process, with all of its rights. The
 * host inspects the file before it runs any of its code, but it cannot protect
 * itself from a library that corrupts memory.
 *
 * THREAD TAGS, on every function:
 *   [any-thread]  may be called from any thread, also several at once.
 *   [once]        called once in the life of the process, never concurrently
 *                 with another [once] function of the same protocol.
 *   [conn-serial] never two calls at once for the same connection; calls for
 *                 different connections may be concurrent. Not bound to one
 *                 thread.
 *   [no-block]    returns quickly: no waiting for a network peer, for another
 *                 thread, or for a lock that is held across a host call other
 *                 than new_connection. The host reports calls of 100 ms and
 *                 more. retain, release, remove_connection and log may be
 *                 called from everywhere.
 *   [no-reentry]  answers KUZZLE_REENTRANT inside broadcast, notify,
 *                 join_channel, leave_channel, disconnect and completions,
 *                 whichever protocol's: queue the work and do it later.
 *
 * MEMORY, everywhere:
 *   - Strings and bytes are pointer and length, not NUL-terminated; text is
 *     UTF-8. A pointer is null only if its length is 0. The same holds for
 *     arrays.
 *   - "Borrowed" means: valid until the function that received it returns.
 *   - The entry point, the context and all strings reached from them live
 *     until the process ends.
 *   - No side ever frees memory of the other: what is handed over carries its
 *     own release function.
 *
 * GROWTH: within a major version no function is added to a table and no field
 * is moved. Structs that begin with `struct_size` may get more fields at the
 * end; they are only ever passed by pointer. Set `struct_size` to sizeof(the
 * struct) when you fill one, and do not read past the size that you are given.
 * `reserved` fields are 0. New abilities come as extensions, by get_extension.
 */
#ifndef KUZZLE_PROTOCOL_H
#define KUZZLE_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

/* 1. Version and compiler ------------------------------------------------- */

/* A host accepts protocols of its own major and of a minor up to its own. */
#define KUZZLE_ABI_MAJOR 1
#define KUZZLE_ABI_MINOR 0

#if defined(_WIN32)
#define KUZZLE_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define KUZZLE_EXPORT __attribute__((visibility("default")))
#else
#define KUZZLE_EXPORT
#endif

/* In C++, repeat KUZZLE_NOEXCEPT on the definitions of the exports: an
 * exception that leaves a library ends the process. */
#if defined(__cplusplus)
#define KUZZLE_NOEXCEPT noexcept
#define KUZZLE_EXTERN_C_BEGIN extern "C" {
#define KUZZLE_EXTERN_C_END }
#else
#define KUZZLE_NOEXCEPT
#define KUZZLE_EXTERN_C_BEGIN
#define KUZZLE_EXTERN_C_END
#endif

KUZZLE_EXTERN_C_BEGIN

/* 2. Statuses and constants ------------------------------------------------ */

/* Every int32_t result is one of these; 0 is success. */
#define KUZZLE_OK 0
#define KUZZLE_FAILED 1           /* anything without a number of its own */
#define KUZZLE_PANIC 2            /* only the Rust SDK: the protocol panicked and is stopped */
#define KUZZLE_INVALID_ARGUMENT 3 /* a null pointer, a struct too short, text that is not UTF-8 */
#define KUZZLE_INVALID_JSON 4     /* execute: the document is not JSON */
#define KUZZLE_INVALID_REQUEST 5  /* execute: the document is no valid request */
#define KUZZLE_REENTRANT 6        /* called from inside a callback: see [no-reentry] */
#define KUZZLE_BAD_HANDLE 7       /* no such connection, or not this protocol's: close the client */
#define KUZZLE_NOT_STARTED 8      /* new_connection before every protocol's init has succeeded */
#define KUZZLE_STOPPED 9          /* this protocol has been stopped after a fault */
#define KUZZLE_SHUTTING_DOWN 10   /* the host is shutting down: no new connections */
#define KUZZLE_SHUTDOWN 11        /* this protocol's shutdown has been called: host functions are over */
#define KUZZLE_NOT_FOUND 12       /* no such option, error or extension */
#define KUZZLE_WRONG_TYPE 13      /* the option has another type */
#define KUZZLE_LIMIT 14           /* a limit of the host is reached: too many connections */

/* Levels of kuzzle_context.log. */
#define KUZZLE_LOG_ERROR 0u
#define KUZZLE_LOG_WARN 1u
#define KUZZLE_LOG_INFO 2u
#define KUZZLE_LOG_DEBUG 3u
#define KUZZLE_LOG_TRACE 4u

/* Reasons of kuzzle_disconnect. */
#define KUZZLE_DISCONNECT_REQUESTED 1u /* asked for by an administrator or by the API */
#define KUZZLE_DISCONNECT_SHUTDOWN 2u  /* the host is shutting down */
#define KUZZLE_DISCONNECT_OVERFLOW 3u  /* too much is waiting for this connection */

/* 3. Value types: frozen, passed by value and in arrays --------------------- */

/* Bytes, or UTF-8 text, that somebody else owns. Borrowed unless said otherwise. */
typedef struct kuzzle_str {
  const char *ptr; /* null only if len is 0; not NUL-terminated */
  size_t len;      /* bytes */
} kuzzle_str;

/* A kuzzle_str of a string literal. */
#if defined(__cplusplus)
#define KUZZLE_STR(literal) (kuzzle_str{literal, sizeof(literal) - 1})
#else
#define KUZZLE_STR(literal) ((kuzzle_str){literal, sizeof(literal) - 1})
#endif

/* Reference counting of a kuzzle_buf; the table outlives every buffer that
 * names it. */
typedef struct kuzzle_buf_ops {
  void (*retain)(void *owner);  /* [any-thread] [no-block] one more owner */
  void (*release)(void *owner); /* [any-thread] [no-block] one owner less; the last one frees */
} kuzzle_buf_ops;

/* Immutable bytes with shared ownership. A buffer that is passed to a function
 * is borrowed; to keep it, copy the struct and call ops->retain(owner), and
 * ops->release(owner) when done, on any thread, until the process ends.
 * Without ops the bytes are static and live for ever, except in a request,
 * whose buffers are only borrowed and never retained. */
typedef struct kuzzle_buf {
  const uint8_t *data;       /* null only if len is 0 */
  size_t len;                /* bytes */
  void *owner;               /* argument of ops */
  const kuzzle_buf_ops *ops; /* null: static bytes */
} kuzzle_buf;

/* One header, of a request, a connection or a response. */
typedef struct kuzzle_header {
  kuzzle_str name;
  kuzzle_str value;
} kuzzle_header;

struct kuzzle_response;

/* What to call with the answer of a request: function(context, response).
 * Called exactly once for each execute that returned KUZZLE_OK, on any thread,
 * possibly before execute returns; never for one that returned anything else,
 * nor for a protocol that the host has suspended. Returns KUZZLE_OK; any other
 * status is only told in the log, except that the SDK's KUZZLE_PANIC stops the
 * protocol, as it does from the exports. [conn-serial] [no-block] */
typedef struct kuzzle_completion {
  int32_t (*function)(void *context, const struct kuzzle_response *response); /* response: borrowed */
  void *context; /* the protocol's own; the host only passes it back */
} kuzzle_completion;

/* 4. Extensible structs: begin with struct_size, passed by pointer ---------- */

/* An error that a function fills when it fails. The caller zeroes it and sets
 * struct_size, or passes a null pointer; after reading, the caller calls
 * release if it is not null. Only a failed call fills it. */
typedef struct kuzzle_error {
  uint32_t struct_size;
  int32_t code;          /* the status that the function returns too */
  kuzzle_str message;    /* what was attempted, on what, what to do; valid until release */
  kuzzle_str request_id; /* execute: the request's id, if it could be read; valid until release */
  void *owner;           /* the callee's own */
  /* [any-thread] null, or frees what the callee allocated and zeroes all but struct_size. */
  void (*release)(struct kuzzle_error *error);
} kuzzle_error;

/* A client that has connected. Everything is borrowed. */
typedef struct kuzzle_connection_info {
  uint32_t struct_size;
  uint32_t reserved;
  kuzzle_str label;             /* shown in requests, notifications, statistics, logs; empty: the manifest's name */
  const kuzzle_str *ips;        /* the client first, then proxies, the direct peer last */
  size_t ips_len;
  const kuzzle_header *headers; /* of the connection (for example of a WebSocket upgrade) */
  size_t headers_len;
  kuzzle_str url;               /* empty if the protocol has none */
  kuzzle_str verb;              /* empty if the protocol has none */
} kuzzle_connection_info;

/* A request for the Kuzzle API. Everything is borrowed: the host copies what
 * it keeps, so the parts may lie in a receive buffer. */
typedef struct kuzzle_request {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t connection;     /* from new_connection; 0: none, then no real-time */
  const kuzzle_buf *parts; /* concatenated: one JSON object, {"controller", "action", ...} */
  size_t parts_len;
  kuzzle_str label;        /* empty: the connection's */
  const kuzzle_header *headers;
  size_t headers_len;
  kuzzle_str method;       /* for the access log; may be empty */
  kuzzle_str url;          /* for the access log; may be empty */
} kuzzle_request;

/* The answer to a request. Everything lives until the completion returns;
 * parts can be retained. */
typedef struct kuzzle_response {
  uint32_t struct_size;
  uint32_t status;         /* as HTTP's: 200, 404, ... */
  uint8_t raw;             /* 1: parts are any bytes, send them as they are; 0: one JSON object */
  uint8_t reserved[7];
  kuzzle_str request_id;   /* the client's, or one that the host has made */
  const kuzzle_header *headers;
  size_t headers_len;
  /* Unless raw: the parts concatenate to one JSON object without trailing
   * space. Its last byte is the '}' that ends the last part, which is not
   * empty: to append a member, send all but that byte and your suffix. The
   * protocol appends "room": request_id itself, if its clients expect it. */
  const kuzzle_buf *parts;
  size_t parts_len;
} kuzzle_response;

/* A payload for everybody who has joined one of the channels. */
typedef struct kuzzle_broadcast {
  uint32_t struct_size;
  uint32_t reserved;
  const kuzzle_str *channels; /* borrowed */
  size_t channels_len;
  const kuzzle_buf *parts; /* one JSON object, as in kuzzle_response; can be retained */
  size_t parts_len;
} kuzzle_broadcast;

/* A payload for one connection. */
typedef struct kuzzle_notification {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t connection;
  const kuzzle_str *channels; /* borrowed; the connection may have joined none of them */
  size_t channels_len;
  const kuzzle_buf *parts; /* one JSON object, as in kuzzle_response; can be retained */
  size_t parts_len;
} kuzzle_notification;

/* A client connection that must be closed. */
typedef struct kuzzle_disconnect {
  uint32_t struct_size;
  uint32_t reason; /* KUZZLE_DISCONNECT_...; treat unknown ones as REQUESTED */
  uint64_t connection;
  kuzzle_str message; /* for the client or a log; borrowed; may be empty */
} kuzzle_disconnect;

/* One entry of Kuzzle's error catalogue. The strings live for ever. */
typedef struct kuzzle_error_info {
  uint32_t struct_size;
  uint32_t code;          /* Kuzzle's number, for example 33685508 */
  uint32_t status;        /* as HTTP's */
  uint32_t reserved;
  kuzzle_str id;          /* for example "api.process.controller_not_found" */
  kuzzle_str error_class; /* for example "NotFoundError" */
  kuzzle_str message;     /* each %s stands for a value */
} kuzzle_error_info;

/* 5. What the host gives to init: two frozen tables ------------------------- */

/* One EntryPoint for each protocol: declares clients, forwards requests. The
 * first argument of each function is the table itself. */
typedef struct kuzzle_entry_point kuzzle_entry_point;
struct kuzzle_entry_point {
  /* [any-thread] [no-block] Declares a client. Writes its handle to *out and
   * its UUID (version 4, for clients and logs) to uuid_out. Never calls into
   * the protocol, so hold your table's lock across it: then no disconnect can
   * come before the handle is stored. `info` is borrowed; uuid_out and error
   * may be null. KUZZLE_NOT_STARTED, SHUTTING_DOWN, STOPPED, SHUTDOWN, LIMIT,
   * INVALID_ARGUMENT. */
  int32_t (*new_connection)(const kuzzle_entry_point *self, const kuzzle_connection_info *info,
                            uint64_t *out, uint8_t uuid_out[16], kuzzle_error *error);

  /* [any-thread] [no-block] Ends a connection: its handle is stale at once, no
   * new call for it begins (one that has begun may still be running), no
   * leave_channel follows, its unanswered requests are completed with
   * api.process.connection_dropped. Allowed inside callbacks; elsewhere it may
   * call this protocol's broadcast and completions before it returns, so hold no
   * lock that those take. KUZZLE_BAD_HANDLE if it is gone already, which is
   * harmless. */
  int32_t (*remove_connection)(const kuzzle_entry_point *self, uint64_t connection);

  /* [any-thread] [no-reentry] Executes a request, with 512 KiB of stack. While
   * it runs the host calls, on this thread, only functions of this protocol:
   * the completion, join_channel, leave_channel, notify, broadcast,
   * disconnect. Hold no lock that those take, and do not free or reorder what
   * you are iterating. On KUZZLE_OK the completion is called exactly once,
   * usually before execute returns. Anything else: the request was not
   * accepted, the completion is not called, nothing was kept; `error` (may be
   * null) tells why. INVALID_JSON (also for text that is not UTF-8),
   * INVALID_REQUEST (text and request_id in `error`: answer with an error id of
   * your own and status 400), REENTRANT, BAD_HANDLE (close the client), STOPPED,
   * SHUTDOWN, INVALID_ARGUMENT. Overload and a host that is shutting down are
   * answered through the completion. */
  int32_t (*execute)(const kuzzle_entry_point *self, const kuzzle_request *request,
                     kuzzle_completion completion, kuzzle_error *error);

  /* [any-thread] [no-block] Writes an access log line for an answer that did
   * not come from execute. `request` is borrowed; its parts may be empty.
   * status as HTTP's, size in bytes. */
  int32_t (*log_access)(const kuzzle_entry_point *self, const kuzzle_request *request,
                        uint32_t status, uint64_t size);

  /* [any-thread] [no-block] 1 once the host is shutting down, else 0. */
  uint8_t (*is_shutting_down)(const kuzzle_entry_point *self);

  /* [any-thread] Tells an address that is really bound, for example
   * ("tcp", "127.0.0.1:7515"): shown in logs, server:info and the ready file.
   * Call it in init or start, once for each listener. Both are borrowed. */
  int32_t (*report_listener)(const kuzzle_entry_point *self, kuzzle_str transport, kuzzle_str address);

  /* [any-thread] [no-block] The `server` section of the configuration as JSON,
   * with only the protocol's own sections under `protocols`: an object each,
   * or null for one of several that is switched off. Lives for ever. */
  kuzzle_str (*config)(const kuzzle_entry_point *self);

  /* [any-thread] [no-block] How many worker threads suit this machine, at
   * least 2. */
  uint32_t (*suggested_worker_threads)(const kuzzle_entry_point *self);
};

/* Utilities that are not about the network. All strings live for ever. */
typedef struct kuzzle_context kuzzle_context;
struct kuzzle_context {
  /* [any-thread] [no-block] Version of the host, for example "0.1.0". */
  kuzzle_str (*host_version)(const kuzzle_context *self);
  /* [any-thread] [no-block] Version of the Kuzzle API, for example "2.56.0". */
  kuzzle_str (*kuzzle_version)(const kuzzle_context *self);
  /* [any-thread] [no-block] Id of this node, for example "knode-calm-heron-48213". */
  kuzzle_str (*node_id)(const kuzzle_context *self);

  /* [any-thread] Writes a line to the host's log, under the protocol's name.
   * `target` (a module or topic, may be empty) and `message` are borrowed. */
  void (*log)(const kuzzle_context *self, uint32_t level, kuzzle_str target, kuzzle_str message);
  /* [any-thread] [no-block] 1 if a line of that level would be written. */
  uint8_t (*log_enabled)(const kuzzle_context *self, uint32_t level, kuzzle_str target);

  /* [any-thread] [no-block] An option of the protocol's own section, by its
   * dotted path: "server.port". If the protocol owns several sections the
   * first segment is the section. A leading "/" starts at the `server` section
   * instead; only "/host" and "/port" can be read there. *out is written on
   * KUZZLE_OK only. KUZZLE_NOT_FOUND (also for null), KUZZLE_WRONG_TYPE. */
  int32_t (*option_i64)(const kuzzle_context *self, kuzzle_str path, int64_t *out);
  int32_t (*option_bool)(const kuzzle_context *self, kuzzle_str path, uint8_t *out);
  int32_t (*option_string)(const kuzzle_context *self, kuzzle_str path, kuzzle_str *out);

  /* [any-thread] [no-block] Kuzzle's error catalogue: how many entries, one by
   * index, one by id. Set out->struct_size. KUZZLE_NOT_FOUND. */
  size_t (*error_count)(const kuzzle_context *self);
  int32_t (*error_at)(const kuzzle_context *self, size_t index, kuzzle_error_info *out);
  int32_t (*error_by_id)(const kuzzle_context *self, kuzzle_str id, kuzzle_error_info *out);

  /* [any-thread] [no-block] A random UUID, version 4. */
  void (*uuid)(const kuzzle_context *self, uint8_t out[16]);

  /* [any-thread] [no-block] A table of the host by its extension id
   * "kuzzle.<name>/<revision>"; null: this host does not have it. */
  const void *(*get_extension)(const kuzzle_context *self, kuzzle_str id);
};

/* 6. What a protocol exports ------------------------------------------------ */

/* The protocol's own state: define it as you like. */
typedef struct kuzzle_protocol kuzzle_protocol;

/* [once] Required. Reads the configuration, binds sockets, stores what it
 * needs, writes its state to *out. Both tables live until the process ends.
 * Context and execute without a connection work; new_connection answers
 * NOT_STARTED until every protocol's init has succeeded. Runs on a host thread
 * of its own, with SIGTERM and SIGINT blocked (threads made here inherit that),
 * within services.common.defaultInitTimeout. On failure: clean up, fill
 * `error`, return non-zero; shutdown is then not called. */
KUZZLE_EXPORT int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point,
                                           const kuzzle_context *context, kuzzle_protocol **out,
                                           kuzzle_error *error) KUZZLE_NOEXCEPT;

/* [once] Optional. Called after every protocol's init has succeeded: accept
 * clients from here. broadcast may precede it. */
KUZZLE_EXPORT int32_t kuzzle_protocol_start(kuzzle_protocol *self, kuzzle_error *error) KUZZLE_NOEXCEPT;

/* [any-thread] [no-block] Required. Sends a payload to all connections that
 * have joined one of the channels, for each such channel. Channels that nobody
 * here has joined are normal. `message` is borrowed; its parts can be retained. */
KUZZLE_EXPORT int32_t kuzzle_protocol_broadcast(kuzzle_protocol *self,
                                                const kuzzle_broadcast *message) KUZZLE_NOEXCEPT;

/* [conn-serial] [no-block] Required. Sends a payload to one connection, for
 * each channel named. Unknown connections are ignored. */
KUZZLE_EXPORT int32_t kuzzle_protocol_notify(kuzzle_protocol *self,
                                             const kuzzle_notification *message) KUZZLE_NOEXCEPT;

/* [conn-serial] [no-block] Required. The connection listens to the channel
 * from now on. May name a pair that has joined already. Returning non-zero
 * refuses: the subscription is undone and its request answered with an error.
 * `channel` is borrowed. */
KUZZLE_EXPORT int32_t kuzzle_protocol_join_channel(kuzzle_protocol *self, uint64_t connection,
                                                   kuzzle_str channel) KUZZLE_NOEXCEPT;

/* [conn-serial] [no-block] Required. The connection no longer listens to the
 * channel. May name a pair that never joined. `channel` is borrowed. */
KUZZLE_EXPORT int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *self, uint64_t connection,
                                                    kuzzle_str channel) KUZZLE_NOEXCEPT;

/* [conn-serial] [no-block] Required. Close this client, then call
 * remove_connection (allowed here); the host removes it itself after 5 s.
 * `message` is borrowed. */
KUZZLE_EXPORT int32_t kuzzle_protocol_disconnect(kuzzle_protocol *self,
                                                 const kuzzle_disconnect *message) KUZZLE_NOEXCEPT;

/* [once] Optional, but expected of anything with threads. Called once if init
 * has succeeded, whether or not start was called and succeeded. Join the
 * threads within deadline_ms milliseconds; after it returns nothing of the
 * protocol runs. No new call begins once it is called, except completions of an
 * execute that the protocol's own threads are in; a call that had begun may
 * still be running if it was too slow, so do not free what it uses. Host
 * functions other than log answer KUZZLE_SHUTDOWN; releasing buffers stays
 * legal. */
KUZZLE_EXPORT int32_t kuzzle_protocol_shutdown(kuzzle_protocol *self, uint32_t deadline_ms) KUZZLE_NOEXCEPT;

/* [any-thread] [no-block] Optional. A table of the protocol by its extension
 * id, or null. `self_or_null` is null before init. */
KUZZLE_EXPORT const void *kuzzle_protocol_get_extension(kuzzle_protocol *self_or_null,
                                                        kuzzle_str id) KUZZLE_NOEXCEPT;

KUZZLE_EXTERN_C_END

/* 7. The note ---------------------------------------------------------------
 *
 * Write `KUZZLE_PROTOCOL_NOTE();` once, at file scope of one source file that
 * is given to the linker directly (not only in a static archive). It defines
 * the constant `kuzzle_protocol_abi`, from which the host reads the ABI version
 * and the layout of the structs above, as your compiler sees them, without
 * running any of your code. Bytes: magic[8], u16 major, u16 minor, u32
 * note_size, u32 flags, u16 pointer_size, u16 table_len, u16 toolchain_len, u16
 * sdk_len, then u16 table[table_len], then the two strings, whose lengths
 * include their NUL. note_size counts all of that. */

/* The append-only table: sizes and offsets, in this order for ever. */
#define KUZZLE_LAYOUT_(SIZE, FIELD) \
  SIZE(kuzzle_str) FIELD(kuzzle_str, ptr) FIELD(kuzzle_str, len) \
  SIZE(kuzzle_buf_ops) FIELD(kuzzle_buf_ops, retain) FIELD(kuzzle_buf_ops, release) \
  SIZE(kuzzle_buf) FIELD(kuzzle_buf, data) FIELD(kuzzle_buf, len) FIELD(kuzzle_buf, owner) \
  FIELD(kuzzle_buf, ops) \
  SIZE(kuzzle_header) FIELD(kuzzle_header, name) FIELD(kuzzle_header, value) \
  SIZE(kuzzle_completion) FIELD(kuzzle_completion, function) FIELD(kuzzle_completion, context) \
  SIZE(kuzzle_error) FIELD(kuzzle_error, struct_size) FIELD(kuzzle_error, code) \
  FIELD(kuzzle_error, message) FIELD(kuzzle_error, request_id) FIELD(kuzzle_error, owner) \
  FIELD(kuzzle_error, release) \
  SIZE(kuzzle_connection_info) FIELD(kuzzle_connection_info, struct_size) \
  FIELD(kuzzle_connection_info, label) FIELD(kuzzle_connection_info, ips) \
  FIELD(kuzzle_connection_info, ips_len) FIELD(kuzzle_connection_info, headers) \
  FIELD(kuzzle_connection_info, headers_len) FIELD(kuzzle_connection_info, url) \
  FIELD(kuzzle_connection_info, verb) \
  SIZE(kuzzle_request) FIELD(kuzzle_request, struct_size) FIELD(kuzzle_request, connection) \
  FIELD(kuzzle_request, parts) FIELD(kuzzle_request, parts_len) FIELD(kuzzle_request, label) \
  FIELD(kuzzle_request, headers) FIELD(kuzzle_request, headers_len) \
  FIELD(kuzzle_request, method) FIELD(kuzzle_request, url) \
  SIZE(kuzzle_response) FIELD(kuzzle_response, struct_size) FIELD(kuzzle_response, status) \
  FIELD(kuzzle_response, raw) FIELD(kuzzle_response, request_id) FIELD(kuzzle_response, headers) \
  FIELD(kuzzle_response, headers_len) FIELD(kuzzle_response, parts) \
  FIELD(kuzzle_response, parts_len) \
  SIZE(kuzzle_broadcast) FIELD(kuzzle_broadcast, struct_size) FIELD(kuzzle_broadcast, channels) \
  FIELD(kuzzle_broadcast, channels_len) FIELD(kuzzle_broadcast, parts) \
  FIELD(kuzzle_broadcast, parts_len) \
  SIZE(kuzzle_notification) FIELD(kuzzle_notification, struct_size) \
  FIELD(kuzzle_notification, connection) FIELD(kuzzle_notification, channels) \
  FIELD(kuzzle_notification, channels_len) FIELD(kuzzle_notification, parts) \
  FIELD(kuzzle_notification, parts_len) \
  SIZE(kuzzle_disconnect) FIELD(kuzzle_disconnect, struct_size) FIELD(kuzzle_disconnect, reason) \
  FIELD(kuzzle_disconnect, connection) FIELD(kuzzle_disconnect, message) \
  SIZE(kuzzle_error_info) FIELD(kuzzle_error_info, struct_size) FIELD(kuzzle_error_info, code) \
  FIELD(kuzzle_error_info, status) FIELD(kuzzle_error_info, id) \
  FIELD(kuzzle_error_info, error_class) FIELD(kuzzle_error_info, message) \
  SIZE(kuzzle_entry_point) FIELD(kuzzle_entry_point, new_connection) \
  FIELD(kuzzle_entry_point, remove_connection) FIELD(kuzzle_entry_point, execute) \
  FIELD(kuzzle_entry_point, log_access) FIELD(kuzzle_entry_point, is_shutting_down) \
  FIELD(kuzzle_entry_point, report_listener) FIELD(kuzzle_entry_point, config) \
  FIELD(kuzzle_entry_point, suggested_worker_threads) \
  SIZE(kuzzle_context) FIELD(kuzzle_context, host_version) FIELD(kuzzle_context, kuzzle_version) \
  FIELD(kuzzle_context, node_id) FIELD(kuzzle_context, log) FIELD(kuzzle_context, log_enabled) \
  FIELD(kuzzle_context, option_i64) FIELD(kuzzle_context, option_bool) \
  FIELD(kuzzle_context, option_string) FIELD(kuzzle_context, error_count) \
  FIELD(kuzzle_context, error_at) FIELD(kuzzle_context, error_by_id) FIELD(kuzzle_context, uuid) \
  FIELD(kuzzle_context, get_extension)

#define KUZZLE_LAYOUT_SIZE_(type) (uint16_t)sizeof(type),
#define KUZZLE_LAYOUT_FIELD_(type, field) (uint16_t)offsetof(type, field),
#define KUZZLE_LAYOUT_ONE_(type) +1
#define KUZZLE_LAYOUT_ONE_FIELD_(type, field) +1
#define KUZZLE_LAYOUT_LEN_ (0 KUZZLE_LAYOUT_(KUZZLE_LAYOUT_ONE_, KUZZLE_LAYOUT_ONE_FIELD_))

/* Both may be defined as short string literals before this header is included. */
#ifndef KUZZLE_TOOLCHAIN
#if defined(__clang__)
#define KUZZLE_TOOLCHAIN "clang " __clang_version__
#elif defined(__GNUC__)
#define KUZZLE_TOOLCHAIN "gcc " __VERSION__
#else
#define KUZZLE_TOOLCHAIN "unknown"
#endif
#endif
#ifndef KUZZLE_SDK
#define KUZZLE_SDK "kuzzle/protocol.h 1.0"
#endif

#define KUZZLE_PROTOCOL_NOTE() \
  struct kuzzle_protocol_note_ { \
    char magic[8]; \
    uint16_t major; \
    uint16_t minor; \
    uint32_t note_size; \
    uint32_t flags; \
    uint16_t pointer_size; \
    uint16_t table_len; \
    uint16_t toolchain_len; \
    uint16_t sdk_len; \
    uint16_t table[KUZZLE_LAYOUT_LEN_]; \
    char toolchain[sizeof(KUZZLE_TOOLCHAIN)]; \
    char sdk[sizeof(KUZZLE_SDK)]; \
  }; \
  KUZZLE_EXTERN_C_BEGIN \
  KUZZLE_EXPORT extern const struct kuzzle_protocol_note_ kuzzle_protocol_abi; \
  KUZZLE_EXTERN_C_END \
  const struct kuzzle_protocol_note_ kuzzle_protocol_abi = { \
    {'K', 'Z', 'P', 'R', 'O', 'T', 'O', '1'}, \
    KUZZLE_ABI_MAJOR, \
    KUZZLE_ABI_MINOR, \
    (uint32_t)(28u + 2u * KUZZLE_LAYOUT_LEN_ + sizeof(KUZZLE_TOOLCHAIN) + sizeof(KUZZLE_SDK)), \
    0, \
    (uint16_t)sizeof(void *), \
    (uint16_t)(KUZZLE_LAYOUT_LEN_), \
    (uint16_t)sizeof(KUZZLE_TOOLCHAIN), \
    (uint16_t)sizeof(KUZZLE_SDK), \
    {KUZZLE_LAYOUT_(KUZZLE_LAYOUT_SIZE_, KUZZLE_LAYOUT_FIELD_)}, \
    KUZZLE_TOOLCHAIN, \
    KUZZLE_SDK}

#endif /* KUZZLE_PROTOCOL_H */
