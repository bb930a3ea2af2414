/* A protocol that does nothing, valid as C99, C11 and C++17; one of several translation units. */
#include "other.h"

KUZZLE_PROTOCOL_NOTE();

int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point, const kuzzle_context *context,
                             kuzzle_protocol **out, kuzzle_error *error) KUZZLE_NOEXCEPT {
  *out = other_state();
  return entry_point && context && !error ? KUZZLE_OK : KUZZLE_FAILED;
}

int32_t kuzzle_protocol_broadcast(kuzzle_protocol *self, const kuzzle_broadcast *message) KUZZLE_NOEXCEPT {
  return self && message->channels_len ? KUZZLE_OK : KUZZLE_FAILED;
}

int32_t kuzzle_protocol_notify(kuzzle_protocol *self, const kuzzle_notification *message) KUZZLE_NOEXCEPT {
  return self && message->connection ? KUZZLE_OK : KUZZLE_FAILED;
}

int32_t kuzzle_protocol_join_channel(kuzzle_protocol *self, uint64_t connection,
                                     kuzzle_str channel) KUZZLE_NOEXCEPT {
  const kuzzle_str closed = KUZZLE_STR("closed");
  return self && connection && channel.len != closed.len ? KUZZLE_OK : KUZZLE_FAILED;
}

int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *self, uint64_t connection,
                                      kuzzle_str channel) KUZZLE_NOEXCEPT {
  return self && connection && channel.len ? KUZZLE_OK : KUZZLE_FAILED;
}

int32_t kuzzle_protocol_disconnect(kuzzle_protocol *self, const kuzzle_disconnect *message) KUZZLE_NOEXCEPT {
  return self && message->reason == KUZZLE_DISCONNECT_REQUESTED ? KUZZLE_OK : KUZZLE_FAILED;
}
