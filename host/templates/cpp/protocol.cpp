// @NAME@: a Kuzzle network protocol in C++. A datagram is a request of the Kuzzle
// API, as JSON; the answer and notifications go back as datagrams.
//
// Everything between the host and a protocol stands in kuzzle/protocol.h: what
// each function does, which threads may call it, who owns which memory. Change
// what is about datagrams into your own network layer, and keep the rest.
//
// No exception may leave the library, it would end the host: the functions at the
// end of this file catch all of them.

#include "kuzzle/protocol.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

// The host reads this from the file, before it runs any code of it: the version
// of the ABI and the layout of its structs, as your compiler sees them.
KUZZLE_PROTOCOL_NOTE();

namespace {

constexpr std::size_t most_clients = 1000;
constexpr std::size_t datagram = 65507;  // the most that a datagram carries, in bytes

std::string text_of(kuzzle_str text) { return text.len == 0 ? std::string() : std::string(text.ptr, text.len); }

kuzzle_str str_of(const std::string &text) { return {text.data(), text.size()}; }

// `text` as the inside of a JSON string.
std::string escaped(kuzzle_str text) {
  std::string out;
  for (std::size_t i = 0; i < text.len; i++) {
    const auto byte = static_cast<unsigned char>(text.ptr[i]);
    if (byte == '"' || byte == '\\') {
      out += {'\\', static_cast<char>(byte)};
    } else if (byte < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", byte);
      out += code;
    } else {
      out += static_cast<char>(byte);
    }
  }
  return out;
}

// The parts, one after the other. They are one JSON object, and with `room` get
// the last member "room", as Kuzzle's clients expect it.
std::string joined(const kuzzle_buf *parts, std::size_t parts_len, const kuzzle_str *room) {
  std::string document;
  for (std::size_t i = 0; i < parts_len; i++)
    document.append(reinterpret_cast<const char *>(parts[i].data), parts[i].len);
  if (room != nullptr && !document.empty()) {
    document.pop_back();  // the '}'
    document += ",\"room\":\"" + escaped(*room) + "\"}";
  }
  return document;
}

// A descriptor that is closed with this value.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {
    if (number < 0 || fcntl(number, F_SETFD, FD_CLOEXEC) != 0 || fcntl(number, F_SETFL, O_NONBLOCK) != 0)
      throw std::system_error(errno, std::generic_category(), "cannot open a descriptor");
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

struct Pipe {
  std::unique_ptr<Descriptor> out, in;
  Pipe() {
    int ends[2];
    if (pipe(ends) != 0)
      throw std::system_error(errno, std::generic_category(), "cannot create a pipe");
    out = std::make_unique<Descriptor>(ends[0]);
    in = std::make_unique<Descriptor>(ends[1]);
  }
};

struct Client {
  uint64_t connection;
  sockaddr_in address;
  std::unordered_set<std::string> channels;
  uint64_t heard;  // the number of its last datagram
};

uint64_t key_of(const sockaddr_in &address) {
  return static_cast<uint64_t>(address.sin_addr.s_addr) << 16 | address.sin_port;
}

}  // namespace

// The protocol's own state, which the host passes back to each function.
struct kuzzle_protocol {
  kuzzle_protocol(const kuzzle_entry_point *entry_point, const kuzzle_context *context)
      : entry_point_(entry_point), context_(context), socket_(std::make_unique<Descriptor>(::socket(AF_INET, SOCK_DGRAM, 0))) {
    bind();
  }

  void start() { thread_ = std::thread(&kuzzle_protocol::serve, this); }

  // No thread and no descriptor may be left. This object stays, as a call that
  // had begun may still use it.
  void shutdown() {
    if (thread_.joinable() && ::write(wake_->in->number(), "", 1) == 1)
      thread_.join();
    const std::lock_guard<std::mutex> locked(lock_);
    socket_.reset();
    wake_.reset();
    clients_.clear();
    by_connection_.clear();
  }

  void broadcast(const kuzzle_broadcast &message) {
    for (std::size_t i = 0; i < message.channels_len; i++) {
      const std::string channel = text_of(message.channels[i]);
      std::string document;  // made once, and only if somebody listens
      const std::lock_guard<std::mutex> locked(lock_);
      for (const auto &[key, client] : clients_) {
        if (client.channels.count(channel) == 0)
          continue;
        if (document.empty())
          document = joined(message.parts, message.parts_len, &message.channels[i]);
        send_locked(client.address, document);
      }
    }
  }

