package mqtt_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// lettersIn opens a file of dead letters, and returns a function that reports its size.
func lettersIn(t *testing.T, o deadletterfile.Options) (*deadletterfile.Store, func() int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "letters.db")
	store, err := deadletterfile.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
}

// sender publishes at QoS 1 and waits for the acknowledgements.
func sender(t *testing.T, url, protocol string) func(topic string, payload []byte, n int) {
	t.Helper()
	source, err := mqttbroker.NewPublisher(broker.WithAddress(url), mqttbroker.WithProtocol(protocol), mqttbroker.WithPublisherConfig(&v1.Publisher{MaxPayload: 1 << 20}))
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Stop(context.Background()) })
	return func(topic string, payload []byte, n int) {
		t.Helper()
		for range n {
			if err := source.Publish(within(t, patience), topic, payload, event.QoS(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A device whose messages all become dead letters uses up only its share of the store.
// Messages of others are neither delayed nor lost.
func TestOneDeviceCannotFillTheLetters(t *testing.T) {
	t.Parallel()
	const bound, bad, good = 500, 600, 30
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			m := mqtttest.Mosquitto(t)
			store, _ := lettersIn(t, deadletterfile.Options{MaxLetters: bound})
			b, out := logged(t, m.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("saver"), mqttbroker.WithDeadLetters(store))
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			stored, reports := make(chan string, 2*good), make(chan string, 1)
			_, err := b.Subscribe("devices/+/data", func(_ context.Context, e broker.Event) error {
				if strings.HasPrefix(e.Topic(), "devices/A/") {
					return event.Permanent(errors.New("cannot be decoded"))
				}
				stored <- e.Topic()
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = b.Subscribe("reports", func(_ context.Context, e broker.Event) error { reports <- e.Topic(); return nil }, nil); err != nil {
				t.Fatal(err)
			}
			send := sender(t, m.URL(), protocol)
			send("devices/A/data", []byte("\x00"), bad)
			send("devices/B/data", []byte("20.5"), good)
			send("reports", []byte("{}"), 1)
			for range good {
				receive(t, stored)
			}
			receive(t, reports)
			mqtttest.Eventually(t, patience, func() bool { return b.Health().LettersOverShare == bad-bound/2 }) // other keys did not wait
			st, err := store.Stats(t.Context())
			if err != nil || st.Dead != bound/2 {
				t.Errorf("%d letters, %v; want %d: half of the bound", st.Dead, err, bound/2)
			}
			if at := b.Health().LetterLostAt; time.Since(at) > time.Minute {
				t.Errorf("the last message was discarded at %v", at)
			}
			if h := b.Health(); h.LettersOverShare != bad-bound/2 || h.DroppedByPolicy != bad-bound/2 || h.DeadLettersBlocked {
				t.Errorf("%d messages over the share, %d discarded, blocked %v", h.LettersOverShare, h.DroppedByPolicy, h.DeadLettersBlocked)
			}
			lines := out.String()
			if n := strings.Count(lines, "mqtt: message dead-lettered"); n == 0 || n > 50 {
				t.Errorf("%d lines of %d letters in the log", n, bad)
			}
			if n := strings.Count(lines, "taken its share"); n != 1 {
				t.Errorf("%d lines of what was discarded, want 1", n)
			}
			// Others have a share, too.
			send("devices/C/data", []byte("20.5"), 1)
			receive(t, stored)
		})
	}
}

// Of a payload over the limit only size and hash are stored, so that the disk has a
// limit in bytes. A page of letters has one, too.
func TestLettersAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	t.Run("over the payload limit", func(t *testing.T) {
		t.Parallel()
		const letters, size = 200, 1_000_000
		m := mqtttest.Mosquitto(t)
		store, disk := lettersIn(t, deadletterfile.Options{})
		b := connected(t, m.URL(), mqttbroker.WithClientId("saver"), mqttbroker.WithDeadLetters(store))
		if _, err := b.Subscribe("devices/+/data", func(context.Context, broker.Event) error { return nil }, nil); err != nil {
			t.Fatal(err)
		}
		payload := []byte(strings.Repeat("x", size))
		sender(t, m.URL(), "3.1.1")("devices/A/data", payload, letters)
		mqtttest.Eventually(t, patience, func() bool { st, err := store.Stats(t.Context()); return err == nil && st.Dead == letters })
		if n := disk(); n > 4<<20 {
			t.Errorf("%d bytes on disk", n)
		}
		page, err := store.List(t.Context(), deadletter.Query{Limit: 1})
		if err != nil || len(page) != 1 {
			t.Fatalf("%d letters, %v", len(page), err)
		}
		sum := sha256.Sum256(payload)
		if o := page[0].Omitted; len(page[0].Payload) != 0 || o.Size != size || o.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%d bytes, %+v", len(page[0].Payload), o)
		}
	})
	t.Run("within it", func(t *testing.T) {
		t.Parallel()
		const letters, size, most = 60, 200_000, 4 << 20
		m := mqtttest.Mosquitto(t)
		store, disk := lettersIn(t, deadletterfile.Options{MaxBytes: most})
		b := connected(t, m.URL(), mqttbroker.WithClientId("saver"), mqttbroker.WithDeadLetters(store))
		_, err := b.Subscribe("devices/+/data", func(context.Context, broker.Event) error { return event.Permanent(errors.New("bad")) }, nil)
		if err != nil {
			t.Fatal(err)
		}
		sender(t, m.URL(), "3.1.1")("devices/A/data", []byte(strings.Repeat("x", size)), letters)
		mqtttest.Eventually(t, patience, func() bool { return b.Health().LettersCut > 0 })
		st, err := store.Stats(t.Context())
		if err != nil || st.Bytes > most/2 || st.MaxBytes != most {
			t.Errorf("%+v, %v", st, err)
		}
		if n := disk(); n > 3*most {
			t.Errorf("%d bytes on disk", n)
		}
		// The limit of bytes is reached before the limit of letters: later letters are
		// stored without their payload.
		mqtttest.Eventually(t, patience, func() bool { h := b.Health(); return int(h.LettersCut+h.LettersOverShare)+st.Dead >= letters })
		page, err := store.List(t.Context(), deadletter.Query{Bytes: 1 << 20})
		if err != nil || len(page) != 5 {
			t.Errorf("%d letters on a page of 1 MiB, %v", len(page), err)
		}
	})
}

// With the option, a message over the share waits instead.
func TestOverShareBlocks(t *testing.T) {
	t.Parallel()
	store, _ := lettersIn(t, deadletterfile.Options{MaxLetters: 16})
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithClientId("saver"), mqttbroker.WithDeadLetters(store), mqttbroker.WithBlockOverShare())
	_, err := b.Subscribe("devices/+/data", func(context.Context, broker.Event) error { return event.Permanent(errors.New("bad")) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		publish(t, b, "devices/A/data", fmt.Sprint(i))
	}
	mqtttest.Eventually(t, patience, func() bool {
		h := b.Health()
		return h.DeadLettersBlocked && errors.Is(h.DeadLetterError, deadletter.ErrShare) && h.LettersOverShare == 0
	})
	if n, err := deadletter.Delete(t.Context(), store); n != 8 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	mqtttest.Eventually(t, patience, func() bool { return !b.Health().DeadLettersBlocked })
}

// Parked messages count as well: a key whose messages all wait uses up its share.
// Further messages of the key are not parked, which leaves room for others.
func TestParkedMessagesHaveAShare(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(16)
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithClientId("saver"), mqttbroker.WithDeadLetters(store))
	stored := make(chan string, 10)
	_, err := b.Subscribe("devices/+/data", func(_ context.Context, e broker.Event) error {
		if !strings.HasPrefix(e.Topic(), "devices/B/") {
			return errors.New("not yet")
		}
		stored <- e.Topic()
		return nil
	}, nil, broker.WithSubscribeRetry(0, time.Hour), mqttbroker.WithSubscribeMaxBackoff(time.Hour),
		mqttbroker.WithSubscribeExhausted(event.ExhaustedPark), mqttbroker.WithSubscribeParkMaxAttempts(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		publish(t, b, "devices/A/data", fmt.Sprint(i))
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().LettersOverShare == 22 })
	publish(t, b, "devices/C/data", "x")
	mqtttest.Eventually(t, patience, func() bool { st := stats(t, store); return st.Parked == 9 && st.Dead == 0 })
	publish(t, b, "devices/B/data", "x")
	receive(t, stored)
}

