package client

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// maxSessionName is the maximum length of the name of a subscription's own session.
const maxSessionName = 64

// checkSession returns an error if the name cannot be part of a client id that every broker
// accepts.
func (s *Subscription) checkSession() error {
	err := checkSessionName(s.Session)
	switch {
	case err == nil:
		return nil
	case s.SessionOf != "":
		return fmt.Errorf("session of its own: the name derived from %q: %w; set one (session_name)", s.SessionOf, err)
	}
	return fmt.Errorf("session of its own: %w", err)
}

func checkSessionName(name string) error {
	if len(name) > maxSessionName || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("name %q: want 1 to %d letters, digits, - and _", logsafe.Clip(name), maxSessionName)
	}
	switch first, _, _ := strings.Cut(name, "-"); first {
	case publisherWord, serverWord, inboxWord, answerWord, readerWord:
		return fmt.Errorf("name %q: client ids of this library use %s: want another first word", name, first)
	}
	return nil
}

func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

// SessionName derives the name of a session of its own from a topic filter or the name of a
// method.
func SessionName(of string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case plain(r):
			return r
		case r == '+':
			return 'x'
		}
		return '_'
	}, strings.ReplaceAll(of, "#", "all"))
	if len(name) <= maxSessionName {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(of))
	return fmt.Sprintf("%s-%08x", name[:maxSessionName-9], h.Sum32())
}

func (s *Subscription) sessionUser() string {
	if s.SessionOf != "" {
		return fmt.Sprintf("%q, from which it is derived,", s.SessionOf)
	}
	return fmt.Sprintf("%q, for which it is set,", s.Filter)
}
