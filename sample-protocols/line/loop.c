/* loop.c: the one thread that owns the sockets. It accepts clients, reads lines,
 * has them executed, sends what waits and buries the dead. Every other thread
 * only appends to queues and changes states, under the lock; because nothing is
 * closed, freed or moved outside of this loop, a broadcast may arrive at any
 * moment, also from inside our own call of execute.
 *
 * poll looks at all clients at each turn, which is fine for the thousand that
 * this sample allows. A protocol for a hundred thousand would use epoll or kqueue.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What one client gets in one turn, so that none can starve the others. */
#define LINES_PER_TURN 64
#define SENDS_PER_TURN 8
#define ACCEPTS_PER_TURN 64

#define INPUT_CAPACITY 16384u /* of a new client; grows up to maxLine */
#define IOV_LEN 64            /* buffers in one sendmsg; POSIX promises only 16, all systems have 1024 */
#define CLOSE_TIMEOUT_MS 2000 /* to send what waits; the host waits for 5 s */
#define ACCEPT_PAUSE_MS 100

int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool prepare_descriptor(int fd) {
  /* accept4 and pipe2 would close the gap in which a fork could inherit the
   * descriptor, but are not in the POSIX of 2008. The host forks nothing while
   * protocols serve. */
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void report(const kuzzle_protocol *line, uint32_t level, const char *text) {
  kuzzle_str none = {NULL, 0};
  kuzzle_str message = {text, strlen(text)};
  line->context->log(line->context, level, none, message);
}

/* Under the lock. */
static void wake(kuzzle_protocol *line) {
  if (!line->sleeping) /* it will look at everything before it sleeps */
    return;
  line->sleeping = false;
  /* It cannot be full: one byte is written for each sleep. */
  ssize_t written = write(line->wake_pipe[1], "", 1);
  (void)written;
}

void client_close(struct client *client, enum client_state state, const char *reason) {
  if (client->state >= state) /* states only go forward */
    return;
  if (client->state == CLIENT_OPEN)
    client->reason = reason;
  if (state == CLIENT_CLOSING)
    client->close_at = monotonic_ms() + CLOSE_TIMEOUT_MS;
  client->state = state;
  wake(client->line);
}

void client_send(struct client *client, struct message *message) {
  if (client->state > CLIENT_CLOSING)
    return;
  if (queue_push(&client->queue, message, client->line->max_queued))
    wake(client->line);
  else
    client_close(client, CLIENT_DEAD, "it does not read what is sent to it");
}

static void close_locked(struct client *client, enum client_state state, const char *reason) {
  pthread_mutex_lock(&client->line->lock);
  client_close(client, state, reason);
  pthread_mutex_unlock(&client->line->lock);
}

/* Requests --------------------------------------------------------------- */

/* Answers a request that the host has not accepted; tells the access log. */
static void refuse_request(struct client *client, const char *id, const char *prefix, kuzzle_str text,
                           unsigned status, kuzzle_str request_id) {
  kuzzle_protocol *line = client->line;
  kuzzle_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.connection = client->handle;
  struct message *message = message_error(id, prefix, text, status, request_id);
  struct message *garbage = NULL;
  if (message != NULL)
    line->entry_point->log_access(line->entry_point, &request, status, message->size);
  pthread_mutex_lock(&line->lock);
  if (message != NULL) {
    client_send(client, message);
    message_drop(message, &garbage);
  } else {
    client_close(client, CLIENT_DEAD, "out of memory");
  }
  pthread_mutex_unlock(&line->lock);
  messages_free(garbage);
}

/* Under the lock. */
static void end_request(struct client *client) {
  client->in_flight = false;
  client->line->requests_in_flight--;
  if (client->line->stopping)
    pthread_cond_broadcast(&client->line->changed);
  wake(client->line);
}

/* The completion. It may run on any thread, before or after execute returns.
 *
 * The context is the client itself: the loop frees no client whose request is
 * in flight, even when its socket was closed long ago, so the pointer is valid
 * and its memory cannot have been given to another client meanwhile. (Packing
 * the 64-bit handle into the pointer would need no such rule, but only works
 * where pointers have 64 bits, and would need a global to find the protocol.) */
static int32_t on_response(void *context, const kuzzle_response *response) {
  struct client *client = context;
  kuzzle_protocol *line = client->line;
  struct message *message;
  if (response->raw)
    message = message_raw(response->parts, response->parts_len);
  else
    message = message_with_room(response->parts, response->parts_len, response->request_id);
  struct message *garbage = NULL;
  pthread_mutex_lock(&line->lock);
  if (message != NULL) {
    client_send(client, message);
    message_drop(message, &garbage);
  } else {
    client_close(client, CLIENT_DEAD, "an answer to it could not be made");
  }
  end_request(client); /* last: without the lock, the client may now be freed */
  pthread_mutex_unlock(&line->lock);
  messages_free(garbage);
  return KUZZLE_OK;
}

static void execute(struct client *client, const char *text, size_t len) {
  kuzzle_protocol *line = client->line;
  /* One part, straight in the receive buffer: the host copies what it keeps. */
  kuzzle_buf part = {(const uint8_t *)text, len, NULL, NULL};
  kuzzle_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  request.connection = client->handle;
  request.parts = &part;
  request.parts_len = 1;
  kuzzle_completion completion = {on_response, client};
  kuzzle_error error;
  memset(&error, 0, sizeof error);
  error.struct_size = sizeof error;

  pthread_mutex_lock(&line->lock);
  client->in_flight = true;
  line->requests_in_flight++;
  pthread_mutex_unlock(&line->lock);
  /* No lock: all our exports and on_response may run inside of this call. */
  int32_t status = line->entry_point->execute(line->entry_point, &request, completion, &error);
  if (status == KUZZLE_OK)
    return;

  /* Refused: there will be no completion. */
  pthread_mutex_lock(&line->lock);
  end_request(client);
  pthread_mutex_unlock(&line->lock);
  switch (status) {
  case KUZZLE_INVALID_JSON:
  case KUZZLE_INVALID_REQUEST:
  case KUZZLE_INVALID_ARGUMENT: /* text that is not UTF-8 */
    refuse_request(client, "network.line.unexpected_error", "Caught an unexpected line error: ",
                   error.message, 400, error.request_id);
    break;
  case KUZZLE_BAD_HANDLE:
    close_locked(client, CLIENT_CLOSING, "the host has removed its connection");
    break;
  default:
    /* STOPPED, SHUTDOWN, SHUTTING_DOWN: it is over for everybody. REENTRANT
     * cannot come: it is answered inside our exports and completions, and this
     * function is only called from the top of the loop. A protocol that reads
     * the next request from inside a completion would see it. */
    close_locked(client, CLIENT_CLOSING, "the host executes no more requests");
  }
  if (error.release != NULL)
    error.release(&error);
}

/* Input -------------------------------------------------------------------- */

static void find_line(struct client *client) {
  char *end = client->scanned < client->end
                  ? memchr(client->input + client->scanned, '\n', client->end - client->scanned)
                  : NULL;
  client->line_ready = end != NULL;
  client->scanned = end != NULL ? (size_t)(end - client->input) : client->end;
}

static void line_too_long(struct client *client) {
  char text[96];
  snprintf(text, sizeof text, "Maximum request size exceeded: a line may have %lu bytes.",
           (unsigned long)client->line->max_line);
  kuzzle_str unknown = {NULL, 0};
  kuzzle_str message = {text, strlen(text)};
  refuse_request(client, "network.line.request_too_large", "", message, 413, unknown);
}

/* One request at a time for each client, the next after the completion of the
 * previous one: so answers come in the order of the requests, and a client's
 * publications stay in order. A client that wants two at once connects twice.
 * And none while much is waiting to be sent: a client that does not read its
 * answers is not read either, which TCP tells it in turn. Under the lock. */
static bool may_execute(const struct client *client) {
  return client->state == CLIENT_OPEN && !client->in_flight &&
         client->queue.bytes <= client->line->max_queued / 2;
}

static void execute_lines(struct client *client) {
  for (int i = 0; i < LINES_PER_TURN && client->line_ready; i++) {
    pthread_mutex_lock(&client->line->lock);
    bool ready = may_execute(client);
    pthread_mutex_unlock(&client->line->lock);
    if (!ready)
      return;
    const char *text = client->input + client->begin;
    size_t len = client->scanned - client->begin;
    if (len > 0 && text[len - 1] == '\r')
      len--;
    if (client->discarding)
      client->discarding = false; /* this was the rest of it */
    else if (len > client->line->max_line)
      line_too_long(client);
    else if (len > 0)
      execute(client, text, len);
    client->begin = ++client->scanned;
    find_line(client);
  }
}

static bool make_room(struct client *client) {
  /* "\r\n" is not counted against maxLine. */
  size_t limit = client->line->max_line + 2;
  size_t used = client->end - client->begin;
  if (used == 0 && client->capacity > INPUT_CAPACITY) {
    free(client->input); /* was needed for one long line */
    client->input = NULL;
    client->capacity = 0;
  } else if (client->begin > 0) {
    memmove(client->input, client->input + client->begin, used);
  }
  client->begin = 0;
  client->scanned = client->end = used;
  if (used < client->capacity)
    return true;
  if (used >= limit) {
    /* Instead of closing, what follows is dropped up to the line feed. Memory
     * is bounded as well, the client is still in step, and it can read the
     * error: closing a socket with unread input makes TCP destroy what was sent. */
    if (!client->discarding)
      line_too_long(client);
    client->discarding = true;
    client->scanned = client->end = 0;
    return true;
  }
  size_t capacity = client->capacity == 0 ? INPUT_CAPACITY : client->capacity * 2;
  if (capacity > limit)
    capacity = limit;
  char *input = realloc(client->input, capacity);
  if (input == NULL)
    return false;
  client->input = input;
  client->capacity = capacity;
  return true;
}

/* Reads once. The loop calls it only if no complete line is left and one could
 * be executed, so the input of a client is bounded by one line. */
static void read_input(struct client *client) {
  if (!make_room(client)) {
    close_locked(client, CLIENT_DEAD, "out of memory");
    return;
  }
  ssize_t received = recv(client->fd, client->input + client->end, client->capacity - client->end, 0);
  if (received > 0) {
    client->end += (size_t)received;
    find_line(client);
    if (client->discarding && !client->line_ready)
      client->begin = client->scanned = client->end = 0;
  } else if (received == 0) {
    /* A last line without line feed may be half of a request: not executed.
     * Everything before is answered; the client may still be reading. */
    close_locked(client, CLIENT_CLOSING, "it has closed the connection");
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    close_locked(client, CLIENT_DEAD, "the connection was lost");
  }
}

/* Output ------------------------------------------------------------------- */

static void send_output(struct client *client) {
  kuzzle_protocol *line = client->line;
  for (int i = 0; i < SENDS_PER_TURN && !client->blocked; i++) {
    struct iovec parts[IOV_LEN];
    pthread_mutex_lock(&line->lock);
    size_t parts_len = client->state <= CLIENT_CLOSING ? queue_peek(&client->queue, parts, IOV_LEN) : 0;
    pthread_mutex_unlock(&line->lock);
    if (parts_len == 0)
      return;
    /* Others may append meanwhile, but only this thread takes messages out, so
     * what `parts` points to stays. */
    struct msghdr header;
    memset(&header, 0, sizeof header);
    header.msg_iov = parts;
    header.msg_iovlen = parts_len;
    ssize_t sent = sendmsg(client->fd, &header, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK)
        client->blocked = true; /* until poll says that it is writable */
      else if (errno != EINTR)
        close_locked(client, CLIENT_DEAD, "the connection was lost");
      return;
    }
    struct message *garbage = NULL;
    pthread_mutex_lock(&line->lock);
    queue_consume(&client->queue, (size_t)sent, &garbage);
    pthread_mutex_unlock(&line->lock);
    messages_free(garbage);
  }
}

