package broker

import (
	"strconv"
	"time"
)

// sysPrefix is the prefix of the topics that only the broker publishes on.
const sysPrefix = "$SYS/"

// sysValue is a topic under $SYS/broker and its value.
type sysValue struct{ topic, value string }

// sys remembers the last published values under $SYS/broker, by topic, and when to publish
// next. The core's mutex guards it.
type sys struct {
	timer repeat
	told  map[string]string
}

// news reports whether a value has changed since it was last published, and records that it
// is published now.
func (s *sys) news(v sysValue) bool {
	if s.told[v.topic] == v.value {
		return false
	}
	s.told[v.topic] = v.value
	return true
}

// sysValues returns the current values, with the names that Mosquitto uses.
func sysValues(s Stats) []sysValue {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []sysValue{
		{"version", "kratos-mqtt in-process broker"},
		{"uptime", number(int64(s.Uptime/time.Second)) + " seconds"},
		{"clients/connected", number(int64(s.Clients))},
		{"clients/total", number(int64(s.Sessions))},
		{"subscriptions/count", number(int64(s.Subscriptions))},
		{"publish/messages/received", number(s.MessagesReceived)},
		{"publish/messages/sent", number(s.MessagesSent)},
		{"publish/messages/dropped", number(s.Dropped)},
		{"bytes/received", number(s.BytesReceived)},
		{"bytes/sent", number(s.BytesSent)},
		{"retained messages/count", number(int64(s.Retained))},
		{"store/messages/count", number(int64(s.Queued))},
		{"store/messages/bytes", number(int64(s.QueuedBytes))},
	}
}

func (v sysValue) message() *message {
	return &message{topic: sysPrefix + "broker/" + v.topic, payload: []byte(v.value)}
}

// isSys reports whether only the broker may publish on a topic.
func isSys(topic []byte) bool {
	return len(topic) >= len(sysPrefix) && string(topic[:len(sysPrefix)]) == sysPrefix
}
