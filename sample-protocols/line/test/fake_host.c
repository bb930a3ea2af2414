/* fake_host.c: just enough of a host to test a protocol without one: loads the
 * library, gives it an entry point whose `execute` plays a few roles, and checks
 * the protocol's side of the contract (execute is not called inside a callback,
 * what is retained is released, connections are removed once).
 *
 *   fake_host LIBRARY [option=value ...]
 *
 * Writes "listening ADDRESS" to stdout, then obeys lines on stdin:
 *   broadcast CHANNEL SIZE COUNT   from another thread; answers "done"
 *   disconnect                     every client, as before a shutdown
 *   stats                          answers one line of JSON
 *   quit                           shutdown; also at the end of the input
 * Exits with 0 if all is balanced.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kuzzle/protocol.h"

#define CONNECTIONS 4096u

static struct {
  int32_t (*init)(const kuzzle_entry_point *, const kuzzle_context *, kuzzle_protocol **, kuzzle_error *);
  int32_t (*start)(kuzzle_protocol *, kuzzle_error *);
  int32_t (*broadcast)(kuzzle_protocol *, const kuzzle_broadcast *);
  int32_t (*notify)(kuzzle_protocol *, const kuzzle_notification *);
  int32_t (*join_channel)(kuzzle_protocol *, uint64_t, kuzzle_str);
  int32_t (*leave_channel)(kuzzle_protocol *, uint64_t, kuzzle_str);
  int32_t (*disconnect)(kuzzle_protocol *, const kuzzle_disconnect *);
  int32_t (*shutdown)(kuzzle_protocol *, uint32_t);
} api;

static kuzzle_protocol *protocol;
static char **options;
static int options_len;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t connections[CONNECTIONS]; /* open handles; 0: a free slot */
static uint64_t last_handle;
static struct job *jobs; /* oldest first */
static size_t running;   /* completions to come */
static bool started, stopping;
static struct {
  unsigned long retains, releases, buffers, freed, executed, completed, opened, removed, logged, reentrant;
} stats;

/* Whether this thread is inside a function or a completion of the protocol. */
static __thread int inside;

#define COUNT(name) (pthread_mutex_lock(&lock), stats.name++, pthread_mutex_unlock(&lock))

static void *need(void *pointer) {
  if (pointer == NULL)
    abort();
  return pointer;
}

/* Payloads ------------------------------------------------------------------- */

struct owner {
  size_t references;
  char bytes[];
};

static void retain(void *pointer) {
  pthread_mutex_lock(&lock);
  ((struct owner *)pointer)->references++;
  stats.retains++;
  pthread_mutex_unlock(&lock);
}

static void drop(struct owner *owner) {
  pthread_mutex_lock(&lock);
  bool last = --owner->references == 0;
  stats.freed += last;
  pthread_mutex_unlock(&lock);
  if (last)
    free(owner);
}

static void release(void *pointer) {
  COUNT(releases);
  drop(pointer);
}

static const kuzzle_buf_ops ops = {retain, release};

/* A payload in two parts, to see that both are sent; one part if it is short. */
struct payload {
  struct owner *owner;
  kuzzle_buf parts[2];
  size_t parts_len;
};

static struct payload payload_create(const char *text, size_t len) {
  struct payload payload;
  payload.owner = need(malloc(sizeof *payload.owner + len));
  payload.owner->references = 1;
  memcpy(payload.owner->bytes, text, len);
  COUNT(buffers);
  size_t first = len / 2;
  const uint8_t *bytes = (const uint8_t *)payload.owner->bytes;
  payload.parts_len = len > 8 ? 2 : 1;
  if (payload.parts_len == 1)
    first = len;
  payload.parts[0] = (kuzzle_buf){bytes, first, payload.owner, &ops};
  payload.parts[1] = (kuzzle_buf){bytes + first, len - first, payload.owner, &ops};
  return payload;
}

/* {"n":N,"fill":"xxx"} of about that size. */
static struct payload notification_create(unsigned long number, size_t size) {
  char *text = need(malloc(size + 64));
  int head = snprintf(text, 64, "{\"n\":%lu,\"fill\":\"", number);
  memset(text + head, 'x', size);
  memcpy(text + head + size, "\"}", 2);
  struct payload payload = payload_create(text, (size_t)head + size + 2);
  free(text);
  return payload;
}

