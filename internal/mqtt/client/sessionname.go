package client

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// maxSessionName bounds the name of a session of its own.
const maxSessionName = 64

// checkSession reports a name that would make no client id of its own, or one
// that not every broker takes.
func (s *Subscription) checkSession() error {
	err := checkSessionName(s.Session)
	switch {
	case err == nil:
		return nil
	case s.SessionOf != "":
		return fmt.Errorf("session of its own: the name derived of %q: %w; give it one (session_name)", s.SessionOf, err)
	}
	return fmt.Errorf("session of its own: %w", err)
}

func checkSessionName(name string) error {
	if len(name) > maxSessionName || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("name %q: want 1 to %d letters, digits, - and _", logsafe.Clip(name), maxSessionName)
	}
	switch first, _, _ := strings.Cut(name, "-"); first {
	case publisherWord, serverWord, inboxWord, answerWord, readerWord:
		return fmt.Errorf("name %q: %s is what client ids of this library's own go on with: want another first word", name, first)
	}
	return nil
}

func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

// SessionName derives the name of a session of its own from a topic filter or
// the name of a method.
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
		return fmt.Sprintf("%q, which it is derived of,", s.SessionOf)
	}
	return fmt.Sprintf("%q, which it is given to,", s.Filter)
}