/* Closing a socket with unread input would reset the connection, and the peer
 * could lose our last lines: end our direction first, then read what is there. */
static void close_socket(int fd) {
  char ignored[4096];
  shutdown(fd, SHUT_WR);
  for (int i = 0; i < 16 && recv(fd, ignored, sizeof ignored, 0) > 0; i++) {
  }
  close(fd);
}

/* Closes the client if it is to be closed. Returns true when it has been freed. */
static bool bury(struct client *client, bool at_once) {
  kuzzle_protocol *line = client->line;
  struct message *garbage = NULL;
  pthread_mutex_lock(&line->lock);
  bool close_now = client->state == CLIENT_DEAD || (at_once && client->state != CLIENT_GONE) ||
                   (client->state == CLIENT_CLOSING &&
                    (client->queue.count == 0 || monotonic_ms() >= client->close_at));
  const char *reason = client->reason;
  if (close_now) {
    client->state = CLIENT_GONE;
    registry_remove(&line->registry, client);
    queue_clear(&client->queue, &garbage);
  }
  pthread_mutex_unlock(&line->lock);
  if (close_now) {
    messages_free(garbage);
    close_socket(client->fd);
    client->fd = -1;
    /* The host may know it is gone already (BAD_HANDLE), which is harmless. May
     * call on_response, for the request in flight. */
    line->entry_point->remove_connection(line->entry_point, client->handle);
    if (reason != NULL && line->context->log_enabled(line->context, KUZZLE_LOG_DEBUG, KUZZLE_STR(""))) {
      char text[128];
      snprintf(text, sizeof text, "A client has been closed: %s.", reason);
      report(line, KUZZLE_LOG_DEBUG, text);
    }
  }
  pthread_mutex_lock(&line->lock);
  bool free_now = client->state == CLIENT_GONE && !client->in_flight;
  pthread_mutex_unlock(&line->lock);
  if (free_now) {
    free(client->input);
    free(client);
  }
  return free_now;
}

