/* @NAME@: a Kuzzle network protocol in C. A datagram is a request of the Kuzzle
 * API, as JSON; the answer and notifications go back as datagrams.
 *
 * Everything between the host and a protocol stands in kuzzle/protocol.h: what
 * each function does, which threads may call it, who owns which memory. Change
 * what is about datagrams into your own network layer, and keep the rest.
 */
#define _POSIX_C_SOURCE 200809L

#include "kuzzle/protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The host reads this from the file, before it runs any code of it: the version
 * of the ABI and the layout of its structs, as your compiler sees them. */
KUZZLE_PROTOCOL_NOTE();

#define MOST_CLIENTS 256
#define DATAGRAM 65507 /* the most that a datagram carries, in bytes */
#define STACK (1024u * 1024u) /* execute needs 512 KiB, some systems give a thread less */

struct client {
  uint64_t connection; /* 0: this place is free */
  struct sockaddr_in address;
  uint64_t heard;  /* the number of its last datagram */
  char **channels; /* what it listens to */
  size_t *channel_lens;
  size_t channels_len;
};

/* The protocol's own state, which the host passes back to each function. */
struct kuzzle_protocol {
  const kuzzle_entry_point *entry_point;
  const kuzzle_context *context;
  pthread_t thread;
  bool thread_created;
  int wake[2]; /* a pipe: what is written there ends the thread */

  /* Guards what follows. It is never held while the host is called, except for
   * new_connection and log: during `execute` the host calls back into
   * `broadcast`, `notify`, `join_channel` and the others, on the same thread. */
  pthread_mutex_t lock;
  int socket; /* -1: closed */
  uint64_t datagrams;
  struct client clients[MOST_CLIENTS];
};

/* Errors and logs ------------------------------------------------------------ */

static void release_error(kuzzle_error *error) {
  uint32_t struct_size = error->struct_size;
  free(error->owner);
  memset(error, 0, sizeof *error);
  error->struct_size = struct_size;
}

/* Tells the host why: the administrator reads this text. It lives until the
 * host calls `release`. */
static int32_t fail(kuzzle_error *error, const char *format, ...) {
  char *text = malloc(256);
  va_list arguments;
  if (error == NULL || error->struct_size < sizeof *error || text == NULL) {
    free(text);
    return KUZZLE_FAILED;
  }
  va_start(arguments, format);
  vsnprintf(text, 256, format, arguments);
  va_end(arguments);
  error->code = KUZZLE_FAILED;
  error->message.ptr = text;
  error->message.len = strlen(text);
  error->owner = text;
  error->release = release_error;
  return KUZZLE_FAILED;
}

static void log_warning(const kuzzle_protocol *self, const char *text) {
  kuzzle_str message = {text, strlen(text)};
  self->context->log(self->context, KUZZLE_LOG_WARN, KUZZLE_STR(""), message);
}

/* Sending -------------------------------------------------------------------- */

/* Sends without waiting, as the socket says: a datagram for which there is no
 * room is lost. Call it with the lock held. */
static void send_locked(kuzzle_protocol *self, const struct sockaddr_in *to, const char *bytes, size_t len) {
  if (self->socket >= 0)
    (void)sendto(self->socket, bytes, len, 0, (const struct sockaddr *)to, sizeof *to);
}

static void send_text(kuzzle_protocol *self, const struct sockaddr_in *to, const char *text) {
  pthread_mutex_lock(&self->lock);
  send_locked(self, to, text, strlen(text));
  pthread_mutex_unlock(&self->lock);
}

/* Writes `text` as the inside of a JSON string; what does not fit is cut off. */
static void escape(kuzzle_str text, char *out, size_t out_len) {
  size_t at = 0;
  for (size_t i = 0; i < text.len && at + 7 < out_len; i++) {
    unsigned char byte = (unsigned char)text.ptr[i];
    if (byte == '"' || byte == '\\')
      out[at++] = '\\', out[at++] = (char)byte;
    else if (byte < 0x20)
      at += (size_t)snprintf(out + at, 7, "\\u%04x", byte);
    else
      out[at++] = (char)byte;
  }
  out[at] = 0;
}

