/* A second translation unit that includes the header and defines an optional export. */
#include "other.h"

struct kuzzle_protocol {
  int unused;
};

static struct kuzzle_protocol state = {0};

kuzzle_protocol *other_state(void) { return &state; }

int32_t kuzzle_protocol_shutdown(kuzzle_protocol *self, uint32_t deadline_ms) KUZZLE_NOEXCEPT {
  return self && deadline_ms ? KUZZLE_OK : KUZZLE_FAILED;
}