/* New clients ---------------------------------------------------------------- */

/* Best effort: one line of error, for which a fresh socket always has room. */
static void refuse_client(int fd, const char *id, kuzzle_str text) {
  kuzzle_str unknown = {NULL, 0};
  struct message *message = message_error(id, "", text, 503, unknown);
  if (message != NULL) {
    ssize_t sent = send(fd, message->suffix, message->suffix_len, MSG_NOSIGNAL);
    (void)sent;
    messages_free(message);
  }
  close_socket(fd);
}

static void add_client(kuzzle_protocol *line, int fd, const struct sockaddr *peer, socklen_t peer_len) {
  char address[64] = "";
  int on = 1;
  struct client *client = calloc(1, sizeof *client);
  if (client == NULL || getnameinfo(peer, peer_len, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0) {
    free(client);
    refuse_client(fd, "network.line.unexpected_error", KUZZLE_STR("The connection could not be set up."));
    return;
  }
  /* Lines are coalesced here already, and peers that vanish must be noticed. */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  client->line = line;
  client->fd = fd;

  kuzzle_str ip = {address, strlen(address)};
  kuzzle_connection_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  info.ips = &ip;
  info.ips_len = 1;
  kuzzle_error error;
  memset(&error, 0, sizeof error);
  error.struct_size = sizeof error;

  /* The only host function that is called under the lock, as the header
   * advises: it never calls back, and nobody can name the new handle before it
   * is in the registry. */
  pthread_mutex_lock(&line->lock);
  int32_t status = line->entry_point->new_connection(line->entry_point, &info, &client->handle, NULL, &error);
  if (status == KUZZLE_OK) {
    registry_add(&line->registry, client);
    line->clients[line->clients_len++] = client;
  }
  pthread_mutex_unlock(&line->lock);
  if (status == KUZZLE_OK)
    return;
  /* Shutting down, stopped, a limit of the host: the client learns why. */
  refuse_client(fd, "network.line.connection_refused", error.message);
  if (error.release != NULL)
    error.release(&error);
  free(client);
}

static void accept_clients(kuzzle_protocol *line) {
  for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    int fd = accept(line->listener, (struct sockaddr *)&peer, &peer_len);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
      continue;
    if (fd < 0) {
      /* Out of descriptors or memory: the listener stays readable, so without
       * a pause the loop would spin. */
      if (errno != EAGAIN && errno != EWOULDBLOCK)
        line->accept_at = monotonic_ms() + ACCEPT_PAUSE_MS;
      return;
    }
    if (!prepare_descriptor(fd))
      close(fd);
    else if (line->clients_len >= line->max_clients)
      refuse_client(fd, "network.line.too_many_clients",
                    KUZZLE_STR("Rejected: the maximum number of clients is reached."));
    else
      add_client(line, fd, (struct sockaddr *)&peer, peer_len);
  }
}

