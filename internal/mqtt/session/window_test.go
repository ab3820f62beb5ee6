package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// flight is the naive model of one message in flight.
type flight struct {
	slot int32
	id   uint16
	qos  byte
	tag  *call
}

// windowModel is a plain list that is compared with the window.
type windowModel struct {
	win     window
	listed  []flight
	issued  map[uint16]int // turn in which an id was last used
	turn    int
	stuck   int // the maximum number of messages in flight at once
	renewed int
}

func (m *windowModel) issue(t *rapid.T, id uint16) {
	if id < idBase {
		t.Fatalf("id %#x is in the library's half", id)
	}
	for _, f := range m.listed {
		if f.id == id {
			t.Fatalf("id %#x is in flight already", id)
		}
	}
	m.turn++
	// Ids of slots that stay in use are excluded from this rule.
	if last, again := m.issued[id]; again && m.renewed == 0 {
		least := int(m.win.rounds) * (m.win.size - m.stuck)
		if m.turn-last < least {
			t.Fatalf("id %#x again after %d messages, want at least %d", id, m.turn-last, least)
		}
	}
	m.issued[id] = m.turn
}

func (m *windowModel) take(t *rapid.T) {
	qos := byte(rapid.IntRange(1, 2).Draw(t, "qos"))
	if m.win.full(qos, 3) {
		return
	}
	i, s := m.win.take(qos)
	m.issue(t, s.id)
	s.frame, _ = encode(s.frame[:0], &Message{Topic: "t", Payload: fmt.Append(nil, s.id), QoS: qos}, s.id, wire.V311, nil)
	f := flight{i, s.id, qos, new(call)}
	s.done = f.tag
	m.win.push(i)
	m.listed = append(m.listed, f)
	m.stuck = max(m.stuck, len(m.listed))
}

func (m *windowModel) pick(t *rapid.T) int {
	if len(m.listed) == 0 {
		t.Skip("nothing in flight")
	}
	return rapid.IntRange(0, len(m.listed)-1).Draw(t, "which")
}

func (m *windowModel) remove(t *rapid.T) {
	at := m.pick(t)
	if done := m.win.remove(m.listed[at].slot); done != m.listed[at].tag {
		t.Fatal("the completion of another message")
	}
	m.listed = slices.Delete(m.listed, at, at+1)
}

func (m *windowModel) drop(t *rapid.T) {
	if m.win.full(1, 3) {
		return
	}
	i, s := m.win.take(1)
	m.issue(t, s.id)
	m.win.drop(i)
}

func (m *windowModel) republish(t *rapid.T) {
	f := &m.listed[m.pick(t)]
	if f.qos != 1 {
		t.Skip("only QoS 1 is published again")
	}
	s := &m.win.slots[f.slot]
	s.state = slotSent
	s.resend()
	if s.frame[0]&8 == 0 {
		t.Fatal("sent again without DUP")
	}
	old := f.id
	m.win.republish(f.slot)
	m.renewed++
	f.id = s.id
	m.issued[s.id] = m.turn
	if s.id == old && m.win.rounds > 1 {
		t.Fatal("published again under the same id")
	}
	if s.frame[0]&8 != 0 || wire.PacketID(s.frame, wire.PacketIDOffset(s.frame)) != s.id {
		t.Fatalf("frame % x of id %#x", s.frame, s.id)
	}
}

// check compares all visible state.
func (m *windowModel) check(t *rapid.T) {
	var order []int32
	qos2 := 0
	for i := m.win.head; i != none; i = m.win.slots[i].next {
		order = append(order, i)
	}
	for k, f := range m.listed {
		if k >= len(order) || order[k] != f.slot {
			t.Fatalf("order %v, want %+v", order, m.listed)
		}
		if i, s := m.win.find(f.id); i != f.slot || s == nil || s.done != f.tag {
			t.Fatalf("find(%#x) = %d", f.id, i)
		}
		if f.qos == 2 {
			qos2++
		}
	}
	if len(order) != len(m.listed) || m.win.used != len(m.listed) || m.win.qos2 != qos2 {
		t.Fatalf("%d listed, used %d, QoS 2 %d; want %d and %d", len(order), m.win.used, m.win.qos2, len(m.listed), qos2)
	}
	id := rapid.Uint16().Draw(t, "any id")
	known := slices.ContainsFunc(m.listed, func(f flight) bool { return f.id == id })
	if _, s := m.win.find(id); (s != nil) != known {
		t.Fatalf("find(%#x) = %v, in flight: %t", id, s, known)
	}
}

func TestWindowAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &windowModel{win: newWindow(rapid.SampledFrom([]int{1, 2, 3, 7, 16, 1000, idCount / 2}).Draw(t, "size")), issued: map[uint16]int{}}
		t.Repeat(map[string]func(*rapid.T){
			"take": m.take, "take more": m.take, "remove": m.remove, "drop": m.drop, "republish": m.republish,
			"": m.check,
		})
	})
}

// D3: all ids of the upper half are used before one is used again, however few
// messages are in flight.
func TestD03_IdsRollThroughTheUpperHalf(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 16, 256, 1000} {
		w := newWindow(size)
		all := idCount / size * size
		seen := make(map[uint16]bool, all)
		for range all {
			i, s := w.take(1)
			if s.id < idBase || seen[s.id] {
				t.Fatalf("window %d: id %#x again after %d of %d", size, s.id, len(seen), all)
			}
			seen[s.id] = true
			w.push(i)
			w.remove(i)
		}
		if _, s := w.take(1); !seen[s.id] {
			t.Fatalf("window %d: %d ids seen and still a new one", size, len(seen))
		}
	}
}

// The number of buffers depends on the messages in flight, not on the slots.
func TestWindowKeepsFewBuffers(t *testing.T) {
	t.Parallel()
	w := newWindow(256)
	for range 1000 {
		i, s := w.take(1)
		s.frame = append(s.frame[:0], make([]byte, 1024)...)
		w.push(i)
		w.remove(i)
	}
	if len(w.frames) != 1 {
		t.Errorf("%d buffers after one message at a time", len(w.frames))
	}
	i, s := w.take(1)
	s.frame = make([]byte, keepFrame+1)
	w.push(i)
	w.remove(i)
	if len(w.frames) != 0 || w.slots[i].frame != nil {
		t.Error("a large buffer is kept")
	}
}

func TestIDTableAgainstMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var table idTable[int]
		model := map[uint16]int{}
		id := rapid.Custom(func(t *rapid.T) uint16 {
			return rapid.SampledFrom([]uint16{0, 1, 255, 256, 511, 0x7FFF, 0x8000, 0xFFFF}).Draw(t, "edge") + uint16(rapid.IntRange(0, 3).Draw(t, "off"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := id.Draw(t, "id"), rapid.IntRange(1, 9).Draw(t, "value")
				table.set(k, v)
				model[k] = v
			},
			"del": func(t *rapid.T) {
				k := id.Draw(t, "id")
				table.del(k)
				delete(model, k)
			},
			"clear": func(*rapid.T) { table.clear(); clear(model) },
			"": func(t *rapid.T) {
				if table.count() != len(model) {
					t.Fatalf("count %d, want %d", table.count(), len(model))
				}
				k := id.Draw(t, "look up")
				if got := table.get(k); got != model[k] {
					t.Fatalf("get(%d) = %d, want %d", k, got, model[k])
				}
				for p := 0; table.pages != nil && p < len(table.pages); p++ {
					if pg := table.pages[p]; pg != nil && pg.used == 0 {
						t.Fatal("an empty page is kept")
					}
				}
			},
		})
	})
}