/* Answers a request that the API has not seen. */
static void send_error(kuzzle_protocol *self, const struct sockaddr_in *to, int status, kuzzle_str message,
                       kuzzle_str request_id) {
  char text[512], id[256], document[1200];
  escape(message, text, sizeof text);
  escape(request_id, id, sizeof id);
  snprintf(document, sizeof document,
           "{\"status\":%d,\"error\":{\"id\":\"network.@NAME@.unexpected_error\",\"status\":%d,\"message\":"
           "\"%s\"},\"requestId\":\"%s\",\"result\":null,\"room\":\"%s\"}",
           status, status, text, id, id);
  send_text(self, to, document);
}

/* The parts, one after the other. They are one JSON object, and with `room` get
 * the last member `"room"`, as Kuzzle's clients expect it. NULL: no memory. */
static char *join(const kuzzle_buf *parts, size_t parts_len, const kuzzle_str *room, size_t *len) {
  size_t size = (room == NULL ? 0 : room->len * 6) + 16, at = 0;
  for (size_t i = 0; i < parts_len; i++)
    size += parts[i].len;
  char *document = malloc(size);
  if (document == NULL)
    return NULL;
  for (size_t i = 0; i < parts_len; i++) {
    if (parts[i].len > 0)
      memcpy(document + at, parts[i].data, parts[i].len);
    at += parts[i].len;
  }
  if (room != NULL && at > 0) {
    at--; /* the last byte is the '}' */
    memcpy(document + at, ",\"room\":\"", 9);
    at += 9;
    escape(*room, document + at, size - at);
    at += strlen(document + at);
    memcpy(document + at, "\"}", 2);
    at += 2;
  }
  *len = at;
  return document;
}

/* Clients: call these with the lock held -------------------------------------- */

static struct client *client_by_connection(kuzzle_protocol *self, uint64_t connection) {
  for (size_t i = 0; connection != 0 && i < MOST_CLIENTS; i++)
    if (self->clients[i].connection == connection)
      return &self->clients[i];
  return NULL;
}

static size_t channel_index(const struct client *client, kuzzle_str channel) {
  size_t i = 0;
  while (i < client->channels_len &&
         !(client->channel_lens[i] == channel.len &&
           (channel.len == 0 || memcmp(client->channels[i], channel.ptr, channel.len) == 0)))
    i++;
  return i; /* channels_len: it does not listen to that */
}

static void forget(struct client *client) {
  for (size_t i = 0; i < client->channels_len; i++)
    free(client->channels[i]);
  free(client->channels);
  free(client->channel_lens);
  memset(client, 0, sizeof *client);
}

/* The client at an address, declared to the host if it is new. Datagrams have
 * no end of a connection, so the one that was silent longest makes room: its
 * handle comes back in `*removed`, for remove_connection without the lock. */
static uint64_t client_at(kuzzle_protocol *self, const struct sockaddr_in *from, uint64_t *removed) {
  struct client *client = NULL, *oldest = &self->clients[0];
  *removed = 0;
  self->datagrams++;
  for (size_t i = 0; i < MOST_CLIENTS; i++) {
    struct client *other = &self->clients[i];
    if (other->connection != 0 && other->address.sin_port == from->sin_port &&
        other->address.sin_addr.s_addr == from->sin_addr.s_addr) {
      other->heard = self->datagrams;
      return other->connection;
    }
    if (other->connection == 0 && client == NULL)
      client = other;
    if (other->heard < oldest->heard)
      oldest = other;
  }
  if (client == NULL) {
    client = oldest;
    *removed = client->connection;
    forget(client);
  }
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &from->sin_addr, text, sizeof text);
  kuzzle_str ip = {text, strlen(text)};
  kuzzle_connection_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  info.ips = &ip;
  info.ips_len = 1;
  /* The lock is held across this call, so that no `disconnect` comes before the
   * handle is stored. */
  if (self->entry_point->new_connection(self->entry_point, &info, &client->connection, NULL, NULL) != KUZZLE_OK) {
    client->connection = 0;
    return 0;
  }
  client->address = *from;
  client->heard = self->datagrams;
  return client->connection;
}

