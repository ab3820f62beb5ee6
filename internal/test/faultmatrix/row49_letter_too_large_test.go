package faultmatrix_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/structpb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Row 49: a message that the broker accepts becomes a dead letter that it does not accept,
// because a dead letter is larger. It is stored in a smaller form.
func TestFault_49_LetterTooLarge(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const limit = 100 << 10
		size := 90 << 10
		if h.five() {
			size = limit - 200
		}
		b := mqtttest.InProcess(h, testbroker.MaxPacket(limit))
		s := h.newSubscriber(b.URL(), "-sub")
		f := h.newFlow(s)
		err := mqttserver.RegisterSubscriber(s.s, h.Context(), h.name+"/typed",
			func(context.Context, string, broker.Headers, *structpb.Struct) error { return nil },
			mqttbroker.WithSubscribeCodec("proto"))
		if h.said.err(err) != nil {
			h.Fatal(err)
		}
		s.run()
		p := h.publisher(b.URL(), "-pub")
		f.unharmed(p, func() {
			undecodable := bytes.Repeat([]byte{0xFF}, size-len(h.name))
			if err := p.send(h.within(patience), h.name+"/typed", undecodable, func(error) {}); err != nil {
				h.Error(err)
			}
		})
		h.eventually(func() error { return atLeast("letters", len(s.told()), f.rounds) })
		store, err := s.s.DeadLetters()
		if err != nil {
			h.Fatal(err)
		}
		letters := h.lettersIn(store, deadletter.Dead)
		if len(letters) != f.rounds || letters[0].Topic != h.name+"/typed" || len(letters[0].Payload) > 0 {
			h.Errorf("%d letters: %.300s", len(letters), fmt.Sprintf("%+v", letters))
		}
	})
}
