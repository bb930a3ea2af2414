/* Prints the layout table, one `name value` a line, as this compiler sees it. */
#include <kuzzle/protocol.h>
#include <stdio.h>

#define PRINT_SIZE(type) printf("%s %u\n", #type, (unsigned)sizeof(type));
#define PRINT_FIELD(type, field) printf("%s.%s %u\n", #type, #field, (unsigned)offsetof(type, field));

int main(void) {
  KUZZLE_LAYOUT_(PRINT_SIZE, PRINT_FIELD)
  return 0;
}
