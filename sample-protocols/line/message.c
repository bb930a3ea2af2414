/* message.c: outgoing lines and the queue in which they wait. No sockets here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes text, or only counts it if `out` is null: each text is produced twice,
 * first to learn its length, then into exactly that much memory. */
struct writer {
  char *out;
  size_t len;
};

static void put(struct writer *writer, const char *bytes, size_t len) {
  if (writer->out != NULL && len > 0)
    memcpy(writer->out + writer->len, bytes, len);
  writer->len += len;
}

static void put_literal(struct writer *writer, const char *text) { put(writer, text, strlen(text)); }

/* The inside of a JSON string. The text is UTF-8 already, so only what JSON
 * forbids inside quotes needs an escape. */
static void put_escaped(struct writer *writer, const char *text, size_t len) {
  static const char hex[] = "0123456789abcdef";
  size_t from = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned char byte = (unsigned char)text[i];
    if (byte >= 0x20 && byte != '"' && byte != '\\')
      continue;
    put(writer, text + from, i - from);
    from = i + 1;
    if (byte == '"' || byte == '\\') {
      char escape[2] = {'\\', (char)byte};
      put(writer, escape, sizeof escape);
    } else if (byte == '\n') {
      put(writer, "\\n", 2);
    } else {
      char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
      put(writer, escape, sizeof escape);
    }
  }
  if (len > from)
    put(writer, text + from, len - from);
}

static void put_string(struct writer *writer, kuzzle_str text) {
  put(writer, "\"", 1);
  put_escaped(writer, text.ptr, text.len);
  put(writer, "\"", 1);
}

/* One allocation for the message, its parts and its suffix. The suffix is left
 * for the caller to write. */
static struct message *message_create(const kuzzle_buf *parts, size_t parts_len, size_t suffix_len) {
  if (parts_len > SIZE_MAX / 4 / sizeof *parts || suffix_len > SIZE_MAX / 4)
    return NULL;
  size_t parts_size = parts_len * sizeof *parts;
  struct message *message = malloc(sizeof *message + parts_size + suffix_len);
  if (message == NULL)
    return NULL;
  message->references = 1;
  message->next = NULL;
  message->size = suffix_len;
  message->suffix = (const char *)message->parts + parts_size;
  message->suffix_len = suffix_len;
  message->parts_len = parts_len;
  for (size_t i = 0; i < parts_len; i++) {
    message->parts[i] = parts[i];
    message->size += parts[i].len;
    if (parts[i].ops != NULL)
      parts[i].ops->retain(parts[i].owner);
  }
  return message;
}

static struct writer suffix_writer(struct message *message) {
  return (struct writer){(char *)message->parts + message->parts_len * sizeof *message->parts, 0};
}

/* Whether the object that these parts concatenate to has no member: then the
 * last byte but white space before its '}' is its '{'. */
static bool is_empty_object(const kuzzle_buf *parts, size_t parts_len) {
  bool closing_brace = true;
  for (size_t i = parts_len; i-- > 0;) {
    for (size_t j = parts[i].len; j-- > 0;) {
      uint8_t byte = parts[i].data[j];
      if (closing_brace)
        closing_brace = false;
      else if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r')
        return byte == '{';
    }
  }
  return true;
}

static void put_room(struct writer *writer, bool first_member, kuzzle_str room) {
  put_literal(writer, first_member ? "\"room\":" : ",\"room\":");
  put_string(writer, room);
  put_literal(writer, "}\n");
}

struct message *message_with_room(const kuzzle_buf *parts, size_t parts_len, kuzzle_str room) {
  /* The contract promises both; a broken host must not make us send rubbish. */
  if (parts_len == 0 || parts[parts_len - 1].len == 0)
    return NULL;
  bool empty = is_empty_object(parts, parts_len);
  struct writer counter = {NULL, 0};
  put_room(&counter, empty, room);
  struct message *message = message_create(parts, parts_len, counter.len);
  if (message == NULL)
    return NULL;
  /* All but the '}'. Only our copy of the struct is shortened: the buffer
   * belongs to its owner, which is what retain and release are about. */
  message->parts[parts_len - 1].len -= 1;
  message->size -= 1;
  struct writer writer = suffix_writer(message);
  put_room(&writer, empty, room);
  return message;
}

static void put_raw(struct writer *writer, const kuzzle_buf *parts, size_t parts_len) {
  put(writer, "\"", 1);
  for (size_t i = 0; i < parts_len; i++)
    put_escaped(writer, (const char *)parts[i].data, parts[i].len);
  put(writer, "\"\n", 2);
}

/* A raw answer goes out as it is. If it has line ends of its own it would be
 * taken for several answers: then it becomes a JSON string, which loses nothing
 * of a text. */
struct message *message_raw(const kuzzle_buf *parts, size_t parts_len) {
  bool several_lines = false;
  for (size_t i = 0; i < parts_len && !several_lines; i++)
    several_lines = parts[i].len > 0 && (memchr(parts[i].data, '\n', parts[i].len) != NULL ||
                                         memchr(parts[i].data, '\r', parts[i].len) != NULL);
  struct writer counter = {NULL, 0};
  if (several_lines)
    put_raw(&counter, parts, parts_len);
  else
    put(&counter, "\n", 1);
  struct message *message = message_create(parts, several_lines ? 0 : parts_len, counter.len);
  if (message == NULL)
    return NULL;
  struct writer writer = suffix_writer(message);
  if (several_lines)
    put_raw(&writer, parts, parts_len);
  else
    put(&writer, "\n", 1);
  return message;
}

