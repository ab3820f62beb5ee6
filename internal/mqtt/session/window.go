package session

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Packet ids of application messages are from the upper half; the client
// library uses the lower half for SUBSCRIBE and UNSUBSCRIBE.
const (
	idBase  = 0x8000
	idCount = 0x8000
)

// Two processes with one client id, a misconfiguration, also share a session.
// If a QoS 2 message has a packet id that the other process has in use, the
// broker takes it for a repetition and acknowledges it without passing it on
// [MQTT-4.3.3-2]. Therefore the ids start anywhere, and a client that detects
// another one keeps to a share of them, which is large enough for several
// windows.
const (
	idShares    = 16
	leastRounds = 8
)

type slotState uint8

const (
	slotFree     slotState = iota
	slotQueued             // not sent yet
	slotSent               // PUBLISH passed to a connection
	slotReleased           // PUBREC received, PUBREL passed to a connection
)

// slot is one message in flight. It keeps the frame until the exchange ends.
type slot struct {
	frame   []byte
	done    completion
	prev    int32
	next    int32
	round   int32 // number of uses of the slot, which determines its next packet id
	id      uint16
	qos     byte
	state   slotState
	carried bool   // a connection has carried it
	resent  bool   // a later connection has carried it again
	charged bool   // this connection carried it, so it counts against the quota
	suspect bool   // in flight when the broker ended a connection
	alone   uint8  // number of ends at which it was the only suspect
	weight  uint8  // weight of these ends as evidence
	ignored uint8  // number of connections that ended because nothing was acknowledged
	recs    uint32 // order of its PUBREC, which its PUBREL keeps
	left    bool   // no caller waits for it any more

	kept     bool  // an outbox keeps it and sends it again
	looks    uint8 // number of looks at it on this connection without an acknowledgement
	asked    bool  // a PINGREQ that was sent after it is pending
	outlived bool  // that PINGREQ was answered

	unrouted func() bool // Message.Unrouted
}

const none int32 = -1

// window holds the messages in flight in the order in which they were first
// sent. Slot i uses the ids idBase+i, idBase+i+size, ..., and free slots are
// used first in, first out. All ids are used before one is used again, so that
// a late second acknowledgement of an old message never completes a new one.
// Not safe for concurrent use.
type window struct {
	slots     []slot   // grows to size before a slot is used again
	frames    [][]byte // buffers of ended exchanges, because there are more slots than messages in flight
	size      int
	rounds    int32
	first     int32 // round in which the ids start
	base      int32 // start of the share, in rounds
	freeHead  int32 // free slots, linked by next
	freeTail  int32
	head      int32
	tail      int32
	next      int32 // first slot that this connection has not carried
	used      int
	qos2      int
	retired   map[uint16]struct{} // ids of exchanges that were given up: QoS 2, and QoS 1 on this connection
	exhausted bool                // a slot has no other id left: the session must end
}

func newWindow(size int) window {
	rounds := int32(idCount / size)
	return window{
		size: size, rounds: rounds, first: rand.Int32N(rounds),
		freeHead: none, freeTail: none, head: none, tail: none, next: none,
	}
}

// full reports whether a message of this QoS must wait for an acknowledgement.
func (w *window) full(qos byte, qos2Cap int) bool {
	return w.used >= w.size || (qos == 2 && w.qos2 >= qos2Cap)
}

// take reserves a slot with its next id. The slot is not in the list yet.
func (w *window) take(qos byte) (int32, *slot) {
	i := w.freeHead
	if len(w.slots) < w.size {
		i = int32(len(w.slots))
		w.slots = append(w.slots, slot{round: w.first})
	} else if w.freeHead = w.slots[i].next; w.freeHead == none {
		w.freeTail = none
	}
	s := &w.slots[i]
	w.renumber(i, s)
	s.qos, s.state, s.carried, s.resent, s.charged, s.left = qos, slotQueued, false, false, false, false
	s.suspect, s.alone, s.weight, s.ignored, s.kept = false, 0, 0, 0, false
	if n := len(w.frames); n > 0 {
		s.frame, w.frames = w.frames[n-1], w.frames[:n-1]
	}
	w.used++
	if qos == 2 {
		w.qos2++
	}
	return i, s
}

// renumber sets the slot's next id and skips retired ids as long as there is
// another.
func (w *window) renumber(i int32, s *slot) {
	for range w.rounds {
		s.id = w.idOf(int(i), s.round)
		s.round = (s.round + 1) % w.rounds
		if _, retired := w.retired[s.id]; !retired {
			return
		}
	}
}

