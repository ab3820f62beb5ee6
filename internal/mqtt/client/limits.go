package client

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Bounds of [Config] that keep a mistake in a file from taking all memory.
const (
	maxPayloadBound = session.DefaultMaxPacketSize
	maxWindow       = 16_384 // half of our packet identifiers
	maxConnections  = 128
	maxConcurrency  = 100_000
	maxQueue        = 10_000_000
	maxQueueBytes   = 1 << 40
	maxAliases      = math.MaxUint16
	maxHost         = 253 // of a name, RFC 1035
	// suffixes is what client ids get behind them, in bytes: that of the
	// publisher and the number of its connection.
	suffixes = 16
	// shortest is the least time that is meant as such.
	shortest = time.Millisecond
)

// checkBounds finds what is too large, too short, or no text.
func (c *Config) checkBounds() error {
	var errs []error
	bad := func(section, key, format string, args ...any) {
		errs = append(errs, event.Setting(section, key, format, args...))
	}
	for _, n := range []struct {
		section, key string
		value, max   int64
	}{
		{"Publisher", "max_payload", int64(c.MaxPayload), maxPayloadBound},
		{"Publisher", "in_flight", int64(c.Window), maxWindow},
		{"Publisher", "connections", int64(c.Connections), maxConnections},
		{"Publisher", "topic_aliases", int64(c.TopicAliases), maxAliases},
		{"Subscriber", "max_payload", int64(c.MaxInbound), maxPayloadBound},
		{"Subscriber", "concurrency", int64(c.Concurrency), maxConcurrency},
		{"Subscriber", "queue", int64(c.Queue), maxQueue},
		{"Subscriber", "queue_bytes", c.QueueBytes, maxQueueBytes},
		{"DeadLetters", "max_letters", int64(c.MaxLetters), math.MaxInt64},
		{"DeadLetters", "max_bytes", c.MaxLetterBytes, math.MaxInt64},
		{"DeadLetters", "share", int64(c.LetterShare), math.MaxInt32},
	} {
		if n.value < 0 || n.value > n.max {
			bad(n.section, n.key, "is %d, want 1 to %d, or nothing for the default", n.value, n.max)
		}
	}
	for _, d := range []struct {
		section, key string
		value, min   time.Duration
	}{
		{"Connection", "keep_alive", c.KeepAlive, 0},
		{"Connection", "connect_timeout", c.ConnectTimeout, shortest},
		{"Connection", "write_timeout", c.WriteTimeout, shortest},
		{"Connection", "max_reconnect_delay", c.MaxReconnectDelay, 0},
		{"Connection", "session_expiry", c.SessionExpiry, 0},
		{"Publisher", "timeout", c.PublishTimeout, shortest},
		{"Subscriber", "handler_timeout", c.HandlerTimeout, shortest},
		{"Subscriber", "retry_budget", c.RetryBudget, 0},
		{"DeadLetters", "park_limit", c.ParkLimit, 0},
		{"DeadLetters", "store_timeout", c.StoreTimeout, 0},
	} {
		if d.value < 0 || d.value > 0 && d.value < d.min {
			bad(d.section, d.key, "is %v, want at least %v", d.value, d.min)
		}
	}
	if c.KeepAlive > math.MaxUint16*time.Second {
		bad("Connection", "keep_alive", "is %v, want at most 65535s [MQTT-3.1.2-10]", c.KeepAlive)
	}
	return errors.Join(append(errs, c.checkTexts(), checkUpgrade(c.Header))...)
}

// checkTexts looks at what CONNECT carries, without repeating any of it.
func (c *Config) checkTexts() error {
	var errs []error
	bad := func(section, key, format string, args ...any) {
		errs = append(errs, event.Setting(section, key, format, args...))
	}
	for _, s := range []struct {
		key, text string
		max       int
	}{
		{"client_id", c.ClientID, math.MaxUint16 - suffixes},
		{"username", c.Username, math.MaxUint16},
	} {
		if err := checkText(s.text, s.max); err != nil {
			bad("Connection", s.key, "%w", err)
		}
	}
	for i, a := range c.Addresses {
		key := fmt.Sprintf("addresses[%d]", i)
		if err := checkText(a.Username, math.MaxUint16); err != nil {
			bad("Connection", key, "its user name %w", err)
		}
		if err := checkText(a.Host, maxHost); err != nil {
			bad("Connection", key, "its host %w", err)
		}
	}
	if n := len(c.Password); n > math.MaxUint16 {
		bad("Connection", "password", "has %d bytes, want at most %d", n, math.MaxUint16)
	}
	if c.Password != "" && c.Username == "" && c.Protocol == session.Version31 {
		bad("Connection", "password", "is set without a user name, which MQTT 3.1.1 does not have [MQTT-3.1.2-22]")
	}
	if strings.HasPrefix(c.DeadLetterTopic, "$") {
		bad("Subscriber", "dead_letter_topic", "starts with $, which belongs to the broker [MQTT-4.7.2-1]")
	}
	if c.Will != nil && strings.HasPrefix(c.Will.Topic, "$") {
		bad("Connection", "will.topic", "starts with $, which belongs to the broker [MQTT-4.7.2-1]")
	}
	return errors.Join(errs...)
}

func checkText(s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("has %d bytes, want at most %d", len(s), most)
	case !utf8.ValidString(s):
		return errors.New("is not valid UTF-8 [MQTT-1.5.4-1]")
	case strings.ContainsRune(s, 0):
		return errors.New("contains U+0000 [MQTT-1.5.4-2]")
	}
	return nil
}

// checkUpgrade refuses headers that would change the upgrade request itself, or
// end up as other headers; a Host may be chosen. Values are secrets.
func checkUpgrade(h http.Header) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, event.Setting("Connection", "websocket_headers", format, args...))
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		values := h[name]
		switch key := strings.ToLower(name); {
		case !httpguts.ValidHeaderFieldName(name):
			bad("%.40q is no name of a header", name)
		case strings.HasPrefix(key, "sec-websocket-") || key == "upgrade" || key == "connection" ||
			key == "content-length" || key == "transfer-encoding":
			bad("%q belongs to the upgrade itself", name)
		}
		if strings.EqualFold(name, "Host") && (len(values) != 1 || !httpguts.ValidHostHeader(values[0])) {
			bad("Host is no host name or host:port")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				bad("the value of %.40q has a control character", name)
			}
		}
	}
	return errors.Join(errs...)
}
