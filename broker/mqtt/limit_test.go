package mqtt

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// Headers over the limits are not sent on any path.
func TestHeaderLimitsOfPublish(t *testing.T) {
	t.Parallel()
	source := "/s"
	plain := NewBroker(broker.WithAddress("mqtt://127.0.0.1:1"), broker.WithCodec("json"))
	carrier := NewBroker(broker.WithAddress("mqtt://127.0.0.1:1"), broker.WithCodec("json"), WithCloudEvents(source))
	many := make(broker.Headers)
	for i := range envelope.MaxHeaders - 3 { // places are reserved for our own headers
		many[strings.Repeat("k", i+1)] = "v"
	}
	for name, h := range map[string]broker.Headers{
		"count": many,
		"name":  {strings.Repeat("k", envelope.MaxHeaderKey+1): "v"},
		"total": {"k": strings.Repeat("v", envelope.MaxHeaderBytes)},
		"id":    {"id": strings.Repeat("1", envelope.MaxID+1)},
	} {
		var list []client.UserProperty
		for k, v := range h {
			list = append(list, client.UserProperty{Key: k, Value: v})
		}
		m := func(done func(error)) *envelope.Message {
			return &envelope.Message{Message: client.Message{Topic: "a", Done: done, Properties: &client.Properties{User: list}}, Encoded: true}
		}
		for way, err := range map[string]error{
			"Publish":                plain.Publish(t.Context(), "a", broker.NewMessage("x", broker.WithHeaders(h))),
			"bytes":                  clientOf(t, plain).Publish(t.Context(), m(nil)),
			"bytes with a callback":  clientOf(t, plain).Publish(t.Context(), m(func(error) {})),
			"Publish with a carrier": carrier.Publish(t.Context(), "a", broker.NewMessage("x", broker.WithHeaders(h))),
			"bytes with a carrier":   clientOf(t, carrier).Publish(t.Context(), m(nil)),
		} {
			var e *event.Error
			if !errors.As(err, &e) || e.Reason != event.ReasonTooLarge || e.Code() != 413 {
				t.Errorf("%s by %s: %v", name, way, err)
			}
		}
	}
}

// pipeline returns a subscription whose handler panics, fails or returns, depending on
// the message.
func pipeline(tb testing.TB, carrier bool) (*client.Subscription, func(d *client.Delivery) (handled bool, err error)) {
	tb.Helper()
	opts := []broker.Option{broker.WithAddress("mqtt://127.0.0.1:1"), broker.WithCodec("json")}
	if carrier {
		source := "/s"
		opts = append(opts, WithCloudEvents(source))
	}
	var handled bool
	handler := func(_ context.Context, e broker.Event) error {
		handled = true
		if v, ok := e.Message().Body.(*structpb.Value); ok && v.GetBoolValue() {
			panic(e.Message().Headers)
		}
		return nil
	}
	got, err := NewBroker(opts...).Subscribe("a", handler, func() any { return new(structpb.Value) })
	if err != nil {
		tb.Fatal(err)
	}
	sub := got.(*subscriber).sub
	return sub, func(d *client.Delivery) (ran bool, err error) {
		handled = false
		defer func() {
			ran = handled
			if v := recover(); v != nil {
				if !handled {
					panic(v)
				}
				err = errors.New("handler panicked")
			}
		}()
		err = sub.Handler(context.Background(), d)
		sub.OnDeadLetter(context.Background(), d, err)
		return handled, err
	}
}