/* Requests -------------------------------------------------------------------- */

/* What the answer needs to find its way. It lives until the completion, which
 * may come later than `execute` returns. */
struct pending {
  kuzzle_protocol *self;
  struct sockaddr_in from;
};

static int32_t answer(void *context, const kuzzle_response *response) {
  struct pending *pending = context;
  kuzzle_protocol *self = pending->self;
  size_t len = 0;
  /* Raw answers are any bytes, and sent as they are. */
  const kuzzle_str *room = response->raw ? NULL : &response->request_id;
  char *document = join(response->parts, response->parts_len, room, &len);
  if (document != NULL && len <= DATAGRAM) {
    pthread_mutex_lock(&self->lock);
    send_locked(self, &pending->from, document, len);
    pthread_mutex_unlock(&self->lock);
  } else {
    send_error(self, &pending->from, 413, KUZZLE_STR("The answer does not fit into a datagram."),
               response->request_id);
  }
  free(document);
  free(pending);
  return KUZZLE_OK;
}

static void request(kuzzle_protocol *self, const struct sockaddr_in *from, const char *bytes, size_t len) {
  uint64_t removed;
  pthread_mutex_lock(&self->lock);
  uint64_t connection = client_at(self, from, &removed);
  pthread_mutex_unlock(&self->lock);
  if (removed != 0)
    self->entry_point->remove_connection(self->entry_point, removed);
  struct pending *pending = connection == 0 ? NULL : malloc(sizeof *pending);
  if (pending == NULL) {
    send_error(self, from, 503, KUZZLE_STR("No more clients are served now."), KUZZLE_STR(""));
    return;
  }
  pending->self = self;
  pending->from = *from;

  kuzzle_buf part = {(const uint8_t *)bytes, len, NULL, NULL}; /* only borrowed: it may be our buffer */
  kuzzle_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.connection = connection;
  request.parts = &part;
  request.parts_len = 1;
  kuzzle_completion completion = {answer, pending};
  kuzzle_error error;
  memset(&error, 0, sizeof error);
  error.struct_size = sizeof error;
  int32_t status = self->entry_point->execute(self->entry_point, &request, completion, &error);
  if (status == KUZZLE_OK)
    return; /* `answer` has been called, or will be, exactly once */
  /* It was not accepted: there will be no answer but ours. */
  bool is_theirs = status == KUZZLE_INVALID_JSON || status == KUZZLE_INVALID_REQUEST;
  send_error(self, from, is_theirs ? 400 : 503, error.message, error.request_id);
  if (error.release != NULL)
    error.release(&error);
  free(pending);
  if (status == KUZZLE_BAD_HANDLE) { /* the host has removed the connection: the next datagram makes a new one */
    pthread_mutex_lock(&self->lock);
    struct client *client = client_by_connection(self, connection);
    if (client != NULL)
      forget(client);
    pthread_mutex_unlock(&self->lock);
  }
}

/* The one thread of this protocol. `execute` must not be called in a callback
 * of the host: here, at the top of a loop, is the right place. */
static void *serve(void *argument) {
  kuzzle_protocol *self = argument;
  char *buffer = malloc(DATAGRAM + 1);
  struct pollfd wait[2] = {{self->socket, POLLIN, 0}, {self->wake[0], POLLIN, 0}};
  while (buffer != NULL && (poll(wait, 2, -1) > 0 || errno == EINTR) && wait[1].revents == 0) {
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len = recvfrom(wait[0].fd, buffer, DATAGRAM + 1, 0, (struct sockaddr *)&from, &from_len);
    if (len >= 0)
      request(self, &from, buffer, (size_t)len);
  }
  free(buffer);
  return NULL;
}

/* Life cycle -------------------------------------------------------------------- */

/* Opens the socket on the address that the options name. Their bounds stand in
 * manifest.json, so the host has refused most mistakes before. */
