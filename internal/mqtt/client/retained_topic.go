package client

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// letterParts is how many parts the topics of retained letters are in: a broker
// sends all that a filter matches in one go, and drops what its queue for one
// client does not hold.
const letterParts = 256

// topic is where a letter is retained: below the part that its id ends with, so
// that letters can be read part by part. What is retained where no letter belongs has
// its topic for an id, see [letterID].
func (s *retained) topic(id string) string {
	if letterID(s.client.cfg.letterPrefix(), id) != "" {
		return id
	}
	return s.client.cfg.letterPrefix() + part(id) + "/" + id
}

// somewhere describes the topics of letters.
func (s *retained) somewhere() string {
	return s.client.cfg.letterPrefix() + "<last two digits of id>/<id>"
}

// part is the last two hexadecimal digits of an id, which are random in those
// that a service makes. All ids that end otherwise are in one part.
func part(id string) string {
	end := id[max(0, len(id)-2):]
	if len(end) < 2 || strings.Trim(end, "0123456789abcdef") != "" {
		return "00"
	}
	return end
}

// everywhere matches all letters, and no message of a test or of a read, which
// are a level deeper.
func (s *retained) everywhere() string { return s.client.cfg.letterPrefix() + "+/+" }

// parts are filters that together match all letters, each one a part.
func (s *retained) parts() []string {
	filters := make([]string, letterParts)
	for i := range filters {
		filters[i] = fmt.Sprintf("%s%02x/+", s.client.cfg.letterPrefix(), i)
	}
	return filters
}

// letterID returns the id of the letter on a topic, and "" where no letter can be.
// Only an id that a service makes, in its part, is one: what is on another topic below
// those was written by somebody else, and has its topic for an id, by which it can be
// dropped.
func letterID(prefix, topic string) string {
	rest, below := strings.CutPrefix(topic, prefix)
	in, id, two := strings.Cut(rest, "/")
	switch {
	case !below || !two || strings.Contains(id, "/") || strings.ContainsAny(topic, "+#"):
		return ""
	case isLetterID(id) && in == part(id):
		return id
	}
	return topic
}

// isLetterID reports whether a text is a UUID as letters have it, in its one form.
func isLetterID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
