/* Prints the layout of the extension kuzzle.metrics/1, one `name value` a line; valid as C++17 too. */
#include <kuzzle/extensions/metrics.h>
#include <stdio.h>

#define PRINT(what, value) printf("%s %u\n", what, (unsigned)(value))

int main(void) {
  PRINT("kuzzle_metric", sizeof(kuzzle_metric));
  PRINT("kuzzle_metric.name", offsetof(kuzzle_metric, name));
  PRINT("kuzzle_metric.kind", offsetof(kuzzle_metric, kind));
  PRINT("kuzzle_metric.reserved", offsetof(kuzzle_metric, reserved));
  PRINT("kuzzle_metric.value", offsetof(kuzzle_metric, value));
  PRINT("kuzzle_metrics", sizeof(kuzzle_metrics));
  PRINT("kuzzle_host_metrics", sizeof(kuzzle_host_metrics));
  return 0;
}