// Retained letters have shares, even if a process starts with letters of an earlier
// one.
func TestRetainedLettersHaveShares(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			m := mqtttest.Mosquitto(t)
			for start, want := range []int{8, 8} {
				b := open(t, m.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("saver"), mqttbroker.WithServiceName("shop"),
					mqttbroker.WithDeadLettersConfig(&v1.DeadLetters{MaxLetters: 16}))
				if err := b.Connect(); err != nil {
					t.Fatal(err)
				}
				bad := func(context.Context, broker.Event) error { return event.Permanent(errors.New("bad")) }
				if _, err := b.Subscribe("devices/+/data", bad, nil); err != nil {
					t.Fatal(err)
				}
				for i := range 20 {
					publish(t, b, "devices/A/data", fmt.Sprint(i))
				}
				mqtttest.Eventually(t, patience, func() bool { return b.Health().LettersOverShare == int64(12+8*start) })
				publish(t, b, fmt.Sprintf("devices/%d/data", start), "x")
				store, err := b.DeadLetters()
				if err != nil {
					t.Fatal(err)
				}
				mqtttest.Eventually(t, patience, func() bool {
					st, err := store.Stats(within(t, patience))
					return err == nil && st.Dead == want+start+1 && st.Max == 16 && st.Bytes > 0
				})
				if err := b.Disconnect(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Errors in the dead-letter configuration name the key.
func TestLetterSettingsAreChecked(t *testing.T) {
	t.Parallel()
	err := mqttbroker.Check(&v1.Settings{
		Connection:  &v1.Connection{Addresses: []string{"mqtt://h:1"}, ClientId: "c"},
		DeadLetters: &v1.DeadLetters{Driver: "retained", OverShare: "shrink", SigningKeys: []string{strings.Repeat("k", 32), "secret"}},
	}, false)
	for _, want := range []string{`dead_letters.over_share: is "shrink", want drop or block`, "dead_letters.signing_keys: key 2 has 6 bytes, want at least 32"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Error("a key is in the error")
	}
}
