package roundtrip

import (
	"context"
	"errors"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/slash"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// things reports what it receives and the topic of it.
type things struct{ got chan [2]string }

func (s *things) Post(ctx context.Context, in *slash.Thing) (*emptypb.Empty, error) {
	return s.Put(ctx, in)
}

func (s *things) Put(ctx context.Context, in *slash.Thing) (*emptypb.Empty, error) {
	if in.GetValue() < 0 {
		return nil, kerrors.BadRequest("NEGATIVE", "no")
	}
	tr, ok := mqttserver.FromContext(ctx)
	if !ok {
		return nil, errors.New("no transport")
	}
	s.got <- [2]string{tr.Topic(), in.GetProduct() + " " + in.GetDevice()}
	return nil, nil
}

// reports.md C9: a topic keeps its leading slash, whether the slash is in the template, in
// the prefix of the service, or in a prefix set in code.
func TestTopicsThatBeginWithASlash(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		srv, _ := p.server(t)
		s := &things{make(chan [2]string, 10)}
		slash.RegisterSlashEventsMQTTServer(srv, s)
		slash.RegisterPrefixEventsMQTTServer(srv, s, event.FilterPrefix("/site/"))
		dead := make(chan string, 1)
		err := srv.RegisterSubscriber(t.Context(), "/dead/+", func(_ context.Context, e broker.Event) error {
			dead <- e.Topic()
			return nil
		}, nil)
		must(t, err)
		presence := make(chan string, 10)
		must(t, srv.RegisterSubscriber(t.Context(), "/status/+", func(_ context.Context, e broker.Event) error {
			presence <- e.Topic()
			return nil
		}, nil))
		start(t, srv)
		b := mqttbroker.NewBroker(p.options()...)
		must(t, b.Connect())
		t.Cleanup(func() { _ = b.Disconnect() })
		ctx, want := within(t), "p d"
		in := &slash.Thing{Product: "p", Device: "d"}
		must(t, slash.NewSlashEventsMQTTClient(mqttbroker.NewClientConn(b)).Post(ctx, in))
		if got := receive(t, s.got); got != [2]string{"/sys/p/d/thing", want} {
			t.Errorf("got %q", got)
		}
		must(t, b.Publish(ctx, "/d/of/p", broker.NewMessage(&slash.Thing{}), broker.WithPublishBodyCodec("proto")))
		if got := receive(t, s.got); got != [2]string{"/d/of/p", want} {
			t.Errorf("got %q", got)
		}
		cc := mqttbroker.NewClientConn(b, mqttbroker.TopicPrefix("/site"))
		must(t, slash.NewPrefixEventsMQTTClient(cc).Put(ctx, in))
		if got := receive(t, s.got); got != [2]string{"/site//pre/p/d/put", want} {
			t.Errorf("got %q", got)
		}
		must(t, slash.NewSlashEventsMQTTClient(mqttbroker.NewClientConn(b)).Post(ctx, &slash.Thing{Product: "p", Device: "d", Value: -1}))
		if got := receive(t, dead); got != "/dead/p" {
			t.Errorf("the dead letter is on %s", got)
		}
		if got := receive(t, presence); got != "/status/plant-1" {
			t.Errorf("the presence is on %s", got)
		}
	})
}
