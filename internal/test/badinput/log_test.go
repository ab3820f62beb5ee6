package badinput_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// forgeries are texts with which a remote client may try to forge log lines. They are valid
// UTF-8 without U+0000, so that MQTT transports them.
func forgeries() map[string]string {
	return map[string]string{
		"line feed":            "a\nERROR forged",
		"carriage return":      "a\rERROR forged",
		"both":                 "a\r\nERROR forged",
		"vertical tab":         "a\vERROR forged\f",
		"escape":               "\x1b[31mERROR forged\x1b[0m",
		"title of a terminal":  "\x1b]0;forged\a",
		"backspace":            "password\b\b\b\b\b\b\b\bforged",
		"C1 next line":         "a\u0085ERROR forged",
		"C1 CSI":               "\u009b31mforged",
		"line separator":       "a\u2028ERROR forged",
		"paragraph separator":  "a\u2029ERROR forged",
		"right to left":        "abc\u202eforged",
		"isolate":              "abc\u2066forged",
		"byte order mark":      "\ufeffforged",
		"tag characters":       "a\U000e0041\U000e0042",
		"verbs of a format":    "%s%n%d%!v(PANIC=forged)%",
		"quotes and backslash": `"\" msg="forged`,
		"60 KiB":               strings.Repeat("forged ", 8_000),
	}
}

// reason encodes a property list with a reason string.
func reason(text string) []byte {
	p := append([]byte{0x1F}, mqtttest.StringField(text)...)
	return append(variable(len(p)), p...)
}

// TestNobodyForgesALogLine puts forgeries into every text of brokers, publishers and handlers that
// is logged or returned in an error.
func TestNobodyForgesALogLine(t *testing.T) {
	t.Parallel()
	for name, text := range forgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, 5, func(c net.Conn, n int, when string) bool {
				if n > 1 || when != "connack" {
					return false
				}
				_, _ = c.Write(mqtttest.PacketOf(0x20, []byte{0, 0x88}, reason(text)))
				return true
			})
			done := make(outcomes, 100)
			srv, out := client(t, p.URL(), 5, mqttserver.WithBrokerOptions(mqttbroker.WithHooks(done), mqttbroker.WithDeadLetters(letters{deadletter.NewMemory(100)}),
				mqttbroker.WithSubscriberConfig(&v1.Subscriber{
					RetryBudget: durationpb.New(300 * time.Millisecond), UnmatchedGrace: durationpb.New(0),
				})))
			handle(t, srv, "t/#", func(context.Context, *reading) error { return errors.New(text) })
			handle(t, srv, "k/#", func(context.Context, *reading) error { return kerrors.BadRequest(text, text) })
			handle(t, srv, "p/#", func(context.Context, *reading) error { panic(text) })
			if err := srv.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			wait(t, srv)
			before := p.connections.Load()
			p.send(t, mqtttest.PacketOf(0xE0, []byte{0x8B}, reason(text)))
			mqtttest.Eventually(t, patience, func() bool { return p.connections.Load() > before && srv.Health().Ready })
			topic := text[:min(len(text), 10_000)]
			for i, prefix := range []string{"t/", "k/", "p/"} {
				p.send(t, message(uint16(i+1), prefix+topic, `{"celsius":1}`))
				if got := result(t, done); !got.letter || got.topic != prefix+topic {
					t.Errorf("%+v", got)
				}
			}
			p.send(t, message(4, "t/"+topic, `{"celsius":`+text)) // undecodable
			if got := result(t, done); !oneLine(got.err.Error()) || len(got.err.Error()) > 1500 {
				t.Errorf("error %q", got.err)
			}
			p.send(t, message(5, "unmatched/"+topic, ""))
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().UnmatchedLetters == 1 })
			checkForgery(t, out.String())
		})
	}
}

func message(id uint16, topic, payload string) []byte {
	return mqtttest.PublishPacket(5, id, topic, 1, payload)
}

// letters stores dead letters and parks nothing.
type letters struct{ *deadletter.Memory }

func (letters) Parks() bool { return false }

// checkForgery is checkLog for logs with stack traces.
func checkForgery(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "ERROR forged") || strings.ContainsFunc(line, func(r rune) bool {
			return r != '\t' && r != ' ' && !unicode.IsPrint(r)
		}) {
			t.Errorf("log line %.300q", line)
		}
		if len(line) > 20_000 { // escaped, a byte takes four
			t.Errorf("log line of %d bytes: %.200q", len(line), line)
		}
	}
	if !strings.Contains(text, "dead-lettered") || !strings.Contains(text, "handler panicked") {
		t.Error("the log does not say what happened")
	}
}

// TestRefusalsAreOneLine checks the broker's reason strings in errors that callers receive.
func TestRefusalsAreOneLine(t *testing.T) {
	t.Parallel()
	for name, text := range forgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, 5, func(c net.Conn, _ int, when string) bool {
				if when != "suback" {
					return false
				}
				_, _ = c.Write(mqtttest.PacketOf(0x90, mqtttest.Uint16Field(1), reason(text), []byte{0x87}))
				return closed(c)
			})
			p.refusal = reason(text)
			srv, out := client(t, p.URL(), 5)
			if err := srv.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := srv.Publish(ctx, "a", broker.NewMessage(reading{1}))
			if err == nil || !oneLine(err.Error()) {
				t.Errorf("publish: %.300q", err)
			}
			err = mqttserver.RegisterSubscriber(srv, ctx, "a",
				func(context.Context, string, broker.Headers, *reading) error { return nil })
			if err == nil || !oneLine(err.Error()) {
				t.Errorf("subscribe: %.300q", err)
			}
			checkLog(t, out.String())
		})
	}
}
