package session

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// A message that the broker answers by ending the connection costs all other
// messages some connections until it is convicted. Because a stream of such
// messages would leave little room for others, further messages of a kind that
// was convicted repeatedly are refused without being sent. Two messages with
// the same topic, QoS and retain flag form such a kind, and so do messages to
// three topics that differ in one level, as topics that one access rule forbids
// do. After a pause that grows each time, one message of the kind is tried. An
// acknowledged one releases the kind.

// The number of consecutive convictions, without an acknowledgement of the kind
// in between, after which a kind is held: of one topic, and of different topics
// that differ in one level.
const (
	convictionsOfTopic = 2
	convictedTopics    = 3
)

// The pauses after which one message of a held kind is tried.
const (
	firstHold   = time.Second
	longestHold = time.Minute
)

// maxKinds is how many kinds are remembered; the oldest is forgotten first.
const maxKinds = 1024

// kindLevels is the number of levels, from the first, in which the topics of a
// kind may differ.
const kindLevels = 8

// weightOfKind is the initial evidence against a message of a held kind: one
// orderly end or two others convict it on a quiet link.
const weightOfKind = enoughWeight - weightInOrder

// kinds holds the kinds of recently convicted messages. The key is a hash,
// because topics may be long. The mutex of outbound must be held.
type kinds struct {
	seed  maphash.Seed
	known map[uint64]*kind
}

type kind struct {
	topics [convictedTopics]uint64 // hashes of different convicted topics
	row    int                     // consecutive convictions of the first topic
	doubt  int                     // weight of the ends whose suspects could not be sent again
	at     time.Time               // time of the last conviction
	hold   time.Duration           // 0 if the kind is not held
	until  time.Time
	err    *event.Error // error of the last conviction
}

// keys returns the keys of the kinds that a message belongs to, that of its
// topic first.
func (k *kinds) keys(topic []byte, flags byte) (keys [1 + kindLevels]uint64, n int) {
	if k.known == nil {
		k.seed, k.known = maphash.MakeSeed(), make(map[uint64]*kind)
	}
	var h maphash.Hash
	add := func(before, after []byte) {
		h.SetSeed(k.seed)
		_ = h.WriteByte(flags)
		_, _ = h.Write(before)
		_ = h.WriteByte(0) // a byte that no topic contains
		_, _ = h.Write(after)
		keys[n] = h.Sum64()
		n++
	}
	add(topic, nil)
	for begin := 0; n < len(keys); {
		end := bytes.IndexByte(topic[begin:], '/')
		if end < 0 {
			add(topic[:begin], nil)
			return keys, n
		}
		add(topic[:begin], topic[begin+end:])
		begin += end + 1
	}
	return keys, n
}

// flagsOf returns the QoS and the retain flag of a PUBLISH frame.
func flagsOf(frame []byte) byte { return frame[0] & 7 }

// convict records a convicted message and reports whether messages of its topic
// are held from now on.
func (k *kinds) convict(frame []byte, err *event.Error, now time.Time) (held bool) {
	topic, _ := wire.PublishTopic(frame)
	keys, n := k.keys(topic, flagsOf(frame))
	for i, key := range keys[:n] {
		it := k.at(key)
		it.at, it.err = now, err
		it.note(keys[0], i == 0)
		if it.hold > 0 {
			it.until = now.Add(it.hold)
		}
	}
	return k.known[keys[0]].hold > 0
}

// note counts a convicted message of a topic and increases the pause.
func (it *kind) note(topic uint64, same bool) {
	it.row++
	if i := slices.IndexFunc(it.topics[:], func(h uint64) bool { return h == topic || h == 0 }); i >= 0 {
		it.topics[i] = topic
	}
	switch {
	case it.hold > 0:
		it.hold = min(2*it.hold, longestHold)
	case same && it.row >= convictionsOfTopic, it.topics[convictedTopics-1] != 0:
		it.hold = firstHold
	}
}

// room removes the oldest kind if there is no room for another.
func (k *kinds) room() {
	if len(k.known) < maxKinds {
		return
	}
	var oldest uint64
	for key, it := range k.known {
		if o := k.known[oldest]; o == nil || it.at.Before(o.at) {
			oldest = key
		}
	}
	delete(k.known, oldest)
}

// taken releases the kinds of an acknowledged message.
func (k *kinds) taken(sl *slot) {
	if len(k.known) == 0 || sl.qos == 0 {
		return
	}
	topic, _ := wire.PublishTopic(sl.frame)
	keys, n := k.keys(topic, flagsOf(sl.frame))
	for _, key := range keys[:n] {
		delete(k.known, key)
	}
}

// of returns the kind that holds a message for the longest time, or nil.
func (k *kinds) of(m *Message) (held *kind, sameTopic bool) {
	if len(k.known) == 0 || m.QoS == 0 { // QoS 0 is never convicted
		return nil, false
	}
	keys, n := k.keys([]byte(m.Topic), m.flags())
	for i, key := range keys[:n] {
		if it := k.known[key]; it != nil && it.hold > 0 && (held == nil || it.until.After(held.until)) {
			held, sameTopic = it, i == 0
		}
	}
	return held, sameTopic
}

// flags returns QoS and retain flag as on the wire.
func (m *Message) flags() byte {
	if m.Retain {
		return m.QoS<<1 | 1
	}
	return m.QoS << 1
}

// refuse returns the error of a message that must not be sent now, or nil.
func (k *kinds) refuse(m *Message, now time.Time) error {
	it, sameTopic := k.of(m)
	if it == nil || !now.Before(it.until) {
		return nil
	}
	what := "such messages"
	if !sameTopic {
		what = "messages to topics that differ from this one in one level"
	}
	left := it.until.Sub(now)
	return &event.Error{
		Op: opPublish, Topic: m.Topic, Reason: it.err.Reason, Convicted: sameTopic, RetryAfter: left, ByBroker: true,
		Cause: fmt.Errorf("not sent: the broker ended connections over %s, %d in a row; the next one may go in %v: %w",
			what, it.row, left.Round(time.Millisecond), it.err.Cause),
	}
}

// try lets one message of a held kind be sent and returns the initial evidence
// against it.
func (k *kinds) try(m *Message) (weight uint8) {
	if it, _ := k.of(m); it == nil {
		return 0
	}
	now := time.Now()
	keys, n := k.keys([]byte(m.Topic), m.flags())
	for _, key := range keys[:n] {
		if it := k.known[key]; it != nil && it.hold > 0 {
			it.until = now.Add(it.hold)
		}
	}
	return weightOfKind
}

// doubt adds to the evidence against a topic and reports whether it suffices to
// hold its messages.
func (k *kinds) doubt(frame []byte, weight, enough int) bool {
	topic, _ := wire.PublishTopic(frame)
	keys, _ := k.keys(topic, flagsOf(frame))
	it := k.at(keys[0])
	it.at = time.Now()
	if it.doubt += weight; it.doubt < enough && it.hold == 0 {
		return false
	}
	it.row = max(it.row, convictionsOfTopic-1)
	return true
}

// at returns the kind for a key and adds it if it is unknown.
func (k *kinds) at(key uint64) *kind {
	it := k.known[key]
	if it == nil {
		k.room()
		it = new(kind)
		k.known[key] = it
	}
	return it
}