  void notify(const kuzzle_notification &message) {
    const std::lock_guard<std::mutex> locked(lock_);
    const Client *client = find(message.connection);
    // Unknown ones are ignored: it may have gone meanwhile.
    for (std::size_t i = 0; client != nullptr && i < message.channels_len; i++)
      send_locked(client->address, joined(message.parts, message.parts_len, &message.channels[i]));
  }

  int32_t join_channel(uint64_t connection, kuzzle_str channel) {
    const std::lock_guard<std::mutex> locked(lock_);
    Client *client = find(connection);
    if (client == nullptr)
      return KUZZLE_BAD_HANDLE;
    client->channels.insert(text_of(channel));
    return KUZZLE_OK;
  }

  void leave_channel(uint64_t connection, kuzzle_str channel) {
    const std::lock_guard<std::mutex> locked(lock_);
    if (Client *client = find(connection))
      client->channels.erase(text_of(channel));
  }

  // Close this client, then tell the host that it has gone.
  void disconnect(uint64_t connection) {
    if (forget(connection))
      entry_point_->remove_connection(entry_point_, connection);
  }

 private:
  // What the answer needs to find its way. It lives until the completion, which
  // may come later than `execute` returns.
  struct Pending {
    kuzzle_protocol *self;
    sockaddr_in from;
  };