static void send_broadcast(const char *name, size_t size, unsigned long number) {
  struct payload payload = notification_create(number, size);
  kuzzle_str channels[2] = {{"nobody", 6}, {name, strlen(name)}};
  kuzzle_broadcast message;
  memset(&message, 0, sizeof message);
  message.struct_size = sizeof message;
  message.channels = channels;
  message.channels_len = 2;
  message.parts = payload.parts;
  message.parts_len = payload.parts_len;
  inside++;
  api.broadcast(protocol, &message);
  inside--;
  drop(payload.owner);
}

/* Requests ------------------------------------------------------------------- */

/* The string or number value of a member, with no attempt to parse JSON. */
static bool member(const char *json, const char *name, char *out, size_t out_len) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *from = strstr(json, key);
  if (from == NULL)
    return false;
  from += strlen(key);
  const char *stop = ",}";
  if (*from == '"') {
    from++;
    stop = "\"";
  }
  size_t len = strcspn(from, stop);
  if (len >= out_len)
    len = out_len - 1;
  memcpy(out, from, len);
  out[len] = 0;
  return true;
}

struct job {
  struct job *next;
  kuzzle_completion completion;
  char *document;
};

static void complete(kuzzle_completion completion, const char *document) {
  char id[128] = "generated \"id\"", size_text[32], raw[256];
  char *text = need(malloc(strlen(document) + 64));
  struct payload payload;
  kuzzle_response response;
  memset(&response, 0, sizeof response);
  response.struct_size = sizeof response;
  response.status = 200;
  member(document, "requestId", id, sizeof id);
  if (member(document, "raw", raw, sizeof raw)) {
    if (strcmp(raw, "lines") == 0)
      strcpy(raw, "{\n\t\"a\": \"b\"\n}");
    response.raw = 1;
    payload = payload_create(raw, strlen(raw));
  } else if (strstr(document, "\"empty\"") != NULL) {
    payload = payload_create("{ }", 3);
  } else if (member(document, "big", size_text, sizeof size_text)) {
    payload = notification_create(0, strtoul(size_text, NULL, 10));
  } else {
    sprintf(text, "{\"result\":%s,\"status\":200}", document);
    payload = payload_create(text, strlen(text));
  }
  free(text);
  response.request_id.ptr = id;
  response.request_id.len = strlen(id);
  response.parts = payload.parts;
  response.parts_len = payload.parts_len;
  inside++;
  completion.function(completion.context, &response);
  inside--;
  drop(payload.owner);
  pthread_mutex_lock(&lock);
  stats.completed++;
  running--;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

/* Completes on another thread what was asked with "async". */
static void *worker(void *unused) {
  pthread_mutex_lock(&lock);
  for (;;) {
    while (jobs == NULL && !stopping)
      pthread_cond_wait(&changed, &lock);
    struct job *job = jobs;
    if (job == NULL)
      break;
    jobs = job->next;
    pthread_mutex_unlock(&lock);
    complete(job->completion, job->document);
    free(job->document);
    free(job);
    pthread_mutex_lock(&lock);
  }
  pthread_mutex_unlock(&lock);
  return unused;
}

static void defer(kuzzle_completion completion, char *document) {
  struct job *job = need(malloc(sizeof *job));
  *job = (struct job){NULL, completion, document};
  pthread_mutex_lock(&lock);
  struct job **link = &jobs;
  while (*link != NULL)
    link = &(*link)->next;
  *link = job;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static bool is_open(uint64_t connection) {
  bool found = false;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < CONNECTIONS; i++)
    found = found || (connection != 0 && connections[i] == connection);
  pthread_mutex_unlock(&lock);
  return found;
}

static void free_error(kuzzle_error *error) {
  free(error->owner);
  memset(error, 0, sizeof *error);
  error->struct_size = sizeof *error;
}

/* The id, if any, is kept behind the text. */
static int32_t refuse(kuzzle_error *error, int32_t code, const char *text, const char *document) {
  char *copy = need(malloc(512));
  char *id = copy + 256;
  snprintf(copy, 256, "%s", text);
  error->code = code;
  error->message = (kuzzle_str){copy, strlen(copy)};
  if (member(document, "requestId", id, 256))
    error->request_id = (kuzzle_str){id, strlen(id)};
  error->owner = copy;
  error->release = free_error;
  return code;
}

/* What the document asks for, before it is answered. */
static void play(uint64_t connection, const char *document) {
  char name[128], number[32], count[32];
  if (member(document, "subscribe", name, sizeof name))
    api.join_channel(protocol, connection, (kuzzle_str){name, strlen(name)});
  if (member(document, "unsubscribe", name, sizeof name))
    api.leave_channel(protocol, connection, (kuzzle_str){name, strlen(name)});
  if (member(document, "publish", name, sizeof name)) {
    size_t size = member(document, "size", number, sizeof number) ? strtoul(number, NULL, 10) : 10;
    unsigned long times = member(document, "count", count, sizeof count) ? strtoul(count, NULL, 10) : 1;
    for (unsigned long i = 0; i < times; i++)
      send_broadcast(name, size, i);
  }
  if (member(document, "notify", name, sizeof name)) {
    kuzzle_str channels[2] = {{name, strlen(name)}, {"second", 6}};
    struct payload payload = payload_create("{}", 2);
    kuzzle_notification message;
    memset(&message, 0, sizeof message);
    message.struct_size = sizeof message;
    message.connection = connection;
    message.channels = channels;
    message.channels_len = 2;
    message.parts = payload.parts;
    message.parts_len = payload.parts_len;
    api.notify(protocol, &message);
    drop(payload.owner);
  }
  if (member(document, "disconnect", name, sizeof name)) {
    kuzzle_disconnect message;
    memset(&message, 0, sizeof message);
    message.struct_size = sizeof message;
    message.reason = KUZZLE_DISCONNECT_REQUESTED;
    message.connection = connection;
    api.disconnect(protocol, &message);
  }
}

static int32_t execute(const kuzzle_entry_point *self, const kuzzle_request *request,
                       kuzzle_completion completion, kuzzle_error *error) {
  (void)self;
  size_t len = 0;
  for (size_t i = 0; i < request->parts_len; i++)
    len += request->parts[i].len;
  char *document = need(malloc(len + 1));
  len = 0;
  for (size_t i = 0; i < request->parts_len; i++) {
    memcpy(document + len, request->parts[i].data, request->parts[i].len);
    len += request->parts[i].len;
  }
  document[len] = 0;

  int32_t status = KUZZLE_OK;
  if (inside > 0) {
    COUNT(reentrant);
    status = KUZZLE_REENTRANT;
  } else if (!is_open(request->connection) || strstr(document, "\"stale\"") != NULL) {
    status = KUZZLE_BAD_HANDLE;
  } else if (len < 2 || document[0] != '{' || document[len - 1] != '}') {
    status = refuse(error, KUZZLE_INVALID_JSON, "unexpected \"token\"\n\x01 \\", document);
  } else if (strstr(document, "\"invalid\"") != NULL) {
    status = refuse(error, KUZZLE_INVALID_REQUEST, "Attribute x must be of type \"string\"", document);
  }
  if (status != KUZZLE_OK) {
    free(document);
    return status;
  }

  pthread_mutex_lock(&lock);
  stats.executed++;
  running++;
  pthread_mutex_unlock(&lock);
  inside++;
  play(request->connection, document);
  inside--;
  if (strstr(document, "\"async\"") != NULL) {
    defer(completion, document);
  } else {
    complete(completion, document);
    free(document);
  }
  return KUZZLE_OK;
}

/* The rest of both tables ------------------------------------------------------ */

static int32_t new_connection(const kuzzle_entry_point *self, const kuzzle_connection_info *info,
                              uint64_t *out, uint8_t uuid_out[16], kuzzle_error *error) {
  (void)self;
  if (!started || info->ips_len != 1)
    return refuse(error, KUZZLE_NOT_STARTED, "not started", "");
  if (uuid_out != NULL)
    memset(uuid_out, 0, 16);
  pthread_mutex_lock(&lock);
  size_t slot = 0;
  while (slot < CONNECTIONS && connections[slot] != 0)
    slot++;
  if (slot < CONNECTIONS) {
    /* Far apart, as a host's slots and generations make them. */
    *out = connections[slot] = ++last_handle << 24 | slot;
    stats.opened++;
  }
  pthread_mutex_unlock(&lock);
  return slot < CONNECTIONS ? KUZZLE_OK : refuse(error, KUZZLE_LIMIT, "too many connections", "");
}

static int32_t remove_connection(const kuzzle_entry_point *self, uint64_t connection) {
  (void)self;
  int32_t status = KUZZLE_BAD_HANDLE;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < CONNECTIONS; i++)
    if (connections[i] == connection) {
      connections[i] = 0;
      stats.removed++;
      status = KUZZLE_OK;
    }
  pthread_mutex_unlock(&lock);
  return status;
}

