/* What the two translation units share. */
#ifndef OTHER_H
#define OTHER_H

#include <kuzzle/protocol.h>

kuzzle_protocol *other_state(void);

#endif
