package topic

import "strings"

// GuardedLevels returns how many levels of the topics of a filter the access rules
// of a broker guard: those up to its first wildcard; 0 is all of them. Rules guard a
// topic from its front: a device that may publish below devices/7/ chooses what comes
// behind that, and a filter's first wildcard stands for what a rule has in its place.
// Of a shared filter the inner one counts.
func GuardedLevels(filter string) int {
	n := 0
	for level := range strings.SplitSeq(Unshared(filter), "/") {
		if n++; level == "+" || level == "#" {
			return n
		}
	}
	return 0
}

// Guarded returns the guarded part of a topic: its first levels, so many; 0 is all.
func Guarded(topic string, levels int) string {
	for i := 0; levels > 0 && i < len(topic); i++ {
		if topic[i] != '/' {
			continue
		}
		if levels--; levels == 0 {
			return topic[:i]
		}
	}
	return topic
}
