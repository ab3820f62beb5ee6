package mqtt_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A dead letter is larger than its message. If it exceeds the broker's limit, it is
// stored without the payload and states what is missing. It does not stop a replay or
// other messages.
func TestLetterOverTheLimitIsKeptSmaller(t *testing.T) {
	t.Parallel()
	const limit, good = 100 << 10, 100
	for protocol, size := range map[string]int{"3.1.1": 90 << 10, "5": limit - 120} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := mqtttest.InProcess(t, testbroker.MaxPacket(limit))
			b, out := logged(t, s.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("small"), mqttbroker.WithServiceName("small"))
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			source, err := mqttbroker.NewPublisher(broker.WithAddress(s.URL()), mqttbroker.WithProtocol(protocol))
			if err != nil {
				t.Fatal(err)
			}
			if err := source.Start(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = source.Stop(context.Background()) })
			send := func(topic string, payload []byte) {
				t.Helper()
				if err := source.Publish(within(t, patience), topic, payload, event.QoS(1)); err != nil {
					t.Fatal(err)
				}
			}
			handled := make(chan string, 2*good)
			_, err = b.Subscribe("in/+", func(_ context.Context, e broker.Event) error {
				if e.Topic() == "in/bad" {
					return event.Permanent(errors.New("cannot be decoded"))
				}
				handled <- e.Topic()
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			bad := []byte(strings.Repeat("x", size))
			send("in/bad", bad)
			for i := range good {
				send(fmt.Sprint("in/", i), []byte("good"))
			}
			for range good {
				receive(t, handled)
			}
			store, err := b.DeadLetters()
			if err != nil {
				t.Fatal(err)
			}
			var letters []*deadletter.Letter
			mqtttest.Eventually(t, patience, func() bool {
				letters, err = store.List(within(t, patience), deadletter.Query{})
				return err == nil && len(letters) == 1
			})
			sum := sha256.Sum256(bad)
			want := deadletter.Omitted{Size: int64(size), SHA256: hex.EncodeToString(sum[:])}
			if l := letters[0]; l.Topic != "in/bad" || len(l.Payload) != 0 || l.Omitted != want || !strings.Contains(l.Reason, "cannot be decoded") {
				t.Errorf("letter %+v", l)
			}
			if h := b.Health(); h.LettersCut != 1 || h.LettersLost != 0 || h.DeadLettersBlocked {
				t.Errorf("%+v", h)
			}
			if !strings.Contains(out.String(), "is kept smaller") {
				t.Error("not told")
			}
			// A replay reports the letters that cannot be replayed, and replays the
			// others.
			other := *letters[0]
			other.ID, other.Topic, other.Payload, other.Omitted = "ffffffff-ffff-7fff-bfff-ffffffffffff", "in/again", []byte("good"), deadletter.Omitted{}
			if err := store.Put(within(t, patience), &other); err != nil {
				t.Fatal(err)
			}
			n, err := b.Replay(within(t, patience))
			if n != 1 || !errors.Is(err, deadletter.ErrOmitted) || !strings.Contains(err.Error(), fmt.Sprint(size)) || !strings.Contains(err.Error(), letters[0].ID) {
				t.Errorf("%d replayed, %v", n, err)
			}
			if got := receive(t, handled); got != "in/again" {
				t.Errorf("%s", got)
			}
		})
	}
}

// picky is a store that permanently refuses every letter, or every large one.
type picky struct {
	*deadletter.Memory
	most int
}

func (s picky) Put(ctx context.Context, l *deadletter.Letter) error {
	if n := len(l.Payload) + len(l.Topic) + 100*len(l.Headers); n > s.most {
		return fmt.Errorf("%w: %d", deadletter.ErrUnfit, n)
	}
	return s.Memory.Put(ctx, l)
}

// If a store permanently refuses every form of a letter, that message is lost, counted
// and reported. No other message is affected.
func TestLetterThatNoFormFits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		most      int
		cut, lost int64
		park      bool
	}{
		"without payload": {most: 50 + 300, cut: 1},
		"without headers": {most: 50, cut: 1},
		"parked":          {most: 50 + 300, cut: 1, park: true},
		"nothing":         {most: 0, lost: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := picky{deadletter.NewMemory(0), tt.most}
			b, out := logged(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("refusing"), mqttbroker.WithDeadLetters(store))
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			handled := make(chan string, 10)
			exhausted := event.ExhaustedDeadLetter
			if tt.park {
				exhausted = event.ExhaustedPark
			}
			_, err := b.Subscribe("in/+", func(_ context.Context, e broker.Event) error {
				if e.Topic() == "in/bad" {
					return errors.New("never")
				}
				handled <- e.Topic()
				return nil
			}, nil, broker.WithSubscribeRetry(0, time.Millisecond), mqttbroker.WithSubscribeExhausted(exhausted), mqttbroker.WithSubscribeParkMaxAttempts(0))
			if err != nil {
				t.Fatal(err)
			}
			publish(t, b, "in/bad", []byte(strings.Repeat("x", 1000)), mqttbroker.WithCallOptions(event.Header("a", "1"), event.Header("b", "2")))
			publish(t, b, "in/good", []byte("x"))
			receive(t, handled)
			mqtttest.Eventually(t, patience, func() bool {
				h := b.Health()
				return h.LettersCut == tt.cut && h.LettersLost == tt.lost && h.DroppedByPolicy == tt.lost && !h.DeadLettersBlocked
			})
			if st := stats(t, store); int64(st.Dead) != tt.cut || st.Parked != 0 {
				t.Errorf("%+v", st)
			}
			if tt.lost > 0 { // counted before it is reported
				mqtttest.Eventually(t, patience, func() bool {
					return strings.Contains(out.String(), "message discarded, as its store takes no dead letter of it")
				})
			}
		})
	}
}
