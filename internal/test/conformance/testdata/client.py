# A client on Eclipse paho for Python. It reads a plan from its standard input:
# connect, subscribe, publish, and stay if asked. What it receives it prints, one
# line of JSON each.
import json
import signal
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

plan = json.load(sys.stdin)
five = plan["version"] == 5
connected, subscribed, ended = threading.Event(), threading.Event(), threading.Event()


def properties(kind, source, names):
    if not five:
        return None
    p = Properties(kind)
    for ours, theirs in names.items():
        if source.get(ours):
            value = source[ours]
            setattr(p, theirs, value.encode() if ours == "correlation" else value)
    if source.get("user"):
        p.UserProperty = ("k", source["user"])
    return p


MESSAGE = {
    "contentType": "ContentType",
    "responseTopic": "ResponseTopic",
    "correlation": "CorrelationData",
    "expiry": "MessageExpiryInterval",
}
SESSION = {"sessionExpiry": "SessionExpiryInterval", "receiveMaximum": "ReceiveMaximum"}


def on_connect(_client, _userdata, _flags, code, *_):
    if code != 0:
        sys.exit("refused: %s" % code)
    connected.set()


def on_message(_client, _userdata, m):
    p = getattr(m, "properties", None)
    line = {"topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain)}
    if p is not None:
        line["user"] = dict(getattr(p, "UserProperty", [])).get("k", "")
        line["correlation"] = getattr(p, "CorrelationData", b"").decode()
        line["contentType"] = getattr(p, "ContentType", "")
    print(json.dumps(line), flush=True)


def client():
    options = {"client_id": plan["id"], "protocol": mqtt.MQTTv5 if five else mqtt.MQTTv311}
    if not five:
        options["clean_session"] = plan["clean"]
    if hasattr(mqtt, "CallbackAPIVersion"):  # paho 2
        options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    return mqtt.Client(**options)


c = client()
c.on_connect, c.on_message = on_connect, on_message
c.on_subscribe = lambda *_: subscribed.set()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
if plan.get("will"):
    w = plan["will"]
    c.will_set(w["topic"], w["payload"], w["qos"], w["retain"], properties(PacketTypes.WILLMESSAGE, w, MESSAGE))
session = {}
if five:
    session = {"clean_start": plan["clean"], "properties": properties(PacketTypes.CONNECT, plan, SESSION)}
c.connect(plan["host"], plan["port"], 60, **session)
c.loop_start()
connected.wait()
if plan.get("subscribe"):
    c.subscribe([(s["filter"], mqtt.SubscribeOptions(qos=s["qos"]) if five else s["qos"]) for s in plan["subscribe"]])
    subscribed.wait()
for m in plan.get("publish") or []:
    names = dict(MESSAGE, alias="TopicAlias")
    topic = "" if m["aliasAlone"] else m["topic"]
    c.publish(topic, m["payload"], m["qos"], m["retain"], properties(PacketTypes.PUBLISH, m, names)).wait_for_publish()
while plan["stay"] and not ended.wait(1):
    pass
c.disconnect()
c.loop_stop()
