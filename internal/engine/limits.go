package engine

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
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
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, n := range []struct {
		name       string
		value, max int
	}{
		{"maximum payload", c.MaxPayload, maxPayloadBound},
		{"maximum payload to receive", c.MaxInbound, maxPayloadBound},
		{"in-flight window", c.Window, maxWindow},
		{"publisher connections", c.Connections, maxConnections},
		{"concurrency", c.Concurrency, maxConcurrency},
		{"queue", c.Queue, maxQueue},
		{"topic aliases", c.TopicAliases, maxAliases},
	} {
		if n.value > n.max {
			bad("%s of %d, want at most %d", n.name, n.value, n.max)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"connect timeout", c.ConnectTimeout},
		{"write timeout", c.WriteTimeout},
		{"publish timeout", c.PublishTimeout},
		{"handler timeout", c.HandlerTimeout},
	} {
		if d.value > 0 && d.value < shortest {
			bad("%s of %v, want at least %v", d.name, d.value, shortest)
		}
	}
	if c.KeepAlive > math.MaxUint16*time.Second {
		bad("keep-alive of %v, want at most 65535 s", c.KeepAlive)
	}
	return errors.Join(append(errs, c.checkTexts(), checkUpgrade(c.Header))...)
}

// checkTexts looks at what CONNECT carries, without repeating any of it.
func (c *Config) checkTexts() error {
	var errs []error
	for _, s := range []struct {
		name, text string
		max        int
	}{
		{"client id", c.ClientID, math.MaxUint16 - suffixes},
		{"user name", c.Username, math.MaxUint16},
	} {
		if err := checkText(s.text, s.max); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", s.name, err))
		}
	}
	for i, a := range c.Addresses {
		if err := checkText(a.Username, math.MaxUint16); err != nil {
			errs = append(errs, fmt.Errorf("user name in broker address %d %w", i+1, err))
		}
		if err := checkText(a.Host, maxHost); err != nil {
			errs = append(errs, fmt.Errorf("host in broker address %d %w", i+1, err))
		}
	}
	if n := len(c.Password); n > math.MaxUint16 {
		errs = append(errs, fmt.Errorf("password of %d bytes, want at most %d", n, math.MaxUint16))
	}
	if c.Password != "" && c.Username == "" && c.Protocol == session.Version31 {
		errs = append(errs, errors.New("password without a user name, which MQTT 3.1.1 does not have [MQTT-3.1.2-22]"))
	}
	if strings.HasPrefix(c.DeadLetterTopic, "$") {
		errs = append(errs, errors.New("dead-letter topic starts with $, which belongs to the broker [MQTT-4.7.2-1]"))
	}
	if c.Will != nil && strings.HasPrefix(c.Will.Topic, "$") {
		errs = append(errs, errors.New("will: the topic starts with $, which belongs to the broker [MQTT-4.7.2-1]"))
	}
	return errors.Join(errs...)
}

func checkText(s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("of %d bytes, want at most %d", len(s), most)
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
	for name, values := range h {
		switch key := strings.ToLower(name); {
		case !token(name):
			errs = append(errs, fmt.Errorf("WebSocket header %.40q is no name of a header", name))
		case strings.HasPrefix(key, "sec-websocket-") || key == "upgrade" || key == "connection" ||
			key == "content-length" || key == "transfer-encoding":
			errs = append(errs, fmt.Errorf("WebSocket header %q belongs to the upgrade itself", name))
		}
		if strings.EqualFold(name, "Host") && (len(values) != 1 || !httpguts.ValidHostHeader(values[0])) {
			errs = append(errs, errors.New("WebSocket header Host is no host name or host:port"))
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) {
				errs = append(errs, fmt.Errorf("value of WebSocket header %.40q has a control character", name))
			}
		}
	}
	return errors.Join(errs...)
}

func token(s string) bool {
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
