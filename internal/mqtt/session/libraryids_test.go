package session

import (
	"context"
	"errors"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho/session"
)

func lowerIDs() *libraryIDs { return newLibraryIDs(func(*CodeError) {}) }

func ask(t testing.TB, l *libraryIDs) (uint16, chan packets.ControlPacket) {
	t.Helper()
	p, resp := &packets.Subscribe{}, make(chan packets.ControlPacket, 1)
	if err := l.AddToSession(context.Background(), p, resp); err != nil {
		t.Fatal(err)
	}
	return p.PacketID, resp
}

func suback(id uint16) *packets.ControlPacket {
	return &packets.ControlPacket{
		FixedHeader: packets.FixedHeader{Type: packets.SUBACK}, Content: &packets.Suback{PacketID: id},
	}
}

func TestLibraryIDsStayInTheLowerHalf(t *testing.T) {
	t.Parallel()
	l := lowerIDs()
	const kept = 77 // never answered: its id must be skipped
	for n := range 3 * idBase {
		id, resp := ask(t, l)
		if id < 1 || id >= idBase {
			t.Fatalf("request %d has id %d", n, id)
		}
		if id == kept {
			if n != kept-1 {
				t.Fatalf("request %d got an id in use", n)
			}
			continue
		}
		if err := l.PacketReceived(suback(id), nil); err != nil {
			t.Fatal(err)
		}
		if got := <-resp; got.PacketID() != id {
			t.Fatalf("answer for %d", got.PacketID())
		}
	}
}

func TestLibraryIDsExhausted(t *testing.T) {
	t.Parallel()
	l := lowerIDs()
	for range idBase - 1 {
		ask(t, l)
	}
	err := l.AddToSession(context.Background(), &packets.Unsubscribe{}, make(chan packets.ControlPacket, 1))
	if !errors.Is(err, session.ErrPacketIdentifiersExhausted) {
		t.Fatalf("got %v", err)
	}
	if err := l.PacketReceived(suback(500), nil); err != nil {
		t.Fatal(err)
	}
	if id, _ := ask(t, l); id != 500 {
		t.Fatalf("id %d, want the one that became free", id)
	}
}

func TestLibraryIDsAnswerAtTheEndOfTheConnection(t *testing.T) {
	t.Parallel()
	var told *CodeError
	l := newLibraryIDs(func(e *CodeError) { told = e })
	_, first := ask(t, l)
	if err := l.ConnectionLost(&packets.Disconnect{
		ReasonCode: 0x8B, Properties: &packets.Properties{ReasonString: "maintenance", ServerReference: "other.example:1883"},
	}); err != nil {
		t.Fatal(err)
	}
	_, second := ask(t, l) // between DISCONNECT and the end of the socket
	for range 2 {          // the library may report it again
		if err := l.ConnectionLost(nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, resp := range []chan packets.ControlPacket{first, second} {
		if got := <-resp; got.Type != 0 {
			t.Fatalf("waiter %d got %v", i, got)
		}
	}
	if told == nil || told.Code != 0x8B || told.Detail != "maintenance" || told.Server != "other.example:1883" {
		t.Fatalf("got %+v", told)
	}
}

func TestLibraryIDsTakeNoMessages(t *testing.T) {
	t.Parallel()
	l := lowerIDs()
	resp := make(chan packets.ControlPacket, 1)
	if err := l.AddToSession(context.Background(), &packets.Publish{}, resp); err == nil {
		t.Error("a PUBLISH was given an id")
	}
	for _, typ := range []byte{packets.PUBLISH, packets.PUBACK, packets.PUBREC, packets.PUBREL, packets.PUBCOMP} {
		if err := l.PacketReceived(packets.NewControlPacket(typ), nil); err == nil {
			t.Errorf("packet type %d was taken", typ)
		}
	}
	if err := l.Ack(&packets.Publish{}); err == nil {
		t.Error("asked for an acknowledgement")
	}
	if err := l.PacketReceived(suback(9), nil); err != nil { // matches no request: ignored
		t.Error(err)
	}
}
