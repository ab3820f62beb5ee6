package client

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

const (
	maxHost = 253 // length of a name, RFC 1035
	// suffixes is the length of what is appended to client ids, in bytes: the suffix of the
	// publisher and the number of its connection.
	suffixes = 16
)

// checkTexts checks the texts in CONNECT. Its errors do not contain them.
func checkTexts(c *Config) error {
	var errs []error
	bad := func(section, key, format string, args ...any) {
		errs = append(errs, event.NewSettingError(section, key, format, args...))
	}
	for _, s := range []struct {
		key, text string
		max       int
	}{
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

// checkUpgrade refuses headers that would change the upgrade request or become other
// headers; Host is allowed. Values are secrets.
func checkUpgrade(h http.Header) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, event.NewSettingError("Connection", "websocket_headers", format, args...))
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		values := h[name]
		switch key := strings.ToLower(name); {
		case !httpguts.ValidHeaderFieldName(name):
			bad("%.40q is not the name of a header", name)
		case strings.HasPrefix(key, "sec-websocket-") || key == "upgrade" || key == "connection" ||
			key == "content-length" || key == "transfer-encoding":
			bad("%q belongs to the upgrade itself", name)
		}
		if strings.EqualFold(name, "Host") && (len(values) != 1 || !httpguts.ValidHostHeader(values[0])) {
			bad("Host is not a host name or host:port")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				bad("the value of %.40q has a control character", name)
			}
		}
	}
	return errors.Join(errs...)
}
