package embedded

import (
	"sync/atomic"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// sequence numbers the messages in the order in which they arrive. The library
// sends what a session has queued in the order of the creation times, which it
// knows to the second only. It compares 16 bits, as many messages as a session
// can queue, and nothing else here depends on that time.
type sequence struct {
	mochi.HookBase
	last atomic.Int64
}

func (*sequence) ID() string { return "sequence" }

func (*sequence) Provides(hook byte) bool { return hook == mochi.OnPublish }

func (s *sequence) OnPublish(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	pk.Created = s.last.Add(1)
	return pk, nil
}
