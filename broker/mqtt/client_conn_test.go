package mqtt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func textOf(in proto.Message) string { return in.(*wrapperspb.StringValue).GetValue() }

var textMethod = &event.MethodDesc{
	Name: "Tell", Operation: "/test.Texts/Tell", Topic: "texts", Filters: []string{"texts"},
	QoS: 1, Codec: "json", Expiry: time.Minute, ID: textOf, Key: textOf,
	Reply: &event.ReplyDesc{Timeout: 50 * time.Millisecond, QoS: 1},
}

// fakeBroker is a broker of another package.
type fakeBroker struct {
	broker.Broker
	topic string
	msg   *broker.Message
	opts  broker.PublishOptions
	reply any
	until time.Time
	err   error
}

func (f *fakeBroker) Publish(_ context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	f.topic, f.msg, f.opts = topic, msg, broker.NewPublishOptions(opts...)
	return f.err
}

func (f *fakeBroker) Request(ctx context.Context, topic string, msg *broker.Message, _ ...broker.RequestOption) (*broker.Message, error) {
	f.topic, f.msg = topic, msg
	f.until, _ = ctx.Deadline()
	if f.err != nil {
		return nil, f.err
	}
	return broker.NewMessage(f.reply), nil
}

// A generated client runs on any broker of kratos-transport.
func TestClientConnOverAnotherBroker(t *testing.T) {
	t.Parallel()
	f := new(fakeBroker)
	cc := mqttbroker.NewClientConn(f, mqttbroker.TopicPrefix("/site/a/"), nil)
	in := wrapperspb.String("x")
	if err := cc.Publish(t.Context(), textMethod, "texts", in, event.Header("a", "1"), event.Header("a", "2")); err != nil {
		t.Fatal(err)
	}
	if f.topic != "/site/a/texts" || f.msg.Body != proto.Message(in) || f.msg.ID != "x" || f.msg.Headers["a"] != "1" {
		t.Errorf("topic %q, message %+v", f.topic, f.msg)
	}
	if err := cc.Publish(t.Context(), textMethod, "texts", in, event.Topic("elsewhere"), event.ID("own")); err != nil || f.topic != "elsewhere" || f.msg.ID != "own" {
		t.Errorf("topic %q, id %q: %v", f.topic, f.msg.ID, err)
	}
	f.err = errors.New("down")
	if err := cc.Publish(t.Context(), textMethod, "texts", in); !errors.Is(err, f.err) {
		t.Errorf("got %v", err)
	}
	out := new(wrapperspb.StringValue)
	if err := cc.Request(t.Context(), textMethod, "texts", in, out); !errors.Is(err, f.err) || f.until.IsZero() || time.Until(f.until) > 50*time.Millisecond {
		t.Errorf("got %v, until %v", err, f.until)
	}
	f.err = nil
	for name, tt := range map[string]struct {
		reply any
		want  string
		bad   bool
	}{
		"message":       {wrapperspb.String("y"), "y", false},
		"bytes":         {[]byte(`"z"`), "z", false},
		"garbage":       {[]byte(`{`), "", true},
		"other message": {wrapperspb.Bool(true), "", true},
		"something":     {5, "", true},
	} {
		f.reply = tt.reply
		out := new(wrapperspb.StringValue)
		err := cc.Request(t.Context(), textMethod, "texts", in, out)
		if (err != nil) != tt.bad || !tt.bad && out.GetValue() != tt.want {
			t.Errorf("%s: %v, %v", name, out, err)
		}
		if tt.bad {
			wantReason(t, err, event.ReasonCodec, 400)
		}
	}
}

