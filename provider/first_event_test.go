package provider_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/provider"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestFirstEvent starts services with client ids that are new to the broker. The event
// that the first HTTP request publishes must be handled, because BeforeStart subscribes
// before HTTP serves. reports.md A8; FIRST_EVENTS=100 runs it 100 times.
func TestFirstEvent(t *testing.T) {
	t.Parallel()
	rounds := 12
	if n, err := strconv.Atoi(os.Getenv("FIRST_EVENTS")); err == nil {
		rounds = n
	}
	ca := mqtttest.NewCA(t)
	b := mqtttest.Mosquitto(t, mqtttest.WithTLS(ca), mqtttest.WithWebSocket())
	urls := []string{b.URL(), b.TLSURL(), b.WebSocketURL()}
	for n := range rounds {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			c := &v1.Settings{
				Connection:  &v1.Connection{Addresses: []string{urls[n%len(urls)]}, ClientId: fmt.Sprint("fresh-", n), Protocol: "5"},
				DeadLetters: &v1.DeadLetters{Path: filepath.Join(t.TempDir(), "letters.db")},
			}
			if n%len(urls) == 1 {
				c.Connection.Tls = &v1.TLS{CaFile: ca.CertFile, ServerName: "localhost"}
			}
			firstEvent(t, c, fmt.Sprint("first/", n))
		})
	}
}

// firstEvent runs one service.
func firstEvent(t *testing.T, c *v1.Settings, topic string) {
	t.Helper()
	logger := log.NewFilter(log.DefaultLogger, log.FilterLevel(log.LevelError))
	s, closeStores, err := provider.Stores(c, provider.NoDatabase(), logger)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStores()
	b, disconnect, err := provider.Broker(c, s, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer disconnect()
	srv := provider.Server(c, s, logger)
	handled := make(chan string, 1)
	err = mqttserver.RegisterSubscriber(srv, t.Context(), topic, func(_ context.Context, _ string, _ broker.Headers, m *wrapperspb.StringValue) error {
		handled <- m.GetValue()
		return nil
	}, broker.WithSubscribeQueueName("savers"))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := khttp.NewServer(khttp.Listener(lis), khttp.Timeout(time.Minute))
	front.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if err := b.Publish(r.Context(), topic, broker.NewMessage(wrapperspb.String("the first"))); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	app := kratos.New(kratos.Server(front, srv), kratos.BeforeStart(srv.Start))
	ended := make(chan error, 1)
	go func() { ended <- app.Run() }()
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://" + lis.Addr().String()) // returns once HTTP serves
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	_ = answer.Body.Close()
	select {
	case text := <-handled:
		if text != "the first" {
			t.Errorf("handled %q", text)
		}
	case <-time.After(time.Minute):
		t.Error("the first event was not handled")
	}
	if err := app.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