static void put_error(struct writer *writer, const char *id, const char *prefix, kuzzle_str text,
                      const char *status, kuzzle_str request_id) {
  put_literal(writer, "{\"action\":null,\"controller\":null,\"error\":{\"id\":\"");
  put_literal(writer, id);
  put_literal(writer, "\",\"message\":\"");
  put_literal(writer, prefix);
  put_escaped(writer, text.ptr, text.len);
  put_literal(writer, "\",\"status\":");
  put_literal(writer, status);
  put_literal(writer, "},\"requestId\":");
  if (request_id.len > 0)
    put_string(writer, request_id);
  else
    put_literal(writer, "null");
  put_literal(writer, ",\"result\":null,\"status\":");
  put_literal(writer, status);
  put_literal(writer, ",\"volatile\":null");
  if (request_id.len > 0)
    put_room(writer, false, request_id);
  else
    put_literal(writer, "}\n");
}

/* The shape of Kuzzle's own error answers, for errors that are found here. */
struct message *message_error(const char *id, const char *prefix, kuzzle_str text, unsigned status,
                              kuzzle_str request_id) {
  char status_text[16];
  snprintf(status_text, sizeof status_text, "%u", status);
  struct writer counter = {NULL, 0};
  put_error(&counter, id, prefix, text, status_text, request_id);
  struct message *message = message_create(NULL, 0, counter.len);
  if (message == NULL)
    return NULL;
  struct writer writer = suffix_writer(message);
  put_error(&writer, id, prefix, text, status_text, request_id);
  return message;
}

void message_drop(struct message *message, struct message **garbage) {
  if (--message->references > 0)
    return;
  message->next = *garbage;
  *garbage = message;
}

void messages_free(struct message *garbage) {
  while (garbage != NULL) {
    struct message *next = garbage->next;
    for (size_t i = 0; i < garbage->parts_len; i++)
      if (garbage->parts[i].ops != NULL)
        garbage->parts[i].ops->release(garbage->parts[i].owner);
    free(garbage);
    garbage = next;
  }
}

/* The bookkeeping counts, or millions of tiny lines would not be bounded. */
static size_t cost(const struct message *message) {
  return message->size + sizeof *message + sizeof message;
}

static struct message *queue_at(const struct queue *queue, size_t index) {
  return queue->ring[(queue->head + index) & (queue->capacity - 1)];
}

static bool queue_grow(struct queue *queue) {
  size_t capacity = queue->capacity == 0 ? 16 : queue->capacity * 2;
  struct message **ring = malloc(capacity * sizeof *ring);
  if (ring == NULL)
    return false;
  for (size_t i = 0; i < queue->count; i++)
    ring[i] = queue_at(queue, i);
  free(queue->ring);
  queue->ring = ring;
  queue->capacity = capacity;
  queue->head = 0;
  return true;
}

bool queue_push(struct queue *queue, struct message *message, size_t limit) {
  if (queue->count > 0 && (queue->bytes > limit || cost(message) > limit - queue->bytes))
    return false;
  if (queue->count == queue->capacity && !queue_grow(queue))
    return false;
  queue->ring[(queue->head + queue->count) & (queue->capacity - 1)] = message;
  queue->count++;
  queue->bytes += cost(message);
  message->references++;
  return true;
}

size_t queue_peek(const struct queue *queue, struct iovec *out, size_t out_len) {
  size_t filled = 0;
  size_t skip = queue->sent;
  for (size_t i = 0; i < queue->count && filled < out_len; i++) {
    const struct message *message = queue_at(queue, i);
    for (size_t j = 0; j <= message->parts_len && filled < out_len; j++) {
      bool part = j < message->parts_len;
      const char *bytes = part ? (const char *)message->parts[j].data : message->suffix;
      size_t len = part ? message->parts[j].len : message->suffix_len;
      if (skip >= len) {
        skip -= len;
        continue;
      }
      /* iovec is for reading too, hence not const; sendmsg only reads. */
      out[filled].iov_base = (void *)(uintptr_t)(bytes + skip);
      out[filled].iov_len = len - skip;
      filled++;
      skip = 0;
    }
  }
  return filled;
}

void queue_consume(struct queue *queue, size_t bytes, struct message **garbage) {
  queue->sent += bytes;
  while (queue->count > 0 && queue->sent >= queue_at(queue, 0)->size) {
    struct message *message = queue_at(queue, 0);
    queue->sent -= message->size;
    queue->bytes -= cost(message);
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
    message_drop(message, garbage);
  }
  /* A client that once was slow does not keep a large ring for ever. */
  if (queue->count == 0 && queue->capacity > 64)
    queue_clear(queue, garbage);
}

void queue_clear(struct queue *queue, struct message **garbage) {
  for (size_t i = 0; i < queue->count; i++)
    message_drop(queue_at(queue, i), garbage);
  free(queue->ring);
  memset(queue, 0, sizeof *queue);
}