/* The loop --------------------------------------------------------------------- */

/* Milliseconds from now to `when`, if that is sooner than `timeout`. */
static int sooner(int timeout, int64_t when) {
  int64_t left = when - monotonic_ms();
  if (left < 0)
    left = 0;
  return timeout < 0 || left < timeout ? (int)left : timeout;
}

/* Under the lock. What to wait for on behalf of this client; 0 if not at all. */
static int prepare_client(const struct client *client, struct pollfd *pollfd, int timeout) {
  pollfd->fd = client->fd; /* -1 is ignored by poll */
  pollfd->events = 0;
  pollfd->revents = 0;
  if (client->state == CLIENT_GONE)
    return client->in_flight ? timeout : 0;
  if (client->state == CLIENT_DEAD)
    return 0;
  if (client->queue.count > 0 && client->blocked)
    pollfd->events |= POLLOUT;
  else if (client->queue.count > 0)
    timeout = 0;
  if (client->state == CLIENT_CLOSING)
    return client->queue.count > 0 ? sooner(timeout, client->close_at) : 0;
  if (may_execute(client)) {
    if (client->line_ready)
      timeout = 0;
    else
      pollfd->events |= POLLIN;
  }
  return timeout;
}

/* Fills the poll set from everybody's state. From here until poll returns,
 * whoever changes something writes to the pipe. Returns false to stop. */
