package mqtt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/uuid"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// ids returns a channel that receives the ids of the messages of a filter.
func ids(t *testing.T, b *mqttbroker.Broker, filter string) <-chan string {
	t.Helper()
	got := make(chan string, 100)
	_, err := b.Subscribe(filter, func(_ context.Context, e broker.Event) error {
		got <- e.Message().ID
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Every message has an id, the caller's or a UUIDv7, if its format can carry one.
func TestMessageIDs(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	for name, opts := range map[string][]broker.Option{
		"5":          {mqttbroker.WithProtocol("5")},
		"5 events":   {mqttbroker.WithProtocol("5"), mqttbroker.WithCloudEvents("/s")},
		"3.1.1 bare": {mqttbroker.WithProtocol("3.1.1")},
		"3.1.1":      {mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithCloudEvents("/s")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, out := logged(t, url, opts...)
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			topic := "ids/" + name
			got := ids(t, b, topic)
			send := func(want string, msg *broker.Message, opts ...broker.PublishOption) {
				t.Helper()
				if err := b.Publish(within(t, patience), topic, msg, opts...); err != nil {
					t.Fatal(err)
				}
				id := receive(t, got)
				switch u, err := uuid.Parse(id); {
				case name == "3.1.1 bare":
					if id != "" {
						t.Errorf("id %q", id)
					}
				case want == "" && (err != nil || u.Version() != 7):
					t.Errorf("id %q, want a UUIDv7", id)
				case want != "" && id != want:
					t.Errorf("id %q, want %q", id, want)
				}
			}
			send("", broker.NewMessage("x"))
			send("", broker.NewMessage("x"), broker.WithPublishAsync(nil))
			if n := out.count("headers are not sent"); n != 0 {
				t.Error("an id that nobody asked for counts as a lost header")
			}
			send("a", broker.NewMessage("x", broker.WithID("a")))
			send("b", broker.NewMessage("x", broker.WithHeader("id", "b")))
			send("c", broker.NewMessage("x", broker.WithID("a"), broker.WithHeader("id", "b")), mqttbroker.WithCallOptions(event.ID("c")))
		})
	}
}

// A publish of bytes has an id if that is requested.
func TestMessageIDsOfThePublisher(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	got := ids(t, connected(t, url, mqttbroker.WithProtocol("5")), "native")
	for _, enable := range []bool{false, true} {
		p := publisher(t, url, "5", mqttbroker.WithMessageIDs(enable))
		ctx := within(t, patience)
		if err := p.Publish(ctx, "native", []byte("x"), event.ID("own"), event.Header("k", "v")); err != nil {
			t.Fatal(err)
		}
		if id := receive(t, got); id != "own" {
			t.Errorf("id %q", id)
		}
		for _, opts := range [][]event.CallOption{nil, {event.Header("k", "v")}} {
			if err := p.Publish(ctx, "native", []byte("x"), opts...); err != nil {
				t.Fatal(err)
			}
			id := receive(t, got)
			if u, err := uuid.Parse(id); enable != (err == nil && u.Version() == 7) || !enable && id != "" {
				t.Errorf("id %q, enabled %t", id, enable)
			}
		}
	}
}

// publishFails starts an MQTT 5 broker that refuses the first publishes of a topic with
// the given codes, and passes on the properties of each publish.
func publishFails(t *testing.T, codes ...byte) (url string, got <-chan string) {
	t.Helper()
	ch := make(chan string, 100)
	n := 0
	return mqtttest.ScriptedBroker(t, func(conn net.Conn) {
		for {
			p, err := mqtttest.ReadPacket(conn)
			if err != nil {
				return
			}
			answer := []byte{0x20, 3, 0, 0, 0}
			switch p.Type() {
			case mqtttest.TypeConnect:
			case mqtttest.TypePublish:
				ch <- string(p.Payload())
				answer = binary.BigEndian.AppendUint16([]byte{0x40 + 0x10*(p.QoS()-1), 2}, p.ID())
				if n < len(codes) {
					answer[1], answer = 3, append(answer, codes[n])
					n++
				}
			case mqtttest.TypePubrel:
				answer = binary.BigEndian.AppendUint16([]byte{0x70, 2}, p.ID())
			default:
				continue
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}).URL(), ch
}

// A message that the broker refuses temporarily is published again, with the same id.
func TestRefusedPublishIsTriedAgain(t *testing.T) {
	t.Parallel()
	const quota, denied = 0x97, 0x87
	msg := broker.NewMessage("x")
	quick := mqttbroker.WithRetry(0, time.Millisecond, 10*time.Millisecond)

	t.Run("until it is accepted", func(t *testing.T) {
		t.Parallel()
		url, got := publishFails(t, quota, quota)
		b := connected(t, url, mqttbroker.WithProtocol("5"), quick)
		if err := b.Publish(context.Background(), "a", msg); err != nil {
			t.Fatal(err)
		}
		first := receive(t, got)
		if again := []string{receive(t, got), receive(t, got)}; !slices.Equal(again, []string{first, first}) || len(first) < 40 {
			t.Errorf("first %q, then %q", first, again)
		}
	})
	t.Run("native", func(t *testing.T) {
		t.Parallel()
		url, got := publishFails(t, quota)
		p := publisher(t, url, "5", quick, mqttbroker.WithMessageIDs(true))
		if err := p.Publish(t.Context(), "a", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if a, b := receive(t, got), receive(t, got); a != b {
			t.Errorf("first %q, then %q", a, b)
		}
	})
	t.Run("QoS 2 that was refused", func(t *testing.T) {
		t.Parallel()
		url, got := publishFails(t, quota)
		b := connected(t, url, mqttbroker.WithProtocol("5"), quick)
		if err := b.Publish(t.Context(), "a", msg, mqttbroker.WithPublishQos(2)); err != nil {
			t.Fatal(err)
		}
		receive(t, got)
		receive(t, got)
	})
	t.Run("within the time of the call", func(t *testing.T) {
		t.Parallel()
		url, _ := publishFails(t, slices.Repeat([]byte{quota}, 1000)...)
		b := connected(t, url, mqttbroker.WithProtocol("5"), quick, mqttbroker.WithPublisherConfig(publisherTimeout(100*time.Millisecond)))
		started := time.Now()
		err := b.Publish(context.Background(), "a", msg)
		var e *event.Error
		if !errors.As(err, &e) || e.Reason != event.ReasonQuota && e.Reason != event.ReasonTimeout { // depends on how the last attempt ends
			t.Errorf("got %v", err)
		}
		if took := time.Since(started); took > soon {
			t.Errorf("took %v", took)
		}
	})
	for name, tt := range map[string]struct {
		code byte
		opts []broker.Option
		per  []broker.PublishOption
		why  event.Reason
		kode int
	}{
		"not what stays refused":  {denied, nil, nil, event.ReasonNotAuthorized, 403},
		"not beyond the attempts": {quota, []broker.Option{mqttbroker.WithRetry(1, 0, 0)}, nil, event.ReasonQuota, 429},
		"not when told so":        {quota, nil, []broker.PublishOption{broker.WithPublishRetries(0)}, event.ReasonQuota, 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, got := publishFails(t, tt.code)
			b := connected(t, url, append([]broker.Option{mqttbroker.WithProtocol("5")}, tt.opts...)...)
			wantReason(t, b.Publish(t.Context(), "a", msg, tt.per...), tt.why, tt.kode)
			receive(t, got)
			if len(got) > 0 {
				t.Error("published again")
			}
		})
	}
}

func TestPublishRetryIsChecked(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]broker.Option{
		"attempts":      mqttbroker.WithRetry(-1, 0, 0),
		"negative":      mqttbroker.WithRetry(0, -1, 0),
		"upside down":   mqttbroker.WithRetry(0, 2, 1),
		"below default": mqttbroker.WithRetry(0, 0, -1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := mqttbroker.NewPublisher(broker.WithAddress("mqtt://127.0.0.1"), opt, mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)))
			wantReason(t, err, event.ReasonBadRequest, 400)
		})
	}
}
