/* line.h: what the source files of the line protocol share. None of it is seen
 * by the host, whose contract is kuzzle/protocol.h alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LINE_H
#define LINE_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "kuzzle/protocol.h"

/* message.c: outgoing lines ------------------------------------------------ */

/* One line to send: buffers of the host, retained, then bytes of our own. A
 * broadcast makes one for each channel, however many clients will get it: the
 * payload is never copied, and its buffers are retained once. */
struct message {
  size_t references;    /* under the lock */
  struct message *next; /* chains what waits for messages_free */
  size_t size;          /* bytes on the wire, with the line feed */
  size_t suffix_len;
  const char *suffix; /* in the same allocation, behind the parts */
  size_t parts_len;
  kuzzle_buf parts[];
};

/* All return a message with one reference, or null: out of memory, or parts
 * that are no JSON object. They call retain of the host, so: without the lock. */
struct message *message_with_room(const kuzzle_buf *parts, size_t parts_len, kuzzle_str room);
struct message *message_raw(const kuzzle_buf *parts, size_t parts_len);
struct message *message_error(const char *id, const char *prefix, kuzzle_str text, unsigned status,
                              kuzzle_str request_id);

/* Gives back one reference, under the lock. The last one moves the message to
 * *garbage, because the host's release is not called under our lock. */
void message_drop(struct message *message, struct message **garbage);
void messages_free(struct message *garbage); /* without the lock */

/* What waits to be sent to one client, oldest first. */
struct queue {
  struct message **ring;
  size_t capacity; /* of the ring: a power of two, or 0 */
  size_t head;
  size_t count;
  size_t bytes; /* that wait, with the bookkeeping */
  size_t sent;  /* bytes of the first message that are sent already */
};

/* False: over `limit`, or out of memory; then nothing has changed. One message
 * always fits into an empty queue, else a large answer could never be sent. */
bool queue_push(struct queue *queue, struct message *message, size_t limit);
/* Describes the next bytes to send; returns how many entries it filled. */
size_t queue_peek(const struct queue *queue, struct iovec *out, size_t out_len);
void queue_consume(struct queue *queue, size_t bytes, struct message **garbage);
void queue_clear(struct queue *queue, struct message **garbage);

/* registry.c: clients by handle, channels by name; all of it under the lock -- */

struct client;

/* One client in one channel, a node of two lists. `..._link` is the pointer
 * that points here, so that leaving needs no search. */
struct subscription {
  struct client *client;
  struct channel *channel;
  struct subscription *channel_next, **channel_link;
  struct subscription *client_next, **client_link;
};

struct channel {
  struct channel *next; /* in its bucket */
  uint64_t hash;
  struct subscription *members; /* never empty: the last to leave frees it */
  size_t members_len;
  size_t name_len;
  char name[];
};

struct registry {
  struct client **handles; /* buckets; as many as clients are allowed, so never grown */
  size_t handles_mask;
  struct channel **channels; /* buckets */
  size_t channels_mask;
  size_t channels_len;
};

bool registry_create(struct registry *registry, size_t max_clients);
void registry_destroy(struct registry *registry); /* no client is left */
void registry_add(struct registry *registry, struct client *client);
void registry_remove(struct registry *registry, struct client *client); /* leaves all channels too */
struct client *registry_client(const struct registry *registry, uint64_t handle);
struct channel *registry_channel(const struct registry *registry, kuzzle_str name);
int32_t registry_join(struct registry *registry, struct client *client, kuzzle_str name);
void registry_leave(struct registry *registry, struct client *client, kuzzle_str name);

/* loop.c: the thread that talks to the clients ------------------------------ */

enum client_state {
  CLIENT_OPEN,
  CLIENT_CLOSING, /* reads no more; closed when the queue is sent, or at close_at */
  CLIENT_DEAD,    /* the loop will close it at its next turn */
  CLIENT_GONE     /* closed and unknown to the host; kept until in_flight is false */
};

struct client {
  kuzzle_protocol *line;
  uint64_t handle;
  struct client *next; /* in its bucket of the registry */

  /* Only the loop thread uses these. The next line is input[begin..scanned]
   * if line_ready; else input[begin..end] is the beginning of one. */
  int fd;
  char *input;
  size_t capacity, begin, scanned, end;
  bool line_ready;
  bool discarding; /* inside a line that was too long */
  bool blocked;    /* the socket takes no more for now */

  /* Under the lock: any thread may come. */
  enum client_state state;
  const char *reason; /* why it is not open any more */
  int64_t close_at;   /* CLIENT_CLOSING: milliseconds of the monotonic clock */
  bool in_flight;     /* the completion of a request is still to come */
  struct queue queue;
  struct subscription *subscriptions;
  size_t subscriptions_len;
};

struct kuzzle_protocol {
  const kuzzle_entry_point *entry_point;
  const kuzzle_context *context;
  size_t max_clients, max_line, max_queued; /* from the configuration */

  int listener;
  int wake_pipe[2]; /* read end, write end */
  pthread_t thread;
  bool thread_created;

  /* Only the loop thread, after start. */
  struct client **clients; /* room for max_clients */
  size_t clients_len;
  struct pollfd *pollfds; /* room for max_clients + 2 */
  int64_t accept_at;      /* no accept before: the process was out of descriptors */

  /* Never held across a call of the host, which may come back through our
   * exports. The only exception is new_connection, as its comment advises. */
  pthread_mutex_t lock;
  pthread_cond_t changed; /* loop_running or requests_in_flight, while stopping */
  bool sleeping;          /* the loop is in poll, or will be without another look */
  bool stopping;
  bool loop_running;
  size_t requests_in_flight;
  struct registry registry;
};

void *loop_main(void *line);
int64_t monotonic_ms(void);
bool prepare_descriptor(int fd); /* non-blocking, close-on-exec */

/* These two are called under the lock, on any thread. They free nothing and
 * reorder nothing: somebody further up the stack may be iterating. */
void client_send(struct client *client, struct message *message);
void client_close(struct client *client, enum client_state state, const char *reason);

#endif
