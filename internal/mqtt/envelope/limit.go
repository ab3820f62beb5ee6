package envelope

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Limits of the headers of a message, sent or received: its user properties, or the
// attributes of its CloudEvent.
const (
	// MaxHeaders is the maximum number of headers.
	MaxHeaders = 64
	// MaxHeaderKey is the longest name, in bytes.
	MaxHeaderKey = 128
	// MaxHeaderBytes is the maximum total size of names and values, in bytes.
	MaxHeaderBytes = 8 << 10
	// MaxID is the longest id of a message, in bytes: ids are remembered for as long as
	// duplicates may arrive.
	MaxID = 256
)

// The part of the limits that is reserved for our own headers: the id and the sequence
// numbers of a message.
const (
	ownHeaders     = 4
	ownHeaderBytes = 512
)

// CheckHeaders returns an error for received headers that exceed the limits.
func CheckHeaders(list []session.UserProperty) error {
	return checkHeaders(list, MaxHeaders, MaxHeaderBytes)
}

// CheckSent returns an error for headers to be sent, not yet including the id and the
// sequence numbers of the message, that would exceed the limits of the receiver.
func CheckSent(list []session.UserProperty) error {
	return checkHeaders(list, MaxHeaders-ownHeaders, MaxHeaderBytes-ownHeaderBytes)
}

func checkHeaders(list []session.UserProperty, most, bytes int) error {
	if len(list) > most {
		return fmt.Errorf("%d headers, want at most %d", len(list), most)
	}
	total := 0
	for _, u := range list {
		if len(u.Key) > MaxHeaderKey {
			return fmt.Errorf("header %q... has a name of %d bytes, want at most %d", logsafe.Cut(u.Key, 32), len(u.Key), MaxHeaderKey)
		}
		if strings.EqualFold(u.Key, idKey) && len(u.Value) > MaxID {
			return fmt.Errorf("id of %d bytes, want at most %d", len(u.Value), MaxID)
		}
		total += len(u.Key) + len(u.Value)
	}
	if total > bytes {
		return fmt.Errorf("headers of %d bytes, want at most %d", total, bytes)
	}
	return nil
}

// CheckHeaderText refuses a header for which a broker may end the connection: a name or
// value that is not UTF-8 or contains U+0000 [MQTT-1.5.4-1], [MQTT-1.5.4-2], or contains
// control characters or non-characters. Section 1.5.4 leaves the latter to the receiver;
// Mosquitto refuses them.
func CheckHeaderText(u session.UserProperty) error {
	if u.Key == "" {
		return errors.New("it has no name")
	}
	if err := checkPlain(u.Key); err != nil {
		return fmt.Errorf("its name %w", err)
	}
	if err := checkPlain(u.Value); err != nil {
		return fmt.Errorf("its value %w", err)
	}
	return nil
}

func checkPlain(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("is not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("contains the control character %U", r)
		}
		if r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE {
			return fmt.Errorf("contains the non-character %U", r)
		}
	}
	return nil
}
