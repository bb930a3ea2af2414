/* line.c: a Kuzzle network protocol in plain C: one JSON document a line, over
 * TCP. This file holds the contract with the host, the functions that
 * kuzzle/protocol.h asks for; start reading here. README.md tells the protocol.
 *
 *   line.c      options, init, start, shutdown; calls from the host
 *   loop.c      the thread that accepts, reads, executes and sends
 *   message.c   outgoing lines, made of the host's buffers without copying
 *   registry.c  clients by handle, channels by name
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "line.h"

#include "kuzzle/extensions/metrics.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What the host reads from the file before it runs any code of it. */
KUZZLE_PROTOCOL_NOTE();

/* execute needs 512 KiB; the rest is for us. Some C libraries give a thread
 * only 128 KiB if it is not asked for. */
#define LOOP_STACK_SIZE (1024u * 1024u)

/* Errors --------------------------------------------------------------------- */

static void release_error(kuzzle_error *error) {
  uint32_t struct_size = error->struct_size;
  free(error->owner);
  memset(error, 0, sizeof *error);
  error->struct_size = struct_size;
}

/* Fills `error` with a text that lives until the host calls release, and
 * returns the status: `return fail(error, "...")`. */
static int32_t fail(kuzzle_error *error, const char *format, ...) {
  if (error == NULL || error->struct_size < sizeof *error)
    return KUZZLE_FAILED;
  error->code = KUZZLE_FAILED;
  char *text = malloc(512);
  if (text == NULL) {
    error->message = KUZZLE_STR("out of memory"); /* static: nothing to release */
    return KUZZLE_FAILED;
  }
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, 512, format, arguments);
  va_end(arguments);
  error->message.ptr = text;
  error->message.len = strlen(text);
  error->owner = text;
  error->release = release_error;
  return KUZZLE_FAILED;
}

/* strerror is not safe with threads, and the host has many. */
static const char *error_text(int number, char *out, size_t out_len) {
  if (strerror_r(number, out, out_len) != 0)
    snprintf(out, out_len, "error %d", number);
  return out;
}

/* Options -------------------------------------------------------------------- */

struct options {
  char host[256];
  char port[8];
  int64_t max_clients, max_line, max_queued;
};

/* manifest.json has the same bounds, so the host has refused most mistakes
 * before; but a library can be installed with another manifest. */
static bool read_number(const kuzzle_context *context, const char *name, int64_t fallback, int64_t minimum,
                        int64_t maximum, int64_t *out, kuzzle_error *error) {
  kuzzle_str path = {name, strlen(name)};
  int32_t status = context->option_i64(context, path, out);
  if (status == KUZZLE_NOT_FOUND) {
    *out = fallback;
    return true;
  }
  if (status == KUZZLE_OK && *out >= minimum && *out <= maximum)
    return true;
  fail(error, "Option \"%s\" of the line protocol must be an integer from %lld to %lld.", name,
       (long long)minimum, (long long)maximum);
  return false;
}

static bool read_host(const kuzzle_context *context, char *out, size_t out_len, kuzzle_error *error) {
  kuzzle_str host = KUZZLE_STR("127.0.0.1");
  int32_t status = context->option_string(context, KUZZLE_STR("host"), &host);
  if (status == KUZZLE_NOT_FOUND) {
    status = context->option_string(context, KUZZLE_STR("/host"), &host); /* of the whole server */
    if (status == KUZZLE_NOT_FOUND)
      status = KUZZLE_OK; /* nothing is open to the network until somebody says so */
  }
  if (status != KUZZLE_OK || host.len == 0 || host.len >= out_len || memchr(host.ptr, 0, host.len) != NULL) {
    fail(error, "Option \"host\" of the line protocol must be a host name or an IP address.");
    return false;
  }
  memcpy(out, host.ptr, host.len);
  out[host.len] = 0;
  return true;
}

static bool read_options(const kuzzle_context *context, struct options *options, kuzzle_error *error) {
  int64_t port;
  if (!read_host(context, options->host, sizeof options->host, error) ||
      !read_number(context, "port", 7515, 0, 65535, &port, error) ||
      !read_number(context, "maxClients", 1000, 1, 65536, &options->max_clients, error) ||
      !read_number(context, "maxLine", 1048576, 16, 1 << 30, &options->max_line, error) ||
      !read_number(context, "maxQueuedBytes", 8388608, 1024, 1 << 30, &options->max_queued, error))
    return false;
  snprintf(options->port, sizeof options->port, "%u", (unsigned)port);
  return true;
}

