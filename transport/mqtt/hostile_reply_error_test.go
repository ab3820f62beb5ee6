package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A replier can answer with any status code. The HTTP server that forwards the error
// still responds with a valid status.
func TestReplierChoosesNoStatusCode(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), false}
	replier, b := c.broker(t), c.broker(t)
	_, err := replier.Subscribe("ask/+", func(ctx context.Context, e broker.Event) error {
		in := e.RawMessage().(*client.Delivery).Properties
		code := strings.TrimPrefix(e.Topic(), "ask/")
		m := &envelope.Message{Message: client.Message{Topic: in.ResponseTopic, QoS: 1, Payload: []byte("{}")}, Encoded: true}
		m.Props().CorrelationData = in.CorrelationData
		m.Props().User = []client.UserProperty{{Key: "statuscode", Value: code}, {Key: "statusreason", Value: strings.Repeat("R\n", 1000)}}
		own, err := replier.client()
		if err != nil {
			return err
		}
		return own.Publish(ctx, m)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]int{"1000": 502, "99999": 502, "302": 502, "-1": 502, "0": 502, "250": 502, "404": 404} {
		_, err := b.Request(within(t, patience), "ask/"+code, broker.NewMessage(reading{1}))
		k := kerrors.FromError(err)
		if err == nil || int(k.Code) != want || len(k.Reason) > 200 || strings.Contains(k.Reason, "\n") {
			t.Errorf("%s: %v", code, err)
			continue
		}
		w := httptest.NewRecorder()
		khttp.DefaultErrorEncoder(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		if w.Code != want {
			t.Errorf("%s: HTTP status %d", code, w.Code)
		}
	}
}

// Error details that a handler did not intend for the requester appear only in the
// service's log.
func TestUnknownErrorIsNotTold(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		out := new(logs)
		srv := c.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithKratosLogger(log.NewStdLogger(out))))
		const secret = "connect to 10.1.2.3:5432 as app: SELECT secret"
		err := mqttserver.RegisterReplier(srv, t.Context(), "ask", func(_ context.Context, r *reading) (*reading, error) {
			if r.Celsius > 0 {
				return nil, kerrors.NotFound("GONE", "no such device").WithCause(errors.New(secret))
			}
			return nil, errors.New(secret + "\nforged")
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t)
		_, err = b.Request(within(t, patience), "ask", broker.NewMessage(reading{-1}))
		k := kerrors.FromError(err)
		if k.Code != 500 || k.Reason != "INTERNAL" || k.Message != "internal error" || strings.Contains(fmt.Sprintf("%+v", err), "10.1.2.3") {
			t.Errorf("got %v", err)
		}
		if text := out.String(); out.count(secret) != 1 || !strings.Contains(text, `\nforged`) {
			t.Errorf("log: %s", text)
		}
		_, err = b.Request(within(t, patience), "ask", broker.NewMessage(reading{1}))
		if k := kerrors.FromError(err); k.Code != 404 || k.Reason != "GONE" || k.Message != "no such device" {
			t.Errorf("got %v", err)
		}
	})
}
