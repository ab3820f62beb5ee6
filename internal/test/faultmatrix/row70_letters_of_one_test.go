package faultmatrix_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// lettered are devices whose service stores its dead letters in a file.
type lettered struct {
	*neighbours
	service *subscriber
	store   *deadletterfile.Store
	path    string
}

func (h *harness) newLettered(o deadletterfile.Options) *lettered {
	h.Helper()
	l := &lettered{neighbours: h.newNeighbours(), path: filepath.Join(h.TempDir(), "letters")}
	store, err := deadletterfile.Open(l.path, o)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := store.Close(); err != nil {
			h.Error(err)
		}
	})
	l.store = store
	l.service = h.newSubscriber(l.broker.URL(), "", mqttbroker.WithDeadLetters(store))
	err = mqttserver.RegisterSubscriber(l.service.s, h.Context(), "devices/+/data",
		func(_ context.Context, _ string, _ broker.Headers, r *reading) error {
			l.handled(r.Mark)
			return nil
		}, mqttbroker.WithSubscribeCodec("json"))
	if h.said.err(err) != nil {
		h.Fatal(err)
	}
	l.service.run()
	l.send = func(d *device, i int) { l.data(d, fmt.Appendf(nil, `{"mark":%q}`, id(i)), id(i)) }
	return l
}

func (l *lettered) data(d *device, payload []byte, id string) {
	d.publish(wire{topic: "devices/" + d.name + "/data", id: id, payload: payload})
}

// hasLetter checks that the store has a dead letter of a device.
func (l *lettered) hasLetter(d *device) {
	l.Helper()
	l.eventually(func() error {
		list, err := l.store.List(l.within(patience), deadletter.Query{State: deadletter.Dead, Limit: 10_000})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list, func(letter *deadletter.Letter) bool { return letter.Topic == "devices/"+d.name+"/data" }) {
			return fmt.Errorf("of %d letters none is of %s", len(list), d.name)
		}
		return nil
	})
}

// Row 70: one device sends more undecodable messages than the store of dead letters has room
// for. It gets no more than its share: messages of others are handled, and their dead letters
// are stored, too.
func TestFault_70_LettersOfOneDevice(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const room = 500
		l := h.newLettered(deadletterfile.Options{MaxLetters: room})
		l.unharmed(l.service, func(first int) func() {
			for i := range room + 100 {
				l.data(l.rogue, []byte("no JSON"), id(hostile+first+i))
			}
			return nil
		})
		l.data(l.devices[0], []byte("no JSON either"), id(hostile-1))
		l.hasLetter(l.devices[0])
		l.hasLetter(l.rogue)
		l.soon(func() bool { return l.service.health().LettersOverShare > 0 })
		if health := l.service.health(); health.DeadLettersBlocked || health.LettersOverShare == 0 {
			h.Errorf("dead letters are blocked: %v; %d over the share of the hostile one", health.DeadLetterError, health.LettersOverShare)
		}
		h.figure("lines of the log for 600 letters", h.said.logs("\n"))
		l.named("devices/" + rogue + "/data")
	})
}

// Row 70 with few large messages: of a payload over the limit only size and hash are stored,
// which takes neither memory nor disk.
func TestFault_70_LargeLetters(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const messages, size, disk = 60, 1_000_000, 8 * mebi
		l := h.newLettered(deadletterfile.Options{})
		l.heap = 40 * mebi
		// Created once, so that allocations of the test itself are not measured.
		packet := h.encode(wire{topic: "devices/" + rogue + "/data", payload: make([]byte, size)}, 1)
		l.unharmed(l.service, func(int) func() {
			l.rogue.writeOver(beside/2, messages, packet)
			return nil
		})
		info, err := os.Stat(l.path)
		if err != nil {
			h.Fatal(err)
		}
		h.figure("letters of 60 messages of 1 MB, on disk", fmt.Sprintf("%.1f MiB", float64(info.Size())/mebi))
		if info.Size() > disk {
			h.Errorf("the letters take %d bytes on disk, want %d at most", info.Size(), disk)
		}
		list, err := l.store.List(h.within(patience), deadletter.Query{State: deadletter.Dead})
		if err != nil || len(list) == 0 {
			h.Fatalf("%d letters, %v", len(list), err)
		}
		if o := list[0].Omitted; len(list[0].Payload) > 0 || o.Size != size || o.SHA256 == "" {
			h.Errorf("the letter has %d bytes of payload, omitted %+v", len(list[0].Payload), o)
		}
		l.named("devices/" + rogue + "/data")
	})
}
