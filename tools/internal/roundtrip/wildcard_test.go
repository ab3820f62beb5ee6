package roundtrip

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/sides"
)

// notes reports the method that received a message, and the field of its topic.
type notes struct{ got chan [2]string }

func (s *notes) Subscribe(_ context.Context, in *sides.Note) (*emptypb.Empty, error) {
	s.got <- [2]string{"Subscribe", in.GetFrom()}
	return nil, nil
}

func (s *notes) SubscribeAll(_ context.Context, in *sides.Note) (*emptypb.Empty, error) {
	s.got <- [2]string{"SubscribeAll", in.GetFrom()}
	return nil, nil
}

func (s *notes) Both(_ context.Context, in *sides.Note) (*emptypb.Empty, error) {
	s.got <- [2]string{"Both", in.GetFrom()}
	return nil, nil
}

// A template with wildcards takes any level in their place, and reads its
// parameters from the others.
func TestTemplatesWithWildcards(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		srv, _ := p.server(t)
		s := &notes{make(chan [2]string, 10)}
		sides.RegisterSideEventsMQTTServer(srv, s)
		start(t, srv)
		b := mqttbroker.NewBroker(p.options()...)
		must(t, b.Connect())
		t.Cleanup(func() { _ = b.Disconnect() })
		for topic, want := range map[string][2]string{
			"in/a/anything/x": {"Subscribe", "a"},
			"all/b":           {"SubscribeAll", "b"},
			"all/c/d/e":       {"SubscribeAll", "c"},
		} {
			must(t, b.Publish(within(t), topic, broker.NewMessage(&sides.Note{}), broker.WithPublishBodyCodec("proto")))
			if got := receive(t, s.got); got != want {
				t.Errorf("%s: got %q, want %q", topic, got, want)
			}
		}
	})
}