func TestClientConn(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			url := mqtttest.InProcess(t).URL()
			b := mqttbroker.NewBroker(broker.WithAddress(url), mqttbroker.WithProtocol(version))
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Disconnect() })
			cc := mqttbroker.NewClientConn(b)
			in := wrapperspb.String("x")
			if err := cc.Publish(t.Context(), textMethod, "texts", in, event.Retain(true), event.QoS(2), event.Header("a", "1"), event.Header("a", "2")); err != nil {
				t.Fatal(err)
			}
			arrived := make(chan broker.Event, 1)
			_, err := b.Subscribe("texts", func(_ context.Context, e broker.Event) error {
				arrived <- e
				return nil
			}, func() any { return new(wrapperspb.StringValue) }, mqttbroker.WithSubscribeQos(2))
			if err != nil {
				t.Fatal(err)
			}
			var e broker.Event
			select {
			case e = <-arrived:
			case <-time.After(10 * time.Second):
				t.Fatal("nothing arrived")
			}
			d := e.RawMessage().(*client.Delivery)
			if textOf(e.Message().Body.(proto.Message)) != "x" || d.QoS != 2 || !d.Retain {
				t.Errorf("message %+v", d)
			}
			if version == "5" {
				var values []string
				for _, u := range d.Properties.User {
					if u.Key == "a" {
						values = append(values, u.Value)
					}
				}
				if h := e.Message().Headers; e.Message().ID != "x" || h["partitionkey"] != "x" || !slices.Equal(values, []string{"1", "2"}) {
					t.Errorf("headers %v, values %v, id %q", h, values, e.Message().ID)
				}
				if x := d.Properties.Expiry; x <= 0 || x > time.Minute || d.Properties.ContentType != "application/json" {
					t.Errorf("properties %+v", d.Properties)
				}
				err = cc.Request(t.Context(), textMethod, "nobody", in, new(wrapperspb.StringValue))
				wantReason(t, err, event.ReasonTimeout, 504)
			}
			plain := *textMethod
			plain.Expiry = 0
			lost := b.Health().HeadersLost
			if err := cc.Publish(t.Context(), &plain, "texts", in); err != nil {
				t.Fatal(err)
			}
			if n := b.Health().HeadersLost; n != lost {
				t.Error("what the payload has counts as a header that was lost")
			}
			err = cc.Publish(t.Context(), textMethod, "texts", in, event.QoS(3))
			wantReason(t, err, event.ReasonBadRequest, 400)
		})
	}
}

// A nil context is an error of the call, on any broker.
func TestClientConnWithoutContext(t *testing.T) {
	t.Parallel()
	b := mqttbroker.NewBroker(broker.WithAddress("mqtt://127.0.0.1:1"))
	var none context.Context
	for name, of := range map[string]broker.Broker{"ours": b, "another": new(fakeBroker)} {
		cc := mqttbroker.NewClientConn(of)
		err := cc.Request(none, textMethod, "texts", wrapperspb.String("x"), new(wrapperspb.StringValue))
		var e *event.Error
		if !errors.As(err, &e) || e.Reason != event.ReasonBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := mqttbroker.NewClientConn(b).Publish(none, textMethod, "texts", wrapperspb.String("x"))
	var e *event.Error
	if !errors.As(err, &e) || e.Reason != event.ReasonBadRequest {
		t.Errorf("publish: %v", err)
	}
}

// A request is sent as its method and its options specify, and expires when its caller
// stops waiting for the reply.
func TestClientConnRequestTakesCallOptions(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	got := make(chan *client.Delivery, 9)
	replier := connected(t, url, mqttbroker.WithProtocol("5"))
	if _, err := replier.Subscribe("q", func(_ context.Context, e broker.Event) error {
		got <- e.RawMessage().(*client.Delivery)
		return nil
	}, nil, mqttbroker.WithSubscribeQos(2)); err != nil {
		t.Fatal(err)
	}
	cc := mqttbroker.NewClientConn(connected(t, url, mqttbroker.WithProtocol("5")))
	ask := func(wait time.Duration, opts ...event.CallOption) error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		method := &event.MethodDesc{Name: "M", Operation: "/p.S/M", QoS: 1, Codec: "json", Reply: &event.ReplyDesc{Timeout: time.Minute}}
		return cc.Request(ctx, method, "q", wrapperspb.String("x"), new(wrapperspb.StringValue), opts...)
	}
	for name, tt := range map[string]struct {
		opts   []event.CallOption
		qos    byte
		expiry time.Duration // upper limit
		header int
	}{
		"of the method": {nil, 1, 2 * time.Second, 0},
		"options":       {[]event.CallOption{event.QoS(2), event.Expiry(time.Second), event.Header("a", "1"), event.Header("a", "2")}, 2, time.Second, 2},
		"longer":        {[]event.CallOption{event.QoS(0), event.Expiry(time.Hour)}, 0, 2 * time.Second, 0},
	} {
		wantReason(t, ask(1500*time.Millisecond, tt.opts...), event.ReasonTimeout, 504) // there is no replier
		d, n := receive(t, got), 0
		for _, h := range d.Header() {
			if h.Key == "a" {
				n++
			}
		}
		if d.QoS != tt.qos || d.Properties.Expiry <= 0 || d.Properties.Expiry > tt.expiry || n != tt.header {
			t.Errorf("%s: QoS %d, expiry %v, %d headers", name, d.QoS, d.Properties.Expiry, n)
		}
	}
	wantReason(t, ask(patience, event.QoS(3)), event.ReasonBadRequest, 400)
	wantReason(t, ask(patience, event.Expiry(-1)), event.ReasonBadRequest, 400)
	err := ask(patience, event.Retain(true))
	wantReason(t, err, event.ReasonBadRequest, 400)
	if !strings.Contains(err.Error(), "not retained") {
		t.Error(err)
	}
}
