package faultmatrix_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Row 52: more handlers wait for replies at the same time than there are workers, and than
// the broker's window has room for. Each gets its reply.
func TestFault_52_RequestsInHandlers(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const requests = 64
		b := mqtttest.InProcess(h)
		opts := []broker.Option{broker.WithCodec("proto")}
		if !h.five() {
			opts = append(opts, mqttbroker.WithCloudEvents("//test/"+h.name))
		}
		replier := h.newSubscriber(b.URL(), "-replier", opts...)
		err := mqttserver.RegisterReplier(replier.s, h.Context(), h.name+"/ask",
			func(_ context.Context, in *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				return in, nil
			}, mqttbroker.WithSubscribeCodec("proto"))
		if h.said.err(err) != nil {
			h.Fatal(err)
		}
		replier.run()
		var answered atomic.Int64
		s := h.newSubscriber(b.URL(), "-sub", opts...)
		f := h.newFlow(s)
		s.subscribe(h.name+"/work/+", func(ctx context.Context, _, payload string) error {
			if len(payload) < idLength {
				return nil
			}
			_, err := mqttbroker.Request[wrapperspb.StringValue](ctx, s.s, h.name+"/ask", wrapperspb.String(idOf([]byte(payload))))
			if err == nil {
				answered.Add(1)
			}
			return h.said.err(err)
		})
		s.run()
		p := h.publisher(b.URL(), "-pub")
		f.unharmed(p, func() {
			l := p.load(nil)
			for i := range requests {
				if err := p.send(h.within(patience), h.name+"/work/"+id(i), []byte(id(i)), func(error) {}); err != nil {
					h.Error(err)
				}
			}
			l.wait()
		})
		h.eventually(func() error { return atLeast("answered", int(answered.Load()), requests*f.rounds) })
		if n := answered.Load(); n != requests*int64(f.rounds) {
			h.Errorf("%d answered of %d", n, requests)
		}
	})
}
