package mqtt_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// BenchmarkReceive compares a typed subscription by hand with a generated one,
// which binds a field: allocations are those of the whole process, publisher and
// broker included.
func BenchmarkReceive(b *testing.B) {
	done := make(chan struct{}, 1024)
	b.Run("subscriber", func(b *testing.B) {
		receiveMany(b, done, func(srv *mqttserver.Server) {
			err := mqttserver.RegisterSubscriber(srv, b.Context(), "texts/+",
				func(context.Context, string, broker.Headers, *wrapperspb.StringValue) error {
					done <- struct{}{}
					return nil
				}, mqttbroker.WithSubscribeCodec("proto"))
			if err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("service", func(b *testing.B) {
		receiveMany(b, done, func(srv *mqttserver.Server) {
			d := textService()
			srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(&d.Methods[0],
				func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) {
					done <- struct{}{}
					return nil, nil
				}, bindText)})
		})
	})
}

func textService() *event.ServiceDesc {
	return &event.ServiceDesc{Name: "test.Texts", Methods: []event.MethodDesc{{
		Name: "Tell", Operation: "/test.Texts/Tell", Topic: "texts/{value}", Filters: []string{"texts/+"}, QoS: 1, Codec: "proto",
	}}}
}

func bindText(topic string, in *wrapperspb.StringValue) (mismatch string, err error) {
	t := eventimpl.ReadTopic(topic)
	t.Literal("texts/")
	v := t.Level()
	if err := t.Err(); err != nil {
		return "", err
	}
	mismatch = eventimpl.Mismatch(mismatch, "value", in.GetValue(), v)
	in.Value = v
	return mismatch, nil
}

func receiveMany(b *testing.B, done chan struct{}, register func(*mqttserver.Server)) {
	url := mqtttest.InProcess(b).URL()
	srv, _ := server(b, url)
	register(srv)
	start(b, srv)
	pub, err := mqttbroker.NewPublisher(broker.WithAddress(url), mqttbroker.WithProtocol("3.1.1"))
	if err != nil {
		b.Fatal(err)
	}
	if err := pub.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer pub.Stop(context.Background())
	payload := []byte("\n\x05value")
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			_ = pub.PublishAsync(context.Background(), "texts/value", payload, nil)
		}
	}()
	for range b.N {
		<-done
	}
}

// Generated code binds the fields of a message without allocations.
func TestServiceAllocations(t *testing.T) {
	in := wrapperspb.String("value")
	topic := strings.Clone("texts/value")
	if n := testing.AllocsPerRun(100, func() {
		if m, err := bindText(topic, in); m != "" || err != nil {
			t.Error(m, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