static int32_t log_access(const kuzzle_entry_point *self, const kuzzle_request *request, uint32_t status,
                          uint64_t size) {
  (void)self, (void)request, (void)status, (void)size;
  COUNT(logged);
  return KUZZLE_OK;
}

static uint8_t is_shutting_down(const kuzzle_entry_point *self) {
  (void)self;
  return 0;
}

static int32_t report_listener(const kuzzle_entry_point *self, kuzzle_str transport, kuzzle_str address) {
  (void)self, (void)transport;
  printf("listening %.*s\n", (int)address.len, address.ptr);
  fflush(stdout);
  return KUZZLE_OK;
}

static kuzzle_str config(const kuzzle_entry_point *self) {
  (void)self;
  return KUZZLE_STR("{}");
}

static uint32_t suggested_worker_threads(const kuzzle_entry_point *self) {
  (void)self;
  return 2;
}

static kuzzle_str version(const kuzzle_context *self) {
  (void)self;
  return KUZZLE_STR("2.56.0");
}

static void log_line(const kuzzle_context *self, uint32_t level, kuzzle_str target, kuzzle_str message) {
  (void)self, (void)target;
  fprintf(stderr, "log %u: %.*s\n", (unsigned)level, (int)message.len, message.ptr);
}

static uint8_t log_enabled(const kuzzle_context *self, uint32_t level, kuzzle_str target) {
  (void)self, (void)level, (void)target;
  return 1;
}

