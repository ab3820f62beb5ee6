package session

import (
	"bytes"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Payloads that share memory never overlap, and Own moves a payload to separate
// memory.
func TestPayloadsShareMemoryApart(t *testing.T) {
	t.Parallel()
	var c chunk
	var all [][]byte
	for i := range 200 {
		frame := bytes.Repeat([]byte{byte(i)}, i*7%(maxInChunk+200))
		own := c.copy(frame)
		clear(frame) // the frame's memory is reused
		all = append(all, own)
	}
	for i, own := range all {
		if n := i * 7 % (maxInChunk + 200); !bytes.Equal(own, bytes.Repeat([]byte{byte(i)}, n)) || cap(own) != n {
			t.Fatalf("payload %d of %d bytes was written to, or has room for %d", i, n, cap(own))
		}
	}
	var one chunk
	first := one.copy([]byte("first"))
	if second := one.copy([]byte("second")); &first[:1][0] == &second[0] || len(one.free) != chunkSize-len("firstsecond") {
		t.Errorf("%d bytes are left of %d", len(one.free), chunkSize)
	}
	m := Inbound{Payload: first}
	m.Own()
	first[0] = 'F'
	if string(m.Payload) != "first" {
		t.Errorf("%q shares memory still", m.Payload)
	}
}

func TestThrough(t *testing.T) {
	t.Parallel()
	for n := range wire.KeptSubscriptionIDs + 3 {
		p := wire.Properties{SubscriptionIDCount: n}
		for i := range min(n, wire.KeptSubscriptionIDs) {
			p.SubscriptionIDs[i] = uint32(i + 1)
		}
		var m Inbound
		m.identify(&p, nil)
		for id := range uint32(wire.KeptSubscriptionIDs + 3) {
			want := n == 0 || n > wire.KeptSubscriptionIDs || id > 0 && int(id) <= n
			if m.Through(id) != want {
				t.Errorf("%d identifiers: through %d is %v", n, id, !want)
			}
			if got := m.ThroughAny(func(has uint32) bool { return has == id }); got != (want && n > 0) {
				t.Errorf("%d identifiers: through any of %d is %v", n, id, got)
			}
		}
		if m.Identified() != (n > 0) {
			t.Errorf("%d identifiers: identified is %v", n, m.Identified())
		}
	}
}