  // Opens the socket on the address that the options name. Their bounds stand in
  // manifest.json, so the host has refused most mistakes before.
  void bind() {
    int64_t port = @PORT@;
    kuzzle_str host = KUZZLE_STR("127.0.0.1");
    int32_t status = context_->option_i64(context_, KUZZLE_STR("port"), &port);
    if ((status != KUZZLE_OK && status != KUZZLE_NOT_FOUND) || port < 0 || port > 65535)
      throw std::runtime_error("The option \"port\" must be an integer from 0 to 65535.");
    status = context_->option_string(context_, KUZZLE_STR("host"), &host);
    if (status == KUZZLE_NOT_FOUND)  // that of the whole server
      status = context_->option_string(context_, KUZZLE_STR("/host"), &host);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    const std::string name = text_of(host);
    if ((status != KUZZLE_OK && status != KUZZLE_NOT_FOUND) || inet_pton(AF_INET, name.c_str(), &address.sin_addr) != 1)
      throw std::runtime_error("The option \"host\" must be an IPv4 address.");
    socklen_t len = sizeof address;
    if (::bind(socket_->number(), reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 ||
        getsockname(socket_->number(), reinterpret_cast<sockaddr *>(&address), &len) != 0)
      throw std::system_error(errno, std::generic_category(),
                              "Cannot bind UDP " + name + ":" + std::to_string(port) +
                                  ". Change the option \"host\" or \"port\"");
    // What is really bound: the port may have been 0.
    const std::string bound = name + ":" + std::to_string(ntohs(address.sin_port));
    entry_point_->report_listener(entry_point_, KUZZLE_STR("udp"), str_of(bound));
  }

  // The one thread of this protocol. `execute` must not be called in a callback of
  // the host: here, at the top of a loop, is the right place.
  void serve() noexcept try {
    std::vector<char> buffer(datagram + 1);
    pollfd wait[2] = {{socket_->number(), POLLIN, 0}, {wake_->out->number(), POLLIN, 0}};
    while ((poll(wait, 2, -1) > 0 || errno == EINTR) && wait[1].revents == 0) {
      sockaddr_in from{};
      socklen_t from_len = sizeof from;
      const ssize_t len =
          recvfrom(wait[0].fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr *>(&from), &from_len);
      if (len >= 0)
        request(from, buffer.data(), static_cast<std::size_t>(len));
    }
  } catch (const std::exception &error) {
    const std::string text = std::string("the server thread has ended: ") + error.what();
    context_->log(context_, KUZZLE_LOG_ERROR, KUZZLE_STR(""), str_of(text));
  }

  void request(const sockaddr_in &from, const char *bytes, std::size_t len) {
    uint64_t removed = 0;
    const uint64_t connection = client_at(from, removed);
    if (removed != 0)
      entry_point_->remove_connection(entry_point_, removed);
    if (connection == 0)
      return send_error(from, 503, KUZZLE_STR("No more clients are served now."), KUZZLE_STR(""));
    auto pending = std::make_unique<Pending>(Pending{this, from});
    const kuzzle_buf part = {reinterpret_cast<const uint8_t *>(bytes), len, nullptr, nullptr};  // only borrowed
    kuzzle_request request{};
    request.struct_size = sizeof request;
    request.connection = connection;
    request.parts = &part;
    request.parts_len = 1;
    kuzzle_error error{};
    error.struct_size = sizeof error;
    const int32_t status = entry_point_->execute(entry_point_, &request, {answer, pending.get()}, &error);
    if (status == KUZZLE_OK) {
      pending.release();  // `answer` has freed it, or will: it is called exactly once
      return;
    }
    // It was not accepted: there will be no answer but ours.
    const bool is_theirs = status == KUZZLE_INVALID_JSON || status == KUZZLE_INVALID_REQUEST;
    send_error(from, is_theirs ? 400 : 503, error.message, error.request_id);
    if (error.release != nullptr)
      error.release(&error);
    if (status == KUZZLE_BAD_HANDLE)  // removed by the host: the next datagram makes a new one
      forget(connection);
  }

  static int32_t answer(void *context, const kuzzle_response *response) noexcept try {
    const std::unique_ptr<Pending> pending(static_cast<Pending *>(context));
    // Raw answers are any bytes, and sent as they are.
    const kuzzle_str *room = response->raw ? nullptr : &response->request_id;
    const std::string document = joined(response->parts, response->parts_len, room);
    if (document.size() > datagram) {
      pending->self->send_error(pending->from, 413, KUZZLE_STR("The answer does not fit into a datagram."),
                                response->request_id);
    } else {
      const std::lock_guard<std::mutex> locked(pending->self->lock_);
      pending->self->send_locked(pending->from, document);
    }
    return KUZZLE_OK;
  } catch (...) {
    return KUZZLE_FAILED;
  }

  // Answers a request that the API has not seen.
  void send_error(const sockaddr_in &to, int status, kuzzle_str message, kuzzle_str request_id) {
    const std::string number = std::to_string(status), id = escaped(request_id);
    const std::string document = "{\"status\":" + number +
                                 ",\"error\":{\"id\":\"network.@NAME@.unexpected_error\",\"status\":" + number +
                                 ",\"message\":\"" + escaped(message) + "\"},\"requestId\":\"" + id +
                                 "\",\"result\":null,\"room\":\"" + id + "\"}";
    const std::lock_guard<std::mutex> locked(lock_);
    send_locked(to, document);
  }

  // Sends without waiting, as the socket says: a datagram for which there is no
  // room is lost, and one that is too long.
  void send_locked(const sockaddr_in &to, const std::string &document) {
    if (socket_ != nullptr)
      (void)::sendto(socket_->number(), document.data(), document.size(), 0, reinterpret_cast<const sockaddr *>(&to),
                     sizeof to);
  }

  Client *find(uint64_t connection) {
    const auto found = by_connection_.find(connection);
    return found == by_connection_.end() ? nullptr : &clients_.at(found->second);
  }

  bool forget(uint64_t connection) {
    const std::lock_guard<std::mutex> locked(lock_);
    const auto found = by_connection_.find(connection);
    if (found == by_connection_.end())
      return false;
    clients_.erase(found->second);
    by_connection_.erase(found);
    return true;
  }

  // The client at an address, declared to the host if it is new. Datagrams have no
  // end of a connection, so the one that was silent longest makes room: its handle
  // comes back in `removed`, for remove_connection without the lock.
  uint64_t client_at(const sockaddr_in &from, uint64_t &removed) {
    const std::lock_guard<std::mutex> locked(lock_);
    const uint64_t key = key_of(from);
    const auto known = clients_.find(key);
    if (known != clients_.end()) {
      known->second.heard = ++datagrams_;
      return known->second.connection;
    }
    if (clients_.size() >= most_clients) {
      auto oldest = clients_.begin();
      for (auto other = clients_.begin(); other != clients_.end(); ++other)
        if (other->second.heard < oldest->second.heard)
          oldest = other;
      removed = oldest->second.connection;
      by_connection_.erase(removed);
      clients_.erase(oldest);
    }
    char text[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &from.sin_addr, text, sizeof text);
    const kuzzle_str ip = {text, std::strlen(text)};
    kuzzle_connection_info info{};
    info.struct_size = sizeof info;
    info.ips = &ip;
    info.ips_len = 1;
    uint64_t connection = 0;
    // The lock is held across this call, so that no `disconnect` comes before the
    // handle is stored.
    if (entry_point_->new_connection(entry_point_, &info, &connection, nullptr, nullptr) != KUZZLE_OK)
      return 0;
    clients_.emplace(key, Client{connection, from, {}, ++datagrams_});
    by_connection_.emplace(connection, key);
    return connection;
  }

  const kuzzle_entry_point *entry_point_;
  const kuzzle_context *context_;
  std::unique_ptr<Pipe> wake_ = std::make_unique<Pipe>();  // what is written there ends the thread
  std::thread thread_;

  // Guards what follows. It is never held while the host is called, except for
  // new_connection: during `execute` the host calls back into `broadcast`,
  // `notify`, `join_channel` and the others, on the same thread.
  std::mutex lock_;
  std::unique_ptr<Descriptor> socket_;
  uint64_t datagrams_ = 0;
  std::unordered_map<uint64_t, Client> clients_;
  std::unordered_map<uint64_t, uint64_t> by_connection_;
};

namespace {

void release_error(kuzzle_error *error) noexcept {
  const uint32_t struct_size = error->struct_size;
  delete static_cast<std::string *>(error->owner);
  *error = kuzzle_error{};
  error->struct_size = struct_size;
}

// Tells the host why: the administrator reads this text. It lives until the host
// calls `release`.
int32_t fail(kuzzle_error *error, const char *text) noexcept try {
  if (error != nullptr && error->struct_size >= sizeof *error) {
    auto *owner = new std::string(text);
    error->code = KUZZLE_FAILED;
    error->message = str_of(*owner);
    error->owner = owner;
    error->release = release_error;
  }
  return KUZZLE_FAILED;
} catch (...) {
  return KUZZLE_FAILED;
}

// Runs what may throw.
template <typename Function>
int32_t guarded(kuzzle_error *error, Function function) noexcept try {
  return function();
} catch (const std::exception &caught) {
  return fail(error, caught.what());
} catch (...) {
  return fail(error, "an unknown exception");
}

}  // namespace

// The exports: kuzzle/protocol.h says when each is called, and on which threads.

// Once, before all else. After a failure nothing of the protocol may be left.
int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point, const kuzzle_context *context,
                             kuzzle_protocol **out, kuzzle_error *error) KUZZLE_NOEXCEPT {
  return guarded(error, [&] {
    *out = new kuzzle_protocol(entry_point, context);
    return KUZZLE_OK;
  });
}