/* The listener --------------------------------------------------------------- */

/* Returns a listening descriptor, or -1 with errno. */
static int listen_on(const struct addrinfo *address) {
  int on = 1;
  int fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
  if (fd < 0)
    return -1;
  /* Without SO_REUSEADDR a restart fails while old connections time out. */
  if (prepare_descriptor(fd) && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
    return fd;
  int cause = errno;
  close(fd);
  errno = cause;
  return -1;
}

/* Tells the host what is really bound: the port may have been 0. */
static void report_listener(const kuzzle_protocol *line) {
  struct sockaddr_storage address;
  socklen_t address_len = sizeof address;
  char host[64], port[8], text[80];
  if (getsockname(line->listener, (struct sockaddr *)&address, &address_len) != 0 ||
      getnameinfo((struct sockaddr *)&address, address_len, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return;
  snprintf(text, sizeof text, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
  kuzzle_str bound = {text, strlen(text)};
  line->entry_point->report_listener(line->entry_point, KUZZLE_STR("tcp"), bound);
}

static int32_t open_listener(kuzzle_protocol *line, const struct options *options, kuzzle_error *error) {
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  struct addrinfo *addresses;
  int failure = getaddrinfo(options->host, options->port, &hints, &addresses);
  if (failure != 0)
    return fail(error, "Cannot resolve the host \"%s\": %s. Set the option \"host\".", options->host,
                gai_strerror(failure));
  /* A name may stand for several addresses: the first that can be bound is used. */
  int cause = 0;
  for (const struct addrinfo *address = addresses; address != NULL && line->listener < 0;
       address = address->ai_next) {
    line->listener = listen_on(address);
    cause = errno;
  }
  freeaddrinfo(addresses);
  char text[128];
  if (line->listener < 0)
    return fail(error, "Cannot listen on %s, TCP port %s: %s. Set the options \"host\" and \"port\".",
                options->host, options->port, error_text(cause, text, sizeof text));
  return KUZZLE_OK;
}

/* Life cycle ------------------------------------------------------------------- */

static void close_descriptor(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

/* Everything but the struct with its lock: see kuzzle_protocol_shutdown. */
static void free_contents(kuzzle_protocol *line) {
  close_descriptor(&line->listener);
  close_descriptor(&line->wake_pipe[0]);
  close_descriptor(&line->wake_pipe[1]);
  for (size_t i = 0; i < line->clients_len; i++) {
    free(line->clients[i]->input);
    free(line->clients[i]);
  }
  line->clients_len = 0;
  free(line->clients);
  line->clients = NULL;
  free(line->pollfds);
  line->pollfds = NULL;
  registry_destroy(&line->registry);
}

/* The condition waits on the monotonic clock: the time of day may be set. */
static bool create_lock(kuzzle_protocol *line) {
  pthread_condattr_t attributes;
  if (pthread_mutex_init(&line->lock, NULL) != 0)
    return false;
  if (pthread_condattr_init(&attributes) == 0) {
    bool done = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&line->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (done)
      return true;
  }
  pthread_mutex_destroy(&line->lock);
  return false;
}

static int32_t create_contents(kuzzle_protocol *line, const struct options *options, kuzzle_error *error) {
  char text[128];
  line->max_clients = (size_t)options->max_clients;
  line->max_line = (size_t)options->max_line;
  line->max_queued = (size_t)options->max_queued;
  /* All that depends on the number of clients is allocated now, so that the
   * loop cannot run out of it. */
  line->clients = calloc(line->max_clients, sizeof *line->clients);
  line->pollfds = calloc(line->max_clients + 2, sizeof *line->pollfds);
  if (!registry_create(&line->registry, line->max_clients) || line->clients == NULL || line->pollfds == NULL)
    return fail(error, "Out of memory for %lu clients. Lower the option \"maxClients\".",
                (unsigned long)line->max_clients);
  if (pipe(line->wake_pipe) != 0 || !prepare_descriptor(line->wake_pipe[0]) ||
      !prepare_descriptor(line->wake_pipe[1]))
    return fail(error, "Cannot create a pipe: %s.", error_text(errno, text, sizeof text));
  return open_listener(line, options, error);
}

/* Binds, but accepts nobody: new_connection answers NOT_STARTED until start. */
int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point, const kuzzle_context *context,
                             kuzzle_protocol **out, kuzzle_error *error) {
  struct options options;
  if (!read_options(context, &options, error))
    return KUZZLE_FAILED;
  kuzzle_protocol *line = calloc(1, sizeof *line);
  if (line == NULL)
    return fail(error, "Out of memory.");
  line->entry_point = entry_point;
  line->context = context;
  line->listener = line->wake_pipe[0] = line->wake_pipe[1] = -1;
  if (!create_lock(line)) {
    free(line);
    return fail(error, "Cannot create a lock.");
  }
  int32_t status = create_contents(line, &options, error);
  if (status != KUZZLE_OK) {
    /* After a failed init there is no shutdown: all must be undone here. */
    free_contents(line);
    pthread_cond_destroy(&line->changed);
    pthread_mutex_destroy(&line->lock);
    free(line);
    return status;
  }
  report_listener(line);
  *out = line;
  return KUZZLE_OK;
}

int32_t kuzzle_protocol_start(kuzzle_protocol *line, kuzzle_error *error) {
  char text[128];
  pthread_attr_t attributes;
  int failure = pthread_attr_init(&attributes);
  if (failure == 0) {
    pthread_attr_setstacksize(&attributes, LOOP_STACK_SIZE);
    line->loop_running = true; /* before the thread exists: no lock needed */
    failure = pthread_create(&line->thread, &attributes, loop_main, line);
    pthread_attr_destroy(&attributes);
  }
  if (failure != 0) {
    line->loop_running = false;
    return fail(error, "Cannot create a thread: %s.", error_text(failure, text, sizeof text));
  }
  line->thread_created = true;
  return KUZZLE_OK;
}

int32_t kuzzle_protocol_shutdown(kuzzle_protocol *line, uint32_t deadline_ms) {
  int64_t until = monotonic_ms() + deadline_ms;
  struct timespec deadline = {(time_t)(until / 1000), (long)(until % 1000) * 1000000};
  pthread_mutex_lock(&line->lock);
  line->stopping = true;
  if (line->sleeping && write(line->wake_pipe[1], "", 1) == 1)
    line->sleeping = false;
  int failure = 0;
  while (failure == 0 && (line->loop_running || line->requests_in_flight > 0))
    failure = pthread_cond_timedwait(&line->changed, &line->lock, &deadline);
  bool done = !line->loop_running && line->requests_in_flight == 0;
  pthread_mutex_unlock(&line->lock);
  /* A thread that hangs in execute, or a completion that may still come, would
   * touch what is freed. The process is about to end: leave it. */
  if (!done)
    return KUZZLE_FAILED;
  if (line->thread_created)
    pthread_join(line->thread, NULL);
  pthread_mutex_lock(&line->lock);
  free_contents(line);
  pthread_mutex_unlock(&line->lock);
  /* The struct itself stays: a call that comes late finds empty tables instead
   * of freed memory. */
  return KUZZLE_OK;
}

/* Calls from the host ------------------------------------------------------------ */
/* All of these come on any thread, also on ours while it is inside execute. */

/* Makes a line for a channel and sends it to its members, or to one client if
 * `only` is not 0. */
static int32_t send_to_channel(kuzzle_protocol *line, const kuzzle_buf *parts, size_t parts_len,
                               kuzzle_str channel, uint64_t only) {
  /* Every protocol hears every broadcast: mostly nobody is here, and then the
   * payload is not even retained. */
  pthread_mutex_lock(&line->lock);
  bool anybody = only != 0 ? registry_client(&line->registry, only) != NULL
                           : registry_channel(&line->registry, channel) != NULL;
  pthread_mutex_unlock(&line->lock);
  if (!anybody)
    return KUZZLE_OK;
  struct message *message = message_with_room(parts, parts_len, channel); /* without the lock */
  if (message == NULL)
    return KUZZLE_FAILED;
  struct message *garbage = NULL;
  pthread_mutex_lock(&line->lock);
  if (only != 0) {
    struct client *client = registry_client(&line->registry, only);
    if (client != NULL && client->state == CLIENT_OPEN)
      client_send(client, message);
  } else {
    const struct channel *found = registry_channel(&line->registry, channel);
    const struct subscription *member = found == NULL ? NULL : found->members;
    /* client_send may find a client too slow. It only marks it: this list, and
     * any that the loop is walking through below us, stays as it is. */
    for (; member != NULL; member = member->channel_next)
      if (member->client->state == CLIENT_OPEN)
        client_send(member->client, message);
  }
  message_drop(message, &garbage);
  pthread_mutex_unlock(&line->lock);
  messages_free(garbage);
  return KUZZLE_OK;
}

int32_t kuzzle_protocol_broadcast(kuzzle_protocol *line, const kuzzle_broadcast *message) {
  int32_t status = KUZZLE_OK;
  for (size_t i = 0; i < message->channels_len; i++)
    if (send_to_channel(line, message->parts, message->parts_len, message->channels[i], 0) != KUZZLE_OK)
      status = KUZZLE_FAILED;
  return status;
}

int32_t kuzzle_protocol_notify(kuzzle_protocol *line, const kuzzle_notification *message) {
  int32_t status = KUZZLE_OK;
  if (message->connection == 0) /* no handle; send_to_channel would send to everybody */
    return KUZZLE_OK;
  for (size_t i = 0; i < message->channels_len; i++)
    if (send_to_channel(line, message->parts, message->parts_len, message->channels[i],
                        message->connection) != KUZZLE_OK)
      status = KUZZLE_FAILED;
  return status;
}

int32_t kuzzle_protocol_join_channel(kuzzle_protocol *line, uint64_t connection, kuzzle_str channel) {
  pthread_mutex_lock(&line->lock);
  struct client *client = registry_client(&line->registry, connection);
  int32_t status = client == NULL ? KUZZLE_BAD_HANDLE : registry_join(&line->registry, client, channel);
  pthread_mutex_unlock(&line->lock);
  return status;
}

int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *line, uint64_t connection, kuzzle_str channel) {
  pthread_mutex_lock(&line->lock);
  struct client *client = registry_client(&line->registry, connection);
  if (client != NULL)
    registry_leave(&line->registry, client, channel);
  pthread_mutex_unlock(&line->lock);
  return KUZZLE_OK;
}

/* The loop sends what waits, closes the socket and calls remove_connection,
 * within the 5 s that the host allows. */
int32_t kuzzle_protocol_disconnect(kuzzle_protocol *line, const kuzzle_disconnect *message) {
  pthread_mutex_lock(&line->lock);
  struct client *client = registry_client(&line->registry, message->connection);
  if (client != NULL)
    client_close(client, CLIENT_CLOSING, "the host has asked for it");
  pthread_mutex_unlock(&line->lock);
  return KUZZLE_OK;
}

/* Extensions ------------------------------------------------------------------ */

/* kuzzle.metrics/1: what server:metrics shows of us beside what the host counts. */
static int32_t read_metrics(kuzzle_protocol *line, kuzzle_metric *out, size_t capacity, size_t *count) {
  pthread_mutex_lock(&line->lock);
  const kuzzle_metric metrics[] = {
      {KUZZLE_STR("channels"), KUZZLE_METRIC_GAUGE, 0, (int64_t)line->registry.channels_len},
      {KUZZLE_STR("requestsInFlight"), KUZZLE_METRIC_GAUGE, 0, (int64_t)line->requests_in_flight},
  };
  pthread_mutex_unlock(&line->lock);
  *count = sizeof metrics / sizeof *metrics;
  if (*count > capacity)
    *count = capacity;
  memcpy(out, metrics, *count * sizeof *metrics);
  return KUZZLE_OK;
}

const void *kuzzle_protocol_get_extension(kuzzle_protocol *line, kuzzle_str id) {
  static const kuzzle_metrics metrics = {read_metrics};
  static const char name[] = KUZZLE_EXTENSION_METRICS;
  bool is_metrics = id.len == sizeof name - 1 && memcmp(id.ptr, name, id.len) == 0;
  return line != NULL && is_metrics ? &metrics : NULL;
}
