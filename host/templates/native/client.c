/* client.c PORT REQUEST: sends a request to 127.0.0.1 as a datagram and prints
 * the answer; fails if none comes within 10 seconds. */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

int main(int argc, char **argv) {
  static char buffer[65536];
  struct timeval patience = {10, 0};
  struct sockaddr_in address;
  int client = socket(AF_INET, SOCK_DGRAM, 0);
  ssize_t len;
  if (argc != 3 || client < 0)
    return 2;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)atoi(argv[1]));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      sendto(client, argv[2], strlen(argv[2]), 0, (struct sockaddr *)&address, sizeof address) < 0 ||
      (len = recv(client, buffer, sizeof buffer - 1, 0)) < 0) {
    perror("client");
    return 1;
  }
  buffer[len] = 0;
  puts(buffer);
  return 0;
}
