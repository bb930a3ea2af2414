/* registry.c: finds clients by their handle and channels by their name. The
 * caller holds the lock.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "line.h"

#include <stdlib.h>
#include <string.h>

/* The host limits subscriptions too; this bounds our memory whatever it allows. */
#define MAX_CHANNELS_PER_CLIENT 10000u

static size_t handle_hash(uint64_t handle) {
  /* Handles differ mostly in their low bits; the multiplication spreads them. */
  return (size_t)((handle * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

/* FNV-1a. Channel names are made by the host, not by clients, so nobody can
 * choose them to collide. */
static uint64_t name_hash(kuzzle_str name) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < name.len; i++)
    hash = (hash ^ (unsigned char)name.ptr[i]) * UINT64_C(0x100000001b3);
  return hash;
}

bool registry_create(struct registry *registry, size_t max_clients) {
  size_t buckets = 16;
  while (buckets < max_clients)
    buckets *= 2;
  registry->handles = calloc(buckets, sizeof *registry->handles);
  registry->handles_mask = buckets - 1;
  registry->channels = calloc(64, sizeof *registry->channels);
  registry->channels_mask = 63;
  registry->channels_len = 0;
  return registry->handles != NULL && registry->channels != NULL;
}

void registry_destroy(struct registry *registry) {
  free(registry->handles);
  free(registry->channels);
  memset(registry, 0, sizeof *registry);
}

void registry_add(struct registry *registry, struct client *client) {
  struct client **bucket = &registry->handles[handle_hash(client->handle) & registry->handles_mask];
  client->next = *bucket;
  *bucket = client;
}

struct client *registry_client(const struct registry *registry, uint64_t handle) {
  if (registry->handles == NULL) /* after shutdown */
    return NULL;
  struct client *client = registry->handles[handle_hash(handle) & registry->handles_mask];
  while (client != NULL && client->handle != handle)
    client = client->next;
  return client;
}

static struct channel *find_channel(const struct registry *registry, kuzzle_str name, uint64_t hash) {
  if (registry->channels == NULL) /* after shutdown */
    return NULL;
  struct channel *channel = registry->channels[hash & registry->channels_mask];
  while (channel != NULL && (channel->hash != hash || channel->name_len != name.len ||
                             (name.len > 0 && memcmp(channel->name, name.ptr, name.len) != 0)))
    channel = channel->next;
  return channel;
}

struct channel *registry_channel(const struct registry *registry, kuzzle_str name) {
  return find_channel(registry, name, name_hash(name));
}

/* Keeps the buckets short. Without memory for more the old ones still work. */
static void grow_channels(struct registry *registry) {
  size_t mask = registry->channels_mask * 2 + 1;
  struct channel **channels = calloc(mask + 1, sizeof *channels);
  if (channels == NULL)
    return;
  for (size_t i = 0; i <= registry->channels_mask; i++) {
    struct channel *channel = registry->channels[i];
    while (channel != NULL) {
      struct channel *next = channel->next;
      channel->next = channels[channel->hash & mask];
      channels[channel->hash & mask] = channel;
      channel = next;
    }
  }
  free(registry->channels);
  registry->channels = channels;
  registry->channels_mask = mask;
}

static struct channel *add_channel(struct registry *registry, kuzzle_str name, uint64_t hash) {
  if (registry->channels == NULL || name.len > SIZE_MAX / 2)
    return NULL;
  struct channel *channel = calloc(1, sizeof *channel + name.len);
  if (channel == NULL)
    return NULL;
  channel->hash = hash;
  channel->name_len = name.len;
  if (name.len > 0)
    memcpy(channel->name, name.ptr, name.len);
  if (registry->channels_len > registry->channels_mask)
    grow_channels(registry);
  struct channel **bucket = &registry->channels[hash & registry->channels_mask];
  channel->next = *bucket;
  *bucket = channel;
  registry->channels_len++;
  return channel;
}

static void drop_channel_if_empty(struct registry *registry, struct channel *channel) {
  if (channel->members_len > 0)
    return;
  struct channel **link = &registry->channels[channel->hash & registry->channels_mask];
  while (*link != channel)
    link = &(*link)->next;
  *link = channel->next;
  registry->channels_len--;
  free(channel);
}

/* Searches the shorter of the two lists that the subscription would be in. */
static struct subscription *find_subscription(const struct client *client, const struct channel *channel) {
  struct subscription *found;
  if (client->subscriptions_len < channel->members_len) {
    for (found = client->subscriptions; found != NULL && found->channel != channel;)
      found = found->client_next;
  } else {
    for (found = channel->members; found != NULL && found->client != client;)
      found = found->channel_next;
  }
  return found;
}

int32_t registry_join(struct registry *registry, struct client *client, kuzzle_str name) {
  uint64_t hash = name_hash(name);
  struct channel *channel = find_channel(registry, name, hash);
  if (channel != NULL && find_subscription(client, channel) != NULL)
    return KUZZLE_OK; /* joining twice is normal */
  if (client->subscriptions_len >= MAX_CHANNELS_PER_CLIENT)
    return KUZZLE_LIMIT;
  struct subscription *subscription = malloc(sizeof *subscription);
  if (subscription == NULL)
    return KUZZLE_FAILED;
  if (channel == NULL)
    channel = add_channel(registry, name, hash);
  if (channel == NULL) {
    free(subscription);
    return KUZZLE_FAILED;
  }
  subscription->client = client;
  subscription->channel = channel;
  subscription->channel_next = channel->members;
  subscription->channel_link = &channel->members;
  if (channel->members != NULL)
    channel->members->channel_link = &subscription->channel_next;
  channel->members = subscription;
  channel->members_len++;
  subscription->client_next = client->subscriptions;
  subscription->client_link = &client->subscriptions;
  if (client->subscriptions != NULL)
    client->subscriptions->client_link = &subscription->client_next;
  client->subscriptions = subscription;
  client->subscriptions_len++;
  return KUZZLE_OK;
}

static void unsubscribe(struct registry *registry, struct subscription *subscription) {
  struct channel *channel = subscription->channel;
  *subscription->channel_link = subscription->channel_next;
  if (subscription->channel_next != NULL)
    subscription->channel_next->channel_link = subscription->channel_link;
  channel->members_len--;
  *subscription->client_link = subscription->client_next;
  if (subscription->client_next != NULL)
    subscription->client_next->client_link = subscription->client_link;
  subscription->client->subscriptions_len--;
  free(subscription);
  drop_channel_if_empty(registry, channel);
}

void registry_leave(struct registry *registry, struct client *client, kuzzle_str name) {
  struct channel *channel = registry_channel(registry, name);
  struct subscription *subscription = channel == NULL ? NULL : find_subscription(client, channel);
  if (subscription != NULL)
    unsubscribe(registry, subscription);
}

void registry_remove(struct registry *registry, struct client *client) {
  while (client->subscriptions != NULL)
    unsubscribe(registry, client->subscriptions);
  struct client **link = &registry->handles[handle_hash(client->handle) & registry->handles_mask];
  while (*link != client)
    link = &(*link)->next;
  *link = client->next;
}
