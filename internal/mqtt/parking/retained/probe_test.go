package retained

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// A probe that is cleared each time is reported, and does not prove that the broker
// retains nothing.
func TestProbeErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		messages []*session.Inbound
		want     error
	}{
		"kept":          {[]*session.Inbound{{Payload: []byte("p")}, {Payload: []byte("p"), Retain: true}}, nil},
		"kept, cleared": {[]*session.Inbound{{Payload: []byte("p"), Retain: true}, {}}, nil},
		"not kept":      {[]*session.Inbound{{Payload: []byte("p")}}, errNotKept},
		"cleared":       {[]*session.Inbound{{Payload: []byte("p")}, {}}, errCleared},
		"written over":  {[]*session.Inbound{{Payload: []byte("p")}, {Payload: []byte("other"), Retain: true}}, errCleared},
		"nothing came":  {nil, errNotKept},
	} {
		p := &probed{topic: "t", payload: "p"}
		for _, m := range tt.messages {
			m.Topic = "t"
			if len(m.Payload) == 0 {
				p.clear(m.Topic)
			} else if err := p.keep(m); err != nil {
				t.Error(err)
			}
		}
		if err := p.err(); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