static int32_t open_socket(kuzzle_protocol *self, kuzzle_error *error) {
  int64_t port = @PORT@;
  kuzzle_str host = KUZZLE_STR("127.0.0.1");
  char text[INET_ADDRSTRLEN];
  struct sockaddr_in address;
  socklen_t address_len = sizeof address;
  int32_t status = self->context->option_i64(self->context, KUZZLE_STR("port"), &port);
  if ((status != KUZZLE_OK && status != KUZZLE_NOT_FOUND) || port < 0 || port > 65535)
    return fail(error, "The option \"port\" must be an integer from 0 to 65535.");
  status = self->context->option_string(self->context, KUZZLE_STR("host"), &host);
  if (status == KUZZLE_NOT_FOUND) /* that of the whole server */
    status = self->context->option_string(self->context, KUZZLE_STR("/host"), &host);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  snprintf(text, sizeof text, "%.*s", host.len < sizeof text ? (int)host.len : 0, host.ptr);
  if ((status != KUZZLE_OK && status != KUZZLE_NOT_FOUND) || inet_pton(AF_INET, text, &address.sin_addr) != 1)
    return fail(error, "The option \"host\" must be an IPv4 address.");
  self->socket = socket(AF_INET, SOCK_DGRAM, 0);
  if (self->socket < 0 || fcntl(self->socket, F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(self->socket, F_SETFL, O_NONBLOCK) != 0 ||
      bind(self->socket, (struct sockaddr *)&address, sizeof address) != 0 ||
      getsockname(self->socket, (struct sockaddr *)&address, &address_len) != 0)
    return fail(error, "Cannot bind UDP %s:%d (error %d). Change the option \"host\" or \"port\".", text, (int)port,
                errno);
  /* What is really bound: the port may have been 0. */
  char bound[32];
  snprintf(bound, sizeof bound, "%s:%d", text, (int)ntohs(address.sin_port));
  kuzzle_str listener = {bound, strlen(bound)};
  self->entry_point->report_listener(self->entry_point, KUZZLE_STR("udp"), listener);
  return KUZZLE_OK;
}

/* Once, before all else. After a failure nothing of the protocol may be left. */
int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point, const kuzzle_context *context,
                             kuzzle_protocol **out, kuzzle_error *error) {
  kuzzle_protocol *self = calloc(1, sizeof *self);
  if (self == NULL)
    return fail(error, "Out of memory.");
  self->entry_point = entry_point;
  self->context = context;
  self->socket = self->wake[0] = self->wake[1] = -1;
  int32_t status = KUZZLE_FAILED;
  if (pipe(self->wake) != 0 || fcntl(self->wake[0], F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(self->wake[1], F_SETFD, FD_CLOEXEC) != 0)
    fail(error, "Cannot create a pipe (error %d).", errno);
  else
    status = open_socket(self, error);
  if (status == KUZZLE_OK && pthread_mutex_init(&self->lock, NULL) != 0)
    status = fail(error, "Cannot create a lock.");
  if (status != KUZZLE_OK) {
    int descriptors[3] = {self->socket, self->wake[0], self->wake[1]};
    for (size_t i = 0; i < 3; i++)
      if (descriptors[i] >= 0)
        close(descriptors[i]);
    free(self);
    return status;
  }
  *out = self;
  return KUZZLE_OK;
}

/* Once, when every protocol's init has succeeded: clients are served from here. */
int32_t kuzzle_protocol_start(kuzzle_protocol *self, kuzzle_error *error) {
  pthread_attr_t attributes;
  int failure = pthread_attr_init(&attributes);
  if (failure == 0) {
    pthread_attr_setstacksize(&attributes, STACK);
    failure = pthread_create(&self->thread, &attributes, serve, self);
    pthread_attr_destroy(&attributes);
  }
  if (failure != 0)
    return fail(error, "Cannot create a thread (error %d).", failure);
  self->thread_created = true;
  return KUZZLE_OK;
}

/* Once, at the end: no thread and no descriptor may be left. The struct itself
 * stays, as a call that had begun may still use it. */
int32_t kuzzle_protocol_shutdown(kuzzle_protocol *self, uint32_t deadline_ms) {
  (void)deadline_ms; /* nothing here takes long */
  if (write(self->wake[1], "", 1) != 1)
    log_warning(self, "the thread could not be woken");
  if (self->thread_created)
    pthread_join(self->thread, NULL);
  pthread_mutex_lock(&self->lock);
  close(self->socket);
  self->socket = -1;
  for (size_t i = 0; i < MOST_CLIENTS; i++)
    forget(&self->clients[i]);
  pthread_mutex_unlock(&self->lock);
  close(self->wake[0]);
  close(self->wake[1]);
  return KUZZLE_OK;
}

/* Calls from the host, on any thread ---------------------------------------------- */

/* To everybody who has joined one of the channels. */
int32_t kuzzle_protocol_broadcast(kuzzle_protocol *self, const kuzzle_broadcast *message) {
  for (size_t c = 0; c < message->channels_len; c++) {
    kuzzle_str channel = message->channels[c];
    size_t len;
    char *document = NULL;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < MOST_CLIENTS; i++) {
      struct client *client = &self->clients[i];
      if (client->connection == 0 || channel_index(client, channel) == client->channels_len)
        continue;
      /* Made once, and only if somebody listens. */
      if (document == NULL)
        document = join(message->parts, message->parts_len, &channel, &len);
      if (document != NULL && len <= DATAGRAM)
        send_locked(self, &client->address, document, len);
    }
    pthread_mutex_unlock(&self->lock);
    free(document);
  }
  return KUZZLE_OK;
}