// Once, when every protocol's init has succeeded: clients are served from here.
int32_t kuzzle_protocol_start(kuzzle_protocol *self, kuzzle_error *error) KUZZLE_NOEXCEPT {
  return guarded(error, [&] { return self->start(), KUZZLE_OK; });
}

// Once, at the end.
int32_t kuzzle_protocol_shutdown(kuzzle_protocol *self, uint32_t) KUZZLE_NOEXCEPT {
  return guarded(nullptr, [&] { return self->shutdown(), KUZZLE_OK; });
}

// To everybody who has joined one of the channels.
int32_t kuzzle_protocol_broadcast(kuzzle_protocol *self, const kuzzle_broadcast *message) KUZZLE_NOEXCEPT {
  return guarded(nullptr, [&] { return self->broadcast(*message), KUZZLE_OK; });
}

// To one client.
int32_t kuzzle_protocol_notify(kuzzle_protocol *self, const kuzzle_notification *message) KUZZLE_NOEXCEPT {
  return guarded(nullptr, [&] { return self->notify(*message), KUZZLE_OK; });
}

// Anything but KUZZLE_OK undoes the subscription.
int32_t kuzzle_protocol_join_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) KUZZLE_NOEXCEPT {
  return guarded(nullptr, [&] { return self->join_channel(connection, channel); });
}

int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) KUZZLE_NOEXCEPT {
  return guarded(nullptr, [&] { return self->leave_channel(connection, channel), KUZZLE_OK; });
}

int32_t kuzzle_protocol_disconnect(kuzzle_protocol *self, const kuzzle_disconnect *message) KUZZLE_NOEXCEPT {
  return guarded(nullptr, [&] { return self->disconnect(message->connection), KUZZLE_OK; });
}
