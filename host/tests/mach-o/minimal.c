/* minimal.c: a protocol that does nothing, without any system header. By options of the compiler it
 * lacks notify (WITHOUT_NOTIFY), has a note that the loader changes (RELOCATED_NOTE), or
 * something else that it changes (POINTER).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kuzzle/protocol.h"

#ifndef RELOCATED_NOTE
KUZZLE_PROTOCOL_NOTE();
#else
KUZZLE_EXPORT extern const struct note {
  char magic[28];
  const void *place;
} kuzzle_protocol_abi;
const struct note kuzzle_protocol_abi = {"KZPROTO1\1\0\0\0\x24", &kuzzle_protocol_abi};
#endif

#ifdef POINTER
__attribute__((used)) static void *place = &place;
#endif

int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point, const kuzzle_context *context,
                             kuzzle_protocol **out, kuzzle_error *error) {
  (void)entry_point, (void)context, (void)out, (void)error;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_broadcast(kuzzle_protocol *self, const kuzzle_broadcast *message) {
  (void)self, (void)message;
  return KUZZLE_OK;
}
#ifndef WITHOUT_NOTIFY
int32_t kuzzle_protocol_notify(kuzzle_protocol *self, const kuzzle_notification *message) {
  (void)self, (void)message;
  return KUZZLE_OK;
}
#endif
int32_t kuzzle_protocol_join_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) {
  (void)self, (void)connection, (void)channel;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) {
  (void)self, (void)connection, (void)channel;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_disconnect(kuzzle_protocol *self, const kuzzle_disconnect *message) {
  (void)self, (void)message;
  return KUZZLE_OK;
}
