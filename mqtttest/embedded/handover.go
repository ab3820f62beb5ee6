package embedded

import (
	"sync"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// handover keeps apart what the library lets run at once: a message on its way
// to the sessions, and a session on its way to another connection. A message that
// reaches the session after its queue was copied is lost, and one that reaches the
// new connection before the queue was sent overtakes it.
//
// The library also acknowledges a message before it hands it to the sessions, so
// that a subscriber could come back in between and miss it. Here the sessions have
// it first.
//
// Nothing is read or written while the lock is held: what the library sends during
// a handover waits in the connection.
type handover struct {
	mochi.HookBase
	server *mochi.Server
	// inline publishes for everybody: the library acknowledges nothing to it.
	inline *mochi.Client
	// mu is held for reading while a message goes to the sessions, and for writing
	// while a session goes to another connection, or ends.
	mu sync.RWMutex
}

func newHandover(server *mochi.Server) *handover {
	return &handover{server: server, inline: server.NewClient(nil, "inline", "inline", true)}
}

func (*handover) ID() string { return "handover" }

func (*handover) Provides(hook byte) bool {
	switch hook {
	case mochi.OnPublish, mochi.OnSessionEstablish, mochi.OnSessionEstablished, mochi.OnDisconnect, mochi.OnPacketEncode:
		return true
	}
	return false
}

// OnPublish hands the message to the sessions, by a publish of the inline client.
// What the library still has to do for the one who sent it is to acknowledge it.
func (h *handover) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if cl == h.inline {
		pk.Origin = pk.Connect.ClientIdentifier // for subscriptions without their own messages
		return pk, nil
	}
	out := pk
	out.Connect.ClientIdentifier = cl.ID
	out.Properties.TopicAlias, out.Properties.TopicAliasFlag = 0, false // the topic is there
	h.mu.RLock()
	defer h.mu.RUnlock()
	if err := h.server.InjectPacket(h.inline, out); err != nil {
		return pk, err
	}
	pk.Ignore, pk.FixedHeader.Retain = true, false // both are done
	return pk, nil
}

// OnSessionEstablish begins the handover to a new connection.
func (h *handover) OnSessionEstablish(cl *mochi.Client, _ packets.Packet) {
	for {
		h.mu.Lock()
		before, ok := h.server.Clients.Get(cl.ID)
		if !ok || before.Closed() {
			break
		}
		h.mu.Unlock() // to write to it
		h.evict(before)
	}
	c := connOf(cl)
	c.hold()
	c.settle = func() {
		h.mu.Unlock()
		c.flow()
	}
}

// OnSessionEstablished ends it: CONNACK and what waited for the client are sent,
// before anything that is published from now on.
func (*handover) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) { connOf(cl).settled() }

// OnDisconnect keeps the library from ending a session that meanwhile goes to
// another connection. It is over when the connection is.
func (h *handover) OnDisconnect(cl *mochi.Client, _ error, expire bool) {
	if expire {
		h.mu.Lock()
		connOf(cl).settle = h.mu.Unlock
	}
}

// OnPacketEncode is called before the library takes the lock under which it
// writes.
func (h *handover) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Disconnect {
		connOf(cl).room()
	}
	return pk
}

// evict ends the connection that a session had before.
func (h *handover) evict(cl *mochi.Client) {
	if cl.Properties.ProtocolVersion == 5 { // before MQTT 5 a server sends no DISCONNECT
		_ = h.server.DisconnectClient(cl, packets.ErrSessionTakenOver)
	}
	cl.Stop(packets.ErrSessionTakenOver)
}

// connOf is the connection of a client: all but the inline one came through a
// listener of ours.
func connOf(cl *mochi.Client) *checkedConn {
	return cl.Net.Conn.(*checkedConn)
}