/* To one client. Unknown ones are ignored: it may have gone meanwhile. */
int32_t kuzzle_protocol_notify(kuzzle_protocol *self, const kuzzle_notification *message) {
  for (size_t c = 0; c < message->channels_len; c++) {
    size_t len = 0;
    pthread_mutex_lock(&self->lock);
    struct client *client = client_by_connection(self, message->connection);
    char *document =
        client == NULL ? NULL : join(message->parts, message->parts_len, &message->channels[c], &len);
    if (document != NULL && len <= DATAGRAM)
      send_locked(self, &client->address, document, len);
    pthread_mutex_unlock(&self->lock);
    free(document);
  }
  return KUZZLE_OK;
}

/* Anything but KUZZLE_OK undoes the subscription. */
int32_t kuzzle_protocol_join_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) {
  int32_t status = KUZZLE_BAD_HANDLE;
  pthread_mutex_lock(&self->lock);
  struct client *client = client_by_connection(self, connection);
  if (client != NULL && channel_index(client, channel) < client->channels_len) {
    status = KUZZLE_OK; /* a pair may be named again */
  } else if (client != NULL) {
    size_t len = client->channels_len;
    char **channels = realloc(client->channels, (len + 1) * sizeof *channels);
    if (channels != NULL)
      client->channels = channels;
    size_t *lens = realloc(client->channel_lens, (len + 1) * sizeof *lens);
    if (lens != NULL)
      client->channel_lens = lens;
    char *name = malloc(channel.len + 1);
    status = KUZZLE_FAILED;
    if (channels != NULL && lens != NULL && name != NULL) {
      if (channel.len > 0)
        memcpy(name, channel.ptr, channel.len); /* it is only borrowed */
      channels[len] = name;
      lens[len] = channel.len;
      client->channels_len++;
      status = KUZZLE_OK;
    } else {
      free(name);
    }
  }
  pthread_mutex_unlock(&self->lock);
  return status;
}

int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) {
  pthread_mutex_lock(&self->lock);
  struct client *client = client_by_connection(self, connection);
  size_t i = client == NULL ? 0 : channel_index(client, channel);
  if (client != NULL && i < client->channels_len) {
    size_t last = --client->channels_len;
    free(client->channels[i]);
    client->channels[i] = client->channels[last];
    client->channel_lens[i] = client->channel_lens[last];
  }
  pthread_mutex_unlock(&self->lock);
  return KUZZLE_OK;
}

/* Close this client, then tell the host that it has gone. */
int32_t kuzzle_protocol_disconnect(kuzzle_protocol *self, const kuzzle_disconnect *message) {
  pthread_mutex_lock(&self->lock);
  struct client *client = client_by_connection(self, message->connection);
  if (client != NULL)
    forget(client);
  pthread_mutex_unlock(&self->lock);
  if (client != NULL)
    self->entry_point->remove_connection(self->entry_point, message->connection);
  return KUZZLE_OK;
}