static const char *option(kuzzle_str path) {
  for (int i = 0; i < options_len; i++)
    if (strncmp(options[i], path.ptr, path.len) == 0 && options[i][path.len] == '=')
      return options[i] + path.len + 1;
  return NULL;
}

static int32_t option_i64(const kuzzle_context *self, kuzzle_str path, int64_t *out) {
  (void)self;
  const char *text = option(path);
  if (text == NULL)
    return KUZZLE_NOT_FOUND;
  char *end;
  long long value = strtoll(text, &end, 10);
  if (*end != 0 || end == text)
    return KUZZLE_WRONG_TYPE;
  *out = value;
  return KUZZLE_OK;
}

static int32_t option_bool(const kuzzle_context *self, kuzzle_str path, uint8_t *out) {
  (void)self, (void)path, (void)out;
  return KUZZLE_NOT_FOUND;
}

static int32_t option_string(const kuzzle_context *self, kuzzle_str path, kuzzle_str *out) {
  (void)self;
  const char *text = option(path);
  if (text == NULL)
    return KUZZLE_NOT_FOUND;
  *out = (kuzzle_str){text, strlen(text)};
  return KUZZLE_OK;
}

static size_t error_count(const kuzzle_context *self) {
  (void)self;
  return 0;
}

static int32_t error_at(const kuzzle_context *self, size_t index, kuzzle_error_info *out) {
  (void)self, (void)index, (void)out;
  return KUZZLE_NOT_FOUND;
}

static int32_t error_by_id(const kuzzle_context *self, kuzzle_str id, kuzzle_error_info *out) {
  (void)self, (void)id, (void)out;
  return KUZZLE_NOT_FOUND;
}

static void uuid(const kuzzle_context *self, uint8_t out[16]) {
  (void)self;
  memset(out, 7, 16);
}

static const void *get_extension(const kuzzle_context *self, kuzzle_str id) {
  (void)self, (void)id;
  return NULL;
}

static const kuzzle_entry_point entry_point = {new_connection, remove_connection, execute,
                                               log_access,     is_shutting_down,  report_listener,
                                               config,         suggested_worker_threads};
