package retained

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Root is what the topics of all dead letters begin with.
const Root = "dead-letter/"

// Prefix is what the topics of a service's dead letters begin with.
func Prefix(service string) string { return Root + service + "/" }

// partCount is how many parts the topics of retained letters are in: a broker
// sends all that a filter matches in one go, and drops what its queue for one
// client does not hold.
const partCount = 256

// topic is where a letter is retained: below the part that its id ends with, so
// that letters can be read part by part. What is retained where no letter belongs has
// its topic for an id, see [idOn].
func (s *Store) topic(id string) string {
	if idOn(s.prefix, id) != "" {
		return id
	}
	return s.prefix + part(id) + "/" + id
}

// somewhere describes the topics of letters.
func (s *Store) somewhere() string {
	return s.prefix + "<last two digits of id>/<id>"
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
func (s *Store) everywhere() string { return s.prefix + "+/+" }

// parts are filters that together match all letters, each one a part.
func (s *Store) parts() []string {
	filters := make([]string, partCount)
	for i := range filters {
		filters[i] = fmt.Sprintf("%s%02x/+", s.prefix, i)
	}
	return filters
}

// idOn returns the id of the letter on a topic, and "" where no letter can be.
// Only an id that a service makes, in its part, is one: what is on another topic below
// those was written by somebody else, and has its topic for an id, by which it can be
// dropped.
func idOn(prefix, topic string) string {
	rest, below := strings.CutPrefix(topic, prefix)
	in, id, two := strings.Cut(rest, "/")
	switch {
	case !below || !two || strings.Contains(id, "/") || strings.ContainsAny(topic, "+#"):
		return ""
	case isID(id) && in == part(id):
		return id
	}
	return topic
}

// isID reports whether a text is a UUID as letters have it, in its one form.
func isID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