// FuzzConsume passes arbitrary messages through decoding to the handler. A refused
// message is a permanent error of one line. A message that reaches the handler is
// within the limits. An empty one may be skipped. Only a handler may panic.
func FuzzConsume(f *testing.F) {
	var deep []byte // nested protobuf lists
	for range 120 {
		deep = append([]byte{0x0A}, protowire.AppendBytes(nil, deep)...)
	}
	for _, payload := range []string{
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data":1}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"!"}`,
		`{"specversion":"1.0","id":"","source":"s","type":"t"}`,
		`{"specversion":"1.0"`, `{}`, `null`, "\x00\xff",
	} {
		f.Add([]byte(payload), message.TypeEvent, "id", "1", uint8(1), false)
		f.Add([]byte(payload), "", "k", "v", uint8(0), true)
	}
	for _, contentType := range []string{message.TypeJSON, message.TypeProto, "application/yaml", "application/x+json; charset=x", ";;", "application/gzip"} {
		f.Add([]byte(`{"a":[true,null,1e9,"x"]}`), contentType, "ce-specversion", "1.0", uint8(2), false)
		f.Add([]byte("true"), contentType, "ce-id", "2", uint8(1), false)
		f.Add([]byte("\x20\x01"), contentType, "id", "3", uint8(70), false)
		f.Add(deep, contentType, "traceparent", "00-", uint8(1), true)
		f.Add(bytes.Repeat([]byte{0x0A, 0}, 200), contentType, "", "", uint8(1), true)
	}
	sub, bare := pipeline(f, false)
	_, unwrapping := pipeline(f, true)
	consumers := map[bool]func(*client.Delivery) (bool, error){false: bare, true: unwrapping}
	f.Fuzz(func(t *testing.T, payload []byte, contentType, key, value string, headers uint8, carrier bool) {
		m := &client.Inbound{Topic: "a", Retain: true, Payload: payload, Properties: &client.Properties{ContentType: contentType}}
		for range headers {
			m.Properties.User = append(m.Properties.User, client.UserProperty{Key: key, Value: value})
		}
		if contentType == "" && headers == 0 {
			m.Properties = nil
		}
		handled, err := consumers[carrier](&client.Delivery{Event: envelope.Event{Inbound: m}})
		skipped := err == nil && !handled && len(payload) == 0 // an empty message that deletes a retained one
		if handled == (err != nil && err.Error() != "handler panicked") && !skipped {
			t.Fatalf("handled %v, error %v", handled, err)
		}
		if over := m.Properties != nil && envelope.CheckHeaders(m.Properties.User) != nil; over && handled {
			t.Fatal("handled, over the limits")
		}
		if err == nil || handled {
			return
		}
		if sub.Classify(err) != event.VerdictDeadLetter {
			t.Fatalf("%v is tried again", err)
		}
		if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") || len(err.Error()) > 2000 {
			t.Fatalf("not fit for a log: %q", err)
		}
	})
}

// FuzzHeaders reads arbitrary user properties.
func FuzzHeaders(f *testing.F) {
	f.Add("ce-specversion", "1.0", "ce-id", "1", "id", "2")
	f.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate", "a=b", "ce-", "")
	f.Add("", "", "ID", "x", strings.Repeat("k", 129), "v")
	f.Add("statuscode", "500", "statusreason", "a\nb", "statusmessage", "\x1b")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string) {
		list := []client.UserProperty{{Key: k1, Value: v1}, {Key: k2, Value: v2}, {Key: k3, Value: v3}}
		d := &client.Delivery{Event: envelope.Event{Inbound: &client.Inbound{Topic: "a", Properties: &client.Properties{User: list}}}}
		err := new(envelope.Settings).Open(&d.Event, false)
		e := newReceived(d)
		if (err != nil) != (envelope.CheckHeaders(list) != nil) {
			t.Fatalf("%q: %v", list, err)
		}
		if err != nil {
			if len(e.Header()) != 0 || e.ID() != "" || len(e.Message().Headers) != 0 {
				t.Fatalf("%q is shown", list)
			}
			return
		}
		for _, u := range list {
			if got, ok := e.Message().Headers[u.Key]; !ok {
				t.Fatalf("%q is lost: %q", u.Key, got)
			}
		}
		if len(e.Header()) > 2*len(list) || len(e.ID()) > envelope.MaxID && !strings.HasPrefix(k1+k2+k3, "ce-") {
			t.Fatalf("%q", e.Header())
		}
		if err := request.FailureIn(e.Header()); err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Fatalf("not fit for a log: %q", err)
		}
	})
}

// clientOf returns the client of a broker.
func clientOf(t *testing.T, b *Broker) *client.Client {
	t.Helper()
	c, err := b.client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