static bool prepare(kuzzle_protocol *line, int *timeout) {
  *timeout = -1;
  line->pollfds[0].fd = line->wake_pipe[0];
  line->pollfds[0].events = POLLIN;
  line->pollfds[1].fd = line->listener;
  line->pollfds[1].events = POLLIN;
  if (line->accept_at > monotonic_ms()) {
    line->pollfds[1].fd = -1;
    *timeout = sooner(*timeout, line->accept_at);
  }
  pthread_mutex_lock(&line->lock);
  for (size_t i = 0; i < line->clients_len; i++)
    *timeout = prepare_client(line->clients[i], &line->pollfds[i + 2], *timeout);
  bool go_on = !line->stopping;
  line->sleeping = go_on;
  pthread_mutex_unlock(&line->lock);
  return go_on;
}

static void serve_client(struct client *client, const struct pollfd *pollfd) {
  if (client->fd < 0)
    return;
  if (pollfd->revents & POLLOUT)
    client->blocked = false;
  if (pollfd->revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) {
    if (pollfd->events & POLLIN)
      read_input(client);
    else
      close_locked(client, CLIENT_DEAD, "the connection was lost");
  }
  execute_lines(client);
}

void *loop_main(void *argument) {
  kuzzle_protocol *line = argument;
  int timeout;
  while (prepare(line, &timeout)) {
    size_t polled = line->clients_len;
    int events = poll(line->pollfds, (nfds_t)(polled + 2), timeout);
    int cause = errno;
    pthread_mutex_lock(&line->lock);
    line->sleeping = false;
    pthread_mutex_unlock(&line->lock);
    if (events < 0) {
      for (size_t i = 0; i < polled + 2; i++)
        line->pollfds[i].revents = 0;
      if (cause != EINTR) { /* out of memory: try again, but do not spin */
        struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
      }
    }
    if (line->pollfds[0].revents != 0) {
      char ignored[16];
      while (read(line->wake_pipe[0], ignored, sizeof ignored) > 0) {
      }
    }
    for (size_t i = 0; i < polled; i++)
      serve_client(line->clients[i], &line->pollfds[i + 2]);
    /* All requests of this turn first, then their answers: one sendmsg takes many. */
    for (size_t i = 0; i < line->clients_len;) {
      send_output(line->clients[i]);
      if (bury(line->clients[i], false))
        line->clients[i] = line->clients[--line->clients_len];
      else
        i++;
    }
    if (line->pollfds[1].fd >= 0 && line->pollfds[1].revents != 0)
      accept_clients(line);
  }

  /* Stopping: a last chance for what waits, then nobody stays. */
  for (size_t i = 0; i < line->clients_len;) {
    send_output(line->clients[i]);
    if (bury(line->clients[i], true))
      line->clients[i] = line->clients[--line->clients_len];
    else
      i++; /* a request is in flight: shutdown waits for it */
  }
  pthread_mutex_lock(&line->lock);
  line->loop_running = false;
  pthread_cond_broadcast(&line->changed);
  pthread_mutex_unlock(&line->lock);
  return NULL;
}
