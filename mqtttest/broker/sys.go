package broker

import (
	"strconv"
	"strings"
	"time"
)

// sysPrefix begins the topics that are the broker's own.
const sysPrefix = "$SYS/"

// sysValue is a topic below $SYS/broker and what it says.
type sysValue struct{ topic, value string }

// sysValues are the names that Mosquitto has for the same.
func (b *Broker) sysValues() []sysValue {
	s := b.statsLocked()
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

// isSys reports whether a topic is the broker's own.
func isSys(topic []byte) bool {
	return len(topic) >= len(sysPrefix) && string(topic[:len(sysPrefix)]) == sysPrefix
}

// sendSys gives a new subscription what is said now, as if it were retained.
func (b *Broker) sendSys(sub *subscription) {
	levels := strings.Split(sub.plain, "/")
	if levels[0] != strings.TrimSuffix(sysPrefix, "/") {
		return
	}
	for _, v := range b.sysValues() {
		if m := v.message(); matches(levels, m.topic) {
			sub.session.deliver(m, sub, delivery{ids: sub.ids, retain: true})
		}
	}
}

// tellSys publishes what has changed since the last time, at QoS 0, to those who
// subscribed to it.
func (b *Broker) tellSys() {
	for _, v := range b.sysValues() {
		m := v.message()
		r := b.lookup([]byte(m.topic))
		if b.told[v.topic] == v.value || len(r.direct)+len(r.groups) == 0 {
			continue
		}
		b.told[v.topic] = v.value
		for _, subs := range r.direct {
			b.direct(m, subs)
		}
		for _, g := range r.groups {
			g.deliver(m)
		}
	}
}

// startSys begins to tell the statistics now and then. The broker's mutex is held.
func (b *Broker) startSys() {
	b.began, b.told = time.Now(), make(map[string]string)
	b.nextSys()
}

func (b *Broker) nextSys() {
	if b.options.sysEvery <= 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(b.options.sysEvery, func() {
		b.locked(func() {
			if b.sys == t {
				b.tellSys()
				b.nextSys()
			}
		})
	})
	b.sys = t
}

func (b *Broker) stopSys() {
	stopTimer(&b.sys)
	b.began = time.Time{}
}
