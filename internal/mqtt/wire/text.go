package wire

import (
	"bytes"
	"unicode/utf8"
)

// checkText checks the rules for every string: well-formed UTF-8 without
// surrogates [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2].
func checkText(t Type, field string, s []byte) error {
	if !utf8.Valid(s) {
		return illFormed(t, "MQTT-1.5.4-1", field+" is not valid UTF-8")
	}
	if bytes.IndexByte(s, 0) >= 0 {
		return illFormed(t, "MQTT-1.5.4-2", field+" contains U+0000")
	}
	return nil
}

// checkTopic checks a topic name: not empty, valid text, no wildcards.
// wildcardRule is the rule to report for a wildcard.
func checkTopic(field string, s []byte, wildcardRule string) error {
	if len(s) == 0 {
		return illFormed(TypePublish, "MQTT-4.7.3-1", field+" is empty")
	}
	if plain(s) {
		return nil
	}
	if err := checkText(TypePublish, field, s); err != nil {
		return err
	}
	if bytes.IndexByte(s, '+') >= 0 || bytes.IndexByte(s, '#') >= 0 {
		return illFormed(TypePublish, wildcardRule, field+" contains a wildcard")
	}
	return nil
}

// plain reports whether s is printable ASCII without wildcards, as nearly all
// topics are. It reads each byte once, where the full checks need four passes.
func plain(s []byte) bool {
	for _, b := range s {
		if b-0x20 >= 0x5F || b == '+' || b == '#' {
			return false
		}
	}
	return true
}
