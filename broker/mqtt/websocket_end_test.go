package mqtt_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// webSocket starts a WebSocket front for a broker. When the broker ends a connection,
// the front closes it with this status, or without a closing handshake if the status is
// -1.
func webSocket(t testing.TB, to string, status websocket.StatusCode) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			return
		}
		defer func() { _ = ws.CloseNow() }()
		ws.SetReadLimit(-1)
		raw, err := net.Dial("tcp", u.Host)
		if err != nil {
			return
		}
		var up sync.WaitGroup
		up.Go(func() {
			defer func() { _ = raw.Close() }()
			for {
				_, b, err := ws.Read(context.Background())
				if err != nil {
					return
				}
				if _, err := raw.Write(b); err != nil {
					return
				}
			}
		})
		buf := make([]byte, 32<<10)
		for {
			n, err := raw.Read(buf)
			if err != nil {
				break
			}
			if ws.Write(context.Background(), websocket.MessageBinary, buf[:n]) != nil {
				break
			}
		}
		if status >= 0 {
			_ = ws.Close(status, "")
		}
		_ = ws.CloseNow()
		up.Wait()
	}))
	t.Cleanup(front.Close)
	return "ws" + strings.TrimPrefix(front.URL, "http") + "/mqtt"
}

// Brokers close a WebSocket with different status codes, or with none. A forbidden
// publish is found in each case, and no other message is affected.
func TestForbiddenPublishOverWebSocket(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		for _, status := range []websocket.StatusCode{
			-1, websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusProtocolError, websocket.StatusNoStatusRcvd,
			websocket.StatusPolicyViolation, websocket.StatusInternalError,
		} {
			t.Run(fmt.Sprintf("%s status %d", protocol, status), func(t *testing.T) {
				t.Parallel()
				b := mqtttest.InProcess(t)
				forbid(b, testbroker.Publish, "forbidden", testbroker.End(0))
				spy := new(lossSpy)
				m, out := logged(t, webSocket(t, b.URL(), status), mqttbroker.WithProtocol(protocol), mqttbroker.WithHooks(spy),
					mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
				if err := m.Connect(); err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						if err := m.Publish(within(t, patience), fmt.Sprintf("free/%d", i), broker.NewMessage("x")); err != nil {
							t.Errorf("another topic: %v", err)
						}
					})
				}
				err := m.Publish(within(t, patience), "forbidden", broker.NewMessage("x"))
				all.Wait()
				convictedWithin(t, out)
				got := wantReason(t, err, event.ReasonRefused, 502)
				if !got.Convicted || event.LossKindOf(err) != event.LossPublish {
					t.Errorf("%+v", got)
				}
				oneVerdict(t, got, spy, out, m.Health().LastLoss)
			})
		}
	}
}
