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

// topics are those of a service's dead letters, by their prefix.
type topics string

// of is where a dead letter is retained: below the part that its id ends with, so
// that dead letters can be read part by part. What is retained where none belongs has
// its topic for an id, see [topics.id].
func (t topics) of(id string) string {
	if t.id(id) != "" {
		return id
	}
	return string(t) + part(id) + "/" + id
}

// String describes the topics of dead letters.
func (t topics) String() string { return string(t) + "<last two digits of id>/<id>" }

// all matches all dead letters, and no message of a test or of a read, which
// are a level deeper.
func (t topics) all() string { return string(t) + "+/+" }

// parts are filters that together match all dead letters, each one a part.
func (t topics) parts() []string {
	filters := make([]string, partCount)
	for i := range filters {
		filters[i] = fmt.Sprintf("%s%02x/+", string(t), i)
	}
	return filters
}

// id returns the id of the dead letter on a topic, and "" where none can be.
// Only an id that a service makes, in its part, is one: what is on another topic below
// those was written by somebody else, and has its topic for an id, by which it can be
// dropped.
func (t topics) id(topic string) string {
	rest, below := strings.CutPrefix(topic, string(t))
	in, id, two := strings.Cut(rest, "/")
	switch {
	case !below || !two || strings.Contains(id, "/") || strings.ContainsAny(topic, "+#"):
		return ""
	case isID(id) && in == part(id):
		return id
	}
	return topic
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

// isID reports whether a text is a UUID as dead letters have it, in its one form.
func isID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