static const kuzzle_context context = {version,     version,    version,       log_line,    log_enabled,
                                       option_i64,  option_bool, option_string, error_count, error_at,
                                       error_by_id, uuid,       get_extension};

/* Commands ------------------------------------------------------------------------ */

static void load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(2);
  }
  /* C has no cast from an object pointer to a function pointer; POSIX has. */
#define LOAD(name) *(void **)&api.name = need(dlsym(library, "kuzzle_protocol_" #name))
  LOAD(init);
  LOAD(start);
  LOAD(broadcast);
  LOAD(notify);
  LOAD(join_channel);
  LOAD(leave_channel);
  LOAD(disconnect);
  LOAD(shutdown);
  if (memcmp(need(dlsym(library, "kuzzle_protocol_abi")), "KZPROTO1", 8) != 0)
    abort();
}

static void report_failure(const char *what, kuzzle_error *error) {
  fprintf(stderr, "%s: %.*s\n", what, (int)error->message.len, error->message.ptr);
  if (error->release != NULL)
    error->release(error);
  exit(1);
}

struct flood {
  char channel[64];
  unsigned long size, count;
};

static void *run_flood(void *argument) {
  const struct flood *flood = argument;
  for (unsigned long i = 0; i < flood->count; i++)
    send_broadcast(flood->channel, flood->size, i);
  return NULL;
}

static void disconnect_all(void) {
  static uint64_t copy[CONNECTIONS];
  pthread_mutex_lock(&lock);
  memcpy(copy, connections, sizeof copy);
  pthread_mutex_unlock(&lock);
  for (size_t i = 0; i < CONNECTIONS; i++) {
    kuzzle_disconnect message;
    memset(&message, 0, sizeof message);
    message.struct_size = sizeof message;
    message.reason = KUZZLE_DISCONNECT_SHUTDOWN;
    message.connection = copy[i];
    if (copy[i] != 0)
      api.disconnect(protocol, &message);
  }
}

static void print_stats(void) {
  pthread_mutex_lock(&lock);
  printf("{\"opened\":%lu,\"removed\":%lu,\"executed\":%lu,\"completed\":%lu,\"retains\":%lu,"
         "\"releases\":%lu,\"buffers\":%lu,\"freed\":%lu,\"logged\":%lu,\"reentrant\":%lu}\n",
         stats.opened, stats.removed, stats.executed, stats.completed, stats.retains, stats.releases,
         stats.buffers, stats.freed, stats.logged, stats.reentrant);
  pthread_mutex_unlock(&lock);
  fflush(stdout);
}

int main(int argc, char **argv) {
  kuzzle_error error;
  memset(&error, 0, sizeof error);
  error.struct_size = sizeof error;
  if (argc < 2)
    return 2;
  options = argv + 2;
  options_len = argc - 2;
  load(argv[1]);
  if (api.init(&entry_point, &context, &protocol, &error) != KUZZLE_OK)
    report_failure("init", &error);
  send_broadcast("early", 10, 0); /* may precede start */
  started = true;
  if (api.start(protocol, &error) != KUZZLE_OK)
    report_failure("start", &error);
  pthread_t worker_thread;
  pthread_create(&worker_thread, NULL, worker, NULL);

  char line[256];
  struct flood flood;
  while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
    if (sscanf(line, "broadcast %63s %lu %lu", flood.channel, &flood.size, &flood.count) == 3) {
      pthread_t thread;
      pthread_create(&thread, NULL, run_flood, &flood);
      pthread_join(thread, NULL);
      printf("done\n");
      fflush(stdout);
    } else if (strcmp(line, "disconnect\n") == 0) {
      disconnect_all();
    } else if (strcmp(line, "stats\n") == 0) {
      print_stats();
    }
  }
  if (api.shutdown(protocol, 5000) != KUZZLE_OK) {
    fprintf(stderr, "shutdown has failed\n");
    return 1;
  }
  send_broadcast("late", 10, 0); /* must be harmless */
  pthread_mutex_lock(&lock);
  stopping = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  pthread_join(worker_thread, NULL);
  print_stats();
  return stats.retains == stats.releases && stats.buffers == stats.freed && stats.opened == stats.removed &&
                 stats.executed == stats.completed && stats.reentrant == 0 && running == 0
             ? 0
             : 1;
}
