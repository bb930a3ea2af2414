"""Drives libline.so inside test/fake_host. `make test`, or `make test TESTS=-v`.

Every test ends with the shutdown of the host, which fails unless every retain
has its release, every connection its removal, every request its completion.
WRAPPER="valgrind -q --leak-check=full --error-exitcode=9" runs the host in valgrind.
"""

import json
import os
import resource
import shlex
import socket
import struct
import subprocess
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.join(HERE, "..", "libline.so")
COMMAND = shlex.split(os.environ.get("WRAPPER", "")) + [os.path.join(HERE, "fake_host"), LIBRARY]
TIMEOUT = 60


class Host:
    def __init__(self, options, files=None):
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None
        arguments = [f"{key}={value}" for key, value in {"port": 0, **options}.items()]
        self.process = subprocess.Popen(
            COMMAND + arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if options.get("fails") else subprocess.DEVNULL, preexec_fn=limit)
        self.address = self.process.stdout.readline().decode().removeprefix("listening ").strip()

    def client(self, **options):
        return Client(self.address, **options)

    def command(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def broadcast(self, channel, size=10, count=1):
        self.command(f"broadcast {channel} {size} {count}")
        assert self.process.stdout.readline() == b"done\n"

    def stats(self):
        self.command("stats")
        return json.loads(self.process.stdout.readline())

    def wait_for(self, condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition(self.stats()):
            assert time.monotonic() < deadline, self.stats()
            time.sleep(0.01)

    def quit(self):
        self.command("quit")
        rest = self.process.communicate(timeout=TIMEOUT)[0]
        assert self.process.returncode == 0, (self.process.returncode, rest)


class Client:
    def __init__(self, address, receive_buffer=None):
        host, port = address.rsplit(":", 1)
        family = socket.AF_INET6 if "[" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect((host.strip("[]"), int(port)))
        self.file = self.socket.makefile("rb")

    def send(self, *documents):
        self.socket.sendall(b"".join(json.dumps(d, separators=(",", ":")).encode() + b"\n" for d in documents))

    def line(self):
        """The next line without its line feed; None at the end."""
        line = self.file.readline()
        assert line == b"" or line.endswith(b"\n"), line
        return line[:-1] if line else None

    def read(self):
        line = self.line()
        return None if line is None else json.loads(line)

    def ask(self, document):
        self.send(document)
        return self.read()

    def reset(self):
        """Closes the way a crashed machine does: with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()

    def close(self):
        self.file.close()
        self.socket.close()


class LineTest(unittest.TestCase):
    def host(self, **options):
        host = Host(options)
        self.addCleanup(host.quit)
        return host

    def fails(self, **options):
        host = Host({**options, "fails": "1"})
        errors = host.process.communicate(timeout=TIMEOUT)[1].decode()
        self.assertEqual(host.process.returncode, 1)
        return errors

    # Options

    def test_refuses_wrong_options_by_name(self):
        self.assertIn('Option "port" of the line protocol must be an integer from 0 to 65535', self.fails(port=65536))
        self.assertIn('"port"', self.fails(port="x"))
        self.assertIn('"maxClients"', self.fails(maxClients=0))
        self.assertIn('"maxLine"', self.fails(maxLine=-1))
        self.assertIn('"maxQueuedBytes"', self.fails(maxQueuedBytes=1))
        self.assertIn('"host"', self.fails(host=""))
        self.assertIn('Cannot resolve the host "no such host"', self.fails(host="no such host"))

    def test_tells_which_address_is_in_use(self):
        port = self.host().address.rsplit(":", 1)[1]
        self.assertIn(f"Cannot listen on 127.0.0.1, TCP port {port}: Address already in use", self.fails(port=port))

    def test_listens_on_the_host_of_the_server_or_its_own(self):
        self.assertTrue(self.host(**{"/host": "127.0.0.2"}).address.startswith("127.0.0.2:"))
        self.assertTrue(self.host(**{"/host": "127.0.0.2", "host": "127.0.0.3"}).address.startswith("127.0.0.3:"))
        self.assertRegex(self.host(host="localhost").address, r"^(127\.0\.0\.1|\[::1\]):\d+$")

    @unittest.skipUnless(os.path.exists("/proc/net/if_inet6") and open("/proc/net/if_inet6").read(), "no IPv6")
    def test_listens_on_ipv6(self):
        host = self.host(host="::1")
        self.assertRegex(host.address, r"^\[::1\]:\d+$")
        self.assertEqual(host.client().ask({"requestId": "a"})["room"], "a")

    # Requests and answers

    def test_appends_the_room_as_last_member(self):
        client = self.host().client()
        client.send({"requestId": "r1"})
        self.assertEqual(client.line(), b'{"result":{"requestId":"r1"},"status":200,"room":"r1"}')
        self.assertEqual(client.ask({"a": 1})["room"], 'generated "id"')
        client.send({"empty": 1, "requestId": "r2"})
        self.assertEqual(client.line(), b'{ "room":"r2"}')

    def test_sends_raw_answers_as_they_are_unless_they_have_several_lines(self):
        client = self.host().client()
        client.send({"raw": "plain text"}, {"raw": "lines"}, {"raw": ""})
        self.assertEqual(client.line(), b"plain text")
        self.assertEqual(client.read(), '{\n\t"a": "b"\n}')
        self.assertEqual(client.line(), b"")

    def test_reads_partial_lines_several_lines_and_line_ends_of_windows(self):
        client = self.host().client()
        for byte in b'\r\n\n{"requestId":"a"}\r\n':
            client.socket.sendall(bytes([byte]))
        self.assertEqual(client.read(), {"result": {"requestId": "a"}, "status": 200, "room": "a"})
        client.socket.sendall(b'{"requestId":"b"}\n\n{"requestId":"c"}\r\n{"requestId":')
        self.assertEqual([client.read()["room"] for _ in "bc"], ["b", "c"])
        client.socket.sendall(b'"d"}\n')
        self.assertEqual(client.read()["room"], "d")

    def test_answers_errors_in_the_shape_of_kuzzle(self):
        host = self.host()
        client = host.client()
        client.socket.sendall(b"nonsense\n")
        self.assertEqual(client.read(), {
            "action": None, "controller": None, "requestId": None, "result": None, "status": 400, "volatile": None,
            "error": {"id": "network.line.unexpected_error", "status": 400,
                      "message": 'Caught an unexpected line error: unexpected "token"\n\x01 \\'}})
        answer = client.ask({"invalid": 1, "requestId": "r1"})
        self.assertEqual((answer["requestId"], answer["room"], answer["status"]), ("r1", "r1", 400))
        self.assertEqual(list(answer)[-1], "room")
        self.assertEqual(client.ask({"requestId": "r2"})["room"], "r2")
        self.assertEqual(host.stats()["logged"], 2)

    def test_answers_pipelined_requests_in_order(self):
        host = self.host()
        other = host.client()
        for kind in ("now", "async"):
            client = host.client()
            documents = [{"requestId": str(i), kind: 1} for i in range(10000)]
            sender = threading.Thread(target=client.send, args=documents)
            sender.start()
            self.assertEqual(client.read()["room"], "0")
            self.assertEqual(other.ask({"requestId": "x"})["room"], "x")
            self.assertEqual([client.read()["room"] for _ in range(9999)], [str(i) for i in range(1, 10000)])
            sender.join()

    def test_answers_everything_to_a_client_that_has_ended_its_direction(self):
        client = self.host().client()
        client.send(*[{"requestId": str(i), "async": 1} for i in range(500)])
        client.socket.sendall(b'{"requestId":"half a line"}')
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual([client.read()["room"] for _ in range(500)], [str(i) for i in range(500)])
        self.assertIsNone(client.read())

    def test_sends_an_answer_that_is_larger_than_the_queue(self):
        client = self.host(maxQueuedBytes=65536).client()
        self.assertEqual(len(client.ask({"big": 3000000})["fill"]), 3000000)

    def test_does_not_read_a_client_that_does_not_read(self):
        host = self.host(maxQueuedBytes=300000)
        client = host.client(receive_buffer=4096)
        count = 600
        sender = threading.Thread(target=client.send, args=[{"big": 100000, "requestId": str(i)} for i in range(count)])
        sender.start()
        time.sleep(0.3)
        self.assertLess(host.stats()["executed"], count)
        self.assertEqual([client.read()["room"] for _ in range(count)], [str(i) for i in range(count)])
        sender.join()

    # Limits

    def test_skips_lines_that_are_too_long(self):
        client = self.host(maxLine=100).client()
        longest = b'{"requestId":"a","x":"' + b"x" * 76 + b'"}'
        self.assertEqual(len(longest), 100)
        for end in (b"\n", b"\r\n"):
            client.socket.sendall(longest + end)
            self.assertEqual(client.read()["room"], "a")
            for line in (longest + b" ", longest * 2, longest * 50000):
                client.socket.sendall(line + end + b'{"requestId":"b"}' + end)
                error = client.read()
                self.assertEqual((error["status"], error["error"]["id"]), (413, "network.line.request_too_large"))
                self.assertEqual(client.read()["room"], "b")

    def test_reads_lines_up_to_the_default_limit(self):
        client = self.host().client()
        for size in (16300, 16384, 40000, 1048000):
            self.assertEqual(client.ask({"requestId": "a", "x": "x" * size})["result"]["x"], "x" * size)

    def test_refuses_more_clients_than_allowed(self):
        host = self.host(maxClients=2)
        clients = [host.client(), host.client()]
        for client in clients:
            self.assertEqual(client.ask({"requestId": "a"})["room"], "a")
        third = host.client()
        self.assertEqual(third.read()["error"]["id"], "network.line.too_many_clients")
        self.assertIsNone(third.read())
        clients[0].close()
        host.wait_for(lambda stats: stats["removed"] == 1)
        self.assertEqual(host.client().ask({"requestId": "b"})["room"], "b")

    @unittest.skipIf("WRAPPER" in os.environ, "valgrind needs more descriptors itself")
    def test_waits_when_the_process_is_out_of_descriptors(self):
        host = Host({}, files=16)
        self.addCleanup(host.quit)
        clients = [host.client() for _ in range(20)]
        for client in clients:
            client.send({"requestId": "a"})
        for client in clients:  # the late ones are served when the early ones have gone
            self.assertEqual(client.read()["room"], "a")
            client.close()

    # Real-time

    def test_notifies_members_before_the_answer_of_the_publisher(self):
        host = self.host()
        first, second = host.client(), host.client()
        first.ask({"subscribe": "ch"})
        second.ask({"subscribe": "ch"})
        second.ask({"subscribe": "ch"})
        first.send({"publish": "ch", "requestId": "p"})
        notification = {"n": 0, "fill": "x" * 10, "room": "ch"}
        self.assertEqual(first.read(), notification)
        self.assertEqual(first.read()["room"], "p")
        self.assertEqual(second.read(), notification)
        second.ask({"unsubscribe": "ch"})
        second.ask({"unsubscribe": "ch"})
        host.broadcast("ch", 5)
        self.assertEqual(first.read()["fill"], "xxxxx")
        self.assertEqual(second.ask({"requestId": "nothing else"})["room"], "nothing else")

    def test_notify_names_every_channel_and_fills_empty_payloads(self):
        client = self.host().client()
        client.send({"notify": "a\\tb"})
        self.assertEqual(client.line(), b'{"room":"a\\\\\\\\tb"}')
        self.assertEqual(client.line(), b'{"room":"second"}')

    def test_keeps_many_channels_apart(self):
        client = self.host().client()
        client.send(*[{"subscribe": f"channel {i}", "requestId": "s"} for i in range(2000)])
        for _ in range(2000):
            client.read()
        for i in (0, 999, 1999):
            client.send({"publish": f"channel {i}"})
            self.assertEqual(client.read()["room"], f"channel {i}")
            client.read()

    def test_drops_slow_readers_while_others_get_everything(self):
        host = self.host(maxQueuedBytes=1000000)
        slow = [host.client(receive_buffer=4096) for _ in range(5)]
        fast = [host.client() for _ in range(3)]
        for client in slow + fast:
            client.ask({"subscribe": "ch"})
        for _ in range(60):
            host.broadcast("ch", 10000, 20)
            for client in fast:
                self.assertEqual([client.read()["n"] for _ in range(20)], list(range(20)))
        host.wait_for(lambda stats: stats["removed"] == 5)
        self.assertEqual(fast[0].ask({"requestId": "a"})["room"], "a")

    def test_drops_a_client_inside_its_own_request(self):
        host = self.host(maxQueuedBytes=200000)
        flooded = [host.client(receive_buffer=4096) for _ in range(4)]
        for client in flooded:
            client.ask({"subscribe": "ch"})
        flooded[0].send({"publish": "ch", "size": 10000, "count": 2000}, {"requestId": "never executed"})
        host.wait_for(lambda stats: stats["removed"] == 4)
        self.assertEqual(host.stats()["executed"], 5)
        self.assertEqual(host.client().ask({"requestId": "a"})["room"], "a")

    # Ends of connections

    def test_disconnect_sends_what_waits_and_closes(self):
        host = self.host()
        client = host.client()
        client.send({"disconnect": 1, "requestId": "a"}, {"requestId": "not executed"})
        self.assertEqual(client.read()["room"], "a")
        self.assertIsNone(client.read())
        host.wait_for(lambda stats: stats["removed"] == 1)

    def test_disconnect_does_not_wait_for_ever(self):
        host = self.host()
        client = host.client(receive_buffer=4096)
        client.send({"subscribe": "ch"}, {"big": 6000000}, {"disconnect": 1})
        time.sleep(0.2)
        host.command("disconnect")
        host.wait_for(lambda stats: stats["removed"] == 1)

    def test_closes_a_client_whose_handle_is_stale(self):
        client = self.host().client()
        client.send({"requestId": "a"}, {"stale": 1})
        self.assertEqual(client.read()["room"], "a")
        self.assertIsNone(client.read())

    def test_survives_clients_that_vanish(self):
        host = self.host()
        for i in range(50):
            client = host.client()
            client.ask({"subscribe": "ch"})
            client.send(*[{"requestId": "x", "async": 1} for _ in range(50)])
            client.socket.sendall(b'{"half')
            client.reset() if i % 2 else client.close()
            host.broadcast("ch", 100, 10)
        host.wait_for(lambda stats: stats["removed"] == 50)

    def test_survives_everything_at_once(self):
        host = self.host(maxQueuedBytes=50000, maxClients=12)
        stop = threading.Event()

        def live(number):
            while not stop.is_set():
                client = host.client(receive_buffer=4096)
                try:
                    for i in range(20):
                        client.send({"subscribe": f"c{i % 3}", "requestId": "s"},
                                    {"publish": f"c{number % 3}", "size": 2000, "count": 3},
                                    {"unsubscribe": f"c{i % 2}", "async": 1}, {"invalid": 1})
                        if number % 4:
                            client.line()
                    client.reset() if number % 2 else client.close()
                except OSError:
                    client.close()

        threads = [threading.Thread(target=live, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            host.broadcast("c0", 1000, 50)
            host.broadcast("c1", 10, 50)
            host.command("disconnect")
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        host.wait_for(lambda stats: stats["removed"] == stats["opened"])

    def test_shuts_down_with_clients_connected(self):
        host = Host({})
        clients = [host.client() for _ in range(20)]
        for client in clients:
            client.ask({"subscribe": "ch"})
        host.broadcast("ch", 100000, 50)
        clients[0].send(*[{"async": 1} for _ in range(1000)])
        started = time.monotonic()
        host.quit()
        self.assertLess(time.monotonic() - started, 4)


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # sockets are left to the garbage collector
