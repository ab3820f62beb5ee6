package engine

import (
	"fmt"
	"strings"
)

// letterParts is how many parts the topics of retained letters are in: a broker
// sends all that a filter matches in one go, and drops what its queue for one
// client does not hold.
const letterParts = 256

// topic is where a letter is retained: below the part that its id ends with, so
// that letters can be read part by part.
func (s *retained) topic(id string) string { return s.client.cfg.letterPrefix() + part(id) + "/" + id }

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

// letterID returns the id in the topic of a letter, and "" for another topic.
func letterID(prefix, topic string) string {
	rest, _ := strings.CutPrefix(topic, prefix)
	if in, id, ok := strings.Cut(rest, "/"); ok && in == part(id) {
		return id
	}
	return ""
}
