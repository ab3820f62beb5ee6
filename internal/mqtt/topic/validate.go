package topic

import (
	"strings"
	"unicode/utf8"
)

// ValidateName checks the topic of a message: 1 to 65,535 bytes
// [MQTT-4.7.3-1, -3] of valid UTF-8 [MQTT-1.5.4-1] without U+0000
// [MQTT-4.7.3-2] and without wildcards [MQTT-4.7.1-1]. The error is an
// [*Error].
func ValidateName(s string) error {
	if len(s)-1 < MaxLength && plain(s) {
		return nil
	}
	if err := checkText(KindName, s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "+#") {
		return &Error{KindName, s, "MQTT-4.7.1-1", "contains a wildcard"}
	}
	return nil
}

// plain reports whether s is not empty and printable ASCII without wildcards,
// as nearly all names are. It reads each byte once, where the full checks need
// four passes.
func plain(s string) bool {
	for i := range len(s) {
		if b := s[i]; b-0x20 >= 0x5F || b == '+' || b == '#' {
			return false
		}
	}
	return s != ""
}

// ValidateFilter checks a topic filter, which may be shared. The rules are
// those of a name, except that + may be a whole level [MQTT-4.7.1-2] and # the
// whole last level [MQTT-4.7.1-1]; a filter that starts with $share must also
// satisfy [ParseShared]. The error is an [*Error].
func ValidateFilter(s string) error {
	_, _, _, err := ParseShared(s)
	return err
}

func checkText(kind Kind, s string) error {
	if rule, detail := textProblem(s); rule != "" {
		return &Error{kind, s, rule, detail}
	}
	return nil
}

// textProblem returns the general rule for topic texts that s breaks and a
// description, or "".
func textProblem(s string) (rule, detail string) {
	switch {
	case s == "":
		return "MQTT-4.7.3-1", "is empty"
	case len(s) > MaxLength:
		return "MQTT-4.7.3-3", "is longer than 65,535 bytes"
	case !utf8.ValidString(s):
		return "MQTT-1.5.4-1", "is not valid UTF-8"
	case strings.IndexByte(s, 0) >= 0:
		return "MQTT-4.7.3-2", "contains U+0000"
	}
	return "", ""
}

// checkFilter checks an unshared filter. Errors show whole.
func checkFilter(whole, s string) error {
	if rule, detail := textProblem(s); rule != "" {
		return &Error{KindFilter, whole, rule, detail}
	}
	for rest, more := s, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if len(level) > 1 && strings.IndexByte(level, '+') >= 0 {
			return &Error{KindFilter, whole, "MQTT-4.7.1-2", "+ is not a whole level"}
		}
		if strings.IndexByte(level, '#') >= 0 && (level != "#" || more) {
			return &Error{KindFilter, whole, "MQTT-4.7.1-1", "# is not the whole last level"}
		}
	}
	return nil
}