// narrow restricts new ids to a randomly chosen share.
func (w *window) narrow() {
	total := int32(idCount / w.size)
	if share := max(total/idShares, min(total, leastRounds)); share < w.rounds {
		w.keep(share, rand.Int32N(total/share))
	}
}

// keep restricts new ids to the n-th share of the given size in rounds.
func (w *window) keep(size, n int32) {
	w.rounds, w.base = size, n*size
	w.first %= size
	for i := range w.slots {
		w.slots[i].round %= size
	}
}

// retire keeps an id from being used again in this session, which must end if
// it was the last id of its slot.
func (w *window) retire(id uint16) {
	if w.retired == nil {
		w.retired = make(map[uint16]struct{})
	}
	w.retired[id] = struct{}{}
	i := int(id-idBase) % w.size
	for round := range w.rounds {
		if _, retired := w.retired[w.idOf(i, round)]; !retired {
			return
		}
	}
	w.exhausted = true
}

func (w *window) idOf(i int, round int32) uint16 {
	return uint16(idBase + i + int(w.base+round)*w.size)
}

// push appends a taken slot to the list.
func (w *window) push(i int32) {
	s := &w.slots[i]
	s.prev, s.next = w.tail, none
	if w.tail == none {
		w.head = i
	} else {
		w.slots[w.tail].next = i
	}
	w.tail = i
	if w.next == none {
		w.next = i
	}
}

// drop releases a reserved slot that was never pushed.
func (w *window) drop(i int32) {
	s := &w.slots[i]
	w.release(i, s)
}

// remove ends the exchange of a slot in the list.
func (w *window) remove(i int32) completion {
	s := &w.slots[i]
	if s.prev == none {
		w.head = s.next
	} else {
		w.slots[s.prev].next = s.next
	}
	if s.next == none {
		w.tail = s.prev
	} else {
		w.slots[s.next].prev = s.prev
	}
	if w.next == i {
		w.next = s.next
	}
	done := s.done
	w.release(i, s)
	return done
}

func (w *window) release(i int32, s *slot) {
	if s.qos == 2 {
		w.qos2--
	}
	w.used--
	s.state, s.done, s.unrouted = slotFree, nil, nil
	if c := cap(s.frame); c > 0 && c <= keepFrame {
		w.frames = append(w.frames, s.frame[:0])
	}
	s.frame = nil
	s.next = none
	if w.freeTail == none {
		w.freeHead = i
	} else {
		w.slots[w.freeTail].next = i
	}
	w.freeTail = i
}

// keepFrame is the size of the largest frame buffer that is reused.
const keepFrame = 4 << 10

// find returns the slot that an acknowledgement belongs to, or nil if the id is
// not in flight.
func (w *window) find(id uint16) (int32, *slot) {
	if id < idBase {
		return none, nil
	}
	i := int(id-idBase) % w.size
	if i >= len(w.slots) {
		return none, nil
	}
	if s := &w.slots[i]; s.state != slotFree && s.id == id {
		return int32(i), s
	}
	return none, nil
}

// rewind makes a new connection send every slot again, in order.
func (w *window) rewind() {
	w.next = w.head
	for i := w.head; i != none; i = w.slots[i].next {
		w.slots[i].charged = false
	}
}

// releasedFirst moves the slots that wait for PUBCOMP to the front, in the
// order of their PUBRECs [MQTT-4.6.0-4]. Messages keep their order
// [MQTT-4.6.0-1].
func (w *window) releasedFirst() {
	var released, others []int32
	for i := w.head; i != none; i = w.slots[i].next {
		if w.slots[i].state == slotReleased {
			released = append(released, i)
		} else {
			others = append(others, i)
		}
	}
	if len(released) == 0 {
		return
	}
	slices.SortFunc(released, func(a, b int32) int { return cmp.Compare(w.slots[a].recs, w.slots[b].recs) })
	w.head, w.tail = none, none
	for _, i := range append(released, others...) {
		w.push(i)
	}
}

// resend prepares the frame of a slot that an earlier connection carried.
func (s *slot) resend() {
	s.resent = true
	if s.state == slotSent {
		s.own()
		wire.SetDup(s.frame)
	}
}

// republish turns the slot into a new message with a new id and without DUP.
func (w *window) republish(i int32) {
	s := &w.slots[i]
	w.renumber(i, s)
	s.own()
	wire.ClearDup(s.frame)
	wire.PatchPacketID(s.frame, wire.PacketIDOffset(s.frame), s.id)
	s.state, s.resent = slotQueued, false
}

// own copies a frame that an ending connection may still be reading, because
// frames of this size are written without a copy.
func (s *slot) own() {
	if len(s.frame) >= straightThrough {
		s.frame = append([]byte(nil), s.frame...)
	}
}
