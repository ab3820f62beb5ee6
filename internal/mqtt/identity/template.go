package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The placeholders of a template.
const (
	Service  = "service"
	Hostname = "hostname"
	Ordinal  = "ordinal"
	Random   = "random"
)

// ForClientID returns the placeholders of client ids.
func ForClientID() []string { return []string{Service, Hostname, Ordinal, Random} }

// ForGroup returns those of the groups of shared subscriptions: all replicas must get the
// same group.
func ForGroup() []string { return []string{Service} }

// part is a text, or a placeholder with its default.
type part struct {
	text        string
	placeholder bool
	fallback    string
	hasFallback bool
}

// Check returns what is wrong with a template that may have these placeholders.
func Check(template string, allowed []string) error {
	_, err := parse(template, allowed)
	return err
}

// IsTemplate reports whether a text has placeholders, valid or not.
func IsTemplate(text string) bool { return strings.Contains(text, "{") }

// parse splits a template: text, {name} and {name:default}.
func parse(template string, allowed []string) ([]part, error) {
	var parts []part
	for rest := template; ; {
		before, after, found := strings.Cut(rest, "{")
		if before != "" {
			parts = append(parts, part{text: before})
		}
		if !found {
			return parts, nil
		}
		inside, behind, closed := strings.Cut(after, "}")
		name, fallback, has := strings.Cut(inside, ":")
		switch {
		case !closed:
			return nil, errors.New("has { without }")
		case strings.Contains(inside, "{"):
			return nil, errors.New("has a placeholder inside of another one")
		case !slices.Contains(allowed, name):
			return nil, fmt.Errorf("has the placeholder {%.40s}, want {%s}", printable(name), strings.Join(allowed, "}, {"))
		}
		parts = append(parts, part{text: name, placeholder: true, fallback: fallback, hasFallback: has})
		rest = behind
	}
}

// printable replaces what must not be in an error message.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
}
