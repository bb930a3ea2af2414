"""paho-mqtt in MQTT 3.1, 3.1.1 and 5.0 against a host: arguments are its address and port."""

import json
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = sys.argv[1], int(sys.argv[2])
VERSIONS = [mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5]
DEADLINE = 20


class Client:
    """A client that is connected, whose callbacks fill queues."""

    def __init__(self, name, version, clean=True, will=None):
        arguments = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version, **arguments
        )
        self.version = version
        self.messages, self.connected, self.subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.disconnected = queue.Queue()
        self.client.on_connect = lambda _c, _u, flags, reason, _p: self.connected.put((flags, reason))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(reasons)
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self.disconnected.put(reason)
        if will:
            self.client.will_set("will", will, qos=1)
        options = {}
        if version == mqtt.MQTTv5:
            options["clean_start"] = clean
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = 0 if clean else 600
        self.client.connect(HOST, PORT, 60, **options)
        self.client.loop_start()
        flags, reason = self.connected.get(timeout=DEADLINE)
        assert reason == 0, reason
        self.session_present = flags.session_present

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        return [reason.value for reason in self.subscribed.get(timeout=DEADLINE)]

    def publish(self, topic, payload, qos, properties=None):
        self.client.publish(topic, payload, qos, properties=properties).wait_for_publish(DEADLINE)

    def message(self):
        return self.messages.get(timeout=DEADLINE)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def talk(one, other):
    publisher, subscriber = Client("publisher", one), Client("subscriber", other)
    assert subscriber.subscribe("talk/+", 2) == [2]
    sent = [publisher.client.publish("talk/%d" % (number % 7), str(number), number % 3) for number in range(100)]
    for one_sent in sent:
        one_sent.wait_for_publish(DEADLINE)
    got = [subscriber.message() for _ in range(100)]
    for qos in range(3):
        expected = [number for number in range(100) if number % 3 == qos]
        assert [int(message.payload) for message in got if message.qos == qos] == expected, (one, other, qos)
    publisher.close()
    subscriber.close()


def come_back(version):
    away = Client("away", version, clean=False)
    away.subscribe("away", 2)
    away.close()
    publisher = Client("publisher", version)
    for number in range(20):
        publisher.publish("away", str(number), 2)
    away = Client("away", version, clean=False)
    assert [int(away.message().payload) for _ in range(20)] == list(range(20))
    away.close()
    Client("away", version).close()
    publisher.close()


def will(version):
    watcher = Client("watcher", version)
    watcher.subscribe("will", 1)
    lost = Client("lost", version, will="gone")
    # Without DISCONNECT.
    lost.client.loop_stop()
    lost.client._sock_close()
    message = watcher.message()
    assert (message.topic, message.payload, message.qos) == ("will", b"gone", 1)
    watcher.close()


def ask(version):
    client = Client("asker", version)
    request = {"controller": "realtime", "action": "subscribe", "index": "i", "collection": "c", "body": {}}
    client.publish("Kuzzle/request", json.dumps(request), 1)
    message = client.message()
    assert message.topic == "Kuzzle/response"
    channel = json.loads(message.payload)["result"]["channel"]
    assert client.subscribe(channel, 0) == [0]
    request = {"controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {"a": 1}}
    client.publish("Kuzzle/request", json.dumps(request), 2)
    notification = client.message()
    assert notification.topic == channel
    assert json.loads(notification.payload)["result"]["_source"]["a"] == 1
    assert json.loads(client.message().payload)["result"] == {"published": True}
    client.close()


def version_5():
    client = Client("newer", mqtt.MQTTv5)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "answers/here"
    properties.CorrelationData = b"\x00\xff"
    client.publish("Kuzzle/request", '{"controller":"server","action":"now"}', 1, properties)
    answer = client.message()
    assert (answer.topic, answer.properties.CorrelationData) == ("answers/here", b"\x00\xff")
    # Options of a subscription, user properties, topic aliases.
    client.client.subscribe([("own", SubscribeOptions(qos=1, noLocal=True)), ("Kuzzle/request", SubscribeOptions())])
    assert [reason.value for reason in client.subscribed.get(timeout=DEADLINE)] == [1, 0x87]
    other = Client("other", mqtt.MQTTv5)
    for number in range(3):
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("b", str(number)), ("a", "x")]
        properties.TopicAlias = 1
        other.publish("own" if number == 0 else "", "other", 1, properties)
        message = client.message()
        assert message.topic == "own" and message.properties.UserProperty == [("b", str(number)), ("a", "x")]
    client.publish("own", "mine", 1)
    # Another connection takes the client id.
    Client("newer", mqtt.MQTTv5).close()
    assert client.disconnected.get(timeout=DEADLINE).value == 0x8E
    client.client.loop_stop()
    other.close()


for one in VERSIONS:
    for other in VERSIONS:
        talk(one, other)
    come_back(one)
    will(one)
    ask(one)
version_5()
print("done")
